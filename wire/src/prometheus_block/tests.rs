//! Blocks of Prometheus and of the encoders here, sound and damaged.

mod encode;

use super::chunk::{self, Samples};
use super::{Block, Meta, Source};
use encode::{Files, NewSeries};
use model::fs::ReadFile;
use model::metric::{Histogram, HistogramSample, ResetHint, stale_nan};
use model::{ErrorKind, Labels, Result, Sample, Series};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file in memory.
struct Bytes(Vec<u8>);

impl ReadFile for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        let piece = self.0.get(from..from + buffer.len());
        buffer.copy_from_slice(piece.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fn source(name: &str, bytes: &[u8]) -> Source {
    Source::new(name, Arc::new(Bytes(bytes.to_vec())))
}

fn open(files: &Files, tombstones: Option<&[u8]>) -> Result<Block> {
    let chunks = files.chunks.iter().enumerate();
    let chunks = chunks.map(|(i, bytes)| source(&format!("chunks/{:06}", i + 1), bytes));
    let tombstones = tombstones.map(|bytes| source("tombstones", bytes));
    Block::open(
        source("index", &files.index),
        chunks.collect(),
        tombstones.as_ref(),
    )
}

/// All series, and the errors on the way.
fn read(mut block: Block) -> (Vec<Series>, Vec<model::Error>) {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    loop {
        let found = match block.next_series() {
            Ok(Some(found)) => found,
            Ok(None) => return (all, errors),
            Err(e) => {
                errors.push(e);
                return (all, errors);
            }
        };
        let mut series = Series {
            labels: found.labels.clone(),
            ..Series::default()
        };
        for place in &found.chunks {
            if let Err(e) = block.read_chunk(&found, place, &mut series) {
                errors.push(e);
            }
        }
        all.push(series);
    }
}

fn sound(files: &Files, tombstones: Option<&[u8]>) -> Vec<Series> {
    let (series, errors) = read(open(files, tombstones).unwrap());
    assert!(errors.is_empty(), "{errors:?}");
    series
}

/// Files of a kept block.
macro_rules! kept {
    ($name:literal) => {
        Files {
            index: include_bytes!(concat!("../../testdata/prometheus_block/", $name, "/index")).to_vec(),
            chunks: vec![
                include_bytes!(concat!(
                    "../../testdata/prometheus_block/",
                    $name,
                    "/chunks/000001"
                ))
                .to_vec(),
            ],
        }
    };
}

#[test]
fn a_kept_block_of_floats_holds_what_promtool_was_given() {
    let text = include_bytes!("../../testdata/prometheus_block/floats.om");
    let quota = crate::Quota::new(1 << 24);
    let given = crate::exposition::parse(crate::exposition::Format::OpenMetrics, text, 0, &quota).unwrap();
    let mut expected: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for series in given.series {
        expected
            .entry(series.labels.to_string())
            .or_default()
            .extend(series.samples);
    }
    let found = sound(
        &kept!("floats"),
        Some(include_bytes!(
            "../../testdata/prometheus_block/floats/tombstones"
        )),
    );
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|s| (s.labels.to_string(), s.samples))
        .collect();
    assert_eq!(found, expected);

    let meta = include_bytes!("../../testdata/prometheus_block/floats/meta.json");
    let meta = Meta::parse("meta.json", meta).unwrap();
    assert_eq!(
        (meta.min_time, meta.max_time),
        (1_700_000_000_000, 1_700_004_485_001)
    );
    assert_eq!(
        (
            meta.stats.num_samples,
            meta.stats.num_series,
            meta.stats.num_chunks
        ),
        (380, 3, 5)
    );
}

const T: i64 = 1_700_000_000_000;

/// What Prometheus was sent for the series `latency` with `kind` "int" and "gauge".
fn sent_integers(i: i64, is_gauge: bool) -> HistogramSample {
    let x = i as f64;
    let fourth = if is_gauge { 0 } else { i * i };
    let positive = [i + 1, 2 * i + 1, 5 + i / 3, fourth].map(|n| n as f64);
    let (negative, zero) = ((i / 4) as f64, (i / 2) as f64);
    HistogramSample {
        timestamp_ms: T + i * 15_000 + i % 2 * 3,
        start_timestamp_ms: 0,
        histogram: Histogram {
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            zero_count: zero,
            count: positive.iter().sum::<f64>() + negative + zero,
            sum: 0.5 * x * x - 3.0,
            positive: [-1, 0, 4, 5].into_iter().zip(positive).collect(),
            negative: vec![(-2, negative)],
            reset_hint: if is_gauge {
                ResetHint::Gauge
            } else {
                ResetHint::Unknown
            },
            ..Histogram::default()
        },
    }
}

