//! The program `binnacle-agent`: collect and receive into the spool, send from the spool to the collector.

pub mod cli;
pub mod config;
mod run;

pub use run::run;
