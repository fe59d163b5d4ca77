//! The YAML form of rule files with unknown keys in it, which are passed over.

use super::file::{self, PromDuration};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

#[derive(Deserialize)]
pub(super) struct RawFile {
    #[serde(default)]
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
struct RawGroup {
    name: Spanned<String>,
    #[serde(default)]
    interval: Option<PromDuration>,
    #[serde(default)]
    query_offset: Option<PromDuration>,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    rules: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
struct RawRule {
    record: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    expr: Option<Spanned<String>>,
    #[serde(rename = "for")]
    hold: Option<Spanned<PromDuration>>,
    keep_firing_for: Option<Spanned<PromDuration>>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    annotations: BTreeMap<String, Spanned<String>>,
}

// Field by field, so that a key which the strict form learns is missing here when it is compiled.
impl From<RawFile> for file::RawFile {
    fn from(raw: RawFile) -> Self {
        Self {
            groups: raw.groups.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<RawGroup> for file::RawGroup {
    fn from(raw: RawGroup) -> Self {
        let rule = |r: Spanned<RawRule>| Spanned::new(r.value.into(), r.referenced, r.defined);
        Self {
            name: raw.name,
            interval: raw.interval,
            query_offset: raw.query_offset,
            limit: raw.limit,
            labels: raw.labels,
            rules: raw.rules.into_iter().map(rule).collect(),
        }
    }
}

impl From<RawRule> for file::RawRule {
    fn from(raw: RawRule) -> Self {
        Self {
            record: raw.record,
            alert: raw.alert,
            expr: raw.expr,
            hold: raw.hold,
            keep_firing_for: raw.keep_firing_for,
            labels: raw.labels,
            annotations: raw.annotations,
        }
    }
}
