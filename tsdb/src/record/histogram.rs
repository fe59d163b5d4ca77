//! Native histograms in a record of the log.

use crate::bytes::{Cursor, put_float, put_int, put_uint};
use model::Result;
use model::metric::{Histogram, ResetHint};

/// The hint in the two lowest bits of the flags. Bit 0 alone was the gauge flag before there were other hints.
pub(crate) fn hint_to_byte(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Gauge => 1,
        ResetHint::Reset => 2,
        ResetHint::NotReset => 3,
    }
}

/// Reads what [`hint_to_byte`] made.
pub(crate) fn hint_of_byte(flags: u8) -> ResetHint {
    match flags & 3 {
        0 => ResetHint::Unknown,
        1 => ResetHint::Gauge,
        2 => ResetHint::Reset,
        _ => ResetHint::NotReset,
    }
}

/// Appends a histogram without its time.
pub(crate) fn encode(into: &mut Vec<u8>, h: &Histogram) {
    into.push(hint_to_byte(h.reset_hint));
    put_int(into, i64::from(h.schema));
    for value in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        put_float(into, value);
    }
    for buckets in [&h.positive, &h.negative] {
        put_uint(into, buckets.len() as u64);
        let mut previous = 0;
        for (index, count) in buckets {
            put_int(into, i64::from(*index) - previous);
            previous = i64::from(*index);
            put_count(into, *count);
        }
    }
    put_uint(into, h.custom_bounds.len() as u64);
    h.custom_bounds.iter().for_each(|bound| put_float(into, *bound));
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Histogram> {
    let flags = cursor.byte()?;
    let schema = to_i32(cursor.int()?)?;
    let mut h = Histogram {
        schema,
        zero_threshold: cursor.float()?,
        zero_count: cursor.float()?,
        count: cursor.float()?,
        sum: cursor.float()?,
        reset_hint: hint_of_byte(flags),
        ..Histogram::default()
    };
    for buckets in [&mut h.positive, &mut h.negative] {
        let count = cursor.count(2)?;
        let mut index = 0i64;
        for _ in 0..count {
            index = index.wrapping_add(cursor.int()?);
            buckets.push((to_i32(index)?, count_of(cursor)?));
        }
    }
    let bounds = cursor.count(8)?;
    h.custom_bounds = (0..bounds).map(|_| cursor.float()).collect::<Result<_>>()?;
    Ok(h)
}

fn to_i32(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| crate::bytes::bad("a histogram's index is too large"))
}

/// Whole numbers, which counts mostly are, take one or two bytes; others a marker and eight.
fn put_count(into: &mut Vec<u8>, count: f64) {
    let whole = count as u64;
    if whole < 1 << 52 && (whole as f64).to_bits() == count.to_bits() {
        put_uint(into, whole + 1);
    } else {
        put_uint(into, 0);
        put_float(into, count);
    }
}
fn count_of(cursor: &mut Cursor<'_>) -> Result<f64> {
    match cursor.uint()? {
        0 => cursor.float(),
        whole => Ok((whole - 1) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![
            (0u64..1000).prop_map(|n| n as f64),
            any::<f64>().prop_filter("NaN does not equal itself", |f| !f.is_nan()),
            Just(-0.0)
        ]
    }

    proptest! {
        #[test]
        fn histograms_come_back(schema in -4i32..9, sum in float(), positive in prop::collection::vec((any::<i32>(), float()), 0..6),
            custom_bounds in prop::collection::vec(float(), 0..4), reset_hint in prop::sample::select(vec![ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge])) {
            let h = Histogram { schema, sum, count: sum, negative: positive.clone(), positive, custom_bounds, reset_hint, ..Histogram::default() };
            let mut bytes = Vec::new();
            encode(&mut bytes, &h);
            prop_assert_eq!(decode(&mut Cursor::new(&bytes)).unwrap(), h);
        }
    }
}
