//! Tests of the check: sound stores, every kind of damage, and that nothing is changed.

use super::*;
use crate::{FaultyFs, PartEntry, PartWriter, Record};

const DATA: &str = "/d";

fn tenant() -> Tenant {
    Tenant::default()
}

/// A store with two parts (one of them named by the state), a log of three records in two segments of which the first
/// is not needed, and a part that nobody names.
fn sample() -> Arc<FaultyFs> {
    let fs = Arc::new(FaultyFs::new(1));
    let data = Path::new(DATA);
    let dir = layout::store_dir(data, &tenant(), StoreName::Logs);
    fs.create_dir_all(&layout::parts_dir(&dir)).unwrap();
    let line = format!("binnacle data directory, format {}\n", data_dir::FORMAT);
    fs.replace(&layout::format_file(data), line.as_bytes()).unwrap();
    let write = |id: u64, tag: [u8; 4]| {
        let path = layout::part_file(&dir, id);
        let mut writer = PartWriter::create(fs.clone(), &path, PartKind { tag, version: 3 }).unwrap();
        writer.section("small", b"hello").unwrap();
        writer.section("large", &vec![id as u8; 40_000]).unwrap();
        writer.finish().unwrap()
    };
    let parts = vec![PartEntry {
        id: 1,
        size_bytes: write(1, *b"AAAA"),
        meta: serde_json::json!({ "rows": 5 }),
    }];
    let state = serde_json::json!({ "catalog": [{ "id": 2, "size_bytes": write(2, *b"BBBB"), "meta": { "n": 1 } }],
        "families": { "id": "no number", "other": [1, 2] } });
    write(3, *b"AAAA");
    let options = LogOptions {
        segment_bytes: 200,
        ..LogOptions::default()
    };
    let wal = layout::wal_dir(data, &tenant(), StoreName::Logs);
    let metrics = LogMetrics::new(&NoMeter, "test");
    let mut log = Log::open(
        fs.clone(),
        &wal,
        options,
        metrics,
        Position::default(),
        &mut |_, _| Ok(()),
    )
    .unwrap()
    .0;
    let mut append = |payload: &[u8]| {
        let record = Record {
            kind: 1,
            version: 1,
            payload,
        };
        log.append_sync(record).unwrap().end
    };
    let log_position = append(&[1; 150]);
    append(&[2; 100]);
    append(&[3; 10]);
    let manifest = AnyManifest {
        log_position,
        next_part: 4,
        parts,
        state,
    };
    manifest.store(fs.as_ref(), &dir).unwrap();
    fs
}

fn check(fs: &Arc<FaultyFs>) -> (Checked, Vec<String>, Vec<String>) {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let before = fs.snapshot();
    let handed: Arc<dyn Fs> = fs.clone();
    let checked = store(
        &handed,
        Path::new(DATA),
        &tenant(),
        StoreName::Logs,
        &mut |event| match event {
            Event::Problem(e) => problems.push(e.to_string()),
            Event::Note(note) => notes.push(note),
            Event::Read(_) => {}
        },
    );
    assert_eq!(fs.snapshot(), before, "nothing is changed");
    (checked, problems, notes)
}

const PART_1: &str = "/d/logs/default/parts/00000000000000000001.part";
const PART_2: &str = "/d/logs/default/parts/00000000000000000002.part";
const SEGMENT_2: &str = "/d/wal/default/logs/00000000000000000002.wal";

#[test]
fn a_sound_store_has_no_problem() {
    let (checked, problems, notes) = check(&sample());
    assert_eq!(problems, [""; 0]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains("00003.part is skipped: no manifest names it"),
        "{notes:?}"
    );
    let expected = Checked {
        parts: 2,
        part_bytes: 2 * 40_005,
        records: 2,
        record_bytes: 110,
    };
    assert_eq!(checked, expected);
    let handed: Arc<dyn Fs> = sample();
    data_dir(handed.as_ref(), Path::new(DATA)).unwrap();
    let size = size_bytes(&handed, Path::new(DATA), &tenant(), StoreName::Logs);
    assert!((80_000..90_000).contains(&size), "{size}");
    let nothing = size_bytes(&handed, Path::new(DATA), &tenant(), StoreName::Traces);
    assert_eq!(nothing, 0);
}

