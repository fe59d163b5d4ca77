//! A batch of log entries as bytes of a log record.

use crate::codec::{Decoder, put_int, put_str, put_uint};
use model::log::Metadata;
use model::{Labels, LabelsBuilder, LogEntry, LogStream, Logs, Result};

/// Appends labels: how many, then names and values.
pub(super) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_uint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_str(out, name);
        put_str(out, value);
    }
}

/// Reads labels.
pub(super) fn read_labels(decoder: &mut Decoder<'_>) -> Result<Labels> {
    let mut builder = LabelsBuilder::default();
    for _ in 0..decoder.count()? {
        builder.push(decoder.str()?, decoder.str()?);
    }
    Ok(builder.build())
}

pub(super) fn encode(logs: &Logs, out: &mut Vec<u8>) {
    put_uint(out, logs.streams.len() as u64);
    for stream in &logs.streams {
        put_labels(out, &stream.labels);
        put_uint(out, stream.entries.len() as u64);
        let mut last = 0;
        for entry in &stream.entries {
            put_int(out, entry.timestamp_ns.wrapping_sub(last));
            last = entry.timestamp_ns;
            put_str(out, &entry.line);
            put_uint(out, entry.metadata.len() as u64);
            for (key, value) in &entry.metadata {
                put_str(out, key);
                put_str(out, value);
            }
        }
    }
}

pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Logs> {
    let mut logs = Logs::default();
    for _ in 0..decoder.count()? {
        let mut stream = LogStream {
            labels: read_labels(decoder)?,
            entries: Vec::new(),
        };
        let mut last = 0_i64;
        for _ in 0..decoder.count()? {
            last = last.wrapping_add(decoder.int()?);
            let line = decoder.string()?;
            let metadata: Result<Metadata> = (0..decoder.count()?)
                .map(|_| Ok((decoder.string()?, decoder.string()?)))
                .collect();
            stream.entries.push(LogEntry {
                timestamp_ns: last,
                line,
                metadata: metadata?,
            });
        }
        logs.streams.push(stream);
    }
    Ok(logs)
}
