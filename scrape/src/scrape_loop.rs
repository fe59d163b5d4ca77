//! The loop of one target: wait, fetch, read, write.

use crate::cache::{Cache, Counts};
use crate::fetch::Fetcher;
use crate::manager::Options;
use crate::sleep::Sleep;
use crate::target::{Health, Target, TargetStatus};
use model::{Batch, Clock, Counter, ErrorKind, Meter, MetricDef, MetricKind, Metrics, Result, Tenant, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A scrape that begins at most this part of its interval late still gets the time that it was planned for:
/// even distances store better and make steadier rates, and the error is smaller than the exporter's own.
const ALIGN_PART: i64 = 100;
/// The shortest and the longest wait before a write is tried again.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

static SCRAPES: MetricDef = MetricDef {
    name: "binnacle_scrapes_total",
    help: "Scrapes, by outcome (up, down).",
    kind: MetricKind::Counter,
    labels: &["outcome"],
};
static MISSED: MetricDef = MetricDef {
    name: "binnacle_scrapes_missed_total",
    help: "Scrapes that were left out because the one before, or its write, took too long.",
    kind: MetricKind::Counter,
    labels: &[],
};
static DROPPED: MetricDef = MetricDef {
    name: "binnacle_scrape_samples_dropped_total",
    help: "Scraped samples that were not stored, by reason (write_failed, rejected, duplicate).",
    kind: MetricKind::Counter,
    labels: &["reason"],
};

/// What all loops share.
pub(crate) struct Shared {
    sink: Arc<dyn Write<Metrics>>,
    tenant: Tenant,
    clock: Arc<dyn Clock>,
    pub(crate) sleep: Arc<dyn Sleep>,
    pub(crate) shutdown: CancellationToken,
    up: Counter,
    down: Counter,
    missed: Counter,
    write_failed: Counter,
    rejected: Counter,
    duplicate: Counter,
}

impl Shared {
    pub(crate) fn new(options: Options, sleep: Arc<dyn Sleep>, meter: &dyn Meter) -> Self {
        Self {
            sink: options.sink,
            tenant: options.tenant,
            clock: options.clock,
            sleep,
            shutdown: options.shutdown,
            up: meter.counter(&SCRAPES, &["up"]),
            down: meter.counter(&SCRAPES, &["down"]),
            missed: meter.counter(&MISSED, &[]),
            write_failed: meter.counter(&DROPPED, &["write_failed"]),
            rejected: meter.counter(&DROPPED, &["rejected"]),
            duplicate: meter.counter(&DROPPED, &["duplicate"]),
        }
    }
}

/// Whether a loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// It goes on.
    Run,
    /// Its target is gone: its series end.
    Gone,
    /// Another loop goes on with the same series.
    HandOver,
}

/// Why a loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Shutdown,
    Gone,
    HandOver,
}

/// The status of a target, shared with the manager.
pub(crate) type SharedStatus = Arc<Mutex<TargetStatus>>;

pub(crate) fn lock(status: &SharedStatus) -> MutexGuard<'_, TargetStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One target's loop.
pub(crate) struct ScrapeLoop {
    pub(crate) target: Target,
    pub(crate) fetcher: Fetcher,
    pub(crate) cache: Cache,
    pub(crate) status: SharedStatus,
    pub(crate) shared: Arc<Shared>,
    pub(crate) command: watch::Receiver<Command>,
}

impl ScrapeLoop {
    /// Scrapes until the program shuts down or the manager says otherwise; gives back what a loop that takes over
    /// needs to know.
    pub(crate) async fn run(mut self) -> Option<Cache> {
        let mut due_ms = self.first_due();
        let end = loop {
            if let Some(end) = self.wait_until(due_ms).await {
                break end;
            }
            let start_ms = self.shared.clock.now_ms();
            let fetched = {
                let fetch = self.timed_fetch();
                let mut command = self.command.clone();
                tokio::select! {
                    end = ended(&mut command, &self.shared.shutdown) => break end,
                    fetched = fetch => fetched,
                }
            };
            self.finish(due_ms, start_ms, fetched).await;
            due_ms = self.next_due(Some(due_ms));
        };
        match end {
            End::Shutdown => None,
            End::HandOver => Some(self.cache),
            End::Gone => {
                let now_ms = self.shared.clock.now_ms();
                let (shared, cache) = (self.shared.clone(), self.cache);
                let give_up_ms = now_ms + millis(self.target.interval);
                write(
                    &shared,
                    cache.end(now_ms),
                    give_up_ms,
                    &shared.shutdown,
                    &self.target,
                )
                .await;
                None
            }
        }
    }

    /// The first planned time, not one that the loop before this one has already served.
    fn first_due(&self) -> i64 {
        let due_ms = self.next_due(None);
        match self.cache.last_time_ms() {
            Some(last) if last >= due_ms => self.next_due(Some(due_ms)),
            _ => due_ms,
        }
    }

    /// The next planned time: after now, and after the last one unless the clock was set back far.
    fn next_due(&self, last_ms: Option<i64>) -> i64 {
        let (now_ms, interval_ms) = (self.shared.clock.now_ms(), millis(self.target.interval));
        let offset_ms = self.target.offset_ms();
        let first_after = |t: i64| t + interval_ms - (t - offset_ms).rem_euclid(interval_ms);
        match last_ms {
            Some(last) if last >= now_ms && last - now_ms <= interval_ms => first_after(last),
            Some(last) => {
                let next = first_after(now_ms);
                let planned = (next - last) / interval_ms;
                // A clock that was set forward far is not a slow scrape.
                if (2..=10).contains(&planned) {
                    self.shared.missed.add(planned.unsigned_abs() - 1);
                }
                next
            }
            // The very first scrape may be due right now.
            None => first_after(now_ms - 1),
        }
    }

