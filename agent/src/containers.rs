//! Containers: what their control groups say, under cAdvisor's names.

mod emit;
mod files;
pub mod kernel_log;
mod network;
pub(crate) use network::interface;
pub mod oom;
pub mod path;
mod stats;
pub mod tree;
mod v1;
mod v2;

use crate::counters::{self, Counters};
use crate::host::{Host, Reader};
use crate::identity::Identity;
use crate::names::Names;
use crate::series::Gatherer;
use kernel_log::OomKill;
use model::{Labels, LogEntry, LogStream};
use oom::OomCounts;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use tree::{Found, Layout, Place, Walker};

/// Collects containers, round after round.
pub struct Containers {
    host: Host,
    node: String,
    names: Arc<Names>,
    counters: Arc<Counters>,
    layout: Option<Layout>,
    walker: Walker,
    reader: Reader,
    stats: stats::Stats,
    known: HashMap<String, Container>,
    ooms: OomCounts,
    devices: files::Devices,
    network: network::Network,
}

/// What is remembered of a container from one round to the next.
struct Container {
    identity: Identity,
    /// Whether there is nothing more to learn about its identity.
    identified: bool,
    labels: Labels,
    shown_path: String,
    place: Place,
    /// Whether a process told where it is.
    placed: bool,
    /// The inode of its control group: tells containers apart that follow each other under one path.
    group: u64,
    pid: Option<u32>,
    start_time_s: Option<f64>,
    root: files::RootFs,
    last_round: u64,
}

