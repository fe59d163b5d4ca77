//! The door of the fuzzer to the store's own formats: each function takes any bytes, and panics only when that is a
//! bug. No part of the interface; `fuzz/` and `tests/fuzz.rs` call it.

use crate::bytes::Cursor;
use crate::cache::Cache;
use crate::catalog::{self, Catalog, SegmentEntry, SegmentMeta};
use crate::codec::{Effort, histograms, times, values};
use crate::idset::IdSet;
use crate::record;
use crate::samples::{self, Part, PartMeta, Reader, Run};
use crate::tombstones::{self, Tombstone, TombstoneEntry, TombstoneMeta};
use model::{Budget, Fs, Labels, MatchOp, Matcher, Predicate};
use std::path::Path;
use std::sync::Arc;
use storage::{FaultyFs, PartEntry, PartKind, PartWriter, layout};

const DIR: &str = "/fuzz";
const FILE: u64 = 7;
/// The partition of the kept files.
const DAY: i64 = 19_675;
/// What the caches may take; the fuzzer looks at memory.
const CACHE_BYTES: usize = 1 << 20;

/// The lengths of the sections but the last, two bytes each, then the sections one after the other. Lengths that say
/// too much are cut.
fn sections<const N: usize>(data: &[u8]) -> Option<[&[u8]; N]> {
    let (lengths, mut rest) = data.split_at_checked(2 * (N - 1))?;
    let mut all = [&[][..]; N];
    for (section, length) in all.iter_mut().zip(lengths.chunks_exact(2)) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        (*section, rest) = rest.split_at(length.min(rest.len()));
    }
    all[N - 1] = rest;
    Some(all)
}

/// A file whose checksums are right, whatever stands in its sections; and its size.
fn file(kind: PartKind, sections: &[(&str, &[u8])]) -> (Arc<FaultyFs>, u64) {
    let fs = Arc::new(FaultyFs::new(1));
    let write = || {
        fs.create_dir_all(&layout::parts_dir(Path::new(DIR)))?;
        let mut writer = PartWriter::create(fs.clone(), &layout::part_file(Path::new(DIR), FILE), kind)?;
        sections
            .iter()
            .try_for_each(|(name, bytes)| writer.section(name, bytes))?;
        writer.finish()
    };
    let size_bytes = write().expect("the disk is in memory and does not fail");
    (fs, size_bytes)
}

/// A column. The first byte says of what, the next two how many there should be. What is read can be written and is
/// the same when read again.
pub fn codec(data: &[u8]) {
    let [choice, low, high, column @ ..] = data else {
        return;
    };
    // Nobody writes a column of none.
    let count = usize::from(u16::from_le_bytes([*low, *high])).max(1);
    let effort = if choice & 4 == 0 {
        Effort::Flush
    } else {
        Effort::Merge
    };
    let mut again = Vec::new();
    match choice % 3 {
        0 => {
            let (mut read, mut second, mut middle) = (Vec::new(), Vec::new(), Vec::new());
            if values::decode(column, count, 0..count, &mut read).is_err() {
                return;
            }
            assert_eq!(read.len(), count);
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let range = count / 3..count - count / 3;
            if values::decode(column, count, range.clone(), &mut middle).is_ok() {
                assert_eq!(bits(&middle), bits(&read[range]));
            }
            values::encode(&mut again, &read, effort);
            values::decode(&again, count, 0..count, &mut second).expect("what we write can be read");
            assert_eq!(bits(&read), bits(&second));
        }
        1 => {
            let (mut read, mut second) = (Vec::new(), Vec::new());
            if times::decode(column, count, &mut read).is_err() {
                return;
            }
            assert_eq!(read.len(), count);
            times::encode(&mut again, &read, effort);
            times::decode(&again, count, &mut second).expect("what we write can be read");
            assert_eq!(read, second);
        }
        _ => {
            let mut read = Vec::new();
            if histograms::decode(column, count, &mut read).is_ok() {
                assert_eq!(read.len(), count);
            }
        }
    }
}

/// A file of samples, of its sections `data`, `columns`, `directory` and `index`: all of its series, whole and in
/// part, with damage set aside.
pub fn samples(data: &[u8]) {
    read_samples(data);
}

