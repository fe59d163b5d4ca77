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

use storage::PartKind;

/// The kind and version of segment files.
pub(super) const KIND: PartKind = PartKind {
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
