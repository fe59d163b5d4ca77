//! Remote write 1.0 to the model.

use super::histogram;
use crate::protobuf::{Field, Reader};
use crate::{Decoded, Quota};
use model::labels::METRIC_NAME;
use model::metric::HistogramSample;
use model::{Exemplar, Labels, LabelsBuilder, MetricMetadata, MetricType, Metrics, Result, Sample, Series};

/// Reads a `prometheus.WriteRequest`, unpacked. A series with labels that can't be (no name, an empty or repeated
/// label name) or a histogram that contradicts itself is refused for itself; the rest is taken.
///
/// # Errors
/// [`model::ErrorKind::BadData`] when the bytes are not such a message, [`model::ErrorKind::TooLarge`] when the
/// quota is spent.
pub fn decode(body: &[u8], quota: &Quota) -> Result<Decoded<Metrics>> {
    let mut decoded = Decoded::<Metrics>::default();
    let mut request = Reader::new(body);
    while let Some((number, field)) = request.next()? {
        match number {
            1 => series(field.bytes()?, quota, &mut decoded)?,
            3 => {
                quota.take_one::<MetricMetadata>()?;
                decoded.payload.metadata.push(metadata(field.bytes()?)?);
            }
            _ => {}
        }
    }
    Ok(decoded)
}

fn series(message: &[u8], quota: &Quota, decoded: &mut Decoded<Metrics>) -> Result<()> {
    quota.take_one::<Series>()?;
    let mut series = Series::default();
    let mut pairs = Vec::new();
    let mut bad_histogram = None;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => pairs.push(label(field, quota)?),
            2 => {
                quota.take_one::<Sample>()?;
                series.samples.push(sample(field.bytes()?)?);
            }
            3 => {
                quota.take_one::<Exemplar>()?;
                series.exemplars.extend(exemplar(field.bytes()?, quota)?);
            }
            4 => {
                quota.take_one::<HistogramSample>()?;
                match histogram::decode(field.bytes()?, quota)? {
                    Ok(histogram) => series.histograms.push(histogram),
                    Err(why) => bad_histogram = Some(why),
                }
            }
            _ => {}
        }
    }
    let labels = labels(&pairs);
    if let Some(why) = bad_histogram {
        decoded.reject("invalid_histogram", 1, || {
            format!("a native histogram of {labels:?} {why}")
        });
    }
    if let Some(why) = check(&pairs, &labels) {
        let points = (series.samples.len() + series.histograms.len()) as u64;
        decoded.reject("invalid_labels", points, || format!("the series {labels} {why}"));
        return Ok(());
    }
    series.labels = labels;
    decoded.payload.series.push(series);
    Ok(())
}

type Pair<'a> = (&'a str, &'a str);

fn label<'a>(field: Field<'a>, quota: &Quota) -> Result<Pair<'a>> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(field.bytes()?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    quota.take(size_of::<Pair<'_>>() + 2 * (name.len() + value.len()))?;
    Ok((name, value))
}

fn labels(pairs: &[Pair<'_>]) -> Labels {
    let mut builder = LabelsBuilder::default();
    for (name, value) in pairs {
        builder.push(*name, *value);
    }
    builder.build()
}

/// What is wrong with a label set. Empty values are the same as no label, and order does not matter to us.
fn check(pairs: &[Pair<'_>], labels: &Labels) -> Option<String> {
    if labels.metric_name().is_none() {
        return Some(format!("has no metric name ({METRIC_NAME})"));
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Some("has a label without a name".to_owned());
    }
    // Senders sort their labels, so equal names usually stand side by side; sorting is the exception.
    if pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return None;
    }
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let repeated = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(format!("has the label {:?} twice", repeated[0]))
}

fn sample(message: &[u8]) -> Result<Sample> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp_ms = field.int()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// An exemplar, or nothing when it has no labels.
fn exemplar(message: &[u8], quota: &Quota) -> Result<Option<Exemplar>> {
    let (mut pairs, mut value, mut timestamp_ms) = (Vec::new(), 0.0, 0);
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => pairs.push(label(field, quota)?),
            2 => value = field.double()?,
            3 => timestamp_ms = field.int()?,
            _ => {}
        }
    }
    let labels = labels(&pairs);
    Ok((!labels.is_empty()).then_some(Exemplar {
        labels,
        timestamp_ms,
        value,
    }))
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

fn metric_type(number: i32) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
