//! The configuration of rules and notification: `alert:` in the configuration file.
//!
//! `route`, `receivers` and `global` are Alertmanager's, as they are. What is not spoken yet (other kinds of
//! receivers, inhibition, mute times) is refused by name: a rule that somebody relies on is never left out in silence.

mod receiver;

pub use receiver::{Receiver, Webhook};

use crate::matchers;
use crate::rules::{self, RuleFile};
use model::{Error, Labels, Matcher, Result};
use runtime::client::HttpConfig;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest rule file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Rules and notification.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rule files, as paths or glob patterns, relative to the configuration file.
    pub rule_files: Vec<String>,
    /// Whether the default pack is evaluated.
    pub default_rules: bool,
    /// The interval of groups that name none.
    #[serde(with = "model::duration::serde_text")]
    pub evaluation_interval: Duration,
    /// Labels put on every alert that is sent.
    pub external_labels: BTreeMap<String, String>,
    /// How people reach this server; stands in notifications. The listener's address when left out.
    pub external_url: Option<String>,
    /// A pending alert starts anew after an outage longer than this.
    #[serde(with = "model::duration::serde_text")]
    pub for_outage_tolerance: Duration,
    /// The most active alerts of one rule; more are an error of the rule.
    pub max_alerts_per_rule: usize,
    /// Defaults for receivers.
    pub global: Global,
    /// The root of the routes; without one nothing is sent.
    pub route: Option<Route>,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// Not supported yet: must be empty.
    #[serde(deserialize_with = "not_yet_inhibit_rules")]
    pub inhibit_rules: (),
    /// Not supported yet: must be empty.
    #[serde(deserialize_with = "not_yet_time_intervals")]
    pub time_intervals: (),
    /// Not supported yet: must be empty.
    #[serde(deserialize_with = "not_yet_mute_time_intervals")]
    pub mute_time_intervals: (),
    /// Not supported yet: must be empty. Webhooks use no templates.
    #[serde(deserialize_with = "not_yet_templates")]
    pub templates: (),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rule_files: Vec::new(),
            default_rules: true,
            evaluation_interval: Duration::from_secs(15),
            external_labels: BTreeMap::new(),
            external_url: None,
            for_outage_tolerance: Duration::from_secs(3600),
            max_alerts_per_rule: 10_000,
            global: Global::default(),
            route: None,
            receivers: Vec::new(),
            inhibit_rules: (),
            time_intervals: (),
            mute_time_intervals: (),
            templates: (),
        }
    }
}

/// `global:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Global {
    /// Accepted for Alertmanager's sake. Our rules say when an alert ends, so no alert runs out of time.
    pub resolve_timeout: Option<String>,
    /// How webhooks without their own `http_config` reach their servers.
    pub http_config: Option<HttpConfig>,
}

/// A node of the routing tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The receiver's name; the parent's when left out.
    pub receiver: Option<String>,
    /// Labels that make a group, or `...` for all of them; the parent's when left out.
    pub group_by: Option<Vec<String>>,
    /// How long a new group waits for more alerts.
    #[serde(deserialize_with = "optional_duration")]
    pub group_wait: Option<Duration>,
    /// How long after a notification the group may send the next one.
    #[serde(deserialize_with = "optional_duration")]
    pub group_interval: Option<Duration>,
    /// How long until an unchanged group is sent again.
    #[serde(deserialize_with = "optional_duration")]
    pub repeat_interval: Option<Duration>,
    /// All must match.
    #[serde(deserialize_with = "matcher_list")]
    pub matchers: Vec<Matcher>,
    /// Older form: labels that must be equal.
    pub r#match: BTreeMap<String, String>,
    /// Older form: labels that must match expressions.
    pub match_re: BTreeMap<String, String>,
    /// Whether the next siblings are tried too.
    pub r#continue: bool,
    /// Children, the first that matches wins.
    pub routes: Vec<Route>,
    /// Not supported yet: must be empty.
    #[serde(deserialize_with = "not_yet_mute_time_intervals")]
    pub mute_time_intervals: (),
    /// Not supported yet: must be empty.
    #[serde(deserialize_with = "not_yet_active_time_intervals")]
    pub active_time_intervals: (),
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    model::duration::serde_text::deserialize(deserializer).map(Some)
}

fn matcher_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Matcher>, D::Error> {
    let mut all = Vec::new();
    for text in Vec::<String>::deserialize(deserializer)? {
        all.extend(matchers::parse(&text).map_err(serde::de::Error::custom)?);
    }
    Ok(all)
}

