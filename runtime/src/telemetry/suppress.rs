//! The guard against feeding ourselves: while the writer runs, nothing is captured on its thread.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static SUPPRESSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is just now polling a [`Suppressed`] future.
pub(super) fn is_suppressed() -> bool {
    SUPPRESSED.get()
}

/// A future during whose polls nothing is captured.
pub(super) struct Suppressed<F>(Pin<Box<F>>);

impl<F: Future> Suppressed<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Suppressed<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _guard = Guard(SUPPRESSED.replace(true));
        self.0.as_mut().poll(context)
    }
}

/// Puts the flag back, also when the future panics.
struct Guard(bool);

impl Drop for Guard {
    fn drop(&mut self) {
        SUPPRESSED.set(self.0);
    }
}
