//! The index of a segment: where its pages lie and what each begins with. Stays in memory while the segment is open.

use crate::bytes::{Cursor, bad, put_bytes, put_uint};
use crate::catalog::SeriesId;
use crate::catalog::ids::OFFSETS;
use crate::pack::{pack, unpack};
use model::Result;
use std::ops::Range;

/// Where a page lies in the section of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub offset: u64,
    pub len: u32,
    pub unpacked: u32,
}

impl Place {
    fn end(self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// A values page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValuesPlace {
    pub place: Place,
    /// Where the same bytes stand once more.
    pub copy: u64,
    /// The number of its first pair.
    pub first: u32,
    /// The name of its first pair, in the index's text.
    name: Range<u32>,
    /// See the format: what is not below it is in this page or a later one.
    separator: Range<u32>,
}

/// What the index says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub base: SeriesId,
    pub series: u64,
    /// The last series' offset.
    pub last: u32,
    /// The length of the list of all series.
    pub all_bytes: u32,
    pub pairs: u32,
    pub values: Vec<ValuesPlace>,
    pub postings: Vec<Place>,
    /// Each with its first offset.
    pub series_pages: Vec<(u32, Place)>,
    text: String,
}

impl Index {
    /// The index of a segment that has no page yet.
    pub(super) fn new(base: SeriesId, series: u64, last: u32) -> Self {
        Self {
            base,
            series,
            last,
            ..Self::default()
        }
    }
    /// Adds a values page after the ones before.
    pub(super) fn add_values(&mut self, place: Place, pairs: u32, name: &str, separator: &str) {
        let name = match self.values.last() {
            Some(last) if self.text_of(&last.name) == name => last.name.clone(),
            _ => self.append(name),
        };
        let separator = self.append(separator);
        self.values.push(ValuesPlace {
            place,
            copy: place.offset,
            first: self.pairs,
            name,
            separator,
        });
        self.pairs += pairs;
    }
    fn append(&mut self, text: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start..self.text.len() as u32
    }
    fn text_of(&self, range: &Range<u32>) -> &str {
        &self.text[range.start as usize..range.end as usize]
    }
    /// The name of the first pair of a values page.
    pub(super) fn first_name(&self, page: usize) -> Option<&str> {
        self.values.get(page).map(|p| self.text_of(&p.name))
    }
    /// The numbers of the pairs of a values page.
    pub(super) fn pairs_of(&self, page: usize) -> Range<u32> {
        let first = |at: usize| self.values.get(at).map_or(self.pairs, |p| p.first);
        first(page)..first(page + 1)
    }
    /// The values page in which a pair is, if it is in any.
    pub(super) fn values_page(&self, name: &str, value: &str) -> Option<usize> {
        let after = self
            .values
            .partition_point(|p| (self.text_of(&p.name), self.text_of(&p.separator)) <= (name, value));
        after.checked_sub(1)
    }
    /// The values page of a pair's number.
    pub(super) fn values_page_of(&self, number: u32) -> Option<usize> {
        let after = self.values.partition_point(|p| p.first <= number);
        after.checked_sub(1).filter(|_| number < self.pairs)
    }
    /// The series page in which an offset is, if it is in any, and where that page's offsets end.
    pub(super) fn series_page(&self, offset: u32) -> (usize, u32) {
        let after = self.series_pages.partition_point(|(first, _)| *first <= offset);
        let end = self.series_pages.get(after).map_or(u32::MAX, |(first, _)| *first);
        (after.saturating_sub(1), end)
    }
    pub(super) fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<ValuesPlace>()
            + self.postings.capacity() * size_of::<Place>()
            + self.series_pages.capacity() * size_of::<(u32, Place)>()
            + self.text.capacity()
    }

    /// The section's bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        put_uint(&mut bytes, self.base);
        put_uint(&mut bytes, self.series);
        put_uint(&mut bytes, u64::from(self.last));
        put_uint(&mut bytes, u64::from(self.all_bytes));
        let mut end = 0;
        put_uint(&mut bytes, self.values.len() as u64);
        for (at, page) in self.values.iter().enumerate() {
            put_place(&mut bytes, &mut end, page.place);
            let pairs = self.pairs_of(at);
            put_uint(&mut bytes, u64::from(pairs.end - pairs.start));
            put_bytes(&mut bytes, self.text_of(&page.name).as_bytes());
            put_bytes(&mut bytes, self.text_of(&page.separator).as_bytes());
            put_uint(&mut bytes, page.copy - page.place.offset);
        }
        end = 0;
        put_uint(&mut bytes, self.postings.len() as u64);
        for place in &self.postings {
            put_place(&mut bytes, &mut end, *place);
        }
        let (mut end, mut before) = (0, 0);
        put_uint(&mut bytes, self.series_pages.len() as u64);
        for (first, place) in &self.series_pages {
            put_place(&mut bytes, &mut end, *place);
            put_uint(&mut bytes, u64::from(first - before));
            before = *first;
        }
        pack(&bytes)
    }
    /// Reads the section.
    pub(super) fn decode(packed: &[u8]) -> Result<Self> {
        let bytes = unpack(packed)?;
        let mut cursor = Cursor::new(&bytes);
        let mut index = Self {
            base: cursor.uint()?,
            series: cursor.uint()?,
            last: cursor.u32()?,
            all_bytes: cursor.u32()?,
            ..Self::default()
        };
        let is_sound = u64::from(index.last) < OFFSETS
            && index.series <= u64::from(index.last) + 1
            && index.base.checked_add(OFFSETS).is_some();
        if !is_sound {
            return Err(bad("its ids do not add up"));
        }
        index.decode_values(&mut cursor)?;
        let mut end = 0;
        for _ in 0..cursor.count(3)? {
            index.postings.push(take_place(&mut cursor, &mut end)?);
        }
        let full = |p: &Place| p.unpacked as usize == super::POSTINGS_PAGE;
        if !index
            .postings
            .split_last()
            .is_none_or(|(_, others)| others.iter().all(full))
        {
            return Err(bad("a page of postings is not full"));
        }
        end = 0;
        for at in 0..cursor.count(4)? {
            let place = take_place(&mut cursor, &mut end)?;
            let before = index.series_pages.last().map_or(0, |(first, _)| *first);
            let more = cursor.u32()?;
            let first = before.checked_add(more).filter(|_| more > 0 || at == 0);
            let first = first.ok_or_else(|| bad("series pages are out of order"))?;
            index.series_pages.push((first, place));
        }
        match cursor.is_empty() {
            true => Ok(index),
            false => Err(bad("there is something after the index")),
        }
    }
    fn decode_values(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let mut end = 0;
        for at in 0..cursor.count(7)? {
            let place = take_place(cursor, &mut end)?;
            let pairs = cursor.u32()?;
            let (name, separator) = (cursor.text()?, cursor.text()?);
            let before = at.checked_sub(1).and_then(|at| self.values.get(at));
            let is_above = before
                .is_none_or(|p| (self.text_of(&p.name), self.text_of(&p.separator)) < (name, separator));
            if pairs == 0 || self.pairs.checked_add(pairs).is_none() || !is_above {
                return Err(bad("values pages are out of order"));
            }
            self.add_values(place, pairs, name, separator);
            let behind = cursor.uint()?;
            let copy = place.offset.checked_add(behind);
            self.values[at].copy = copy.ok_or_else(|| bad("a page lies too far"))?;
        }
        Ok(())
    }
}

