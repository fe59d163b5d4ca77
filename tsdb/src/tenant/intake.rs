//! Taking a batch in: whose series are these, what is refused, and the record for the log.

use super::{Tenant, Write};
use crate::directory::{Key, NO_SLOT, SeriesId, SlotId};
use crate::metrics::reason;
use crate::record::{self, Entry};
use crate::validate::{self, Window};
use model::{
    Batch, Error, ErrorKind, Labels, MetricMetadata, RawMetrics, RawSeries, Result, WriteOutcome, raw,
};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Stands for a series that was refused.
const REFUSED: SeriesId = 0;

impl Tenant {
    /// Takes a batch: see [`model::Write::write`].
    pub(crate) async fn write(&self, batch: Batch<RawMetrics>) -> Result<WriteOutcome> {
        let metrics = &self.context.metrics;
        let origin = batch.origin.as_ref();
        if origin.is_some_and(|o| self.state().sequences.is_retry(o)) {
            metrics.retries.inc();
            return Ok(WriteOutcome {
                duplicates: batch.payload.items(),
                ..WriteOutcome::default()
            });
        }
        self.check_room(&batch.payload)?;
        let mut outcome = WriteOutcome::default();
        let mut resolved = self.resolve(batch.payload, &mut outcome)?;
        metrics.reject(&outcome);
        resolved.origin = batch.origin;
        if resolved.is_empty() {
            return Ok(outcome);
        }
        let payload = record::encode(&resolved);
        let write = Write {
            batch: resolved,
            outcome,
        };
        self.commit
            .submit(record::KIND, record::VERSION, payload, write)
            .await
    }

