//! Bytes on disk: file systems real and faulty, the write-ahead log, checksummed part files, manifests.
//!
//! A store is built from these pieces: [`Log`] (through [`GroupCommit`]) makes a write durable before it is
//! acknowledged, immutable part files ([`PartWriter`], [`PartReader`]) hold what was flushed out of memory, and
//! a [`Manifest`] names the parts that count and the log position from which to replay. [`DataDir`] guards the
//! directory, [`layout`] says where each file lives. The formats are described in `docs/formats/`.

pub mod data_dir;
pub mod faulty_fs;
pub mod layout;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod part;
pub mod real_fs;
pub mod rng;
pub mod sequences;
pub mod snapshot;
pub mod verify;

pub use data_dir::DataDir;
pub use faulty_fs::FaultyFs;
pub use layout::StoreName;
pub use log::{
    Commit, CommitOptions, Damage, Durability, GroupCommit, Log, LogOptions, Position, Record, Replay, Span,
};
pub use manifest::{Manifest, PartEntry};
pub use metrics::LogMetrics;
pub use part::{PartKind, PartReader, PartWriter};
pub use real_fs::RealFs;
pub use rng::Rng;
pub use sequences::Sequences;
pub use snapshot::{Snapshots, StoreSnapshot, Taken};