#[test]
fn a_kept_block_of_histograms_holds_what_prometheus_was_sent() {
    let tombstones = include_bytes!("../../testdata/prometheus_block/histograms/tombstones");
    let found = sound(&kept!("histograms"), Some(tombstones));
    let of = |name: &str, value: &str| {
        let fits = |s: &&Series| s.labels.iter().any(|pair| pair == (name, value));
        found.iter().find(fits).unwrap().clone()
    };
    let mut integers: Vec<_> = (0..30).map(|i| sent_integers(i, false)).collect();
    integers[7].histogram = Histogram {
        sum: stale_nan(),
        ..Histogram::default()
    };
    let got = of("kind", "int").histograms;
    assert!(model::metric::is_stale(got[7].histogram.sum));
    // NaN is not equal to itself.
    for (got, sent) in got.iter().zip(&integers) {
        assert_eq!(format!("{got:?}"), format!("{sent:?}"));
    }
    assert_eq!(got.len(), integers.len());
    let mut gauges: Vec<_> = (0..5).map(|i| sent_integers(i, true)).collect();
    // Prometheus 2.42 does not keep that they are gauges when it makes a block.
    gauges
        .iter_mut()
        .for_each(|g| g.histogram.reset_hint = ResetHint::Unknown);
    assert_eq!(of("kind", "gauge").histograms, gauges);
    let floats: Vec<_> = (0..12)
        .map(|i| HistogramSample {
            timestamp_ms: T + i * 30_000,
            start_timestamp_ms: 0,
            histogram: Histogram {
                schema: -1,
                zero_threshold: 0.001,
                zero_count: 0.25,
                count: 0.5 * i as f64 + 1.0 + 1.25 + 0.25,
                sum: i as f64 * 1.1,
                positive: vec![(4, 0.5 * i as f64 + 1.0), (5, 1.25)],
                ..Histogram::default()
            },
        })
        .collect();
    assert_eq!(of("kind", "float").histograms, floats);

    let up: Vec<Sample> = (0..40)
        .map(|i| sample(T + i * 15_000, if i == 10 { stale_nan() } else { i as f64 }))
        .collect();
    assert_eq!(of("instance", "a").samples, up);
    // From 150 s to 300 s, both included, everything was deleted.
    let kept = (0..40).filter(|i| !(10..=20).contains(i));
    let kept: Vec<Sample> = kept.map(|i| sample(T + i * 15_000, 1.0)).collect();
    assert_eq!(of("instance", "b").samples, kept);
    let without = sound(&kept!("histograms"), None);
    assert_eq!(without.iter().map(|s| s.samples.len()).sum::<usize>(), 80);
}

fn sample(timestamp_ms: i64, value: f64) -> Sample {
    Sample { timestamp_ms, value }
}

/// A block with a chunk of each encoding, in two files.
fn mixed(version: u8) -> (Files, Vec<Series>) {
    let floats: Vec<Sample> = (0..5).map(|i| sample(T + i * 1000, i as f64)).collect();
    let later: Vec<Sample> = (5..9).map(|i| sample(T + i * 1000, 0.1)).collect();
    let starts = vec![T - 5; 4];
    let histogram = Histogram {
        schema: -53,
        count: 7.0,
        sum: 1.5,
        positive: vec![(0, 3.0), (2, 4.0)],
        custom_bounds: vec![0.25, 1.0 / 3.0, 1e9],
        ..Histogram::default()
    };
    let histograms = [(T, histogram.clone()), (T + 7, histogram.clone())];
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let chunks = |is_float, encoding| {
        (
            T,
            T + 7,
            encoding,
            encode::histograms(&histograms, is_float, None),
        )
    };
    let new: Vec<NewSeries> = vec![
        (
            labels(&[("__name__", "a"), ("ü", &"x".repeat(300))]),
            vec![
                (T, T + 4000, 1, encode::xor(&floats)),
                (T + 5000, T + 8000, 4, encode::xor_with_start(&later, &starts)),
            ],
        ),
        (labels(&[("__name__", "b")]), vec![chunks(false, 2)]),
        (labels(&[("__name__", "c")]), vec![chunks(true, 3)]),
        (labels(&[("__name__", "empty")]), vec![]),
    ];
    let of_histogram = |name: &str| Series {
        labels: labels(&[("__name__", name)]),
        histograms: histograms
            .iter()
            .map(|(timestamp_ms, h)| HistogramSample {
                timestamp_ms: *timestamp_ms,
                start_timestamp_ms: 0,
                histogram: h.clone(),
            })
            .collect(),
        ..Series::default()
    };
    let expected = vec![
        Series {
            labels: new[0].0.clone(),
            samples: [&floats[..], &later].concat(),
            start_timestamps_ms: [&[0; 5][..], &starts].concat(),
            ..Series::default()
        },
        of_histogram("b"),
        of_histogram("c"),
        Series {
            labels: new[3].0.clone(),
            ..Series::default()
        },
    ];
    (encode::block(version, &new, 2), expected)
}

