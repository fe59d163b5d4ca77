//! One round of metrics after the other, and OOM kills in between.

use crate::config::Config;
use crate::containers::Containers;
use crate::containers::kernel_log::{KernelLog, OomKill};
use crate::counters::{self, Counters};
use crate::host::{Host, Reader};
use crate::names::Names;
use crate::node::{self, Node};
use crate::series::{Family, Gatherer};
use model::{Clock, Fs, Labels, LogStream, Metrics};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

static UP: Family = Family::gauge("binnacle_agent_up", "1 while the agent collects.");
static LAST_COLLECTION: Family = Family::gauge(
    "binnacle_agent_last_collection_timestamp_seconds",
    "When the agent collected last, in seconds since the epoch.",
);
static DURATION: Family = Family::gauge(
    "binnacle_agent_collection_duration_seconds",
    "How long the round before took.",
);

/// Collects containers and the node. Works in short, synchronous steps.
pub struct Collector {
    host: Host,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    containers: Option<Containers>,
    node: Option<Node>,
    kernel_log: Option<KernelLog>,
    kernel_log_mark: Mark,
    labels: Labels,
    gatherer: Gatherer,
    reader: Reader,
    round: u64,
    last_duration_ns: u64,
}

/// What a step brought.
#[derive(Debug, Default)]
pub struct Collected {
    /// Samples.
    pub metrics: Metrics,
    /// Lines about OOM kills.
    pub streams: Vec<LogStream>,
}

/// What a collector is made of.
pub struct Parts<'a> {
    /// What to collect.
    pub config: &'a Config,
    /// The node's name.
    pub node: &'a str,
    /// The agent's id.
    pub agent: &'a str,
    /// Who containers are.
    pub names: Arc<Names>,
    /// What happens.
    pub counters: Arc<Counters>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The file system of the data directory.
    pub fs: Arc<dyn Fs>,
    /// The agent's own directory.
    pub dir: &'a Path,
}

impl Collector {
    /// A collector that has not looked at anything yet.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts { config, node, .. } = parts;
        let host = config.host();
        let kernel_log = (config.kernel_log && config.containers)
            .then(|| KernelLog::open(&host))
            .flatten();
        let mut reader = Reader::default();
        Self {
            containers: config
                .containers
                .then(|| Containers::new(host.clone(), node, parts.names, parts.counters.clone())),
            node: config.node.then(|| Node::new(host.clone(), node)),
            kernel_log_mark: Mark::open(parts.fs, parts.dir, &host, &mut reader),
            kernel_log,
            labels: Labels::from_pairs([
                ("job", "binnacle-agent"),
                ("instance", node),
                ("node", node),
                ("agent", parts.agent),
            ]),
            host,
            clock: parts.clock,
            counters: parts.counters,
            gatherer: Gatherer::default(),
            reader,
            round: 0,
            last_duration_ns: 0,
        }
    }

    /// One line for each thing that is collected.
    pub fn describe(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(containers) = &mut self.containers {
            lines.push(containers.describe());
            lines.push(match &self.kernel_log {
                Some(_) => "OOM kills from control groups and the kernel's log".to_owned(),
                None => "OOM kills from control groups (the kernel's log cannot be read)".to_owned(),
            });
        }
        if self.node.is_some() {
            lines.push("processors, memory, disks, file systems and network of this node".to_owned());
        }
        lines
    }

    /// A full round.
    pub fn collect(&mut self) -> Collected {
        let started_ns = self.clock.monotonic_ns();
        let now_ns = self.clock.now_ns();
        let streams = self.read_kernel_log(now_ns);
        self.round += 1;
        let g = &mut self.gatherer;
        g.begin(now_ns.div_euclid(model::time::NS_PER_MS));
        if let Some(containers) = &mut self.containers {
            containers.collect(g, self.round);
        }
        if let Some(node) = &mut self.node {
            node.collect(g, now_ns);
        }
        g.emit(&UP, &self.labels, &[], 1.0);
        g.emit(&LAST_COLLECTION, &self.labels, &[], now_ns as f64 / 1e9);
        g.emit(&DURATION, &self.labels, &[], self.last_duration_ns as f64 / 1e9);
        let metrics = g.finish();
        self.counters.counter(&counters::COLLECTIONS, &[]).inc();
        self.last_duration_ns = self.clock.monotonic_ns().saturating_sub(started_ns);
        Collected { metrics, streams }
    }

    /// Between two rounds: the OOM kills since the last look, if there are any.
    pub fn look_for_kills(&mut self) -> Option<Collected> {
        let now_ns = self.clock.now_ns();
        let streams = self.read_kernel_log(now_ns);
        if streams.is_empty() {
            return None;
        }
        let containers = self.containers.as_mut()?;
        self.gatherer
            .begin_extra(now_ns.div_euclid(model::time::NS_PER_MS));
        containers.emit_ooms(&mut self.gatherer);
        Some(Collected {
            metrics: self.gatherer.finish_extra(),
            streams,
        })
    }

    /// Everything that is said in [`Collector::collect`] and [`Collector::look_for_kills`] was handed on: do not
    /// tell of it again after a restart.
    pub fn handed_on(&mut self) {
        self.kernel_log_mark.save();
    }

    fn read_kernel_log(&mut self, now_ns: i64) -> Vec<LogStream> {
        let (Some(log), Some(containers)) = (&mut self.kernel_log, &mut self.containers) else {
            return Vec::new();
        };
        let kills: Vec<OomKill> = self.kernel_log_mark.new_ones(log.poll());
        if std::mem::take(&mut log.lost) > 0 {
            self.counters.counter(&counters::KERNEL_LOG_LOST, &[]).inc();
        }
        if kills.is_empty() {
            return Vec::new();
        }
        let boot_s = node::boot_time_s(&self.host, &mut self.reader).unwrap_or(0);
        let boot_ns = i64::try_from(boot_s.saturating_mul(1_000_000_000)).unwrap_or(0);
        containers.killed(&kills, boot_ns, now_ns.div_euclid(model::time::NS_PER_MS))
    }
}

