//! The seeds of the fuzzer: they are what is written today, and each of them gets past the first checks.

use super::*;
use crate::record::{Batch, Entry};
use model::metric::{Histogram, HistogramSample, stale_nan};
use model::{Exemplar, MetricMetadata, MetricType, Origin, Sample};
use std::path::PathBuf;
use storage::PartReader;
use zstd::zstd_safe::find_frame_compressed_size;

/// A kept file's section.
fn section(file: &str, kind: PartKind, name: &str) -> Vec<u8> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    let fs = FaultyFs::new(1);
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let path = Path::new(DIR).join("kept");
    fs.replace(&path, &std::fs::read(kept).unwrap()).unwrap();
    PartReader::open(&fs, &path, kind).unwrap().read(name).unwrap()
}

fn joined(sections: &[Vec<u8>]) -> Vec<u8> {
    let (_, but_last) = sections.split_last().unwrap();
    let lengths = but_last.iter().map(|s| u16::try_from(s.len()).unwrap());
    let mut all: Vec<u8> = lengths.flat_map(u16::to_le_bytes).collect();
    all.extend(sections.concat());
    all
}

fn histogram(at_ms: i64, count: u32) -> HistogramSample {
    let histogram = Histogram {
        count: f64::from(count),
        sum: 0.5,
        positive: vec![(3, f64::from(count))],
        ..Histogram::default()
    };
    HistogramSample {
        timestamp_ms: at_ms,
        start_timestamp_ms: 3,
        histogram,
    }
}

fn columns() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (effort, name) in [(Effort::Flush, "flush"), (Effort::Merge, "merge")] {
        let code = if effort == Effort::Flush { 0 } else { 6 };
        let mut add = |kind: u8, what: &str, count: usize, bytes: &[u8]| {
            let mut seed = vec![kind + code];
            seed.extend(u16::try_from(count).unwrap().to_le_bytes());
            seed.extend(bytes);
            all.push((format!("seed-{what}-{name}"), seed));
        };
        let counter: Vec<f64> = (0..700).map(|i| f64::from(i * 3 + i % 7)).collect();
        let gauge: Vec<f64> = (0..90).map(|i| f64::from(i * 37 % 100) / 100.0).collect();
        let odd = [
            0.1,
            f64::NAN,
            stale_nan(),
            -0.0,
            f64::INFINITY,
            1e300,
            3.0,
            4.0,
            5.0,
        ];
        for (what, column) in [("counter", &counter[..]), ("gauge", &gauge), ("odd", &odd)] {
            let mut bytes = Vec::new();
            values::encode(&mut bytes, column, effort);
            add(0, what, column.len(), &bytes);
        }
        let due: Vec<i64> = (0..300).map(|i| DAY + (i + i / 90) * 15_000 + i % 3).collect();
        let mut bytes = Vec::new();
        times::encode(&mut bytes, &due, effort);
        add(1, "times", due.len(), &bytes);
        let samples: Vec<_> = (0..40).map(|i| histogram(i * 15_000, i as u32 * 3)).collect();
        bytes.clear();
        histograms::encode(&mut bytes, &samples, effort).unwrap();
        add(2, "histograms", samples.len(), &bytes);
    }
    all
}

fn batch() -> Batch {
    let entry = |id, samples, histograms, exemplars| Entry {
        id,
        slot: crate::directory::NO_SLOT,
        samples,
        histograms,
        exemplars,
    };
    let mut label_bytes = Vec::new();
    model::raw::put_labels(&mut label_bytes, [("__name__", "up"), ("job", "a")]);
    let samples: Vec<Sample> = (0..6)
        .map(|i| Sample {
            timestamp_ms: DAY + i / 3 * 15_000,
            value: i as f64 / 2.0,
        })
        .collect();
    Batch {
        origin: Some(Origin {
            agent: "node".into(),
            epoch: 1,
            stream: "metrics".into(),
            sequence: 9,
        }),
        definitions: vec![(4, label_bytes.clone()), (9, label_bytes)],
        entries: vec![entry(4, 3, 0, 1), entry(9, 3, 2, 0)],
        starts_ms: vec![DAY; samples.len()],
        samples,
        histograms: vec![histogram(5, 1), histogram(6, 2)],
        exemplars: vec![Exemplar {
            labels: Labels::from_pairs([("trace_id", "abc")]),
            timestamp_ms: DAY,
            value: 1.0,
        }],
        metadata: vec![MetricMetadata {
            family: "up".into(),
            metric_type: MetricType::Gauge,
            help: "Whether it is up.".into(),
            unit: String::new(),
        }],
    }
}

