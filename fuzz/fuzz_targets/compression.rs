//! Unpacking never gives more than its cap, and damage is an error. The first byte chooses the packing.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::compression(data));
