//! OpenTelemetry's protocol: logs, traces and metrics from protobuf and JSON to the model, logs and spans back,
//! and the answers to exporters.
//!
//! Both encodings become the types of `opentelemetry-proto`, and from there on there is one way. Protobuf is
//! looked over before it is unpacked ([`Quota`]), because two bytes can become a struct of hundreds.

mod attributes;
mod encode;
mod guard;
mod json;
mod logs;
mod metrics;
mod names;
mod native;
mod response;
mod traces;

pub use encode::{encode_logs, encode_spans};
pub use response::{Signal, Status, encode_response, encode_status};

use crate::{Decoded, Quota};
use model::{Error, ErrorKind, Logs, Metrics, Result, Spans};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

/// How a request or an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// Reads a `Content-Type` header.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when there is none or it is another type.
    pub fn from_content_type(header: Option<&str>) -> Result<Self> {
        let media_type = header
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "content type {media_type:?} is not supported; send application/x-protobuf or application/json"
                ),
            )),
        }
    }
    /// The `Content-Type` of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Reads an `ExportLogsServiceRequest`. A record without any time gets `now_ns`.
///
/// # Errors
/// [`ErrorKind::BadData`] when the body is not such a request, [`ErrorKind::TooLarge`] when the quota is spent.
pub fn decode_logs(body: &[u8], encoding: Encoding, now_ns: i64, quota: &Quota) -> Result<Decoded<Logs>> {
    let request: ExportLogsServiceRequest = request(body, encoding, &guard::LOGS, quota)?;
    logs::to_model(request, now_ns, quota)
}

/// Reads an `ExportTraceServiceRequest`. Spans without valid ids are refused each for itself.
///
/// # Errors
/// [`ErrorKind::BadData`] when the body is not such a request, [`ErrorKind::TooLarge`] when the quota is spent.
pub fn decode_traces(body: &[u8], encoding: Encoding, quota: &Quota) -> Result<Decoded<Spans>> {
    let request: ExportTraceServiceRequest = request(body, encoding, &guard::TRACES, quota)?;
    Ok(traces::to_model(request))
}

/// Reads an `ExportMetricsServiceRequest` and names everything as Prometheus does. Points that can't become
/// samples (delta temporality, contradictions) are refused each for itself, counted in points. A point without
/// a time gets `now_ns`.
///
/// # Errors
/// [`ErrorKind::BadData`] when the body is not such a request, [`ErrorKind::TooLarge`] when the quota is spent.
pub fn decode_metrics(
    body: &[u8],
    encoding: Encoding,
    now_ns: i64,
    quota: &Quota,
) -> Result<Decoded<Metrics>> {
    let request: ExportMetricsServiceRequest = request(body, encoding, &guard::METRICS, quota)?;
    metrics::to_model(request, now_ns, quota)
}

fn request<T: prost::Message + Default + json::Object>(
    body: &[u8],
    encoding: Encoding,
    shape: &guard::Shape,
    quota: &Quota,
) -> Result<T> {
    match encoding {
        Encoding::Json => json::decode(body, quota),
        Encoding::Protobuf => {
            guard::check(body, shape, quota)?;
            T::decode(body).map_err(|e| Error::bad_data(format!("the body is not valid protobuf: {e}")))
        }
    }
}

/// Unsigned nanoseconds of the protocol in the model's signed ones; those after the year 2262 become the last.
fn nanos(unix_nano: u64) -> i64 {
    i64::try_from(unix_nano).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
