//! The stores from outside: against the plain store, through crashes, faults and damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod concurrent;
mod crash;
mod faults;
mod logs;
mod samples;
mod snapshots;
mod support;
mod traces;
