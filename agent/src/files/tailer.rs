//! Following log files, step by step. Each step is bounded; time and the sink are the caller's.

use super::decode::{self, How};
use super::discover::{self, Candidate, Pattern};
use super::fingerprint::{FileId, Fingerprint};
use super::range::{self, StreamLabels};
use super::state::{Checkpoint, Intent, Range, State, StateFile};
use crate::config::{FileFormat, LogsConfig};
use crate::counters::{self, Counters};
use crate::host::Host;
use crate::names::Names;
use model::{Batch, Labels, Logs, Origin, Resource, Result, Tenant, WriteOutcome, identity};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::container_log::Format;

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

/// A copy, since when it has been as long as it is.
struct Held {
    id: FileId,
    size: u64,
    since_ns: u64,
}

/// A file that is followed.
struct Tracked {
    id: FileId,
    file: File,
    path: PathBuf,
    /// The path by which it was found first, or of the file that it is a copy of.
    named: PathBuf,
    pattern: usize,
    /// How far the file has been read, and what stands before that.
    print: Fingerprint,
    skipping: bool,
    /// How far it is acknowledged.
    acknowledged: Fingerprint,
    acknowledged_skipping: bool,
    /// Size and time of the last look that found nothing more to read.
    exhausted: Option<(u64, i64)>,
    /// Since when the file is no longer found by its pattern and does not grow.
    detached_since_ns: Option<u64>,
    /// Whether nothing is left to do once everything is acknowledged.
    finished: bool,
    format: Option<Format>,
    labels: Option<Arc<StreamLabels>>,
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
        let count = discover::candidates(&self.patterns).len();
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
        count(&counters::LOG_LINES, outgoing.lines.saturating_sub(outcome.rejected_count()));
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
}

/// Beginning and going on after a restart.
impl Tailer {
    /// Finds the files of the state again, and makes the batch that was under way again.
    fn resume(&mut self, state: State) {
        self.options.names.refresh();
        let known: HashSet<FileId> = state.files.iter().map(|c| c.id).collect();
        let under_way = state.under_way;
        let mut again = Vec::new();
        for checkpoint in state.files {
            let range = under_way
                .iter()
                .flat_map(|intent| &intent.ranges)
                .find(|range| range.id == checkpoint.id);
            let wanted = range.map_or(&checkpoint.fingerprint, |range| &range.end);
            match self.find_again(&checkpoint, wanted, &known) {
                Some(index) => {
                    if let Some(range) = range {
                        again.push((index, range.clone()));
                    }
                }
                None => self.not_found(&checkpoint, range, &known),
            }
        }
        let Some(intent) = under_way else { return };
        let mut parts = Vec::new();
        let mut ranges = Vec::new();
        for (index, mut range) in again {
            let id = self.tracked[index].id;
            if let Some(part) = self.read_again(index, &range, intent.read_at_ns) {
                range.id = id;
                ranges.push(range);
                parts.push(part);
            }
        }
        if !ranges.is_empty() {
            let outgoing = self.outgoing(parts, intent.sequence);
            let intent = Intent { ranges, ..intent };
            self.under_way = Some((Arc::new(outgoing), intent));
        }
    }

    fn find_again(&mut self, checkpoint: &Checkpoint, wanted: &Fingerprint, known: &HashSet<FileId>) -> Option<usize> {
        let (file, path) = discover::find(checkpoint.id, &checkpoint.path, wanted)
            .or_else(|| discover::find_copy(&checkpoint.named, wanted, |id| known.contains(&id)))?;
        let metadata = file.metadata().ok()?;
        let pattern = self.pattern_of(&checkpoint.named).or_else(|| self.pattern_of(&path))?;
        let id = FileId::of(&metadata);
        if self.tracked.iter().any(|t| t.id == id) {
            return None;
        }
        let mut tracked = Tracked::new(id, file, path, pattern);
        checkpoint.named.clone_into(&mut tracked.named);
        tracked.print = checkpoint.fingerprint;
        tracked.skipping = checkpoint.skipping;
        tracked.acknowledged = checkpoint.fingerprint;
        tracked.acknowledged_skipping = checkpoint.skipping;
        self.label(&mut tracked);
        self.tracked.push(tracked);
        Some(self.tracked.len() - 1)
    }

    /// A file does not hold any more what was to be sent again, or is gone.
    fn not_found(&mut self, checkpoint: &Checkpoint, range: Option<&Range>, known: &HashSet<FileId>) {
        if let Some(range) = range {
            let bytes = range.end.offset.saturating_sub(checkpoint.fingerprint.offset);
            tracing::error!(path = %checkpoint.path.display(), bytes, "a log file vanished before its lines were acknowledged");
            self.lost("vanished", bytes);
            if self.find_again(checkpoint, &checkpoint.fingerprint, known).is_some() {
                return;
            }
        }
        self.skipped("gone");
    }

