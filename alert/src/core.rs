//! Rules and groups together: one value that the manager drives and that a document can hold and bring back.

use crate::config::Config;
use crate::evaluate::{Alert, AlertState, Context, RuleState};
use crate::notify::{Dispatcher, Fingerprint, RoutedAlert};
use crate::route::Routes;
use crate::rules::{Group, Rule, RuleFile};
use crate::state::{Document, RuleKey, SavedLogEntry, SavedRule, VERSION};
use crate::template;
use model::{Error, Labels, Result, Series};
use query::promql::QueryValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// After an outage longer than this, samples from before it are (nearly) out of the engine's sight, and an empty
/// answer says nothing until the targets have been asked again.
const LONG_OUTAGE_MS: i64 = 150_000;
/// How long firing alerts stay and notifications wait after a long outage, and how long notifications wait at most
/// for every group's first evaluation after any start.
pub(crate) const SETTLING_MS: i64 = 60_000;

/// Everything about alerts of one tenant.
#[derive(Default)]
pub(crate) struct Core {
    pub(crate) groups: Vec<GroupState>,
    pub(crate) dispatcher: Dispatcher,
    external_labels: Labels,
    external_url: String,
    max_alerts: usize,
    started_ms: i64,
    held_until_ms: i64,
    was_settled: bool,
    /// Whether there is something that the saved document does not say.
    pub(crate) dirty: bool,
    /// Alerts that found no room in the groups.
    pub(crate) dropped: u64,
    /// Series of rules that are gone, to be marked as ended.
    pub(crate) ended: Vec<Series>,
}

/// A group of rules and the state of each.
pub(crate) struct GroupState {
    pub(crate) group: Arc<Group>,
    pub(crate) interval: Duration,
    pub(crate) rules: Vec<(RuleKey, RuleState)>,
    pub(crate) evaluated_at_ms: Option<i64>,
    pub(crate) took_s: f64,
}

impl Core {
    /// Starts from what was saved, or from nothing.
    pub(crate) fn start(
        files: &[RuleFile],
        config: &Config,
        external_url: &str,
        saved: Option<Document>,
        now_ms: i64,
    ) -> Result<Self> {
        let mut core = Self::new(files, config, external_url, now_ms)?;
        let Some(mut saved) = saved else { return Ok(core) };
        let outage_ms = now_ms.saturating_sub(saved.saved_at_ms);
        let tolerance_ms = i64::try_from(config.for_outage_tolerance.as_millis()).unwrap_or(i64::MAX);
        if outage_ms > tolerance_ms {
            for rule in &mut saved.rules {
                rule.alerts.retain(|a| a.state != AlertState::Pending);
            }
        }
        if outage_ms > LONG_OUTAGE_MS {
            core.held_until_ms = now_ms.saturating_add(SETTLING_MS);
        }
        core.restore(saved, now_ms);
        Ok(core)
    }

    /// Goes on with new rules and routes. Rules that are still there keep their state; alerts of rules that are
    /// gone end; nothing waits anew or is sent twice.
    pub(crate) fn reload(
        &mut self,
        files: &[RuleFile],
        config: &Config,
        external_url: &str,
        now_ms: i64,
    ) -> Result<()> {
        let mut next = Self::new(files, config, external_url, now_ms)?;
        let mut before = std::mem::take(self);
        let mut saved = before.document(now_ms);
        // Notifications on their way will come back to this process.
        let log = std::mem::take(&mut before.dispatcher.log).into_iter();
        saved.log = log.map(|(key, entry)| SavedLogEntry { key, entry }).collect();
        let mut states: BTreeMap<RuleKey, RuleState> =
            before.groups.into_iter().flat_map(|g| g.rules).collect();
        for group in &mut next.groups {
            for (rule, (key, state)) in group.group.rules.iter().zip(&mut group.rules) {
                if let Some(old) = states.remove(key) {
                    *state = old;
                }
                if rule.alert.is_none() {
                    state.alerts.clear();
                }
            }
        }
        next.ended = before.ended;
        next.ended
            .extend(states.values_mut().flat_map(|s| s.end_series(now_ms)));
        next.restore_groups(saved, now_ms);
        let mut old_dispatcher = before.dispatcher;
        next.dispatcher.adopt_flights(&mut old_dispatcher);
        next.dispatcher.abandoned = old_dispatcher.abandoned;
        next.dropped = before.dropped;
        next.started_ms = before.started_ms;
        next.held_until_ms = before.held_until_ms;
        next.was_settled = before.was_settled;
        next.dirty = true;
        *self = next;
        Ok(())
    }

