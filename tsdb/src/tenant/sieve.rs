//! What a merge leaves out: what is older than the retention, what rules keep for a shorter time, what was deleted.

use super::Tenant;
use crate::idset::IdSet;
use crate::samples::{Dropped, Fate, Part, PartMeta, Reason, Run, SeriesId, Sieve};
use crate::tombstones::Tombstone;
use crate::validate;
use model::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Leaves out of some parts of one partition what is not wanted, and ends the merge when the store closes.
pub(super) struct Unwanted<'a> {
    tenant: &'a Tenant,
    /// Everything before goes.
    first_ms: i64,
    expired: Option<Series>,
    sources: Vec<Source>,
    /// For [`PartMeta::deletions_done`] of the result.
    pub deletions_done: u64,
    /// For [`PartMeta::retention_done`] of the result.
    pub retention_done: u64,
    /// Whether samples go by rules although their windows could not be made.
    pub is_given_up: bool,
}

struct Source {
    meta: PartMeta,
    tombstones: Vec<Arc<Tombstone>>,
}

/// Some series, or all but some.
pub(super) enum Series {
    Only(IdSet),
    AllBut(IdSet),
}

impl Series {
    fn contains(&self, id: SeriesId) -> bool {
        match self {
            Self::Only(ids) => ids.contains(id),
            Self::AllBut(ids) => !ids.contains(id),
        }
    }
}

impl<'a> Unwanted<'a> {
    /// What is not wanted of these parts now.
    pub(super) fn of(tenant: &'a Tenant, parts: &[Arc<Part>]) -> Result<Self> {
        let rules = tenant.expired_of(&parts[0].entry.meta);
        let mut unwanted = Self::deleted(tenant, parts);
        let (options, now_ms) = (&tenant.context.options, tenant.context.clock.now_ms());
        unwanted.first_ms = validate::first_kept_of(options, &parts[0].entry.meta, now_ms);
        unwanted.expired = tenant.expired_series(&rules)?;
        unwanted.retention_done = rules.done(parts.iter().map(|p| p.entry.meta.retention_done));
        unwanted.is_given_up = rules.is_given_up;
        Ok(unwanted)
    }
    /// What was deleted of these parts, and nothing else.
    pub(super) fn deleted(tenant: &'a Tenant, parts: &[Arc<Part>]) -> Self {
        let tombstones = tenant.state().tombstones.clone();
        let known = tombstones.iter().take_while(|t| t.unreadable().is_none());
        let deletions_done = known.map(|t| t.entry.id).last().unwrap_or_default();
        Self {
            tenant,
            first_ms: i64::MIN,
            expired: None,
            sources: parts.iter().map(|part| Source::new(part, &tombstones)).collect(),
            deletions_done,
            retention_done: 0,
            is_given_up: false,
        }
    }
    /// Whether a part has anything that is not wanted. Reads its directory.
    pub(super) fn has_any(&self, source: usize, part: &Part) -> Result<bool> {
        for id in part.ids() {
            if self.fate(source, id?) != Fate::Keep {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Source {
    fn new(part: &Part, tombstones: &[Arc<Tombstone>]) -> Self {
        let meta = part.entry.meta.clone();
        let tombstones = tombstones.iter().filter(|t| t.concerns(&meta)).cloned().collect();
        Self { meta, tombstones }
    }
    fn naming(&self, id: SeriesId) -> impl Iterator<Item = &Tombstone> {
        let series = self.meta.series_of(id);
        self.tombstones
            .iter()
            .map(|t| &**t)
            .filter(move |t| t.names(series))
    }
}

impl Sieve for Unwanted<'_> {
    fn fate(&self, source: usize, id: SeriesId) -> Fate {
        let source = &self.sources[source];
        if self
            .expired
            .as_ref()
            .is_some_and(|series| series.contains(source.meta.series_of(id)))
        {
            return Fate::Drop(Reason::Rule);
        }
        let mut fate = Fate::Keep;
        if source.meta.min_ms < self.first_ms {
            fate = Fate::Sift;
        }
        for tombstone in source.naming(id) {
            if tombstone.takes_all(&source.meta) {
                return Fate::Drop(Reason::Deleted);
            }
            fate = Fate::Sift;
        }
        fate
    }
    fn sift(&self, source: usize, id: SeriesId, run: &mut Run, dropped: &mut Dropped) {
        let source = &self.sources[source];
        let mut keep = |reason, wanted: &dyn Fn(i64) -> bool| {
            let before = run.samples();
            run.retain(wanted);
            dropped.add(reason, before - run.samples());
        };
        keep(Reason::Age, &|time_ms| time_ms >= self.first_ms);
        for tombstone in source.naming(id) {
            keep(Reason::Deleted, &|time_ms| {
                !tombstone.takes(&source.meta, time_ms)
            });
        }
    }
    fn go_on(&self) -> Result<()> {
        self.tenant.go_on()
    }
}

impl Tenant {
    /// An error when the store closes.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.context.stopping.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the store is closing"));
        }
        Ok(())
    }
}