/// The last record of the kernel's log that was told of, kept over restarts of the agent.
struct Mark {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    boot_id: String,
    sequence: u64,
    /// Whether the first look is still to come and nothing is known from before: what it finds is old.
    skip_first: bool,
    dirty: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredMark {
    boot_id: String,
    sequence: u64,
}

impl Mark {
    fn open(fs: Arc<dyn Fs>, dir: &Path, host: &Host, reader: &mut Reader) -> Self {
        let path = dir.join("kernel_log.json");
        let boot_id = reader
            .read(&host.proc("sys/kernel/random/boot_id"))
            .unwrap_or_default()
            .trim()
            .to_owned();
        let stored = fs
            .read(&path, 4096)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<StoredMark>(&bytes).ok());
        // After a reboot everything in the log is new to us; without a mark nothing is.
        let (sequence, skip_first) = match stored {
            Some(mark) if mark.boot_id == boot_id => (mark.sequence, false),
            Some(_) => (0, false),
            None => (0, true),
        };
        Self {
            fs,
            path,
            boot_id,
            sequence,
            skip_first,
            dirty: skip_first,
        }
    }
    fn new_ones(&mut self, mut kills: Vec<OomKill>) -> Vec<OomKill> {
        kills.retain(|kill| kill.sequence > self.sequence);
        if let Some(last) = kills.last() {
            self.sequence = last.sequence;
            self.dirty = true;
        }
        if std::mem::take(&mut self.skip_first) {
            kills.clear();
        }
        kills
    }
    fn save(&mut self) {
        if !self.dirty {
            return;
        }
        let stored = StoredMark {
            boot_id: self.boot_id.clone(),
            sequence: self.sequence,
        };
        let saved = serde_json::to_vec(&stored)
            .map_err(std::io::Error::from)
            .and_then(|bytes| self.fs.replace(&self.path, &bytes));
        match saved {
            Ok(()) => self.dirty = false,
            Err(e) => {
                tracing::warn!(error = %e, path = %self.path.display(), "cannot remember how far the kernel's log was read");
            }
        }
    }
}