    fn read_again(&mut self, index: usize, range: &Range, read_at_ns: i64) -> Option<Part> {
        let format = self.format_of(index);
        let t = &mut self.tracked[index];
        let len = usize::try_from(range.end.offset.checked_sub(t.print.offset)?).ok()?;
        let mut bytes = vec![0; len];
        t.file.read_exact_at(&mut bytes, t.print.offset).ok()?;
        let how = How {
            format,
            max_line_bytes: self.options.config.max_line_bytes,
            skipping: t.skipping,
        };
        let decoded = decode::decode_all(&bytes, how);
        t.print = range.end;
        t.skipping = range.skipping;
        Some(Part::new(decoded, t, len as u64, read_at_ns))
    }

    fn pattern_of(&self, path: &Path) -> Option<usize> {
        self.patterns.iter().position(|p| p.matches(path))
    }
}

/// Finding files.
impl Tailer {
    fn discover(&mut self, monotonic_ns: u64) {
        let mut candidates = discover::candidates(&self.patterns);
        for t in &mut self.tracked {
            match candidates.iter().find(|c| c.id == t.id) {
                Some(candidate) => {
                    if t.path != candidate.path {
                        candidate.path.clone_into(&mut t.path);
                        self.dirty = true;
                    }
                    t.detached_since_ns = None;
                }
                None => {
                    t.detached_since_ns.get_or_insert(monotonic_ns);
                }
            }
        }
        candidates.retain(|c| self.tracked.iter().all(|t| t.id != c.id));
        self.held.retain(|held| candidates.iter().any(|c| c.id == held.id));
        if !candidates.is_empty() {
            self.options.names.refresh();
        }
        self.relabel();
        // Originals before their copies; and the newest first, in case there are too many.
        candidates.sort_by_key(|c| std::cmp::Reverse(c.modified));
        candidates.sort_by_key(|c| c.path.as_os_str().len());
        for candidate in candidates {
            if self.tracked.len() >= self.options.config.max_files {
                self.skipped("too_many");
                continue;
            }
            if !self.is_held(&candidate, monotonic_ns) {
                self.track(candidate, None);
            }
        }
        self.options
            .counters
            .gauge(&counters::LOG_FILES, &[])
            .set(i64::try_from(self.tracked.len()).unwrap_or(i64::MAX));
    }

    /// A copy is left alone as long as its original is there: it is read when the original is truncated. If that
    /// does not happen, and the original has been read that far, there is nothing new in the copy.
    fn is_held(&mut self, candidate: &Candidate, monotonic_ns: u64) -> bool {
        // Truncated in this moment: wait for the next step, which looks for copies first.
        if self.tracked.iter().any(Tracked::was_truncated) {
            return true;
        }
        let copied = self.tracked.iter().find_map(|t| {
            let print = discover::copy_of(candidate, &t.file, &t.path)?;
            Some((print, t.acknowledged.offset >= print.offset))
        });
        let Some((print, covered)) = copied else {
            return false;
        };
        let held = Held {
            id: candidate.id,
            size: candidate.size,
            since_ns: monotonic_ns,
        };
        let linger_ns = u64::try_from(self.options.config.linger.as_nanos()).unwrap_or(u64::MAX);
        match self.held.iter_mut().find(|h| h.id == candidate.id) {
            Some(known) if known.size != candidate.size => *known = held,
            Some(known) => {
                if covered && monotonic_ns.saturating_sub(known.since_ns) >= linger_ns {
                    self.held.retain(|h| h.id != candidate.id);
                    self.track(candidate.clone(), Some(print));
                }
            }
            None => self.held.push(held),
        }
        true
    }

    /// Follows a file from its beginning, or from where it has been accounted for.
    fn track(&mut self, candidate: Candidate, from: Option<Fingerprint>) {
        let Ok(file) = File::open(&candidate.path) else {
            self.skipped("open");
            return;
        };
        // It may have been replaced since it was listed; then the next look finds it.
        if !file.metadata().is_ok_and(|m| FileId::of(&m) == candidate.id) {
            return;
        }
        let mut tracked = Tracked::new(candidate.id, file, candidate.path, candidate.pattern);
        tracked.print = from.unwrap_or_default();
        tracked.acknowledged = tracked.print;
        self.label(&mut tracked);
        self.tracked.push(tracked);
        self.dirty = true;
    }

