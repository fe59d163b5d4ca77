//! Docker's json-file log format: one JSON object per line.

use super::{Output, Piece, excerpt};
use model::{Error, Result};
use std::borrow::Cow;

#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads one line, given without its line break. Docker cuts long lines; only the last piece ends in `\n`.
///
/// # Errors
/// [`model::ErrorKind::BadData`] when the line is not in this format.
pub fn parse(line: &[u8]) -> Result<Piece<'_>> {
    let bad = || {
        Error::bad_data(format!(
            "{} is not a line of Docker's json-file log",
            excerpt(line)
        ))
    };
    let parsed: Line<'_> = serde_json::from_slice(line).map_err(|_| bad())?;
    let output = match &parsed.stream {
        None => None,
        Some(name) => Some(Output::parse(name.as_bytes()).ok_or_else(bad)?),
    };
    let timestamp_ns = Some(crate::rfc3339::parse_ns(parsed.time.as_bytes()).ok_or_else(bad)?);
    let mut text = match parsed.log {
        Cow::Borrowed(s) => Cow::Borrowed(s.as_bytes()),
        Cow::Owned(s) => Cow::Owned(s.into_bytes()),
    };
    let partial = text.last() != Some(&b'\n');
    let trimmed = text
        .strip_suffix(b"\n")
        .map_or(text.len(), |t| t.strip_suffix(b"\r").unwrap_or(t).len());
    match &mut text {
        Cow::Borrowed(s) => *s = &s[..trimmed],
        Cow::Owned(s) => s.truncate(trimmed),
    }
    Ok(Piece {
        timestamp_ns,
        output,
        partial,
        text,
    })
}
