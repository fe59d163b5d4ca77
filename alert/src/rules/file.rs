//! The YAML form of rule files, and what must hold for it.

use super::{AlertSpec, Group, MAX_GROUPS, MAX_RULES, Rule, RuleErrors, RuleFile};
use crate::template::Template;
use runtime::config::ConfigError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    #[serde(default)]
    pub(super) groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGroup {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) interval: Option<PromDuration>,
    #[serde(default)]
    pub(super) query_offset: Option<PromDuration>,
    #[serde(default)]
    pub(super) limit: usize,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) record: Option<Spanned<String>>,
    pub(super) alert: Option<Spanned<String>>,
    pub(super) expr: Option<Spanned<String>>,
    #[serde(rename = "for")]
    pub(super) hold: Option<Spanned<PromDuration>>,
    pub(super) keep_firing_for: Option<Spanned<PromDuration>>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, Spanned<String>>,
}

/// A duration in Prometheus' words.
#[derive(Clone, Copy)]
pub(super) struct PromDuration(Duration);

impl<'de> Deserialize<'de> for PromDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        model::duration::serde_text::deserialize(deserializer).map(Self)
    }
}

/// Collects mistakes with their places.
struct Errors<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<ConfigError>,
}

impl Errors<'_> {
    fn add(&mut self, at: Location, message: impl Into<String>) {
        let line = usize::try_from(at.line()).ok().filter(|l| *l > 0);
        self.found.push(ConfigError {
            file: self.file.to_owned(),
            line,
            column: line.and_then(|_| usize::try_from(at.column()).ok()),
            message: message.into(),
            text: line.and_then(|l| self.text.lines().nth(l - 1)).map(str::to_owned),
        });
    }
}

/// Reads a file whose YAML has one of two forms: without unknown keys, or with any.
pub(super) fn read<F: DeserializeOwned + Into<RawFile>>(
    text: &str,
    file_name: &str,
) -> Result<RuleFile, RuleErrors> {
    let mut errors = Errors {
        file: file_name,
        text,
        found: Vec::new(),
    };
    // An empty file is null to YAML; to us it holds no groups.
    let blank = text
        .lines()
        .map(str::trim)
        .all(|l| l.is_empty() || l.starts_with('#') || l == "---");
    let raw: RawFile = match serde_saphyr::from_str::<F>(if blank { "{}" } else { text }) {
        Ok(raw) => raw.into(),
        Err(e) => {
            let at = e.location().unwrap_or(Location::UNKNOWN);
            errors.add(at, sentence(&e));
            return Err(RuleErrors(errors.found));
        }
    };
    let name: Arc<str> = file_name.into();
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    if raw.groups.len() > MAX_GROUPS {
        errors.add(
            Location::UNKNOWN,
            format!("a file has at most {MAX_GROUPS} groups"),
        );
    }
    for raw_group in raw.groups {
        let at = raw_group.name.referenced;
        if raw_group.name.value.is_empty() {
            errors.add(at, "a group needs a name");
        } else if !seen.insert(raw_group.name.value.clone()) {
            errors.add(
                at,
                format!("the group {:?} is in this file twice", raw_group.name.value),
            );
        }
        groups.push(Arc::new(group(raw_group, &name, &mut errors)));
    }
    if errors.found.is_empty() {
        Ok(RuleFile { name, groups })
    } else {
        Err(RuleErrors(errors.found))
    }
}

/// The error's first line without its place, which [`ConfigError`] shows in its own way.
fn sentence(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let cut = first.rfind(" at line ").unwrap_or(first.len());
    first[..cut].trim_end_matches([',', ' ']).to_owned()
}

