//! The table of functions: their names, and the plain numeric ones.

use super::ast::{Function, RangeFunction};
use super::native;

/// A function by its name; `None` for those that this engine does not have.
pub(crate) fn by_name(name: &str) -> Option<Function> {
    use RangeFunction as R;
    Some(match name {
        "rate" => Function::Range(R::Rate),
        "increase" => Function::Range(R::Increase),
        "delta" => Function::Range(R::Delta),
        "irate" => Function::Range(R::Irate),
        "idelta" => Function::Range(R::Idelta),
        "deriv" => Function::Range(R::Deriv),
        "predict_linear" => Function::Range(R::PredictLinear),
        "changes" => Function::Range(R::Changes),
        "resets" => Function::Range(R::Resets),
        "avg_over_time" => Function::Range(R::Avg),
        "count_over_time" => Function::Range(R::Count),
        "first_over_time" => Function::Range(R::First),
        "last_over_time" => Function::Range(R::Last),
        "mad_over_time" => Function::Range(R::Mad),
        "max_over_time" => Function::Range(R::Max),
        "min_over_time" => Function::Range(R::Min),
        "present_over_time" => Function::Range(R::Present),
        "quantile_over_time" => Function::Range(R::Quantile),
        "double_exponential_smoothing" => Function::Range(R::Smoothing),
        "stddev_over_time" => Function::Range(R::Stddev),
        "stdvar_over_time" => Function::Range(R::Stdvar),
        "sum_over_time" => Function::Range(R::Sum),
        "ts_of_first_over_time" => Function::Range(R::TimestampOfFirst),
        "ts_of_last_over_time" => Function::Range(R::TimestampOfLast),
        "ts_of_max_over_time" => Function::Range(R::TimestampOfMax),
        "ts_of_min_over_time" => Function::Range(R::TimestampOfMin),
        "absent_over_time" => Function::AbsentOverTime,
        "absent" => Function::Absent,
        "scalar" => Function::Scalar,
        "vector" => Function::Vector,
        "time" => Function::Time,
        "timestamp" => Function::Timestamp,
        "round" => Function::Round,
        "clamp" => Function::Clamp,
        "clamp_min" => Function::ClampMin,
        "clamp_max" => Function::ClampMax,
        "sort" => Function::Sort { descending: false },
        "sort_desc" => Function::Sort { descending: true },
        "sort_by_label" => Function::SortByLabel { descending: false },
        "sort_by_label_desc" => Function::SortByLabel { descending: true },
        "label_replace" => Function::LabelReplace,
        "label_join" => Function::LabelJoin,
        "histogram_quantile" => Function::HistogramQuantile,
        "histogram_quantiles" => Function::HistogramQuantiles,
        "histogram_fraction" => Function::HistogramFraction,
        "histogram_avg" => Function::OfHistogram(native::average),
        "histogram_count" => Function::OfHistogram(|h| h.count),
        "histogram_sum" => Function::OfHistogram(|h| h.sum),
        "histogram_stddev" => Function::OfHistogram(|h| native::variance(h).sqrt()),
        "histogram_stdvar" => Function::OfHistogram(native::variance),
        "info" => Function::Info,
        "start_timestamp" => Function::StartTimestamp,
        "min_of" => Function::MinOf,
        "max_of" => Function::MaxOf,
        _ => {
            return numeric(name)
                .map(Function::Map)
                .or_else(|| date(name).map(Function::Date));
        }
    })
}

