//! Histograms come back, bit by bit, and usual ones become small.

use super::*;
use proptest::prelude::*;

/// Everything that a sample has, lengths in front of what varies.
fn bits(sample: &HistogramSample) -> Vec<u64> {
    let h = &sample.histogram;
    let mut bits = vec![sample.timestamp_ms as u64, sample.start_timestamp_ms as u64];
    bits.extend([h.reset_hint as u64, h.schema as u64]);
    bits.extend([h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits));
    for buckets in [&h.positive, &h.negative] {
        bits.push(buckets.len() as u64);
        bits.extend(
            buckets
                .iter()
                .flat_map(|(index, count)| [*index as u64, count.to_bits()]),
        );
    }
    bits.extend(h.custom_bounds.iter().map(|bound| bound.to_bits()));
    bits
}

fn round_trip(samples: &[HistogramSample]) -> usize {
    let mut size = 0;
    for effort in [Effort::Flush, Effort::Merge] {
        let mut bytes = vec![];
        encode(&mut bytes, samples, effort).unwrap();
        let mut back = vec![];
        decode(&bytes, samples.len(), &mut back).unwrap();
        let all_bits = |samples: &[HistogramSample]| samples.iter().map(bits).collect::<Vec<_>>();
        assert_eq!(all_bits(&back), all_bits(samples));
        size = bytes.len();
    }
    size
}

fn any_bits() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0u64..1000).prop_map(|n| n as f64),
        any::<u64>().prop_map(f64::from_bits),
        Just(-0.0),
        Just(model::metric::stale_nan()),
    ]
}

prop_compose! {
    fn any_sample()(
        times in any::<(i64, i64)>(),
        floats in prop::array::uniform4(any_bits()),
        positive in prop::collection::vec((prop_oneof![-3i32..6, any::<i32>()], any_bits()), 0..6),
        negative in prop::collection::vec((-2i32..3, any_bits()), 0..4),
        custom_bounds in prop::collection::vec(any_bits(), 0..3),
        schema in prop_oneof![Just(-53), -4i32..9, any::<i32>()],
        reset_hint in hints(),
    ) -> HistogramSample {
        let [zero_threshold, zero_count, count, sum] = floats;
        HistogramSample {
            timestamp_ms: times.0,
            start_timestamp_ms: times.1,
            histogram: Histogram { schema, zero_threshold, zero_count, count, sum, positive, negative, custom_bounds, reset_hint },
        }
    }
}

/// A latency histogram that is scraped every 15 s; a bucket more appears now and then.
pub(in crate::codec) fn scraped(count: i64) -> Vec<HistogramSample> {
    let mut positive: Vec<(i32, f64)> = (-5..25).map(|i| (i, 0.0)).collect();
    let mut sum = 0.0;
    (0..count)
        .map(|at| {
            for (index, count) in &mut positive {
                let noise = (at * 31 + i64::from(*index) * 17) * 0x9e37_79b9 % 13;
                *count += (noise + 200 / i64::from(index.unsigned_abs() + 3)) as f64;
                sum += *count / 64.0;
            }
            if at % 150 == 149 {
                positive.push((25 + (at / 150) as i32 * 2, 1.0));
            }
            HistogramSample {
                timestamp_ms: 1_795_132_807_123 + at * 15_000,
                start_timestamp_ms: 1_795_132_000_000,
                histogram: Histogram {
                    schema: 3,
                    zero_threshold: 2.938735877055719e-39,
                    count: positive.iter().map(|(_, count)| count).sum(),
                    sum,
                    positive: positive.clone(),
                    ..Histogram::default()
                },
            }
        })
        .collect()
}

#[test]
fn usual_histograms_become_small() {
    let size = round_trip(&scraped(480));
    let raw = 480 * 31 * 8;
    assert!(size * 11 < raw, "{size} of {raw} bytes");
}

#[test]
fn too_many_buckets_are_refused() {
    let mut samples = scraped(1);
    samples[0].histogram.custom_bounds = vec![0.5; MAX_BUCKETS];
    let error = encode(&mut vec![], &samples, Effort::Flush).unwrap_err();
    assert!(error.message().contains("buckets"), "{error}");
}

/// A column with one layout, of which each sample's index is the same.
fn with_layout(histogram: Histogram, index: i64, count: usize) -> Vec<u8> {
    let sample = HistogramSample {
        timestamp_ms: 0,
        start_timestamp_ms: 0,
        histogram,
    };
    let (layouts, _) = layout::of(&[sample]);
    let mut bytes = vec![0, 1];
    layouts[0].write(&mut bytes);
    let mut put = |encode: fn(&mut Vec<u8>, &[i64], Effort), number| {
        let mut column = vec![];
        encode(&mut column, &vec![number; count], Effort::Merge);
        put_bytes(&mut bytes, &column);
    };
    put(times::encode, 0);
    put(ints::encode, 0);
    put(ints::encode, index);
    bytes
}

#[test]
fn many_samples_of_a_wide_layout_ask_for_no_memory() {
    let wide = Histogram {
        positive: (0..1 << 19).map(|index| (index, 0.0)).collect(),
        ..Histogram::default()
    };
    let error = decode(&with_layout(wide, 0, 1 << 16), 1 << 16, &mut vec![]).unwrap_err();
    assert!(error.message().contains("too many buckets"), "{error}");
}

#[test]
fn a_layout_that_is_not_there_is_an_error() {
    for index in [1, -1, i64::MAX] {
        let bytes = with_layout(Histogram::default(), index, 3);
        let error = decode(&bytes, 3, &mut vec![]).unwrap_err();
        assert!(error.message().contains("layout is not there"), "{error}");
    }
}

fn hints() -> impl Strategy<Value = model::metric::ResetHint> {
    use model::metric::ResetHint::{Gauge, NotReset, Reset, Unknown};
    prop::sample::select(vec![Unknown, Reset, NotReset, Gauge])
}

proptest! {
    #[test]
    fn any_histograms_come_back(samples in prop::collection::vec(any_sample(), 0..8), repeats in 1usize..40) {
        let repeated: Vec<_> = samples.iter().flat_map(|s| std::iter::repeat_n(s.clone(), repeats)).collect();
        round_trip(&samples);
        round_trip(&repeated);
    }
    #[test]
    fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, count in 0usize..5000) {
        let _ = decode(&bytes, count, &mut vec![]);
    }
    #[test]
    fn a_flipped_bit_makes_no_panic(samples in prop::collection::vec(any_sample(), 1..8), flip in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = vec![];
        encode(&mut bytes, &samples, Effort::Merge).unwrap();
        *flip.get_mut(&mut bytes) ^= 1 << bit;
        let _ = decode(&bytes, samples.len(), &mut vec![]);
    }
}