fn group(raw: RawGroup, file: &Arc<str>, errors: &mut Errors<'_>) -> Group {
    let interval = raw.interval.map(|d| d.0).filter(|d| !d.is_zero());
    if raw.rules.len() > MAX_RULES {
        errors.add(
            raw.name.referenced,
            format!("a group has at most {MAX_RULES} rules"),
        );
    }
    check_labels(&raw.labels, errors);
    let common: BTreeMap<String, String> = plain(raw.labels);
    let rules = raw
        .rules
        .into_iter()
        .filter_map(|r| rule(r, &common, errors))
        .map(Arc::new)
        .collect();
    Group {
        name: raw.name.value,
        file: Arc::clone(file),
        interval,
        query_offset: raw.query_offset.map(|d| d.0).unwrap_or_default(),
        limit: raw.limit,
        rules,
    }
}

fn plain(map: BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    map.into_iter().map(|(k, v)| (k, v.value)).collect()
}

fn rule(raw: Spanned<RawRule>, common: &BTreeMap<String, String>, errors: &mut Errors<'_>) -> Option<Rule> {
    let (at, raw) = (raw.referenced, raw.value);
    let expr = match &raw.expr {
        Some(expr) if !expr.value.trim().is_empty() => expr.value.trim().to_owned(),
        _ => {
            errors.add(at, "a rule needs an expression: expr");
            String::new()
        }
    };
    if let (Some(spanned), false) = (&raw.expr, expr.is_empty())
        && let Err(e) = query::promql::parse(&expr)
    {
        let what = format!("the expression does not parse: {}", e.message());
        errors.add(spanned.referenced, what);
    }
    check_labels(&raw.labels, errors);
    let alert = match (&raw.record, &raw.alert) {
        (Some(name), None) => {
            check_recording(name, &raw, errors);
            None
        }
        (None, Some(name)) => {
            check_alerting(name, &raw, errors);
            Some(AlertSpec {
                hold: raw.hold.as_ref().map(|d| d.value.0).unwrap_or_default(),
                keep_firing_for: raw
                    .keep_firing_for
                    .as_ref()
                    .map(|d| d.value.0)
                    .unwrap_or_default(),
                annotations: plain(raw.annotations),
            })
        }
        (Some(_), Some(_)) => {
            errors.add(at, "a rule has either record or alert, not both");
            return None;
        }
        (None, None) => {
            errors.add(at, "a rule needs a name: record or alert");
            return None;
        }
    };
    let mut labels = common.clone();
    labels.extend(plain(raw.labels));
    Some(Rule {
        name: raw.record.or(raw.alert).map(|n| n.value).unwrap_or_default(),
        expr,
        labels,
        alert,
    })
}

fn check_recording(name: &Spanned<String>, raw: &RawRule, errors: &mut Errors<'_>) {
    if !is_metric_name(&name.value) {
        let what = format!("{:?} is not a metric name", name.value);
        errors.add(name.referenced, what);
    }
    let keys = [("for", &raw.hold), ("keep_firing_for", &raw.keep_firing_for)];
    for (key, value) in keys {
        if let Some(value) = value {
            errors.add(value.referenced, format!("a recording rule cannot have {key}"));
        }
    }
    if let Some(value) = raw.annotations.values().next() {
        errors.add(value.referenced, "a recording rule cannot have annotations");
    }
}

fn check_alerting(name: &Spanned<String>, raw: &RawRule, errors: &mut Errors<'_>) {
    if name.value.is_empty() {
        errors.add(name.referenced, "an alert needs a name");
    }
    for (key, value) in &raw.annotations {
        if !is_label_name(key) {
            errors.add(value.referenced, format!("{key:?} is not an annotation's name"));
        }
    }
    for (key, value) in raw.labels.iter().chain(&raw.annotations) {
        if let Err(e) = Template::parse(&value.value) {
            errors.add(
                value.referenced,
                format!("the template of {key:?} does not parse: {e}"),
            );
        }
    }
}

fn check_labels(labels: &BTreeMap<String, Spanned<String>>, errors: &mut Errors<'_>) {
    for (name, value) in labels {
        if !is_label_name(name) || name == model::labels::METRIC_NAME {
            errors.add(value.referenced, format!("{name:?} is not a label's name"));
        }
    }
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}