/// The pages of the kept segment, unpacked: values, postings, series, and the copy of the first.
fn catalog_pages(pages: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut all) = (pages, Vec::new());
    while !rest.is_empty() {
        let (frame, after) = rest.split_at(find_frame_compressed_size(rest).unwrap());
        all.push(zstd::bulk::decompress(frame, 1 << 20).unwrap());
        rest = after;
    }
    assert_eq!((all.len(), &all[0]), (4, &all[3]));
    all
}

fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all: Vec<_> = columns()
        .into_iter()
        .map(|(name, bytes)| ("tsdb_codec", name, bytes))
        .collect();
    for name in ["flushed", "merged"] {
        let sections = ["data", "columns", "directory", "index"]
            .map(|s| section(&format!("samples-1/{name}.part"), samples::KIND, s));
        all.push(("tsdb_samples", format!("seed-{name}"), joined(&sections)));
    }
    let of_catalog = |name| section("catalog-1/00000000000000000007.part", catalog::KIND, name);
    let (pages, index) = (of_catalog("pages"), of_catalog("index"));
    let unpacked = catalog_pages(&pages);
    let pairs = unpacked_pairs(&index);
    for (name, head, bytes) in [
        ("segment", vec![0], joined(&[pages, index.clone()])),
        ("index", vec![1], crate::pack::unpack(&index).unwrap()),
        ("values", vec![2, pairs], unpacked[0].clone()),
        ("series", vec![3], unpacked[2].clone()),
        ("list", vec![4], unpacked[1][..4].to_vec()),
    ] {
        all.push(("tsdb_catalog", format!("seed-{name}"), [head, bytes].concat()));
    }
    let mut ids = Vec::new();
    let set: IdSet = (1..=100).chain([105, 1 << 40]).collect();
    set.encode(&mut ids);
    all.push(("tsdb_tombstone", "seed-ids".into(), ids));
    all.push(("tsdb_record", "seed-batch".into(), record::encode(&batch())));
    all
}

/// How many pairs the first values page of an index has: behind four numbers and the count of pages, its place.
fn unpacked_pairs(index: &[u8]) -> u8 {
    let plain = crate::pack::unpack(index).unwrap();
    let mut cursor = Cursor::new(&plain);
    let numbers: Vec<u64> = (0..9).map(|_| cursor.uint().unwrap()).collect();
    u8::try_from(numbers[8]).unwrap()
}

/// To write the seeds anew after a format has changed: `BINNACLE_WRITE_KEPT=1 cargo test -p tsdb seeds_are`.
#[test]
fn seeds_are_what_is_written_today() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, name, bytes) in seeds() {
        let path: PathBuf = corpus.join(target).join(name);
        if std::env::var_os("BINNACLE_WRITE_KEPT").is_some() {
            std::fs::create_dir_all(corpus.join(target)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "{} is old",
            path.display()
        );
    }
}

#[test]
fn seeds_are_read_to_their_end() {
    for (target, name, bytes) in seeds() {
        let is_read = match target {
            "tsdb_samples" => read_samples(&bytes).unwrap() > 500,
            // All 91, twice 15 with the code, and the others.
            "tsdb_catalog" if name == "seed-segment" => read_segment(&bytes[1..]) == Some(91 + 15 + 15 + 76),
            "tsdb_catalog" => true,
            "tsdb_tombstone" => IdSet::decode(&mut Cursor::new(&bytes)).unwrap().len() == 102,
            "tsdb_record" => record::decode(record::KIND, record::VERSION, &bytes).is_ok(),
            _ => {
                let count = usize::from(u16::from_le_bytes([bytes[1], bytes[2]]));
                match bytes[0] % 3 {
                    0 => values::decode(&bytes[3..], count, 0..count, &mut Vec::new()).is_ok(),
                    1 => times::decode(&bytes[3..], count, &mut Vec::new()).is_ok(),
                    _ => histograms::decode(&bytes[3..], count, &mut Vec::new()).is_ok(),
                }
            }
        };
        assert!(is_read, "{target} {name}");
    }
}
