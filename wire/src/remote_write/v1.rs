//! `prometheus.WriteRequest` to columns: a series' labels stay where they are in the body.

use super::columns::{self, Columns};
use super::metric_type;
use crate::protobuf::{Field, Reader, Writer};
use crate::{Decoded, Quota};
use model::{Exemplar, LabelsBuilder, MetricMetadata, RawMetrics, Result};

/// Field 1 of a series, a label, and field 2, a sample, as they begin on the wire.
const LABEL: u8 = 0x0A;
const SAMPLE: u8 = 0x12;

pub(super) fn decode(mut body: Vec<u8>, quota: &Quota) -> Result<Decoded<RawMetrics>> {
    let mut columns = Columns::new(quota);
    let mut copied = Writer::default();
    let mut request = Reader::new(&body);
    while let Some((number, field)) = request.next()? {
        match number {
            1 => {
                let message = field.bytes()?;
                let start = body.len() - request.rest().len() - message.len();
                let labels = series(message, &mut columns)?;
                if labels.scattered {
                    let from = body.len() + copied.len();
                    let bytes = copy_labels(message, &mut copied, quota)?;
                    columns.end(from..from + bytes.len(), bytes)?;
                } else {
                    columns.end(start..start + labels.length, &message[..labels.length])?;
                }
            }
            3 => columns.metadata(metadata(field.bytes()?)?)?,
            _ => {}
        }
    }
    body.extend_from_slice(&copied.finish());
    Ok(columns.finish(body))
}

/// The labels of a series: so many bytes at its beginning, unless there are others further on.
struct LabelBytes {
    length: usize,
    scattered: bool,
}

fn series(message: &[u8], columns: &mut Columns<'_>) -> Result<LabelBytes> {
    let mut labels = LabelBytes {
        length: leading_labels(message),
        scattered: false,
    };
    let mut rest = &message[labels.length..];
    while let [SAMPLE, length, tail @ ..] = rest
        && *length < 0x80
        && let Some((sample, tail)) = tail.split_at_checked(usize::from(*length))
    {
        columns.sample(columns::sample(sample)?.0, 0)?;
        rest = tail;
    }
    let mut reader = Reader::new(rest);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => {
                field.bytes()?;
                labels.scattered = true;
            }
            2 => columns.sample(columns::sample(field.bytes()?)?.0, 0)?,
            3 => {
                let exemplar = exemplar(field.bytes()?, columns.quota())?;
                columns.exemplar(exemplar)?;
            }
            4 => columns.histogram(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(labels)
}

/// How many bytes of labels a series begins with. What is written in an odd way is none; a reader that is slower
/// comes to it next.
#[inline]
fn leading_labels(message: &[u8]) -> usize {
    let mut rest = message;
    while let [LABEL, low, tail @ ..] = rest {
        let (length, tail) = match tail {
            _ if *low < 0x80 => (usize::from(*low), tail),
            [high, tail @ ..] if *high < 0x80 => (usize::from(*low & 0x7f) | usize::from(*high) << 7, tail),
            _ => break,
        };
        let Some(tail) = tail.get(length..) else { break };
        rest = tail;
    }
    message.len() - rest.len()
}

/// Writes all labels of a series side by side.
fn copy_labels<'w>(message: &[u8], copied: &'w mut Writer, quota: &Quota) -> Result<&'w [u8]> {
    let from = copied.len();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        if number == 1 {
            // The length of a field is at most ten bytes.
            quota.take(field.bytes()?.len() + 11)?;
            copied.bytes_always(1, field.bytes()?);
        }
    }
    Ok(copied.since(from))
}

fn exemplar(message: &[u8], quota: &Quota) -> Result<Exemplar> {
    let mut labels = LabelsBuilder::default();
    let (value, timestamp_ms) = columns::exemplar(message, |field| {
        let (name, value) = label(field, quota)?;
        labels.push(name, value);
        Ok(())
    })?;
    Ok(Exemplar {
        labels: labels.build(),
        timestamp_ms,
        value,
    })
}

fn label<'a>(field: Field<'a>, quota: &Quota) -> Result<(&'a str, &'a str)> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(field.bytes()?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    quota.take(size_of::<(String, String)>() + 2 * (name.len() + value.len()))?;
    Ok((name, value))
}

fn metadata(message: &[u8]) -> Result<MetricMetadata> {
    let mut metadata = MetricMetadata::default();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => metadata.metric_type = metric_type(field.int32()?),
            2 => field.text()?.clone_into(&mut metadata.family),
            4 => field.text()?.clone_into(&mut metadata.help),
            5 => field.text()?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    Ok(metadata)
}
