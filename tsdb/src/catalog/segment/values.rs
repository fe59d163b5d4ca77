//! Values pages: pairs by name and value, front-coded, each with the place of its list.

use crate::bytes::{Cursor, bad, put_bytes, put_uint};
use crate::cache::Page;
use crate::catalog::source::Pair;
use model::Result;

/// A page is full when it has so many bytes, …
const MAX_CODED: usize = 16 << 10;
/// … or when its values have so many bytes once they are written out.
const MAX_WRITTEN_OUT: usize = 64 << 10;
/// The most that the values of one page may take when written out; only a page of one pair comes near.
const LIMIT_WRITTEN_OUT: usize = super::MAX_PAGE;

/// Gathers the pairs of a page.
#[derive(Default)]
pub(super) struct ValuesBuilder {
    /// Finished groups.
    coded: Vec<u8>,
    /// The entries of the group that is not finished.
    group: Vec<u8>,
    group_pairs: u64,
    name: String,
    value: String,
    first: Option<(String, String, u64)>,
    pairs: u32,
    written_out: usize,
}

/// A page that is done, with what the index says of it.
pub(super) struct ValuesPageDone {
    pub bytes: Vec<u8>,
    pub pairs: u32,
    pub first_name: String,
    pub first_value: String,
    pub last_name: String,
    pub last_value: String,
}

impl ValuesBuilder {
    /// Adds a pair above the ones before; its list starts where the one before ends.
    pub(super) fn push(&mut self, name: &str, value: &str, series: u64, list_at: u64, list_bytes: u32) {
        if self.first.is_none() {
            self.first = Some((name.to_owned(), value.to_owned(), list_at));
        }
        if self.name != name || self.pairs == 0 {
            self.end_group();
            name.clone_into(&mut self.name);
            self.value.clear();
        }
        let shared = super::common_prefix(self.value.as_bytes(), value.as_bytes());
        put_uint(&mut self.group, shared as u64);
        put_bytes(&mut self.group, &value.as_bytes()[shared..]);
        put_uint(&mut self.group, series);
        put_uint(&mut self.group, u64::from(list_bytes));
        value.clone_into(&mut self.value);
        self.group_pairs += 1;
        self.pairs += 1;
        self.written_out += value.len();
    }
    pub(super) fn is_full(&self) -> bool {
        self.coded.len() + self.group.len() >= MAX_CODED || self.written_out >= MAX_WRITTEN_OUT
    }
    /// The page, when there is a pair in it; the builder starts the next one.
    pub(super) fn take(&mut self) -> Option<ValuesPageDone> {
        self.end_group();
        let done = std::mem::take(self);
        let (first_name, first_value, list_at) = done.first?;
        let mut bytes = Vec::with_capacity(done.coded.len() + 10);
        put_uint(&mut bytes, list_at);
        bytes.extend_from_slice(&done.coded);
        Some(ValuesPageDone {
            bytes,
            pairs: done.pairs,
            first_name,
            first_value,
            last_name: done.name,
            last_value: done.value,
        })
    }

    fn end_group(&mut self) {
        if self.group_pairs > 0 {
            put_bytes(&mut self.coded, self.name.as_bytes());
            put_uint(&mut self.coded, self.group_pairs);
            self.coded.append(&mut self.group);
            self.group_pairs = 0;
        }
    }
}

/// A page in memory, its values written out.
#[derive(Debug)]
pub(super) struct ValuesPage {
    names: Vec<(Box<str>, u32)>,
    text: String,
    entries: Vec<Entry>,
    lists_start: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    text_end: u32,
    series: u32,
    /// From the page's first list.
    list_end: u32,
}

impl Page for ValuesPage {
    fn size_bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|(name, _)| name.len() + 24).sum();
        names + self.text.capacity() + self.entries.capacity() * size_of::<Entry>() + 96
    }
}

