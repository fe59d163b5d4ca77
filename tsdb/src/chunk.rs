//! Chunks: runs of float samples of one series as bytes. Bit-exact for every pattern of bits.
//!
//! A chunk is a column of timestamps and a column of values, each behind a byte that names its encoding; the
//! shortest that applies is taken. `docs/formats/tsdb.md` lists them.

use crate::bytes::{Cursor, bad, put_bytes, put_int};
use model::Result;
use pco::ChunkConfig;
use pco::data_types::Number;

/// Samples of one chunk at most. Longer runs pack better, shorter ones waste less when little is wanted.
pub(crate) const MAX_SAMPLES: usize = 2048;
/// Below this many samples the fixed cost of pco outweighs what it saves.
const MIN_PCO: usize = 24;

const TIMES_REGULAR: u8 = 0;
const TIMES_DELTAS: u8 = 1;
const TIMES_PCO: u8 = 2;
const VALUES_CONSTANT: u8 = 0;
const VALUES_RAW: u8 = 1;
const VALUES_PCO: u8 = 2;

/// How much work packing may be: flushes want to be quick, merges small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Flush,
    Merge,
}

impl Effort {
    fn config(self) -> ChunkConfig {
        let level = match self {
            Self::Flush => 4,
            Self::Merge => 8,
        };
        ChunkConfig::default().with_compression_level(level)
    }
}

/// Appends a chunk. Timestamps ascend strictly; both columns have the same length, at least 1 and at most
/// [`MAX_SAMPLES`].
pub(crate) fn encode(into: &mut Vec<u8>, times: &[i64], values: &[f64], effort: Effort) {
    let mut packed_times = Vec::with_capacity(64);
    encode_times(&mut packed_times, times, effort);
    put_bytes(into, &packed_times);
    encode_values(into, values, effort);
}

fn encode_times(into: &mut Vec<u8>, times: &[i64], effort: Effort) {
    let step = times.get(1).map_or(0, |t| t.wrapping_sub(times[0]));
    if times.windows(2).all(|w| w[1].wrapping_sub(w[0]) == step) {
        into.push(TIMES_REGULAR);
        put_int(into, times[0]);
        put_int(into, step);
        return;
    }
    let start = into.len();
    into.push(TIMES_DELTAS);
    put_int(into, times[0]);
    let mut previous_delta = 0i64;
    for w in times.windows(2) {
        let delta = w[1].wrapping_sub(w[0]);
        put_int(into, delta.wrapping_sub(previous_delta));
        previous_delta = delta;
    }
    if times.len() < MIN_PCO {
        return;
    }
    if let Some(packed) = pack(times, effort).filter(|p| p.len() + 1 < into.len() - start) {
        into.truncate(start);
        into.push(TIMES_PCO);
        into.extend_from_slice(&packed);
    }
}

fn encode_values(into: &mut Vec<u8>, values: &[f64], effort: Effort) {
    if values.iter().all(|v| v.to_bits() == values[0].to_bits()) {
        into.push(VALUES_CONSTANT);
        into.extend_from_slice(&values[0].to_bits().to_le_bytes());
        return;
    }
    if values.len() >= MIN_PCO
        && let Some(packed) = pack(values, effort).filter(|p| p.len() < values.len() * 8)
    {
        into.push(VALUES_PCO);
        into.extend_from_slice(&packed);
        return;
    }
    into.push(VALUES_RAW);
    values
        .iter()
        .for_each(|v| into.extend_from_slice(&v.to_bits().to_le_bytes()));
}

fn pack<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    // An error here means that pco does not take these numbers; the plain encoding does.
    pco::standalone::simple_compress(numbers, &effort.config()).ok()
}

