//! OTLP traces in both encodings.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Quota;
use wire::otlp::{Encoding, decode_traces};

fuzz_target!(|data: &[u8]| {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let _ = decode_traces(data, encoding, &Quota::new(1 << 24));
    }
});
