//! Logs and spans on disk: columnar parts, tantivy for words and labels, blooms for ids.
//!
//! [`LogStore`] and [`TraceStore`] take batches through the write door and answer scans through the read door.
//! Both work alike: a batch goes through the write-ahead log into the head of its tenant; a flush writes the head
//! to immutable parts, one for each day, and the manifest names them; merges make few large parts of many small
//! ones; retention removes parts whose time is over. A part is made of compressed blocks. For each *block* (never
//! for each line or span) a tantivy document says which labels and words occur in it, and a bloom filter says
//! which ids may: a query reads only blocks that may hold an answer, and checks every row.
//!
//! Nothing here looks at the clock or at files by itself, and nothing starts a thread but the log's committer.
//! The formats are described in `docs/formats/eventdb.md`.

mod bloom;
mod cache;
mod codec;
mod engine;
mod limit;
mod logs;
pub mod metrics;
mod options;
mod tokens;
mod traces;
mod words;

pub use logs::{CUT_MARK, LogStore};
pub use options::{Options, Stats};
pub use traces::TraceStore;
