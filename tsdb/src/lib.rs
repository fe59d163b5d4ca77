//! Metrics on disk: head, parts, postings, retention.
//!
//! [`Store`] implements the write door for [`model::Metrics`] and the read door for [`model::SeriesData`]. Each
//! tenant has a log, a head in memory and part files named by a manifest; `docs/formats/tsdb.md` describes the log
//! record and the sections of a part. Nothing here looks at a clock or starts work by itself: the program calls
//! [`Store::maintain`] every second or so.

mod bytes;
mod chunk;
mod columns;
mod head;
mod histogram;
pub mod metrics;
mod options;
mod part;
mod record;
mod select;
mod store;
mod tenant;
mod validate;

pub use options::{Options, Stats};
pub use store::Store;
