//! Answers to exporters: `Export…ServiceResponse` with partial success, and `google.rpc.Status`.

use super::Encoding;
use crate::protobuf::Writer;
use std::time::Duration;

/// Which of the three services answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Logs; counted in records.
    Logs,
    /// Traces; counted in spans.
    Traces,
    /// Metrics; counted in data points.
    Metrics,
}

impl Signal {
    fn rejected_field(self) -> &'static str {
        match self {
            Self::Logs => "rejectedLogRecords",
            Self::Traces => "rejectedSpans",
            Self::Metrics => "rejectedDataPoints",
        }
    }
}

/// Writes the answer to a request that was taken, but for `rejected` items.
pub fn encode_response(signal: Signal, rejected: u64, message: &str, encoding: Encoding) -> Vec<u8> {
    let complete = rejected == 0 && message.is_empty();
    match encoding {
        Encoding::Protobuf if complete => Vec::new(),
        Encoding::Protobuf => {
            let mut w = Writer::default();
            w.message(1, |w| {
                w.uint(1, rejected);
                w.text(2, message);
            });
            w.finish()
        }
        Encoding::Json if complete => b"{}".to_vec(),
        Encoding::Json => {
            let partial =
                serde_json::json!({ signal.rejected_field(): rejected.to_string(), "errorMessage": message });
            serde_json::json!({ "partialSuccess": partial })
                .to_string()
                .into_bytes()
        }
    }
}

/// A `google.rpc.Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status<'a> {
    /// A code of gRPC.
    pub code: i32,
    /// One sentence.
    pub message: &'a str,
    /// When to try again; goes along as `google.rpc.RetryInfo`.
    pub retry_after: Option<Duration>,
}

/// Writes a status: the body of a failed HTTP request, or the `grpc-status-details-bin` of a failed call.
pub fn encode_status(status: &Status<'_>, encoding: Encoding) -> Vec<u8> {
    const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
    match encoding {
        Encoding::Protobuf => {
            let mut w = Writer::default();
            w.int(1, i64::from(status.code));
            w.text(2, status.message);
            if let Some(after) = status.retry_after {
                w.message(3, |w| {
                    w.text(1, RETRY_INFO);
                    w.message(2, |w| {
                        w.message(1, |w| {
                            w.uint(1, after.as_secs());
                            w.uint(2, u64::from(after.subsec_nanos()));
                        });
                    });
                });
            }
            w.finish()
        }
        Encoding::Json => {
            let mut json = serde_json::json!({ "code": status.code, "message": status.message });
            if let Some(after) = status.retry_after {
                let delay = format!("{}s", after.as_secs_f64());
                json["details"] = serde_json::json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
            }
            json.to_string().into_bytes()
        }
    }
}