impl ValuesPage {
    /// Reads a page that must hold so many pairs.
    pub(super) fn parse(bytes: &[u8], pairs: u32) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let lists_start = cursor.uint()?;
        let (mut names, mut values) = (Vec::new(), Vec::with_capacity(bytes.len()));
        let mut entries: Vec<Entry> = Vec::new();
        let mut list_end = 0u32;
        while !cursor.is_empty() {
            let name = cursor.text()?;
            let last: Option<&(Box<str>, u32)> = names.last();
            if last.is_some_and(|(last, _)| &**last >= name) {
                return Err(bad("label names are out of order"));
            }
            let count = cursor.count(4)?;
            let mut before = values.len()..values.len();
            for at in 0..count {
                let shared = cursor.u32()? as usize;
                let rest = cursor.bytes()?;
                if shared > before.len() {
                    return Err(bad("a value shares more than there is"));
                }
                let start = values.len();
                values.extend_from_within(before.start..before.start + shared);
                values.extend_from_slice(rest);
                if values.len() > LIMIT_WRITTEN_OUT {
                    return Err(bad("the values of a page are too large"));
                }
                if at > 0 && values[before] >= values[start..] {
                    return Err(bad("values are out of order"));
                }
                before = start..values.len();
                let series = cursor.u32()?;
                list_end = list_end
                    .checked_add(cursor.u32()?)
                    .ok_or_else(|| bad("a list is too long"))?;
                entries.push(Entry {
                    text_end: values.len() as u32,
                    series,
                    list_end,
                });
            }
            names.push((name.into(), entries.len() as u32));
        }
        if entries.len() != pairs as usize {
            return Err(bad("a page has another number of pairs than the index says"));
        }
        let text = String::from_utf8(values).map_err(|_| bad("a value is not UTF-8"))?;
        let page = Self {
            names,
            text,
            entries,
            lists_start,
        };
        if (0..pairs).any(|at| {
            !page
                .text
                .is_char_boundary(page.entries[at as usize].text_end as usize)
        }) {
            return Err(bad("a value is not UTF-8"));
        }
        Ok(page)
    }
    /// How many pairs.
    pub(super) fn len(&self) -> u32 {
        self.entries.len() as u32
    }
    /// The value of the pair at a place.
    pub(super) fn value(&self, at: u32) -> &str {
        let at = at as usize;
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.entries[before].text_end);
        &self.text[start as usize..self.entries[at].text_end as usize]
    }
    /// The name of the pair at a place.
    pub(super) fn name(&self, at: u32) -> &str {
        let group = self.names.partition_point(|(_, end)| *end <= at);
        &self.names[group].0
    }
    /// The names, each with the end of its pairs.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.names.iter().map(|(name, end)| (&**name, *end))
    }
    /// The pair at a place; `first` is the number of the page's first pair.
    pub(super) fn pair(&self, at: u32, first: u32) -> Pair {
        let entry = self.entries[at as usize];
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.entries[before as usize].list_end);
        Pair {
            number: first + at,
            series: u64::from(entry.series),
            list_at: self.lists_start.saturating_add(u64::from(start)),
            list_bytes: entry.list_end - start,
        }
    }
    /// The first place whose pair is not below this one.
    pub(super) fn lower_bound(&self, name: &str, value: &str) -> u32 {
        let group = self.names.partition_point(|(n, _)| &**n < name);
        let start = group.checked_sub(1).map_or(0, |before| self.names[before].1);
        let Some((found, end)) = self.names.get(group) else {
            return self.len();
        };
        if **found != *name {
            return start;
        }
        let (mut low, mut high) = (start, *end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.value(middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
    /// The place of a pair.
    pub(super) fn find(&self, name: &str, value: &str) -> Option<u32> {
        let at = self.lower_bound(name, value);
        (at < self.len() && self.name(at) == name && self.value(at) == value).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page_of(pairs: &[(String, String)]) -> Vec<u8> {
        let mut builder = ValuesBuilder::default();
        for (i, (name, value)) in pairs.iter().enumerate() {
            builder.push(name, value, i as u64 + 1, 100 + 3 * i as u64, 3);
        }
        builder.take().map_or_else(Vec::new, |done| done.bytes)
    }

    proptest! {
        #[test]
        fn pairs_come_back(pairs in prop::collection::btree_set(("[ab]{1,2}", "[xyü]{1,6}"), 1..60), probe in ("[abc]{1,2}", "[xyzü]{0,5}")) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let page = ValuesPage::parse(&page_of(&pairs), pairs.len() as u32).unwrap();
            for (at, (name, value)) in pairs.iter().enumerate() {
                let at = at as u32;
                prop_assert_eq!((page.name(at), page.value(at)), (name.as_str(), value.as_str()));
                prop_assert_eq!(page.find(name, value), Some(at));
                let pair = page.pair(at, 1000);
                let expected = Pair { number: 1000 + at, series: u64::from(at) + 1, list_at: 100 + 3 * u64::from(at), list_bytes: 3 };
                prop_assert_eq!(pair, expected);
            }
            let expected = pairs.partition_point(|pair| *pair < probe);
            prop_assert_eq!(page.lower_bound(&probe.0, &probe.1) as usize, expected);
            prop_assert_eq!(page.find(&probe.0, &probe.1).is_some(), pairs.contains(&probe));
        }
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>, pairs in 0u32..5) {
            look_at(&bytes, pairs);
        }
        #[test]
        fn flipped_bytes_are_an_error_or_a_page(
            pairs in prop::collection::btree_set(("[ab]{1,2}", "[xyü]{1,6}"), 1..20), at: usize, with in 1u8..=255
        ) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let mut bytes = page_of(&pairs);
            let at = at % bytes.len();
            bytes[at] ^= with;
            look_at(&bytes, pairs.len() as u32);
        }
    }

    fn look_at(bytes: &[u8], pairs: u32) {
        if let Ok(page) = ValuesPage::parse(bytes, pairs) {
            for at in 0..page.len() {
                let _ = (
                    page.name(at),
                    page.value(at),
                    page.pair(at, 0),
                    page.find("a", "x"),
                );
            }
        }
    }
}