    fn new(files: &[RuleFile], config: &Config, external_url: &str, now_ms: i64) -> Result<Self> {
        let external_url = config
            .external_url
            .as_deref()
            .unwrap_or(external_url)
            .trim_end_matches('/');
        let mut core = Self {
            dispatcher: Dispatcher {
                routes: Routes::compile(config)?,
                external_url: external_url.to_owned(),
                ..Dispatcher::default()
            },
            external_labels: config.external(),
            external_url: external_url.to_owned(),
            max_alerts: config.max_alerts_per_rule,
            started_ms: now_ms,
            held_until_ms: now_ms,
            ..Self::default()
        };
        let mut seen: BTreeMap<RuleKey, usize> = BTreeMap::new();
        for group in files.iter().flat_map(|f| &f.groups) {
            let rules = group.rules.iter().map(|rule| {
                let mut key = key_of(group, rule);
                let count = seen.entry(key.clone()).or_default();
                key.nth = *count;
                *count += 1;
                (key, RuleState::default())
            });
            core.groups.push(GroupState {
                rules: rules.collect(),
                interval: group.interval.unwrap_or(config.evaluation_interval),
                group: Arc::clone(group),
                evaluated_at_ms: None,
                took_s: 0.0,
            });
        }
        Ok(core)
    }

    fn restore(&mut self, mut saved: Document, now_ms: i64) {
        let mut alerts: BTreeMap<RuleKey, Vec<Alert>> = std::mem::take(&mut saved.rules)
            .into_iter()
            .map(|r| (r.key, r.alerts))
            .collect();
        for group in &mut self.groups {
            for (rule, (key, state)) in group.group.rules.iter().zip(&mut group.rules) {
                if let (Some(alerts), true) = (alerts.remove(key), rule.alert.is_some()) {
                    *state = RuleState::restored(alerts);
                }
            }
        }
        self.restore_groups(saved, now_ms);
    }

    /// The part of a document that is about notification, once the rules have their alerts.
    fn restore_groups(&mut self, saved: Document, now_ms: i64) {
        let firing = self
            .groups
            .iter()
            .flat_map(|g| &g.rules)
            .flat_map(|(_, state)| state.active())
            .filter(|a| a.state == AlertState::Firing);
        let held = firing
            .map(|a| Fingerprint::of(&with_external(&a.labels, &self.external_labels)))
            .collect();
        self.dispatcher.log = saved.log.into_iter().map(|e| (e.key, e.entry)).collect();
        self.dispatcher.restore(saved.groups, now_ms);
        self.dispatcher.end_orphans(&held, now_ms);
        self.dirty = true;
    }

    /// What a restart needs to know.
    pub(crate) fn document(&self, now_ms: i64) -> Document {
        let rules = self
            .groups
            .iter()
            .flat_map(|g| &g.rules)
            .filter(|(_, state)| !state.alerts.is_empty())
            .map(|(key, state)| SavedRule {
                key: key.clone(),
                alerts: state.alerts.values().cloned().collect(),
            })
            .collect();
        let log = self.dispatcher.saved_log(now_ms);
        let log = log.into_iter().map(|(key, entry)| SavedLogEntry { key, entry });
        Document {
            version: VERSION,
            saved_at_ms: now_ms,
            rules,
            groups: self.dispatcher.saved(),
            log: log.collect(),
        }
    }

