//! Prometheus' blocks as they lie on disk: `meta.json`, `index`, `chunks/NNNNNN`, `tombstones`.
//!
//! [`Block`] walks the series of a block in the order of its index, and decodes their chunks one by one, so that a
//! block of any size needs no more memory than its symbol table and a window of each file. The files are handed in as
//! [`Source`]s. Every byte that becomes a sample was checked against its CRC-32C; damage is an error that names the
//! file and the offset.
//!
//! Source of the formats: `tsdb/docs/format/` in Prometheus' repository. Read are versions 1 to 3 of the index,
//! version 1 of the others, and all chunk encodings up to Prometheus 3: XOR, histogram, float histogram (with custom
//! bounds), and those three with start timestamps. Postings are not looked at.

mod bits;
mod chunk;
mod crc32c;
mod index;
mod meta;
mod segment;
mod source;
mod tombstones;

pub use index::{BlockSeries, ChunkPlace};
pub use meta::Meta;
pub use source::Source;

use index::Index;
use model::{Result, Series};
use segment::Segment;
use tombstones::Tombstones;

/// An open block.
pub struct Block {
    index: Index,
    segments: Vec<Segment>,
    tombstones: Tombstones,
}

impl Block {
    /// Opens a block: `chunks` in the order of their file names; no `tombstones` is the same as none in it. Checks
    /// headers, the table of contents and the symbol table.
    ///
    /// # Errors
    /// [`model::ErrorKind::Corrupt`] for damage and for versions that are not known, and those of the disk.
    pub fn open(index: Source, chunks: Vec<Source>, tombstones: Option<&Source>) -> Result<Self> {
        Ok(Self {
            index: Index::open(index)?,
            segments: chunks.into_iter().map(Segment::open).collect::<Result<_>>()?,
            tombstones: tombstones.map_or(Ok(Tombstones::default()), Tombstones::read)?,
        })
    }
    /// The next series, without its samples; `None` after the last.
    ///
    /// # Errors
    /// [`model::ErrorKind::Corrupt`] for damage: the series after it cannot be found, so the walk is over.
    pub fn next_series(&mut self) -> Result<Option<BlockSeries>> {
        self.index.next_series()
    }
    /// Appends the samples of one chunk to a series, without those that are marked as deleted.
    ///
    /// # Errors
    /// [`model::ErrorKind::Corrupt`] for damage; `into` is as it was then, and other chunks can be read.
    pub fn read_chunk(&mut self, series: &BlockSeries, place: &ChunkPlace, into: &mut Series) -> Result<()> {
        let Some(segment) = self.segments.get_mut(place.segment()) else {
            return Err(self.index.damaged(
                series.offset(),
                &format!(
                    "a series points to chunk file {}, the block has {}",
                    place.segment() + 1,
                    self.segments.len()
                ),
            ));
        };
        let deleted = self.tombstones.of(series.id());
        let mut samples = segment.read(place.offset())?;
        if !deleted.is_empty() {
            samples.retain(|time_ms| !deleted.iter().any(|range| range.contains(&time_ms)));
        }
        samples.append_to(into);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
