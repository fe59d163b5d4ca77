//! Writing a segment: all pairs by name and value, then all series by id. Holds a page of each kind and the index.

use super::index::{Index, Place};
use super::series::SeriesBuilder;
use super::values::{ValuesBuilder, ValuesPageDone};
use super::{INDEX, INDEX_COPY, KIND, MAX_PAGE, PAGES, POSTINGS_PAGE};
use crate::catalog::ids::Ids;
use crate::catalog::source::SeriesRef;
use crate::catalog::{SegmentEntry, SegmentMeta, SeriesId};
use model::{Error, Fs, Result};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::PartWriter;

/// Higher levels win a few percent and cost several times as much.
const ZSTD_LEVEL: i32 = 3;

/// How far behind a values page its copy lies at least, where there is so much: one spot of damage hits one of them.
const COPY_DISTANCE: u64 = 256 << 10;

/// A segment on its way to the disk; dropped before it is finished it leaves nothing behind.
pub(in crate::catalog) struct SegmentWriter {
    path: PathBuf,
    part: PartWriter,
    packer: zstd::bulk::Compressor<'static>,
    index: Index,
    values: ValuesBuilder,
    /// The last name and value of the values page before.
    last_pair: Option<(String, String)>,
    postings: Vec<u8>,
    /// Bytes of the stream of postings that stand in pages.
    postings_written: u64,
    series: SeriesBuilder,
    /// Bytes in the section of pages.
    len: u64,
    /// Values pages, packed, whose copies are still to be written.
    uncopied: VecDeque<(usize, Vec<u8>)>,
}

impl SegmentWriter {
    /// Starts a segment that will hold the series of a set of offsets, which is not empty.
    pub(in crate::catalog) fn create(
        fs: Arc<dyn Fs>,
        path: &Path,
        base: SeriesId,
        all: &Ids,
    ) -> Result<Self> {
        let mut part = PartWriter::create(fs, path, KIND)?;
        part.begin(PAGES)?;
        let mut writer = Self {
            path: path.to_owned(),
            part,
            packer: zstd::bulk::Compressor::new(ZSTD_LEVEL)
                .map_err(|e| Error::internal(format!("zstd: {e}")))?,
            index: Index::new(base, all.len(), all.last().unwrap_or(0)),
            values: ValuesBuilder::default(),
            last_pair: None,
            postings: Vec::new(),
            postings_written: 0,
            series: SeriesBuilder::default(),
            len: 0,
            uncopied: VecDeque::new(),
        };
        (_, writer.index.all_bytes) = writer.list(all)?;
        Ok(writer)
    }
    /// Adds a pair above the ones before; it gets the next number.
    pub(in crate::catalog) fn pair(&mut self, name: &str, value: &str, ids: &Ids) -> Result<()> {
        let (at, bytes) = self.list(ids)?;
        self.values.push(name, value, ids.len(), at, bytes);
        if self.values.is_full() {
            self.end_values()?;
        }
        Ok(())
    }
    /// Says that all pairs are there; the series follow.
    pub(in crate::catalog) fn end_pairs(&mut self) -> Result<()> {
        self.end_values()?;
        if !self.postings.is_empty() {
            let page = std::mem::take(&mut self.postings);
            self.end_postings(&page)?;
        }
        Ok(())
    }
    /// Adds a series above the ones before.
    pub(in crate::catalog) fn series(&mut self, series: SeriesRef<'_>) -> Result<()> {
        if self.series.is_full() {
            self.end_series()?;
        }
        self.series.push(series);
        Ok(())
    }
    /// Writes what is left; the segment is on the disk then. It counts once the manifest names it.
    pub(in crate::catalog) fn finish(mut self, file_id: u64) -> Result<SegmentEntry> {
        self.end_series()?;
        self.copy_values(0)?;
        let index = self.index.encode()?;
        self.part.section(INDEX, &index)?;
        self.part.section(INDEX_COPY, &index)?;
        let meta = SegmentMeta {
            series: self.index.series,
            first_id: self.index.base,
            last_id: self.index.base + u64::from(self.index.last),
            pairs: u64::from(self.index.pairs),
        };
        Ok(SegmentEntry {
            id: file_id,
            size_bytes: self.part.finish()?,
            meta,
        })
    }

