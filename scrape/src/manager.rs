//! The manager: one loop per target, kept in step with the configuration and the files of targets.

use crate::cache::Cache;
use crate::config::{Defaults, ScrapeConfig, check_all};
use crate::discovery::{self, Stamps};
use crate::fetch::Fetcher;
use crate::scrape_loop::{Command, ScrapeLoop, Shared, SharedStatus, lock};
use crate::sleep::{Sleep, TokioSleep};
use crate::target::{self, DroppedTarget, Target, TargetStatus};
use model::{Clock, Gauge, Meter, MetricDef, MetricKind, Metrics, Result, Tenant, Write};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the files of targets are looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(5);

static TARGETS: MetricDef = MetricDef {
    name: "binnacle_scrape_targets",
    help: "Targets that are scraped, over all jobs.",
    kind: MetricKind::Gauge,
    labels: &[],
};
static TARGET_ERRORS: MetricDef = MetricDef {
    name: "binnacle_scrape_target_errors",
    help: "Targets that cannot be scraped because of their labels, and jobs whose targets cannot be read.",
    kind: MetricKind::Gauge,
    labels: &[],
};

/// Where scraped samples go, and what the loops live by.
#[derive(Clone)]
pub struct Options {
    /// Takes the samples.
    pub sink: Arc<dyn Write<Metrics>>,
    /// Whose samples they are.
    pub tenant: Tenant,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends all loops when it is cancelled, without staleness markers: the program comes back.
    pub shutdown: CancellationToken,
}

/// Runs the loops of all targets. Clones share them.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    state: Mutex<State>,
    targets: Gauge,
    target_errors: Gauge,
}

#[derive(Default)]
struct State {
    defaults: Defaults,
    pools: BTreeMap<String, Pool>,
}

/// One job.
struct Pool {
    config: Arc<ScrapeConfig>,
    fetcher: Fetcher,
    files: Stamps,
    loops: Vec<Running>,
    dropped: Vec<DroppedTarget>,
    errors: usize,
}

struct Running {
    target: Target,
    status: SharedStatus,
    command: watch::Sender<Command>,
    task: JoinHandle<Option<Cache>>,
}

impl Manager {
    /// Starts the loops. Call within a tokio runtime. Fails when the configuration cannot be used.
    pub fn run(
        configs: Vec<ScrapeConfig>,
        defaults: Defaults,
        options: Options,
        meter: &dyn Meter,
    ) -> Result<Self> {
        Self::run_with(configs, defaults, options, Arc::new(TokioSleep), meter)
    }

    fn run_with(
        configs: Vec<ScrapeConfig>,
        defaults: Defaults,
        options: Options,
        sleep: Arc<dyn Sleep>,
        meter: &dyn Meter,
    ) -> Result<Self> {
        let manager = Self(Arc::new(Inner {
            shared: Arc::new(Shared::new(options, sleep, meter)),
            tasks: TaskTracker::new(),
            state: Mutex::default(),
            targets: meter.gauge(&TARGETS, &[]),
            target_errors: meter.gauge(&TARGET_ERRORS, &[]),
        }));
        manager.reload(configs, defaults)?;
        let (weak, shared) = (Arc::downgrade(&manager.0), manager.0.shared.clone());
        manager.0.tasks.spawn(watch_files(weak, shared));
        Ok(manager)
    }

    /// Takes another configuration. Loops whose target and settings stay the same go on undisturbed; those whose
    /// settings changed are replaced and their series continue; series of targets that are gone end with a
    /// staleness marker. On an error everything stays as it was.
    pub fn reload(&self, configs: Vec<ScrapeConfig>, defaults: Defaults) -> Result<()> {
        check_all(&configs, defaults)?;
        let mut fetchers = Vec::new();
        for config in &configs {
            fetchers.push(Fetcher::new(config)?);
        }
        let mut state = self.0.lock();
        state.defaults = defaults;
        let mut old = std::mem::take(&mut state.pools);
        for (config, fetcher) in configs.into_iter().zip(fetchers) {
            let before = old.remove(&config.job_name);
            let pool = self.0.updated(config, fetcher, before, defaults);
            state.pools.insert(pool.config.job_name.clone(), pool);
        }
        for pool in old.into_values() {
            pool.loops.iter().for_each(Running::end);
        }
        self.0.count(&state);
        Ok(())
    }

    /// All targets that are scraped, sorted by job and labels.
    pub fn targets(&self) -> Vec<TargetStatus> {
        let state = self.0.lock();
        let loops = state.pools.values().flat_map(|pool| &pool.loops);
        let mut targets: Vec<_> = loops.map(|l| lock(&l.status).clone()).collect();
        targets.sort_by(|a, b| (&a.scrape_pool, &a.labels).cmp(&(&b.scrape_pool, &b.labels)));
        targets
    }

    /// The targets that the rules dropped.
    pub fn dropped_targets(&self) -> Vec<DroppedTarget> {
        let state = self.0.lock();
        state
            .pools
            .values()
            .flat_map(|pool| pool.dropped.clone())
            .collect()
    }

