//! How much memory a decoded request may take, and what every decoder returns.

use model::{Error, ErrorKind, Rejection, Result};
use std::cell::Cell;

/// The memory that one decoded request may take. Small messages unpack to large structs (two bytes of protobuf
/// can become a span of hundreds), so a cap on the body alone does not bound what the decoder allocates.
#[derive(Debug)]
pub struct Quota {
    limit_bytes: usize,
    left_bytes: Cell<usize>,
    spent: Cell<bool>,
}

impl Quota {
    /// At most so many bytes of decoded structs.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            left_bytes: Cell::new(limit_bytes),
            spent: Cell::new(false),
        }
    }
    /// For a body that may unpack to `max_body_bytes`: sixteen times that, which ordinary data does not reach.
    pub fn for_body(max_body_bytes: u64) -> Self {
        Self::new(usize::try_from(max_body_bytes.saturating_mul(16)).unwrap_or(usize::MAX))
    }
    /// Takes bytes out, or says that the request is too large.
    pub fn take(&self, bytes: usize) -> Result<()> {
        match self.left_bytes.get().checked_sub(bytes) {
            Some(left) => {
                self.left_bytes.set(left);
                Ok(())
            }
            None => {
                self.spent.set(true);
                Err(self.error())
            }
        }
    }
    /// The error of a quota that ran out, however many layers that only carry text lie between.
    pub(crate) fn ran_out(&self) -> Option<Error> {
        self.spent.get().then(|| self.error())
    }
    fn error(&self) -> Error {
        Error::new(
            ErrorKind::TooLarge,
            format!(
                "the request holds so many small items that it would need more than {} bytes of memory; send smaller batches",
                self.limit_bytes
            ),
        )
    }
    /// Takes what one `T` needs.
    pub(crate) fn take_one<T>(&self) -> Result<()> {
        self.take(size_of::<T>())
    }
}

/// What a decoder made of a request: the payload, and what of it cannot be taken for good.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded<P> {
    /// What can be written.
    pub payload: P,
    /// What was refused, in the items that the protocol counts (data points, records, spans, samples, entries).
    pub rejected: Vec<Rejection>,
}

impl<P> Decoded<P> {
    /// How many items were refused.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.iter().map(|r| r.count).sum()
    }
    /// Adds a refusal of `count` items, joining it with an earlier one for the same reason.
    pub(crate) fn reject(&mut self, reason: &'static str, count: u64, message: impl FnOnce() -> String) {
        match self.rejected.iter_mut().find(|r| r.reason == reason) {
            Some(r) => r.count += count,
            None => self.rejected.push(Rejection {
                reason,
                count,
                message: shorten(message()),
            }),
        }
    }
}

/// Sentences quote what they speak of, and that comes from outside: no sentence gets longer than a few lines.
pub(crate) fn shorten(mut sentence: String) -> String {
    const MAX_BYTES: usize = 500;
    if sentence.len() > MAX_BYTES {
        sentence.truncate(sentence.floor_char_boundary(MAX_BYTES));
        sentence.push('…');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_ends() {
        let quota = Quota::new(10);
        quota.take(6).unwrap();
        quota.take(4).unwrap();
        let e = quota.take(1).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
        assert!(e.message().contains("10 bytes"), "{e}");
        assert!(quota.ran_out().is_some());
    }

    #[test]
    fn refusals_join_by_reason() {
        let mut decoded = Decoded::<()>::default();
        decoded.reject("a", 2, || "first".into());
        decoded.reject("a", 3, || "second".into());
        assert_eq!(decoded.rejected_count(), 5);
        assert_eq!(decoded.rejected[0].message, "first");
        decoded.reject("b", 1, || "é".repeat(10_000));
        assert_eq!(decoded.rejected[1].message.chars().count(), 251);
    }
}