    /// Appends a list to the stream, and says where it starts and how long it is.
    fn list(&mut self, ids: &Ids) -> Result<(u64, u32)> {
        let (at, before) = (
            self.postings_written + self.postings.len() as u64,
            self.postings.len(),
        );
        ids.encode(&mut self.postings);
        let bytes = u32::try_from(self.postings.len() - before).map_err(|_| self.too_large())?;
        let postings = std::mem::take(&mut self.postings);
        let mut pages = postings.chunks_exact(POSTINGS_PAGE);
        for page in pages.by_ref() {
            self.end_postings(page)?;
        }
        self.postings = match pages.remainder().len() == postings.len() {
            true => postings,
            false => pages.remainder().to_vec(),
        };
        Ok((at, bytes))
    }
    fn end_postings(&mut self, page: &[u8]) -> Result<()> {
        let place = self.page(page)?;
        self.index.postings.push(place);
        self.postings_written += page.len() as u64;
        Ok(())
    }
    fn end_values(&mut self) -> Result<()> {
        let Some(done) = self.values.take() else {
            return Ok(());
        };
        let packed = self.pack(&done.bytes)?;
        let place = self.write(&packed, done.bytes.len())?;
        let ValuesPageDone {
            first_name,
            first_value,
            ..
        } = &done;
        let separator = match &self.last_pair {
            Some((name, value)) if name == first_name => separator(value, first_value),
            _ => "",
        };
        self.uncopied.push_back((self.index.values.len(), packed));
        self.index.add_values(place, done.pairs, first_name, separator);
        self.last_pair = Some((done.last_name, done.last_value));
        Ok(())
    }
    fn end_series(&mut self) -> Result<()> {
        if let Some((first, bytes)) = self.series.take() {
            let place = self.page(&bytes)?;
            self.index.series_pages.push((first, place));
        }
        Ok(())
    }
    fn page(&mut self, bytes: &[u8]) -> Result<Place> {
        let packed = self.pack(bytes)?;
        let place = self.write(&packed, bytes.len())?;
        self.copy_values(COPY_DISTANCE)?;
        Ok(place)
    }
    fn pack(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        if bytes.len() > MAX_PAGE {
            return Err(self.too_large());
        }
        let packed = self.packer.compress(bytes);
        packed.map_err(|e| Error::internal(format!("zstd: {e}")))
    }
    fn write(&mut self, packed: &[u8], unpacked: usize) -> Result<Place> {
        self.part.write(packed)?;
        let place = Place {
            offset: self.len,
            len: packed.len() as u32,
            unpacked: unpacked as u32,
        };
        self.len += packed.len() as u64;
        Ok(place)
    }
    /// Writes the copies of the values pages that lie so far behind.
    fn copy_values(&mut self, distance: u64) -> Result<()> {
        while let Some((page, packed)) = self.uncopied.pop_front() {
            let place = self.index.values[page].place;
            if place.offset + distance > self.len {
                self.uncopied.push_front((page, packed));
                break;
            }
            let copy = self.write(&packed, place.unpacked as usize)?;
            self.index.values[page].copy = copy.offset;
        }
        Ok(())
    }
    fn too_large(&self) -> Error {
        Error::internal(format!(
            "{}: a label set is too large for the catalog",
            self.path.display()
        ))
    }
}

/// The shortest text that starts the second one and is above the first.
fn separator<'a>(below: &str, above: &'a str) -> &'a str {
    let shared = super::common_prefix(below.as_bytes(), above.as_bytes());
    let end = (shared + 1..=above.len()).find(|end| above.is_char_boundary(*end));
    &above[..end.unwrap_or(above.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn separators_separate(a in "[abü]{0,5}", b in "[abüé]{0,5}") {
            prop_assume!(a < b);
            let s = separator(&a, &b);
            prop_assert!(a.as_str() < s && s <= b.as_str());
        }
    }
}
