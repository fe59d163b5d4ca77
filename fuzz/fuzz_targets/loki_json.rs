//! Loki's push request in JSON.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::loki_json(data));
