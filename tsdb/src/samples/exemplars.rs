//! Exemplars of a file of samples, packed in pages that series share.

use super::{SeriesId, pack, unpack};
use crate::bytes::{Cursor, bad, put_bytes, put_float, put_int, put_uint};
use crate::cache::Page;
use crate::codec::Effort;
use model::{Exemplar, LabelsBuilder, Result};

/// A page is written once it has so many bytes.
const PAGE: usize = 16 << 10;
/// The most that a page may unpack to; more than one exemplar beyond a page is not in it.
const MAX_PAGE: usize = 64 << 20;

/// Where a page lies and which series are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageEntry {
    pub first: SeriesId,
    pub last: SeriesId,
    pub offset: u64,
    pub bytes: u64,
}

/// The page that is being filled.
#[derive(Default)]
pub(super) struct Writer {
    raw: Vec<u8>,
    first: SeriesId,
    last: SeriesId,
}

impl Writer {
    /// Adds exemplars of a series, as many as the page takes; says how many. A page that is full is to be taken.
    pub(super) fn add(&mut self, id: SeriesId, partition_ms: i64, exemplars: &[Exemplar]) -> usize {
        let (mut body, mut added, mut before) = (Vec::new(), 0, partition_ms);
        while let Some(e) = exemplars.get(added)
            && (added == 0 || self.raw.len() + body.len() < PAGE)
        {
            put_int(&mut body, e.timestamp_ms.wrapping_sub(before));
            before = e.timestamp_ms;
            put_float(&mut body, e.value);
            put_uint(&mut body, e.labels.len() as u64);
            for (name, value) in e.labels.iter() {
                put_bytes(&mut body, name.as_bytes());
                put_bytes(&mut body, value.as_bytes());
            }
            added += 1;
        }
        if self.raw.is_empty() {
            self.first = id;
            self.last = 0;
        }
        put_uint(&mut self.raw, id - self.last);
        put_uint(&mut self.raw, added as u64);
        self.raw.append(&mut body);
        self.last = id;
        added
    }
    pub(super) fn is_full(&self) -> bool {
        self.raw.len() >= PAGE
    }
    /// Appends the page and starts the next one. `None` when there is nothing in it.
    pub(super) fn take(
        &mut self,
        into: &mut Vec<u8>,
        offset: u64,
        effort: Effort,
    ) -> Result<Option<PageEntry>> {
        if self.raw.is_empty() {
            return Ok(None);
        }
        let start = into.len();
        pack(into, &self.raw, effort)?;
        self.raw.clear();
        Ok(Some(PageEntry {
            first: self.first,
            last: self.last,
            offset,
            bytes: (into.len() - start) as u64,
        }))
    }
}

/// A page that was unpacked.
pub(super) struct Exemplars(Vec<u8>);

impl Page for Exemplars {
    fn size_bytes(&self) -> usize {
        self.0.capacity()
    }
}

impl Exemplars {
    pub(super) fn unpack(packed: &[u8]) -> Result<Self> {
        unpack(packed, MAX_PAGE).map(Self)
    }
    /// Appends the exemplars of a series whose times lie in a range.
    pub(super) fn read(
        &self,
        id: SeriesId,
        partition_ms: i64,
        range: (i64, i64),
        into: &mut Vec<Exemplar>,
    ) -> Result<()> {
        let (mut cursor, mut at) = (Cursor::new(&self.0), 0u64);
        while !cursor.is_empty() && at <= id {
            at = at
                .checked_add(cursor.uint()?)
                .ok_or_else(|| bad("a page of exemplars does not add up"))?;
            let mut time = partition_ms;
            for _ in 0..cursor.count(10)? {
                time = time.wrapping_add(cursor.int()?);
                let value = cursor.float()?;
                let (labels, mut builder) = (cursor.count(2)?, LabelsBuilder::default());
                let is_wanted = at == id && range.0 <= time && time <= range.1;
                for _ in 0..labels {
                    let (name, value) = (cursor.bytes()?, cursor.bytes()?);
                    if is_wanted {
                        builder.push(text(name)?, text(value)?);
                    }
                }
                if is_wanted {
                    into.push(Exemplar {
                        labels: builder.build(),
                        timestamp_ms: time,
                        value,
                    });
                }
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| bad("a label of an exemplar is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, id in 0u64..10) {
            let _ = Exemplars::unpack(&bytes);
            let _ = Exemplars(bytes).read(id, 0, (i64::MIN, i64::MAX), &mut Vec::new());
        }
    }
}
