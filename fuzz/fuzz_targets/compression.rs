//! Unpacking never gives more than its cap, and damage is an error. The first byte chooses the packing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::compression::{Encoding, decompress};

fuzz_target!(|data: &[u8]| {
    const MAX_BYTES: u64 = 1 << 16;
    let all = [Encoding::Gzip, Encoding::Deflate, Encoding::Snappy, Encoding::SnappyFramed, Encoding::Zstd];
    let Some((choice, body)) = data.split_first() else { return };
    if let Ok(unpacked) = decompress(all[usize::from(*choice) % all.len()], body, MAX_BYTES) {
        assert!(unpacked.len() as u64 <= MAX_BYTES);
    }
});