    /// Refuses everything while the heads are full.
    fn check_room(&self, raw: &RawMetrics) -> Result<()> {
        let state = self.state();
        let held = state.head.size_bytes() + state.frozen.as_ref().map_or(0, |f| f.head.size_bytes());
        if held < self.context.options.max_head_bytes || raw.series.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the head of tenant {} takes {held} bytes and waits to be flushed (is the disk full?); try again",
            self.name
        );
        Err(Error::unavailable(message, Duration::from_secs(5)))
    }

    /// Finds the series of a batch and takes out what breaks a rule.
    fn resolve(&self, raw: RawMetrics, outcome: &mut WriteOutcome) -> Result<record::Batch> {
        let mut resolving = Resolving {
            tenant: self,
            raw: &raw,
            outcome,
            now_s: self.context.now_s(),
            entries: Vec::with_capacity(raw.series.len()),
            unknown: Vec::new(),
            undefined: BTreeSet::new(),
            definitions: Vec::new(),
        };
        resolving.find()?;
        resolving.admit_unknown()?;
        resolving.define()?;
        let Resolving {
            entries, definitions, ..
        } = resolving;
        let mut batch = record::Batch {
            definitions,
            entries,
            ..record::Batch::default()
        };
        batch.samples = raw.samples;
        batch.starts_ms = raw.start_timestamps_ms;
        batch.histograms = raw.histograms;
        batch.exemplars = raw.exemplars;
        batch.metadata = self.new_metadata(raw.metadata);
        let counted =
            |count: fn(&RawSeries) -> u32| raw.series.iter().map(|s| count(s) as usize).sum::<usize>();
        if counted(|s| s.samples) != batch.samples.len()
            || counted(|s| s.histograms) != batch.histograms.len()
            || counted(|s| s.exemplars) != batch.exemplars.len()
        {
            return Err(Error::internal("a batch has other points than its series say"));
        }
        if batch.starts_ms.len() != batch.samples.len() || batch.starts_ms.iter().all(|s| *s == 0) {
            batch.starts_ms.clear();
        }
        let window = Window::new(&self.context.options, self.context.clock.now_ms());
        batch.retain_valid(window, outcome, &|entry| self.shown(entry));
        Ok(batch)
    }

    /// A series as far as a message needs it.
    fn shown(&self, id: SeriesId) -> String {
        let mut shown = format!("series {id}");
        let looked = self.catalog.view().labels(&[id], &mut |_, labels| {
            shown = validate::shown(labels);
            Ok(())
        });
        if let Err(e) = looked {
            tracing::warn!(error = %e, "the labels of a refused series cannot be read");
        }
        shown
    }

    /// Only what says something new goes to the log: senders repeat their metadata all the time.
    fn new_metadata(&self, mut metadata: Vec<MetricMetadata>) -> Vec<MetricMetadata> {
        if metadata.is_empty() {
            return metadata;
        }
        let limits = &self.context.options.limits;
        let state = self.state();
        metadata.retain_mut(|m| {
            cut_text(&mut m.help, limits.max_label_value_bytes);
            cut_text(&mut m.unit, limits.max_label_value_bytes);
            let fits = !m.family.is_empty()
                && m.family.len() <= limits.max_label_value_bytes
                && (state.families.len() < self.context.options.max_families
                    || state.families.contains_key(&m.family));
            self.context.metrics.families.add(u64::from(!fits));
            fits && state.families.get(&m.family) != Some(m)
        });
        metadata
    }

    /// The label set's id: of an active series, of one that the catalog knows, or a new one. An error is why the
    /// series is refused.
    fn admit(
        &self,
        key: Key,
        labels: &Labels,
        now_s: u32,
    ) -> std::result::Result<(SeriesId, SlotId), Refused> {
        let limits = &self.context.options.limits;
        validate::check_labels(labels, limits)?;
        let stranger = self.active().directory.stranger(labels);
        // The catalog may have to read from disk: not under the lock.
        let known = self.catalog.find(labels).unwrap_or_else(|e| {
            // A new id is better than a refused sample: both ids have the same labels, and a query joins them.
            tracing::error!(error = %e, "a series could not be looked up; it gets a new id");
            None
        });
        let mut active = self.active_mut();
        let slot = match active.directory.find(stranger.key, NO_SLOT, now_s) {
            Some(slot) => slot,
            None => {
                let count = active.directory.len() as u64;
                if count >= limits.max_series {
                    return Err(self.series_limit(labels, count, "tenant", "max_series"));
                }
                let total = self.context.active_series.load(Ordering::Relaxed).max(0) as u64;
                if total >= limits.max_series_total {
                    return Err(self.series_limit(labels, total, "program", "max_series_total"));
                }
                let of_target = u64::from(active.directory.target_series(stranger.target));
                if of_target >= limits.max_series_per_target {
                    return Err(self.series_limit(labels, of_target, "target", "max_series_per_target"));
                }
                let is_free =
                    |id: &SeriesId| active.directory.slot_of(*id).is_none() && !active.dying.contains(*id);
                let id = match known.filter(is_free) {
                    Some(id) => id,
                    None => {
                        let id = active.next_series;
                        active.next_series += 1;
                        self.catalog.insert(id, labels, self.context.clock.now_ms());
                        id
                    }
                };
                self.context.active_series.fetch_add(1, Ordering::Relaxed);
                // Said again in the log even if the catalog knows it: the catalog need not be on disk yet.
                active.directory.add(id, &stranger, false, now_s)
            }
        };
        if key != stranger.key {
            active.directory.add_alias(key, slot);
        }
        Ok((active.directory.id(slot), slot))
    }

    fn series_limit(&self, labels: &Labels, count: u64, whose: &str, key: &str) -> Refused {
        let message = format!(
            "{}: {whose} {}has {count} active series already (limits.ingest.{key})",
            validate::shown(labels),
            if whose == "tenant" {
                format!("{} ", self.name)
            } else {
                String::new()
            },
        );
        let reason = match key {
            "max_series_per_target" => reason::TARGET_LIMIT,
            "max_series_total" => reason::TOTAL_LIMIT,
            _ => reason::SERIES_LIMIT,
        };
        (reason, message)
    }
}

/// Why a series is refused: the word for the counter and the sentence for the sender.
type Refused = (&'static str, String);

struct Resolving<'a> {
    tenant: &'a Tenant,
    raw: &'a RawMetrics,
    outcome: &'a mut WriteOutcome,
    now_s: u32,
    entries: Vec<Entry>,
    /// Places of series that are not active, with their keys.
    unknown: Vec<(usize, Key)>,
    /// Series whose definition is not known to be on disk.
    undefined: BTreeSet<SeriesId>,
    definitions: Vec<(SeriesId, Vec<u8>)>,
}

