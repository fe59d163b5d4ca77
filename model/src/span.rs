//! Traces: spans with their resource and scope.

use crate::{Attributes, Error, Resource, Result, Scope};
use std::fmt;
use std::sync::Arc;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub [u8; $len]);
        impl $name {
            /// Whether all bytes are zero, which the specification calls invalid.
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $len]
            }
            /// From hexadecimal; leading zeros may be missing, as in Jaeger's addresses.
            pub fn from_hex(text: &str) -> Result<Self> {
                let bad = || Error::bad_data(format!(concat!("{:?} is not an id of at most ", $len, " bytes in hexadecimal"), text));
                if text.is_empty() || text.len() > 2 * $len || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(bad());
                }
                let padded = format!("{text:0>width$}", width = 2 * $len);
                let mut bytes = [0; $len];
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&padded[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
                }
                Ok(Self(bytes))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

id!(
    /// Identifies a trace.
    TraceId, 16
);
id!(
    /// Identifies a span within its trace.
    SpanId, 8
);

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[allow(missing_docs, reason = "OpenTelemetry's own names")]
pub enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl SpanKind {
    /// OTLP's number.
    pub fn as_u8(self) -> u8 {
        self as u8
    }
    /// From OTLP's number; what is unknown is unspecified.
    pub fn from_u8(n: u8) -> Self {
        [
            Self::Unspecified,
            Self::Internal,
            Self::Server,
            Self::Client,
            Self::Producer,
            Self::Consumer,
        ]
        .get(usize::from(n))
        .copied()
        .unwrap_or_default()
    }
    /// Lower-case name, as Jaeger's `span.kind` tag has it; empty when unspecified.
    pub fn as_str(self) -> &'static str {
        ["", "internal", "server", "client", "producer", "consumer"][usize::from(self.as_u8())]
    }
}

/// Whether the work of a span succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs, reason = "OpenTelemetry's own names")]
pub enum StatusCode {
    #[default]
    Unset,
    Ok,
    Error,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanEvent {
    /// Nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// What happened.
    pub name: String,
    /// Details.
    pub attributes: Attributes,
}

/// A pointer to another span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanLink {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C trace state.
    pub trace_state: String,
    /// Details.
    pub attributes: Attributes,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The operation that caused it; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// W3C trace state.
    pub trace_state: String,
    /// W3C trace flags.
    pub flags: u32,
    /// The operation's name.
    pub name: String,
    /// Which side of a call.
    pub kind: SpanKind,
    /// Nanoseconds since the epoch.
    pub start_ns: i64,
    /// Nanoseconds since the epoch.
    pub end_ns: i64,
    /// Details.
    pub attributes: Attributes,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    /// Other spans.
    pub links: Vec<SpanLink>,
    /// Outcome.
    pub status: StatusCode,
    /// The outcome in words.
    pub status_message: String,
}

impl Span {
    /// End minus start, never negative, in nanoseconds.
    pub fn duration_ns(&self) -> i64 {
        self.end_ns.saturating_sub(self.start_ns).max(0)
    }
}

/// Spans of one resource and one scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceSpans {
    /// Where they come from.
    pub resource: Arc<Resource>,
    /// What made them.
    pub scope: Arc<Scope>,
    /// The spans.
    pub spans: Vec<Span>,
}

/// The payload of a batch of spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spans {
    /// Groups, in any order.
    pub groups: Vec<ResourceSpans>,
}

/// Spans on their way out. Unless the request's columns say otherwise, a trace's spans may be spread over
/// several batches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanBatch {
    /// Groups, in any order.
    pub groups: Vec<ResourceSpans>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_and_write_hexadecimal() {
        assert_eq!(SpanId::from_hex("ff").unwrap().to_string(), "00000000000000ff");
        let text = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(TraceId::from_hex(text).unwrap().to_string(), text);
        for bad in ["", "xyz", "0af7651916cd43dd8448eb211c80319c0", "é"] {
            assert!(TraceId::from_hex(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn kinds_keep_their_otlp_numbers() {
        for n in 0..=5 {
            assert_eq!(SpanKind::from_u8(n).as_u8(), n);
        }
        assert_eq!(SpanKind::from_u8(77), SpanKind::Unspecified);
        assert_eq!(SpanKind::Client.as_str(), "client");
    }
}
