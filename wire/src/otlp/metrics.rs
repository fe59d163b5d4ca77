//! Metrics to series under Prometheus' names.

use super::names::Kind;
use super::{attributes, names, native};
use crate::{Decoded, Quota};
use model::identity::{self, label_name};
use model::labels::METRIC_NAME;
use model::metric::{HistogramSample, stale_nan};
use model::time::NS_PER_MS;
use model::{
    Exemplar, Labels, LabelsBuilder, MetricMetadata, MetricType, Metrics, Resource, Result, Sample, Series,
    Value,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1 as proto;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

/// The flag of a point that says only that there was no value.
const NO_RECORDED_VALUE: u32 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

pub(super) fn to_model(
    request: ExportMetricsServiceRequest,
    now_ns: i64,
    quota: &Quota,
) -> Result<Decoded<Metrics>> {
    let mut decoded = Decoded::default();
    for group in request.resource_metrics {
        let resource = attributes::resource(group.resource);
        let mut converter = Converter {
            identity: identity::metric_labels(&resource),
            times_ms: None,
            now_ms: now_ns.div_euclid(NS_PER_MS),
            quota,
            decoded: &mut decoded,
        };
        for metric in group.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            converter.metric(metric)?;
        }
        converter.target_info(&resource)?;
    }
    Ok(decoded)
}

/// Turns the metrics of one resource into series.
struct Converter<'a> {
    identity: Labels,
    /// The first and last times of the resource's points.
    times_ms: Option<(i64, i64)>,
    now_ms: i64,
    quota: &'a Quota,
    decoded: &'a mut Decoded<Metrics>,
}

/// What all series of one point share.
struct Point {
    name: String,
    labels: LabelsBuilder,
    timestamp_ms: i64,
    /// When the counting began; 0 where nobody said, and for gauges.
    start_timestamp_ms: i64,
    is_stale: bool,
}

impl Point {
    fn value(&self, value: f64) -> f64 {
        if self.is_stale { stale_nan() } else { value }
    }
}

