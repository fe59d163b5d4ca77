//! What this crate counts.

use model::{MetricDef, MetricKind};

pub(crate) static REQUESTS: MetricDef = MetricDef {
    name: "binnacle_receive_requests_total",
    help: "Requests with data that were answered, by protocol and status code (HTTP, for otlp_grpc gRPC).",
    kind: MetricKind::Counter,
    labels: &["protocol", "code"],
};
pub(crate) static IN_FLIGHT: MetricDef = MetricDef {
    name: "binnacle_receive_requests_in_flight",
    help: "Requests with data that are being read or written now.",
    kind: MetricKind::Gauge,
    labels: &[],
};
pub(crate) static BYTES: MetricDef = MetricDef {
    name: "binnacle_receive_bytes_total",
    help: "Bytes of request bodies as they came, by protocol.",
    kind: MetricKind::Counter,
    labels: &["protocol"],
};
pub(crate) static ACCEPTED: MetricDef = MetricDef {
    name: "binnacle_receive_accepted_total",
    help: "Samples, log entries and spans that were taken, by protocol and signal.",
    kind: MetricKind::Counter,
    labels: &["protocol", "signal"],
};
pub(crate) static DUPLICATES: MetricDef = MetricDef {
    name: "binnacle_receive_duplicates_total",
    help: "Samples, log entries and spans that were there already, by protocol and signal.",
    kind: MetricKind::Counter,
    labels: &["protocol", "signal"],
};
pub(crate) static REJECTED: MetricDef = MetricDef {
    name: "binnacle_receive_rejected_total",
    help: "Items that were refused for good although their request was well-formed, by protocol, signal and reason.",
    kind: MetricKind::Counter,
    labels: &["protocol", "signal", "reason"],
};
pub(crate) static REFUSED_REQUESTS: MetricDef = MetricDef {
    name: "binnacle_receive_refused_requests_total",
    help: "Requests that were refused as a whole, by protocol and reason (a limit's key, or the kind of error).",
    kind: MetricKind::Counter,
    labels: &["protocol", "reason"],
};

/// All of them, for the list of the program's metrics.
pub static METRICS: [&MetricDef; 7] = [
    &REQUESTS,
    &IN_FLIGHT,
    &BYTES,
    &ACCEPTED,
    &DUPLICATES,
    &REJECTED,
    &REFUSED_REQUESTS,
];
