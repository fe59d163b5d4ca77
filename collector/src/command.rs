//! The subcommands other than `run`: programs for a person at a shell.

pub mod check;
pub mod query;
pub mod test;
pub mod tsdb;