fn numeric(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "sgn" => sign,
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Rounds to the nearest multiple; halves go up.
pub(crate) fn round(value: f64, to_nearest: f64) -> f64 {
    // Dividing by the inverse keeps fractions such as 0.1 exact where multiplying would not.
    let inverse = 1.0 / to_nearest;
    (value * inverse + 0.5).floor() / inverse
}

/// The smaller one as Go has it: an infinity that nothing is below wins over NaN.
pub(crate) fn min_or_nan(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// The larger one as Go has it: an infinity that nothing is above wins over NaN.
pub(crate) fn max_or_nan(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

fn date(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |t| (seconds(t).div_euclid(60)).rem_euclid(60) as f64,
        "hour" => |t| (seconds(t).div_euclid(3600)).rem_euclid(24) as f64,
        // The epoch was a Thursday.
        "day_of_week" => |t| (seconds(t).div_euclid(86_400) + 4).rem_euclid(7) as f64,
        "day_of_month" => |t| Date::of(t).day as f64,
        "day_of_year" => |t| Date::of(t).day_of_year() as f64,
        "days_in_month" => |t| Date::of(t).days_in_month() as f64,
        "month" => |t| Date::of(t).month as f64,
        "year" => |t| Date::of(t).year as f64,
        _ => return None,
    })
}

/// Whole seconds since the epoch; saturates, and NaN is 0.
fn seconds(time: f64) -> i64 {
    // Far outside of any calendar, but within what the arithmetic below can hold.
    time.clamp(-1e17, 1e17) as i64
}

/// A day of the Gregorian calendar.
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// The day on which a time in seconds falls, in UTC. Howard Hinnant's `civil_from_days`: years start in
    /// March, so that the leap day comes last; 400 years have 146,097 days.
    fn of(time: f64) -> Self {
        let days = seconds(time).div_euclid(86_400) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        }
    }
    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }
    fn days_in_month(&self) -> i64 {
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if self.is_leap_year() => 29,
            2 => 28,
            _ => 31,
        }
    }
    fn day_of_year(&self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let month = usize::try_from(self.month - 1).unwrap_or_default();
        BEFORE[month] + self.day + i64::from(self.month > 2 && self.is_leap_year())
    }
}

/// A time for people, to the second.
pub(crate) fn utc(time_ms: i64) -> String {
    let seconds = time_ms.div_euclid(1000);
    let date = Date::of(seconds as f64);
    let of_day = seconds.rem_euclid(86_400);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinity_wins_over_nan() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let check = |a: f64, b: f64, smaller: f64, larger: f64| {
            for (a, b) in [(a, b), (b, a)] {
                assert_eq!(min_or_nan(a, b).to_string(), smaller.to_string(), "{a} {b}");
                assert_eq!(max_or_nan(a, b).to_string(), larger.to_string(), "{a} {b}");
            }
        };
        check(1.0, 2.0, 1.0, 2.0);
        check(1.0, nan, nan, nan);
        check(nan, nan, nan, nan);
        check(inf, nan, nan, inf);
        check(-inf, nan, -inf, nan);
        check(inf, -inf, -inf, inf);
    }

    #[test]
    fn dates_follow_the_calendar() {
        let check = |name: &str, time: f64, expected: f64| {
            assert_eq!(date(name).unwrap()(time), expected, "{name}({time})");
        };
        check("year", 1_230_767_999.0, 2008.0);
        check("year", 1_230_768_000.0, 2009.0);
        check("month", 1_456_790_399.0, 2.0);
        check("day_of_month", 1_456_790_399.0, 29.0);
        check("days_in_month", 1_454_284_800.0, 29.0);
        check("day_of_year", 1_483_191_420.0, 366.0);
        check("hour", 1_136_239_445.0, 22.0);
        check("minute", 1_136_239_445.0, 4.0);
        check("day_of_week", 1_136_239_445.0, 1.0);
        check("year", -1.0, 1969.0);
        check("hour", -1.0, 23.0);
        check("year", f64::NAN, 1970.0);
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(utc(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn rounding_goes_up_at_halves() {
        let check = |v, to, expected: f64| assert!((round(v, to) - expected).abs() < 1e-12, "{v} {to}");
        check(0.5, 1.0, 1.0);
        check(-0.5, 1.0, 0.0);
        check(5.25, 0.1, 5.3);
        check(-5.25, 0.1, -5.2);
        check(4.5, 5.0, 5.0);
    }
}
