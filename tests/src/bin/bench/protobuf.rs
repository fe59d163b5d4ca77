//! Remote write 1.0 by hand: messages with room for a value and a time that are filled in later.

/// The value that says that a series has ended.
pub(crate) const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;
/// Bytes at the end of a series that hold value, tag and time.
pub(crate) const SAMPLE_TAIL: usize = 8 + 1 + TIME_BYTES;
/// A time whose varint is as long as those of the years 2004 to 2109.
pub(crate) const PLACEHOLDER_MS: i64 = 1 << 41;

const TIME_BYTES: usize = 6;

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8 & 0x7f) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The label pairs of a series, which are to be sorted by name.
pub(crate) fn labels<'a>(out: &mut Vec<u8>, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut pair = Vec::new();
    for (name, value) in labels {
        pair.clear();
        bytes_field(&mut pair, 1, name.as_bytes());
        bytes_field(&mut pair, 2, value.as_bytes());
        bytes_field(out, 1, &pair);
    }
}

/// Appends a series with encoded labels and one sample.
pub(crate) fn encoded_series(out: &mut Vec<u8>, labels: &[u8], value: f64, time_ms: i64) {
    let mut one = Vec::with_capacity(labels.len() + 32);
    one.extend_from_slice(labels);
    varint(&mut one, 2 << 3 | 2);
    varint(&mut one, 1 + SAMPLE_TAIL as u64);
    one.push(1 << 3 | 1);
    let at = one.len();
    one.resize(at + SAMPLE_TAIL, 0);
    fill(&mut one[at..], value, time_ms);
    bytes_field(out, 1, &one);
}

/// Appends a series with one sample; its last [`SAMPLE_TAIL`] bytes are what [`fill`] takes.
pub(crate) fn series<'a>(
    out: &mut Vec<u8>,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    value: f64,
    time_ms: i64,
) {
    let mut encoded = Vec::new();
    labels(&mut encoded, pairs);
    encoded_series(out, &encoded, value, time_ms);
}

/// Writes value and time over the first [`SAMPLE_TAIL`] bytes. The time is of the years 2004 to 2109.
pub(crate) fn fill(tail: &mut [u8], value: f64, time_ms: i64) {
    tail[..8].copy_from_slice(&value.to_le_bytes());
    tail[8] = 2 << 3;
    let mut rest = time_ms.cast_unsigned();
    debug_assert!(
        (1 << 35..1 << 42).contains(&rest),
        "{time_ms} does not fill its place"
    );
    for (i, byte) in tail[9..9 + TIME_BYTES].iter_mut().enumerate() {
        let more = if i + 1 < TIME_BYTES { 0x80 } else { 0 };
        *byte = (rest as u8 & 0x7f) | more;
        rest >>= 7;
    }
}

#[cfg(test)]
mod tests {
    use super::{STALE_BITS, series};

    /// Against the harness' other encoder, which writes every varint as short as it goes.
    #[test]
    fn a_series_is_what_the_other_encoder_writes() {
        let check = |value: f64, time_ms: i64| {
            let pairs = [("__name__", "up".to_owned()), ("job", "a".repeat(200))];
            let mut request = Vec::new();
            series(
                &mut request,
                pairs.iter().map(|(k, v)| (*k, v.as_str())),
                value,
                time_ms,
            );
            let other = tests::remote_write::body(&[(pairs.to_vec(), vec![(time_ms, value)])]).unwrap();
            let other = snap::raw::Decoder::new().decompress_vec(&other).unwrap();
            assert_eq!(request, other);
        };
        check(1.5, 1_795_132_800_001);
        check(0.0, 1 << 35);
        check(f64::from_bits(STALE_BITS), (1 << 42) - 1);
    }
}
