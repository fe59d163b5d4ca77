//! What an answer of the query engine does to a rule: series to write, and alerts that change their state.
//!
//! Pure: the time, the answer and the rule's state come in, the new state and the series go out. The order of
//! states is Prometheus': inactive, pending while the expression gives a result, firing once that lasted `for`,
//! inactive (resolved) when the result is gone and `keep_firing_for` is over.

use crate::rules::{AlertSpec, Rule};
use crate::template::{self, Data};
use model::labels::METRIC_NAME;
use model::metric::{Histogram, HistogramSample, stale_nan};
use model::{Error, Labels, Result, Sample, Series};
use query::promql::{InstantSample, QueryValue};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long a resolved alert is remembered by its rule, as in Prometheus.
const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// Where an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlertState {
    /// Resolved, and remembered for a while.
    Inactive,
    Pending,
    Firing,
}

/// One alert of a rule. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// With `alertname`.
    pub(crate) labels: Labels,
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(with = "float_text")]
    pub(crate) value: f64,
    pub(crate) state: AlertState,
    pub(crate) active_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fired_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_firing_since_ms: Option<i64>,
}

/// JSON has no NaN and no infinities, so values are text.
mod float_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|_| D::Error::custom("the value of an alert is not a number"))
    }
}

/// Whether the last evaluation went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    #[default]
    Unknown,
    Good,
    Bad,
}

/// What is known of a rule between evaluations.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleState {
    pub(crate) alerts: BTreeMap<Labels, Alert>,
    pub(crate) health: Health,
    pub(crate) last_error: Option<String>,
    pub(crate) evaluated_at_ms: Option<i64>,
    pub(crate) took_s: f64,
    /// The series of the last evaluation; what vanishes gets a staleness marker.
    written: BTreeSet<Labels>,
}

/// What an evaluation needs to know besides the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now_ms: i64,
    /// The time that the expression was evaluated at, and that the series are written with: earlier by the group's offset.
    pub(crate) asked_at_ms: i64,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    /// The most results of the rule; 0 is no limit.
    pub(crate) limit: usize,
    /// The most alerts of a rule.
    pub(crate) max_alerts: usize,
    /// Just after a long outage an empty answer proves nothing: firing alerts stay.
    pub(crate) held: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// To be written, staleness markers included.
    pub(crate) series: Vec<Series>,
    /// Whether an alert changed its state, so that it must be saved.
    pub(crate) changed: bool,
}

impl RuleState {
    /// The state after a restart: the alerts as they were saved.
    pub(crate) fn restored(alerts: Vec<Alert>) -> Self {
        let written = alerts
            .iter()
            .filter(|a| a.state != AlertState::Inactive)
            .flat_map(|a| [series_of_state(a), series_of_start(a)])
            .collect();
        Self {
            alerts: alerts.into_iter().map(|a| (a.labels.clone(), a)).collect(),
            written,
            ..Self::default()
        }
    }

    /// Applies an answer. An error leaves the alerts as they are and stands in the rule's health.
    pub(crate) fn apply(&mut self, rule: &Rule, answer: Result<QueryValue>, context: Context<'_>) -> Outcome {
        self.evaluated_at_ms = Some(context.now_ms);
        match answer.and_then(|value| self.try_apply(rule, value, context)) {
            Ok(outcome) => {
                self.health = Health::Good;
                self.last_error = None;
                outcome
            }
            Err(e) => {
                self.fail(&e);
                Outcome::default()
            }
        }
    }

