//! The body of a webhook: Alertmanager's payload, version 4.

use crate::notify::{Fingerprint, GroupId, RoutedAlert};
use crate::timestamp;
use serde::Serialize;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

type Pairs<'a> = BTreeMap<&'a str, &'a str>;

/// The body. Fields in the order in which Alertmanager writes them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<AlertBody<'a>>,
    group_labels: Pairs<'a>,
    common_labels: Pairs<'a>,
    common_annotations: Pairs<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertBody<'a> {
    status: &'static str,
    labels: Pairs<'a>,
    annotations: Pairs<'a>,
    starts_at: String,
    ends_at: Cow<'static, str>,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: Fingerprint,
}

/// Builds the body for alerts of one group. Labels, annotations and the status speak of all alerts; of the list, at
/// most `max_alerts` stay (0: all).
pub(crate) fn message<'a>(
    group: &'a GroupId,
    alerts: &[&'a RoutedAlert],
    external_url: &'a str,
    max_alerts: u64,
) -> Message<'a> {
    let mut sorted = alerts.to_vec();
    sorted.sort_by(|a, b| order(a, b));
    let kept = match usize::try_from(max_alerts) {
        Ok(0) | Err(_) => sorted.len(),
        Ok(max) => max.min(sorted.len()),
    };
    let firing = sorted.iter().any(|a| a.ends_at_ms.is_none());
    Message {
        receiver: &group.receiver,
        status: if firing { "firing" } else { "resolved" },
        alerts: sorted[..kept].iter().copied().map(body).collect(),
        group_labels: group.labels.iter().collect(),
        common_labels: common(sorted.iter().map(|a| a.labels.iter().collect())),
        common_annotations: common(sorted.iter().map(|a| annotations(a))),
        external_url,
        version: "4",
        group_key: group.key(),
        truncated_alerts: sorted.len() - kept,
    }
}

fn body(alert: &RoutedAlert) -> AlertBody<'_> {
    AlertBody {
        status: if alert.ends_at_ms.is_none() {
            "firing"
        } else {
            "resolved"
        },
        labels: alert.labels.iter().collect(),
        annotations: annotations(alert),
        starts_at: timestamp::rfc3339(alert.starts_at_ms),
        ends_at: match alert.ends_at_ms {
            Some(ms) => Cow::Owned(timestamp::rfc3339(ms)),
            None => Cow::Borrowed(timestamp::ZERO),
        },
        generator_url: &alert.generator_url,
        fingerprint: Fingerprint::of(&alert.labels),
    }
}

fn annotations(alert: &RoutedAlert) -> Pairs<'_> {
    alert
        .annotations
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect()
}

/// The pairs that all have.
fn common<'a>(mut all: impl Iterator<Item = Pairs<'a>>) -> Pairs<'a> {
    let mut shared = all.next().unwrap_or_default();
    for pairs in all {
        shared.retain(|k, v| pairs.get(k) == Some(v));
    }
    shared
}

/// By job, by instance, then by all labels; who has no job comes last.
fn order(a: &RoutedAlert, b: &RoutedAlert) -> Ordering {
    for name in ["job", "instance"] {
        let decided = match (a.labels.get(name), b.labels.get(name)) {
            (Some(x), Some(y)) => x.cmp(y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        if decided.is_ne() {
            return decided;
        }
    }
    a.labels.cmp(&b.labels)
}
