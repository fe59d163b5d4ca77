//! The shell around the core: keeps the time, asks the engine, writes series, saves the state, sends.

mod deliver;
mod evaluation;
#[cfg(test)]
mod tests;

use crate::api;
use crate::config::Config;
use crate::core::Core;
use crate::metrics::Metrics;
use crate::notify::{Fate, Notification};
use crate::rules::RuleFile;
use crate::state::{self, Document};
use crate::webhook::{self, Hooks};
use deliver::Delivery;
use model::{BudgetLimits, Clock, Fs, Meter, Result, Tenant, Write};
use query::promql::Engine;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Notifications that are on their way at once; further groups wait for their turn.
const MAX_FLIGHTS: usize = 256;
/// Requests to webhooks at once.
const MAX_REQUESTS: usize = 32;
/// The state is saved at least this often, so that a restart knows how long it was away.
const SAVE_EVERY_MS: i64 = 60_000;
/// How soon a save that failed is tried again.
const SAVE_AGAIN_MS: i64 = 5_000;
/// How long shutdown waits for answers of webhooks.
const DRAIN: Duration = Duration::from_secs(5);

/// What the manager works with.
pub struct Options {
    /// Whose data the rules read and write.
    pub tenant: Tenant,
    /// Evaluates expressions.
    pub engine: Engine,
    /// The front door for what rules write.
    pub writer: Arc<dyn Write<model::Metrics>>,
    /// Holds the state.
    pub fs: Arc<dyn Fs>,
    /// The data directory; the state is below `alert/<tenant>`.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub meter: Arc<dyn Meter>,
    /// The purse of one evaluation.
    pub query_limits: BudgetLimits,
    /// How people reach this server, where the configuration does not say.
    pub external_url: String,
    /// Ends everything.
    pub shutdown: CancellationToken,
}

/// Evaluates rules and notifies, until its shutdown token is cancelled.
pub struct Manager {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    options: Options,
    path: PathBuf,
    core: Mutex<Core>,
    hooks: Mutex<Arc<Hooks>>,
    /// Cancelled when a reload replaces the rules; the tasks of its groups end.
    generation: Mutex<CancellationToken>,
    wake: Notify,
    requests: Semaphore,
    metrics: Metrics,
}

impl Shared {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn generation(&self) -> MutexGuard<'_, CancellationToken> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&self.hooks.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }
}

impl Manager {
    /// Reads the saved state and starts. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `BadData` when the configuration does not hold together, `Corrupt` when the saved state cannot be understood.
    pub fn start(options: Options, config: &Config, rules: &[RuleFile]) -> Result<Self> {
        config.validate()?;
        let path = state::path(&options.data_dir, &options.tenant);
        let saved = state::load(options.fs.as_ref(), &path)?;
        let now_ms = options.clock.now_ms();
        let core = Core::start(rules, config, &options.external_url, saved, now_ms)?;
        let shared = Arc::new(Shared {
            path,
            core: Mutex::new(core),
            hooks: Mutex::new(Arc::new(webhook::clients(config)?)),
            generation: Mutex::new(options.shutdown.child_token()),
            wake: Notify::new(),
            requests: Semaphore::new(MAX_REQUESTS),
            metrics: Metrics::new(Arc::clone(&options.meter)),
            options,
        });
        let tasks = TaskTracker::new();
        let manager = Self { shared, tasks };
        manager.spawn_groups();
        manager.tasks.spawn(dispatch(Arc::clone(&manager.shared)));
        manager.tasks.close();
        Ok(manager)
    }

    /// Goes on with new rules and routes. On an error everything stays as it was.
    ///
    /// # Errors
    /// As [`Manager::start`].
    pub fn reload(&self, config: &Config, rules: &[RuleFile]) -> Result<()> {
        config.validate()?;
        let hooks = Arc::new(webhook::clients(config)?);
        let shared = &self.shared;
        {
            let mut core = shared.core();
            core.reload(rules, config, &shared.options.external_url, shared.now_ms())?;
            *shared.hooks.lock().unwrap_or_else(PoisonError::into_inner) = hooks;
            let mut generation = shared.generation();
            generation.cancel();
            *generation = shared.options.shutdown.child_token();
        }
        self.spawn_groups();
        shared.wake.notify_one();
        Ok(())
    }

    /// `data` of `/api/v1/rules`.
    pub fn rules(&self) -> api::Rules {
        self.shared.core().rules()
    }
    /// `data` of `/api/v1/alerts`.
    pub fn alerts(&self) -> api::Alerts {
        self.shared.core().alerts()
    }
    /// Groups of notifications, for the alerts page.
    pub fn notifications(&self) -> Vec<api::NotificationGroup> {
        self.shared.core().notifications()
    }
    /// Returns once everything has ended after the shutdown token was cancelled: running requests were waited for
    /// (a few seconds at most) and the state is saved.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }

    fn spawn_groups(&self) {
        let generation = self.shared.generation().clone();
        let groups = self.shared.core().groups.len();
        for group in 0..groups {
            let shared = Arc::clone(&self.shared);
            self.tasks
                .spawn(evaluation::run_group(shared, group, generation.clone()));
        }
    }
}

