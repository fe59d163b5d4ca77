//! What each webhook was told of each group last: Alertmanager's notification log.

use super::{Fingerprint, GroupId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A webhook of a group's receiver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LogKey {
    #[serde(flatten)]
    pub(crate) group: GroupId,
    /// Its place among the receiver's webhooks.
    pub(crate) webhook: usize,
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogEntry {
    pub(crate) sent_at_ms: i64,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) resolved: BTreeSet<Fingerprint>,
    /// A later notification may have arrived, and its answer is lost: nobody knows what the webhook believes, so it
    /// is told how things stand even if they are back to what the log says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unsure: bool,
    /// What such notifications said to be firing; its end is told too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) maybe_firing: BTreeSet<Fingerprint>,
}

impl LogEntry {
    /// Whether the webhook may believe that an alert fires.
    pub(super) fn may_fire(&self, print: Fingerprint) -> bool {
        self.firing.contains(&print) || self.maybe_firing.contains(&print)
    }
}

/// Notes a notification whose answer is lost, or not there yet.
pub(super) fn note_unsure(
    log: &mut BTreeMap<LogKey, LogEntry>,
    key: LogKey,
    firing: &BTreeSet<Fingerprint>,
    now_ms: i64,
) {
    let entry = log.entry(key).or_insert_with(|| LogEntry {
        sent_at_ms: now_ms,
        firing: BTreeSet::new(),
        resolved: BTreeSet::new(),
        unsure: true,
        maybe_firing: BTreeSet::new(),
    });
    entry.unsure = true;
    entry.maybe_firing.extend(firing);
}

/// The entries of one group.
pub(super) fn of_group<'a>(
    log: &'a BTreeMap<LogKey, LogEntry>,
    group: &GroupId,
) -> impl Iterator<Item = (&'a LogKey, &'a LogEntry)> {
    let first = LogKey {
        group: group.clone(),
        webhook: 0,
    };
    let group = group.clone();
    log.range(first..).take_while(move |(key, _)| key.group == group)
}

/// Whether a webhook has something new to hear, or an old thing again.
pub(super) fn needs_update(
    entry: Option<&mut LogEntry>,
    firing: &BTreeSet<Fingerprint>,
    resolved: &BTreeSet<Fingerprint>,
    send_resolved: bool,
    repeat_ms: i64,
    now_ms: i64,
) -> bool {
    let Some(entry) = entry else {
        return !firing.is_empty();
    };
    // The clock may have been set back.
    entry.sent_at_ms = entry.sent_at_ms.min(now_ms);
    if entry.unsure {
        return !(firing.is_empty() && entry.firing.is_empty() && entry.maybe_firing.is_empty());
    }
    if !firing.is_subset(&entry.firing) {
        return true;
    }
    if firing.is_empty() {
        // What fired and ended since the last notification was never told, and need not be.
        return !entry.firing.is_empty();
    }
    if send_resolved && !resolved.is_subset(&entry.resolved) {
        return true;
    }
    now_ms.saturating_sub(entry.sent_at_ms) >= repeat_ms
}
