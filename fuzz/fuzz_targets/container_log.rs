//! Log lines of container runtimes: no panic, and a joined line stays within its limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::container_log::{Format, Joiner};

fuzz_target!(|data: &[u8]| {
    const MAX_BYTES: usize = 64;
    let mut joiner = Joiner::new(MAX_BYTES);
    for (position, line) in data.split(|b| *b == b'\n').enumerate() {
        let Ok(piece) = Format::detect(line).parse(line) else { continue };
        if let Some(joined) = joiner.push(&piece, position as u64) {
            // A byte that is no UTF-8 is shown as three.
            assert!(joined.line.len() <= 3 * MAX_BYTES);
        }
    }
    joiner.flush();
});
