//! Following log files, step by step. Each step is bounded; time and the sink are the caller's.

mod finding;
mod reading;
mod resume;
mod tracked;

use super::discover::Pattern;
use super::state::{Checkpoint, Intent, Range, State, StateFile};
use crate::config::LogsConfig;
use crate::counters::{self, Counters};
use crate::host::Host;
use crate::names::Names;
use model::{Batch, Logs, Origin, Result, Tenant, WriteOutcome};
use std::path::Path;
use std::sync::Arc;
use tracked::{Held, Part, Tracked};

/// The stream of sequence numbers that log files use.
pub const STREAM: &str = "files";

/// What a tailer works on and with.
pub struct Options {
    /// Which files, and how much at a time.
    pub config: LogsConfig,
    /// Where the node's files are.
    pub host: Host,
    /// The node's name.
    pub node: String,
    /// Whose lines these are.
    pub tenant: Tenant,
    /// The agent's id.
    pub agent: String,
    /// Who wrote which file.
    pub names: Arc<Names>,
    /// What happens.
    pub counters: Arc<Counters>,
}

/// A batch to be written. The same one comes again until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// For the sink.
    pub batch: Batch<Logs>,
    lines: u64,
    bytes: u64,
    cut_lines: u64,
    cut_bytes: u64,
    malformed: u64,
}

impl Outgoing {
    /// How many lines it holds.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// Follows log files. See the module's page for how each line is counted once.
pub struct Tailer {
    options: Options,
    patterns: Vec<Pattern>,
    file: StateFile,
    epoch: u64,
    sequence: u64,
    tracked: Vec<Tracked>,
    /// The batch that is not acknowledged yet, and what it is made of.
    under_way: Option<(Arc<Outgoing>, Intent)>,
    /// Whether the state file is older than what is remembered here.
    dirty: bool,
    last_discovery_ns: Option<u64>,
    /// Copies of files that are followed.
    held: Vec<Held>,
    /// Where the next round begins, so that a busy file does not starve the others.
    turn: usize,
    buffer: Vec<u8>,
}

impl Tailer {
    /// Goes on where the state file in `dir` says. `new_epoch` is asked when there is none.
    ///
    /// # Errors
    /// A pattern that is none, or a state that cannot be read; one that is damaged is logged and begun anew.
    pub fn open(
        options: Options,
        fs: Arc<dyn model::Fs>,
        dir: &Path,
        new_epoch: impl FnOnce() -> Result<u64>,
    ) -> Result<Self> {
        let patterns = options
            .config
            .files
            .iter()
            .map(|p| Pattern::new(&options.host, p))
            .collect::<Result<Vec<_>>>()?;
        let file = StateFile::new(fs, dir);
        let state = match file.load() {
            Ok(Some(state)) => state,
            Ok(None) => State::new(new_epoch()?),
            Err(e) if e.kind() == model::ErrorKind::Corrupt => {
                tracing::error!(error = %e, "the checkpoints of log files are damaged; reading all files from their beginning");
                State::new(new_epoch()?)
            }
            Err(e) => return Err(e),
        };
        let mut tailer = Self {
            patterns,
            file,
            epoch: state.epoch,
            sequence: state.sequence,
            tracked: Vec::new(),
            under_way: None,
            dirty: true,
            last_discovery_ns: None,
            held: Vec::new(),
            turn: 0,
            buffer: Vec::new(),
            options,
        };
        tailer.resume(state);
        Ok(tailer)
    }

    /// How many files are followed.
    pub fn files(&self) -> usize {
        self.tracked.len()
    }

    /// For the start banner: looks for files without following them yet.
    pub fn describe(&self) -> String {
        let count = super::discover::candidates(&self.patterns).len();
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let patterns = self.patterns.len();
        format!(
            "{count} log file{} by {patterns} pattern{}",
            plural(count),
            plural(patterns)
        )
    }

    /// One step: the batch that is still not acknowledged, or the next one. `None` when nothing is new.
    ///
    /// # Errors
    /// When the state cannot be saved; nothing was changed then that is not done again in the next step.
    pub fn poll(&mut self, now_ns: i64, monotonic_ns: u64) -> Result<Option<Arc<Outgoing>>> {
        if let Some((outgoing, _)) = &self.under_way {
            return Ok(Some(outgoing.clone()));
        }
        // Before new files are looked at: one of them may be a copy of what was truncated.
        self.handle_truncations(monotonic_ns);
        let every = u64::try_from(self.options.config.discovery_interval.as_nanos()).unwrap_or(u64::MAX);
        if self
            .last_discovery_ns
            .is_none_or(|at| monotonic_ns.saturating_sub(at) >= every)
        {
            self.discover(monotonic_ns);
            self.last_discovery_ns = Some(monotonic_ns);
        }
        let ranges = self.read_ranges(now_ns, monotonic_ns);
        if ranges.is_empty() {
            if self.dirty {
                self.save(None)?;
            }
            return Ok(None);
        }
        self.send_off(ranges, now_ns).map(Some)
    }

