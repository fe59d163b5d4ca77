//! The log format of the Kubernetes container runtime interface: `time output tags text`.

use super::{Output, Piece, excerpt};
use model::{Error, Result};
use std::borrow::Cow;

/// Reads one line, given without its line break. Tags are separated by colons; the first is `P` for a piece that
/// is not the last of its line, and `F` for one that is.
///
/// # Errors
/// [`model::ErrorKind::BadData`] when the line is not in this format.
pub fn parse(line: &[u8]) -> Result<Piece<'_>> {
    split(line).ok_or_else(|| {
        Error::bad_data(format!(
            "{} is not a CRI log line (time, stdout or stderr, P or F, text)",
            excerpt(line)
        ))
    })
}

fn split(line: &[u8]) -> Option<Piece<'_>> {
    let (time, rest) = word(line)?;
    let (output, rest) = word(rest)?;
    // An empty text may come with or without the space before it.
    let (tags, text) = word(rest).unwrap_or((rest, &[]));
    let partial = match tags.split(|b| *b == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Piece {
        timestamp_ns: Some(crate::rfc3339::parse_ns(time)?),
        output: Some(Output::parse(output)?),
        partial,
        text: Cow::Borrowed(text),
    })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text)?;
    Some((&text[..end], &text[end + 1..]))
}