    /// Notes an error, of the evaluation or of the write after it.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.health = Health::Bad;
        self.last_error = Some(error.message().to_owned());
    }

    /// How many alerts are pending or firing.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values().filter(|a| a.state != AlertState::Inactive)
    }

    /// Staleness markers for everything that the rule wrote last; for a rule that is gone.
    pub(crate) fn end_series(&mut self, now_ms: i64) -> Vec<Series> {
        std::mem::take(&mut self.written)
            .into_iter()
            .map(|labels| series(labels, now_ms, stale_nan().into()))
            .collect()
    }

    /// Applies a value; what goes wrong leaves the alerts as they are.
    pub(crate) fn try_apply(
        &mut self,
        rule: &Rule,
        value: QueryValue,
        context: Context<'_>,
    ) -> Result<Outcome> {
        let samples = samples_of(value)?;
        if context.limit > 0 && samples.len() > context.limit {
            return Err(Error::limit(format!(
                "the rule gives {} results, more than the group's limit of {}",
                samples.len(),
                context.limit
            )));
        }
        let (values, changed) = match &rule.alert {
            None => (recorded(rule, samples)?, false),
            Some(spec) => self.alerting(rule, spec, &samples, context)?,
        };
        let at_ms = context.asked_at_ms;
        let written: BTreeSet<Labels> = values.iter().map(|(l, _)| l.clone()).collect();
        let gone: Vec<Labels> = self.written.difference(&written).cloned().collect();
        let stale = gone.into_iter().map(|l| series(l, at_ms, stale_nan().into()));
        let series = values
            .into_iter()
            .map(|(l, p)| series(l, at_ms, p))
            .chain(stale)
            .collect();
        self.written = written;
        Ok(Outcome { series, changed })
    }

    fn alerting(
        &mut self,
        rule: &Rule,
        spec: &AlertSpec,
        samples: &[InstantSample],
        context: Context<'_>,
    ) -> Result<(Vec<(Labels, Point)>, bool)> {
        if samples.len() > context.max_alerts {
            return Err(Error::limit(format!(
                "the rule gives {} alerts, more than {} (alert.max_alerts_per_rule)",
                samples.len(),
                context.max_alerts
            )));
        }
        let mut found = BTreeMap::new();
        for sample in samples {
            let alert = new_alert(rule, spec, sample, context);
            if found.insert(alert.labels.clone(), alert).is_some() {
                return Err(same_labels("alert"));
            }
        }
        let mut changed = false;
        let mut kept = BTreeMap::new();
        for (labels, old) in std::mem::take(&mut self.alerts) {
            let before = old.state;
            let next = match found.remove(&labels) {
                Some(new) => Some(old.goes_on(new)),
                None => old.without_result(spec, context),
            };
            changed |= next.as_ref().map(|a| a.state) != Some(before);
            kept.extend(next.map(|a| (labels, a)));
        }
        changed |= !found.is_empty();
        kept.extend(found);
        self.alerts = kept;
        for alert in self.alerts.values_mut() {
            changed |= alert.fire_when_due(spec, context.now_ms);
        }
        let values = self
            .active()
            .flat_map(|a| {
                let start = a.active_at_ms.div_euclid(1000) as f64;
                [
                    (series_of_state(a), 1.0.into()),
                    (series_of_start(a), start.into()),
                ]
            })
            .collect();
        Ok((values, changed))
    }
}

impl Alert {
    /// The expression still, or again, has a result.
    fn goes_on(self, new: Self) -> Self {
        if self.state == AlertState::Inactive {
            return new;
        }
        Self {
            value: new.value,
            annotations: new.annotations,
            keep_firing_since_ms: None,
            // The clock may have been set back since.
            active_at_ms: self.active_at_ms.min(new.active_at_ms),
            ..self
        }
    }

    /// The expression has no result for this alert any more; `None` forgets it.
    fn without_result(mut self, spec: &AlertSpec, context: Context<'_>) -> Option<Self> {
        let now = context.now_ms;
        match self.state {
            AlertState::Pending => None,
            AlertState::Inactive => {
                let since = now.saturating_sub(self.resolved_at_ms.unwrap_or(now));
                (since <= RESOLVED_RETENTION_MS).then_some(self)
            }
            AlertState::Firing => {
                let keep_ms = i64::try_from(spec.keep_firing_for.as_millis()).unwrap_or(i64::MAX);
                let since = *self.keep_firing_since_ms.get_or_insert(now);
                if !context.held && now.saturating_sub(since) >= keep_ms {
                    self.state = AlertState::Inactive;
                    self.resolved_at_ms = Some(now);
                    self.keep_firing_since_ms = None;
                }
                Some(self)
            }
        }
    }

