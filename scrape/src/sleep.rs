//! How the loops wait: for real in the programs, by jumps of time in tests.

use model::BoxFuture;
use std::time::Duration;

/// Lets time pass.
pub(crate) trait Sleep: Send + Sync + 'static {
    /// Ends after so much time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Waits with tokio's timer.
pub(crate) struct TokioSleep;

impl Sleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
