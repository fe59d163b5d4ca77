//! RFC 3339 timestamps with up to nine digits of a second, to nanoseconds since the epoch and back.

use model::time::{NS_PER_MS, NS_PER_S};

/// Reads `2024-01-31T23:59:59.123456789Z` or with an offset such as `+02:00`. `None` when it is not a timestamp
/// or lies outside of what 64-bit nanoseconds can say (the years 1677 to 2262).
pub fn parse_ns(text: &[u8]) -> Option<i64> {
    let (seconds, nanos) = parse(text)?;
    seconds.checked_mul(NS_PER_S)?.checked_add(nanos)
}

/// As [`parse_ns`], to milliseconds, rounded down: any year of four digits.
pub fn parse_ms(text: &[u8]) -> Option<i64> {
    let (seconds, nanos) = parse(text)?;
    Some(seconds * 1000 + nanos / NS_PER_MS)
}

/// Seconds since the epoch, and nanoseconds after them.
fn parse(text: &[u8]) -> Option<(i64, i64)> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
    let (hour, minute, second) = (digits(text, 11, 2)?, digits(text, 14, 2)?, digits(text, 17, 2)?);
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let shaped = separators.iter().all(|&(i, b)| text[i] == b) && matches!(text[10], b'T' | b't' | b' ');
    // A leap second counts as the last second of its minute's successor, as everywhere on POSIX systems.
    if !shaped || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let (nanos, zone) = fraction(&text[19..])?;
    let offset_s = offset_seconds(zone)?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    Some((seconds, nanos))
}

/// Writes nanoseconds since the epoch in UTC with nine digits of a second.
pub fn format_ns(ns: i64) -> String {
    let (seconds, nanos) = (ns.div_euclid(NS_PER_S), ns.rem_euclid(NS_PER_S));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_of_days(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

fn digits(text: &[u8], start: usize, len: usize) -> Option<i64> {
    text.get(start..start + len)?.iter().try_fold(0i64, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
    })
}

/// The nanoseconds of `.123…`, and what follows. Digits beyond the ninth are cut off.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', tail)) = rest.split_first() else {
        return Some((0, rest));
    };
    let count = tail.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let kept = count.min(9);
    let scale = 10i64.pow(9 - u32::try_from(kept).ok()?);
    Some((digits(tail, 0, kept)? * scale, &tail[count..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (digits(zone, 1, 2)?, digits(zone, 4, 2)?);
            let seconds = hours * 3600 + minutes * 60;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap day
/// is the last day of its year, in eras of 400 years (146,097 days).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_since_epoch`].
fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_container_runtimes_write() {
        let check = |text: &str, ns: i64| assert_eq!(parse_ns(text.as_bytes()), Some(ns), "{text}");
        check("1970-01-01T00:00:00Z", 0);
        check("1970-01-01T00:00:00.000000001Z", 1);
        check("1969-12-31T23:59:59.999999999Z", -1);
        check("2000-02-29T00:00:00Z", 951_782_400_000_000_000);
        check("2024-07-01T10:00:00.1Z", 1_719_828_000_100_000_000);
        check("2024-07-01T12:00:00.123456789+02:00", 1_719_828_000_123_456_789);
        check(
            "2024-07-01t04:30:00.123456789123-05:30",
            1_719_828_000_123_456_789,
        );
        check("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000);
        check("2262-04-11T23:47:16.854775807Z", i64::MAX);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for bad in [
            "",
            "2024-07-01",
            "2024-07-01T10:00:00",
            "2024-07-01T10:00:00.Z",
            "2024-13-01T10:00:00Z",
            "2024-00-01T10:00:00Z",
            "2023-02-29T10:00:00Z",
            "1900-02-29T10:00:00Z",
            "2024-07-00T10:00:00Z",
            "2024-07-01T24:00:00Z",
            "2024-07-01T10:60:00Z",
            "2024-07-01T10:00:00+0200",
            "2024-07-01T10:00:00+24:00",
            "2024-07-01T10:00:00Zx",
            "2024_07-01T10:00:00Z",
            "+024-07-01T10:00:00Z",
            "2262-04-11T23:47:16.854775808Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(parse_ns(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn written_times_read_back(ns: i64) {
            // The first second that 64 bits can say begins before their range.
            let ns = ns.max(i64::MIN + NS_PER_S);
            prop_assert_eq!(parse_ns(format_ns(ns).as_bytes()), Some(ns));
        }
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            parse_ns(&bytes);
        }
        #[test]
        fn damaged_times_do_not_panic(ns: i64, at in 0usize..30, byte: u8) {
            let mut text = format_ns(ns).into_bytes();
            text[at] = byte;
            parse_ns(&text);
        }
    }
}