impl Converter<'_> {
    fn metric(&mut self, metric: proto::Metric) -> Result<()> {
        let Some(data) = metric.data else { return Ok(()) };
        let (metric_type, kind) = match &data {
            Data::Sum(sum) if sum.is_monotonic => (MetricType::Counter, Kind::Counter),
            Data::Sum(_) | Data::Gauge(_) => (MetricType::Gauge, Kind::Gauge),
            Data::Histogram(_) | Data::ExponentialHistogram(_) => (MetricType::Histogram, Kind::Other),
            Data::Summary(_) => (MetricType::Summary, Kind::Other),
        };
        let name = names::metric_name(&metric.name, &metric.unit, kind);
        if name.is_empty() {
            self.reject("invalid_name", points(&data), || {
                format!("{:?} can't be a metric's name", metric.name)
            });
            return Ok(());
        }
        let temporality = match &data {
            Data::Sum(sum) => sum.aggregation_temporality,
            Data::Histogram(histogram) => histogram.aggregation_temporality,
            Data::ExponentialHistogram(histogram) => histogram.aggregation_temporality,
            Data::Gauge(_) | Data::Summary(_) => CUMULATIVE,
        };
        if temporality != CUMULATIVE {
            self.reject("temporality", points(&data), || {
                format!(
                    "metric {:?} does not have cumulative temporality; set the exporter's temporality preference to cumulative",
                    metric.name
                )
            });
            return Ok(());
        }
        self.quota
            .take(size_of::<MetricMetadata>() + name.len() + metric.description.len())?;
        self.decoded.payload.metadata.push(MetricMetadata {
            family: name.clone(),
            metric_type,
            help: metric.description,
            unit: metric.unit,
        });
        self.points(&name, data)
    }

    fn points(&mut self, name: &str, data: Data) -> Result<()> {
        match data {
            Data::Gauge(gauge) => gauge.data_points.into_iter().try_for_each(|p| {
                // The protocol lets a gauge say when it was first looked at, which is nothing that counts from there.
                let start_time_unix_nano = 0;
                self.number(
                    name,
                    proto::NumberDataPoint {
                        start_time_unix_nano,
                        ..p
                    },
                )
            }),
            Data::Sum(sum) => sum.data_points.into_iter().try_for_each(|p| self.number(name, p)),
            Data::Histogram(h) => h
                .data_points
                .into_iter()
                .try_for_each(|p| self.histogram(name, p)),
            Data::ExponentialHistogram(h) => h
                .data_points
                .into_iter()
                .try_for_each(|p| self.exponential(name, p)),
            Data::Summary(s) => s.data_points.into_iter().try_for_each(|p| self.summary(name, p)),
        }
    }

    fn number(&mut self, name: &str, p: proto::NumberDataPoint) -> Result<()> {
        use proto::number_data_point::Value as Number;
        let point = self.point(
            name,
            p.attributes,
            [p.start_time_unix_nano, p.time_unix_nano],
            p.flags,
        );
        let value = match p.value {
            Some(Number::AsDouble(value)) => value,
            Some(Number::AsInt(value)) => value as f64,
            None if point.is_stale => 0.0,
            None => {
                self.reject("missing_value", 1, || format!("a point of {name:?} has no value"));
                return Ok(());
            }
        };
        let exemplars = self.exemplars(p.exemplars)?;
        self.push(&point, "", None, value, exemplars)
    }

    fn histogram(&mut self, name: &str, p: proto::HistogramDataPoint) -> Result<()> {
        let bounds = &p.explicit_bounds;
        let fits =
            p.bucket_counts.is_empty() && bounds.is_empty() || p.bucket_counts.len() == bounds.len() + 1;
        if !fits || bounds.windows(2).any(|w| w[0] >= w[1]) || bounds.iter().any(|b| b.is_nan()) {
            self.reject("invalid_histogram", 1, || {
                format!("a point of {name:?} needs rising bounds and one bucket count more than bounds")
            });
            return Ok(());
        }
        let point = self.point(
            name,
            p.attributes,
            [p.start_time_unix_nano, p.time_unix_nano],
            p.flags,
        );
        let mut exemplars = self.exemplars(p.exemplars)?;
        exemplars.sort_by(|a, b| a.value.total_cmp(&b.value));
        if let Some(sum) = p.sum.or(point.is_stale.then_some(0.0)) {
            self.push(&point, "_sum", None, sum, Vec::new())?;
        }
        self.push(&point, "_count", None, p.count as f64, Vec::new())?;
        let mut cumulative = 0u64;
        for (bound, count) in bounds.iter().filter(|b| b.is_finite()).zip(&p.bucket_counts) {
            cumulative = cumulative.saturating_add(*count);
            let inside = exemplars.partition_point(|e| e.value <= *bound);
            let inside = exemplars.drain(..inside).collect();
            self.push(
                &point,
                "_bucket",
                Some(("le", bound.to_string())),
                cumulative as f64,
                inside,
            )?;
        }
        self.push(
            &point,
            "_bucket",
            Some(("le", "+Inf".to_owned())),
            p.count as f64,
            exemplars,
        )
    }

    fn exponential(&mut self, name: &str, p: proto::ExponentialHistogramDataPoint) -> Result<()> {
        let mut histogram = match native::histogram(&p) {
            Ok(histogram) => histogram,
            Err(why) => {
                self.reject("invalid_histogram", 1, || format!("a point of {name:?} {why}"));
                return Ok(());
            }
        };
        let point = self.point(
            name,
            p.attributes,
            [p.start_time_unix_nano, p.time_unix_nano],
            p.flags,
        );
        let exemplars = self.exemplars(p.exemplars)?;
        if point.is_stale {
            histogram = model::metric::Histogram {
                sum: stale_nan(),
                ..model::metric::Histogram::default()
            };
        }
        let buckets = histogram.positive.len() + histogram.negative.len();
        self.quota
            .take(size_of::<HistogramSample>() + buckets * size_of::<(i32, f64)>())?;
        let mut series = self.series(&point, "", None)?;
        series.histograms.push(HistogramSample {
            start_timestamp_ms: point.start_timestamp_ms,
            timestamp_ms: point.timestamp_ms,
            histogram,
        });
        series.exemplars = exemplars;
        self.decoded.payload.series.push(series);
        Ok(())
    }

    fn summary(&mut self, name: &str, p: proto::SummaryDataPoint) -> Result<()> {
        let mut point = self.point(
            name,
            p.attributes,
            [p.start_time_unix_nano, p.time_unix_nano],
            p.flags,
        );
        self.push(&point, "_sum", None, p.sum, Vec::new())?;
        self.push(&point, "_count", None, p.count as f64, Vec::new())?;
        // Quantiles do not count from anywhere.
        point.start_timestamp_ms = 0;
        for q in p.quantile_values {
            self.push(
                &point,
                "",
                Some(("quantile", q.quantile.to_string())),
                q.value,
                Vec::new(),
            )?;
        }
        Ok(())
    }

    /// Everything that names the resource beyond the labels that its series carry, as Prometheus' `target_info`
    /// at the first and the last of the resource's times.
    fn target_info(&mut self, resource: &Resource) -> Result<()> {
        let Some((first_ms, last_ms)) = self.times_ms else {
            return Ok(());
        };
        let mut further = further_attributes(resource, &self.identity);
        if further.is_empty() || self.identity.is_empty() {
            return Ok(());
        }
        let mut labels = self.identity.to_builder();
        add_labels(&mut labels, &self.identity, &mut further);
        labels.push(METRIC_NAME, "target_info");
        let mut times = vec![first_ms, last_ms];
        times.dedup();
        let samples = times
            .into_iter()
            .map(|timestamp_ms| Sample {
                timestamp_ms,
                value: 1.0,
            })
            .collect();
        let labels = labels.build();
        self.quota.take(size_of::<Series>() + labels.size_bytes())?;
        self.decoded.payload.series.push(Series {
            labels,
            samples,
            ..Series::default()
        });
        Ok(())
    }

    fn point(
        &mut self,
        name: &str,
        attributes: Vec<KeyValue>,
        start_and_time_unix_nano: [u64; 2],
        flags: u32,
    ) -> Point {
        let [start_ms, time_ms] = start_and_time_unix_nano.map(|ns| {
            i64::try_from(ns / NS_PER_MS.unsigned_abs()).expect("a 64-bit number divided by a million")
        });
        let timestamp_ms = match start_and_time_unix_nano {
            [_, 0] => self.now_ms,
            _ => time_ms,
        };
        let (first, last) = self.times_ms.unwrap_or((timestamp_ms, timestamp_ms));
        self.times_ms = Some((first.min(timestamp_ms), last.max(timestamp_ms)));
        let mut labels = self.identity.to_builder();
        add_labels(
            &mut labels,
            &self.identity,
            &mut attributes::attributes(attributes),
        );
        Point {
            name: name.to_owned(),
            labels,
            timestamp_ms,
            // A counter that begins after it was read says nothing.
            start_timestamp_ms: if start_ms <= timestamp_ms { start_ms } else { 0 },
            is_stale: flags & NO_RECORDED_VALUE != 0,
        }
    }

    fn push(
        &mut self,
        point: &Point,
        suffix: &str,
        extra: Option<(&str, String)>,
        value: f64,
        exemplars: Vec<Exemplar>,
    ) -> Result<()> {
        let mut series = self.series(point, suffix, extra)?;
        series.samples.push(Sample {
            timestamp_ms: point.timestamp_ms,
            value: point.value(value),
        });
        if point.start_timestamp_ms != 0 {
            self.quota.take_one::<i64>()?;
            series.start_timestamps_ms.push(point.start_timestamp_ms);
        }
        series.exemplars = exemplars;
        self.decoded.payload.series.push(series);
        Ok(())
    }

    fn series(&self, point: &Point, suffix: &str, extra: Option<(&str, String)>) -> Result<Series> {
        let mut labels = point.labels.clone();
        labels.push(METRIC_NAME, format!("{}{suffix}", point.name));
        if let Some((name, value)) = extra {
            labels.push(name, value);
        }
        let labels = labels.build();
        self.quota
            .take(size_of::<Series>() + size_of::<Sample>() + labels.size_bytes())?;
        Ok(Series {
            labels,
            ..Series::default()
        })
    }

    fn exemplars(&self, exemplars: Vec<proto::Exemplar>) -> Result<Vec<Exemplar>> {
        use proto::exemplar::Value as Number;
        self.quota.take(exemplars.len() * size_of::<Exemplar>())?;
        let convert = |e: proto::Exemplar| {
            let value = match e.value? {
                Number::AsDouble(value) => value,
                Number::AsInt(value) => value as f64,
            };
            let mut labels = LabelsBuilder::default();
            let mut pairs = attributes::attributes(e.filtered_attributes);
            add_labels(&mut labels, &Labels::empty(), &mut pairs);
            for (name, id) in [("trace_id", &e.trace_id), ("span_id", &e.span_id)] {
                if id.iter().any(|b| *b != 0) {
                    labels.push(name, hex::encode(id));
                }
            }
            let timestamp_ms = i64::try_from(e.time_unix_nano / NS_PER_MS.unsigned_abs()).ok()?;
            Some(Exemplar {
                labels: labels.build(),
                timestamp_ms,
                value,
            })
        };
        Ok(exemplars.into_iter().filter_map(convert).collect())
    }

    fn reject(&mut self, reason: &'static str, count: u64, message: impl FnOnce() -> String) {
        self.decoded.reject(reason, count, message);
    }
}

