//! A stream's labels as text; what is read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{LogStream, Logs};
use wire::Quota;
use wire::loki::{decode_protobuf, encode_protobuf, parse_labels};

fuzz_target!(|text: &str| {
    let Ok(labels) = parse_labels(text) else { return };
    if !labels.is_empty() {
        let logs = Logs { streams: vec![LogStream { labels, entries: vec![] }] };
        let again = decode_protobuf(&encode_protobuf(&logs), &Quota::new(1 << 24));
        assert_eq!(again.expect("what we write can be read").payload, logs);
    }
});
