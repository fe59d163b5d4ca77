//! Records come back as they went in.

use super::*;
use model::Labels;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Points {
    id: SeriesId,
    samples: Vec<(i64, u64)>,
    histograms: Vec<(i64, u32)>,
    exemplars: Vec<i64>,
}

fn points() -> impl Strategy<Value = Points> {
    let time = prop_oneof![4 => 1000i64..1003, 1 => any::<i64>()];
    let id = prop_oneof![4 => 1u64..20, 1 => any::<u64>()];
    (
        id,
        prop::collection::vec((time.clone(), any::<u64>()), 0..4),
        prop::collection::vec((time.clone(), 0u32..9), 0..2),
        prop::collection::vec(time, 0..2),
    )
        .prop_map(|(id, samples, histograms, exemplars)| Points {
            id,
            samples,
            histograms,
            exemplars,
        })
}

fn batch(all: &[Points], with_starts: bool) -> Batch {
    let mut batch = Batch::default();
    for p in all {
        batch.entries.push(Entry {
            id: p.id,
            slot: 5,
            samples: p.samples.len() as u32,
            histograms: p.histograms.len() as u32,
            exemplars: p.exemplars.len() as u32,
        });
        for (timestamp_ms, bits) in &p.samples {
            batch.samples.push(Sample {
                timestamp_ms: *timestamp_ms,
                value: f64::from_bits(*bits),
            });
            if with_starts {
                batch.starts_ms.push(*bits as i64);
            }
        }
        for (timestamp_ms, n) in &p.histograms {
            batch.histograms.push(HistogramSample {
                timestamp_ms: *timestamp_ms,
                start_timestamp_ms: 3,
                histogram: model::metric::Histogram {
                    count: f64::from(*n),
                    positive: vec![(3, f64::from(*n))],
                    ..Default::default()
                },
            });
        }
        for timestamp_ms in &p.exemplars {
            batch.exemplars.push(Exemplar {
                labels: Labels::from_pairs([("trace_id", "ü")]),
                timestamp_ms: *timestamp_ms,
                value: 0.5,
            });
        }
    }
    batch
}

/// Whose each point is, in the order of the batch.
fn owners(batch: &Batch, count: impl Fn(&Entry) -> u32) -> Vec<SeriesId> {
    let of = |e: &Entry| std::iter::repeat_n(e.id, count(e) as usize);
    batch.entries.iter().flat_map(of).collect()
}

proptest! {
    #[test]
    fn batches_come_back(all in prop::collection::vec(points(), 0..8), with_starts: bool,
        origin: Option<(String, u64, String, u64)>, definitions: Vec<(u64, Vec<u8>)>, help: String) {
        let mut batch = batch(&all, with_starts);
        batch.origin = origin.map(|(agent, epoch, stream, sequence)| Origin { agent, epoch, stream, sequence });
        batch.definitions = definitions;
        batch.metadata = TYPES.iter().map(|t| MetricMetadata { family: "f".into(), metric_type: *t, help: help.clone(), unit: "s".into() }).collect();
        let back = decode(KIND, VERSION, &encode(&batch)).unwrap();
        prop_assert_eq!(owners(&back, |e| e.samples), owners(&batch, |e| e.samples));
        prop_assert_eq!(owners(&back, |e| e.histograms), owners(&batch, |e| e.histograms));
        prop_assert_eq!(owners(&back, |e| e.exemplars), owners(&batch, |e| e.exemplars));
        let rest = |b: Batch| Batch { entries: Vec::new(), ..b };
        prop_assert_eq!(rest(back), rest(batch));
    }
    #[test]
    fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
        let _ = decode(KIND, VERSION, &bytes);
    }
    #[test]
    fn a_flipped_byte_is_no_panic(all in prop::collection::vec(points(), 0..4), at: prop::sample::Index, byte: u8) {
        let mut bytes = encode(&batch(&all, false));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(KIND, VERSION, &bytes);
    }
}

#[test]
fn a_scrape_is_little_more_than_its_values() {
    let all: Vec<Points> = (0..1000)
        .map(|i| Points {
            id: 70_000 + i,
            samples: vec![(1_700_000_000_000, i)],
            histograms: Vec::new(),
            exemplars: Vec::new(),
        })
        .collect();
    let bytes = encode(&batch(&all, false)).len();
    assert!(bytes < 8 * 1000 + 32, "{bytes} bytes");
}

#[test]
fn a_record_of_another_version_is_refused() {
    let e = decode(KIND, VERSION + 1, &[]).unwrap_err();
    assert!(e.message().contains("version 3 is not known"), "{e}");
}
