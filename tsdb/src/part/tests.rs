//! Tests of parts: what is built is found again, and bytes that make no sense are an error.

use super::*;
use crate::chunk::Effort;
use crate::select::Index;
use model::{Fs, Labels};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use storage::{FaultyFs, PartReader};

fn build(fs: &FaultyFs, series: &[(Labels, Vec<i64>)]) -> PartReader {
    let path = Path::new("/a.part");
    let mut builder = Builder::create(Arc::new(fs.clone()), path, Effort::Flush).unwrap();
    for (labels, times) in series {
        let values: Vec<f64> = times.iter().map(|t| *t as f64).collect();
        builder.add(labels, times, &values, &[]).unwrap();
    }
    builder.finish(1).unwrap();
    PartReader::open(fs, path, KIND).unwrap()
}

#[test]
fn long_series_are_cut_into_chunks_that_follow_each_other() {
    let fs = FaultyFs::new(1);
    let labels = |job: &str| Labels::from_pairs([("job", job)]);
    let times: Vec<i64> = (0..5000).collect();
    let reader = build(&fs, &[(labels("a"), vec![7]), (labels("b"), times)]);
    let index = PartIndex::load(&reader).unwrap();
    let chunks = index.chunks(1).unwrap();
    let spans: Vec<_> = chunks.iter().map(|c| (c.min_ms, c.max_ms, c.count)).collect();
    assert_eq!(spans, [(0, 2047, 2048), (2048, 4095, 2048), (4096, 4999, 904)]);
    assert_eq!(index.chunks(0).unwrap()[0].len, chunks[0].offset);
    assert!(index.touches(1, 4999, 9999).unwrap() && !index.touches(1, 5000, 9999).unwrap());
    assert!(index.chunks(2).is_err() && index.labels(2).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Checksums keep such bytes away; should some get through, it is an error and no panic.
    #[test]
    fn an_index_that_makes_no_sense_is_an_error(at: u32, with: u8, which in 0usize..4) {
        let fs = FaultyFs::new(1);
        let series: Vec<_> = (0..9).map(|i| (Labels::from_pairs([("job", format!("{i}")), ("z", "z".into())]), vec![i, 99])).collect();
        let reader = build(&fs, &series);
        let mut sections = [SYMBOLS, SERIES, CHUNK_INDEX, POSTINGS].map(|s| unpack(&reader.read(s).unwrap()).unwrap());
        let section = &mut sections[which];
        let at = at as usize % section.len();
        section[at] = with;
        let [symbols, series, chunks, postings] = sections;
        if let Ok(index) = PartIndex::parse(&symbols, series, chunks, postings) {
            for id in 0..10 {
                let _ = (index.labels(id), index.chunks(id));
            }
            let _ = (index.names(), index.values("job"), index.postings("job", "3"));
            let _ = index.postings_where("job", &mut |_| true);
        }
    }
}

#[test]
fn the_cache_keeps_what_was_used_last_within_its_bound() {
    let fs = FaultyFs::new(1);
    let reader = build(&fs, &[(Labels::from_pairs([("job", "a")]), vec![1])]);
    let size = PartIndex::load(&reader).unwrap().size_bytes();
    let cache = IndexCache::new(2 * size);
    let loads = std::cell::Cell::new(0);
    let get = |key: u64| {
        let load = || {
            loads.set(loads.get() + 1);
            PartIndex::load(&reader)
        };
        cache.get(key, load).unwrap();
        loads.get()
    };
    assert_eq!([1, 2, 1, 3].map(get), [1, 2, 2, 3]);
    assert_eq!([1, 3].map(get), [3, 3], "2 was used least lately");
    cache.remove(1);
    assert_eq!([3, 1, 2].map(get), [3, 4, 5]);
    assert!(fs.exists(Path::new("/a.part")).unwrap());
}
