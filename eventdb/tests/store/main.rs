//! The stores from outside: against the plain store, through crashes, faults and damage.

mod crash;
mod faults;
mod logs;
mod samples;
mod support;
mod traces;
