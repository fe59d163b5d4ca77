//! Prometheus' JSON, to the letter: results, errors, and how numbers are written.

use super::prometheus_explain::Part;
use super::prometheus_stats::Stats;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::metric::Histogram;
use model::{Error, ErrorKind, Exemplar, Labels, SeriesData};
use query::promql::{QueryResult, QueryValue};
use serde::Serialize;
use std::fmt::Write as _;

/// An error in Prometheus' form.
pub struct ApiError(pub Error);

impl From<Error> for ApiError {
    fn from(e: Error) -> Self {
        Self(e)
    }
}

/// Result of a handler of this API.
pub type ApiResult = Result<Response, ApiError>;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind) = match self.0.kind() {
            ErrorKind::BadData => (StatusCode::BAD_REQUEST, "bad_data"),
            ErrorKind::Execution | ErrorKind::LimitReached => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            ErrorKind::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            ErrorKind::Cancelled => (client_closed_connection(), "canceled"),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            _ => (runtime::http::status_of(&self.0), "internal"),
        };
        let body = serde_json::json!({ "status": "error", "errorType": kind, "error": self.0.message() });
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/json")],
            body.to_string(),
        )
            .into_response();
        if let Some(after) = runtime::http::retry_after(&self.0) {
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}

/// The status that nginx invented for it.
fn client_closed_connection() -> StatusCode {
    StatusCode::from_u16(499).expect("three digits")
}

