//! Loki's push API: protobuf (packed with snappy's block format) and JSON.

mod json;
mod labels;
mod protobuf;

pub use json::decode_json;
pub use labels::parse_labels;
pub use protobuf::{decode_protobuf, encode_protobuf};

use crate::Decoded;
use model::{Error, ErrorKind, Labels, LogEntry, LogStream, Logs, Result};

/// How a push request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-protobuf`, always packed with snappy.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Format {
    /// Reads a `Content-Type` header; none means protobuf, as in Loki.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for any other type.
    pub fn from_content_type(header: Option<&str>) -> Result<Self> {
        let header = header.unwrap_or("application/x-protobuf");
        match header
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "content type {header:?} is not supported; send application/json or application/x-protobuf"
                ),
            )),
        }
    }
}

/// Takes a stream in, or refuses its entries when its labels can't be: `labels` holds them, or says why not.
fn add_stream(decoded: &mut Decoded<Logs>, labels: Result<Labels>, entries: Vec<LogEntry>) {
    let count = entries.len() as u64;
    match labels {
        Ok(labels) if labels.is_empty() => {
            decoded.reject("missing_labels", count, || {
                "a stream has no labels; give each stream at least one".to_owned()
            });
        }
        Ok(labels) => decoded.payload.streams.push(LogStream { labels, entries }),
        Err(e) => decoded.reject("invalid_labels", count, || e.message().to_owned()),
    }
}

#[cfg(test)]
mod tests;
