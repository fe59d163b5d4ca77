//! Tests of part files: round trips, every flipped bit, crashes, kept samples.

use super::*;
use crate::FaultyFs;
use model::{ErrorKind, Fs};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const KIND: PartKind = PartKind {
    tag: *b"TEST",
    version: 3,
};

fn write(fs: &Arc<FaultyFs>, path: &Path, sections: &[(&str, &[u8])]) -> u64 {
    fs.create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = PartWriter::create(fs.clone(), path, KIND).unwrap();
    for (name, bytes) in sections {
        writer.begin(name).unwrap();
        for piece in bytes.chunks(1000) {
            writer.write(piece).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn big() -> Vec<u8> {
    (0..50_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn a_finished_part_survives_a_crash_and_an_unfinished_one_leaves_nothing() {
    let fs = Arc::new(FaultyFs::new(5));
    let path = Path::new("/d/a.part");
    let size = write(&fs, path, &[("one", b"hello"), ("empty", b""), ("big", &big())]);
    let mut dropped = PartWriter::create(fs.clone(), Path::new("/d/b.part"), KIND).unwrap();
    dropped.section("x", b"y").unwrap();
    drop(dropped);
    fs.crash();
    assert_eq!(fs.read_dir(Path::new("/d")).unwrap().len(), 1);
    let part = PartReader::open(fs.as_ref(), path, KIND).unwrap();
    part.verify().unwrap();
    assert_eq!(part.size_bytes(), size);
    assert_eq!(part.sections().collect::<Vec<_>>(), ["one", "empty", "big"]);
    assert_eq!(part.read("one").unwrap(), b"hello");
    assert_eq!(part.read("empty").unwrap(), b"");
    assert_eq!(part.read("big").unwrap(), big());
    assert_eq!(part.section_len("none"), None);
    assert!(
        part.read("none")
            .unwrap_err()
            .message()
            .contains("no section \"none\"")
    );
    assert!(part.read_range("one", 3, 9).is_err());
}

#[test]
fn every_flipped_bit_is_found_and_costs_only_its_section() {
    let fs = Arc::new(FaultyFs::new(5));
    let path = Path::new("/d/a.part");
    let size = write(&fs, path, &[("one", b"hello"), ("two", b"world")]);
    for bit in 0..size * 8 {
        fs.flip_bit(path, bit);
        let found = PartReader::open(fs.as_ref(), path, KIND).and_then(|part| {
            let (one, two) = (part.read("one"), part.read("two"));
            assert!(one.is_ok() || two.is_ok(), "bit {bit} costs one section only");
            one.and(two)
        });
        let e = found.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.message().contains("/d/a.part"), "{e}");
        fs.flip_bit(path, bit);
    }
}

#[test]
fn another_kind_and_newer_versions_are_refused() {
    let fs = Arc::new(FaultyFs::new(5));
    let path = Path::new("/d/a.part");
    write(&fs, path, &[]);
    let check = |kind: PartKind, says: &str| {
        let e = PartReader::open(fs.as_ref(), path, kind).err().unwrap();
        assert!(e.message().contains(says), "{e}");
    };
    check(
        PartKind {
            tag: *b"ELSE",
            ..KIND
        },
        "is a TEST part, not ELSE",
    );
    check(
        PartKind { version: 2, ..KIND },
        "newer version: TEST encoding 3, this one knows 2",
    );
    fs.flip_bit(path, 7 * 8 + 1);
    check(KIND, "newer version: part format 3, this one knows 1");
}

#[test]
fn a_full_disk_leaves_no_part_and_no_bytes() {
    let fs = Arc::new(FaultyFs::new(5));
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs.set_capacity(Some(10_000));
    let mut writer = PartWriter::create(fs.clone(), Path::new("/d/a.part"), KIND).unwrap();
    let done = writer
        .section("big", &big())
        .and_then(|()| writer.finish().map(|_| ()));
    assert_eq!(done.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(fs.read_dir(Path::new("/d")).unwrap().is_empty());
}

#[test]
fn a_kept_part_of_format_1_is_readable() {
    let fs = FaultyFs::new(1);
    let path = Path::new("/part-v1");
    fs.replace(path, include_bytes!("../../testdata/part-v1"))
        .unwrap();
    let part = PartReader::open(&fs, path, KIND).unwrap();
    assert_eq!(part.read("one").unwrap(), b"hello");
    assert_eq!(part.read("two").unwrap(), b"world");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ranges_are_what_was_written(len in 0usize..70_000, cuts in prop::collection::vec((any::<u32>(), any::<u32>()), 1..8)) {
        let fs = Arc::new(FaultyFs::new(5));
        let (path, bytes) = (Path::new("/d/a.part"), big().repeat(2)[..len].to_vec());
        write(&fs, path, &[("pad", b"123"), ("s", &bytes)]);
        let part = PartReader::open(fs.as_ref(), path, KIND).unwrap();
        for (a, b) in cuts {
            let a = a as usize % (len + 1);
            let b = a + b as usize % (len - a + 1);
            prop_assert_eq!(part.read_range("s", a as u64, (b - a) as u64).unwrap(), &bytes[a..b]);
        }
    }
}