/// `{"status":"success","data":…}` around anything that serialises.
pub fn success(data: &impl Serialize) -> ApiResult {
    let body = serde_json::to_string(data).map_err(|e| Error::internal(e.to_string()))?;
    Ok(json(format!(r#"{{"status":"success","data":{body}}}"#)))
}

/// Done, and nothing to say.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
/// A JSON body.
pub fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `{"status":"success","data":…}` around JSON, with warnings.
pub fn success_with(data: &str, warnings: &[String]) -> Response {
    let mut out = format!(r#"{{"status":"success","data":{data}"#);
    write_notes(&mut out, "warnings", "warning", warnings);
    out.push('}');
    json(out)
}

/// Warnings, and infos, of one answer; of more it is said how many.
const MAX_NOTES: usize = 10;

fn write_notes(out: &mut String, key: &str, kind: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let mut shown: Vec<String> = texts.iter().take(MAX_NOTES).map(|t| quoted(t)).collect();
    if texts.len() > MAX_NOTES {
        let more = texts.len() - MAX_NOTES;
        shown.push(quoted(&format!("{more} more {kind} annotations omitted")));
    }
    let _ = write!(out, r#","{key}":[{}]"#, shown.join(","));
}

/// A query's answer, with its statistics where they are asked for; one that is longer than the limit is an error.
pub fn query_answer(result: &QueryResult, stats: Option<&Stats>, max_bytes: u64) -> ApiResult {
    let mut out = String::from(r#"{"status":"success","data":"#);
    write_value(&mut out, &result.value);
    if let Some(stats) = stats {
        out.pop();
        let stats = serde_json::to_string(stats).map_err(|e| Error::internal(e.to_string()))?;
        let _ = write!(out, r#","stats":{stats}}}"#);
    }
    if let Some(explained) = &result.explained {
        out.pop();
        let parts = serde_json::to_string(&Part::from(explained));
        let parts = parts.map_err(|e| Error::internal(e.to_string()))?;
        let _ = write!(out, r#","explain":{parts}}}"#);
    }
    write_notes(&mut out, "warnings", "warning", &result.warnings);
    write_notes(&mut out, "infos", "info", &result.infos);
    out.push('}');
    if out.len() as u64 > max_bytes {
        let message = format!(
            "the answer has {} bytes, more than {max_bytes} (limits.query.max_response_bytes); narrow the query or use a larger step",
            out.len()
        );
        return Err(Error::limit(message).into());
    }
    Ok(json(out))
}

/// `{"resultType":…,"result":…}`.
pub fn write_value(out: &mut String, value: &QueryValue) {
    match value {
        QueryValue::Scalar(s) => {
            out.push_str(r#"{"resultType":"scalar","result":"#);
            write_point(out, s.timestamp_ms, s.value);
            out.push('}');
        }
        QueryValue::String { timestamp_ms, value } => {
            out.push_str(r#"{"resultType":"string","result":["#);
            write_time(out, *timestamp_ms);
            let _ = write!(out, ",{}]}}", quoted(value));
        }
        QueryValue::Vector(samples) => {
            out.push_str(r#"{"resultType":"vector","result":["#);
            for (i, s) in samples.iter().enumerate() {
                out.push_str(if i == 0 { r#"{"metric":"# } else { r#",{"metric":"# });
                write_labels(out, &s.labels);
                if let Some(histogram) = &s.histogram {
                    out.push_str(r#","histogram":"#);
                    write_histogram_point(out, s.timestamp_ms, histogram);
                } else {
                    out.push_str(r#","value":"#);
                    write_point(out, s.timestamp_ms, s.value);
                }
                out.push('}');
            }
            out.push_str("]}");
        }
        QueryValue::Matrix(series) => {
            out.push_str(r#"{"resultType":"matrix","result":["#);
            for (i, s) in series.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write_series(out, s);
            }
            out.push_str("]}");
        }
    }
}

fn write_series(out: &mut String, series: &SeriesData) {
    out.push_str(r#"{"metric":"#);
    write_labels(out, &series.labels);
    for (i, (t, v)) in series.timestamps_ms.iter().zip(&series.values).enumerate() {
        out.push_str(if i == 0 { r#","values":["# } else { "," });
        write_point(out, *t, *v);
    }
    if !series.timestamps_ms.is_empty() {
        out.push(']');
    }
    for (i, h) in series.histograms.iter().enumerate() {
        out.push_str(if i == 0 { r#","histograms":["# } else { "," });
        write_histogram_point(out, h.timestamp_ms, &h.histogram);
    }
    if !series.histograms.is_empty() {
        out.push(']');
    }
    out.push('}');
}

/// `[1435781451.781,{"count":"3","sum":"6","buckets":[[0,"1","2","3"]]}]`; empty buckets are left out.
fn write_histogram_point(out: &mut String, timestamp_ms: i64, histogram: &Histogram) {
    out.push('[');
    write_time(out, timestamp_ms);
    out.push_str(r#",{"count":"#);
    write_number(out, histogram.count);
    out.push_str(r#","sum":"#);
    write_number(out, histogram.sum);
    let mut any = false;
    for bucket in histogram.buckets().filter(|b| b.count != 0.0) {
        out.push_str(if any { "," } else { r#","buckets":["# });
        any = true;
        let _ = write!(out, "[{}", bucket.boundary_rule());
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(',');
            write_number(out, number);
        }
        out.push(']');
    }
    out.push_str(if any { "]}]" } else { "}]" });
}

/// `[{"seriesLabels":{…},"exemplars":[{"labels":{…},"value":"1","timestamp":1435781451.781}]}]`.
pub fn write_exemplars(out: &mut String, series: &[(Labels, Vec<Exemplar>)]) {
    out.push('[');
    for (i, (labels, exemplars)) in series.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(r#"{"seriesLabels":"#);
        write_labels(out, labels);
        for (i, e) in exemplars.iter().enumerate() {
            out.push_str(if i == 0 { r#","exemplars":["# } else { "," });
            out.push_str(r#"{"labels":"#);
            write_labels(out, &e.labels);
            out.push_str(r#","value":"#);
            write_number(out, e.value);
            out.push_str(r#","timestamp":"#);
            write_time(out, e.timestamp_ms);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push(']');
}

/// `{"a":"b"}`.
pub fn write_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        let _ = write!(
            out,
            "{}{}:{}",
            if i == 0 { "" } else { "," },
            quoted(name),
            quoted(value)
        );
    }
    out.push('}');
}

/// `[1435781451.781,"1"]`.
pub fn write_point(out: &mut String, timestamp_ms: i64, value: f64) {
    out.push('[');
    write_time(out, timestamp_ms);
    out.push(',');
    write_number(out, value);
    out.push(']');
}

/// A number in quotes, since JSON knows no infinity.
fn write_number(out: &mut String, value: f64) {
    out.push('"');
    write_float(out, value);
    out.push('"');
}

fn write_time(out: &mut String, timestamp_ms: i64) {
    let (whole, part) = (
        timestamp_ms.unsigned_abs() / 1000,
        timestamp_ms.unsigned_abs() % 1000,
    );
    let sign = if timestamp_ms < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{whole}");
    if part != 0 {
        let _ = write!(out, ".{part:03}");
    }
}

/// The shortest text that reads back as the same number; with an exponent below 1e-6 and from 1e21, as Go's
/// encoder does for JSON.
pub fn write_float(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        // Go writes at least two digits and always a sign: 1e-07, 1e+21.
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
        let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
    } else {
        let _ = write!(out, "{value}");
    }
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metric::HistogramSample;

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        let check = |v: f64, expected: &str| {
            let mut out = String::new();
            write_float(&mut out, v);
            assert_eq!(out, expected);
        };
        check(1.0, "1");
        check(0.1, "0.1");
        check(-0.0, "-0");
        check(1e21, "1e+21");
        check(1.5e-7, "1.5e-07");
        check(123_456_789_012_345_680_000.0, "123456789012345680000");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn times_have_three_digits_or_none() {
        let check = |ms: i64, expected: &str| {
            let mut out = String::new();
            write_time(&mut out, ms);
            assert_eq!(out, expected);
        };
        check(1_435_781_451_781, "1435781451.781");
        check(1_000, "1");
        check(1_500, "1.500");
        check(10, "0.010");
        check(-1_500, "-1.500");
        check(0, "0");
    }

    #[test]
    fn series_have_values_and_histograms_where_there_are_some() {
        let check = |values: &[i64], histograms: &[i64], expected: &str| {
            let of = |timestamp_ms: &i64| HistogramSample {
                timestamp_ms: *timestamp_ms,
                start_timestamp_ms: 0,
                histogram: Histogram {
                    count: 1.0,
                    sum: f64::NAN,
                    positive: vec![(1, 1.0), (2, 0.0)],
                    ..Histogram::default()
                },
            };
            let series = SeriesData {
                timestamps_ms: values.to_vec(),
                values: vec![0.5; values.len()],
                histograms: histograms.iter().map(of).collect(),
                ..SeriesData::default()
            };
            let mut out = String::new();
            write_series(&mut out, &series);
            assert_eq!(out, expected);
        };
        check(&[], &[], r#"{"metric":{}}"#);
        check(
            &[1000, 2000],
            &[],
            r#"{"metric":{},"values":[[1,"0.5"],[2,"0.5"]]}"#,
        );
        let histogram = r#"{"count":"1","sum":"NaN","buckets":[[0,"1","2","1"]]}"#;
        check(
            &[],
            &[1000, 1001],
            &format!(r#"{{"metric":{{}},"histograms":[[1,{histogram}],[1.001,{histogram}]]}}"#),
        );
        check(
            &[1000],
            &[2000],
            &format!(r#"{{"metric":{{}},"values":[[1,"0.5"]],"histograms":[[2,{histogram}]]}}"#),
        );
        let mut out = String::new();
        write_histogram_point(&mut out, 0, &Histogram::default());
        assert_eq!(out, r#"[0,{"count":"0","sum":"0"}]"#);
    }

    #[test]
    fn many_notes_are_cut_off() {
        let check = |n: usize, last: Option<&str>| {
            let texts: Vec<String> = (0..n).map(|i| format!("note {i}")).collect();
            let mut out = String::new();
            write_notes(&mut out, "infos", "info", &texts);
            match last {
                None => assert_eq!(out, ""),
                Some(last) => assert!(out.ends_with(&format!(",\"{last}\"]")), "{out}"),
            }
        };
        check(0, None);
        check(10, Some("note 9"));
        check(11, Some("1 more info annotations omitted"));
        check(15, Some("5 more info annotations omitted"));
    }

    #[test]
    fn an_answer_over_the_limit_is_an_error() {
        let result = QueryResult {
            value: QueryValue::Scalar(model::Sample {
                timestamp_ms: 0,
                value: 1.0,
            }),
            warnings: vec!["careful".into()],
            infos: vec![],
            explained: None,
            timings: query::promql::Timings::default(),
        };
        assert!(query_answer(&result, None, 1_000).is_ok());
        let error = query_answer(&result, None, 10).err().unwrap();
        assert!(error.0.message().contains("max_response_bytes"));
    }
}
