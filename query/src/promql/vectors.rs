//! Small functions on vectors, scalars and arguments that the evaluator is made of.

use super::ast::{Expr, Node};
use super::functions::{max_or_nan, min_or_nan};
use crate::columns::{ABSENT, Column, Element, Steps, is_absent};
use crate::go;
use model::labels::METRIC_NAME;
use model::metric::{HistogramSample, ResetHint};
use model::{Labels, MatchOp, Matcher, SeriesData};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The values of a subquery as the samples of a series.
pub(crate) fn series_of(column: Column, steps: Steps) -> SeriesData {
    let histogram = |(timestamp_ms, histogram): (i64, Option<Arc<_>>)| {
        let mut histogram: model::metric::Histogram = Arc::unwrap_or_clone(histogram?);
        // The samples before and behind are others than those in the store.
        if !histogram.is_gauge() {
            histogram.reset_hint = ResetHint::Unknown;
        }
        Some(HistogramSample {
            timestamp_ms,
            start_timestamp_ms: 0,
            histogram,
        })
    };
    let histograms = steps.times().zip(column.histograms).filter_map(histogram);
    let histograms = histograms.collect();
    let points = steps.times().zip(column.values);
    let (timestamps_ms, values) = points.filter(|(_, v)| !is_absent(*v)).unzip();
    SeriesData {
        labels: column.labels,
        timestamps_ms,
        values,
        histograms,
        ..SeriesData::default()
    }
}

pub(crate) fn clamp(value: f64, min: f64, max: f64) -> f64 {
    max_or_nan(min, min_or_nan(max, value))
}

pub(crate) fn zip(mut left: Vec<f64>, right: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    left.iter_mut().zip(right).for_each(|(l, r)| *l = f(*l, *r));
    left
}

/// A scalar can be any number, this one too; a vector cannot.
pub(crate) fn without_absent(mut values: Vec<f64>) -> Vec<f64> {
    values
        .iter_mut()
        .filter(|v| is_absent(**v))
        .for_each(|v| *v = f64::NAN);
    values
}

/// The value of the only element at each step, NaN where there is none or more than one.
pub(crate) fn only_values(columns: &[Column], steps: Steps) -> Vec<f64> {
    let mut values = vec![ABSENT; steps.count];
    for column in columns {
        for (value, new) in values
            .iter_mut()
            .zip(&column.values)
            .filter(|(_, new)| !is_absent(**new))
        {
            *value = if is_absent(*value) { *new } else { f64::NAN };
        }
    }
    without_absent(values)
}

/// The labels of what is absent.
pub(crate) fn absent_labels(arg: &Expr) -> Labels {
    match &arg.bare().node {
        Node::Selector(s) => labels_of_absent(&s.matchers),
        Node::Range(r) => labels_of_absent(&r.selector.matchers),
        _ => Labels::empty(),
    }
}

/// What the first `=` of each label asks for, unless another matcher of the label follows it.
fn labels_of_absent(matchers: &[Matcher]) -> Labels {
    let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
    let mut has = BTreeSet::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && has.insert(matcher.name()) {
            asked.insert(matcher.name(), matcher.value());
        } else {
            asked.remove(matcher.name());
        }
    }
    Labels::from_pairs(asked)
}

/// Sorts by value; NaN comes last either way. Over several steps there is no order.
pub(crate) fn sorted(mut columns: Vec<Column>, steps: Steps, descending: bool) -> Vec<Column> {
    if steps.count == 1 {
        columns.sort_by(|a, b| {
            let (a, b) = (a.values[0], b.values[0]);
            let ascending = a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal);
            let by_value = if descending {
                ascending.reverse()
            } else {
                ascending
            };
            a.is_nan().cmp(&b.is_nan()).then(by_value)
        });
    }
    columns
}

/// The text of an element in a label.
pub(crate) fn element_text(element: Element<'_>) -> String {
    match element {
        Element::Absent => String::new(),
        Element::Float(value) => go::format_number(value),
        Element::Histogram(histogram) => histogram.to_string(),
    }
}

/// String arguments.
pub(crate) fn texts(args: &[Expr]) -> Vec<&str> {
    args.iter()
        .map(|a| match &a.node {
            Node::Text(text) => text.as_str(),
            _ => "",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_has_the_labels_that_were_asked_for() {
        let check = |selector: &str, expected: &[(&str, &str)]| {
            let matchers = crate::promql::parse_selector(selector).unwrap();
            let expected = Labels::from_pairs(expected.iter().copied());
            assert_eq!(labels_of_absent(&matchers), expected, "{selector}");
        };
        check("m", &[]);
        check(r#"m{a="b",c!="d",e=~"f"}"#, &[("a", "b")]);
        check(r#"m{a="b",a="c"}"#, &[]);
        check(r#"m{a="b",a=~"b|c"}"#, &[]);
        check(r#"m{a=~"b|c",a="b"}"#, &[("a", "b")]);
        check(r#"m{a=~"b|c",a="b",a="b"}"#, &[]);
        check(r#"m{a=""}"#, &[]);
    }
}
