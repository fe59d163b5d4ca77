//! Targets: static configuration, relabelling and the scrape loop.
//!
//! The way of a scrape: [`ScrapeConfig`] (Prometheus' `scrape_configs`) names groups of targets, relabelling turns
//! each into a [`target::Target`] or drops it, and the [`Manager`] runs one loop per target. A loop fetches the
//! exposition, the cache turns its lines into series with their final labels, and the write door takes the
//! samples together with the series that the scrape itself makes (`up` and its kin). Time comes from the clock
//! that the program hands in.

mod cache;
pub mod config;
mod discovery;
mod fetch;
mod manager;
pub mod relabel;
mod scrape_loop;
mod sleep;
pub mod target;
#[cfg(test)]
mod testing;

pub use config::{Defaults, Exposition, ScrapeConfig};
pub use manager::{Manager, Options};
pub use relabel::Relabel;
pub use target::{DroppedTarget, Health, TargetStatus};
