//! Log lines of container runtimes: no panic, and a joined line stays within its limit.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::container_log(data));
