//! Logs: entries in streams.

use crate::{Labels, TimeRange};

/// Structured metadata of an entry: pairs beside the line that are not part of the stream's identity.
pub type Metadata = Vec<(String, String)>;

/// One log line with its time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogEntry {
    /// Nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// The line, without its line break.
    pub line: String,
    /// Structured metadata.
    pub metadata: Metadata,
}

/// New entries of one stream, on their way in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogStream {
    /// The stream's identity; see [`crate::identity`].
    pub labels: Labels,
    /// Entries in any order.
    pub entries: Vec<LogEntry>,
}

/// The payload of a batch of logs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// Streams, each with its new entries. A stream may occur more than once.
    pub streams: Vec<LogStream>,
}

/// Entries of one stream on their way out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogBatch {
    /// The stream.
    pub labels: Labels,
    /// Entries, in the order that the request asked for.
    pub entries: Vec<LogEntry>,
}

impl LogBatch {
    /// The times of the first and last entries, `None` when there are none.
    pub fn range(&self) -> Option<TimeRange> {
        let times = self.entries.iter().map(|e| e.timestamp_ns);
        Some(TimeRange {
            start_ns: times.clone().min()?,
            end_ns: times.max()?,
        })
    }
}