    /// Files that no longer hold what was read of them were truncated. What was copied away before is read on
    /// from the copy; the file itself begins anew.
    fn handle_truncations(&mut self, monotonic_ns: u64) {
        for index in 0..self.tracked.len() {
            if !self.tracked[index].was_truncated() {
                continue;
            }
            let (path, print) = (self.tracked[index].named.clone(), self.tracked[index].print);
            let taken = |id| self.tracked.iter().any(|t| t.id == id);
            if let Some((file, copy)) = discover::find_copy(&path, &print, taken)
                && let Ok(metadata) = file.metadata()
            {
                let old = &self.tracked[index];
                let mut tracked = Tracked::new(FileId::of(&metadata), file, copy, old.pattern);
                old.named.clone_into(&mut tracked.named);
                tracked.print = old.print;
                tracked.skipping = old.skipping;
                tracked.acknowledged = old.acknowledged;
                tracked.acknowledged_skipping = old.acknowledged_skipping;
                tracked.format = old.format;
                tracked.labels.clone_from(&old.labels);
                if self.pattern_of(&tracked.path).is_none() {
                    tracked.detached_since_ns = Some(monotonic_ns);
                }
                self.tracked.push(tracked);
            }
            self.tracked[index].begin_anew();
            self.dirty = true;
        }
    }
}

/// Reading.
impl Tailer {
    fn read_ranges(&mut self, now_ns: i64, monotonic_ns: u64) -> Vec<(Range, Part)> {
        let mut ranges = Vec::new();
        let mut room = self.options.config.max_batch_bytes;
        let count = self.tracked.len();
        let first = self.turn.checked_rem(count).unwrap_or(0);
        let mut looked_at = 0;
        for index in (first..count).chain(0..first) {
            if room == 0 {
                break;
            }
            looked_at += 1;
            if let Some((range, part)) = self.read_one(index, now_ns, monotonic_ns) {
                room = room.saturating_sub(usize::try_from(part.bytes).unwrap_or(usize::MAX));
                ranges.push((range, part));
            }
        }
        self.turn = first.wrapping_add(looked_at);
        self.tracked.retain(|t| !t.finished || t.print != t.acknowledged);
        ranges
    }

    fn read_one(&mut self, index: usize, now_ns: i64, monotonic_ns: u64) -> Option<(Range, Part)> {
        let t = &self.tracked[index];
        let metadata = t.file.metadata().ok()?;
        let look = (metadata.len(), modified_ns(&metadata));
        let linger_ns = u64::try_from(self.options.config.linger.as_nanos()).unwrap_or(u64::MAX);
        let ending = t
            .detached_since_ns
            .is_some_and(|since| monotonic_ns.saturating_sub(since) >= linger_ns);
        if t.exhausted == Some(look) && !ending {
            return None;
        }
        let format = self.format_of(index);
        let t = &mut self.tracked[index];
        let how = How {
            format,
            max_line_bytes: self.options.config.max_line_bytes,
            skipping: t.skipping,
        };
        // Room for one line that is too long and the beginning of what follows.
        let limit = 2 * decode::max_raw_line_bytes(&how) + 4096;
        let available = usize::try_from(metadata.len().saturating_sub(t.print.offset)).unwrap_or(usize::MAX);
        let bytes = read_at(&t.file, &mut self.buffer, t.print.offset, available.min(limit))?;
        let full = bytes.len() == limit;
        let mut decoded = decode::decode(bytes, how, full);
        let grew = t.exhausted.is_some_and(|last| last != look);
        if grew && t.detached_since_ns.is_some() {
            t.detached_since_ns = Some(monotonic_ns);
        }
        if decoded.consumed == 0 {
            t.exhausted = Some(look);
            if !ending || grew {
                return None;
            }
            // The writer has let go of the file: what it left unfinished is all that there will be.
            t.finished = true;
            self.dirty = true;
            if bytes.is_empty() {
                return None;
            }
            decoded = decode::decode_all(bytes, how);
        } else if decoded.consumed == available {
            t.exhausted = Some(look);
        }
        let end = Fingerprint::take(&t.file, t.print.offset + decoded.consumed as u64).ok()?;
        let read = end.offset - t.print.offset;
        t.print = end;
        t.skipping = decoded.skipping;
        let range = Range {
            id: t.id,
            end,
            skipping: decoded.skipping,
        };
        Some((range, Part::new(decoded, t, read, now_ns)))
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

    /// How a file's lines are written: as configured, or as its first line looks.
    fn format_of(&mut self, index: usize) -> Format {
        let t = &self.tracked[index];
        match self.patterns[t.pattern].format {
            FileFormat::Plain => return Format::Plain,
            FileFormat::Cri => return Format::Cri,
            FileFormat::Docker => return Format::Docker,
            FileFormat::Auto => {}
        }
        if let Some(format) = t.format {
            return format;
        }
        // Pieces of lines have at most 16 KiB of text.
        const FIRST_LINE_BYTES: usize = 128 << 10;
        let Some(bytes) = read_at(&t.file, &mut self.buffer, 0, FIRST_LINE_BYTES) else {
            return Format::Plain;
        };
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            return Format::Plain;
        };
        let format = Format::detect(&bytes[..end]);
        self.tracked[index].format = Some(format);
        format
    }
}

