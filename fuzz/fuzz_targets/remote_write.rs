//! Remote write 1.0, unpacked; what is read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Quota;
use wire::remote_write::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(decoded) = decode(data, &Quota::new(1 << 24)) else { return };
    let body = encode(&decoded.payload);
    let again = decode(&body, &Quota::new(1 << 26)).expect("what we write can be read");
    assert_eq!(encode(&again.payload), body);
});
