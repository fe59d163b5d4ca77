//! Groups of alerts, and when whom to tell what: Alertmanager's dispatcher, deduplication and notification log.
//!
//! Pure: alerts and the time go in, notifications come out, and what became of them comes back.

mod log;
#[cfg(test)]
mod tests;

pub(crate) use log::{LogEntry, LogKey};

use crate::payload;
use crate::route::{Routes, Target};
use model::Labels;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt;
use std::sync::Arc;

/// How long it is remembered who was told what, and how long the end of an alert is offered to a receiver that
/// does not answer: Alertmanager's `--data.retention`.
pub(crate) const RETENTION_MS: i64 = 120 * 3_600_000;
/// The most groups; alerts of further ones wait until there is room.
const MAX_GROUPS: usize = 10_000;

/// Alertmanager's fingerprint of a label set: FNV-1a over name 0xFF value 0xFF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(labels: &Labels) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for (name, value) in labels.iter() {
            for part in [name, value] {
                part.bytes().for_each(&mut add);
                add(0xFF);
            }
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a fingerprint")))
    }
}

/// An alert on its way to people. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoutedAlert {
    pub(crate) labels: Labels,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) starts_at_ms: i64,
    /// `None` while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends_at_ms: Option<i64>,
    pub(crate) generator_url: String,
}

/// Names a group: the route that made it, its labels, and who is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct GroupId {
    pub(crate) route: String,
    pub(crate) labels: Labels,
    pub(crate) receiver: String,
}

impl GroupId {
    /// The `groupKey` of the payload.
    pub(crate) fn key(&self) -> String {
        format!("{}:{}", self.route, self.labels)
    }
}

/// A group between its notifications.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    target: Arc<Target>,
    pub(crate) alerts: BTreeMap<Fingerprint, RoutedAlert>,
    pub(crate) next_flush_ms: i64,
    /// Whether it had its first look, so that `group_wait` is over.
    pub(crate) flushed: bool,
    flight: Option<Flight>,
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The webhook took it.
    Delivered,
    /// The webhook did not take it: there was no connection, or the answer said so.
    NotTaken,
    /// It may have arrived; the answer did not.
    Unknown,
}

/// Notifications of a group that are on their way.
#[derive(Debug, Clone, Default)]
struct Flight {
    /// The webhooks that have not answered.
    open: BTreeSet<usize>,
    /// What they are told to be firing.
    firing: BTreeSet<Fingerprint>,
    failed: bool,
    /// The resolved alerts that they tell of, with their ends.
    resolved: BTreeMap<Fingerprint, i64>,
}

/// What is saved of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedGroup {
    #[serde(flatten)]
    pub(crate) id: GroupId,
    pub(crate) alerts: Vec<RoutedAlert>,
    pub(crate) next_flush_ms: i64,
    pub(crate) flushed: bool,
    /// A notification was on its way, and nobody knows what became of it.
    pub(crate) in_flight: bool,
}

/// Something to tell one webhook.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notification {
    pub(crate) group: GroupId,
    /// Which of the receiver's webhooks.
    pub(crate) webhook: usize,
    /// The JSON; `None` when there is nothing that this webhook wants to hear, and only the log moves on.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) resolved: BTreeSet<Fingerprint>,
    /// When to give up; the group's next look tries again with what is true then.
    pub(crate) deadline_ms: i64,
}

/// All groups, and the log of what was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dispatcher {
    pub(crate) routes: Routes,
    pub(crate) external_url: String,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) log: BTreeMap<LogKey, LogEntry>,
    /// Ends of alerts that no receiver took within [`RETENTION_MS`].
    pub(crate) abandoned: u64,
}

/// What became of an alert that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Put {
    /// A group has something new.
    pub(crate) changed: bool,
    /// There were too many groups.
    pub(crate) dropped: bool,
}

impl Dispatcher {
    /// Puts an alert into its groups. Doing it again with the same alert changes nothing.
    pub(crate) fn put(&mut self, alert: &RoutedAlert, now_ms: i64) -> Put {
        let mut put = Put::default();
        let print = Fingerprint::of(&alert.labels);
        for target in self.routes.find(&alert.labels) {
            let id = GroupId {
                route: target.key.clone(),
                labels: target.group_labels(&alert.labels),
                receiver: target.receiver.clone(),
            };
            let known = self
                .groups
                .get(&id)
                .is_some_and(|g| g.alerts.contains_key(&print));
            // The end of an alert that nobody heard of is no news.
            if alert.ends_at_ms.is_some() && !known && !self.was_told(&id, print) {
                continue;
            }
            let room = self.groups.len() < MAX_GROUPS;
            let group = match self.groups.entry(id) {
                btree_map::Entry::Occupied(entry) => entry.into_mut(),
                btree_map::Entry::Vacant(entry) if room => {
                    put.changed = true;
                    entry.insert(Group::new(target, now_ms))
                }
                btree_map::Entry::Vacant(_) => {
                    put.dropped = true;
                    continue;
                }
            };
            put.changed |= group.take(print, alert, now_ms);
        }
        put
    }