    /// Waits until all loops have ended after the shutdown token was cancelled.
    pub async fn stopped(&self) {
        self.0.shared.shutdown.cancelled().await;
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn count(&self, state: &State) {
        let sum = |f: &dyn Fn(&Pool) -> usize| {
            let total: usize = state.pools.values().map(f).sum();
            i64::try_from(total).unwrap_or(i64::MAX)
        };
        self.targets.set(sum(&|pool| pool.loops.len()));
        self.target_errors.set(sum(&|pool| pool.errors));
    }

    /// The job as its configuration and its files say now; loops of before go on where they can.
    fn updated(
        &self,
        config: ScrapeConfig,
        fetcher: Fetcher,
        before: Option<Pool>,
        defaults: Defaults,
    ) -> Pool {
        let files = discovery::stamps(&config);
        let config = Arc::new(config);
        let built =
            discovery::groups(&config, &files).and_then(|groups| target::build(&config, defaults, &groups));
        let (config_before, old) = match before {
            Some(pool) => (Some(pool.config), pool.loops),
            None => (None, Vec::new()),
        };
        let mut pool = Pool {
            config,
            fetcher,
            files,
            loops: Vec::new(),
            dropped: Vec::new(),
            errors: 0,
        };
        match built {
            Err(e) => {
                // A file that is half written or gone bad must not end its series: what runs goes on.
                tracing::error!("keeping the targets as they were: {e}");
                pool.errors = 1;
                pool.loops = old;
            }
            Ok(built) => {
                for e in &built.errors {
                    tracing::warn!("a target is left out: {e}");
                }
                pool.errors = built.errors.len();
                pool.dropped = built.dropped;
                let unchanged = config_before.is_some_and(|c| same_settings(&c, &pool.config));
                pool.loops = self.loops(&pool, built.targets, old, unchanged);
            }
        }
        pool
    }

    fn loops(
        &self,
        pool: &Pool,
        targets: Vec<Target>,
        mut old: Vec<Running>,
        unchanged: bool,
    ) -> Vec<Running> {
        let mut loops = Vec::with_capacity(targets.len());
        let mut changed = Vec::new();
        for target in targets {
            match old.iter().position(|l| unchanged && l.target == target) {
                Some(i) => loops.push(old.swap_remove(i)),
                None => changed.push(target),
            }
        }
        for target in changed {
            let same_series = old.iter().position(|l| l.target.labels == target.labels);
            let predecessor = same_series.map(|i| old.swap_remove(i));
            loops.push(self.start(pool, target, predecessor));
        }
        old.iter().for_each(Running::end);
        loops
    }

    fn start(&self, pool: &Pool, target: Target, predecessor: Option<Running>) -> Running {
        let (command, receiver) = watch::channel(Command::Run);
        let status: SharedStatus = Arc::new(Mutex::new(TargetStatus::new(&target)));
        let mut scrape_loop = ScrapeLoop {
            target: target.clone(),
            fetcher: pool.fetcher.clone(),
            cache: Cache::new(pool.config.clone(), target.labels.clone()),
            status: status.clone(),
            shared: self.shared.clone(),
            command: receiver,
        };
        let task = self.tasks.spawn(async move {
            if let Some(predecessor) = predecessor {
                predecessor.command.send_replace(Command::HandOver);
                if let Ok(Some(cache)) = predecessor.task.await {
                    scrape_loop.cache.take_over(cache);
                }
            }
            scrape_loop.run().await
        });
        Running {
            target,
            status,
            command,
            task,
        }
    }

    /// Brings the jobs up to date whose files changed.
    fn look_at_files(&self) {
        let mut state = self.lock();
        let defaults = state.defaults;
        let changed: Vec<String> = state
            .pools
            .values()
            .filter(|pool| !pool.config.file_sd_configs.is_empty())
            .filter(|pool| discovery::stamps(&pool.config) != pool.files)
            .map(|pool| pool.config.job_name.clone())
            .collect();
        for name in changed {
            let Some(pool) = state.pools.remove(&name) else {
                continue;
            };
            let (config, fetcher) = ((*pool.config).clone(), pool.fetcher.clone());
            let pool = self.updated(config, fetcher, Some(pool), defaults);
            state.pools.insert(name, pool);
        }
        self.count(&state);
    }
}

impl Running {
    fn end(&self) {
        self.command.send_replace(Command::Gone);
    }
}

/// Whether two configurations differ at most in what decides about the targets themselves.
fn same_settings(a: &ScrapeConfig, b: &ScrapeConfig) -> bool {
    let without_targets = |config: &ScrapeConfig| ScrapeConfig {
        static_configs: Vec::new(),
        file_sd_configs: Vec::new(),
        relabel_configs: Vec::new(),
        ..config.clone()
    };
    without_targets(a) == without_targets(b)
}

async fn watch_files(manager: Weak<Inner>, shared: Arc<Shared>) {
    loop {
        let wait = shared.sleep.sleep(FILE_INTERVAL);
        if shared.shutdown.run_until_cancelled(wait).await.is_none() {
            return;
        }
        let Some(manager) = manager.upgrade() else { return };
        manager.look_at_files();
    }
}

#[cfg(test)]
mod tests;
