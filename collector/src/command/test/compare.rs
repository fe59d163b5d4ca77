//! When what came out is what was expected, and how both are shown.

use super::file::{ExpectedAlert, ExpectedSample};
use alert::FiringAlert;
use model::{Labels, Result, SeriesData};
use query::promql::series_notation::{self, Item};
use query::promql::{InstantSample, QueryValue};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most pairs of lines that are compared for a diff; of longer texts all lines are marked.
const MAX_DIFF_CELLS: usize = 4_000_000;

/// One sample of a vector; a histogram in its notation, in which it is compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    labels: Labels,
    value: f64,
    histogram: Option<String>,
}

/// The samples that are expected, sorted by labels.
pub(super) fn expected_samples(expected: &[ExpectedSample]) -> Result<Vec<Sample>> {
    let one = |s: &ExpectedSample| {
        let labels = series_notation::parse_metric(&s.labels);
        let histogram = match s.histogram.as_str() {
            "" => Ok(None),
            text => histogram(text).map(Some),
        };
        let with_labels = |e: model::Error| e.within(format!("labels {:?}", s.labels));
        Ok(Sample {
            labels: labels.map_err(with_labels)?,
            value: s.value,
            histogram: histogram.map_err(with_labels)?,
        })
    };
    let samples: Result<Vec<_>> = expected.iter().map(one).collect();
    samples.map(sorted)
}

fn histogram(text: &str) -> Result<String> {
    match &series_notation::parse_items(text)?[..] {
        [Item::Histogram { histogram, .. }] => Ok(series_notation::print_histogram(histogram)),
        [_] => Err(model::Error::bad_data(format!("{text:?} is no histogram"))),
        items => Err(model::Error::bad_data(format!(
            "expected 1 value, got {}",
            items.len()
        ))),
    }
}

/// The samples of a value, sorted by labels; a scalar is one without labels.
pub(super) fn samples_of(value: QueryValue) -> Result<Vec<Sample>> {
    let one = |s: InstantSample| Sample {
        labels: s.labels,
        value: if s.histogram.is_some() { 0.0 } else { s.value },
        histogram: s.histogram.as_deref().map(series_notation::print_histogram),
    };
    match value {
        QueryValue::Vector(samples) => Ok(sorted(samples.into_iter().map(one).collect())),
        QueryValue::Scalar(sample) => Ok(vec![Sample {
            labels: Labels::empty(),
            value: sample.value,
            histogram: None,
        }]),
        QueryValue::String { .. } | QueryValue::Matrix(_) => Err(model::Error::new(
            model::ErrorKind::Execution,
            "rule result is not a vector or scalar",
        )),
    }
}

fn sorted(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    samples
}

/// Whether samples are the expected ones. A NaN equals nothing, as in promtool.
pub(super) fn same_samples(expected: &[Sample], got: &[Sample], is_fuzzy: bool) -> bool {
    let same_value = |a: f64, b: f64| a == b || (is_fuzzy && (a.next_up() == b || a.next_down() == b));
    expected.len() == got.len()
        && expected.iter().zip(got).all(|(e, g)| {
            let value_counts = e.histogram.is_none();
            e.labels == g.labels
                && e.histogram == g.histogram
                && (!value_counts || same_value(e.value, g.value))
        })
}

/// Whether an expected value is one that nothing equals.
pub(super) fn expects_nan(expected: &[Sample]) -> bool {
    expected.iter().any(|s| s.histogram.is_none() && s.value.is_nan())
}

/// One line for each sample.
pub(super) fn shown_samples(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let one = |s: &Sample| match &s.histogram {
        Some(histogram) => format!("{} {histogram}", shown_labels(&s.labels)),
        None => format!("{} {}", shown_labels(&s.labels), number(s.value)),
    };
    samples.iter().map(one).collect::<Vec<_>>().join(",\n")
}

/// A series with all of its points.
pub(super) fn shown_series(series: &SeriesData) -> String {
    let mut text = shown_labels(&series.labels);
    for (time_ms, value) in series.timestamps_ms.iter().zip(&series.values) {
        let _ = write!(text, " {}@{time_ms}", number(*value));
    }
    for sample in &series.histograms {
        let histogram = series_notation::print_histogram(&sample.histogram);
        let _ = write!(text, " {histogram}@{}", sample.timestamp_ms);
    }
    text
}

fn shown_labels(labels: &Labels) -> String {
    if labels.is_empty() {
        "{}".to_owned()
    } else {
        labels.to_string()
    }
}

/// A number with an exponent, in all of its digits.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:E}");
    let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}E{sign}{:02}", exponent.abs())
}

/// An alert with all of its labels and annotations as texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// The alerts of a name that are expected, sorted.
pub(super) fn expected_alerts(name: &str, expected: &[ExpectedAlert]) -> Vec<Alert> {
    let one = |a: &ExpectedAlert| {
        let mut labels = a.exp_labels.clone();
        labels.insert("alertname".to_owned(), name.to_owned());
        Alert {
            labels,
            annotations: a.exp_annotations.clone(),
        }
    };
    let mut alerts: Vec<_> = expected.iter().map(one).collect();
    alerts.sort();
    alerts
}

/// The alerts that fire, sorted.
pub(super) fn firing_alerts(firing: Vec<FiringAlert>) -> Vec<Alert> {
    let one = |a: FiringAlert| Alert {
        labels: a
            .labels
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        annotations: a.annotations,
    };
    let mut alerts: Vec<_> = firing.into_iter().map(one).collect();
    alerts.sort();
    alerts
}

/// A few lines for each alert.
pub(super) fn shown_alerts(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let mut text = "[".to_owned();
    for (number, alert) in alerts.iter().enumerate() {
        let comma = if number + 1 < alerts.len() { "," } else { "" };
        let _ = write!(
            text,
            "\n  {number}:\n    Labels:{}\n    Annotations:{}{comma}",
            pairs(&alert.labels),
            pairs(&alert.annotations)
        );
    }
    text + "\n]"
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = map.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The lines of two texts as one: those of the first only with `-`, those of the second only with `+`.
pub(super) fn diff(expected: &str, got: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let mut lines = Vec::new();
    if a.len().saturating_mul(b.len()) > MAX_DIFF_CELLS {
        lines.extend(a.iter().map(|l| format!("- {l}")));
        lines.extend(b.iter().map(|l| format!("+ {l}")));
        return lines.join("\n");
    }
    let common = common_lines(&a, &b);
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    lines.join("\n")
}

/// How many lines two texts have in common from two lines on.
fn common_lines(a: &[&str], b: &[&str]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    common
}
