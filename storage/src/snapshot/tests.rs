//! Tests of snapshots: whole or not at all, whatever the disk does; limits; a restore that replaces nothing.

use super::*;
use crate::faulty_fs::Operation;
use crate::verify::Event;
use crate::{DataDir, FaultyFs, PartEntry, PartKind, PartWriter, StoreName};
use model::{ErrorKind, Tenant};

const NAME: &str = "20261121T171500Z-0123456789abcdef";
const OTHER: &str = "20261122T171500Z-0123456789abcdef";

type M = Manifest<String, Vec<PartEntry<()>>>;

fn shared(fs: &FaultyFs) -> Arc<dyn Fs> {
    Arc::new(fs.clone())
}

fn dir(data: &str, store: StoreName) -> PathBuf {
    layout::store_dir(Path::new(data), &Tenant::default(), store)
}

fn part(fs: &FaultyFs, dir: &Path, id: u64) -> u64 {
    let kind = PartKind {
        tag: *b"TEST",
        version: 1,
    };
    let path = layout::part_file(dir, id);
    let mut writer = PartWriter::create(shared(fs), &path, kind).unwrap();
    writer
        .section("text", format!("part {id}").repeat(1000).as_bytes())
        .unwrap();
    writer.finish().unwrap()
}

/// A store with two parts, a file that only the state names, and one that nothing names.
fn store(fs: &FaultyFs, data: &str, store: StoreName) -> M {
    let dir = dir(data, store);
    fs.create_dir_all(&layout::parts_dir(&dir)).unwrap();
    let size_bytes: Vec<u64> = (1..=4).map(|id| part(fs, &dir, id)).collect();
    fs.sync_dir(&layout::parts_dir(&dir)).unwrap();
    let entry = |id: u64| PartEntry {
        id,
        size_bytes: size_bytes[id as usize - 1],
        meta: String::new(),
    };
    let manifest = M {
        log_position: Position {
            segment: 7,
            offset: 99,
        },
        next_part: 5,
        parts: vec![entry(2), entry(1)],
        state: vec![PartEntry {
            id: 3,
            size_bytes: size_bytes[2],
            meta: (),
        }],
    };
    manifest.store(fs, &dir).unwrap();
    manifest
}

fn take(fs: &FaultyFs, manifest: &M, to: &Path) -> Result<Taken> {
    let to = layout::store_dir(to, &Tenant::default(), StoreName::Metrics);
    StoreSnapshot::begin(&shared(fs), manifest, &dir("/d", StoreName::Metrics), &to)?.finish(&mut |_| {})
}

fn snapshots(fs: &FaultyFs) -> Snapshots {
    Snapshots::open(shared(fs), Path::new("/d"), 2)
}

fn create(fs: &FaultyFs, manifest: &M, name: &str) -> Result<Taken> {
    snapshots(fs).create(name, |to| take(fs, manifest, to))
}

/// The files below a folder, by their path from there.
fn files(fs: &FaultyFs, below: &Path) -> Vec<String> {
    let all = fs.snapshot().into_keys();
    let shown = all.filter_map(|p| Some(p.strip_prefix(below).ok()?.display().to_string()));
    shown.collect()
}

fn path() -> PathBuf {
    Path::new("/d/snapshots").join(NAME)
}

/// Whether a snapshot is whole: every byte of every file that its manifest names, and nothing of the log.
fn assert_whole(fs: &FaultyFs, path: &Path) {
    let mut problems = Vec::new();
    let tenant = Tenant::default();
    let checked = verify::store(
        &shared(fs),
        path,
        &tenant,
        StoreName::Metrics,
        &mut |event| match event {
            Event::Problem(e) => problems.push(e),
            Event::Note(note) => panic!("{note}"),
            Event::Read(_) => {}
        },
    );
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(checked.parts, 3);
    verify::data_dir(fs, path).unwrap();
}

const FILES: [&str; 5] = [
    "FORMAT",
    "metrics/default/MANIFEST",
    "metrics/default/parts/00000000000000000001.part",
    "metrics/default/parts/00000000000000000002.part",
    "metrics/default/parts/00000000000000000003.part",
];

#[test]
fn a_snapshot_outlives_the_files_that_it_was_made_of() {
    for links in [true, false] {
        let fs = FaultyFs::new(1);
        fs.set_links(links);
        let manifest = store(&fs, "/d", StoreName::Metrics);
        let before = fs.used_bytes();
        let taken = create(&fs, &manifest, NAME).unwrap();
        let bytes =
            verify::named_parts(&verify::manifest(&shared(&fs), &dir("/d", StoreName::Metrics)).unwrap());
        let bytes = bytes.iter().map(|p| p.size_bytes).sum();
        let copied_bytes = if links { 0 } else { bytes };
        assert_eq!(
            taken,
            Taken {
                tenants: 1,
                files: 3,
                bytes,
                copied_bytes
            }
        );
        assert_eq!(files(&fs, &path()), FILES);
        let grown = fs.used_bytes() - before;
        assert_eq!(grown >= bytes, !links, "{grown} bytes more: links cost nothing");
        fs.remove_dir_all(&dir("/d", StoreName::Metrics)).unwrap();
        fs.crash();
        assert_whole(&fs, &path());
        let listed = snapshots(&fs).list().unwrap();
        assert_eq!(listed[0].name, NAME);
        assert!(listed[0].size_bytes > bytes);
        // The order of parts is part of the manifest.
        let kept = M::load(&fs, &dir(path().to_str().unwrap(), StoreName::Metrics)).unwrap();
        assert_eq!(
            (kept.parts, kept.log_position),
            (manifest.parts, Position::default())
        );
    }
}

