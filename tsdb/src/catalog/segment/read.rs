//! Reading a segment, page by page through the cache.

use super::index::{Index, Place};
use super::series::SeriesPage;
use super::values::ValuesPage;
use super::{INDEX, INDEX_COPY, KIND, MAX_PAGE, PAGES, POSTINGS_PAGE};
use crate::bytes::bad;
use crate::cache::{Cache, Page, PageKey};
use crate::catalog::ids::Ids;
use crate::catalog::source::{Damage, Name, Pair, PairText, SeriesRef, Source};
use crate::catalog::{SegmentEntry, SeriesId};
use crate::pack::unpack_frame;
use model::{Error, ErrorKind, Fs, Result};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{PartReader, layout};

/// The kinds of pages, as sections of the cache's keys.
const VALUES: u32 = 0;
const POSTINGS: u32 = 1;
const SERIES: u32 = 2;
const KINDS: [&str; 3] = ["values", "postings", "series"];

/// An open segment.
pub(in crate::catalog) struct Segment {
    entry: SegmentEntry,
    /// An error when the index is damaged: then everything that needs the segment fails with it.
    opened: Result<Arc<Opened>>,
    cache: Arc<Cache>,
    file: u64,
    damaged: AtomicBool,
}

struct Opened {
    reader: PartReader,
    index: Index,
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cache.forget_file(self.file);
    }
}

