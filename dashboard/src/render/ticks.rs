//! Where the axes have their marks: round values, round times in UTC.

use super::Unit;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The value axis: its ends and its marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValueAxis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The distance between marks.
    pub(crate) step: f64,
    pub(crate) marks: Vec<f64>,
}

/// An axis that holds the values from `low` to `high` with about `count` marks. The lower end falls on a mark.
pub(crate) fn value_axis(low: f64, high: f64, unit: Unit, count: usize) -> ValueAxis {
    let (mut low, mut high) = widen(low, high);
    let step = round_step((high - low) / count.max(1) as f64, unit);
    low = (low / step + 1e-9).floor() * step;
    // The top ends on a mark when that is near; else a little room above the highest value is enough.
    high = ((high / step - 1e-9).ceil() * step).min(high + (high - low) * 0.06);
    let n = ((high - low) / step + 1e-9).floor() as usize;
    ValueAxis {
        low,
        high,
        step,
        marks: (0..=n.min(100)).map(|i| low + step * i as f64).collect(),
    }
}

/// Keeps zero in sight where it says something, and gives equal values room.
fn widen(low: f64, high: f64) -> (f64, f64) {
    let low = if low > 0.0 && low < high * 0.6 { 0.0 } else { low };
    let high = if high < 0.0 && high > low * 0.6 { 0.0 } else { high };
    let smallest = high.abs().max(low.abs()) * 1e-9;
    if high - low > smallest {
        return (low, high);
    }
    if high == 0.0 {
        return (0.0, 1.0);
    }
    if high > 0.0 {
        (0.0, high * 1.25)
    } else {
        (low * 1.25, 0.0)
    }
}

fn round_step(rough: f64, unit: Unit) -> f64 {
    let decimal = |rough: f64| {
        let power = 10f64.powf(rough.log10().floor());
        let lead = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .find(|l| l * power >= rough * 0.999);
        lead.unwrap_or(10.0) * power
    };
    match unit {
        Unit::Bytes | Unit::BytesPerSecond if rough >= 1.0 => {
            let power = 1024f64.powf((rough.log2() / 10.0).floor());
            let lead = rough / power;
            // 1000 to 1023 of a unit round up to one of the next.
            2f64.powf((lead * 0.999).log2().ceil()).max(1.0) * power
        }
        Unit::Seconds if rough > 1.0 => [
            2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0,
            21_600.0, 43_200.0, 86_400.0,
        ]
        .into_iter()
        .find(|s| *s >= rough * 0.999)
        .unwrap_or_else(|| decimal(rough / 86_400.0) * 86_400.0),
        _ => decimal(rough),
    }
}

/// One mark of the time axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeMark {
    pub(crate) at_ms: i64,
    pub(crate) label: String,
    /// A new day among hours, a new year among days.
    pub(crate) strong: bool,
}

/// Marks at round times in UTC, at most about `count` of them.
pub(crate) fn time_marks(start_ms: i64, end_ms: i64, count: usize) -> Vec<TimeMark> {
    const STEPS_MS: [i64; 31] = [
        1,
        2,
        5,
        10,
        20,
        50,
        100,
        200,
        500,
        SECOND_MS,
        2 * SECOND_MS,
        5 * SECOND_MS,
        10 * SECOND_MS,
        15 * SECOND_MS,
        30 * SECOND_MS,
        MINUTE_MS,
        2 * MINUTE_MS,
        5 * MINUTE_MS,
        10 * MINUTE_MS,
        15 * MINUTE_MS,
        30 * MINUTE_MS,
        HOUR_MS,
        2 * HOUR_MS,
        3 * HOUR_MS,
        6 * HOUR_MS,
        12 * HOUR_MS,
        DAY_MS,
        2 * DAY_MS,
        5 * DAY_MS,
        7 * DAY_MS,
        14 * DAY_MS,
    ];
    let count = i64::try_from(count.max(1)).unwrap_or(1);
    let rough = (end_ms.saturating_sub(start_ms).saturating_add(count - 1) / count).max(1);
    match STEPS_MS.into_iter().find(|s| *s >= rough) {
        Some(step) => even_marks(start_ms, end_ms, step),
        None => month_marks(start_ms, end_ms, rough),
    }
}

