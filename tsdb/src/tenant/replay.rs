//! Start-up: the log applied again, and the directory of active series built from what it held.

use super::{Active, Context, Family, State, TenantManifest};
use crate::catalog::Catalog;
use crate::directory::{Directory, NO_SLOT, SeriesId, SlotId};
use crate::head::Head;
use crate::idset::IdSet;
use crate::record;
use crate::samples::Part;
use crate::tombstones::Tombstone;
use model::{Error, Result, raw};
use std::sync::Arc;
use storage::Span;

/// A tenant on its way to being open.
pub(super) struct Replay<'a> {
    context: &'a Context,
    catalog: &'a Catalog,
    active: Active,
    state: State,
    now_s: u32,
    /// The slot of the series before, whose neighbour the next one mostly is.
    last: SlotId,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        context: &'a Context,
        catalog: &'a Catalog,
        manifest: &TenantManifest,
        parts: Vec<Arc<Part>>,
        tombstones: Arc<Vec<Arc<Tombstone>>>,
    ) -> Self {
        let kept = &manifest.state;
        Self {
            context,
            catalog,
            active: Active {
                directory: Directory::default(),
                next_series: kept.next_series.max(1),
                dying: IdSet::default(),
            },
            state: State {
                head: Head::default(),
                head_since_ns: None,
                applied: manifest.log_position,
                sequences: kept.sequences.clone(),
                families: kept.families.iter().map(Family::entry).collect(),
                frozen: None,
                parts: Arc::new(parts),
                tombstones,
            },
            now_s: context.now_s(),
            last: NO_SLOT,
        }
    }

    /// Applies a record of the log.
    pub(super) fn record(&mut self, span: Span, kind: u8, version: u8, payload: &[u8]) -> Result<()> {
        let mut batch = record::decode(kind, version, payload)?;
        let now_ms = self.context.clock.now_ms();
        for (id, label_bytes) in batch.definitions.drain(..) {
            let labels =
                raw::decode_labels(&label_bytes).map_err(|e| Error::corrupt(e.message().to_owned()))?;
            self.catalog.insert(id, &labels, now_ms);
            self.active.next_series = self.active.next_series.max(id.saturating_add(1));
        }
        for entry in &mut batch.entries {
            entry.slot = self.slot(entry.id);
        }
        self.state.apply(span, batch, self.context.clock.as_ref());
        Ok(())
    }

    fn slot(&mut self, id: SeriesId) -> SlotId {
        let directory = &mut self.active.directory;
        let next = self.last.wrapping_add(1);
        let is_next = (next as usize) < directory.slots() && directory.id(next) == id;
        let slot = if is_next {
            next
        } else {
            match directory.slot_of(id) {
                Some(slot) => slot,
                None => directory.add_unnamed(id, self.now_s),
            }
        };
        self.last = slot;
        slot
    }

    /// Names the series that the log spoke of by their ids alone.
    pub(super) fn finish(mut self) -> (Active, State) {
        let directory = &mut self.active.directory;
        let mut ids: Vec<SeriesId> = (0..directory.slots())
            .map(|s| directory.id(s as SlotId))
            .collect();
        ids.sort_unstable();
        let named = self.catalog.view().labels(&ids, &mut |id, labels| {
            let stranger = directory.stranger(labels);
            directory.name(id, &stranger);
            Ok(())
        });
        if let Err(e) = named {
            // They get new ids when they come again; what the log held of them is found when the catalog is read.
            tracing::error!(error = %e, "the labels of some series of the log cannot be read");
        }
        (self.active, self.state)
    }
}
