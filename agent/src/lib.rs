//! The node's eyes: containers, node, log files, relay, spool.
//!
//! The library collects and hands everything to the write doors it is given ([`Agent::start`]): the stores, inside
//! the collector, or the spool of the program `binnacle-agent`. What it reads belongs to the node and is read
//! in place (`/proc`, `/sys`, log files); what it remembers lives under `<data>/agent` and goes through
//! [`model::Fs`].

pub mod backoff;
pub mod collector;
pub mod config;
pub mod containers;
pub mod counters;
pub mod files;
pub mod host;
pub mod id;
pub mod identity;
pub mod names;
pub mod node;
pub mod program;
pub mod series;
pub mod spool;
mod start;

pub use config::{Config, FileFormat, FilePattern, LogsConfig};
pub use start::{Agent, AgentHandle, Environment};
