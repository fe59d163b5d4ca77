//! Part files: immutable, made of named sections, every byte under a checksum.
//!
//! [`PartWriter`] writes to a temporary name and renames when all of it is on the disk; [`PartReader`] verifies
//! what it reads, page by page, and names file and section of what is damaged. What stands in the sections is
//! up to the store. `docs/formats/part.md` draws the bytes.

mod format;
mod reader;
mod writer;

pub use format::PartKind;
pub use reader::PartReader;
pub use writer::PartWriter;

#[cfg(test)]
mod tests;
