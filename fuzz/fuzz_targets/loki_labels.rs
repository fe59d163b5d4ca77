//! A stream's labels as text; what is read can be written and read again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::loki_labels(data));
