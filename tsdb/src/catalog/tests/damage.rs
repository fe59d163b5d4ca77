//! Damage: found, named, and costs no more than the page; crashes and full disks.

use super::*;
use ::model::ErrorKind;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use storage::faulty_fs::Operation;

/// A segment of a few pages of each kind, and what is in it.
fn world(series: u64) -> (World, BTreeMap<SeriesId, Labels>) {
    let mut world = World::new(1);
    let mut expected = BTreeMap::new();
    for id in 1..=series {
        let name = format!("m{}", id % 7);
        // Values that do not shrink, so that a small number of series fills pages.
        let noise = format!("{:016x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)).repeat(4);
        let labels = labels(&[("__name__", &name), ("job", "a"), ("unique", &noise)]);
        world.catalog.insert(id, &labels, 0);
        expected.insert(id, labels);
    }
    world.persist();
    (world, expected)
}

fn queries() -> Vec<Predicate> {
    use MatchOp::{Equal, NotEqual, Regex};
    vec![
        Predicate::labels([matcher("__name__", Equal, "m3")]),
        Predicate::labels([
            matcher("__name__", Equal, "m3"),
            matcher("unique", Regex, "[0-7].*"),
        ]),
        Predicate::labels([matcher("job", NotEqual, "a")]),
        Predicate::labels([matcher("job", Regex, "a|b"), matcher("__name__", NotEqual, "m1")]),
        Predicate::Not(Box::new(Predicate::labels([matcher("__name__", Equal, "m3")]))),
    ]
}

fn matching(expected: &BTreeMap<SeriesId, Labels>, predicate: &Predicate) -> Vec<SeriesId> {
    let wanted = expected
        .iter()
        .filter(|(_, l)| predicate.on_labels(l) == Some(true));
    wanted.map(|(id, _)| *id).collect()
}

/// Every answer is right or an error that names the file; with damage noted it is a part of the right one.
fn check(world: &World, expected: &BTreeMap<SeriesId, Labels>, must_notice: bool) -> usize {
    let file = path_of(world.manifest[0].id).display().to_string();
    let named = |e: &Error| {
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
        assert!(e.message().contains(&file), "{e}");
    };
    let mut lost = 0;
    let mut noticed = world.catalog.segments()[0].verify().is_err();
    for predicate in queries() {
        let right = matching(expected, &predicate);
        match world.catalog.view().select(&predicate, &Budget::unlimited()) {
            Ok(ids) => assert_eq!(ids, right),
            Err(e) => named(&e),
        }
        let budget = Budget::unlimited();
        let view = world.catalog.view().noting_damage(&budget);
        let ids = view.select(&predicate, &budget).unwrap();
        let shown = all_labels(&view, &ids);
        assert!(
            shown
                .iter()
                .all(|(id, l)| expected.get(id) == Some(l) && right.binary_search(id).is_ok())
        );
        lost = lost.max(right.len() - shown.len());
        assert!(shown.len() == right.len() || !budget.warnings().is_empty());
        noticed |= !budget.warnings().is_empty();
    }
    for (id, labels) in expected.iter().step_by(expected.len() / 4 + 1) {
        match world.catalog.find(labels) {
            Ok(found) => assert_eq!(found, Some(*id)),
            Err(e) => named(&e),
        }
    }
    let budget = Budget::unlimited();
    let view = world.catalog.view().noting_damage(&budget);
    let names = view.label_names(None).unwrap();
    assert!(
        names
            .iter()
            .all(|n| ["__name__", "job", "unique"].contains(&n.as_str()))
    );
    let values = view.label_values("unique", None).unwrap();
    let known: BTreeSet<&str> = expected.values().filter_map(|l| l.get("unique")).collect();
    assert!(values.iter().all(|v| known.contains(v.as_str())));
    assert!(view.cardinality(None, 3).unwrap().series <= expected.len() as u64);
    noticed |= !budget.warnings().is_empty();
    match world.catalog.merge(&world.segment_ids(), 99, &|_| true) {
        Ok(entry) => assert_eq!(entry.map(|e| e.meta.series), Some(expected.len() as u64)),
        Err(e) => {
            named(&e);
            assert!(world.catalog.segments()[0].is_damaged(), "it is not chosen again");
            noticed = true;
        }
    }
    assert_eq!(noticed, must_notice);
    lost
}

#[test]
fn every_flipped_byte_is_an_error_or_costs_nothing() {
    let (mut world, expected) = world(12);
    let path = path_of(world.manifest[0].id);
    assert_eq!(check(&world, &expected, false), 0);
    world.fs.remove_file(&path_of(99)).unwrap();
    for byte in 0..world.manifest[0].size_bytes {
        let bit = byte * 8 + byte % 8;
        world.fs.flip_bit(&path, bit);
        world.reopen();
        check(&world, &expected, true);
        if world.fs.exists(&path_of(99)).unwrap() {
            world.fs.remove_file(&path_of(99)).unwrap();
        }
        world.fs.flip_bit(&path, bit);
    }
}

#[test]
fn a_damaged_page_costs_no_more_than_its_series() {
    let (mut world, expected) = world(20_000);
    let path = path_of(world.manifest[0].id);
    let size = world.manifest[0].size_bytes;
    let (mut places, mut costly) = (0, 0);
    // The directory and the trailer at the end are needed for all of it.
    for at in 0..24 {
        let bit = (100 + (size - 4000) * at / 24) * 8;
        world.fs.flip_bit(&path, bit);
        world.reopen();
        assert!(world.catalog.damage().is_empty());
        let lost = check(&world, &expected, true);
        // A checksum covers 16 KiB of packed pages, here of two or three bytes for each series.
        assert!(lost < 9000, "{lost} series lost at {at}");
        (places, costly) = (places + 1, costly + usize::from(lost > 0));
        if world.fs.exists(&path_of(99)).unwrap() {
            world.fs.remove_file(&path_of(99)).unwrap();
        }
        world.fs.flip_bit(&path, bit);
    }
    assert!(
        (1..places / 4).contains(&costly),
        "{costly} of {places} places are of series pages"
    );
}

#[test]
fn a_segment_without_an_index_is_named_and_the_others_go_on() {
    let (mut world, mut expected) = world(50);
    world
        .catalog
        .insert(70, &labels(&[("__name__", "m3"), ("job", "b")]), 0);
    world.persist();
    let file = path_of(world.manifest[0].id);
    // The directory stands before the trailer of 24 bytes.
    world.fs.flip_bit(&file, (world.manifest[0].size_bytes - 30) * 8);
    world.reopen();
    let damage = world.catalog.damage();
    assert_eq!(damage.len(), 1);
    assert!(
        damage[0].message().contains(&file.display().to_string()),
        "{}",
        damage[0]
    );
    let budget = Budget::unlimited();
    let view = world.catalog.view().noting_damage(&budget);
    expected.retain(|id, _| *id == 70);
    assert_eq!(view.select(&Predicate::all(), &budget).unwrap(), [70]);
    assert_eq!(budget.warnings().len(), 1);
    assert_eq!(view.label_values("job", None).unwrap(), ["b"]);
    assert_eq!(view.cardinality(None, 5).unwrap().series, 1);
    assert_eq!(world.catalog.choose_merge(), None);
}

#[test]
fn a_segment_of_another_kind_or_version_is_refused_and_left_alone() {
    let (mut world, _) = world(5);
    let file = path_of(world.manifest[0].id);
    let before = world.fs.snapshot();
    world.manifest[0].meta.series += 1;
    world.reopen();
    assert!(
        world.catalog.damage()[0]
            .message()
            .contains("not the segment that the manifest names")
    );
    world.manifest[0].meta.series -= 1;
    world.fs.remove_file(&file).unwrap();
    let kind = storage::PartKind {
        tag: *b"METR",
        version: 1,
    };
    let writer = storage::PartWriter::create(world.fs.clone(), &file, kind).unwrap();
    writer.finish().unwrap();
    world.reopen();
    assert!(
        world.catalog.damage()[0]
            .message()
            .contains("is a METR part, not CATL")
    );
    assert_ne!(before, world.fs.snapshot());
}

#[test]
fn a_missing_file_is_an_error_at_once() {
    let (world, _) = world(5);
    world.fs.remove_file(&path_of(world.manifest[0].id)).unwrap();
    let opened = Catalog::open(
        world.fs.clone(),
        STORE.into(),
        &world.manifest,
        world.cache.clone(),
    );
    assert_eq!(opened.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
}

#[test]
fn a_failed_write_changes_nothing_and_the_next_one_holds_everything() {
    let check = |operation: Operation, error: std::io::ErrorKind, expected: ErrorKind| {
        let mut world = World::new(3);
        world.catalog.insert(1, &labels(&[("a", "x")]), 0);
        world.fs.fail_nth(operation, 1, error);
        assert_eq!(world.catalog.write_memory(8).unwrap_err().kind(), expected);
        assert_eq!(world.catalog.memory_series(), 1);
        world.catalog.insert(2, &labels(&[("a", "y")]), 0);
        assert_eq!(select(&world.catalog.view(), &Predicate::all()), [1, 2]);
        world.persist();
        assert_eq!(world.manifest[0].meta.series, 2);
        assert_eq!(world.catalog.memory_series(), 0);
        assert_eq!(select(&world.catalog.view(), &Predicate::all()), [1, 2]);
    };
    check(
        Operation::Write,
        std::io::ErrorKind::StorageFull,
        ErrorKind::Unavailable,
    );
    check(Operation::Sync, std::io::ErrorKind::Other, ErrorKind::Internal);
    check(Operation::Name, std::io::ErrorKind::Other, ErrorKind::Internal);
}

#[test]
fn what_is_inserted_while_a_segment_is_written_stays_in_memory() {
    let mut world = World::new(3);
    world.catalog.insert(1, &labels(&[("a", "x")]), 0);
    let entry = world.catalog.write_memory(8).unwrap();
    world.catalog.insert(2, &labels(&[("a", "y")]), 0);
    world.catalog.insert(1, &labels(&[("a", "x")]), 0);
    let view = world.catalog.view();
    world.replace(&[], entry);
    assert_eq!(world.catalog.memory_series(), 1);
    for view in [view, world.catalog.view()] {
        assert_eq!(select(&view, &Predicate::all()), [1, 2]);
        assert_eq!(view.label_values("a", None).unwrap(), ["x", "y"]);
    }
    assert_eq!(
        world.catalog.write_memory(9).unwrap().map(|e| e.meta.series),
        Some(1)
    );
}

#[test]
fn ids_that_lie_far_apart_go_to_segments_of_their_own() {
    let mut world = World::new(3);
    let far = [1, 2, 1 << 40, (1 << 40) + 1, 1 << 50];
    for id in far {
        world.catalog.insert(id, &labels(&[("a", &id.to_string())]), 0);
    }
    for left in [3, 1, 0] {
        world.persist();
        assert_eq!(world.catalog.memory_series(), left);
        assert_eq!(select(&world.catalog.view(), &Predicate::all()), far);
    }
    assert_eq!(world.manifest.len(), 3);
    assert!(world.catalog.merge(&world.segment_ids(), 50, &|_| true).is_err());
    assert_eq!(world.catalog.choose_merge(), None);
    world.reopen();
    assert_eq!(select(&world.catalog.view(), &Predicate::all()), far);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// The power fails somewhere between the first byte of a segment and the removal of what it replaces.
    #[test]
    fn a_crash_leaves_the_series_of_the_manifest(seed: u64, operations in 0u64..12, merging: bool) {
        let mut world = World::new(seed);
        for id in 1..=40u64 {
            world.catalog.insert(id, &labels(&[("a", &format!("{}", id % 3)), ("b", &id.to_string())]), 0);
            if merging && id % 10 == 0 {
                world.persist();
            }
        }
        let before: Vec<SeriesId> = if merging { (1..=40).collect() } else { Vec::new() };
        let ids = world.segment_ids();
        world.fs.fail_power_after(operations);
        let file = world.file();
        let written = match merging {
            true => world.catalog.merge(&ids, file, &|id| id % 2 == 0),
            false => world.catalog.write_memory(file),
        };
        let done = !world.fs.is_powerless();
        world.fs.crash();
        let expected = match (done, merging, written) {
            (true, false, Ok(entry)) => {
                world.manifest.extend(entry);
                (1..=40).collect()
            }
            (true, true, Ok(entry)) => {
                world.manifest = entry.into_iter().collect();
                (1..=20).map(|n| n * 2).collect()
            }
            _ => before,
        };
        world.reopen();
        prop_assert!(world.catalog.damage().is_empty());
        prop_assert_eq!(select(&world.catalog.view(), &Predicate::all()), expected.clone());
        prop_assert_eq!(all_labels(&world.catalog.view(), &expected).len(), expected.len());
    }
}