impl Containers {
    /// A collector for a node.
    pub fn new(host: Host, node: &str, names: Arc<Names>, counters: Arc<Counters>) -> Self {
        let layout = Layout::detect(&host);
        Self {
            network: network::Network::new(&host),
            layout,
            host,
            node: node.to_owned(),
            names,
            counters,
            walker: Walker::default(),
            reader: Reader::default(),
            stats: stats::Stats::default(),
            known: HashMap::new(),
            ooms: OomCounts::default(),
            devices: files::Devices::default(),
        }
    }
    /// One line for the start banner.
    pub fn describe(&mut self) -> String {
        let Some(layout) = self.layout.clone() else {
            return format!(
                "no containers: no control groups under {}",
                self.host.sys("fs/cgroup").display()
            );
        };
        let runc = tree::runc_states(&self.host, &layout, &mut self.reader);
        let count = self.walker.walk(&self.host, &layout, &runc).len();
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} container{plural} ({})", layout.version())
    }
    /// One round: adds the samples of all containers that are there now.
    pub fn collect(&mut self, g: &mut Gatherer, round: u64) {
        self.layout = self.layout.take().or_else(|| Layout::detect(&self.host));
        let Some(layout) = self.layout.clone() else {
            return;
        };
        let runc = tree::runc_states(&self.host, &layout, &mut self.reader);
        let found = self.walker.walk(&self.host, &layout, &runc);
        let skipped = self.walker.skipped;
        self.counters
            .counter(&counters::CGROUPS_SKIPPED, &["too_many"])
            .add(skipped);
        self.counters
            .gauge(&counters::CONTAINERS, &[])
            .set(i64::try_from(found.len()).unwrap_or(i64::MAX));
        self.devices.refresh(&self.host, &mut self.reader);
        self.network.begin();
        if found
            .iter()
            .any(|f| self.known.get(&f.path).is_none_or(|c| !c.identified))
        {
            self.names.refresh();
        }
        for container in &found {
            self.collect_one(g, &layout, container, round);
        }
        self.network.emit_pods(&self.host, &mut self.reader, g);
        self.known.retain(|_, c| c.last_round == round);
        self.emit_ooms(g);
        self.ooms.round_done();
    }

    fn collect_one(&mut self, g: &mut Gatherer, layout: &Layout, found: &Found, round: u64) {
        let dir = walked_dir(layout, &found.path);
        let Ok(group) = std::fs::metadata(&dir).map(|m| m.ino()) else {
            return;
        };
        let (processes, pid) = tree::processes(&mut self.reader, &dir);
        if !self.known.contains_key(&found.path) && self.is_being_made(pid) {
            return;
        }
        self.remember(layout, found, group, pid);
        let Some(c) = self.known.get_mut(&found.path) else {
            return;
        };
        c.last_round = round;
        match &c.place {
            Place::V1(dirs) => v1::read(dirs, &mut self.reader, &mut self.stats),
            Place::V2(dir) => v2::read(dir, &mut self.reader, &mut self.stats),
        }
        if c.start_time_s.is_none() {
            c.start_time_s = start_time(&self.host, &mut self.reader, c.pid, &dir);
        }
        let now = emit::Now {
            processes,
            start_time_s: c.start_time_s,
        };
        emit::emit(g, &c.labels, &self.stats, &now, &self.devices);
        c.root
            .emit(g, &self.host, &mut self.reader, &self.devices, c.pid, &c.labels);
        self.ooms
            .seen(&found.path, &c.labels, c.group, self.stats.oom_kills, g.now_ms());
        if let Some(pid) = c.pid {
            let pod = Some(c.identity.pod_uid.as_str()).filter(|uid| !uid.is_empty());
            match pod {
                // The containers of a pod share one network, which belongs to the pod.
                Some(uid) => self.network.note_pod(uid, pid, c.identity.is_sandbox, || {
                    let pod_path = path::parent(&c.shown_path);
                    c.identity.pod_metric_labels(pod_path, &self.node)
                }),
                None => self.network.emit(&self.host, &mut self.reader, g, pid, &c.labels),
            }
        }
    }

    /// Makes or brings up to date what is remembered of a container.
    fn remember(&mut self, layout: &Layout, found: &Found, group: u64, pid: Option<u32>) {
        let mut previous = self.known.remove(&found.path).filter(|c| c.group == group);
        if let Some(mut c) = previous.take_if(|c| c.identified && (c.placed || pid.is_none())) {
            c.pid = pid;
            self.known.insert(found.path.clone(), c);
            return;
        }
        let is_pause = found.pod_uid.is_some() && self.is_pause(pid);
        let (mut identity, mut identified) =
            self.names
                .identify(&found.id, found.runtime, found.pod_uid.as_deref(), is_pause);
        if identity.is_sandbox {
            "POD".clone_into(&mut identity.container);
            identified |= !identity.pod.is_empty();
        }
        let container = match previous {
            // Where it is was told by a process that may be gone by now.
            Some(c) if c.placed => Container {
                labels: identity.metric_labels(&c.shown_path, &self.node),
                identity,
                identified,
                pid,
                ..c
            },
            previous => {
                let (place, placed, shown_path) = self.place(layout, found, pid);
                Container {
                    labels: identity.metric_labels(&shown_path, &self.node),
                    identity,
                    identified,
                    place,
                    shown_path,
                    placed,
                    group,
                    pid,
                    start_time_s: previous.as_ref().and_then(|c| c.start_time_s),
                    root: previous.map(|c| c.root).unwrap_or_default(),
                    last_round: 0,
                }
            }
        };
        self.known.insert(found.path.clone(), container);
    }

    /// Where a container's files are, whether that is certain, and the path to show.
    fn place(&mut self, layout: &Layout, found: &Found, pid: Option<u32>) -> (Place, bool, String) {
        let (place, certain) = tree::place(&self.host, layout, &mut self.reader, &found.path, pid);
        let told = pid
            .and_then(|pid| self.reader.read(&self.host.proc(&format!("{pid}/cgroup"))))
            .unwrap_or_default();
        let shown_path = match layout {
            Layout::V1(_) => tree::shown_path(told, &found.path).to_owned(),
            Layout::V2(_) => found.path.clone(),
        };
        (place, certain, shown_path)
    }

    /// Until runc has set all limits and starts the container's program, its own process stands in for it.
    fn is_being_made(&mut self, pid: Option<u32>) -> bool {
        pid.and_then(|pid| self.reader.read(&self.host.proc(&format!("{pid}/comm"))))
            .is_some_and(|comm| comm.starts_with("runc:["))
    }

    /// The process that holds a pod's namespaces is called `pause` by every runtime.
    fn is_pause(&mut self, pid: Option<u32>) -> bool {
        pid.and_then(|pid| self.reader.read(&self.host.proc(&format!("{pid}/comm"))))
            .is_some_and(|comm| comm.trim() == "pause")
    }

    /// Takes note of kills that the kernel's log told of. Returns the log lines to write; the counters are in the
    /// next round, or at once through [`Containers::emit_ooms`].
    pub fn killed(&mut self, kills: &[OomKill], boot_ns: i64, now_ms: i64) -> Vec<LogStream> {
        let mut streams = Vec::new();
        for kill in kills {
            let Some((path, identity)) = self.victim(kill) else {
                continue;
            };
            self.counters.counter(&counters::OOM_KILLS, &[]).inc();
            let node = &self.node;
            self.ooms
                .killed(&path, || identity.metric_labels(&path, node), now_ms);
            let since_boot_ns = i64::try_from(kill.since_boot_us.saturating_mul(1000)).unwrap_or(i64::MAX);
            streams.push(LogStream {
                labels: identity.stream_labels(node, None, Some("kernel")),
                entries: vec![LogEntry {
                    timestamp_ns: boot_ns.saturating_add(since_boot_ns),
                    line: oom_line(kill, &identity),
                    metadata: vec![("level".to_owned(), "error".to_owned())],
                }],
            });
        }
        streams
    }

    /// The container that a kill hit: one that is or was known, or one that its path tells of.
    fn victim(&self, kill: &OomKill) -> Option<(String, Identity)> {
        if let Some(path) = self.ooms.path_of(kill)
            && let Some(container) = self.known.get(&path)
        {
            return Some((path, container.identity.clone()));
        }
        let mut path = kill.group.as_str();
        loop {
            if let Some(named) = path::named(path) {
                let (identity, _) =
                    self.names
                        .identify(named.id, named.runtime, named.pod_uid.as_deref(), false);
                return Some((path.to_owned(), identity));
            }
            match path.rsplit_once('/') {
                Some((above, _)) if !above.is_empty() => path = above,
                _ => break,
            }
        }
        // A group with a limit of its own that is no unit of systemd, and that was not seen to be something else.
        let plain = !kill.limited_group.is_empty()
            && kill.group != "/"
            && !path::is_unit(&kill.group)
            && !self.walker.is_ordinary(&kill.group);
        let id = kill.group.rsplit('/').next().filter(|id| !id.is_empty())?;
        plain.then(|| (kill.group.clone(), Identity::of_id(id)))
    }

    /// Adds the OOM counters of all containers, those that are gone for a while included.
    pub fn emit_ooms(&mut self, g: &mut Gatherer) {
        let now_ms = g.now_ms();
        for value in self.ooms.values(now_ms) {
            if value.zero_first {
                // So that increase() has something to start from.
                g.emit_at(&emit::OOM_EVENTS, &value.labels, &[], 0.0, now_ms - 1000);
            }
            g.emit(&emit::OOM_EVENTS, &value.labels, &[], value.total as f64);
        }
    }
}

