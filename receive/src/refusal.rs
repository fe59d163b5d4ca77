//! Why a whole request is refused: the error for its sender, and the word that it is counted under.

use model::{Error, ErrorKind};

/// The word for a body that is too large as it came.
pub(crate) const MAX_BODY_BYTES: &str = "max_body_bytes";
/// The word for a request that found no place among those in flight.
pub(crate) const MAX_INFLIGHT_REQUESTS: &str = "max_inflight_requests";

/// An error with the word that it is counted under.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) reason: &'static str,
}

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(reason: &'static str, error: Error) -> Self {
        Self { error, reason }
    }
}

impl From<Error> for Refusal {
    /// By the error's kind. What is refused for its size after the body came in whole is refused for what it unpacks to.
    fn from(error: Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::BadData => "bad_data",
            ErrorKind::TooLarge => "max_decompressed_bytes",
            ErrorKind::Unsupported => "unsupported",
            // The sentence of a limit holds its key.
            ErrorKind::LimitReached if error.message().contains("limits.ingest.max_tenants") => "max_tenants",
            ErrorKind::LimitReached => "limit",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Execution
            | ErrorKind::Cancelled
            | ErrorKind::Corrupt
            | ErrorKind::Internal => "other",
        };
        Self { error, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_kind_has_its_word() {
        let check = |error: Error, reason: &str| assert_eq!(Refusal::from(error).reason, reason);
        check(Error::bad_data(""), "bad_data");
        check(Error::new(ErrorKind::TooLarge, ""), "max_decompressed_bytes");
        check(Error::new(ErrorKind::Unsupported, ""), "unsupported");
        check(
            Error::limit("64 tenants exist already (limits.ingest.max_tenants)"),
            "max_tenants",
        );
        check(Error::limit("max_series is reached"), "limit");
        check(Error::unavailable("", Duration::ZERO), "unavailable");
        check(Error::new(ErrorKind::Timeout, ""), "timeout");
        check(Error::new(ErrorKind::Corrupt, ""), "other");
        check(Error::internal(""), "other");
    }
}