/// What the dispatching task remembers between its rounds.
struct Saver {
    saved_at_ms: i64,
    not_before_ms: i64,
}

/// Sends what is due, saves what changed, until shutdown.
async fn dispatch(shared: Arc<Shared>) {
    let mut flights: JoinSet<(Notification, Delivery)> = JoinSet::new();
    let mut saver = Saver {
        saved_at_ms: i64::MIN / 2,
        not_before_ms: i64::MIN,
    };
    while !shared.options.shutdown.is_cancelled() {
        round(&shared, &mut flights, &mut saver).await;
        let pause = pause(&shared, &saver, flights.len());
        tokio::select! {
            () = shared.options.shutdown.cancelled() => {}
            () = shared.wake.notified() => {}
            Some(landed) = flights.join_next() => settle(&shared, landed.ok()),
            () = tokio::time::sleep(pause) => {}
        }
    }
    // The tasks see the shutdown too and make no further attempts.
    let drained = tokio::time::timeout(DRAIN, async {
        while let Some(landed) = flights.join_next().await {
            settle(&shared, landed.ok());
        }
    });
    if drained.await.is_err() {
        tracing::warn!(
            "shutting down without the answer of a webhook; it will be told again after the start"
        );
    }
    let document = shared.core().document(shared.now_ms());
    save(&shared, document).await;
}

/// Collects what is due, saves before it leaves, and sends it off.
async fn round(shared: &Arc<Shared>, flights: &mut JoinSet<(Notification, Delivery)>, saver: &mut Saver) {
    let now_ms = shared.now_ms();
    let (due, document, ended) = {
        let mut core = shared.core();
        let room = MAX_FLIGHTS.saturating_sub(flights.len());
        let due = if core.is_settled(now_ms) {
            core.dispatcher.due(now_ms, room)
        } else {
            Vec::new()
        };
        let old = now_ms.saturating_sub(saver.saved_at_ms).abs() >= SAVE_EVERY_MS;
        let wanted = (core.dirty || old) && now_ms >= saver.not_before_ms;
        let document = (wanted || !due.is_empty()).then(|| core.document(now_ms));
        core.dirty &= document.is_none();
        (due, document, std::mem::take(&mut core.ended))
    };
    if let Some(document) = document {
        if save(shared, document).await {
            saver.saved_at_ms = now_ms;
            saver.not_before_ms = i64::MIN;
        } else {
            // Notifications leave all the same: an alert about a full disk must not wait for the disk.
            shared.core().dirty = true;
            saver.not_before_ms = now_ms.saturating_add(SAVE_AGAIN_MS);
        }
    }
    if !ended.is_empty() {
        // Best effort: without the marker the series end by themselves after the lookback.
        let _ = evaluation::write(shared, ended).await;
    }
    for notification in due {
        let shared = Arc::clone(shared);
        flights.spawn(async move {
            let delivery = deliver::deliver(&shared, &notification).await;
            (notification, delivery)
        });
    }
}

/// How long nothing needs to be done.
fn pause(shared: &Shared, saver: &Saver, flights: usize) -> Duration {
    let now_ms = shared.now_ms();
    let mut core = shared.core();
    let mut next_ms = saver.saved_at_ms.saturating_add(SAVE_EVERY_MS);
    if core.dirty {
        next_ms = now_ms;
    }
    next_ms = next_ms.max(saver.not_before_ms);
    if flights < MAX_FLIGHTS
        && let Some(flush_ms) = core.dispatcher.next_ms()
    {
        let opens_ms = if core.is_settled(now_ms) {
            flush_ms
        } else {
            flush_ms.max(core.settles_at_ms())
        };
        next_ms = next_ms.min(opens_ms);
    }
    // A look every few seconds notices that the wall clock was set.
    let pause_ms = next_ms.saturating_sub(now_ms).clamp(1, 5_000);
    Duration::from_millis(pause_ms.unsigned_abs())
}

fn settle(shared: &Shared, landed: Option<(Notification, Delivery)>) {
    let Some((notification, delivery)) = landed else {
        return;
    };
    let now_ms = shared.now_ms();
    let receiver = &notification.group.receiver;
    let (outcome, fate) = match delivery {
        Delivery::Delivered => ("delivered", Fate::Delivered),
        Delivery::Refused { fate } => ("refused", fate),
        Delivery::Expired { fate } => ("expired", fate),
        Delivery::Interrupted => return,
    };
    shared.metrics.notification(receiver, outcome).inc();
    let mut core = shared.core();
    core.dispatcher.settle(&notification, fate, now_ms);
    core.dirty = true;
}

/// Saves where blocking is allowed; says whether it went well.
async fn save(shared: &Arc<Shared>, document: Document) -> bool {
    let on_disk = Arc::clone(shared);
    let saved = tokio::task::spawn_blocking(move || {
        state::save(on_disk.options.fs.as_ref(), &on_disk.path, &document)
    });
    let error = match saved.await {
        Ok(Ok(())) => return true,
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    };
    shared.metrics.save_failures.inc();
    tracing::error!(error, "the state of alerts could not be saved; trying again");
    false
}
