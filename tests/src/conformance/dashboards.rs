//! Suite dashboards: the PromQL expressions of Grafana dashboards must parse.

use super::Case;
use anyhow::{Context as _, Result};
use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;

/// Runs a dashboard's file: one case for each expression that it has, once.
pub(super) fn run(path: &Path) -> Result<Vec<Case>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| shown.to_string())?;
    let mut cases = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let Some(expr) = expression(line).with_context(|| format!("{shown}:{}", at + 1))? else {
            continue;
        };
        let expr = substituted(&expr)?;
        if is_logql(&expr) || !seen.insert(expr.clone()) {
            continue;
        }
        let failure = query::promql::parse(&expr).err().map(|e| e.message().to_owned());
        cases.push(Case {
            line: at + 1,
            name: expr,
            failure,
        });
    }
    Ok(cases)
}

/// The value of the key `expr` of a line. Dashboards are stored with a line for each key.
fn expression(line: &str) -> Result<Option<String>> {
    let Some(value) = line.trim().strip_prefix("\"expr\":") else {
        return Ok(None);
    };
    let value = value.trim().trim_end_matches(',');
    Ok(Some(serde_json::from_str(value)?))
}

/// An expression with values for the dashboard's variables.
fn substituted(expr: &str) -> Result<String> {
    let durations = Regex::new(r"\$\{?__(?:rate_interval|interval|auto)\b\}?")?;
    let range = Regex::new(r"\$\{?__range\b\}?")?;
    let in_regex = Regex::new(r#"([=!]~\s*"[^"]*)\$\{?[A-Za-z_]\w*(?::\w+)?\}?"#)?;
    let elsewhere = Regex::new(r"\$\{?[A-Za-z_]\w*(?::\w+)?\}?")?;
    let mut expr = durations.replace_all(expr, "5m").into_owned();
    expr = range.replace_all(&expr, "1h").into_owned();
    // A matcher may have several.
    while in_regex.is_match(&expr) {
        expr = in_regex.replace_all(&expr, "${1}.*").into_owned();
    }
    Ok(elsewhere.replace_all(&expr, "value").into_owned())
}

/// Whether it asks a log store: it has a pipe outside of quoted texts.
fn is_logql(expr: &str) -> bool {
    let mut quote = None;
    expr.chars().any(|c| {
        match (quote, c) {
            (None, '"' | '\'' | '`') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        quote.is_none() && c == '|'
    })
}
