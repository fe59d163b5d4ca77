//! Looks over a protobuf request before it is unpacked: what would it take in memory?

use crate::Quota;
use crate::protobuf::{Field, Reader};
use model::{Error, Result};
use opentelemetry_proto::tonic::{
    common::v1 as common, logs::v1 as logs, metrics::v1 as metrics, resource, trace::v1 as trace,
};

/// Deeper nesting than prost unpacks.
const MAX_DEPTH: usize = 100;

/// A message: what its struct takes, and which of its fields hold further messages.
pub(super) struct Shape {
    size_bytes: usize,
    fields: &'static [(u32, &'static Shape)],
}

const fn shape<T>(fields: &'static [(u32, &'static Shape)]) -> Shape {
    Shape {
        size_bytes: size_of::<T>(),
        fields,
    }
}

static STRING: Shape = shape::<String>(&[]);
static ANY_VALUE: Shape = shape::<common::AnyValue>(&[(5, &VALUES), (6, &ATTRIBUTES)]);
static VALUES: Shape = shape::<common::ArrayValue>(&[(1, &ANY_VALUE)]);
static ATTRIBUTES: Shape = shape::<common::KeyValueList>(&[(1, &ATTRIBUTE)]);
// The value stands inside of the pair.
static ATTRIBUTE: Shape = shape::<common::KeyValue>(&[(2, &ANY_VALUE)]);
static ENTITY: Shape = shape::<common::EntityRef>(&[(3, &STRING), (4, &STRING)]);
static RESOURCE: Shape = shape::<resource::v1::Resource>(&[(1, &ATTRIBUTE), (3, &ENTITY)]);
static SCOPE: Shape = shape::<common::InstrumentationScope>(&[(3, &ATTRIBUTE)]);

static LOG_RECORD: Shape = shape::<logs::LogRecord>(&[(5, &ANY_VALUE), (6, &ATTRIBUTE)]);
static SCOPE_LOGS: Shape = shape::<logs::ScopeLogs>(&[(1, &SCOPE), (2, &LOG_RECORD)]);
static RESOURCE_LOGS: Shape = shape::<logs::ResourceLogs>(&[(1, &RESOURCE), (2, &SCOPE_LOGS)]);
pub(super) static LOGS: Shape = shape::<logs::LogsData>(&[(1, &RESOURCE_LOGS)]);

static EVENT: Shape = shape::<trace::span::Event>(&[(3, &ATTRIBUTE)]);
static LINK: Shape = shape::<trace::span::Link>(&[(4, &ATTRIBUTE)]);
static SPAN: Shape = shape::<trace::Span>(&[(9, &ATTRIBUTE), (11, &EVENT), (13, &LINK)]);
static SCOPE_SPANS: Shape = shape::<trace::ScopeSpans>(&[(1, &SCOPE), (2, &SPAN)]);
static RESOURCE_SPANS: Shape = shape::<trace::ResourceSpans>(&[(1, &RESOURCE), (2, &SCOPE_SPANS)]);
pub(super) static TRACES: Shape = shape::<trace::TracesData>(&[(1, &RESOURCE_SPANS)]);

static EXEMPLAR: Shape = shape::<metrics::Exemplar>(&[(7, &ATTRIBUTE)]);
static NUMBER: Shape = shape::<metrics::NumberDataPoint>(&[(7, &ATTRIBUTE), (5, &EXEMPLAR)]);
static HISTOGRAM: Shape = shape::<metrics::HistogramDataPoint>(&[(9, &ATTRIBUTE), (8, &EXEMPLAR)]);
static EXPONENTIAL: Shape =
    shape::<metrics::ExponentialHistogramDataPoint>(&[(1, &ATTRIBUTE), (11, &EXEMPLAR)]);
static QUANTILE: Shape = shape::<metrics::summary_data_point::ValueAtQuantile>(&[]);
static SUMMARY: Shape = shape::<metrics::SummaryDataPoint>(&[(7, &ATTRIBUTE), (6, &QUANTILE)]);
static NUMBERS: Shape = shape::<metrics::Sum>(&[(1, &NUMBER)]);
static HISTOGRAMS: Shape = shape::<metrics::Histogram>(&[(1, &HISTOGRAM)]);
static EXPONENTIALS: Shape = shape::<metrics::ExponentialHistogram>(&[(1, &EXPONENTIAL)]);
static SUMMARIES: Shape = shape::<metrics::Summary>(&[(1, &SUMMARY)]);
static METRIC: Shape = shape::<metrics::Metric>(&[
    (5, &NUMBERS),
    (7, &NUMBERS),
    (9, &HISTOGRAMS),
    (10, &EXPONENTIALS),
    (11, &SUMMARIES),
    (12, &ATTRIBUTE),
]);
static SCOPE_METRICS: Shape = shape::<metrics::ScopeMetrics>(&[(1, &SCOPE), (2, &METRIC)]);
static RESOURCE_METRICS: Shape = shape::<metrics::ResourceMetrics>(&[(1, &RESOURCE), (2, &SCOPE_METRICS)]);
pub(super) static METRICS: Shape = shape::<metrics::MetricsData>(&[(1, &RESOURCE_METRICS)]);

/// Takes what the message would need out of the quota, its length (for texts and numbers) included.
pub(super) fn check(message: &[u8], shape: &Shape, quota: &Quota) -> Result<()> {
    quota.take(message.len())?;
    walk(message, shape, quota, 0)
}

fn walk(message: &[u8], shape: &Shape, quota: &Quota, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::bad_data(format!(
            "the body nests values deeper than {MAX_DEPTH} levels"
        )));
    }
    quota.take(shape.size_bytes)?;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        let Some((_, inner)) = shape.fields.iter().find(|(n, _)| *n == number) else {
            continue;
        };
        if let Field::Bytes(bytes) = field {
            walk(bytes, inner, quota, depth + 1)?;
        }
    }
    Ok(())
}
