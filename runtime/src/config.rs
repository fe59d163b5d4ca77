//! Configuration files: YAML into plain serde types, with errors that show file, line and the offending text.
//!
//! `${NAME}` in a value becomes the environment variable `NAME`, which must be set; `${NAME:default}` falls back
//! to the text after the colon; `$${` stands for `${` itself. Names consist of upper-case letters, digits and
//! underscores, so that Prometheus' `${1}` and `${group}` in relabel rules pass unchanged. Comments are left
//! alone, and inside quotes the value is escaped as the quotes demand. Types should
//! `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error.

mod expand;

use crate::secret::REDACTED;
use model::Error;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The most that a configuration file may hold.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// What is wrong with a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name as it was given.
    pub file: String,
    /// The line, from 1, where that is known.
    pub line: Option<usize>,
    /// The column, from 1, where that is known.
    pub column: Option<usize>,
    /// What is wrong, without the place.
    pub message: String,
    /// The line as it stands in the file; values of keys that hold secrets are left out.
    pub text: Option<String>,
}

impl std::fmt::Display for ConfigError {
    /// `file:line:column: message`, then the line itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        write!(f, ": {}", self.message)?;
        if let (Some(line), Some(text)) = (self.line, &self.text) {
            write!(f, "\n  {line} | {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(e: ConfigError) -> Self {
        Self::bad_data(e.to_string())
    }
}

impl ConfigError {
    fn whole_file(file: &str, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            message,
            text: None,
        }
    }
    fn at(file: &str, source: &str, line: usize, column: usize, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(line),
            column: Some(column),
            message,
            text: source.lines().nth(line - 1).map(redact),
        }
    }
}

/// Reads a configuration file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let name = path.display().to_string();
    let text = read(path).map_err(|message| ConfigError::whole_file(&name, message))?;
    parse(&text, &name)
}

/// Reads a configuration from a text; `name` stands for the file in errors.
pub fn parse<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, ConfigError> {
    parse_with(text, name, &|variable| std::env::var(variable).ok())
}

/// As [`parse`], with the environment handed in.
pub fn parse_with<T: DeserializeOwned>(
    text: &str,
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<T, ConfigError> {
    let expanded = expand::expand(text, environment)
        .map_err(|e| ConfigError::at(name, text, e.line, e.column, e.message))?;
    // An empty document is null to YAML; to us it is a configuration that sets nothing.
    let nothing = expanded.lines().all(|l| {
        let l = l.trim_start();
        l.is_empty() || l.starts_with('#') || l == "---"
    });
    let document = if nothing { "{}" } else { &expanded };
    serde_saphyr::from_str(document).map_err(|e| {
        let message = sentence(&e);
        match e.location() {
            Some(at) if at.line() > 0 => {
                let place = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
                ConfigError::at(name, text, place(at.line()), place(at.column()), message)
            }
            _ => ConfigError::whole_file(name, message),
        }
    })
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|e| format!("cannot read the file: {e}"))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {MAX_FILE_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| format!("cannot read the file: {e}"))
}

/// The error's first line without its place, which [`ConfigError`] shows in its own way.
fn sentence(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("the key `{key}` stands here twice");
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let cut = first.rfind(" at line ").unwrap_or(first.len());
    first[..cut].trim_end_matches([',', ' ']).to_owned()
}

/// A line of the file as it may be shown: no values of keys that hold secrets.
fn redact(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let key = lower.split(':').next().unwrap_or_default();
    let holds_secret = ["password", "token", "secret", "credentials"]
        .iter()
        .any(|word| lower.contains(word));
    if !holds_secret || key.trim_end().ends_with("_file") {
        return line.to_owned();
    }
    match line.split_once(':') {
        Some((key, value)) if !value.trim().is_empty() => format!("{key}: {REDACTED}"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
