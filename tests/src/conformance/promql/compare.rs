//! Whether an answer is the expected one.

use super::histogram;
use super::script::{Eval, Expected, Notes, When};
use model::metric::{Histogram, is_stale};
use model::{Labels, SeriesData};
use query::promql::series_notation::Item;
use query::promql::{QueryResult, QueryValue, RangeParams};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Lines of each side that a failure shows.
const SHOWN_LINES: usize = 8;
/// The longest line that a failure shows.
const SHOWN_CHARS: usize = 300;

/// Equal as the reference means it: both the staleness marker, both another NaN, or nearly the same number.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

/// One point of an answer.
#[derive(Debug, Clone, Copy)]
enum Point<'a> {
    Value(f64),
    Histogram(&'a Histogram),
}

fn is_met_by(expected: &Item, got: Point<'_>) -> bool {
    match (expected, got) {
        (Item::Value(expected), Point::Value(got)) => almost_equal(*expected, got),
        (
            Item::Histogram {
                histogram,
                hint_is_written,
            },
            Point::Histogram(got),
        ) => histogram::is_same(histogram, got, *hint_is_written),
        _ => false,
    }
}

/// Checks the value of an answer.
pub(super) fn value(eval: &Eval, value: &QueryValue) -> Result<(), String> {
    let problem = match (&eval.expected, value) {
        (Expected::Scalar(expected), QueryValue::Scalar(got)) if almost_equal(*expected, got.value) => {
            return Ok(());
        }
        (Expected::Text(expected), QueryValue::String { value, .. }) if expected == value => return Ok(()),
        (Expected::Series(expected), QueryValue::Vector(got)) => {
            let got: Vec<_> = got
                .iter()
                .map(|s| {
                    let histogram = s.histogram.as_deref();
                    (
                        &s.labels,
                        histogram.map_or(Point::Value(s.value), Point::Histogram),
                    )
                })
                .collect();
            vector(expected, &got, eval.is_ordered)
        }
        (Expected::Series(_), QueryValue::Matrix(_)) if eval.is_ordered => {
            Err("a matrix cannot be as `expect ordered` says".to_owned())
        }
        (Expected::Series(expected), QueryValue::Matrix(got)) => matrix(expected, got, times(eval)),
        _ => Err("another value, or another type of value".to_owned()),
    };
    problem.map_err(|problem| {
        format!(
            "{problem}\nexpected: {}\ngot: {}",
            shown_expected(&eval.expected),
            shown_value(value)
        )
    })
}

/// Checks the middle step of a range query that stands for an instant query.
pub(super) fn middle_step(eval: &Eval, answer: &QueryValue, at_ms: i64) -> Result<(), String> {
    let QueryValue::Matrix(series) = answer else {
        return Err(format!("no matrix: {}", shown_value(answer)));
    };
    if eval.is_ordered {
        return Ok(());
    }
    let problem = is_sorted(series).and_then(|()| {
        let got: Vec<_> = series
            .iter()
            .filter_map(|s| Some((&s.labels, point_at(s, at_ms)?)))
            .collect();
        match &eval.expected {
            Expected::Series(expected) => vector(expected, &got, false),
            Expected::Scalar(expected) => match got.first() {
                Some((_, got)) if is_met_by(&Item::Value(*expected), *got) => Ok(()),
                _ => Err("another value".to_owned()),
            },
            Expected::Text(_) => Ok(()),
        }
    });
    problem.map_err(|problem| {
        format!(
            "{problem}\nexpected: {}\ngot: {}",
            shown_expected(&eval.expected),
            shown_value(answer)
        )
    })
}

fn point_at(series: &SeriesData, at_ms: i64) -> Option<Point<'_>> {
    points(series).find(|(t, _)| *t == at_ms).map(|(_, p)| p)
}

/// The numbers of a series, then its histograms.
fn points(series: &SeriesData) -> impl Iterator<Item = (i64, Point<'_>)> {
    let values = series.timestamps_ms.iter().zip(&series.values);
    let histograms = series.histograms.iter();
    values
        .map(|(t, v)| (*t, Point::Value(*v)))
        .chain(histograms.map(|h| (h.timestamp_ms, Point::Histogram(&h.histogram))))
}

/// The times of a matrix.
fn times(eval: &Eval) -> RangeParams {
    match (eval.range_vector, eval.when) {
        (Some(params), _) | (None, When::Range(params)) => params,
        (None, When::Instant(at_ms)) => RangeParams {
            start_ms: at_ms,
            end_ms: at_ms,
            step_ms: 0,
        },
    }
}

