//! Both text formats: no panic, and every series that parses has labels or an error for them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::exposition(data));
