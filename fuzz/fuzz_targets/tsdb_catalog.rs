//! The catalog: segments and their pages.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::catalog(data));