impl Resolving<'_> {
    /// Finds those that are active.
    fn find(&mut self) -> Result<()> {
        let active = self.tenant.active();
        let directory = &active.directory;
        let mut after = NO_SLOT;
        for (i, series) in self.raw.series.iter().enumerate() {
            let bytes = self.raw.bytes.get(series.labels());
            let bytes = bytes.ok_or_else(|| Error::internal("a batch has labels outside of its bytes"))?;
            let key = directory.key(bytes);
            let (mut id, mut slot) = (REFUSED, NO_SLOT);
            match directory.find(key, after, self.now_s) {
                Some(found) => {
                    (id, slot, after) = (directory.id(found), found, found);
                    if !directory.is_defined(found) {
                        self.undefined.insert(id);
                    }
                }
                None => self.unknown.push((i, key)),
            }
            self.entries.push(Entry {
                id,
                slot,
                samples: series.samples,
                histograms: series.histograms,
                exemplars: series.exemplars,
            });
        }
        Ok(())
    }

    /// Finds or makes the others.
    fn admit_unknown(&mut self) -> Result<()> {
        for (i, key) in std::mem::take(&mut self.unknown) {
            let bytes = &self.raw.bytes[self.raw.series[i].labels()];
            let entry = &mut self.entries[i];
            let admitted = match raw::decode_labels(bytes) {
                Ok(labels) => self.tenant.admit(key, &labels, self.now_s),
                Err(e) if e.kind() == ErrorKind::BadData => Err((reason::BAD_LABELS, e.message().to_owned())),
                Err(e) => return Err(e),
            };
            match admitted {
                Ok((id, slot)) => {
                    (entry.id, entry.slot) = (id, slot);
                    self.undefined.insert(id);
                }
                Err((reason, message)) => {
                    let points = u64::from(entry.samples) + u64::from(entry.histograms);
                    self.outcome.reject(reason, points, || message);
                }
            }
        }
        Ok(())
    }

    /// Says the labels of those that a replay might not know.
    fn define(&mut self) -> Result<()> {
        for (entry, series) in self.entries.iter().zip(&self.raw.series) {
            if self.undefined.is_empty() {
                return Ok(());
            }
            if self.undefined.remove(&entry.id) {
                let labels = raw::decode_labels(&self.raw.bytes[series.labels()])?;
                let mut canonical = Vec::with_capacity(series.labels().len());
                raw::put_labels(&mut canonical, labels.iter());
                self.definitions.push((entry.id, canonical));
            }
        }
        Ok(())
    }
}

impl record::Batch {
    /// Takes out refused series and points outside of the window.
    fn retain_valid(
        &mut self,
        window: Window,
        outcome: &mut WriteOutcome,
        shown: &dyn Fn(SeriesId) -> String,
    ) {
        let within = |time_ms: i64| window.first_ms <= time_ms && time_ms <= window.last_ms;
        let all_known = self.entries.iter().all(|e| e.id != REFUSED);
        if all_known
            && self.samples.iter().all(|s| within(s.timestamp_ms))
            && self.histograms.iter().all(|h| within(h.timestamp_ms))
        {
            return;
        }
        let all = std::mem::take(self);
        self.definitions = all.definitions;
        self.metadata = all.metadata;
        let (mut samples, mut starts) = (all.samples.into_iter(), all.starts_ms.into_iter());
        let (mut histograms, mut exemplars) = (all.histograms.into_iter(), all.exemplars.into_iter());
        for mut entry in all.entries {
            let is_known = entry.id != REFUSED;
            let mut check = |time_ms: i64| {
                is_known && (within(time_ms) || window.refuse(time_ms, outcome, || shown(entry.id)))
            };
            let (mut kept, mut kept_histograms) = (0, 0);
            for sample in samples.by_ref().take(entry.samples as usize) {
                let start = starts.next();
                if check(sample.timestamp_ms) {
                    self.samples.push(sample);
                    self.starts_ms.extend(start);
                    kept += 1;
                }
            }
            for h in histograms.by_ref().take(entry.histograms as usize) {
                if check(h.timestamp_ms) {
                    self.histograms.push(h);
                    kept_histograms += 1;
                }
            }
            let of_entry = exemplars.by_ref().take(entry.exemplars as usize);
            let before = self.exemplars.len();
            self.exemplars.extend(of_entry.filter(|_| is_known));
            entry.exemplars = (self.exemplars.len() - before) as u32;
            (entry.samples, entry.histograms) = (kept, kept_histograms);
            if entry.samples + entry.histograms + entry.exemplars > 0 {
                self.entries.push(entry);
            }
        }
    }
}

/// Cuts a text at the last character that ends within a number of bytes.
fn cut_text(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}
