//! `logproto.PushRequest`, unpacked, to the model and back.

use super::{add_stream, parse_labels};
use crate::protobuf::{Field, Reader, Writer};
use crate::{Decoded, Quota};
use model::log::Metadata;
use model::time::NS_PER_S;
use model::{Labels, LogEntry, LogStream, Logs, Result};

/// Reads a `logproto.PushRequest`. Streams without labels, or with labels that can't be read, are refused each
/// for itself.
///
/// # Errors
/// [`model::ErrorKind::BadData`] when the bytes are not such a message, [`model::ErrorKind::TooLarge`] when the
/// quota is spent.
pub fn decode_protobuf(body: &[u8], quota: &Quota) -> Result<Decoded<Logs>> {
    let mut decoded = Decoded::default();
    let mut request = Reader::new(body);
    while let Some((number, field)) = request.next()? {
        if number == 1 {
            stream(field.bytes()?, quota, &mut decoded)?;
        }
    }
    Ok(decoded)
}

fn stream(message: &[u8], quota: &Quota, decoded: &mut Decoded<Logs>) -> Result<()> {
    quota.take_one::<LogStream>()?;
    let (mut labels, mut entries) = ("{}", Vec::new());
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => labels = field.text()?,
            2 => entries.push(entry(field.bytes()?, quota)?),
            _ => {}
        }
    }
    quota.take(4 * labels.len())?;
    add_stream(decoded, parse_labels(labels), entries);
    Ok(())
}

fn entry(message: &[u8], quota: &Quota) -> Result<LogEntry> {
    quota.take(size_of::<LogEntry>() + message.len())?;
    let mut entry = LogEntry::default();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => entry.timestamp_ns = timestamp(field)?,
            2 => entry.line = String::from_utf8_lossy(field.bytes()?).into_owned(),
            3 => entry.metadata.extend(pair(field, quota)?),
            _ => {}
        }
    }
    Ok(entry)
}

fn timestamp(field: Field<'_>) -> Result<i64> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut reader = Reader::new(field.bytes()?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => seconds = field.int()?,
            2 => nanos = field.int32()?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(NS_PER_S).saturating_add(i64::from(nanos)))
}

/// A pair of structured metadata; without a name or a value it is nothing.
fn pair(field: Field<'_>, quota: &Quota) -> Result<Option<(String, String)>> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(field.bytes()?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    quota.take_one::<(String, String)>()?;
    Ok((!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), value.to_owned())))
}

/// Writes a `logproto.PushRequest`, not yet packed.
pub fn encode_protobuf(logs: &Logs) -> Vec<u8> {
    let mut w = Writer::default();
    for stream in &logs.streams {
        w.message(1, |w| {
            w.text(1, &label_text(&stream.labels));
            for entry in &stream.entries {
                w.message(2, |w| write_entry(entry, w));
            }
        });
    }
    w.finish()
}

fn write_entry(entry: &LogEntry, w: &mut Writer) {
    w.message(1, |w| {
        w.int(1, entry.timestamp_ns.div_euclid(NS_PER_S));
        w.int(2, entry.timestamp_ns.rem_euclid(NS_PER_S));
    });
    w.text(2, &entry.line);
    write_metadata(&entry.metadata, w);
}

fn write_metadata(metadata: &Metadata, w: &mut Writer) {
    for (name, value) in metadata {
        w.message(3, |w| {
            w.text(1, name);
            w.text(2, value);
        });
    }
}

fn label_text(labels: &Labels) -> String {
    let mut text = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text.push('}');
    text
}