#[test]
fn every_version_of_the_index_is_read() {
    for version in 1..=3 {
        let (files, expected) = mixed(version);
        assert_eq!(files.chunks.len(), 2);
        assert_eq!(sound(&files, None), expected, "version {version}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let check = |change: &dyn Fn(&mut Files), says: &str| {
        let (mut files, _) = mixed(2);
        change(&mut files);
        let e = match open(&files, None) {
            Ok(block) => read(block).1.remove(0),
            Err(e) => e,
        };
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.message().contains(says), "{e}");
    };
    check(&|f| f.index[4] = 4, "index: version 4 of the index is not known");
    check(&|f| f.index[0] = 0, "index is damaged at offset 0");
    check(&|f| f.index.truncate(20), "too short");
    check(
        &|f| f.chunks[1][4] = 2,
        "chunks/000002: version 2 of chunk files is not known",
    );
    check(&|f| f.chunks[0][0] = 0, "chunks/000001 is damaged at offset 0");
    check(
        &|f| f.chunks.truncate(1),
        "points to chunk file 2, the block has 1",
    );
    check(
        &|f| f.chunks[0].truncate(40),
        "chunks/000001 is damaged at offset",
    );
    let mut other = encode::block(2, &[(Labels::default(), vec![(T, T, 9, vec![0, 0])])], 9);
    other.chunks.truncate(1);
    let errors = read(open(&other, None).unwrap()).1;
    assert!(
        errors[0]
            .message()
            .contains("chunks/000001 is damaged at offset 8: chunk encoding 9"),
        "{errors:?}"
    );
    let meta = br#"{ "ulid": "x", "minTime": 1, "maxTime": 2, "version": 7 }"#;
    assert!(
        Meta::parse("b/meta.json", meta)
            .unwrap_err()
            .message()
            .contains("b/meta.json: version 7")
    );
    assert!(
        Meta::parse("b/meta.json", b"{")
            .unwrap_err()
            .message()
            .contains("b/meta.json is not")
    );
}

#[test]
fn damaged_chunks_cost_only_themselves() {
    let (mut files, expected) = mixed(2);
    files.chunks[0][20] ^= 1;
    let (found, errors) = read(open(&files, None).unwrap());
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0]
            .message()
            .contains("chunks/000001 is damaged at offset 8: the chunk does not fit"),
        "{errors:?}"
    );
    assert_eq!(found[0].samples, expected[0].samples[5..]);
    assert_eq!(found[1..], expected[1..]);
}

