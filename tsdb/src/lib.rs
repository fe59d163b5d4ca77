//! Metrics on disk: head, parts, catalog, retention.
//!
//! [`Store`] implements the write doors for [`model::Metrics`] and [`model::RawMetrics`] and the read door for
//! [`model::SeriesData`]. Each tenant has a log, a directory of active series, a head in memory, a catalog of labels and
//! part files of samples named by a manifest; `docs/formats/tsdb.md` describes the log record and points to the others.
//! Nothing here looks at a clock or starts work by itself: the program calls [`Store::maintain`] every second or so, and
//! [`Store::merge`] beside it.
//!
//! Days that are over are rolled up to windows (`rollup`, `tenant/rollup`), which stay when the samples go.
//!
//! The way of a sample: `tenant/intake` finds its series, `record` writes the batch to the log, `head` takes it,
//! `tenant/flush` writes it to a file of `samples`, `tenant/merge` makes larger ones, `tenant/scan` reads them all.

mod bytes;
mod cache;
mod catalog;
mod codec;
mod directory;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod idset;
pub mod metrics;
mod options;
mod pack;
mod record;
mod rollup;
mod samples;
mod store;
mod tenant;
mod tombstones;
mod validate;

pub use catalog::Cardinality;
pub use options::{Options, RetentionRule, Rollup, Stats};
pub use store::Store;