fn oom_line(kill: &OomKill, identity: &Identity) -> String {
    format!(
        "OOM kill: the kernel killed process {} ({}) of container {} for lack of memory; {}",
        kill.pid, kill.process, identity.name, kill.line
    )
}

fn walked_dir(layout: &Layout, path: &str) -> PathBuf {
    layout
        .walked()
        .map(|root| root.join(path.trim_start_matches('/')))
        .unwrap_or_default()
}

/// When the container's first process was started, in seconds since the epoch; without a process, when its
/// group was made.
fn start_time(host: &Host, reader: &mut Reader, pid: Option<u32>, dir: &std::path::Path) -> Option<f64> {
    let from_process = pid.and_then(|pid| {
        let boot_s = crate::node::boot_time_s(host, reader)?;
        let stat = reader.read(&host.proc(&format!("{pid}/stat")))?;
        // The name in parentheses may hold anything; the 22nd field is the 20th after it.
        let ticks: u64 = stat
            .rsplit_once(')')?
            .1
            .split_ascii_whitespace()
            .nth(19)?
            .parse()
            .ok()?;
        Some(boot_s as f64 + ticks as f64 / 100.0)
    });
    from_process.or_else(|| Some(std::fs::metadata(dir).ok()?.mtime() as f64))
}

#[cfg(test)]
mod tests;
