//! Prometheus' query API, asked with as little effort as goes.

use crate::http::{Connection, escaped};
use crate::server::Server;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The labels of a series.
pub(crate) type Labels = BTreeMap<String, String>;

/// A query's series, of either shape.
#[derive(Debug, Deserialize)]
pub(crate) struct Series<'a> {
    #[serde(default)]
    pub(crate) metric: Labels,
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(borrow, default)]
    value: Option<(f64, Cow<'a, str>)>,
}

impl Series<'_> {
    /// Milliseconds and values in their text form.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (i64, &str)> {
        let all = self.values.iter().chain(&self.value);
        all.map(|(time_s, value)| ((time_s * 1000.0).round() as i64, value.as_ref()))
    }
    /// Milliseconds and values.
    pub(crate) fn points(&self) -> Result<Vec<(i64, f64)>> {
        self.texts()
            .map(|(time_ms, value)| Ok((time_ms, number(value)?)))
            .collect()
    }
}

fn number(text: &str) -> Result<f64> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ => text.parse().with_context(|| format!("not a value: {text:?}")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector<'a> {
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    error: Option<String>,
    #[serde(default = "Option::default")]
    data: Option<T>,
}

/// The address of an instant query.
pub(crate) fn instant(server: &Server, expression: &str, time_s: i64) -> String {
    let more = server.program.query_parameters();
    format!("/api/v1/query?query={}&time={time_s}{more}", escaped(expression))
}

/// The address of a range query.
pub(crate) fn range(server: &Server, expression: &str, start_s: i64, end_s: i64, step_s: i64) -> String {
    let more = server.program.query_parameters();
    let query = escaped(expression);
    format!("/api/v1/query_range?query={query}&start={start_s}&end={end_s}&step={step_s}{more}")
}

/// The body of an answer that says success.
pub(crate) fn fetch(connection: &mut Connection, address: &str) -> Result<Vec<u8>> {
    let answer = connection.get(address)?;
    if !answer.is_success() {
        bail!("{}: {}", answer.status, answer.text());
    }
    Ok(answer.body)
}

/// The series of an answer to a query.
pub(crate) fn series(body: &[u8]) -> Result<Vec<Series<'_>>> {
    let envelope: Envelope<Vector<'_>> = serde_json::from_slice(body).context("an answer to a query")?;
    Ok(envelope
        .data
        .with_context(|| format!("no data: {:?}", envelope.error))?
        .result)
}

/// The list of an answer to a question about labels and series.
pub(crate) fn list<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>> {
    let envelope: Envelope<Vec<T>> = serde_json::from_slice(body).context("a list")?;
    envelope
        .data
        .with_context(|| format!("no data: {:?}", envelope.error))
}

/// The value of an instant query for one series; 0 for none, as of a count.
pub(crate) fn value(server: &Server, expression: &str, time_s: i64) -> Result<f64> {
    let body = fetch(
        &mut Connection::new(server.port),
        &instant(server, expression, time_s),
    )?;
    let Some(first) = series(&body)?.into_iter().next() else {
        return Ok(0.0);
    };
    Ok(first
        .points()?
        .first()
        .context("a vector's series has a value")?
        .1)
}

#[cfg(test)]
mod tests {
    use super::{list, series};

    #[test]
    fn answers_of_each_shape_are_read() {
        let check = |body: &str, expected: &[(i64, f64)]| {
            let all = series(body.as_bytes()).unwrap();
            assert_eq!(all[0].points().unwrap(), expected, "{body}");
        };
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.001,"+Inf"]}]}}"#;
        check(vector, &[(1001, f64::INFINITY)]);
        let matrix = r#"{"data":{"result":[{"metric":{"a":"b"},"values":[[1,"0.5"],[2.5,"-1e3"]]}]}}"#;
        check(matrix, &[(1000, 0.5), (2500, -1000.0)]);
        assert_eq!(list::<String>(br#"{"data":["a"]}"#).unwrap(), ["a"]);
        assert!(series(br#"{"status":"error","error":"no"}"#).is_err());
    }
}
