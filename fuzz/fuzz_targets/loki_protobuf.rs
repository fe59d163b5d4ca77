//! Loki's push request in protobuf, unpacked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| binnacle_fuzz::protocols::loki_protobuf(data));