fn even_marks(start_ms: i64, end_ms: i64, step: i64) -> Vec<TimeMark> {
    let first = start_ms.div_euclid(step).saturating_mul(step);
    (0..1000)
        .map_while(|i| first.checked_add(i * step).filter(|t| *t <= end_ms))
        .filter(|t| *t >= start_ms)
        .map(|at_ms| {
            let midnight = at_ms.rem_euclid(DAY_MS) == 0;
            let date = Date::of_ms(at_ms);
            let label = match () {
                () if midnight => format!("{} {}", date.month_name(), date.day),
                () if step < SECOND_MS => clock_text(at_ms, 3),
                () if step < MINUTE_MS => clock_text(at_ms, 2),
                () => clock_text(at_ms, 1),
            };
            let strong = midnight && (step < DAY_MS || (date.month, date.day) == (1, 1));
            TimeMark { at_ms, label, strong }
        })
        .collect()
}

fn month_marks(start_ms: i64, end_ms: i64, rough_ms: i64) -> Vec<TimeMark> {
    let months_each = [1, 2, 3, 6, 12, 24, 60, 120, 600, 1200, 12_000]
        .into_iter()
        .find(|m| m * 30 * DAY_MS >= rough_ms)
        .unwrap_or(120_000);
    let start = Date::of_ms(start_ms);
    let first = (start.year * 12 + i64::from(start.month) - 1).div_euclid(months_each) * months_each;
    (0..1000)
        .map(|i| first + i * months_each)
        .map(|month| (month, Date::first_of_month(month)))
        .take_while(|(_, at_ms)| *at_ms <= end_ms)
        .filter(|(_, at_ms)| *at_ms >= start_ms)
        .map(|(month, at_ms)| {
            let (year, name) = (month.div_euclid(12), MONTHS[month.rem_euclid(12) as usize]);
            let label = if months_each >= 12 {
                year.to_string()
            } else {
                format!("{name} {year}")
            };
            TimeMark {
                at_ms,
                label,
                strong: months_each < 12 && month.rem_euclid(12) == 0,
            }
        })
        .collect()
}

/// `HH:MM`, with seconds (2) and milliseconds (3) when more parts are asked for.
fn clock_text(ms: i64, parts: u8) -> String {
    let of_day = ms.rem_euclid(DAY_MS);
    let (h, m) = (of_day / HOUR_MS, of_day / MINUTE_MS % 60);
    let (s, milli) = (of_day / SECOND_MS % 60, of_day % SECOND_MS);
    match parts {
        1 => format!("{h:02}:{m:02}"),
        2 => format!("{h:02}:{m:02}:{s:02}"),
        _ => format!("{h:02}:{m:02}:{s:02}.{milli:03}"),
    }
}

/// The time range in words for the heading: `2025-11-21 10:00 – 11:00 UTC`.
pub(crate) fn range_text(start_ms: i64, end_ms: i64) -> String {
    let (from, to) = (Date::of_ms(start_ms), Date::of_ms(end_ms));
    let parts = if end_ms.saturating_sub(start_ms) < 10 * MINUTE_MS {
        2
    } else {
        1
    };
    let clock = |ms| clock_text(ms, parts);
    let until = if from == to {
        clock(end_ms)
    } else {
        format!("{to} {}", clock(end_ms))
    };
    format!("{from} {} – {until} UTC", clock(start_ms))
}

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    month: u8,
    day: u8,
}

