//! Records of the log; what is read can be written and read again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::record(data));
