//! Starting the agent, and stopping it.

use crate::collector::{Collected, Collector, Parts};
use crate::config::Config;
use crate::counters::{self, Counters};
use crate::files::{self, Outgoing, Tailer};
use crate::id::AgentId;
use crate::names::Names;
use model::{Batch, Clock, Error, ErrorKind, Fs, Logs, Meter, Metrics, Result, Sinks, Tenant, WriteOutcome};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the agent lives in.
#[derive(Clone)]
pub struct Environment {
    /// Where everything goes.
    pub sinks: Sinks,
    /// The file system of the data directory.
    pub fs: Arc<dyn Fs>,
    /// The data directory; the agent writes below `<data_dir>/agent`.
    pub data_dir: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub meter: Arc<dyn Meter>,
    /// Cancelled when the program ends.
    pub shutdown: CancellationToken,
}

/// The agent, before it runs.
pub struct Agent;

/// A running agent. Dropping it leaves it running until the program's shutdown token is cancelled.
pub struct AgentHandle {
    description: Vec<String>,
    id: String,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// How long a clean end may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel's log is looked at this often between two rounds.
const KERNEL_LOG_INTERVAL: Duration = Duration::from_secs(1);
/// Rounds of samples that are kept while the sink does not take them.
const MAX_WAITING_ROUNDS: usize = 8;
/// Lines about OOM kills that are kept while the sink does not take them.
const MAX_WAITING_STREAMS: usize = 1000;

impl Agent {
    /// Starts collecting, on the tokio runtime that it is called on. The first round is made at once.
    ///
    /// # Errors
    /// A configuration that makes no sense, or a data directory that cannot be written.
    pub fn start(config: Config, environment: Environment) -> Result<AgentHandle> {
        let tenant = config.check()?;
        let env = environment;
        let dir = env.data_dir.join("agent");
        let id = AgentId::open(env.fs.clone(), &dir)?;
        let host = config.host();
        let node = if config.node_name.is_empty() {
            host.name()
        } else {
            config.node_name.clone()
        };
        let names = Arc::new(Names::new(host.clone()));
        let counters = Arc::new(Counters::new(env.meter.clone()));
        let stop = env.shutdown.child_token();
        let mut description = Vec::new();
        let mut tasks = Vec::new();

        let mut collector = Collector::new(Parts {
            config: &config,
            node: &node,
            agent: &id.id(),
            names: names.clone(),
            counters: counters.clone(),
            clock: env.clock.clone(),
            fs: env.fs.clone(),
            dir: &dir,
        });
        description.extend(collector.describe());
        tasks.push(tokio::spawn(metrics_task(
            collector,
            config.interval,
            env.sinks.clone(),
            tenant.clone(),
            counters.clone(),
            stop.clone(),
        )));

        if config.logs.enabled && !config.logs.files.is_empty() {
            let pace = config.logs.poll_interval;
            let options = files::Options {
                config: config.logs,
                host,
                node,
                tenant,
                agent: id.id(),
                names,
                counters: counters.clone(),
            };
            let tailer = Tailer::open(options, env.fs.clone(), &dir, || id.new_epoch())?;
            description.push(tailer.describe());
            tasks.push(tokio::spawn(files_task(
                tailer,
                pace,
                env.clock.clone(),
                env.sinks.clone(),
                counters,
                stop.clone(),
            )));
        }
        Ok(AgentHandle {
            description,
            id: id.id(),
            stop,
            tasks,
        })
    }
}

impl AgentHandle {
    /// What is collected, one line each, for the start banner.
    pub fn describe(&self) -> Vec<String> {
        self.description.clone()
    }
    /// The agent's id.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// Ends cleanly: what was read is handed on once more, checkpoints are saved.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            if tokio::time::timeout(SHUTDOWN_TIMEOUT, task).await.is_err() {
                tracing::warn!(
                    "the agent did not end in time; what is not acknowledged is read again next time"
                );
            }
        }
    }
}

/// Runs a synchronous step where blocking is allowed and gets the value back.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    mut value: T,
    step: impl FnOnce(&mut T) -> R + Send + 'static,
) -> Option<(T, R)> {
    let task = tokio::task::spawn_blocking(move || {
        let result = step(&mut value);
        (value, result)
    });
    match task.await {
        Ok(both) => Some(both),
        Err(e) => {
            tracing::error!(error = %e, "a step of the agent failed; it stops collecting");
            None
        }
    }
}

async fn metrics_task(
    mut collector: Collector,
    interval: Duration,
    sinks: Sinks,
    tenant: Tenant,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let mut rounds = tokio::time::interval(interval);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = tokio::time::interval(KERNEL_LOG_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waiting = Waiting::default();
    loop {
        let step = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = rounds.tick() => blocking(collector, |c| Some(c.collect())).await,
            _ = looks.tick() => blocking(collector, Collector::look_for_kills).await,
        };
        let Some((back, collected)) = step else { return };
        collector = back;
        if let Some(collected) = collected {
            waiting.add(collected, &counters);
        }
        if waiting.hand_on(&sinks, &tenant, &counters).await {
            let Some((back, ())) = blocking(collector, Collector::handed_on).await else {
                return;
            };
            collector = back;
        }
    }
}

/// What the sink has not taken yet.
#[derive(Default)]
struct Waiting {
    metrics: VecDeque<Metrics>,
    streams: VecDeque<model::LogStream>,
}