/// How many float samples were read.
fn read_samples(data: &[u8]) -> Option<usize> {
    let [values, columns, directory, index] = sections(data)?;
    let named = [
        ("data", values),
        ("columns", columns),
        ("directory", directory),
        ("index", index),
    ];
    let (fs, size_bytes) = file(samples::KIND, &named);
    let base = DAY * samples::PARTITION_MS;
    let meta = PartMeta {
        partition: DAY,
        min_ms: base,
        max_ms: base + samples::PARTITION_MS - 1,
        series: 10,
        samples: 1000,
        generation: 1,
        resolution_ms: 0,
        deletions_done: 0,
        retention_done: 0,
    };
    let entry = PartEntry {
        id: FILE,
        size_bytes,
        meta,
    };
    let part = Part::open(
        fs.as_ref(),
        Path::new(DIR),
        entry,
        &Arc::new(Cache::new(CACHE_BYTES)),
    );
    let part = Arc::new(part.expect("the disk does not fail"));
    let mut set_aside = |_| Ok(());
    let ids: Vec<_> = part.ids().map_while(Result::ok).take(1000).collect();
    assert!(ids.is_sorted());
    let found = part.find(&ids, &mut set_aside).expect("damage is set aside");
    let (mut reader, mut count) = (Reader::new(part), 0);
    for range in [(i64::MIN, i64::MAX), (base + 60_000, base + 600_000)] {
        for located in &found {
            let mut run = Run::default();
            let read = reader.read(located, range, &mut run, &mut set_aside);
            read.expect("damage is set aside");
            let read = reader.read_exemplars(located, range, &mut run, &mut set_aside);
            read.expect("damage is set aside");
            assert_eq!(run.times.len(), run.values.len());
            count += run.times.len();
            assert!(run.times.is_sorted_by(|a, b| a < b), "{:?}", run.times);
            assert!(run.times.iter().all(|t| (range.0..=range.1).contains(t)));
        }
    }
    Some(count)
}

/// The catalog. The first byte says what: a segment of its sections `pages` and `index`, or one of the kinds of pages.
pub fn catalog(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 5 {
        0 => _ = read_segment(data),
        kind => catalog::fuzz_page(kind, data),
    }
}

/// How many series were selected by all predicates together.
fn read_segment(data: &[u8]) -> Option<usize> {
    let [pages, index] = sections(data)?;
    let named = [("pages", pages), ("index", index), ("index_copy", index)];
    let (fs, size_bytes) = file(catalog::KIND, &named);
    // Of the kept file.
    let meta = SegmentMeta {
        series: 91,
        first_id: 10,
        last_id: 1_000_000,
        pairs: 40,
    };
    let entry = SegmentEntry {
        id: FILE,
        size_bytes,
        meta,
    };
    let cache = Arc::new(Cache::new(CACHE_BYTES));
    let opened = Catalog::open(fs, DIR.into(), &[entry], cache).expect("the disk does not fail");
    let view = opened.view();
    let one = |op, value| Matcher::new("code", op, value).map(|m| Predicate::labels([m]));
    let mut count = 0;
    for predicate in [
        Ok(Predicate::all()),
        one(MatchOp::Equal, "500"),
        one(MatchOp::Regex, "5.."),
        one(MatchOp::NotEqual, "200"),
    ] {
        let predicate = predicate.expect("the expressions are sound");
        let Ok(ids) = view.select(&predicate, &Budget::unlimited()) else {
            continue;
        };
        count += ids.len();
        assert!(ids.is_sorted_by(|a, b| a < b));
        let _ = view.labels(&ids, &mut |_, labels: &Labels| {
            assert!(labels.iter().is_sorted_by(|a, b| a.0 < b.0));
            Ok(())
        });
    }
    let _ = view.cardinality(None, 3);
    let _ = opened.find(&Labels::from_pairs([("__name__", "up"), ("instance", "a")]));
    let _ = opened.segment_ids();
    Some(count)
}

/// A tombstone, of its list of series: it deletes what it names and nothing else.
pub fn tombstone(data: &[u8]) {
    if let Ok(ids) = IdSet::decode(&mut Cursor::new(data)) {
        let mut again = Vec::new();
        ids.encode(&mut again);
        let second = IdSet::decode(&mut Cursor::new(&again)).expect("what we write can be read");
        assert!(second.without(&ids).is_empty() && ids.without(&second).is_empty());
    }
    let mut packed = Vec::new();
    // As it stands, and packed.
    samples::pack(&mut packed, data, Effort::Flush).expect("it is small");
    for section in [data, &packed] {
        let (fs, size_bytes) = file(tombstones::KIND, &[("ids", section), ("ids_copy", section)]);
        let meta = TombstoneMeta {
            min_ms: 0,
            max_ms: 1,
            series: 1,
            created_ms: 0,
        };
        let entry = TombstoneEntry {
            id: FILE,
            size_bytes,
            meta,
        };
        let opened = Tombstone::open(fs.as_ref(), Path::new(DIR), entry).expect("the disk does not fail");
        assert!(opened.unreadable().is_none() || !opened.names(5));
    }
}

/// A record of the log; what is read can be written, and is the same when read again.
pub fn record(data: &[u8]) {
    let Ok(batch) = record::decode(record::KIND, record::VERSION, data) else {
        return;
    };
    let count = |of: fn(&record::Entry) -> u32| batch.entries.iter().map(|e| of(e) as usize).sum::<usize>();
    assert_eq!(count(|e| e.samples), batch.samples.len());
    assert_eq!(count(|e| e.histograms), batch.histograms.len());
    assert_eq!(count(|e| e.exemplars), batch.exemplars.len());
    let bytes = record::encode(&batch);
    let again = record::decode(record::KIND, record::VERSION, &bytes).expect("what we write can be read");
    assert!(record::encode(&again) == bytes, "{}", data.escape_ascii());
}

#[cfg(test)]
mod tests;
