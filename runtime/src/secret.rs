//! Secrets: read from the configuration or from a file, never printed.

use model::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What stands in place of a secret wherever one would be printed.
pub const REDACTED: &str = "<secret>";

/// A password or token. `Debug`, `Display` and `Serialize` show [`REDACTED`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
    /// Reads a secret from a file, without the white space at its ends.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::bad_data(format!("cannot read the secret file {}: {e}", path.display())))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::bad_data(format!(
                "the secret file {} is empty",
                path.display()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}
impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// Where a secret comes from: the pair of keys `name` and `name_file` of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The text stands in the configuration (perhaps as `${ENV}`).
    Inline(Secret),
    /// The text stands in a file, which is read at each use so that a rotated secret is picked up.
    File(PathBuf),
}

impl SecretSource {
    /// Picks the one that is set; both at once is an error that names the keys, none is `None`.
    pub fn pick(key: &str, inline: Option<&Secret>, file: Option<&PathBuf>) -> Result<Option<Self>> {
        match (inline, file) {
            (Some(_), Some(_)) => Err(Error::bad_data(format!(
                "at most one of {key} and {key}_file must be set"
            ))),
            (Some(secret), None) => Ok(Some(Self::Inline(secret.clone()))),
            (None, Some(file)) => Ok(Some(Self::File(file.clone()))),
            (None, None) => Ok(None),
        }
    }
    /// The secret as it is now.
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => Secret::from_file(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret:?} {secret} {}", serde_json::json!({ "s": secret })),
            r#"<secret> <secret> {"s":"<secret>"}"#
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_comes_from_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, " abc\n").unwrap();
        let inline = Secret::new("x");
        let read = |inline: Option<&Secret>, file: Option<&PathBuf>| {
            SecretSource::pick("token", inline, file)?
                .map(|s| s.read())
                .transpose()
        };
        assert_eq!(read(None, None).unwrap(), None);
        assert_eq!(read(Some(&inline), None).unwrap().unwrap().expose(), "x");
        assert_eq!(read(None, Some(&file)).unwrap().unwrap().expose(), "abc");
        assert_eq!(
            read(Some(&inline), Some(&file)).unwrap_err().message(),
            "at most one of token and token_file must be set"
        );
        std::fs::write(&file, "\n").unwrap();
        let empty = read(None, Some(&file)).unwrap_err();
        assert_eq!(
            empty.message(),
            format!("the secret file {} is empty", file.display())
        );
    }
}