    async fn wait_until(&mut self, due_ms: i64) -> Option<End> {
        let wait_ns = (due_ms * model::time::NS_PER_MS).saturating_sub(self.shared.clock.now_ns());
        let wait = Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(0));
        tokio::select! {
            end = ended(&mut self.command, &self.shared.shutdown) => Some(end),
            () = self.shared.sleep.sleep(wait) => None,
        }
    }

    /// Fetches, and says how many seconds it took.
    pub(crate) async fn timed_fetch(&self) -> (Result<crate::fetch::Body>, f64) {
        let started_ns = self.shared.clock.monotonic_ns();
        let body = self.fetcher.fetch(&self.target).await;
        let took_ns = self.shared.clock.monotonic_ns().saturating_sub(started_ns);
        (body, took_ns as f64 / 1e9)
    }

    pub(crate) async fn finish(
        &mut self,
        due_ms: i64,
        start_ms: i64,
        fetched: (Result<crate::fetch::Body>, f64),
    ) {
        let interval_ms = millis(self.target.interval);
        let is_close = (start_ms - due_ms).abs() <= (interval_ms / ALIGN_PART).max(1);
        let time_ms = if is_close { due_ms } else { start_ms };
        let (body, seconds) = fetched;
        let (counts, read) = match body {
            Ok(body) => self.cache.read(&body, time_ms),
            Err(e) => (Counts::default(), Err(e)),
        };
        self.shared.duplicate.add(counts.duplicates);
        let error = read.as_ref().err().map(|e| e.message().to_owned());
        let mut metrics = read.unwrap_or_else(|_| self.cache.fail(time_ms));
        let report = self.cache.report(time_ms, error.is_none(), seconds, counts);
        metrics.series.extend(report);
        self.show(start_ms, seconds, error);
        let mut command = self.command.clone();
        let stop = CancellationToken::new();
        let give_up_ms = due_ms.max(start_ms) + interval_ms;
        let write = write(&self.shared, metrics, give_up_ms, &stop, &self.target);
        let mut write = std::pin::pin!(write);
        tokio::select! {
            () = &mut write => {}
            _ = ended(&mut command, &self.shared.shutdown) => {
                // What is being written is written; only further tries are given up.
                stop.cancel();
                write.await;
            }
        }
    }

    fn show(&self, start_ms: i64, seconds: f64, error: Option<String>) {
        let mut status = lock(&self.status);
        let before = status.health;
        status.last_scrape = Some(start_ms * model::time::NS_PER_MS);
        status.last_scrape_duration = seconds;
        match error {
            None => {
                self.shared.up.inc();
                status.health = Health::Up;
                status.last_error.clear();
                if before == Health::Down {
                    tracing::info!(target_labels = %self.target.labels, "the target is up again");
                }
            }
            Some(error) => {
                self.shared.down.inc();
                status.health = Health::Down;
                if before != Health::Down {
                    tracing::warn!(target_labels = %self.target.labels, url = %self.target.url, "the target is down: {error}");
                }
                status.last_error = error;
            }
        }
    }
}

/// Waits until the loop has to end.
async fn ended(command: &mut watch::Receiver<Command>, shutdown: &CancellationToken) -> End {
    tokio::select! {
        () = shutdown.cancelled() => End::Shutdown,
        changed = command.wait_for(|c| *c != Command::Run) => match changed.as_deref() {
            Ok(Command::Gone) => End::Gone,
            Ok(Command::HandOver | Command::Run) => End::HandOver,
            // The manager is gone without a word: the program ends.
            Err(_) => End::Shutdown,
        },
    }
}

/// Writes a scrape, again while the store asks for it and there is time before the next one; what cannot be
/// written is counted.
async fn write(
    shared: &Shared,
    metrics: Metrics,
    give_up_ms: i64,
    stop: &CancellationToken,
    target: &Target,
) {
    let count = metrics.series.iter().map(|s| s.samples.len() as u64).sum::<u64>();
    let batch = Batch::new(shared.tenant.clone(), metrics);
    loop {
        let error = match shared.sink.write(batch.clone()).await {
            Ok(outcome) => {
                let rejected = outcome.rejected_count();
                if rejected > 0 {
                    shared.rejected.add(rejected);
                    tracing::warn!(target_labels = %target.labels, "samples were refused: {}", outcome.rejection_message());
                }
                return;
            }
            Err(e) => e,
        };
        let wait = error
            .retry_after()
            .unwrap_or_default()
            .clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let in_time = shared.clock.now_ms().saturating_add(millis(wait)) < give_up_ms;
        let again = error.kind() == ErrorKind::Unavailable && in_time && !stop.is_cancelled();
        let stopped = again && stop.run_until_cancelled(shared.sleep.sleep(wait)).await.is_none();
        if !again || stopped {
            shared.write_failed.add(count);
            tracing::warn!(target_labels = %target.labels, count, "a scrape could not be stored: {error}");
            return;
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