#[test]
fn every_flipped_bit_of_a_part_is_named() {
    let fs = sample();
    for path in [PART_1, PART_2] {
        let path = Path::new(path);
        let len = fs.open(path).unwrap().len();
        // Every bit around the borders, every 97th elsewhere.
        let bits = (0..len * 8).filter(|bit| *bit < 600 || *bit > len * 8 - 2000 || bit % 97 == 0);
        for bit in bits {
            fs.flip_bit(path, bit);
            let (checked, problems, _) = check(&fs);
            assert_eq!(problems.len(), 1, "bit {bit}: {problems:?}");
            assert!(problems[0].contains(&path.display().to_string()), "{problems:?}");
            assert_eq!(checked.records, 2);
            fs.flip_bit(path, bit);
        }
    }
}

#[test]
fn each_damaged_page_is_named_with_section_and_offset() {
    let fs = sample();
    let path = Path::new(PART_1);
    for page in [0, 2] {
        fs.flip_bit(path, (16 + 5 + page * PAGE + 9) * 8);
    }
    let (_, problems, _) = check(&fs);
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (problem, offset) in problems.iter().zip([21, 21 + 2 * PAGE]) {
        let says = format!("{PART_1}: section \"large\" is damaged at file offset {offset}:");
        assert!(problem.starts_with(&says), "{problem}");
    }
}

#[test]
fn what_is_missing_or_of_another_size_is_named() {
    let fs = sample();
    fs.remove_file(Path::new(PART_1)).unwrap();
    fs.replace(Path::new(PART_2), b"x").unwrap();
    let (_, problems, _) = check(&fs);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("00002.part has 1 bytes, the manifest says"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains(PART_1) && problems[1].contains("it is missing"),
        "{problems:?}"
    );
}

#[test]
fn damage_to_manifest_and_log_is_named() {
    let fs = sample();
    let manifest = Path::new("/d/logs/default/MANIFEST");
    fs.flip_bit(manifest, 900);
    let (_, problems, _) = check(&fs);
    assert!(
        problems.len() == 1 && problems[0].contains("MANIFEST"),
        "{problems:?}"
    );
    fs.flip_bit(manifest, 900);

    // The first record of the last segment: a record of a later group says that it had been acknowledged.
    fs.flip_bit(Path::new(SEGMENT_2), 60 * 8);
    let (checked, problems, _) = check(&fs);
    assert!(
        problems.len() == 1 && problems[0].contains(SEGMENT_2) && problems[0].contains("offset 32"),
        "{problems:?}"
    );
    assert_eq!(checked.records, 1);
    fs.flip_bit(Path::new(SEGMENT_2), 60 * 8);

    // The last one cannot be told from an unfinished write.
    let len = fs.open(Path::new(SEGMENT_2)).unwrap().len();
    fs.flip_bit(Path::new(SEGMENT_2), (len - 1) * 8);
    let (_, problems, notes) = check(&fs);
    assert_eq!(problems, [""; 0]);
    assert!(notes.iter().any(|n| n.contains("the last 30 bytes")), "{notes:?}");

    fs.remove_file(Path::new(SEGMENT_2)).unwrap();
    fs.rename(
        Path::new("/d/wal/default/logs/00000000000000000001.wal"),
        Path::new("/d/wal/default/logs/1.wal.damaged"),
    )
    .unwrap();
    let (_, problems, notes) = check(&fs);
    assert!(
        problems.len() == 1 && problems[0].contains("is missing"),
        "{problems:?}"
    );
    assert!(
        notes.iter().any(|n| n.contains("1.wal.damaged holds damage")),
        "{notes:?}"
    );
}

#[test]
fn other_directories_are_refused() {
    let fs = sample();
    let e = data_dir(fs.as_ref(), Path::new("/d/logs")).unwrap_err();
    assert!(e.message().contains("/d/logs is not a data directory"), "{e}");
    fs.replace(
        &layout::format_file(Path::new(DATA)),
        b"binnacle data directory, format 99\n",
    )
    .unwrap();
    let e = data_dir(fs.as_ref(), Path::new(DATA)).unwrap_err();
    assert!(e.message().contains("format 99"), "{e}");
}

#[test]
fn the_read_only_file_system_writes_nothing() {
    let fs = sample();
    let before = fs.snapshot();
    let read_only = ReadOnly(fs.clone());
    let path = Path::new(PART_1);
    assert!(read_only.create(Path::new("/d/new")).is_err());
    assert!(read_only.lock(path).is_err());
    read_only.replace(path, b"x").unwrap();
    read_only.remove_file(path).unwrap();
    read_only.rename(path, Path::new("/d/x")).unwrap();
    let mut file = read_only.open_append(path).unwrap();
    assert!(file.append(b"x").is_err());
    file.truncate(0).unwrap();
    assert_eq!(fs.snapshot(), before);
}
