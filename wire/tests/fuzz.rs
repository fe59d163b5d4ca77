//! The short version of the fuzzing of this crate.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "../../fuzz/src/short.rs"]
mod short;
#[allow(unreachable_pub, reason = "a part of a library of its own for the fuzzer")]
#[path = "../../fuzz/src/protocols.rs"]
mod targets;

#[test]
fn seeds_and_damaged_copies() {
    let short = short::Short {
        targets: targets::TARGETS,
        folder: std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz"),
        is_ours: |name| !name.starts_with("tsdb_"),
        copies: 45_000,
        // Twice the quota of decoded structs, because a vector that grows has room to spare.
        max_memory_bytes: 32 << 20,
    };
    short.run();
}
