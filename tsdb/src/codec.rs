//! Columns of one run as bytes: values, times, histograms. `docs/formats/codec.md` describes them.
//!
//! Each column is given and taken back with its count of samples, and as exactly the bytes that were written:
//! neither stands in them.

pub(crate) mod histograms;
mod ints;
pub(crate) mod times;
pub(crate) mod values;

/// How much work packing may be: flushes want to be quick, merges small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Short runs, written soon after they came and read or merged soon.
    Flush,
    /// Long runs that stay.
    Merge,
}

#[cfg(test)]
mod tests;
