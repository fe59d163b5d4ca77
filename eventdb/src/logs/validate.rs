//! What a batch of log entries must satisfy; the rest is refused item by item.

use super::head::LogHead;
use crate::engine::Context;
use model::{IngestLimits, Labels, LogEntry, Logs, WriteOutcome};
use std::collections::HashSet;

/// The metadata pair that marks a line that was cut; its value is the line's length before, in bytes.
pub const CUT_MARK: &str = "binnacle_cut_from_bytes";

/// Lines are never longer than this, whatever the limit says: blocks address lines with 32 bits.
const MAX_LINE_BYTES: usize = 64 << 20;

pub(super) fn validate(context: &Context, head: &LogHead, logs: &mut Logs) -> WriteOutcome {
    let limits = &context.options.limits;
    let now = context.clock.now_ns();
    let (oldest, newest) = (context.oldest_kept_ns(now), context.newest_taken_ns(now));
    let mut outcome = WriteOutcome::default();
    let mut new_streams = HashSet::new();
    logs.streams.retain_mut(|stream| {
        let count = stream.entries.len() as u64;
        if let Err(message) = check_labels(limits, &stream.labels) {
            outcome.reject("label_limit", count, || message);
            return false;
        }
        if !has_room(limits, head, &mut new_streams, &stream.labels) {
            outcome.reject("stream_limit", count, || {
                format!(
                    "stream {} is not taken: {} streams are active already (limits.ingest.max_streams)",
                    stream.labels, limits.max_streams
                )
            });
            return false;
        }
        stream.entries.retain_mut(|entry| {
            if entry.timestamp_ns < oldest {
                outcome.reject("too_old", 1, || {
                    format!("an entry of {} is older than the retention", stream.labels)
                });
                return false;
            }
            if entry.timestamp_ns > newest {
                outcome.reject("too_far_in_future", 1, || {
                    format!("an entry of {} is too far in the future (limits.ingest.max_future_ms)", stream.labels)
                });
                return false;
            }
            if metadata_bytes(entry) > limits.max_line_bytes || entry.metadata.len() > MAX_METADATA_PAIRS {
                outcome.reject("metadata_limit", 1, || {
                    format!(
                        "the structured metadata of an entry of {} is over {MAX_METADATA_PAIRS} pairs or {} bytes \
                         (limits.ingest.max_line_bytes)",
                        stream.labels, limits.max_line_bytes
                    )
                });
                return false;
            }
            if cut(entry, limits.max_line_bytes.min(MAX_LINE_BYTES)) {
                context.metrics.lines_cut.inc();
            }
            true
        });
        !stream.entries.is_empty()
    });
    outcome
}

/// Pairs of structured metadata of one entry.
const MAX_METADATA_PAIRS: usize = 256;

fn metadata_bytes(entry: &LogEntry) -> usize {
    entry.metadata.iter().map(|(k, v)| k.len() + v.len()).sum()
}

fn check_labels(limits: &IngestLimits, labels: &Labels) -> Result<(), String> {
    if labels.len() > limits.max_labels {
        return Err(format!(
            "a stream has {} labels, {} are allowed (limits.ingest.max_labels)",
            labels.len(),
            limits.max_labels
        ));
    }
    for (name, value) in labels.iter() {
        let shown: String = name.chars().take(64).collect();
        if name.len() > limits.max_label_name_bytes {
            return Err(format!(
                "the label name {shown:?}… is longer than {} bytes (limits.ingest.max_label_name_bytes)",
                limits.max_label_name_bytes
            ));
        }
        if value.len() > limits.max_label_value_bytes {
            return Err(format!(
                "the value of label {shown:?} is longer than {} bytes (limits.ingest.max_label_value_bytes)",
                limits.max_label_value_bytes
            ));
        }
    }
    Ok(())
}

fn has_room(limits: &IngestLimits, head: &LogHead, new: &mut HashSet<Labels>, labels: &Labels) -> bool {
    if head.has_stream(labels) || new.contains(labels) {
        return true;
    }
    let has_room = ((head.len() + new.len()) as u64) < limits.max_streams;
    if has_room {
        new.insert(labels.clone());
    }
    has_room
}

/// Cuts a line that is too long, between two characters, and marks the entry.
fn cut(entry: &mut LogEntry, max_bytes: usize) -> bool {
    if entry.line.len() <= max_bytes {
        return false;
    }
    let before = entry.line.len();
    let end = (0..=max_bytes)
        .rev()
        .find(|i| entry.line.is_char_boundary(*i))
        .unwrap_or(0);
    entry.line.truncate(end);
    entry.line.shrink_to_fit();
    entry.metadata.push((CUT_MARK.to_owned(), before.to_string()));
    true
}
