//! Waiting for a condition of another process: ask, and ask again, until it holds or the time is over.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// How long a condition may take before a test gives up. Generous, because a slow machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until `ask` gives `Ok`; panics with the last `Err` after [`PATIENCE`].
pub async fn until<T, E: Debug, F: Future<Output = Result<T, E>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(PATIENCE, what, ask).await
}

/// As [`until`], with its own patience.
pub async fn within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        let last = match ask().await {
            Ok(value) => return value,
            Err(e) => e,
        };
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {patience:?}; last seen: {last:#?}"
        );
    }
}
