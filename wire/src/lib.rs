//! Protocols: bytes to model and back. Pure, bounded, fuzzed.
