//! OTLP metrics in both encodings.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::otlp_metrics(data));
