//! Tests of the directory: series come back, are found, and bytes that make no sense are an error.

use super::*;
use proptest::prelude::*;

fn times() -> impl Strategy<Value = TimeRef> {
    let ranges = prop::collection::vec((1u32..100, 1u32..100), 1..4);
    (0u32..3, ranges).prop_map(|(column, ranges)| {
        let mut end = 0;
        let mut ranges = ranges.into_iter().map(|(gap, count)| {
            let start = end + gap;
            end = start + count;
            (start, count)
        });
        TimeRef {
            column,
            first: ranges.next().unwrap(),
            rest: ranges.collect(),
        }
    })
}
fn run() -> impl Strategy<Value = RunRef> {
    (times(), 1u32..5000).prop_map(|(times, bytes)| RunRef { times, bytes })
}
fn extras() -> impl Strategy<Value = Extras> {
    let counts = (0u32..3, 0u32..3, any::<bool>());
    (prop::collection::vec(run(), 0..3), counts).prop_map(|(runs, (starts_bytes, histograms, exemplars))| {
        Extras {
            runs,
            starts_bytes,
            histograms,
            histogram_header_bytes: histograms * 2,
            histogram_bytes: u64::from(histograms) * 700,
            exemplars,
        }
    })
}
/// Series with the times of the one before, with others, without any, with more.
fn directory() -> impl Strategy<Value = Vec<Located>> {
    let one = (
        1u64..4,
        run(),
        prop::option::weighted(0.1, extras()),
        0u8..10,
        0u64..20,
    );
    prop::collection::vec(one, 1..400).prop_map(|series| {
        let (mut id, mut offset, mut last) = (0, 0, TimeRef::default());
        let mut all = Vec::new();
        for (step, mut run, extras, kind, gap) in series {
            id += step;
            if kind > 0 && last.first.1 > 0 {
                run.times.clone_from(&last);
            }
            let mut extras = extras.filter(|e| *e != Extras::default()).map(Box::new);
            if kind == 1 {
                run = RunRef::default();
                extras = Some(Box::new(Extras {
                    exemplars: true,
                    ..Extras::default()
                }));
            } else {
                last.clone_from(&run.times);
            }
            offset += if gap == 0 { 9 } else { 0 };
            let located = Located {
                id,
                offset,
                run,
                extras,
            };
            offset += located.bytes();
            all.push(located);
        }
        all
    })
}
fn write(series: &[Located]) -> Writer {
    let mut writer = Writer::default();
    series.iter().for_each(|s| writer.add(s));
    writer.finish();
    writer
}
fn leaves(writer: &Writer) -> Vec<(SeriesId, &[u8])> {
    let mut offset = 0usize;
    let leaf = |(first, len): &(SeriesId, usize)| {
        let start = offset.next_multiple_of(LEAF);
        offset = start + len;
        (*first, &writer.bytes[start..offset])
    };
    writer.leaves.iter().map(leaf).collect()
}

proptest! {
    #[test]
    fn series_come_back(series in directory()) {
        let writer = write(&series);
        let mut got = Vec::new();
        for (first, leaf) in leaves(&writer) {
            let mut walk = Walk::new(leaf, first).unwrap();
            while let Some(s) = walk.next().unwrap() {
                got.push(s.clone());
            }
        }
        prop_assert_eq!(got, series);
    }
    #[test]
    fn series_are_found_by_id(series in directory(), ids in prop::collection::btree_set(0u64..1000, 0..100)) {
        let writer = write(&series);
        let leaves = leaves(&writer);
        prop_assert_eq!(leaves.len(), 1);
        let mut walk = Walk::new(leaves[0].1, leaves[0].0).unwrap();
        for id in ids {
            let expected = series.iter().find(|s| s.id >= id);
            prop_assert_eq!(walk.seek(id).unwrap(), expected);
        }
    }
    #[test]
    fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, first: u64) {
        if let Ok(mut walk) = Walk::new(&bytes, first) {
            while let Ok(Some(_)) = walk.next() {}
        }
    }
    #[test]
    fn changed_bytes_are_an_error_or_something(series in directory(), at: prop::sample::Index, with: u8) {
        let mut writer = write(&series);
        let at = at.index(writer.bytes.len());
        writer.bytes[at] = with;
        for (first, leaf) in leaves(&writer) {
            if let Ok(mut walk) = Walk::new(leaf, first) {
                while let Ok(Some(_)) = walk.next() {}
            }
        }
    }
}

#[test]
fn a_series_costs_three_bytes_and_a_leaf_is_a_page() {
    let times = TimeRef {
        column: 0,
        first: (0, 32),
        rest: Vec::new(),
    };
    let series: Vec<_> = (0..100_000u64)
        .map(|i| Located {
            id: 7 + i,
            offset: i * 200,
            run: RunRef {
                times: TimeRef {
                    column: (i / 1000) as u32,
                    ..times.clone()
                },
                bytes: 200,
            },
            extras: None,
        })
        .collect();
    let writer = write(&series);
    assert!(writer.bytes.len() < 350_000, "{}", writer.bytes.len());
    assert!(writer.leaves.iter().all(|(_, len)| *len <= LEAF && *len > 0));
    let found = leaves(&writer).into_iter().map(|(first, leaf)| {
        let mut walk = Walk::new(leaf, first).unwrap();
        walk.seek(first).unwrap().unwrap().id
    });
    assert!(found.eq(writer.leaves.iter().map(|l| l.0)));
}