#[test]
fn tombstones_take_away_and_are_checked() {
    let (files, expected) = mixed(2);
    let stones = |version: u8, ranges: &[(u64, i64, i64)]| {
        let mut body = Vec::new();
        for (series, first, last) in ranges {
            encode::uvarint(&mut body, *series);
            encode::uvarint(&mut body, encode::zigzag(*first));
            encode::uvarint(&mut body, encode::zigzag(*last));
        }
        let crc = super::crc32c::checksum(&body).to_be_bytes();
        [&0x0130_BA30u32.to_be_bytes()[..], &[version], &body, &crc].concat()
    };
    let mut block = open(&files, None).unwrap();
    let first = block.next_series().unwrap().unwrap().id();
    let ranges = [
        (first, T + 1000, T + 5000),
        (first, T + 8000, i64::MAX),
        (first + 1, i64::MIN, 0),
    ];
    let found = sound(&files, Some(&stones(1, &ranges)));
    assert_eq!(found[0].samples, [0, 6, 7].map(|i| expected[0].samples[i]));
    assert_eq!(found[0].start_timestamps_ms, [0, T - 5, T - 5]);
    assert_eq!(found[1], expected[1]);
    let fails = |bytes: &[u8], says: &str| {
        let e = open(&files, Some(bytes)).err().unwrap();
        assert!(e.message().contains(says), "{e}");
    };
    let good = stones(1, &ranges);
    fails(
        &stones(2, &[]),
        "tombstones: version 2 of tombstones is not known",
    );
    fails(
        &good[..good.len() - 1],
        "tombstones is damaged at offset 0: the bytes do not fit their checksum",
    );
    fails(&good[..3], "too short");
    (0..good.len() * 8).for_each(|bit| {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&files, Some(&bad)).is_err(), "bit {bit}");
    });
}

#[test]
fn every_flipped_bit_of_a_block_is_found_or_does_not_matter() {
    let (files, expected) = mixed(2);
    let check = |damaged: &Files, place: &str| {
        let Ok(block) = open(damaged, None) else { return };
        let (found, errors) = read(block);
        assert!(!errors.is_empty() || found == expected, "{place}");
    };
    for bit in 0..files.index.len() * 8 {
        let (mut damaged, _) = mixed(2);
        damaged.index[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("index, bit {bit}"));
    }
    for bit in 0..files.chunks[0].len() * 8 {
        let (mut damaged, _) = mixed(2);
        damaged.chunks[0][bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("chunks, bit {bit}"));
    }
}

/// Times that go forward, mostly by the same step, and sometimes far; values of all kinds.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let step = prop_oneof![
        5 => Just(15_000i64),
        3 => 14_990i64..15_010,
        1 => 0i64..100_000_000,
        1 => 0i64..1 << 50,
    ];
    let value = prop_oneof![
        4 => Just(1.0),
        3 => (-1000i32..1000).prop_map(|n| f64::from(n) / 8.0),
        1 => Just(stale_nan()),
        2 => any::<u64>().prop_map(f64::from_bits),
    ];
    let steps = prop::collection::vec((step, value), 1..300);
    (any::<i32>(), steps).prop_map(|(from, steps)| {
        let mut time = i64::from(from) * 1000;
        let next = |(step, value)| {
            time += step;
            sample(time, value)
        };
        steps.into_iter().map(next).collect()
    })
}

fn starts(count: usize) -> impl Strategy<Value = Vec<i64>> {
    let runs = prop::collection::vec((1usize..150, prop_oneof![Just(0), -5i64..1 << 45]), 1..6);
    runs.prop_map(move |runs| {
        let all = runs
            .into_iter()
            .flat_map(|(n, start)| std::iter::repeat_n(start, n));
        all.chain(std::iter::repeat(7)).take(count).collect()
    })
}

fn histogram_series(is_float: bool) -> impl Strategy<Value = Vec<(i64, Histogram)>> {
    let layout = (
        prop_oneof![Just(-53), -4..=8],
        prop_oneof![Just(0.0), Just(0.001), (-243i32..=10).prop_map(|e| 2f64.powi(e))],
        prop::collection::btree_set(-300i32..300, 0..12),
        prop::collection::btree_set(-3i32..300, 0..4),
        prop::collection::btree_set(0u32..40_000_000, 0..6),
        any::<bool>(),
    );
    let number = move || {
        let whole = prop_oneof![0i64..5, 0i64..1 << 40].prop_map(|n| n as f64);
        (whole, any::<f64>()).prop_map(move |(whole, any)| if is_float { any } else { whole })
    };
    let sample = (0i64..100_000, prop::collection::vec(number(), 18), any::<f64>());
    (layout, prop::collection::vec(sample, 1..40)).prop_map(|(layout, samples)| {
        let (schema, zero_threshold, positive, negative, bounds, is_gauge) = layout;
        let bounds = bounds.into_iter().map(|b| f64::from(b) / 1000.0 - 1.0);
        let custom_bounds: Vec<f64> = if schema == -53 {
            bounds.collect()
        } else {
            Vec::new()
        };
        let mut time = 0;
        let histogram = |(step, numbers, sum): (i64, Vec<f64>, f64)| {
            time += step;
            let side = |indexes: &std::collections::BTreeSet<i32>, from: usize| {
                let numbers = numbers[from..].iter();
                indexes.iter().copied().zip(numbers.copied()).collect()
            };
            let histogram = Histogram {
                schema,
                zero_threshold,
                zero_count: numbers[0],
                count: numbers[1],
                sum,
                positive: side(&positive, 2),
                negative: side(&negative, 14),
                custom_bounds: custom_bounds.clone(),
                reset_hint: if is_gauge {
                    ResetHint::Gauge
                } else {
                    ResetHint::Unknown
                },
            };
            (time, histogram)
        };
        samples.into_iter().map(histogram).collect()
    })
}