fn points(data: &Data) -> u64 {
    let count = match data {
        Data::Gauge(d) => d.data_points.len(),
        Data::Sum(d) => d.data_points.len(),
        Data::Histogram(d) => d.data_points.len(),
        Data::ExponentialHistogram(d) => d.data_points.len(),
        Data::Summary(d) => d.data_points.len(),
    };
    count as u64
}

/// Adds attributes as labels. Where several have one name as a label, their values are joined by `;` in the
/// order of the attributes' keys, as Prometheus does. Where the name belongs to the resource's identity, the
/// attribute becomes `exported_…`, as in a scrape.
fn add_labels(labels: &mut LabelsBuilder, identity: &Labels, attributes: &mut [(String, Value)]) {
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    let mut named: Vec<(String, String)> = attributes
        .iter()
        .map(|(key, value)| (label_name(key), value.to_string()))
        .collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    for run in named.chunk_by(|a, b| a.0 == b.0) {
        let name = &run[0].0;
        let value = run
            .iter()
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
            .join(";");
        match identity.get(name) {
            Some(own) if own == value => {}
            Some(_) => _ = labels.push(format!("exported_{name}"), value),
            None => _ = labels.push(name.as_str(), value),
        }
    }
}

/// The attributes of a resource that no label of its identity shows.
fn further_attributes(resource: &Resource, identity: &Labels) -> Vec<(String, Value)> {
    let shown = |key: &str, value: &Value| {
        let rows = identity::TABLE.iter().filter(|row| row.attribute == key);
        rows.filter_map(|row| row.metric_label)
            .any(|label| identity.get(label) == Some(value.to_string().as_str()))
    };
    let further = resource
        .attributes
        .iter()
        .filter(|(key, value)| !matches!(value, Value::Empty) && !shown(key, value));
    further.cloned().collect()
}
