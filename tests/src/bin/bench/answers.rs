//! Answers in a form that can be compared, and the comparison.

use crate::api;
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Relative difference up to which two values are the same: the order of a sum is nobody's promise.
const SAME: f64 = 1e-5;
/// Relative difference up to which two values are close.
const CLOSE: f64 = 0.05;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Series by their labels; times in milliseconds.
    Points(BTreeMap<String, BTreeMap<i64, f64>>),
    /// Label names, values, or series.
    List(BTreeSet<String>),
}

/// How two answers relate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Same,
    /// Every point within five percent.
    Close(String),
    /// With the first difference.
    Differs(String),
}

impl Answer {
    /// From the body of a query's answer.
    pub(crate) fn of_query(body: &[u8]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for series in api::series(body)? {
            let points: BTreeMap<i64, f64> = series.points()?.into_iter().collect();
            all.insert(serde_json::to_string(&series.metric)?, points);
        }
        Ok(Self::Points(all))
    }
    /// From the body of an answer about labels or series.
    pub(crate) fn of_list(body: &[u8]) -> Result<Self> {
        // A map of serde_json is sorted, so equal series have equal texts.
        Ok(Self::List(
            api::list::<Value>(body)?.iter().map(Value::to_string).collect(),
        ))
    }
    /// How `other` relates to this reference.
    pub(crate) fn compare(&self, other: &Self) -> Verdict {
        match (self, other) {
            (Self::Points(a), Self::Points(b)) => compare_points(a, b),
            (Self::List(a), Self::List(b)) if a == b => Verdict::Same,
            (Self::List(a), Self::List(b)) => Verdict::Differs(sets(a, b)),
            _ => Verdict::Differs("another kind of answer".to_owned()),
        }
    }
}

fn sets(reference: &BTreeSet<String>, other: &BTreeSet<String>) -> String {
    let missing: Vec<_> = reference.difference(other).collect();
    let more: Vec<_> = other.difference(reference).collect();
    let first = missing.first().or(more.first());
    format!(
        "{} missing, {} too many of {}; first {first:?}",
        missing.len(),
        more.len(),
        reference.len()
    )
}

fn compare_points(
    reference: &BTreeMap<String, BTreeMap<i64, f64>>,
    other: &BTreeMap<String, BTreeMap<i64, f64>>,
) -> Verdict {
    if !reference.keys().eq(other.keys()) {
        let names = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<BTreeSet<_>>();
        return Verdict::Differs(format!("series: {}", sets(&names(reference), &names(other))));
    }
    let (mut worst, mut first) = (0.0_f64, None);
    for ((labels, a), b) in reference.iter().zip(other.values()) {
        let times: BTreeSet<i64> = a.keys().chain(b.keys()).copied().collect();
        for time in times {
            let off = match (a.get(&time), b.get(&time)) {
                (Some(a), Some(b)) => difference(*a, *b),
                _ => f64::INFINITY,
            };
            if off > SAME && first.is_none() {
                first = Some(format!(
                    "{labels} at {time}: {:?} is {:?}",
                    a.get(&time),
                    b.get(&time)
                ));
            }
            worst = worst.max(off);
        }
    }
    match first {
        None => Verdict::Same,
        Some(first) if worst <= CLOSE => Verdict::Close(format!("up to {worst:.2e}; {first}")),
        Some(first) => Verdict::Differs(format!("up to {worst:.2e}; {first}")),
    }
}

/// Relative difference.
fn difference(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        0.0
    } else if !a.is_finite() || !b.is_finite() {
        f64::INFINITY
    } else {
        (a - b).abs() / a.abs().min(b.abs()).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Verdict};

    #[test]
    fn verdicts() {
        let answer = |value: &str, job: &str| {
            let body = format!(
                r#"{{"data":{{"result":[{{"metric":{{"job":"{job}"}},"values":[[1,"{value}"],[2,"7"]]}}]}}}}"#
            );
            Answer::of_query(body.as_bytes()).unwrap()
        };
        let check = |value: &str, expected: &str| {
            let verdict = answer("1", "a").compare(&answer(value, "a"));
            let found = match verdict {
                Verdict::Same => "same",
                Verdict::Close(_) => "close",
                Verdict::Differs(_) => "differs",
            };
            assert_eq!(found, expected, "{value}: {verdict:?}");
        };
        check("1", "same");
        check("1.000001", "same");
        check("1.01", "close");
        check("1.1", "differs");
        check("NaN", "differs");
        check("0", "differs");
        assert!(matches!(
            answer("1", "a").compare(&answer("1", "b")),
            Verdict::Differs(_)
        ));
        assert_eq!(answer("NaN", "a").compare(&answer("NaN", "a")), Verdict::Same);
        let list = |text: &str| Answer::of_list(text.as_bytes()).unwrap();
        assert_eq!(
            list(r#"{"data":["a","b"]}"#).compare(&list(r#"{"data":["b","a"]}"#)),
            Verdict::Same
        );
        assert_ne!(
            list(r#"{"data":["a","b"]}"#).compare(&list(r#"{"data":["b"]}"#)),
            Verdict::Same
        );
    }
}
