//! Rules evaluated at times that the caller chooses, with nobody told: what unit tests of rule files need.

use crate::evaluate::{AlertState, Context, RuleState};
use crate::rules::Group;
use model::{Labels, Result, Series};
use query::promql::QueryValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Groups of rules and the states of their alerts.
#[derive(Debug)]
pub struct Rehearsal {
    groups: Vec<(Arc<Group>, Vec<RuleState>)>,
    external_labels: Labels,
    external_url: String,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FiringAlert {
    /// With `alertname`.
    pub labels: Labels,
    /// For people.
    pub annotations: BTreeMap<String, String>,
}

impl Rehearsal {
    /// Groups whose alerts are all inactive. The labels and the address are what templates see of the server.
    pub fn new(groups: Vec<Arc<Group>>, external_labels: Labels, external_url: String) -> Self {
        let with_states = |group: Arc<Group>| {
            let states = group.rules.iter().map(|_| RuleState::default()).collect();
            (group, states)
        };
        Self {
            groups: groups.into_iter().map(with_states).collect(),
            external_labels,
            external_url,
        }
    }

    /// The groups in their order.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter().map(|(group, _)| group)
    }

    /// Evaluates all groups at a time, rule by rule: `ask` answers an expression at a time, `write` takes what the rule
    /// writes before the next one is evaluated. Gives what went wrong, with the names of the rules.
    pub fn evaluate(
        &mut self,
        at_ms: i64,
        mut ask: impl FnMut(&str, i64) -> Result<QueryValue>,
        mut write: impl FnMut(Vec<Series>) -> Result<()>,
    ) -> Vec<(String, model::Error)> {
        let mut failures = Vec::new();
        for (group, states) in &mut self.groups {
            let context = Context {
                now_ms: at_ms,
                asked_at_ms: group.asks_at_ms(at_ms),
                external_labels: &self.external_labels,
                external_url: &self.external_url,
                limit: group.limit,
                max_alerts: usize::MAX,
                held: false,
            };
            for (rule, state) in group.rules.iter().zip(states) {
                let done = ask(&rule.expr, context.asked_at_ms)
                    .and_then(|value| state.try_apply(rule, value, context))
                    .and_then(|outcome| write(outcome.series));
                if let Err(e) = done {
                    failures.push((rule.name.clone(), e));
                }
            }
        }
        failures
    }

    /// The alerts of a name that fire, of all groups, sorted.
    pub fn firing(&self, name: &str) -> Vec<FiringAlert> {
        let states = self.groups.iter().flat_map(|(group, states)| {
            let rules = group.rules.iter().zip(states);
            rules.filter_map(|(rule, state)| (rule.alert.is_some() && rule.name == name).then_some(state))
        });
        let mut firing: Vec<FiringAlert> = states
            .flat_map(RuleState::active)
            .filter(|a| a.state == AlertState::Firing)
            .map(|a| FiringAlert {
                labels: a.labels.clone(),
                annotations: a.annotations.clone(),
            })
            .collect();
        firing.sort();
        firing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Sample;
    use model::metric::{Histogram, is_stale};
    use query::promql::InstantSample;

    /// The groups of a file.
    fn groups(text: &str) -> Vec<Arc<Group>> {
        crate::rules::load(text, "x.yml").unwrap().groups
    }

    fn one(label: &str, value: f64, histogram: Option<Histogram>) -> InstantSample {
        InstantSample {
            labels: Labels::from_pairs([("__name__", "m"), ("a", label)]),
            timestamp_ms: 0,
            value,
            histogram: histogram.map(Arc::new),
        }
    }

    #[test]
    fn what_rules_write_is_as_old_as_what_they_ask_for() {
        let text = "groups:\n- name: g\n  query_offset: 10s\n  rules:\n  - {record: r, expr: m}\n  - {alert: A, expr: m}\n";
        let mut rules = Rehearsal::new(groups(text), Labels::empty(), String::new());
        let mut values = vec![
            vec![one("x", 1.0, None)],
            vec![one("x", 1.0, None)],
            vec![],
            vec![],
        ]
        .into_iter();
        let mut written = Vec::new();
        for at_ms in [60_000, 120_000] {
            let failed = rules.evaluate(
                at_ms,
                |expr, asked_ms| {
                    assert_eq!((expr, asked_ms), ("m", at_ms - 10_000));
                    Ok(QueryValue::Vector(values.next().unwrap()))
                },
                |series| {
                    written.extend(series);
                    Ok(())
                },
            );
            assert!(failed.is_empty());
        }
        let shown: Vec<_> = written
            .iter()
            .map(|s| {
                let Sample { timestamp_ms, value } = s.samples[0];
                let value = if is_stale(value) {
                    "stale".to_owned()
                } else {
                    value.to_string()
                };
                format!(
                    "{} {value}@{timestamp_ms}",
                    s.labels.metric_name().unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "r 1@50000",
                "ALERTS 1@50000",
                "ALERTS_FOR_STATE 60@50000",
                "r stale@110000",
                "ALERTS stale@110000",
                "ALERTS_FOR_STATE stale@110000"
            ]
        );
    }

    #[test]
    fn histograms_are_recorded_as_such() {
        let text = "groups: [{name: g, rules: [{record: r, expr: m}]}]";
        let mut rules = Rehearsal::new(groups(text), Labels::empty(), String::new());
        let histogram = Histogram {
            count: 3.0,
            ..Histogram::default()
        };
        let value = QueryValue::Vector(vec![one("x", 0.0, Some(histogram.clone()))]);
        let mut written = Vec::new();
        rules.evaluate(
            5,
            |_, _| Ok(value.clone()),
            |series| {
                written.extend(series);
                Ok(())
            },
        );
        assert!(written[0].samples.is_empty());
        assert_eq!(written[0].histograms[0].histogram, histogram);
        assert_eq!(written[0].histograms[0].timestamp_ms, 5);
    }

    #[test]
    fn failures_name_the_rule_and_firing_alerts_are_sorted() {
        let text = "groups: [{name: g, rules: [{alert: A, expr: m, annotations: {n: '{{ $value }}'}}, {record: bad, expr: m}]}]";
        let mut rules = Rehearsal::new(groups(text), Labels::empty(), String::new());
        let mut answers = vec![
            Ok(QueryValue::Vector(vec![one("y", 2.0, None), one("x", 1.0, None)])),
            Err(model::Error::bad_data("no")),
        ]
        .into_iter();
        let failed = rules.evaluate(0, |_, _| answers.next().unwrap(), |_| Ok(()));
        let failed: Vec<_> = failed
            .iter()
            .map(|(rule, e)| (rule.as_str(), e.message()))
            .collect();
        assert_eq!(failed, [("bad", "no")]);
        let firing = rules.firing("A");
        let shown: Vec<_> = firing
            .iter()
            .map(|a| format!("{} {:?}", a.labels, a.annotations))
            .collect();
        assert_eq!(
            shown,
            [
                "{a=\"x\", alertname=\"A\"} {\"n\": \"1\"}",
                "{a=\"y\", alertname=\"A\"} {\"n\": \"2\"}"
            ]
        );
        assert!(rules.firing("bad").is_empty());
    }
}
