//! Rules and alerts as Prometheus' HTTP API shows them, and groups of notifications for the alerts page.

use crate::core::{Core, GroupState};
use crate::evaluate::{Alert, AlertState, Health, RuleState};
use crate::rules::Rule;
use crate::template;
use crate::timestamp::{ZERO, rfc3339};
use model::Labels;
use serde::Serialize;
use std::collections::BTreeMap;

/// `data` of `/api/v1/rules`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rules {
    /// Groups in the order of their files.
    pub groups: Vec<RuleGroup>,
}

/// A group of rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleGroup {
    /// The group's name.
    pub name: String,
    /// The file that it stands in.
    pub file: String,
    /// Rules in order.
    pub rules: Vec<RuleInfo>,
    /// Seconds.
    pub interval: f64,
    /// The most results of one rule; 0 is no limit.
    pub limit: usize,
    /// How long the last evaluation took, in seconds.
    pub evaluation_time: f64,
    /// RFC 3339; the year 1 before the first evaluation.
    pub last_evaluation: String,
}

/// A rule of either type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RuleInfo {
    /// With its alerts.
    Alerting(AlertingRule),
    /// Writes series.
    Recording(RecordingRule),
}

/// An alerting rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertingRule {
    /// `inactive`, `pending` or `firing`: the highest state of its alerts.
    pub state: &'static str,
    /// The alert's name.
    pub name: String,
    /// PromQL.
    pub query: String,
    /// `for`, in seconds.
    pub duration: f64,
    /// Seconds.
    pub keep_firing_for: f64,
    /// The rule's labels, templates as they are written.
    pub labels: BTreeMap<String, String>,
    /// Templates as they are written.
    pub annotations: BTreeMap<String, String>,
    /// Pending and firing alerts.
    pub alerts: Vec<AlertInfo>,
    /// `ok`, `err` or `unknown`.
    pub health: &'static str,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Seconds.
    pub evaluation_time: f64,
    /// RFC 3339.
    pub last_evaluation: String,
}

/// A recording rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingRule {
    /// The series that it writes.
    pub name: String,
    /// PromQL.
    pub query: String,
    /// Labels that it sets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `ok`, `err` or `unknown`.
    pub health: &'static str,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Seconds.
    pub evaluation_time: f64,
    /// RFC 3339.
    pub last_evaluation: String,
}

/// `data` of `/api/v1/alerts`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alerts {
    /// Pending and firing alerts of all rules.
    pub alerts: Vec<AlertInfo>,
}

/// A pending or firing alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertInfo {
    /// With `alertname`.
    pub labels: Labels,
    /// Texts.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: &'static str,
    /// RFC 3339.
    pub active_at: String,
    /// RFC 3339; only while the alert is kept firing without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_since: Option<String>,
    /// The expression's value, as Go writes it with an exponent.
    pub value: String,
}

/// A group of notifications.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationGroup {
    /// Who is told.
    pub receiver: String,
    /// What its alerts have in common.
    pub labels: Labels,
    /// Alerts that fire.
    pub firing: usize,
    /// Alerts that ended and whose end is still to be told.
    pub resolved: usize,
    /// RFC 3339: when the group looks again.
    pub next_look: String,
    /// RFC 3339: when one of the receiver's webhooks last took a notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<String>,
}

impl Core {
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            groups: self.groups.iter().map(group).collect(),
        }
    }
    pub(crate) fn alerts(&self) -> Alerts {
        let states = self.groups.iter().flat_map(|g| &g.rules);
        Alerts {
            alerts: states.flat_map(|(_, s)| s.active()).map(alert).collect(),
        }
    }
    pub(crate) fn notifications(&self) -> Vec<NotificationGroup> {
        let sent = |id: &crate::notify::GroupId| {
            let entries = self.dispatcher.log.iter().filter(|(key, _)| key.group == *id);
            entries.map(|(_, e)| e.sent_at_ms).max().map(rfc3339)
        };
        self.dispatcher
            .groups
            .iter()
            .map(|(id, group)| {
                let firing = group.alerts.values().filter(|a| a.ends_at_ms.is_none()).count();
                NotificationGroup {
                    receiver: id.receiver.clone(),
                    labels: id.labels.clone(),
                    firing,
                    resolved: group.alerts.len() - firing,
                    next_look: rfc3339(group.next_flush_ms),
                    last_sent: sent(id),
                }
            })
            .collect()
    }
    /// How many alerts are pending and firing.
    pub(crate) fn counts(&self) -> (i64, i64) {
        let states = self.groups.iter().flat_map(|g| &g.rules);
        let active = states.flat_map(|(_, s)| s.active());
        active.fold((0, 0), |(pending, firing), a| match a.state {
            AlertState::Firing => (pending, firing + 1),
            _ => (pending + 1, firing),
        })
    }
}

fn time(at_ms: Option<i64>) -> String {
    at_ms.map_or_else(|| ZERO.to_owned(), rfc3339)
}

fn group(state: &GroupState) -> RuleGroup {
    let group = &state.group;
    RuleGroup {
        name: group.name.clone(),
        file: group.file.to_string(),
        rules: group
            .rules
            .iter()
            .zip(&state.rules)
            .map(|(rule, (_, state))| info(rule, state))
            .collect(),
        interval: state.interval.as_secs_f64(),
        limit: group.limit,
        evaluation_time: state.took_s,
        last_evaluation: time(state.evaluated_at_ms),
    }
}

fn info(rule: &Rule, state: &RuleState) -> RuleInfo {
    let health = match state.health {
        Health::Unknown => "unknown",
        Health::Good => "ok",
        Health::Bad => "err",
    };
    let last_evaluation = time(state.evaluated_at_ms);
    match &rule.alert {
        None => RuleInfo::Recording(RecordingRule {
            name: rule.name.clone(),
            query: rule.expr.clone(),
            labels: rule.labels.clone(),
            health,
            last_error: state.last_error.clone(),
            evaluation_time: state.took_s,
            last_evaluation,
        }),
        Some(spec) => RuleInfo::Alerting(AlertingRule {
            state: highest(state),
            name: rule.name.clone(),
            query: rule.expr.clone(),
            duration: spec.hold.as_secs_f64(),
            keep_firing_for: spec.keep_firing_for.as_secs_f64(),
            labels: rule.labels.clone(),
            annotations: spec.annotations.clone(),
            alerts: state.active().map(alert).collect(),
            health,
            last_error: state.last_error.clone(),
            evaluation_time: state.took_s,
            last_evaluation,
        }),
    }
}

fn word(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}

fn highest(state: &RuleState) -> &'static str {
    let has = |wanted| state.alerts.values().any(|a| a.state == wanted);
    let states = [AlertState::Firing, AlertState::Pending];
    word(
        states
            .into_iter()
            .find(|s| has(*s))
            .unwrap_or(AlertState::Inactive),
    )
}

fn alert(alert: &Alert) -> AlertInfo {
    AlertInfo {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: word(alert.state),
        active_at: rfc3339(alert.active_at_ms),
        keep_firing_since: alert.keep_firing_since_ms.map(rfc3339),
        value: template::go_float_e(alert.value),
    }
}
