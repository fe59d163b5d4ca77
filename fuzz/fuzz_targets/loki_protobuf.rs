//! Loki's push request in protobuf, unpacked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Quota;

fuzz_target!(|data: &[u8]| {
    if let Ok(decoded) = wire::loki::decode_protobuf(data, &Quota::new(1 << 24)) {
        assert!(decoded.payload.streams.iter().all(|s| !s.labels.is_empty()));
    }
});
