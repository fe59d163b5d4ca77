//! What alerting counts about itself.

use model::{Counter, Gauge, Meter, MetricDef, MetricKind};
use std::sync::Arc;

static EVALUATIONS: MetricDef = MetricDef {
    name: "binnacle_alert_rule_evaluations_total",
    help: "Rules evaluated.",
    kind: MetricKind::Counter,
    labels: &[],
};
static EVALUATION_FAILURES: MetricDef = MetricDef {
    name: "binnacle_alert_rule_evaluation_failures_total",
    help: "Rules whose evaluation, or the write after it, failed; the rule's health says why.",
    kind: MetricKind::Counter,
    labels: &[],
};
static MISSED: MetricDef = MetricDef {
    name: "binnacle_alert_group_iterations_missed_total",
    help: "Evaluations of a rule group that were left out because the one before took too long.",
    kind: MetricKind::Counter,
    labels: &[],
};
static SAMPLES_REJECTED: MetricDef = MetricDef {
    name: "binnacle_alert_rule_samples_rejected_total",
    help: "Samples of rules that the store refused.",
    kind: MetricKind::Counter,
    labels: &[],
};
static NOTIFICATIONS: MetricDef = MetricDef {
    name: "binnacle_alert_notifications_total",
    help: "Notifications by outcome: delivered, refused (an answer that says not to try again), expired (no success before the group's next look).",
    kind: MetricKind::Counter,
    labels: &["receiver", "outcome"],
};
static RETRIES: MetricDef = MetricDef {
    name: "binnacle_alert_notification_attempts_failed_total",
    help: "Attempts to notify that failed.",
    kind: MetricKind::Counter,
    labels: &["receiver"],
};
static DROPPED: MetricDef = MetricDef {
    name: "binnacle_alert_alerts_without_group_total",
    help: "Times that an alert was not put into a new group because there are too many groups; tried again at each evaluation.",
    kind: MetricKind::Counter,
    labels: &[],
};
static ABANDONED: MetricDef = MetricDef {
    name: "binnacle_alert_ends_abandoned_total",
    help: "Ends of alerts that no receiver took within five days.",
    kind: MetricKind::Counter,
    labels: &[],
};
static SAVE_FAILURES: MetricDef = MetricDef {
    name: "binnacle_alert_state_save_failures_total",
    help: "Times that the state of alerts could not be saved; tried again.",
    kind: MetricKind::Counter,
    labels: &[],
};
static ALERTS: MetricDef = MetricDef {
    name: "binnacle_alert_alerts",
    help: "Alerts of all rules by state.",
    kind: MetricKind::Gauge,
    labels: &["state"],
};

/// The definitions of everything that this crate counts.
pub static DEFINITIONS: &[&MetricDef] = &[
    &EVALUATIONS,
    &EVALUATION_FAILURES,
    &MISSED,
    &SAMPLES_REJECTED,
    &NOTIFICATIONS,
    &RETRIES,
    &DROPPED,
    &ABANDONED,
    &SAVE_FAILURES,
    &ALERTS,
];

/// The counters without labels of their own, ready to count, and the meter for the others.
pub(crate) struct Metrics {
    meter: Arc<dyn Meter>,
    pub(crate) evaluations: Counter,
    pub(crate) evaluation_failures: Counter,
    pub(crate) missed: Counter,
    pub(crate) samples_rejected: Counter,
    pub(crate) dropped: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) save_failures: Counter,
    pub(crate) pending: Gauge,
    pub(crate) firing: Gauge,
}

impl Metrics {
    pub(crate) fn new(meter: Arc<dyn Meter>) -> Self {
        Self {
            evaluations: meter.counter(&EVALUATIONS, &[]),
            evaluation_failures: meter.counter(&EVALUATION_FAILURES, &[]),
            missed: meter.counter(&MISSED, &[]),
            samples_rejected: meter.counter(&SAMPLES_REJECTED, &[]),
            dropped: meter.counter(&DROPPED, &[]),
            abandoned: meter.counter(&ABANDONED, &[]),
            save_failures: meter.counter(&SAVE_FAILURES, &[]),
            pending: meter.gauge(&ALERTS, &["pending"]),
            firing: meter.gauge(&ALERTS, &["firing"]),
            meter,
        }
    }
    pub(crate) fn notification(&self, receiver: &str, outcome: &str) -> Counter {
        self.meter.counter(&NOTIFICATIONS, &[receiver, outcome])
    }
    pub(crate) fn attempt_failed(&self, receiver: &str) -> Counter {
        self.meter.counter(&RETRIES, &[receiver])
    }
}
