//! Rules, alert state, grouping and notification.
//!
//! The way of an alert: [`rules`] reads Prometheus' rule files; the core applies what the query engine answers to
//! each rule, in order, and keeps the states of its alerts; routes put firing and resolved alerts into groups, and
//! each group tells its receivers by webhook when something changed. [`Manager`] is the shell around that: it
//! keeps the time, asks the engine, writes the series of the rules through the front door, saves the state and
//! speaks HTTP. Rules, templates, routes and the core know no clock, no disk and no network.
//!
//! # What a restart remembers
//!
//! One document per tenant, `<data>/alert/<tenant>/state.json` (see [`state`]), holds the active alerts of each
//! rule, the groups with their timers, and what was told to whom. It is replaced atomically before a notification
//! leaves and again after its answer. So an alert that somebody was told about is always on disk, and its end will
//! be told too; and only a notification whose answer was lost, or not yet on disk when the program died, is sent a
//! second time. When the disk refuses, the notification leaves all the same: an alert about a full disk must not
//! wait for the disk.

pub mod api;
pub mod config;
mod core;
mod evaluate;
mod manager;
mod matchers;
mod metrics;
mod notify;
mod payload;
mod rehearsal;
mod route;
pub mod rules;
pub mod state;
pub mod template;
mod timestamp;
mod webhook;

pub use config::Config;
pub use manager::{Manager, Options};
pub use metrics::DEFINITIONS;
pub use rehearsal::{FiringAlert, Rehearsal};