#[test]
fn what_is_removed_before_it_is_copied_is_read_all_the_same() {
    let fs = FaultyFs::new(1);
    fs.set_links(false);
    let (manifest, from) = (
        store(&fs, "/d", StoreName::Metrics),
        dir("/d", StoreName::Metrics),
    );
    let to = dir("/e", StoreName::Metrics);
    let begun = StoreSnapshot::begin(&shared(&fs), &manifest, &from, &to).unwrap();
    fs.remove_dir_all(&from).unwrap();
    begun.finish(&mut |_| {}).unwrap();
    assert_eq!(files(&fs, Path::new("/e")), FILES[1..]);
}

#[test]
fn a_missing_file_is_told() {
    let fs = FaultyFs::new(1);
    let manifest = store(&fs, "/d", StoreName::Metrics);
    fs.remove_file(&layout::part_file(&dir("/d", StoreName::Metrics), 3))
        .unwrap();
    let e = create(&fs, &manifest, NAME).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(
        e.message()
            .contains("00003.part is missing, the manifest names it"),
        "{e}"
    );
    assert_eq!(files(&fs, Path::new("/d/snapshots")), [""; 0]);
}

/// Each operation of a snapshot, and of its removal, fails in turn, or the power does: there is a whole snapshot or
/// none, the store is as it was, and the next try goes well.
#[test]
fn a_snapshot_is_whole_or_not_there() {
    use std::io::ErrorKind::{Other, StorageFull};
    let kinds = [
        Operation::Name,
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Read,
    ];
    let mut faults = Vec::new();
    for nth in 1..25 {
        for operation in kinds {
            faults.push((nth, Some((operation, Other))));
            faults.push((nth, Some((operation, StorageFull))));
        }
        faults.push((nth, None));
    }
    let (mut failed, mut done) = (0, 0);
    for (seed, (nth, fault)) in faults.into_iter().enumerate() {
        let fs = FaultyFs::new(seed as u64);
        fs.set_links(seed % 3 > 0);
        let manifest = store(&fs, "/d", StoreName::Metrics);
        let source = |fs: &FaultyFs| {
            let mut all = fs.snapshot();
            all.retain(|p, _| p.starts_with("/d/metrics"));
            all
        };
        let before = source(&fs);
        let is_removal = seed % 2 == 0;
        if is_removal {
            create(&fs, &manifest, NAME).unwrap();
        }
        let folder = snapshots(&fs);
        match fault {
            Some((operation, kind)) => fs.fail_nth(operation, nth, kind),
            None => fs.fail_power_after(nth),
        }
        let result = match is_removal {
            true => folder.remove(NAME),
            false => folder.create(NAME, |to| take(&fs, &manifest, to)).map(drop),
        };
        *(if result.is_ok() { &mut done } else { &mut failed }) += 1;
        let context = format!("{fault:?}, the {nth}th, {is_removal}: {result:?}");
        if seed % 5 == 0 || fs.is_powerless() {
            fs.crash();
        } else {
            fs.kill();
        }
        fs.heal();
        assert_eq!(source(&fs), before, "{context}");
        // A start.
        let folder = snapshots(&fs);
        let names: Vec<String> = folder.list().unwrap().into_iter().map(|s| s.name).collect();
        let there = fs.read_dir(Path::new("/d/snapshots")).unwrap_or_default();
        assert_eq!(there.len(), names.len(), "{context}: {there:?}");
        if names.is_empty() {
            assert!(is_removal || result.is_err(), "{context}");
        } else {
            assert!(!is_removal || result.is_err(), "{context}");
            assert_whole(&fs, &path());
        }
        create(&fs, &manifest, OTHER).unwrap();
        assert_eq!(folder.list().unwrap().len(), names.len() + 1);
    }
    assert!(failed > 30 && done > 50, "{failed}, {done}");
}

#[test]
fn too_many_snapshots_and_too_little_room_are_refused() {
    let fs = FaultyFs::new(1);
    let manifest = store(&fs, "/d", StoreName::Metrics);
    fs.set_capacity(Some(fs.used_bytes() + MIN_FREE_BYTES - 1));
    let e = create(&fs, &manifest, NAME).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable);
    assert!(e.message().contains("make room"), "{e}");
    fs.set_capacity(None);
    create(&fs, &manifest, NAME).unwrap();
    create(&fs, &manifest, OTHER).unwrap();
    let e = create(&fs, &manifest, "20261123T171500Z-0123456789abcdef").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LimitReached);
    assert!(
        e.message()
            .contains("there are 2 snapshots, and 2 is the limit (limits.max_snapshots)"),
        "{e}"
    );
    let folder = snapshots(&fs);
    folder.remove(NAME).unwrap();
    for name in [NAME, "..", "", OTHER.trim_end_matches('f')] {
        assert_eq!(
            folder.remove(name).unwrap_err().kind(),
            ErrorKind::NotFound,
            "{name}"
        );
    }
    create(&fs, &manifest, NAME).unwrap();
    // A copy that would fill the disk.
    folder.remove(NAME).unwrap();
    fs.set_links(false);
    fs.set_capacity(Some(fs.used_bytes() + MIN_FREE_BYTES + 1000));
    let e = create(&fs, &manifest, NAME).unwrap_err();
    assert!(e.message().contains("make room"), "{e}");
}