    /// The batch was taken, or refused for good: the checkpoints move.
    pub fn acknowledged(&mut self, outcome: &WriteOutcome) {
        let Some((outgoing, intent)) = self.under_way.take() else {
            return;
        };
        let count = |def, n| self.options.counters.counter(def, &[]).add(n);
        for rejection in &outcome.rejected {
            self.options
                .counters
                .counter(&counters::LOG_LINES_REJECTED, &[rejection.reason])
                .add(rejection.count);
        }
        count(
            &counters::LOG_LINES,
            outgoing.lines.saturating_sub(outcome.rejected_count()),
        );
        count(&counters::LOG_BYTES, outgoing.bytes);
        count(&counters::LOG_LINES_CUT, outgoing.cut_lines);
        count(&counters::LOG_LINES_MALFORMED, outgoing.malformed);
        self.lost("cut", outgoing.cut_bytes);
        for range in &intent.ranges {
            if let Some(t) = self.tracked.iter_mut().find(|t| t.id == range.id) {
                t.acknowledged = range.end;
                t.acknowledged_skipping = range.skipping;
            }
        }
        self.tracked.retain(|t| !t.finished);
        self.dirty = true;
    }

    /// Saves the checkpoints now, for a clean end.
    pub fn flush(&mut self) -> Result<()> {
        if self.dirty && self.under_way.is_none() {
            self.save(None)?;
        }
        Ok(())
    }

    fn lost(&self, reason: &'static str, bytes: u64) {
        self.options
            .counters
            .counter(&counters::LOG_BYTES_LOST, &[reason])
            .add(bytes);
    }

    fn skipped(&self, reason: &'static str) {
        self.options
            .counters
            .counter(&counters::LOG_FILES_SKIPPED, &[reason])
            .inc();
    }

    /// Saves what is about to be sent, and makes the batch. If saving fails, reading is undone.
    fn send_off(&mut self, ranges: Vec<(Range, Part)>, now_ns: i64) -> Result<Arc<Outgoing>> {
        let (ranges, parts): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
        let intent = Intent {
            sequence: self.sequence + 1,
            read_at_ns: now_ns,
            ranges,
        };
        if let Err(e) = self.save(Some(&intent)) {
            for t in &mut self.tracked {
                t.undo_reading();
            }
            return Err(e);
        }
        self.sequence += 1;
        let outgoing = Arc::new(self.outgoing(parts, intent.sequence));
        self.under_way = Some((outgoing.clone(), intent));
        Ok(outgoing)
    }

    fn outgoing(&self, parts: Vec<Part>, sequence: u64) -> Outgoing {
        let mut outgoing = Outgoing {
            batch: Batch {
                tenant: self.options.tenant.clone(),
                origin: Some(Origin {
                    agent: self.options.agent.clone(),
                    epoch: self.epoch,
                    stream: STREAM.to_owned(),
                    sequence,
                }),
                payload: Logs::default(),
            },
            lines: 0,
            bytes: 0,
            cut_lines: 0,
            cut_bytes: 0,
            malformed: 0,
        };
        for part in parts {
            outgoing.bytes += part.bytes;
            outgoing.cut_lines += part.cut_lines;
            outgoing.cut_bytes += part.cut_bytes;
            outgoing.malformed += part.malformed;
            outgoing.lines += part.streams.iter().map(|s| s.entries.len() as u64).sum::<u64>();
            outgoing.batch.payload.streams.extend(part.streams);
        }
        outgoing
    }

    fn save(&mut self, intent: Option<&Intent>) -> Result<()> {
        let mut state = State::new(self.epoch);
        state.sequence = intent.map_or(self.sequence, |intent| intent.sequence);
        state.under_way = intent.cloned();
        state.files = self
            .tracked
            .iter()
            .map(|t| Checkpoint {
                id: t.id,
                path: t.path.clone(),
                named: t.named.clone(),
                fingerprint: t.acknowledged,
                skipping: t.acknowledged_skipping,
            })
            .collect();
        self.file.save(&state)?;
        self.dirty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
