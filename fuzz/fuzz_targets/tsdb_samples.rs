//! Files of samples whose checksums are right, whatever stands in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::samples(data));
