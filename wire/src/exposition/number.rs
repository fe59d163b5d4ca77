//! Numbers as Go reads and writes them.

/// The NaN that Prometheus stores for every NaN that it reads, so that none is taken for a staleness marker.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// A float as Go's `strconv.ParseFloat` reads it, without hexadecimal and underscores.
pub(super) fn float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    // Rust takes a signed NaN; Go does not.
    if matches!(bytes, [b'+' | b'-', b'n' | b'N', ..]) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        return Some(f64::from_bits(NORMAL_NAN_BITS));
    }
    // Beyond the range of a double Go says so, Rust says infinity.
    if value.is_infinite() && !bytes.iter().any(|b| matches!(b, b'n' | b'N')) {
        return None;
    }
    Some(value)
}

/// A timestamp of Prometheus text: whole milliseconds.
pub(super) fn millis(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// A timestamp of OpenMetrics: seconds, in milliseconds, cut off towards zero and at the ends of 64 bits.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let ms = float(text)? * 1000.0;
    ms.is_finite().then_some(ms as i64)
}

/// A histogram's bound or a summary's quantile in the one form that Prometheus stores: as Go's `%g` with the
/// shortest digits, `.0` after whole numbers.
pub fn format_bound(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a number as exponent");
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut text = format!("{value}");
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}