impl Segment {
    /// Opens a segment. A damaged one is opened too, and says so when it is used.
    pub(in crate::catalog) fn open(
        fs: &dyn Fs,
        store_dir: &Path,
        entry: &SegmentEntry,
        cache: Arc<Cache>,
    ) -> Result<Self> {
        let opened = match Opened::open(fs, &layout::part_file(store_dir, entry.id), entry) {
            Err(e) if e.kind() != ErrorKind::Corrupt => return Err(e),
            opened => opened.map(Arc::new),
        };
        Ok(Self {
            entry: entry.clone(),
            damaged: AtomicBool::new(opened.is_err()),
            opened,
            file: cache.new_file(),
            cache,
        })
    }
    /// The same segment, read through another cache.
    pub(in crate::catalog) fn through(&self, cache: &Arc<Cache>) -> Self {
        Self {
            entry: self.entry.clone(),
            opened: self.opened.clone(),
            damaged: AtomicBool::new(false),
            file: cache.new_file(),
            cache: cache.clone(),
        }
    }
    pub(in crate::catalog) fn entry(&self) -> &SegmentEntry {
        &self.entry
    }
    /// Memory taken while it is open, cached pages apart.
    pub(in crate::catalog) fn size_bytes(&self) -> usize {
        let crcs = self.entry.size_bytes as usize / 4096;
        self.opened
            .as_ref()
            .map_or(0, |o| size_of::<Self>() + o.index.size_bytes() + crcs)
    }
    /// Why the segment can't be used at all, if that is so.
    pub(in crate::catalog) fn error(&self) -> Option<&Error> {
        self.opened.as_ref().err()
    }
    /// Leaves the segment out of merges from now on, so that no series is lost that could still be mended.
    pub(in crate::catalog) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }
    pub(in crate::catalog) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
    /// The offset of an id that could be here.
    pub(in crate::catalog) fn offset_of(&self, id: SeriesId) -> Option<u32> {
        let meta = &self.entry.meta;
        let here = (meta.first_id..=meta.last_id).contains(&id);
        here.then(|| u32::try_from(id - meta.first_id).ok()).flatten()
    }
    /// Whether a series is here.
    pub(in crate::catalog) fn contains(&self, id: SeriesId) -> Result<bool> {
        let mut found = false;
        if let Some(offset) = self.offset_of(id) {
            self.series(Some(&Ids::from_sorted([offset])), Damage::default(), &mut |_| {
                found = true;
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Reads and checks every page.
    pub(in crate::catalog) fn verify(&self) -> Result<()> {
        self.opened()?.reader.verify()?;
        let cache = Arc::new(Cache::new(1 << 20));
        let fresh = self.through(&cache);
        let index = fresh.index()?;
        (0..index.values.len()).try_for_each(|page| fresh.values_page(page).map(|_| ()))?;
        fresh.series(None, Damage::default(), &mut |_| Ok(()))
    }

    fn opened(&self) -> Result<&Opened> {
        self.opened.as_deref().map_err(Clone::clone)
    }
    fn index(&self) -> Result<&Index> {
        Ok(&self.opened()?.index)
    }
    fn page<P: Page>(
        &self,
        kind: u32,
        page: usize,
        place: Place,
        parse: impl FnOnce(Vec<u8>) -> Result<P>,
    ) -> Result<Arc<P>> {
        let key = PageKey {
            file: self.file,
            section: kind,
            page: page as u32,
        };
        self.cache
            .get_or_load(key, || self.opened()?.load(kind, page, place, parse))
    }
    fn values_page(&self, page: usize) -> Result<Arc<ValuesPage>> {
        let opened = self.opened()?;
        let key = PageKey {
            file: self.file,
            section: VALUES,
            page: page as u32,
        };
        self.cache.get_or_load(key, || {
            opened
                .load_values(page, false)
                .or_else(|e| match opened.load_values(page, true) {
                    Ok(copy) if e.kind() == ErrorKind::Corrupt => {
                        tracing::error!(error = %e, "a copy of the page is read instead");
                        Ok(copy)
                    }
                    _ => Err(e),
                })
        })
    }
    /// The number of the first pair that is not below this one.
    fn lower_bound(&self, name: &str, value: &str) -> Result<u32> {
        let index = self.index()?;
        match index.values_page(name, value) {
            None => Ok(0),
            Some(page) => Ok(index.pairs_of(page).start + self.values_page(page)?.lower_bound(name, value)),
        }
    }
    fn read_list(&self, at: u64, len: u32) -> Result<Ids> {
        let index = self.index()?;
        let page_of = |at: u64| (at / POSTINGS_PAGE as u64) as usize;
        let (first, from) = (page_of(at), (at % POSTINGS_PAGE as u64) as usize);
        let load = |page: usize| {
            let place = index
                .postings
                .get(page)
                .ok_or_else(|| bad("a list lies outside"))
                .map_err(|e| self.named(POSTINGS, page, e))?;
            self.page(POSTINGS, page, *place, Ok)
        };
        let decode = |bytes: &[u8]| {
            let ids = Ids::decode(bytes).and_then(|ids| {
                // A damaged run may say billions, and each of them would be asked for.
                let fits = ids.len() <= index.series && ids.last().is_none_or(|last| last <= index.last);
                fits.then_some(ids)
                    .ok_or_else(|| bad("a list has series that the segment lacks"))
            });
            ids.map_err(|e| self.named(POSTINGS, first, e))
        };
        if len == 0 {
            return Ok(Ids::default());
        }
        let page = load(first)?;
        if let Some(list) = page.get(from..from + len as usize) {
            return decode(list);
        }
        // Only as many bytes as there are pages for: a damaged length asks for no memory.
        let mut list = page.get(from..).unwrap_or_default().to_vec();
        for page in first + 1.. {
            let left = len as usize - list.len();
            if left == 0 {
                break;
            }
            let page = load(page)?;
            list.extend_from_slice(&page[..left.min(page.len())]);
        }
        decode(&list)
    }
    fn named(&self, kind: u32, page: usize, e: Error) -> Error {
        match &self.opened {
            Ok(opened) => opened.named(kind, page, e),
            Err(_) => e,
        }
    }
}

impl Opened {
    fn open(fs: &dyn Fs, path: &Path, entry: &SegmentEntry) -> Result<Self> {
        let reader = PartReader::open(fs, path, KIND)?;
        let named = |e: Error| e.within(format_args!("{}: section {INDEX:?}", path.display()));
        let decode = |section: &str| Index::decode(&reader.read(section)?).map_err(named);
        let index = decode(INDEX).or_else(|e| match decode(INDEX_COPY) {
            Ok(copy) if e.kind() == ErrorKind::Corrupt => {
                tracing::error!(error = %e, "a copy of the index is read instead");
                Ok(copy)
            }
            _ => Err(e),
        })?;
        let meta = &entry.meta;
        let agrees = index.base == meta.first_id
            && index.base.checked_add(u64::from(index.last)) == Some(meta.last_id)
            && index.series == meta.series;
        if !agrees {
            return Err(named(bad("it is not the segment that the manifest names")));
        }
        Ok(Self { reader, index })
    }
    fn load<P>(
        &self,
        kind: u32,
        page: usize,
        place: Place,
        parse: impl FnOnce(Vec<u8>) -> Result<P>,
    ) -> Result<P> {
        let packed = self
            .reader
            .read_range(PAGES, place.offset, u64::from(place.len))
            .map_err(|e| e.within(format_args!("{} page {page}", KINDS[kind as usize])))?;
        let parsed = unpack_page(&packed, place.unpacked as usize).and_then(parse);
        parsed.map_err(|e| self.named(kind, page, e))
    }
    /// A values page, or the copy of it: without its values a series has no labels, and many need the same few.
    fn load_values(&self, page: usize, copy: bool) -> Result<ValuesPage> {
        let (place, pairs) = (&self.index.values[page], self.index.pairs_of(page));
        let place = match copy {
            false => place.place,
            true => Place {
                offset: place.copy,
                ..place.place
            },
        };
        self.load(VALUES, page, place, |bytes| {
            ValuesPage::parse(&bytes, pairs.end - pairs.start)
        })
    }
    fn named(&self, kind: u32, page: usize, e: Error) -> Error {
        let place = format!(
            "{}: section {PAGES:?}, {} page {page}",
            self.reader.path().display(),
            KINDS[kind as usize]
        );
        e.within(place)
    }
}

fn unpack_page(packed: &[u8], unpacked: usize) -> Result<Vec<u8>> {
    if unpacked > MAX_PAGE {
        return Err(bad("a page is too large"));
    }
    unpack_frame(packed, unpacked)
}

impl Source for Segment {
    fn base(&self) -> SeriesId {
        self.entry.meta.first_id
    }
    fn all(&self) -> Result<Ids> {
        self.read_list(0, self.index()?.all_bytes)
    }
    fn pairs(&self) -> u32 {
        self.opened.as_ref().map_or(0, |o| o.index.pairs)
    }
    fn sorted_pairs(&self) -> Option<Vec<u32>> {
        None
    }
    fn pair(&self, number: u32, text: &mut PairText) -> Result<Pair> {
        let index = self.index()?;
        let Some(at) = index.values_page_of(number) else {
            let path = self.opened()?.reader.path();
            return Err(bad(&format!("{}: there is no pair {number}", path.display())));
        };
        let first = index.pairs_of(at).start;
        let page = self.values_page(at)?;
        text.set(page.name(number - first), page.value(number - first));
        Ok(page.pair(number - first, first))
    }
    fn find_pair(&self, name: &str, value: &str) -> Result<Option<Pair>> {
        let index = self.index()?;
        let Some(at) = index.values_page(name, value) else {
            return Ok(None);
        };
        let page = self.values_page(at)?;
        let first = index.pairs_of(at).start;
        Ok(page.find(name, value).map(|place| page.pair(place, first)))
    }
    fn name(&self, name: &str) -> Result<Option<Name>> {
        let start = self.lower_bound(name, "")?;
        // The first name above this one in the order of bytes.
        let end = self.lower_bound(&format!("{name}\0"), "")?;
        Ok((start < end).then_some(Name { start, end }))
    }
    fn names(&self, damage: Damage<'_>) -> Result<Vec<(String, Name)>> {
        let index = match self.index() {
            Ok(index) => index,
            Err(e) => return damage.note(e).map(|()| Vec::new()),
        };
        let mut names: Vec<(String, Name)> = Vec::new();
        let mut add = |name: &str, start: u32, end: u32| match names.last_mut() {
            Some((last, place)) if last == name && place.end == start => place.end = end,
            _ => names.push((name.to_owned(), Name { start, end })),
        };
        for at in 0..index.values.len() {
            let pairs = index.pairs_of(at);
            match index.first_name(at) {
                // Nothing but one name, so the page need not be read.
                Some(name) if index.first_name(at + 1) == Some(name) => add(name, pairs.start, pairs.end),
                _ => match self.values_page(at) {
                    Ok(page) => {
                        let mut start = pairs.start;
                        for (name, end) in page.names() {
                            add(name, start, pairs.start + end);
                            start = pairs.start + end;
                        }
                    }
                    Err(e) => damage.note(e)?,
                },
            }
        }
        Ok(names)
    }
    fn scan(
        &self,
        name: &str,
        prefix: &str,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(&str, Pair) -> Result<()>,
    ) -> Result<()> {
        let index = self.index()?;
        for at in index.values_page(name, prefix).unwrap_or(0)..index.values.len() {
            damage.check()?;
            if index.first_name(at).is_some_and(|first| first > name) {
                break;
            }
            let page = match self.values_page(at) {
                Ok(page) => page,
                Err(e) => {
                    damage.note(e)?;
                    continue;
                }
            };
            let first = index.pairs_of(at).start;
            for place in page.lower_bound(name, prefix)..page.len() {
                let value = page.value(place);
                if !value.starts_with(prefix) || page.name(place) != name {
                    return Ok(());
                }
                visit(value, page.pair(place, first))?;
            }
        }
        Ok(())
    }
    fn pair_of(&self, pairs: &[u32], name: Name) -> Option<u32> {
        let at = pairs.partition_point(|pair| *pair < name.start);
        pairs.get(at).copied().filter(|pair| *pair < name.end)
    }
    fn list(&self, pair: &Pair) -> Result<Ids> {
        self.read_list(pair.list_at, pair.list_bytes)
    }
    fn series(
        &self,
        ids: Option<&Ids>,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(SeriesRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let index = match self.index() {
            Ok(index) => index,
            Err(e) => return damage.note(e),
        };
        let first_wanted = |from: u32| match ids {
            None => (from <= index.last).then_some(from),
            Some(ids) => ids.within(from..u32::MAX).first(),
        };
        let mut from = 0;
        while let Some(offset) = first_wanted(from) {
            let (at, end) = index.series_page(offset);
            let Some((_, place)) = index.series_pages.get(at) else {
                return Ok(());
            };
            damage.check()?;
            let wanted = ids.map(|ids| ids.within(offset..end));
            // What the visitor says is not about this page.
            let stopped = Cell::new(false);
            let mut visit = |series: SeriesRef<'_>| visit(series).inspect_err(|_| stopped.set(true));
            let read = self.page(SERIES, at, *place, SeriesPage::parse).and_then(|page| {
                let read = page.series(wanted.as_ref(), &mut visit);
                read.map_err(|e| {
                    if stopped.get() {
                        e
                    } else {
                        self.named(SERIES, at, e)
                    }
                })
            });
            match read {
                Err(e) if stopped.get() => return Err(e),
                Err(e) => damage.note(e)?,
                Ok(()) => {}
            }
            if end == u32::MAX {
                return Ok(());
            }
            from = end;
        }
        Ok(())
    }
}
