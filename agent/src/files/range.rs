//! Bytes of a file as log streams.

use super::decode::{Decoded, Line};
use super::enrich;
use model::{Labels, LogEntry, LogStream};
use std::sync::Arc;
use wire::container_log::Output;

/// The labels of a file's streams, made once per file.
#[derive(Debug, Clone)]
pub(super) struct StreamLabels {
    plain: Labels,
    stdout: Labels,
    stderr: Labels,
}

impl StreamLabels {
    /// `make` gives the labels for each output.
    pub(super) fn new(make: impl Fn(Option<&str>) -> Labels) -> Arc<Self> {
        Arc::new(Self {
            plain: make(None),
            stdout: make(Some("stdout")),
            stderr: make(Some("stderr")),
        })
    }
    fn of(&self, output: Option<Output>) -> &Labels {
        match output {
            None => &self.plain,
            Some(Output::Stdout) => &self.stdout,
            Some(Output::Stderr) => &self.stderr,
        }
    }
}

/// The streams of one range. Lines without a time get the time at which they were read, each a nanosecond after
/// the other so that their order is kept.
pub(super) fn streams(decoded: Decoded, labels: &StreamLabels, read_at_ns: i64) -> Vec<LogStream> {
    let mut streams: Vec<LogStream> = Vec::new();
    let mut next_ns = read_at_ns;
    for Line {
        timestamp_ns,
        output,
        text,
    } in decoded.lines
    {
        let labels = labels.of(output);
        let timestamp_ns = timestamp_ns.unwrap_or_else(|| {
            next_ns += 1;
            next_ns
        });
        let entry = LogEntry {
            timestamp_ns,
            metadata: enrich::metadata(&text),
            line: text,
        };
        match streams.iter_mut().find(|s| s.labels == *labels) {
            Some(stream) => stream.entries.push(entry),
            None => streams.push(LogStream {
                labels: labels.clone(),
                entries: vec![entry],
            }),
        }
    }
    streams
}
