//! Points of time as text: RFC 3339 for JSON, and Go's form for templates.

const DAY_MS: i64 = 86_400_000;

/// The zero time of Go, which Alertmanager sends for an end that is not known.
pub(crate) const ZERO: &str = "0001-01-01T00:00:00Z";

/// `2025-11-21T10:13:20.5Z`; no fraction when it is zero.
pub(crate) fn rfc3339(ms: i64) -> String {
    let (date, clock) = parts(ms);
    format!("{date}T{clock}Z")
}

/// `2025-11-21 10:13:20.5 +0000 UTC`, as Go prints a time.
pub(crate) fn go_text(ms: i64) -> String {
    let (date, clock) = parts(ms);
    format!("{date} {clock} +0000 UTC")
}

fn parts(ms: i64) -> (String, String) {
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (h, m, s) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    let fraction = match of_day % 1000 {
        0 => String::new(),
        milli => format!(".{milli:03}").trim_end_matches('0').to_owned(),
    };
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{h:02}:{m:02}:{s:02}{fraction}"),
    )
}

/// Howard Hinnant's `civil_from_days` (chrono-Compatible Low-Level Date Algorithms).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_go_writes_them() {
        let check = |ms: i64, text: &str| assert_eq!(rfc3339(ms), text);
        check(0, "1970-01-01T00:00:00Z");
        check(1_763_720_000_500, "2025-11-21T10:13:20.5Z");
        check(1_709_164_800_001, "2024-02-29T00:00:00.001Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        assert_eq!(go_text(1_435_065_584_128), "2015-06-23 13:19:44.128 +0000 UTC");
    }
}
