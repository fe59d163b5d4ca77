//! Parameters of Prometheus' API: times, durations, limits and selectors, with Prometheus' errors.

use super::params::Params;
use model::{Error, Matcher, Result};
use query::go::quote;
use query::promql::RangeParams;
use std::time::Duration;

/// The earliest time: what Prometheus' clients send for "from the beginning".
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", -9_223_309_901_257_974_000);
/// The last time.
const MAX_TIME: (&str, i64) = ("292277025-08-18T07:12:54.999999999Z", 9_223_309_901_257_974_999);
const NS_PER_MS: i64 = 1_000_000;

/// Says which parameter an error is about.
pub fn invalid(name: &str) -> impl Fn(Error) -> Error + Copy + '_ {
    move |e| e.within(format_args!("invalid parameter {}", quote(name)))
}

/// Seconds since the epoch with fractions, or RFC 3339, as milliseconds.
pub fn time_ms(text: &str) -> Result<i64> {
    let bad = || Error::bad_data(format!("cannot parse {} to a valid timestamp", quote(text)));
    if let Some(seconds) = float(text) {
        let whole = seconds.trunc();
        let ms = whole * 1000.0 + ((seconds - whole) * 1000.0).round();
        if !ms.is_finite() || ms.abs() > MAX_TIME.1 as f64 {
            return Err(bad());
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        return Ok((ms as i64).clamp(MIN_TIME.1, MAX_TIME.1));
    }
    let far = [MIN_TIME, MAX_TIME].into_iter().find(|(name, _)| *name == text);
    far.map(|(_, ms)| ms)
        .or_else(|| wire::rfc3339::parse_ms(text.as_bytes()))
        .ok_or_else(bad)
}

/// A time that may be left out.
pub fn optional_time_ms(params: &Params, name: &str) -> Result<Option<i64>> {
    let read = params.get(name).map(time_ms).transpose();
    read.map_err(|e| e.within(format_args!("invalid time value for '{name}'")))
        .map_err(invalid(name))
}

/// `start` and `end` in milliseconds; what is left out has no end.
pub fn time_range(params: &Params) -> Result<(i64, i64)> {
    let start_ms = optional_time_ms(params, "start")?.unwrap_or(i64::MIN);
    let end_ms = optional_time_ms(params, "end")?.unwrap_or(i64::MAX);
    Ok((start_ms, end_ms))
}

/// Seconds with fractions, or `5m`, as nanoseconds; seconds may be negative.
pub fn duration_ns(text: &str) -> Result<i64> {
    let bad = |why: &str| Error::bad_data(format!("cannot parse {} to a valid duration{why}", quote(text)));
    if let Some(seconds) = float(text) {
        let ns = seconds * 1e9;
        if ns.abs() > i64::MAX as f64 {
            return Err(bad(". It overflows int64"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above; NaN is 0")]
        return Ok(ns as i64);
    }
    let duration = model::duration::parse(text).ok();
    let ns = duration.and_then(|d| i64::try_from(d.as_nanos()).ok());
    ns.ok_or_else(|| bad(""))
}

/// `timeout`: one that is over before it began is no time at all.
pub fn timeout(params: &Params) -> Result<Option<Duration>> {
    let read = params.get("timeout").map(duration_ns).transpose();
    let ns = read.map_err(invalid("timeout"))?;
    Ok(ns.map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0))))
}

/// `lookback_delta` in milliseconds; `None` for the usual one.
pub fn lookback_ms(params: &Params) -> Result<Option<i64>> {
    let read = params.get("lookback_delta").map(duration_ns).transpose();
    let ns = read.map_err(|e| e.within("error parsing lookback delta duration"))?;
    Ok(ns.filter(|ns| *ns > 0).map(|ns| ns / NS_PER_MS))
}

/// `limit`: how many series or names; `None` for all.
pub fn limit(params: &Params) -> Result<Option<usize>> {
    let Some(text) = params.get("limit") else {
        return Ok(None);
    };
    let limit = whole_number(text).map_err(invalid("limit"))?;
    let limit = usize::try_from(limit)
        .map_err(|_| Error::bad_data("limit must be non-negative"))
        .map_err(invalid("limit"))?;
    Ok(Some(limit).filter(|l| *l > 0))
}

/// A whole number with a sign, as Go's `Atoi` takes it.
pub fn whole_number(text: &str) -> Result<i64> {
    text.parse::<i64>().map_err(|e| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let what = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Error::bad_data(format!("strconv.Atoi: parsing {}: {what}", quote(text)))
    })
}

