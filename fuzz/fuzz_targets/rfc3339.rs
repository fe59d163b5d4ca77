//! Timestamps; what is read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::rfc3339::{format_ns, parse_ns};

fuzz_target!(|data: &[u8]| {
    // The first second that 64 bits can say begins before their range.
    if let Some(ns) = parse_ns(data).filter(|ns| *ns > i64::MIN + 1_000_000_000) {
        assert_eq!(parse_ns(format_ns(ns).as_bytes()), Some(ns));
    }
});