impl Date {
    /// Howard Hinnant's `civil_from_days` (chrono-Compatible Low-Level Date Algorithms).
    fn of_ms(ms: i64) -> Self {
        let z = ms.div_euclid(DAY_MS) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let mp = (5 * day_of_year + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * mp + 2) / 5 + 1) as u8,
        }
    }
    /// Milliseconds at the start of a month, counted in months since the year 0 (`days_from_civil`).
    fn first_of_month(month_number: i64) -> i64 {
        let (year, month) = (month_number.div_euclid(12), month_number.rem_euclid(12) + 1);
        let y = year - i64::from(month <= 2);
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * 146_097 + day_of_era - 719_468).saturating_mul(DAY_MS)
    }
    fn month_name(self) -> &'static str {
        MONTHS[usize::from(self.month) - 1]
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-21 00:00 UTC.
    const DAY: i64 = 1_763_683_200_000;

    #[test]
    fn value_marks_are_round() {
        let check = |low: f64, high: f64, unit: Unit, marks: &[f64]| {
            let axis = value_axis(low, high, unit, 5);
            assert_eq!(axis.marks.len(), marks.len(), "{axis:?}");
            for (a, b) in axis.marks.iter().zip(marks) {
                assert!((a - b).abs() <= b.abs() * 1e-12 + 1e-12, "{axis:?}");
            }
            assert!(axis.low <= low && axis.high >= high, "{axis:?}");
        };
        check(0.0, 10.0, Unit::Short, &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        check(1.0, 97.0, Unit::Percent, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        check(98.0, 99.0, Unit::Percent, &[98.0, 98.2, 98.4, 98.6, 98.8, 99.0]);
        check(0.0, 3000.0, Unit::Bytes, &[0.0, 1024.0, 2048.0, 3072.0]);
        check(
            0.0,
            300.0,
            Unit::Seconds,
            &[0.0, 60.0, 120.0, 180.0, 240.0, 300.0],
        );
        check(5.0, 5.0, Unit::Short, &[0.0, 2.0, 4.0, 6.0]);
        check(0.0, 0.0, Unit::Short, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(-5.0, -5.0, Unit::Short, &[-8.0, -6.0, -4.0, -2.0, 0.0]);
        check(-1.0, 1.0, Unit::Short, &[-1.0, -0.5, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn time_marks_are_round_in_utc() {
        let check = |start: i64, length: i64, labels: &[&str]| {
            let marks = time_marks(start, start + length, 6);
            let shown: Vec<_> = marks.iter().map(|m| m.label.as_str()).collect();
            assert_eq!(shown, labels);
        };
        check(
            DAY + 61_000,
            HOUR_MS,
            &["00:10", "00:20", "00:30", "00:40", "00:50", "01:00"],
        );
        check(
            DAY,
            60_000,
            &[
                "Nov 21", "00:00:10", "00:00:20", "00:00:30", "00:00:40", "00:00:50", "00:01",
            ]
            .map(|s| if s == "00:01" { "00:01:00" } else { s }),
        );
        check(
            DAY - 1,
            30,
            &[
                "Nov 21",
                "00:00:00.005",
                "00:00:00.010",
                "00:00:00.015",
                "00:00:00.020",
                "00:00:00.025",
            ],
        );
        check(
            DAY - HOUR_MS,
            24 * HOUR_MS,
            &["Nov 21", "06:00", "12:00", "18:00"],
        );
        check(
            DAY,
            400 * DAY_MS,
            &["Jan 2026", "Apr 2026", "Jul 2026", "Oct 2026"],
        );
        check(0, 20 * 365 * DAY_MS, &["1970", "1975", "1980", "1985"]);
        check(
            i64::MAX - 10,
            10,
            &[
                "07:12:55.798",
                "07:12:55.800",
                "07:12:55.802",
                "07:12:55.804",
                "07:12:55.806",
            ],
        );
    }

    #[test]
    fn the_range_names_its_days() {
        assert_eq!(range_text(DAY, DAY + HOUR_MS), "2025-11-21 00:00 – 01:00 UTC");
        assert_eq!(range_text(DAY, DAY + 5000), "2025-11-21 00:00:00 – 00:00:05 UTC");
        assert_eq!(
            range_text(DAY - 1, DAY + HOUR_MS),
            "2025-11-20 23:59 – 2025-11-21 01:00 UTC"
        );
    }

    #[test]
    fn dates_go_both_ways() {
        for month in (1900 * 12)..(2200 * 12) {
            let date = Date::of_ms(Date::first_of_month(month));
            assert_eq!((date.year * 12 + i64::from(date.month) - 1, date.day), (month, 1));
        }
    }
}
