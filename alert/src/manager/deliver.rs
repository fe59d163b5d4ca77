//! One notification with its retries.

use super::Shared;
use crate::notify::{Fate, Notification};
use crate::webhook::Attempt;
use std::time::Duration;

/// The pause after the first failed attempt; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How the attempts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Delivered,
    /// The webhook said that another try is useless.
    Refused {
        fate: Fate,
    },
    /// No success before the group's next look.
    Expired {
        fate: Fate,
    },
    /// Shutdown came first. The saved state says that it was on its way.
    Interrupted,
}

/// Tries until it succeeds, is refused, or the group looks again anyway.
pub(super) async fn deliver(shared: &Shared, notification: &Notification) -> Delivery {
    let Some(body) = &notification.body else {
        return Delivery::Delivered;
    };
    let receiver = &notification.group.receiver;
    let clock = &shared.options.clock;
    let started_ns = clock.monotonic_ns();
    let time_ms = notification
        .deadline_ms
        .saturating_sub(clock.now_ms())
        .max(0)
        .unsigned_abs();
    let time = Duration::from_millis(time_ms);
    let mut pause = FIRST_PAUSE;
    let mut fate = Fate::NotTaken;
    loop {
        let Some(hook) = shared
            .hooks()
            .get(&(receiver.clone(), notification.webhook))
            .cloned()
        else {
            // A reload took the webhook away.
            return Delivery::Refused { fate };
        };
        let attempt = {
            let permit = shared.requests.acquire().await;
            let attempt = hook.attempt(body.clone()).await;
            drop(permit);
            attempt
        };
        let (why, after) = match attempt {
            Attempt::Delivered => return Delivery::Delivered,
            Attempt::Refused { why } => {
                shared.metrics.attempt_failed(receiver).inc();
                tracing::error!(receiver, why, "a webhook refused a notification");
                return Delivery::Refused { fate };
            }
            Attempt::Retry { why, after, arrived } => {
                if arrived {
                    fate = Fate::Unknown;
                }
                (why, after)
            }
        };
        shared.metrics.attempt_failed(receiver).inc();
        let wait = after.unwrap_or(pause).min(LONGEST_PAUSE);
        let spent = Duration::from_nanos(clock.monotonic_ns().saturating_sub(started_ns));
        if spent + wait >= time {
            tracing::error!(
                receiver,
                why,
                "a notification could not be delivered; the group tries again at its next look"
            );
            return Delivery::Expired { fate };
        }
        tracing::warn!(receiver, why, "a notification failed; trying again");
        pause = (pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = shared.options.shutdown.cancelled() => return Delivery::Interrupted,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
