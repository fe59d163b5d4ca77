//! Prometheus' blocks; the checksums of what is changed are made right before.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::prometheus_block(data));
