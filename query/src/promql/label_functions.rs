//! Functions that work on labels: `label_replace`, `label_join`, `sort_by_label`.

use super::calls::check_label;
use super::eval::execution;
use crate::columns::{Column, Steps};
use model::labels::METRIC_NAME;
use model::matcher::anchored_regex;
use model::{Labels, Result};
use std::cmp::Ordering;

/// Arguments: destination, replacement, source, expression. Series whose source does not match stay as they are.
pub(crate) fn label_replace(
    args: &[&str],
    columns: impl FnOnce() -> Result<Vec<Column>>,
) -> Result<Vec<Column>> {
    let [destination, replacement, source, expression] = args else {
        return columns();
    };
    let regex = anchored_regex(expression).map_err(|_| {
        execution(format!(
            "invalid regular expression in label_replace(): {expression}"
        ))
    })?;
    check_label(destination, "destination", "label_replace")?;
    let mut columns = columns()?;
    for column in &mut columns {
        let value = column.labels.get(source).unwrap_or_default();
        let Some(captures) = regex.captures(value) else {
            continue;
        };
        let mut replaced = String::new();
        captures.expand(replacement, &mut replaced);
        set_label(column, destination, replaced);
    }
    Ok(columns)
}

/// Arguments: destination, separator, sources.
pub(crate) fn label_join(
    args: &[&str],
    columns: impl FnOnce() -> Result<Vec<Column>>,
) -> Result<Vec<Column>> {
    let [destination, separator, sources @ ..] = args else {
        return columns();
    };
    for source in sources {
        check_label(source, "source", "label_join")?;
    }
    check_label(destination, "destination", "label_join")?;
    let mut columns = columns()?;
    for column in &mut columns {
        let values: Vec<&str> = sources
            .iter()
            .map(|source| column.labels.get(source).unwrap_or_default())
            .collect();
        let joined = values.join(separator);
        set_label(column, destination, joined);
    }
    Ok(columns)
}

fn set_label(column: &mut Column, name: &str, value: String) {
    let mut builder = column.labels.to_builder();
    builder.set(name, value);
    column.labels = builder.build();
    if name == METRIC_NAME {
        column.drop_name = false;
    }
}

/// Sorts by the values of some labels, numbers in them by size; equal ones by all labels. Over several steps
/// there is no order.
pub(crate) fn sort_by_label(
    mut columns: Vec<Column>,
    names: &[&str],
    steps: Steps,
    descending: bool,
) -> Vec<Column> {
    if steps.count != 1 {
        return columns;
    }
    let compare = |a: &Labels, b: &Labels| {
        let by_names = names
            .iter()
            .map(|name| natural(a.get(name).unwrap_or_default(), b.get(name).unwrap_or_default()));
        by_names
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| a.cmp(b))
    };
    columns.sort_by(|a, b| {
        let ascending = compare(&a.labels, &b.labels);
        if descending {
            ascending.reverse()
        } else {
            ascending
        }
    });
    columns
}

/// Compares texts with runs of digits as numbers.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() && !b.is_empty() {
        let ((a_part, a_rest), (b_part, b_rest)) = (chunk(a), chunk(b));
        let are_numbers = a_part.starts_with(|c: char| c.is_ascii_digit())
            && b_part.starts_with(|c: char| c.is_ascii_digit());
        let ordering = if are_numbers {
            let (a, b) = (a_part.trim_start_matches('0'), b_part.trim_start_matches('0'));
            a.len()
                .cmp(&b.len())
                .then_with(|| a.cmp(b))
                .then(a_part.len().cmp(&b_part.len()))
        } else {
            a_part.cmp(b_part)
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.len().cmp(&b.len())
}

/// The leading run of digits or of other characters, and the rest.
fn chunk(text: &str) -> (&str, &str) {
    let is_digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != is_digit)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_compare_by_size() {
        let check = |a: &str, b: &str, expected| assert_eq!(natural(a, b), expected, "{a} {b}");
        check("2", "10", Ordering::Less);
        check("4m600", "4m1000", Ordering::Less);
        check("1.11.3", "1.2.3", Ordering::Greater);
        check("a", "a1", Ordering::Less);
        check("a", "b", Ordering::Less);
        check("x", "x", Ordering::Equal);
    }
}
