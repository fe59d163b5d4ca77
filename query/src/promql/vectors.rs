//! Small functions on vectors, scalars and arguments that the evaluator is made of.

use super::ast::Expr;
use super::functions::{max_or_nan, min_or_nan};
use crate::columns::{ABSENT, Column, Steps, is_absent, labels_asked_for};
use model::{Labels, SeriesData};

pub(crate) fn series_of(labels: Labels, values: &[f64], steps: Steps) -> SeriesData {
    let points = steps
        .times()
        .zip(values.iter().copied())
        .filter(|(_, v)| !is_absent(*v));
    let (timestamps_ms, values) = points.unzip();
    SeriesData {
        labels,
        timestamps_ms,
        values,
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
    match arg.bare() {
        Expr::Selector(s) => labels_asked_for(&s.matchers),
        Expr::Range(r) => labels_asked_for(&r.selector.matchers),
        _ => Labels::empty(),
    }
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

/// The text of a number in a label, as Go's shortest decimal format without exponent.
pub(crate) fn number_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

/// String arguments.
pub(crate) fn texts(args: &[Expr]) -> Vec<&str> {
    args.iter()
        .map(|a| match a {
            Expr::Text(text) => text.as_str(),
            _ => "",
        })
        .collect()
}
