//! Relabelling: Prometheus' `relabel_configs`, rule by rule over a label set.
//!
//! Regular expressions are anchored at both ends and `.` matches line breaks, as in Prometheus 3.

mod md5;

use model::{Error, LabelsBuilder, Result};
use regex::Regex;
use serde::Deserialize;
use std::borrow::Cow;

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";
const DEFAULT_SEPARATOR: &str = ";";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// One rule, checked, its regular expression compiled.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Relabel {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
}

impl PartialEq for Relabel {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action
            && self.source_labels == other.source_labels
            && self.separator == other.separator
            && self.regex.as_str() == other.regex.as_str()
            && self.modulus == other.modulus
            && self.target_label == other.target_label
            && self.replacement == other.replacement
    }
}

/// A rule as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    source_labels: Vec<String>,
    separator: Option<String>,
    regex: Option<String>,
    modulus: Option<u64>,
    target_label: Option<String>,
    replacement: Option<String>,
    action: Option<String>,
}

impl TryFrom<Raw> for Relabel {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self> {
        let name = raw.action.as_deref().unwrap_or("replace").to_ascii_lowercase();
        let action = action(&name)?;
        raw.check(action, &name)?;
        let pattern = raw.regex.as_deref().unwrap_or(DEFAULT_REGEX);
        Ok(Self {
            action,
            source_labels: raw.source_labels,
            separator: raw.separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
            regex: anchored(pattern)?,
            modulus: raw.modulus.unwrap_or(0),
            target_label: raw.target_label.unwrap_or_default(),
            replacement: raw.replacement.unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
        })
    }
}

fn action(name: &str) -> Result<Action> {
    Ok(match name {
        "replace" => Action::Replace,
        "keep" => Action::Keep,
        "drop" => Action::Drop,
        "keepequal" => Action::KeepEqual,
        "dropequal" => Action::DropEqual,
        "hashmod" => Action::HashMod,
        "labelmap" => Action::LabelMap,
        "labeldrop" => Action::LabelDrop,
        "labelkeep" => Action::LabelKeep,
        "lowercase" => Action::Lowercase,
        "uppercase" => Action::Uppercase,
        _ => {
            return Err(Error::bad_data(format!(
                "unknown relabel action {name:?}: use replace, keep, drop, keepequal, dropequal, hashmod, labelmap, \
                 labeldrop, labelkeep, lowercase or uppercase"
            )));
        }
    })
}

fn anchored(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?s:{pattern})$")).map_err(|e| {
        // The last line of the error says what is wrong; those before draw the anchored expression.
        let text = e.to_string();
        let reason = text
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        Error::bad_data(format!(
            "the regular expression {pattern:?} cannot be read: {reason}"
        ))
    })
}

impl Raw {
    /// The rules that Prometheus has for which keys go with which action.
    fn check(&self, action: Action, name: &str) -> Result<()> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, Lowercase, Replace, Uppercase};
        let needs_target = matches!(
            action,
            Replace | HashMod | KeepEqual | DropEqual | Lowercase | Uppercase
        );
        if needs_target && self.target_label.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::bad_data(format!(
                "relabel action {name} requires target_label"
            )));
        }
        if action == HashMod && self.modulus.unwrap_or(0) == 0 {
            return Err(Error::bad_data(
                "relabel action hashmod requires a modulus that is not zero",
            ));
        }
        let given = [
            ("source_labels", !self.source_labels.is_empty()),
            (
                "separator",
                is_other(self.separator.as_deref(), DEFAULT_SEPARATOR),
            ),
            ("regex", is_other(self.regex.as_deref(), DEFAULT_REGEX)),
            ("modulus", self.modulus.is_some_and(|m| m != 0)),
            ("target_label", is_other(self.target_label.as_deref(), "")),
            (
                "replacement",
                is_other(self.replacement.as_deref(), DEFAULT_REPLACEMENT),
            ),
        ];
        let refused: &[&str] = match action {
            KeepEqual | DropEqual => &["separator", "regex", "modulus", "replacement"],
            LabelDrop | LabelKeep => &[
                "source_labels",
                "separator",
                "modulus",
                "target_label",
                "replacement",
            ],
            Lowercase | Uppercase => &["replacement"],
            _ => &[],
        };
        match given.iter().find(|(key, set)| *set && refused.contains(key)) {
            Some((key, _)) => Err(Error::bad_data(format!(
                "relabel action {name} does not take {key}"
            ))),
            None => Ok(()),
        }
    }
}

fn is_other(value: Option<&str>, default: &str) -> bool {
    value.is_some_and(|v| v != default)
}

/// Applies all rules in their order; false means that the target or sample is dropped.
#[must_use]
pub fn apply(rules: &[Relabel], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Relabel {
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let source = self.source(labels);
        let target = &self.target_label;
        match self.action {
            Action::Keep => return self.regex.is_match(&source),
            Action::Drop => return !self.regex.is_match(&source),
            Action::KeepEqual => return labels.get(target).unwrap_or_default() == source,
            Action::DropEqual => return labels.get(target).unwrap_or_default() != source,
            Action::Replace => self.replace(&source, labels),
            Action::HashMod => {
                let hash = md5::digest(source.as_bytes());
                let tail = hash[8..].try_into().expect("a digest has 16 bytes");
                labels.set(target, (u64::from_be_bytes(tail) % self.modulus).to_string());
            }
            Action::Lowercase => {
                labels.set(target, source.to_lowercase());
            }
            Action::Uppercase => {
                labels.set(target, source.to_uppercase());
            }
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => self.remove_names(labels, true),
            Action::LabelKeep => self.remove_names(labels, false),
        }
        true
    }

    fn source(&self, labels: &LabelsBuilder) -> String {
        let values: Vec<&str> = self
            .source_labels
            .iter()
            .map(|name| labels.get(name).unwrap_or_default())
            .collect();
        values.join(&self.separator)
    }

    fn replace(&self, source: &str, labels: &mut LabelsBuilder) {
        let Some(captures) = self.regex.captures(source) else {
            return;
        };
        let expand = |template: &str| {
            let mut out = String::new();
            captures.expand(template, &mut out);
            out
        };
        let target = expand(&self.target_label);
        if !target.is_empty() {
            // An empty value removes the label.
            labels.set(target, expand(&self.replacement));
        }
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let mapped: Vec<(String, String)> = present(labels)
            .filter(|(name, _)| self.regex.is_match(name))
            .map(|(name, value)| {
                let new_name: Cow<'_, str> = self.regex.replace(name, self.replacement.as_str());
                (new_name.into_owned(), value.to_owned())
            })
            .collect();
        for (name, value) in mapped {
            labels.set(name, value);
        }
    }

    fn remove_names(&self, labels: &mut LabelsBuilder, matching: bool) {
        let names: Vec<String> = labels
            .iter()
            .map(|(name, _)| name)
            .filter(|name| self.regex.is_match(name) == matching)
            .map(str::to_owned)
            .collect();
        for name in names {
            labels.remove(&name);
        }
    }
}

/// The pairs whose value is not empty.
fn present(labels: &LabelsBuilder) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests;
