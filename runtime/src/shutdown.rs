//! Shutdown: a token that SIGTERM, Ctrl-C and SIGHUP cancel.

use model::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM, Ctrl-C or SIGHUP (a closed terminal) cancels, so that everything drains. The second one ends the process
/// at once with 128 plus the signal's number. Call within a tokio runtime.
pub fn on_signals() -> Result<CancellationToken> {
    let listen = |kind, name| {
        signal(kind).map_err(|e| Error::internal(format!("cannot listen for the signal {name}: {e}")))
    };
    let mut terminate = listen(SignalKind::terminate(), "SIGTERM")?;
    let mut interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
    let mut hangup = listen(SignalKind::hangup(), "SIGHUP")?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => 15,
                _ = interrupt.recv() => 2,
                _ = hangup.recv() => 1,
            };
            if cancelled.is_cancelled() {
                std::process::exit(128 + number);
            }
            tracing::info!(
                signal = number,
                "shutting down; a second signal ends the process at once"
            );
            cancelled.cancel();
        }
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::on_signals;
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn the_first_signal_cancels() {
        let token = on_signals().unwrap();
        assert!(!token.is_cancelled());
        kill_process(getpid(), Signal::TERM).unwrap();
        token.cancelled().await;
    }
}