/// Reads a list that must be empty because what it asks for is not there.
fn must_be_empty<'de, D: Deserializer<'de>>(deserializer: D, key: &str) -> Result<(), D::Error> {
    let list = Option::<Vec<serde::de::IgnoredAny>>::deserialize(deserializer)?;
    if list.is_none_or(|l| l.is_empty()) {
        Ok(())
    } else {
        Err(serde::de::Error::custom(format!(
            "{key} is not supported yet; leave it out"
        )))
    }
}
fn not_yet_inhibit_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    must_be_empty(deserializer, "inhibit_rules")
}
fn not_yet_time_intervals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    must_be_empty(deserializer, "time_intervals")
}
fn not_yet_mute_time_intervals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    must_be_empty(deserializer, "mute_time_intervals")
}
fn not_yet_active_time_intervals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    must_be_empty(deserializer, "active_time_intervals")
}
fn not_yet_templates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    must_be_empty(deserializer, "templates")
}

impl Config {
    /// Checks what needs more than one key to check: routes and receivers that fit, sound intervals.
    ///
    /// # Errors
    /// `BadData` with the keys to change.
    pub fn validate(&self) -> Result<()> {
        if self.evaluation_interval.is_zero() {
            return Err(Error::bad_data("evaluation_interval must be longer than 0"));
        }
        crate::route::Routes::compile(self).map(|_| ())?;
        crate::webhook::clients(self).map(|_| ())
    }

    /// Reads the rule files, and the default pack unless it is turned off. Relative patterns start at `base`.
    ///
    /// # Errors
    /// `BadData` with all mistakes of all files; a pattern without `*` that finds no file is one.
    pub fn load_rules(&self, base: &Path) -> Result<Vec<RuleFile>> {
        let mut files = Vec::new();
        let mut mistakes: Vec<String> = Vec::new();
        if self.default_rules {
            files.push(rules::default_pack());
        }
        for pattern in &self.rule_files {
            match paths_of(pattern, base) {
                Ok(paths) => {
                    for path in paths {
                        match read_rules(&path) {
                            Ok(file) => files.push(file),
                            Err(e) => mistakes.push(e.to_string()),
                        }
                    }
                }
                Err(e) => mistakes.push(e.to_string()),
            }
        }
        if mistakes.is_empty() {
            Ok(files)
        } else {
            Err(Error::bad_data(mistakes.join("\n")))
        }
    }

    /// The labels put on every alert that is sent.
    pub(crate) fn external(&self) -> Labels {
        Labels::from_pairs(self.external_labels.clone())
    }
}

/// The rule files that a path or pattern of `rule_files` names, as far as there are any.
///
/// # Errors
/// `BadData` for what is no pattern.
pub fn rule_paths(pattern: &str, base: &Path) -> Result<Vec<PathBuf>> {
    let full = base.join(pattern);
    let listed = glob::glob(&full.to_string_lossy())
        .map_err(|e| Error::bad_data(format!("rule_files: {pattern:?} is not a pattern: {e}")))?;
    Ok(listed.filter_map(std::result::Result::ok).collect())
}

fn paths_of(pattern: &str, base: &Path) -> Result<Vec<PathBuf>> {
    let paths = rule_paths(pattern, base)?;
    if paths.is_empty() && !pattern.contains(['*', '?', '[']) {
        return Err(Error::bad_data(format!(
            "rule_files: there is no file {}",
            base.join(pattern).display()
        )));
    }
    Ok(paths)
}

/// Reads one rule file from the disk.
///
/// # Errors
/// `BadData` with all of its mistakes.
pub fn read_rules(path: &Path) -> Result<RuleFile> {
    let (text, name) = read_rule_text(path)?;
    Ok(rules::load(&text, &name)?)
}

/// As [`read_rules`], but passes over unknown keys.
///
/// # Errors
/// As [`read_rules`].
pub fn read_rules_lenient(path: &Path) -> Result<RuleFile> {
    let (text, name) = read_rule_text(path)?;
    Ok(rules::load_lenient(&text, &name)?)
}

/// The text of a file that is not too large, and the name that errors show.
fn read_rule_text(path: &Path) -> Result<(String, String)> {
    let name = path.display();
    let cannot = |e: std::io::Error| Error::bad_data(format!("cannot read the rule file {name}: {e}"));
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::bad_data(format!(
            "the rule file {name} has {size} bytes, more than {MAX_FILE_BYTES}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    Ok((text, name.to_string()))
}

#[cfg(test)]
mod tests;