/// `match[]`: each needs something to look for.
pub fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>> {
    let parsed = params.all("match[]").map(query::promql::parse_selector);
    let all = parsed.collect::<Result<Vec<_>>>()?;
    if all.iter().any(|s| s.iter().all(|m| m.matches(""))) {
        return Err(Error::bad_data(
            "match[] must contain at least one non-empty matcher",
        ));
    }
    Ok(all)
}

/// `start`, `end` and `step` of a range query.
pub fn range(params: &Params) -> Result<RangeParams> {
    let text = |name| params.get(name).unwrap_or_default();
    let start_ms = time_ms(text("start")).map_err(invalid("start"))?;
    let end_ms = time_ms(text("end")).map_err(invalid("end"))?;
    if end_ms < start_ms {
        let e = Error::bad_data("end timestamp must not be before start time");
        return Err(invalid("end")(e));
    }
    let step_ns = duration_ns(text("step")).map_err(invalid("step"))?;
    let step_ms = step_ns / NS_PER_MS;
    if step_ms <= 0 {
        let e = Error::bad_data(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        );
        return Err(invalid("step")(e));
    }
    Ok(RangeParams {
        start_ms,
        end_ms,
        step_ms,
    })
}

/// A number as Go reads it: what is too large for one is none.
fn float(text: &str) -> Option<f64> {
    let value = text.parse::<f64>().ok()?;
    let is_named = text.contains(['i', 'I']);
    (value.is_finite() || value.is_nan() || is_named).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_prometheus_reads_them() {
        let check = |text: &str, expected: Option<i64>| match expected {
            Some(ms) => assert_eq!(time_ms(text).unwrap(), ms, "{text}"),
            None => {
                let says = format!("cannot parse {text:?} to a valid timestamp");
                assert_eq!(time_ms(text).unwrap_err().message(), says);
            }
        };
        check("0", Some(0));
        check("123.0004", Some(123_000));
        check("1435781451.781", Some(1_435_781_451_781));
        check("-1.5", Some(-1500));
        check("1e9", Some(1_000_000_000_000));
        check("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555));
        check("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555));
        check("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999));
        check(MIN_TIME.0, Some(MIN_TIME.1));
        check(MAX_TIME.0, Some(MAX_TIME.1));
        for bad in ["", "foo", "30s", "2015-06-03", "1e300", "Inf", "NaN", "1e400"] {
            check(bad, None);
        }
    }

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        let check = |text: &str, expected: Result<i64, &str>| match expected {
            Ok(ns) => assert_eq!(duration_ns(text).unwrap(), ns, "{text}"),
            Err(why) => {
                let says = format!("cannot parse {text:?} to a valid duration{why}");
                assert_eq!(duration_ns(text).unwrap_err().message(), says);
            }
        };
        check("123", Ok(123_000_000_000));
        check("123.333", Ok(123_333_000_000));
        check("15s", Ok(15_000_000_000));
        check("1h30m", Ok(5_400_000_000_000));
        check("-1", Ok(-1_000_000_000));
        check("0", Ok(0));
        for bad in ["", "foo", "2015-06-03T13:21:58.555Z", "-1s", "1e400", "300y"] {
            check(bad, Err(""));
        }
        for bad in ["1e10", "-1e10", "Inf"] {
            check(bad, Err(". It overflows int64"));
        }
    }
}
