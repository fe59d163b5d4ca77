//! Loki's push request in JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(decoded) = wire::loki::decode_json(data) {
        assert!(decoded.payload.streams.iter().all(|s| !s.labels.is_empty()));
    }
});
