//! The targets of `tsdb`, which has a door for them. Its tests include this file, and run it over the kept seeds.

use tsdb::fuzz;

/// A target's name, which is that of its folder in `corpus` too, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets by name.
pub const TARGETS: &[Target] = &[
    ("tsdb_catalog", fuzz::catalog),
    ("tsdb_codec", fuzz::codec),
    ("tsdb_record", fuzz::record),
    ("tsdb_samples", fuzz::samples),
    ("tsdb_tombstone", fuzz::tombstone),
];