    /// Whether the log says that a receiver may believe the alert to be firing.
    fn was_told(&self, id: &GroupId, print: Fingerprint) -> bool {
        log::of_group(&self.log, id).any(|(_, entry)| entry.may_fire(print))
    }

    /// The notifications of the groups whose time has come; no further group once there are `room`. Each must come
    /// back to [`Dispatcher::settle`].
    pub(crate) fn due(&mut self, now_ms: i64, room: usize) -> Vec<Notification> {
        let mut notifications = Vec::new();
        for (id, group) in &mut self.groups {
            let longest = group.target.group_interval_ms.max(group.target.group_wait_ms);
            // The clock may have been set back.
            group.next_flush_ms = group.next_flush_ms.min(now_ms.saturating_add(longest));
            if group.flight.is_some() || group.next_flush_ms > now_ms || notifications.len() >= room {
                continue;
            }
            group.next_flush_ms = group.after(now_ms);
            group.flushed = true;
            let (abandoned, made) = flush(id, group, &self.routes, &mut self.log, &self.external_url, now_ms);
            self.abandoned += abandoned;
            notifications.extend(made);
        }
        self.tidy(now_ms);
        notifications
    }

    /// Takes back a notification. What was not delivered is tried again at the group's next look, with what is true
    /// then.
    pub(crate) fn settle(&mut self, notification: &Notification, fate: Fate, now_ms: i64) {
        let key = LogKey {
            group: notification.group.clone(),
            webhook: notification.webhook,
        };
        match fate {
            Fate::Delivered => {
                let entry = LogEntry {
                    sent_at_ms: now_ms,
                    firing: notification.firing.clone(),
                    resolved: notification.resolved.clone(),
                    unsure: false,
                    maybe_firing: BTreeSet::new(),
                };
                self.log.insert(key, entry);
            }
            Fate::NotTaken => {}
            Fate::Unknown => log::note_unsure(&mut self.log, key, &notification.firing, now_ms),
        }
        if let Some(group) = self.groups.get_mut(&notification.group) {
            group.land(notification.webhook, fate == Fate::Delivered);
        }
        self.tidy(now_ms);
    }

    /// When the next group wants to be looked at.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let waiting = self.groups.values().filter(|g| g.flight.is_none());
        waiting.map(|g| g.next_flush_ms).min()
    }

    /// The groups as they are saved.
    pub(crate) fn saved(&self) -> Vec<SavedGroup> {
        self.groups
            .iter()
            .map(|(id, group)| SavedGroup {
                id: id.clone(),
                alerts: group.alerts.values().cloned().collect(),
                next_flush_ms: group.next_flush_ms,
                flushed: group.flushed,
                in_flight: group.flight.is_some(),
            })
            .collect()
    }

    /// The log as it is saved: after a restart nobody knows what became of notifications that are on their way.
    pub(crate) fn saved_log(&self, now_ms: i64) -> BTreeMap<LogKey, LogEntry> {
        let mut log = self.log.clone();
        for (id, group) in &self.groups {
            let Some(flight) = &group.flight else { continue };
            for webhook in &flight.open {
                let key = LogKey {
                    group: id.clone(),
                    webhook: *webhook,
                };
                log::note_unsure(&mut log, key, &flight.firing, now_ms);
            }
        }
        log
    }

    /// Takes saved groups in, by the routes of today. A group that still exists keeps its timer; one whose
    /// notification was on its way looks again at once, since nobody knows whether it arrived.
    pub(crate) fn restore(&mut self, saved: Vec<SavedGroup>, now_ms: i64) {
        for old in &saved {
            for alert in &old.alerts {
                self.put(alert, now_ms);
            }
        }
        for old in saved {
            if let Some(group) = self.groups.get_mut(&old.id) {
                group.flushed = old.flushed;
                group.next_flush_ms = if old.in_flight { now_ms } else { old.next_flush_ms };
            }
        }
    }

    /// Goes on after the configuration changed: groups that are there before and after keep the notifications
    /// that are on their way.
    pub(crate) fn adopt_flights(&mut self, before: &mut Self) {
        for (id, old) in &mut before.groups {
            if let (Some(flight), Some(group)) = (old.flight.take(), self.groups.get_mut(id)) {
                group.flight = Some(flight);
                group.next_flush_ms = old.next_flush_ms;
            }
        }
    }

    /// Ends firing alerts that no rule holds any more: the rule was removed, or its labels changed.
    pub(crate) fn end_orphans(&mut self, held: &BTreeSet<Fingerprint>, now_ms: i64) {
        for group in self.groups.values_mut() {
            for (print, alert) in &mut group.alerts {
                if alert.ends_at_ms.is_none() && !held.contains(print) {
                    alert.ends_at_ms = Some(now_ms);
                }
            }
        }
    }

    fn tidy(&mut self, now_ms: i64) {
        self.groups
            .retain(|_, g| !g.alerts.is_empty() || g.flight.is_some());
        let groups = &self.groups;
        self.log.retain(|key, entry| {
            groups.contains_key(&key.group) || now_ms.saturating_sub(entry.sent_at_ms) < RETENTION_MS
        });
    }
}

