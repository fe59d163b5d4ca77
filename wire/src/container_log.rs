//! Log lines as container runtimes write them to files: CRI, Docker's json-file, and plain lines.
//!
//! Runtimes cut long lines into pieces; [`Joiner`] puts them together again within a limit.

pub mod cri;
pub mod docker;
mod joiner;

pub use joiner::{Joined, Joiner};

use std::borrow::Cow;

/// Which of a container's two outputs a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
    fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// One line of a log file, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Nanoseconds since the epoch; `None` for plain lines.
    pub timestamp_ns: Option<i64>,
    /// Where it was written; `None` for plain lines.
    pub output: Option<Output>,
    /// Whether more of the same line follows in a later piece.
    pub partial: bool,
    /// The text, without its line break; bytes that are no UTF-8 are still in it.
    pub text: Cow<'a, [u8]>,
}

/// How the lines of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `2024-07-01T10:00:00.123456789Z stdout F text`: containerd and CRI-O.
    Cri,
    /// `{"log":"text\n","stream":"stdout","time":"…"}`: Docker.
    Docker,
    /// Nothing but text.
    Plain,
}

impl Format {
    /// The format that a line, usually the first of its file, is written in.
    pub fn detect(line: &[u8]) -> Self {
        if cri::parse(line).is_ok() {
            Self::Cri
        } else if docker::parse(line).is_ok() {
            Self::Docker
        } else {
            Self::Plain
        }
    }
    /// Reads one line, given without its line break.
    ///
    /// # Errors
    /// [`model::ErrorKind::BadData`] when the line is not in this format.
    pub fn parse(self, line: &[u8]) -> model::Result<Piece<'_>> {
        match self {
            Self::Cri => cri::parse(line),
            Self::Docker => docker::parse(line),
            Self::Plain => Ok(plain(line)),
        }
    }
}

/// A plain line; a carriage return at its end is cut off.
pub fn plain(line: &[u8]) -> Piece<'_> {
    Piece {
        timestamp_ns: None,
        output: None,
        partial: false,
        text: Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line)),
    }
}

/// The start of a line that is not in its format, for the error's sentence.
fn excerpt(line: &[u8]) -> String {
    let start: String = String::from_utf8_lossy(&line[..line.len().min(160)])
        .chars()
        .take(40)
        .collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests;