fn as_samples(given: &[(i64, Histogram)], starts: Option<&[i64]>) -> Samples {
    let histogram = |(i, (timestamp_ms, histogram)): (usize, &(i64, Histogram))| HistogramSample {
        timestamp_ms: *timestamp_ms,
        start_timestamp_ms: starts.map_or(0, |s| s[i]),
        histogram: histogram.clone(),
    };
    Samples {
        histograms: given.iter().enumerate().map(histogram).collect(),
        ..Samples::default()
    }
}

proptest! {
    #[test]
    fn floats_come_back(samples in samples()) {
        let decoded = chunk::decode(1, &encode::xor(&samples)).unwrap();
        prop_assert_eq!(decoded.floats, samples);
    }
    #[test]
    fn floats_with_starts_come_back(
        (samples, starts) in samples().prop_flat_map(|s| { let n = s.len(); (Just(s), starts(n)) })
    ) {
        let decoded = chunk::decode(4, &encode::xor_with_start(&samples, &starts)).unwrap();
        prop_assert_eq!(decoded.floats, samples);
        prop_assert_eq!(decoded.starts, starts);
    }
    #[test]
    fn histograms_come_back(
        (given, starts) in histogram_series(false).prop_flat_map(|s| { let n = s.len(); (Just(s), starts(n)) })
    ) {
        let decoded = chunk::decode(2, &encode::histograms(&given, false, None)).unwrap();
        prop_assert_eq!(decoded, as_samples(&given, None));
        let decoded = chunk::decode(5, &encode::histograms(&given, false, Some(&starts))).unwrap();
        prop_assert_eq!(decoded, as_samples(&given, Some(&starts)));
    }
    #[test]
    fn float_histograms_come_back(
        (given, starts) in histogram_series(true).prop_flat_map(|s| { let n = s.len(); (Just(s), starts(n)) })
    ) {
        let decoded = chunk::decode(3, &encode::histograms(&given, true, None)).unwrap();
        prop_assert_eq!(decoded, as_samples(&given, None));
        let decoded = chunk::decode(6, &encode::histograms(&given, true, Some(&starts))).unwrap();
        prop_assert_eq!(decoded, as_samples(&given, Some(&starts)));
    }
    #[test]
    fn garbage_chunks_are_errors_or_few_samples(encoding in 0u8..8, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(samples) = chunk::decode(encoding, &bytes) {
            prop_assert!(samples.floats.len() + samples.histograms.len() <= bytes.len() * 8);
        }
    }
    #[test]
    fn garbage_files_are_errors(which in 0usize..3, bytes: Vec<u8>, keep in 0usize..8) {
        let (mut files, _) = mixed(2);
        let file = match which {
            0 => &mut files.index,
            1 => &mut files.chunks[0],
            _ => &mut files.chunks[1],
        };
        file.truncate(keep);
        file.extend(&bytes);
        let tombstones = open(&files, Some(&bytes));
        prop_assert!(tombstones.is_err());
        if let Ok(block) = open(&files, None) {
            read(block);
        }
    }
}

#[test]
fn histograms_that_unpack_to_too_much_are_refused() {
    // A hundred thousand bounds, and many samples that all hold them.
    let mut bits = encode::BitWriter::default();
    bits.bits(0, 8);
    bits.varbit_int(-53);
    bits.bits(0, 2);
    bits.varbit_uint(100_000);
    (0..100_000).for_each(|_| bits.varbit_uint(1));
    (0..20_000).for_each(|_| bits.bits(0, 1));
    let bytes = [&[0xFF, 0xFF, 0][..], &bits.bytes()].concat();
    assert!(chunk::decode(2, &bytes).unwrap_err().contains("64 MiB"));
}