impl Group {
    fn new(target: Arc<Target>, now_ms: i64) -> Self {
        Self {
            next_flush_ms: now_ms.saturating_add(target.group_wait_ms),
            target,
            alerts: BTreeMap::new(),
            flushed: false,
            flight: None,
        }
    }

    fn take(&mut self, print: Fingerprint, alert: &RoutedAlert, now_ms: i64) -> bool {
        // An alert that is older than the wait has waited long enough.
        if !self.flushed && alert.starts_at_ms.saturating_add(self.target.group_wait_ms) < now_ms {
            self.next_flush_ms = self.next_flush_ms.min(now_ms);
        }
        let old = self.alerts.get(&print);
        if old == Some(alert) {
            return false;
        }
        // New annotations alone are worth sending, not worth saving.
        let changed =
            old.map(|o| (o.starts_at_ms, o.ends_at_ms)) != Some((alert.starts_at_ms, alert.ends_at_ms));
        self.alerts.insert(print, alert.clone());
        changed
    }

    /// The look after the one at this time. The rhythm stays the same over a restart.
    fn after(&self, now_ms: i64) -> i64 {
        let interval_ms = self.target.group_interval_ms;
        let late_ms = now_ms.saturating_sub(self.next_flush_ms).rem_euclid(interval_ms);
        now_ms.saturating_sub(late_ms).saturating_add(interval_ms)
    }

    /// One notification came back.
    fn land(&mut self, webhook: usize, delivered: bool) {
        let Some(flight) = &mut self.flight else { return };
        flight.open.remove(&webhook);
        flight.failed |= !delivered;
        if !flight.open.is_empty() {
            return;
        }
        let flight = self.flight.take().expect("it is there above");
        if !flight.failed {
            self.forget(&flight.resolved);
        }
    }

    /// Lets go of resolved alerts, unless they changed since.
    fn forget(&mut self, resolved: &BTreeMap<Fingerprint, i64>) {
        self.alerts.retain(|print, alert| {
            alert.ends_at_ms.is_none() || alert.ends_at_ms != resolved.get(print).copied()
        });
    }
}

/// Looks at a group; gives the number of ends given up, and what its webhooks should hear.
fn flush(
    id: &GroupId,
    group: &mut Group,
    routes: &Routes,
    log: &mut BTreeMap<LogKey, LogEntry>,
    external_url: &str,
    now_ms: i64,
) -> (u64, Vec<Notification>) {
    let count = group.alerts.len();
    group.alerts.retain(|_, a| {
        a.ends_at_ms
            .is_none_or(|end| now_ms.saturating_sub(end) < RETENTION_MS)
    });
    let abandoned = (count - group.alerts.len()) as u64;
    let firing: BTreeSet<Fingerprint> = group
        .alerts
        .iter()
        .filter(|(_, a)| a.ends_at_ms.is_none())
        .map(|(p, _)| *p)
        .collect();
    let ends: BTreeMap<Fingerprint, i64> = group
        .alerts
        .iter()
        .filter_map(|(p, a)| a.ends_at_ms.map(|end| (*p, end)))
        .collect();
    let resolved: BTreeSet<Fingerprint> = ends.keys().copied().collect();
    let mut made = Vec::new();
    for (webhook, config) in routes.webhooks(&id.receiver).iter().enumerate() {
        let key = LogKey {
            group: id.clone(),
            webhook,
        };
        let entry = log.get_mut(&key);
        let repeat_ms = group.target.repeat_interval_ms;
        if !log::needs_update(entry, &firing, &resolved, config.send_resolved, repeat_ms, now_ms) {
            continue;
        }
        let told: Vec<&RoutedAlert> = group
            .alerts
            .values()
            .filter(|a| config.send_resolved || a.ends_at_ms.is_none())
            .collect();
        let message = payload::message(id, &told, external_url, config.max_alerts);
        made.push(Notification {
            group: id.clone(),
            webhook,
            body: (!told.is_empty())
                .then(|| serde_json::to_vec(&message).expect("maps of text always become JSON")),
            firing: firing.clone(),
            resolved: resolved.clone(),
            deadline_ms: group.next_flush_ms,
        });
    }
    if made.is_empty() {
        group.forget(&ends);
    } else {
        group.flight = Some(Flight {
            open: made.iter().map(|n| n.webhook).collect(),
            firing,
            failed: false,
            resolved: ends,
        });
    }
    (abandoned, made)
}
