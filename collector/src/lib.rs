//! The program `binnacle`: the place where everything is put together, and the query APIs.
//!
//! [`run`] reads as a table of contents: telemetry, listeners, stores, agent, scraping, alerts, APIs, serve, drain.
//! [`api`] has a module for each API; [`queries`] is the one way from an API to an engine.

pub mod api;
pub mod banner;
pub mod cli;
pub mod command;
pub mod config;
pub mod parts;
pub mod queries;
pub mod run;
pub mod servers;
pub mod stores;