/// Reads a chunk of `count` samples; the columns are appended.
pub(crate) fn decode(bytes: &[u8], count: usize, times: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<()> {
    if count > MAX_SAMPLES {
        return Err(bad("a chunk has too many samples"));
    }
    let mut cursor = Cursor::new(bytes);
    let times_len = cursor.count(1)?;
    decode_times(cursor.take(times_len)?, count, times)?;
    decode_values(cursor, count, values)
}

fn decode_times(bytes: &[u8], count: usize, times: &mut Vec<i64>) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    match cursor.byte()? {
        TIMES_REGULAR => {
            let (start, step) = (cursor.int()?, cursor.int()?);
            times.extend((0..count as i64).map(|i| start.wrapping_add(step.wrapping_mul(i))));
            Ok(())
        }
        TIMES_DELTAS => {
            let (mut time, mut delta) = (cursor.int()?, 0i64);
            times.push(time);
            for _ in 1..count {
                delta = delta.wrapping_add(cursor.int()?);
                time = time.wrapping_add(delta);
                times.push(time);
            }
            Ok(())
        }
        TIMES_PCO => unpack(&bytes[1..], count, times),
        other => Err(bad(&format!("time encoding {other} is not known"))),
    }
}

fn decode_values(mut cursor: Cursor<'_>, count: usize, values: &mut Vec<f64>) -> Result<()> {
    match cursor.byte()? {
        VALUES_CONSTANT => {
            let value = cursor.float()?;
            values.resize(values.len() + count, value);
            Ok(())
        }
        VALUES_RAW => {
            for _ in 0..count {
                values.push(cursor.float()?);
            }
            Ok(())
        }
        VALUES_PCO => unpack(cursor.rest(), count, values),
        other => Err(bad(&format!("value encoding {other} is not known"))),
    }
}

fn unpack<T: Number + Default>(bytes: &[u8], count: usize, into: &mut Vec<T>) -> Result<()> {
    let start = into.len();
    into.resize(start + count, T::default());
    let progress = pco::standalone::simple_decompress_into(bytes, &mut into[start..])
        .map_err(|e| bad(&format!("pco: {e}")))?;
    if progress.n_processed != count || !progress.finished {
        return Err(bad("a chunk has another number of samples than the index says"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(times: &[i64], values: &[f64]) -> usize {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let mut sizes = Vec::new();
        for effort in [Effort::Flush, Effort::Merge] {
            let mut bytes = Vec::new();
            encode(&mut bytes, times, values, effort);
            let (mut t, mut v) = (vec![7], vec![7.0]);
            decode(&bytes, times.len(), &mut t, &mut v).unwrap();
            assert_eq!((&t[1..], bits(&v[1..])), (times, bits(values)));
            sizes.push(bytes.len());
        }
        sizes[1]
    }

    #[test]
    fn usual_series_become_small() {
        let check = |times: Vec<i64>, value: &dyn Fn(i64) -> f64, at_most: usize| {
            let values: Vec<f64> = (0..times.len() as i64).map(value).collect();
            let size = round_trip(&times, &values);
            assert!(size <= at_most, "{size} bytes for {} samples", times.len());
        };
        let regular: Vec<i64> = (0..480).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        let jitter: Vec<i64> = regular
            .iter()
            .enumerate()
            .map(|(i, t)| t + (i as i64 * 7919) % 5)
            .collect();
        check(regular.clone(), &|_| 42.0, 20);
        check(regular.clone(), &|i| (i * 15) as f64, 100);
        check(regular.clone(), &|i| ((i * i * 31) % 1000) as f64 / 10.0, 900);
        check(jitter, &|_| 0.5, 350);
        check(vec![5], &|_| 1.0, 13);
    }

    #[test]
    fn every_pattern_of_bits_comes_back() {
        let odd = [
            model::metric::stale_nan(),
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7ff8_dead_beef_0001),
            -0.0,
            0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE / 2.0,
            f64::MAX,
            0.1,
            1e15,
        ];
        let values: Vec<f64> = (0..480)
            .map(|i| {
                if i % 3 == 0 {
                    odd[i / 3 % odd.len()]
                } else {
                    i as f64 * 0.1
                }
            })
            .collect();
        round_trip(&(0..480).collect::<Vec<_>>(), &values);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_chunk_comes_back(times in prop::collection::btree_set(any::<i64>(), 1..200), bits in prop::collection::vec(any::<u64>(), 200), decimals: bool) {
            let times: Vec<i64> = times.into_iter().collect();
            let value = |b: &u64| if decimals { (b % 100_000) as f64 / 100.0 } else { f64::from_bits(*b) };
            let values: Vec<f64> = bits[..times.len()].iter().map(value).collect();
            round_trip(&times, &values);
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, count in 0usize..5000) {
            let _ = decode(&bytes, count, &mut Vec::new(), &mut Vec::new());
        }
    }
}