fn put_place(into: &mut Vec<u8>, end: &mut u64, place: Place) {
    put_uint(into, place.offset - *end);
    put_uint(into, u64::from(place.len));
    put_uint(into, u64::from(place.unpacked));
    *end = place.end();
}

fn take_place(cursor: &mut Cursor<'_>, end: &mut u64) -> Result<Place> {
    let skipped = cursor.uint()?;
    let offset = end.checked_add(skipped).filter(|o| *o <= u64::MAX >> 1);
    let place = Place {
        offset: offset.ok_or_else(|| bad("a page lies too far"))?,
        len: cursor.u32()?,
        unpacked: cursor.u32()?,
    };
    *end = place.end();
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> Index {
        let place = |offset: u64| Place {
            offset,
            len: 10,
            unpacked: 20,
        };
        let full_page = Place {
            unpacked: 32 << 10,
            ..place(10)
        };
        let mut index = Index {
            base: 17,
            series: 3,
            last: 9,
            all_bytes: 2,
            postings: vec![full_page, place(40)],
            series_pages: vec![(0, place(50)), (7, place(60))],
            ..Index::default()
        };
        index.add_values(place(0), 3, "a", "");
        index.add_values(place(20), 2, "a", "x");
        index.add_values(place(30), 4, "b", "");
        index.values[1].copy = 70;
        index
    }

    #[test]
    fn an_index_comes_back_and_finds_pages() {
        let index = Index::decode(&index().encode().unwrap()).unwrap();
        assert_eq!(index, self::index());
        let page = |name: &str, value: &str| index.values_page(name, value);
        assert_eq!([page("", "x"), page("a", "")], [None, Some(0)]);
        assert_eq!([page("a", "w"), page("a", "x")], [Some(0), Some(1)]);
        assert_eq!([page("aa", ""), page("c", "")], [Some(1), Some(2)]);
        let of = |number: u32| index.values_page_of(number);
        assert_eq!([of(2), of(3), of(8), of(9)], [Some(0), Some(1), Some(2), None]);
        assert_eq!(
            (index.series_page(6), index.series_page(8)),
            ((0, 7), (1, u32::MAX))
        );
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = Index::decode(&bytes);
            let _ = Index::decode(&pack(&bytes).unwrap());
        }
        #[test]
        fn flipped_bytes_are_an_error_or_an_index(at: usize, with in 1u8..=255) {
            let mut bytes = unpack(&index().encode().unwrap()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= with;
            let _ = Index::decode(&pack(&bytes).unwrap());
        }
    }
}
