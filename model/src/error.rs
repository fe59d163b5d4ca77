//! The error that crosses crates: a kind that says who must act, and one sentence for that person.

use std::time::Duration;

/// What went wrong, by who can do something about it. `runtime` maps each kind to one HTTP and one gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed; sending it again will not help. HTTP 400.
    BadData,
    /// No or wrong credentials. HTTP 401.
    Unauthenticated,
    /// Known, but not allowed to do this. HTTP 403.
    Forbidden,
    /// What was asked for is not here. HTTP 404.
    NotFound,
    /// A body, or what it unpacks to, is over its limit. HTTP 413.
    TooLarge,
    /// An encoding or a protocol that is not spoken. HTTP 415.
    Unsupported,
    /// A well-formed query that cannot be evaluated (for instance many-to-many matching). HTTP 422.
    Execution,
    /// A limit of the configuration was reached; the text names it. HTTP 429 for writes, 422 for queries.
    LimitReached,
    /// The caller went away or cancelled. HTTP 499.
    Cancelled,
    /// The server cannot take this now (disk full, queue full, shutting down); try again. HTTP 503.
    Unavailable,
    /// The time of the query's budget is over. HTTP 504 (Prometheus' API: 503 with errorType timeout).
    Timeout,
    /// Stored bytes are damaged or of a format that this version does not know. HTTP 500.
    Corrupt,
    /// Everything that is our fault. HTTP 500.
    Internal,
}

/// An error with its kind, one sentence that says what, where and what to do, and for
/// [`ErrorKind::Unavailable`] and [`ErrorKind::LimitReached`] a hint when to come back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
}

/// The result of everything that crosses a crate's border.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind with its sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }
    /// [`ErrorKind::BadData`].
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }
    /// [`ErrorKind::LimitReached`]; name the limit's configuration key in the sentence.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitReached, message)
    }
    /// [`ErrorKind::Unavailable`], with the time after which trying again makes sense.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            message: message.into(),
            retry_after: Some(retry_after),
        }
    }
    /// [`ErrorKind::Corrupt`]; name the file and the offset.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }
    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
    /// Puts the place before the sentence: `place: sentence`.
    #[must_use]
    pub fn within(mut self, place: impl std::fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
    /// When to come back, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<std::io::Error> for Error {
    /// A full disk is [`ErrorKind::Unavailable`], because it is mended by waiting or by making room.
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::unavailable(format!("the disk is full: {e}"), Duration::from_secs(10))
            }
            std::io::ErrorKind::NotFound => Self::new(ErrorKind::NotFound, e.to_string()),
            _ => Self::internal(e.to_string()),
        }
    }
}
