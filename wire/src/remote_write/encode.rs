//! The model to remote write 1.0.

use super::{histogram, metric_type_number};
use crate::protobuf::Writer;
use model::{Labels, MetricMetadata, Metrics, Series};

/// Writes a `prometheus.WriteRequest`, not yet packed. It has no place for the start timestamps of samples.
pub fn encode(metrics: &Metrics) -> Vec<u8> {
    let mut w = Writer::default();
    for s in &metrics.series {
        w.message(1, |w| series(s, w));
    }
    for m in &metrics.metadata {
        w.message(3, |w| metadata(m, w));
    }
    w.finish()
}

fn series(series: &Series, w: &mut Writer) {
    labels(&series.labels, w);
    for sample in &series.samples {
        w.message(2, |w| {
            w.double(1, sample.value);
            w.int(2, sample.timestamp_ms);
        });
    }
    for exemplar in &series.exemplars {
        w.message(3, |w| {
            labels(&exemplar.labels, w);
            w.double(2, exemplar.value);
            w.int(3, exemplar.timestamp_ms);
        });
    }
    for sample in &series.histograms {
        w.message(4, |w| histogram::encode(sample, w));
    }
}

fn labels(labels: &Labels, w: &mut Writer) {
    for (name, value) in labels.iter() {
        w.message(1, |w| {
            w.text(1, name);
            w.text(2, value);
        });
    }
}

fn metadata(metadata: &MetricMetadata, w: &mut Writer) {
    w.uint(1, metric_type_number(metadata.metric_type));
    w.text(2, &metadata.family);
    w.text(4, &metadata.help);
    w.text(5, &metadata.unit);
}
