//! What each fuzz target does with its bytes. The tests of the crates that they are about include the files beside.

pub mod protocols;
pub mod store;