    /// Applies the answer to one rule; gives the series to write.
    pub(crate) fn apply(
        &mut self,
        group: usize,
        rule: usize,
        answer: Result<QueryValue>,
        took: Duration,
        now_ms: i64,
    ) -> Vec<Series> {
        let state = &mut self.groups[group];
        let definition = Arc::clone(&state.group.rules[rule]);
        let context = Context {
            now_ms,
            asked_at_ms: state.group.asks_at_ms(now_ms),
            external_labels: &self.external_labels,
            external_url: &self.external_url,
            limit: state.group.limit,
            max_alerts: self.max_alerts,
            held: (self.started_ms..self.held_until_ms).contains(&now_ms),
        };
        let rule_state = &mut state.rules[rule].1;
        let outcome = rule_state.apply(&definition, answer, context);
        rule_state.took_s = took.as_secs_f64();
        self.dirty |= outcome.changed;
        if definition.alert.is_some() {
            let generator_url = format!(
                "{}{}",
                self.external_url,
                template::graph_path(&definition.expr, 1)
            );
            for alert in rule_state.alerts.values() {
                let Some(routed) = routed(alert, &self.external_labels, &generator_url) else {
                    continue;
                };
                let put = self.dispatcher.put(&routed, now_ms);
                self.dirty |= put.changed;
                self.dropped += u64::from(put.dropped);
            }
        }
        outcome.series
    }

    /// Notes that the series of a rule could not be written.
    pub(crate) fn write_failed(&mut self, group: usize, rule: usize, error: &Error) {
        self.groups[group].rules[rule].1.fail(error);
    }

    /// Notes that all rules of a group were evaluated.
    pub(crate) fn group_done(&mut self, group: usize, took: Duration, now_ms: i64) {
        let state = &mut self.groups[group];
        state.evaluated_at_ms = Some(now_ms);
        state.took_s = took.as_secs_f64();
    }

    /// Whether notifications may leave: every group had its first evaluation, or had the time for it; after a long
    /// outage always the latter. Before that the alerts are those of before the restart.
    pub(crate) fn is_settled(&mut self, now_ms: i64) -> bool {
        let settling = self.started_ms..self.started_ms.saturating_add(SETTLING_MS);
        let evaluated = |g: &GroupState| g.evaluated_at_ms.is_some() || g.group.rules.is_empty();
        let held = self.held_until_ms > self.started_ms;
        self.was_settled |= !settling.contains(&now_ms) || (!held && self.groups.iter().all(evaluated));
        self.was_settled
    }

    /// When notifications may leave at the latest, while they wait for the first evaluations.
    pub(crate) fn settles_at_ms(&self) -> i64 {
        self.started_ms.saturating_add(SETTLING_MS)
    }
}

/// What the dispatcher should know of a rule's alert; nothing while it is pending.
fn routed(alert: &Alert, external_labels: &Labels, generator_url: &str) -> Option<RoutedAlert> {
    let ends_at_ms = match alert.state {
        AlertState::Pending => return None,
        AlertState::Firing => None,
        AlertState::Inactive => Some(alert.resolved_at_ms?),
    };
    Some(RoutedAlert {
        labels: with_external(&alert.labels, external_labels),
        annotations: alert.annotations.clone(),
        starts_at_ms: alert.fired_at_ms?,
        ends_at_ms,
        generator_url: generator_url.to_owned(),
    })
}

/// The alert's labels and those of the server; the alert's own win.
fn with_external(labels: &Labels, external: &Labels) -> Labels {
    if external.is_empty() {
        return labels.clone();
    }
    let mut builder = external.to_builder();
    for (name, value) in labels.iter() {
        builder.set(name, value);
    }
    builder.build()
}

fn key_of(group: &Group, rule: &Rule) -> RuleKey {
    RuleKey {
        file: group.file.to_string(),
        group: group.name.clone(),
        name: rule.name.clone(),
        labels: rule.labels.clone(),
        nth: 0,
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
