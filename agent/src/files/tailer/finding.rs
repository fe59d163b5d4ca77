//! Finding files: new ones, moved ones, truncated ones and their copies.

use super::Tailer;
use super::tracked::{Held, Tracked};
use crate::counters;
use crate::files::discover::{self, Candidate};
use crate::files::fingerprint::{FileId, Fingerprint};
use crate::files::range::StreamLabels;
use model::{Labels, Resource, identity};
use std::fs::File;
use std::path::Path;

impl Tailer {
    pub(super) fn discover(&mut self, monotonic_ns: u64) {
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
        self.held
            .retain(|held| candidates.iter().any(|c| c.id == held.id));
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
    pub(super) fn handle_truncations(&mut self, monotonic_ns: u64) {
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

/// Labels.
impl Tailer {
    /// The labels of a file's streams, from its path.
    pub(super) fn label(&self, t: &mut Tracked) {
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
            t.print.offset == 0
                && names
                    .of_log_file(path)
                    .is_some_and(|who| !who.container_id.is_empty())
        };
        for index in 0..self.tracked.len() {
            let path = self
                .options
                .host
                .on_the_node(&self.tracked[index].named)
                .into_owned();
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