impl Waiting {
    fn add(&mut self, collected: Collected, counters: &Counters) {
        let samples = |m: &Metrics| m.series.len() as u64;
        counters
            .counter(&counters::SAMPLES, &[])
            .add(samples(&collected.metrics));
        self.metrics.push_back(collected.metrics);
        self.streams.extend(collected.streams);
        while self.metrics.len() > MAX_WAITING_ROUNDS {
            if let Some(oldest) = self.metrics.pop_front() {
                counters
                    .counter(&counters::SAMPLES_DROPPED, &["sink_unavailable"])
                    .add(samples(&oldest));
            }
        }
        while self.streams.len() > MAX_WAITING_STREAMS {
            self.streams.pop_front();
            counters
                .counter(&counters::LOG_LINES_REJECTED, &["sink_unavailable"])
                .inc();
        }
    }
    /// Whether nothing is left.
    async fn hand_on(&mut self, sinks: &Sinks, tenant: &Tenant, counters: &Counters) -> bool {
        while let Some(metrics) = self.metrics.front() {
            let batch = Batch::new(tenant.clone(), metrics.clone());
            match sinks.metrics.write(batch).await {
                Ok(outcome) => refused(&outcome, counters),
                Err(e) => {
                    counters
                        .counter(&counters::COLLECTION_ERRORS, &[counters::reason(&e)])
                        .inc();
                    if !is_final(&e) {
                        tracing::warn!(error = %e, "samples could not be handed on; trying again");
                        return false;
                    }
                    tracing::error!(error = %e, "samples were refused");
                    let lost = metrics.series.len() as u64;
                    counters
                        .counter(&counters::SAMPLES_DROPPED, &[counters::reason(&e)])
                        .add(lost);
                }
            }
            self.metrics.pop_front();
        }
        if self.streams.is_empty() {
            return true;
        }
        let payload = Logs {
            streams: self.streams.iter().cloned().collect(),
        };
        match sinks.logs.write(Batch::new(tenant.clone(), payload)).await {
            Ok(_) => self.streams.clear(),
            Err(e) if is_final(&e) => {
                tracing::error!(error = %e, "lines about OOM kills were refused");
                counters
                    .counter(&counters::LOG_LINES_REJECTED, &[counters::reason(&e)])
                    .add(self.streams.len() as u64);
                self.streams.clear();
            }
            Err(e) => {
                tracing::warn!(error = %e, "lines about OOM kills could not be handed on; trying again");
                return false;
            }
        }
        true
    }
}

fn refused(outcome: &WriteOutcome, counters: &Counters) {
    for rejection in &outcome.rejected {
        counters
            .counter(&counters::SAMPLES_DROPPED, &[rejection.reason])
            .add(rejection.count);
    }
}

/// Whether sending the same again cannot help.
pub(crate) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BadData | ErrorKind::TooLarge | ErrorKind::Unsupported | ErrorKind::NotFound
    )
}

async fn files_task(
    mut tailer: Tailer,
    pace: Duration,
    clock: Arc<dyn Clock>,
    sinks: Sinks,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let mut backoff = crate::backoff::Backoff::new();
    loop {
        let clock = clock.clone();
        let poll = move |t: &mut Tailer| t.poll(clock.now_ns(), clock.monotonic_ns());
        let Some((back, polled)) = blocking(tailer, poll).await else {
            return;
        };
        tailer = back;
        // The batch of a step is written also when the end has come: it is what a restart would send again.
        let pause = match polled {
            Ok(Some(outgoing)) => match write_lines(&sinks, &outgoing, &counters).await {
                Ok(outcome) => {
                    tailer.acknowledged(&outcome);
                    backoff.reset();
                    None
                }
                Err(e) => Some(backoff.next(e.retry_after())),
            },
            Ok(None) => Some(pace),
            Err(e) => {
                tracing::error!(error = %e, "the checkpoints of log files cannot be saved; reading waits");
                counters
                    .counter(&counters::LOG_WRITE_ERRORS, &["checkpoint"])
                    .inc();
                Some(backoff.next(e.retry_after()))
            }
        };
        let ended = match pause {
            None => stop.is_cancelled(),
            Some(pause) => tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(pause) => false,
            },
        };
        if ended {
            let flushed = blocking(tailer, Tailer::flush).await;
            if let Some((_, Err(e))) = flushed {
                tracing::warn!(error = %e, "the checkpoints of log files could not be saved at the end");
            }
            return;
        }
    }
}

async fn write_lines(sinks: &Sinks, outgoing: &Outgoing, counters: &Counters) -> Result<WriteOutcome> {
    match sinks.logs.write(outgoing.batch.clone()).await {
        Ok(outcome) => Ok(outcome),
        Err(e) => {
            counters
                .counter(&counters::LOG_WRITE_ERRORS, &[counters::reason(&e)])
                .inc();
            if !is_final(&e) {
                tracing::warn!(error = %e, "log lines could not be handed on; trying again");
                return Err(e);
            }
            tracing::error!(error = %e, "log lines were refused");
            let mut outcome = WriteOutcome::default();
            let message = e.message().to_owned();
            outcome.reject(counters::reason(&e), outgoing.lines(), || message);
            Ok(outcome)
        }
    }
}
