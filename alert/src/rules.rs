//! Prometheus' rule files: groups of recording and alerting rules.
//!
//! Unknown keys are refused, expressions and templates are checked, and every mistake is reported with file, line
//! and the offending text, all of them at once.

mod file;
mod lenient;
#[cfg(test)]
mod pack_tests;
#[cfg(test)]
mod tests;

use runtime::config::ConfigError;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The rules that are on unless the configuration turns them off.
pub const DEFAULT_RULES: &str = include_str!("../assets/default-rules.yml");
/// The name of [`DEFAULT_RULES`] where a file's name is shown.
pub const DEFAULT_RULES_NAME: &str = "default-rules.yml";
/// The most groups of one file, and the most rules of one group.
const MAX_GROUPS: usize = 10_000;
const MAX_RULES: usize = 10_000;

/// A rule file that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its name, as shown.
    pub name: Arc<str>,
    /// Its groups in order.
    pub groups: Vec<Arc<Group>>,
}

/// Rules that are evaluated one after the other at one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Unique within the file.
    pub name: String,
    /// The file's name.
    pub file: Arc<str>,
    /// How often; the configuration's `evaluation_interval` when left out.
    pub interval: Option<Duration>,
    /// How far in the past the rules look.
    pub query_offset: Duration,
    /// The most alerts or series of one rule; 0 is no limit of the group's own.
    pub limit: usize,
    /// The rules in order; the group's labels are already in them.
    pub rules: Vec<Arc<Rule>>,
}

impl Group {
    /// The time that an evaluation at a time asks the engine for, and that its series are written with.
    pub fn asks_at_ms(&self, at_ms: i64) -> i64 {
        let offset_ms = i64::try_from(self.query_offset.as_millis()).unwrap_or(i64::MAX / 4);
        at_ms.saturating_sub(offset_ms)
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The series that a recording rule writes, or the alert's name.
    pub name: String,
    /// PromQL.
    pub expr: String,
    /// Labels that are set on what comes out; templates in alerting rules.
    pub labels: BTreeMap<String, String>,
    /// What alerting rules have besides; `None` for a recording rule.
    pub alert: Option<AlertSpec>,
}

/// What an alerting rule has besides name, expression and labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertSpec {
    /// How long the expression must give a result before the alert fires.
    pub hold: Duration,
    /// How long the alert keeps firing after the expression's last result.
    pub keep_firing_for: Duration,
    /// Templates for people.
    pub annotations: BTreeMap<String, String>,
}

/// Everything that is wrong with a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleErrors(pub Vec<ConfigError>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
impl std::error::Error for RuleErrors {}
impl From<RuleErrors> for model::Error {
    fn from(e: RuleErrors) -> Self {
        Self::bad_data(e.to_string())
    }
}

/// Reads and checks a rule file; `file_name` stands for the file in errors and answers.
///
/// # Errors
/// All mistakes, each with its place. A file that is no YAML, or has an unknown key, has one.
pub fn load(text: &str, file_name: &str) -> Result<RuleFile, RuleErrors> {
    file::read::<file::RawFile>(text, file_name)
}

/// As [`load`], but for a file with keys of somebody else's in it: unknown ones are passed over.
///
/// # Errors
/// As [`load`].
pub fn load_lenient(text: &str, file_name: &str) -> Result<RuleFile, RuleErrors> {
    file::read::<lenient::RawFile>(text, file_name)
}

/// The default pack. A test loads it, so it is sound.
pub fn default_pack() -> RuleFile {
    load(DEFAULT_RULES, DEFAULT_RULES_NAME).expect("a test loads the default rules")
}
