//! Tombstones: which series are deleted.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::tombstone(data));
