//! Segments of the catalog: immutable files of series, their labels and postings.
//!
//! `docs/formats/catalog.md` draws the pages. Only the index of pages stays in memory; pages are read as they are
//! wanted and kept in the cache.

mod index;
mod read;
mod series;
mod values;
mod write;

pub(super) use read::Segment;
pub(super) use write::SegmentWriter;

use crate::catalog::ids::Ids;
use storage::PartKind;

/// The kind and version of segment files.
pub(crate) const KIND: PartKind = PartKind {
    tag: *b"CATL",
    version: 1,
};
const PAGES: &str = "pages";
const INDEX: &str = "index";
const INDEX_COPY: &str = "index_copy";
/// What the stream of postings is cut into.
const POSTINGS_PAGE: usize = 32 << 10;
/// The most that a page may unpack to; only one that holds a single monstrous label set comes near.
const MAX_PAGE: usize = 32 << 20;

/// How many elements two lists have in common at their start.
fn common_prefix<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// One piece of a segment as it stands unpacked, for `crate::fuzz`.
pub(crate) fn fuzz_page(kind: u8, data: &[u8]) {
    match kind {
        1 => {
            let packed = crate::pack::pack(data).expect("bytes in memory can be packed");
            if let Ok(read) = index::Index::decode(&packed) {
                let again = read.encode().expect("what was read can be packed");
                assert!(index::Index::decode(&again).expect("what we write can be read") == read);
            }
        }
        2 => {
            let Some((pairs, page)) = data.split_first() else {
                return;
            };
            let Ok(page) = values::ValuesPage::parse(page, u32::from(*pairs)) else {
                return;
            };
            for at in 0..page.len() {
                let (name, value) = (page.name(at), page.value(at));
                assert_eq!(page.find(name, value), Some(at));
                page.pair(at, 0);
            }
        }
        3 => {
            let Ok(page) = series::SeriesPage::parse(data.to_vec()) else {
                return;
            };
            for ids in [None, Some(Ids::from_sorted([0, 4, 5, 400]))] {
                let _ = page.series(ids.as_ref(), &mut |series| {
                    assert!(
                        ids.as_ref()
                            .is_none_or(|ids| ids.iter().any(|id| id == series.offset))
                    );
                    Ok(())
                });
            }
        }
        _ => {
            if let Ok(ids) = Ids::decode(data) {
                let mut again = Vec::new();
                ids.encode(&mut again);
                let again = Ids::decode(&again).expect("what we write can be read");
                assert_eq!(again.runs(), ids.runs());
            }
        }
    }
}