#[test]
fn one_snapshot_is_made_at_a_time() {
    let fs = FaultyFs::new(1);
    let folder = snapshots(&fs);
    let nested = folder.create(NAME, |_| {
        let e = folder.create(OTHER, |_| Ok(())).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        Ok(())
    });
    nested.unwrap();
}

#[test]
fn only_names_of_snapshots_are_names() {
    for (text, expected) in [
        (NAME, true),
        ("", false),
        ("20261121T171500Z", false),
        ("20261121T171500Z-0123456789ABCDEF", false),
        ("20261121T171500Z-0123456789abcdef.tmp", false),
        ("../../../../../../etc/0123456789a", false),
        ("2026112éT71500Z-0123456789abcdef", false),
    ] {
        assert_eq!(is_name(text), expected, "{text}");
    }
}

#[test]
fn a_restore_replaces_nothing() {
    let fs = FaultyFs::new(1);
    let manifest = store(&fs, "/d", StoreName::Metrics);
    create(&fs, &manifest, NAME).unwrap();
    let check = |from: &str, to: &str, says: &str| {
        let to = DataDir::open(shared(&fs), Path::new(to)).unwrap();
        let before = fs.snapshot();
        let e = restore(&shared(&fs), Path::new(from), &to, &mut |_| {}).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData, "{e}");
        assert!(e.message().contains(says), "{e}");
        assert_eq!(fs.snapshot(), before, "nothing was touched");
    };
    let from = path();
    let from = from.to_str().unwrap();
    store(&fs, "/full", StoreName::Metrics);
    fs.replace(Path::new("/full/FORMAT"), b"binnacle data directory, format 1\n")
        .unwrap();
    check(from, "/full", "/full has metrics of tenant default already");
    fs.create_dir_all(Path::new("/waiting/wal/team/metrics")).unwrap();
    fs.replace(
        Path::new("/waiting/FORMAT"),
        b"binnacle data directory, format 1\n",
    )
    .unwrap();
    check(from, "/waiting", "/waiting has metrics of tenant team already");
    fs.create_dir_all(Path::new("/odd/metrics")).unwrap();
    fs.replace(Path::new("/odd/FORMAT"), b"binnacle data directory, format 1\n")
        .unwrap();
    fs.replace(Path::new("/odd/metrics/note.txt"), b"mine").unwrap();
    check(from, "/odd", "/odd has \"note.txt\" in /odd/metrics already");
    check("/d/snapshots", "/new", "no snapshot, or not a whole one");
    check("/waiting", "/new", "is a data directory with a log");
    check("/new", "/new", "/new holds nothing");
}

#[test]
fn a_restore_is_whole_or_can_be_started_again() {
    for nth in 0..40 {
        for seed in 0..4 {
            let fs = FaultyFs::new(seed);
            fs.set_links(seed > 1);
            let manifest = store(&fs, "/d", StoreName::Metrics);
            create(&fs, &manifest, NAME).unwrap();
            let to = DataDir::open(shared(&fs), Path::new("/new")).unwrap();
            fs.fail_power_after(nth);
            let result = restore(&shared(&fs), &path(), &to, &mut |_| {});
            drop(to);
            fs.crash();
            let to = DataDir::open(shared(&fs), Path::new("/new")).unwrap();
            let tenants = layout::tenants(&fs, to.root(), StoreName::Metrics).unwrap();
            if tenants.is_empty() {
                assert!(result.is_err(), "{nth}");
                restore(&shared(&fs), &path(), &to, &mut |_| {}).unwrap();
            }
            assert_whole(&fs, to.root());
            let mut names = FILES.to_vec();
            names.push("LOCK");
            names.sort_unstable();
            assert_eq!(files(&fs, to.root()), names, "{nth}");
        }
    }
}

#[test]
fn a_restore_says_how_far_it_is() {
    for links in [true, false] {
        let fs = FaultyFs::new(1);
        let manifest = store(&fs, "/d", StoreName::Metrics);
        create(&fs, &manifest, NAME).unwrap();
        fs.set_links(links);
        let to = DataDir::open(shared(&fs), Path::new("/new")).unwrap();
        let mut told = 0;
        let restored = restore(&shared(&fs), &path(), &to, &mut |bytes| told += bytes).unwrap();
        assert_eq!(restored.len(), 1);
        assert_eq!(
            (restored[0].1.bytes, told),
            (told, size_bytes(&shared(&fs), &path()).unwrap())
        );
    }
}