    fn fire_when_due(&mut self, spec: &AlertSpec, now_ms: i64) -> bool {
        let hold_ms = i64::try_from(spec.hold.as_millis()).unwrap_or(i64::MAX);
        let due = self.state == AlertState::Pending && now_ms.saturating_sub(self.active_at_ms) >= hold_ms;
        if due {
            self.state = AlertState::Firing;
            self.fired_at_ms = Some(now_ms);
        }
        due
    }
}

fn samples_of(value: QueryValue) -> Result<Vec<InstantSample>> {
    match value {
        QueryValue::Vector(samples) => Ok(samples),
        QueryValue::Scalar(sample) => Ok(vec![InstantSample {
            labels: Labels::empty(),
            timestamp_ms: sample.timestamp_ms,
            value: sample.value,
            histogram: None,
        }]),
        QueryValue::String { .. } | QueryValue::Matrix(_) => Err(Error::new(
            model::ErrorKind::Execution,
            "the expression of a rule must give a vector or a scalar",
        )),
    }
}

fn same_labels(what: &str) -> Error {
    Error::new(
        model::ErrorKind::Execution,
        format!("two results have the same labels after the {what}'s labels were set"),
    )
}

fn recorded(rule: &Rule, samples: Vec<InstantSample>) -> Result<Vec<(Labels, Point)>> {
    let mut seen = BTreeSet::new();
    let mut values = Vec::with_capacity(samples.len());
    for sample in samples {
        let mut builder = sample.labels.to_builder();
        builder.set(METRIC_NAME, &rule.name);
        for (name, value) in &rule.labels {
            builder.set(name, value);
        }
        let labels = builder.build();
        if !seen.insert(labels.clone()) {
            return Err(same_labels("rule"));
        }
        let point = match sample.histogram {
            Some(histogram) => Point::Histogram(histogram),
            None => sample.value.into(),
        };
        values.push((labels, point));
    }
    Ok(values)
}

fn new_alert(rule: &Rule, spec: &AlertSpec, sample: &InstantSample, context: Context<'_>) -> Alert {
    let data = Data {
        labels: &sample.labels,
        external_labels: context.external_labels,
        external_url: context.external_url,
        value: sample.value,
    };
    let mut builder = sample.labels.to_builder();
    builder.remove(METRIC_NAME);
    for (name, value) in &rule.labels {
        builder.set(name, template::expand_or_explain(value, &data));
    }
    builder.set("alertname", &rule.name);
    Alert {
        labels: builder.build(),
        annotations: spec
            .annotations
            .iter()
            .map(|(name, text)| (name.clone(), template::expand_or_explain(text, &data)))
            .collect(),
        value: sample.value,
        state: AlertState::Pending,
        active_at_ms: context.now_ms,
        fired_at_ms: None,
        resolved_at_ms: None,
        keep_firing_since_ms: None,
    }
}

fn series_of_state(alert: &Alert) -> Labels {
    let mut builder = alert.labels.to_builder();
    builder.set(METRIC_NAME, "ALERTS");
    let state = if alert.state == AlertState::Firing {
        "firing"
    } else {
        "pending"
    };
    builder.set("alertstate", state);
    builder.build()
}

fn series_of_start(alert: &Alert) -> Labels {
    let mut builder = alert.labels.to_builder();
    builder.set(METRIC_NAME, "ALERTS_FOR_STATE");
    builder.build()
}

/// What a rule writes to a series.
#[derive(Debug)]
enum Point {
    Value(f64),
    Histogram(Arc<Histogram>),
}

impl From<f64> for Point {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

fn series(labels: Labels, timestamp_ms: i64, point: Point) -> Series {
    let mut series = Series {
        labels,
        ..Series::default()
    };
    match point {
        Point::Value(value) => series.samples.push(Sample { timestamp_ms, value }),
        Point::Histogram(histogram) => series.histograms.push(HistogramSample {
            timestamp_ms,
            start_timestamp_ms: 0,
            histogram: Arc::unwrap_or_clone(histogram),
        }),
    }
    series
}
