//! Answers of two servers to the same range query, and whether they are alike.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A range query: what, from when to when in Unix seconds, and at which step.
#[derive(Debug, Clone)]
pub struct RangeQuery {
    /// The expression.
    pub query: String,
    /// The first time.
    pub start: String,
    /// The last time.
    pub end: String,
    /// The seconds between two times.
    pub step: String,
}

impl RangeQuery {
    /// The result, sorted by series; an empty one is an error.
    pub async fn ask(&self, client: &reqwest::Client, base: &str) -> Result<Value> {
        let parameters = [
            ("query", &self.query),
            ("start", &self.start),
            ("end", &self.end),
            ("step", &self.step),
        ];
        let request = client
            .get(format!("{base}/api/v1/query_range"))
            .query(&parameters);
        let answer: Value = request.send().await?.json().await?;
        let mut result = answer["data"]["result"].clone();
        let series = result
            .as_array_mut()
            .with_context(|| format!("{self:?}: {answer}"))?;
        series.sort_by_key(|s| s["metric"].to_string());
        ensure!(!series.is_empty(), "{self:?}: no series");
        Ok(result)
    }
}

/// Labels, times and values of each series.
type Points = Vec<(String, Vec<(f64, f64)>)>;

fn points(answer: &Value) -> Result<Points> {
    let series = answer.as_array().context("a list of series")?.iter();
    let one = |s: &Value| -> Result<(String, Vec<(f64, f64)>)> {
        let values = s["values"].as_array().context("values")?.iter();
        let point = |p: &Value| -> Result<(f64, f64)> {
            let value = p[1].as_str().context("a value is text")?.parse()?;
            Ok((p[0].as_f64().context("a time")?, value))
        };
        Ok((s["metric"].to_string(), values.map(point).collect::<Result<_>>()?))
    };
    series.map(one).collect()
}

/// Fails unless both have the same series, times and values. Values may differ in the last digits: the two add up in
/// another order.
pub fn ensure_alike(ours: &Value, theirs: &Value) -> Result<()> {
    let (ours, theirs) = (points(ours)?, points(theirs)?);
    ensure!(
        ours.len() == theirs.len(),
        "{} series instead of {}",
        ours.len(),
        theirs.len()
    );
    for (a, b) in ours.iter().zip(&theirs) {
        ensure!(
            (&a.0, a.1.len()) == (&b.0, b.1.len()),
            "{} with {} points instead of {} with {}",
            a.0,
            a.1.len(),
            b.0,
            b.1.len()
        );
        for (x, y) in a.1.iter().zip(&b.1) {
            let is_near = x.1 == y.1 || (x.1 - y.1).abs() <= 1e-9 * y.1.abs();
            let is_alike = x.0 == y.0 && (is_near || x.1.is_nan() && y.1.is_nan());
            ensure!(is_alike, "{}: {x:?} instead of {y:?}", a.0);
        }
    }
    Ok(())
}
