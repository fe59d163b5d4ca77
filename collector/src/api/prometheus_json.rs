//! Prometheus' JSON, to the letter: results, errors, and how numbers are written.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Error, ErrorKind, Labels, SeriesData};
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
            ErrorKind::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
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

/// A query's answer; one that is longer than the limit is an error.
pub fn query_answer(result: &QueryResult, max_bytes: u64) -> ApiResult {
    let mut out = String::from(r#"{"status":"success","data":"#);
    write_value(&mut out, &result.value);
    out.push('}');
    for (key, texts) in [("warnings", &result.warnings), ("infos", &result.infos)] {
        if !texts.is_empty() {
            out.truncate(out.len() - 1);
            let list = serde_json::to_string(texts).map_err(|e| Error::internal(e.to_string()))?;
            let _ = write!(out, r#","{key}":{list}}}"#);
        }
    }
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
                out.push_str(r#","value":"#);
                write_point(out, s.timestamp_ms, s.value);
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
    out.push_str(r#","values":["#);
    for (i, (t, v)) in series.timestamps_ms.iter().zip(&series.values).enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        write_point(out, *t, *v);
    }
    out.push_str("]}");
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
    out.push_str(",\"");
    write_float(out, value);
    out.push_str("\"]");
}

fn write_time(out: &mut String, timestamp_ms: i64) {
    let (whole, part) = (
        timestamp_ms.unsigned_abs() / 1000,
        timestamp_ms.unsigned_abs() % 1000,
    );
    let sign = if timestamp_ms < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{whole}");
    if part != 0 {
        let digits = format!("{part:03}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
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
    fn times_have_at_most_three_digits() {
        let check = |ms: i64, expected: &str| {
            let mut out = String::new();
            write_time(&mut out, ms);
            assert_eq!(out, expected);
        };
        check(1_435_781_451_781, "1435781451.781");
        check(1_000, "1");
        check(1_500, "1.5");
        check(10, "0.01");
        check(-1_500, "-1.5");
        check(0, "0");
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
        };
        assert!(query_answer(&result, 1_000).is_ok());
        let error = query_answer(&result, 10).err().unwrap();
        assert!(error.0.message().contains("max_response_bytes"));
    }
}