fn vector(
    expected: &[(Labels, Vec<Item>)],
    got: &[(&Labels, Point<'_>)],
    is_ordered: bool,
) -> Result<(), String> {
    let places: BTreeMap<&Labels, usize> = expected.iter().enumerate().map(|(i, (l, _))| (l, i)).collect();
    let mut seen = vec![false; expected.len()];
    for (at, (labels, point)) in got.iter().enumerate() {
        let place = *places.get(labels).ok_or_else(|| format!("unexpected {labels}"))?;
        if std::mem::replace(&mut seen[place], true) {
            return Err(format!("{labels} twice"));
        }
        if is_ordered && place != at {
            return Err(format!("{labels} at place {} instead of {}", at + 1, place + 1));
        }
        // An expected gap counts as 0 here.
        let item = match &expected[place].1[0] {
            Item::Gap => &Item::Value(0.0),
            item => item,
        };
        if !is_met_by(item, *point) {
            return Err(format!("{labels} differs"));
        }
    }
    match seen.iter().position(|s| !s) {
        Some(missing) => Err(format!("{} is missing", expected[missing].0)),
        None => Ok(()),
    }
}

fn matrix(expected: &[(Labels, Vec<Item>)], got: &[SeriesData], times: RangeParams) -> Result<(), String> {
    is_sorted(got)?;
    for series in got {
        let found = expected.iter().find(|(labels, _)| *labels == series.labels);
        let (labels, items) = found.ok_or_else(|| format!("unexpected {}", series.labels))?;
        let mut at_times = BTreeMap::new();
        for (at, item) in (0i64..).zip(items) {
            let time_ms = times.start_ms.saturating_add(at.saturating_mul(times.step_ms));
            if time_ms > times.end_ms || (at > 0 && times.step_ms == 0) {
                return Err(format!(
                    "{} values of {labels} are expected at fewer times",
                    items.len()
                ));
            }
            if *item != Item::Gap {
                at_times.insert(time_ms, item);
            }
        }
        let mut left = at_times.len();
        for (time_ms, point) in points(series) {
            let is_met = at_times.get(&time_ms).is_some_and(|item| is_met_by(item, point));
            if !is_met || left == 0 {
                return Err(format!("{labels} differs at {time_ms} ms"));
            }
            left -= 1;
        }
        if left > 0 {
            return Err(format!("{labels} has {left} points less"));
        }
    }
    let missing = expected
        .iter()
        .find(|(labels, _)| got.iter().all(|s| s.labels != *labels));
    match missing {
        Some((labels, _)) => Err(format!("{labels} is missing")),
        None => Ok(()),
    }
}

fn is_sorted(matrix: &[SeriesData]) -> Result<(), String> {
    match matrix.windows(2).find(|w| w[0].labels >= w[1].labels) {
        Some(w) => Err(format!(
            "the series are not sorted: {} before {}",
            w[0].labels, w[1].labels
        )),
        None => Ok(()),
    }
}

/// Checks the warnings and the infos of an answer.
pub(super) fn annotations(eval: &Eval, answer: &QueryResult) -> Result<(), String> {
    notes("warning", &eval.warnings, &answer.warnings)?;
    notes("info", &eval.infos, &answer.infos)
}

fn notes(what: &str, expected: &Notes, got: &[String]) -> Result<(), String> {
    let shown = || format!("\ngot: {got:?}");
    if expected.at_least_one && got.is_empty() {
        return Err(format!("no {what}"));
    }
    if expected.none && !got.is_empty() {
        return Err(format!("unexpected {what}{}", shown()));
    }
    if let Some(missing) = expected
        .texts
        .iter()
        .find(|e| !got.iter().any(|g| e.is_met_by(g)))
    {
        return Err(format!("a {what} is missing\nexpected: {missing}{}", shown()));
    }
    let unexpected = got
        .iter()
        .find(|g| !expected.texts.iter().any(|e| e.is_met_by(g)));
    match unexpected {
        Some(text) if !expected.texts.is_empty() => Err(format!("unexpected {what} {text:?}")),
        _ => Ok(()),
    }
}

/// The value of an answer for a reader.
pub(super) fn shown_value(value: &QueryValue) -> String {
    match value {
        QueryValue::Scalar(sample) => format!("scalar {:?}", sample.value),
        QueryValue::String { value, .. } => format!("string {value:?}"),
        QueryValue::Vector(samples) => lines(
            "vector",
            samples.iter().map(|s| {
                let point = s
                    .histogram
                    .as_deref()
                    .map_or(Point::Value(s.value), Point::Histogram);
                format!("{} {}", s.labels, shown_point(point))
            }),
        ),
        QueryValue::Matrix(series) => lines(
            "matrix",
            series.iter().map(|s| {
                let mut text = s.labels.to_string();
                for (time_ms, point) in points(s) {
                    let _ = write!(text, " {}@{time_ms}", shown_point(point));
                }
                text
            }),
        ),
    }
}

fn shown_expected(expected: &Expected) -> String {
    match expected {
        Expected::Scalar(value) => format!("scalar {value:?}"),
        Expected::Text(text) => format!("string {text:?}"),
        Expected::Series(series) => lines(
            "series",
            series.iter().map(|(labels, items)| {
                let items: Vec<_> = items.iter().map(shown_item).collect();
                format!("{labels} {}", items.join(" "))
            }),
        ),
    }
}

fn shown_item(item: &Item) -> String {
    match item {
        Item::Gap => "_".to_owned(),
        Item::Value(value) => shown_point(Point::Value(*value)),
        Item::Histogram { histogram, .. } => shown_point(Point::Histogram(histogram)),
    }
}

fn shown_point(point: Point<'_>) -> String {
    match point {
        Point::Value(value) if is_stale(value) => "stale".to_owned(),
        Point::Value(value) => format!("{value:?}"),
        Point::Histogram(h) => histogram::show(h),
    }
}

/// A few lines, and how many there are.
fn lines(what: &str, all: impl ExactSizeIterator<Item = String>) -> String {
    let count = all.len();
    let mut text = format!("{what} of {count}");
    for line in all.take(SHOWN_LINES) {
        text.push_str("\n  ");
        match line.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => {
                text.push_str(&line[..end]);
                text.push('…');
            }
            None => text.push_str(&line),
        }
    }
    if count > SHOWN_LINES {
        let _ = write!(text, "\n  and {} more", count - SHOWN_LINES);
    }
    text
}
