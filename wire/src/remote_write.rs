//! Prometheus remote write: protobuf of `prometheus.WriteRequest` (1.0) and of `io.prometheus.write.v2.Request`
//! (2.0), walked by hand. A body is packed with snappy's block format; see [`crate::compression`].
//!
//! Both become [`RawMetrics`]: the labels of a series are not decoded here, since a store that has seen their bytes
//! before knows the series by them. So nobody has looked at a label's content yet (is it UTF-8, sorted, unique?)
//! when a request comes out of [`decode_raw`].

mod columns;
mod encode;
mod encode_v2;
mod histogram;
mod v1;
mod v2;

pub use encode::encode;
pub use encode_v2::encode_v2;

use crate::{Decoded, Quota};
use model::{Error, ErrorKind, MetricType, Metrics, RawMetrics, Result};

/// Which of the two messages a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// `prometheus.WriteRequest` of remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request` of remote write 2.0.
    V2,
}

impl Message {
    /// Looks at the `Content-Type` of a request: none and `application/x-protobuf` are 1.0, unless the parameter
    /// `proto` names a message.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for anything else. Senders fall back to another message when they are told so.
    pub fn from_content_type(header: Option<&str>) -> Result<Self> {
        let shown = header.unwrap_or(Self::V1.content_type());
        let mut parts = shown.split(';').map(str::trim);
        let protobuf = parts
            .next()
            .is_some_and(|t| t.eq_ignore_ascii_case("application/x-protobuf"));
        let mut messages = parts
            .filter_map(|p| p.split_once('='))
            .filter(|(key, _)| key.trim().eq_ignore_ascii_case("proto"))
            .map(|(_, name)| name.trim().trim_matches('"'));
        let message = match messages.next() {
            None | Some("prometheus.WriteRequest") => Some(Self::V1),
            Some("io.prometheus.write.v2.Request") => Some(Self::V2),
            Some(_) => None,
        };
        message
            .filter(|_| protobuf && messages.next().is_none())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "content type {shown:?} is not supported; send remote write 2.0 as {} or 1.0 as {}",
                        Self::V2.content_type(),
                        Self::V1.content_type()
                    ),
                )
            })
    }
    /// The `Content-Type` of a request.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }
    /// The `X-Prometheus-Remote-Write-Version` of a request.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// Reads a request, unpacked; the body becomes the home of the label bytes. A histogram that contradicts itself is
/// refused for itself, the rest is taken. Labels are not looked at. A series without any point or exemplar is left
/// out.
///
/// # Errors
/// [`ErrorKind::BadData`] when the bytes are not such a message, [`ErrorKind::TooLarge`] when the quota is spent.
pub fn decode_raw(message: Message, body: Vec<u8>, quota: &Quota) -> Result<Decoded<RawMetrics>> {
    match message {
        Message::V1 => v1::decode(body, quota),
        Message::V2 => v2::decode(&body, quota),
    }
}

/// Reads a request of remote write 1.0 for somebody who wants labels.
///
/// # Errors
/// As [`decode_raw`], and [`ErrorKind::BadData`] when a label is not UTF-8 or damaged.
pub fn decode(body: &[u8], quota: &Quota) -> Result<Decoded<Metrics>> {
    let decoded = decode_raw(Message::V1, body.to_vec(), quota)?;
    Ok(Decoded {
        payload: decoded.payload.decode()?,
        rejected: decoded.rejected,
    })
}

/// The numbers of both protocols, in the order of the types.
const METRIC_TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn metric_type(number: i32) -> MetricType {
    usize::try_from(number)
        .ok()
        .and_then(|i| METRIC_TYPES.get(i).copied())
        .unwrap_or_default()
}

fn metric_type_number(metric_type: MetricType) -> u64 {
    METRIC_TYPES
        .iter()
        .position(|t| *t == metric_type)
        .expect("all types are in the list") as u64
}

#[cfg(test)]
mod tests;