/// Labels.
impl Tailer {
    /// The labels of a file's streams, from its path.
    fn label(&self, t: &mut Tracked) {
        let path = self.options.host.on_the_node(&t.named);
        let node = &self.options.node;
        let extra = &self.patterns[t.pattern].labels;
        let with_extra = |labels: Labels| {
            if extra.is_empty() {
                return labels;
            }
            let mut builder = labels.to_builder();
            for (name, value) in extra {
                builder.set(name.as_str(), value.as_str());
            }
            builder.build()
        };
        let labels = match self.options.names.of_log_file(&path) {
            Some(who) => StreamLabels::new(|output| with_extra(who.stream_labels(node, Some(&path), output))),
            None => StreamLabels::new(|output| with_extra(plain_labels(node, &path, output))),
        };
        t.labels = Some(labels);
    }

    /// A pod's container id may become known only after its log file is there.
    fn relabel(&mut self) {
        let names = self.options.names.clone();
        let incomplete = |t: &Tracked, path: &str| {
            t.print.offset == 0 && names.of_log_file(path).is_some_and(|who| !who.container_id.is_empty())
        };
        for index in 0..self.tracked.len() {
            let path = self.options.host.on_the_node(&self.tracked[index].named).into_owned();
            if incomplete(&self.tracked[index], &path) {
                let mut t = self.tracked.swap_remove(index);
                self.label(&mut t);
                self.tracked.push(t);
                let last = self.tracked.len() - 1;
                self.tracked.swap(index, last);
            }
        }
    }
}

/// A file that no container wrote is known by its name: `/var/log/syslog` is the service `syslog`.
fn plain_labels(node: &str, path: &str, output: Option<&str>) -> Labels {
    let stem = Path::new(path)
        .file_stem()
        .map_or_else(|| "unknown".into(), |stem| stem.to_string_lossy());
    let mut resource = Resource::default();
    resource.set("service.name", stem.as_ref());
    resource.set("host.name", node);
    resource.set("log.file.path", path);
    if let Some(output) = output {
        resource.set("log.iostream", output);
    }
    identity::stream_labels(&resource).0
}

/// The lines of one range and what happened while reading them.
struct Part {
    streams: Vec<model::LogStream>,
    bytes: u64,
    cut_lines: u64,
    cut_bytes: u64,
    malformed: u64,
}

impl Part {
    fn new(decoded: decode::Decoded, t: &Tracked, bytes: u64, read_at_ns: i64) -> Self {
        let (cut_lines, cut_bytes, malformed) = (decoded.cut_lines, decoded.cut_bytes, decoded.malformed);
        let streams = match &t.labels {
            Some(labels) => range::streams(decoded, labels, read_at_ns),
            None => Vec::new(),
        };
        Self {
            streams,
            bytes,
            cut_lines,
            cut_bytes,
            malformed,
        }
    }
}

impl Tracked {
    fn new(id: FileId, file: File, path: PathBuf, pattern: usize) -> Self {
        Self {
            id,
            file,
            named: path.clone(),
            path,
            pattern,
            print: Fingerprint::default(),
            skipping: false,
            acknowledged: Fingerprint::default(),
            acknowledged_skipping: false,
            exhausted: None,
            detached_since_ns: None,
            finished: false,
            format: None,
            labels: None,
        }
    }
    fn was_truncated(&self) -> bool {
        let Ok(metadata) = self.file.metadata() else {
            return false;
        };
        if metadata.len() < self.print.offset {
            return true;
        }
        let changed = self.exhausted != Some((metadata.len(), modified_ns(&metadata)));
        // Equal size and time as at the last look: nothing was written since.
        changed && !self.print.matches(&self.file)
    }
    fn begin_anew(&mut self) {
        self.print = Fingerprint::default();
        self.acknowledged = Fingerprint::default();
        self.skipping = false;
        self.acknowledged_skipping = false;
        self.exhausted = None;
        self.format = None;
    }
    fn undo_reading(&mut self) {
        self.print = self.acknowledged;
        self.skipping = self.acknowledged_skipping;
        self.exhausted = None;
        self.finished = false;
    }
}

fn modified_ns(metadata: &std::fs::Metadata) -> i64 {
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

/// Up to `len` bytes from an offset, or fewer at the end of the file; `None` when it cannot be read.
fn read_at<'a>(file: &File, buffer: &'a mut Vec<u8>, offset: u64, len: usize) -> Option<&'a [u8]> {
    buffer.resize(len, 0);
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(&buffer[..filled])
}

#[cfg(test)]
mod tests;
