//! Protocols: bytes to model and back. Pure and bounded: nothing here does I/O or looks at a clock, and every
//! decoder takes a cap (a size, or a [`Quota`]) beyond which it answers [`model::ErrorKind::TooLarge`].
//!
//! | module | speaks |
//! |---|---|
//! | [`compression`] | gzip, deflate, snappy, zstd |
//! | [`otlp`] | OpenTelemetry's protocol, protobuf and JSON |
//! | [`remote_write`] | Prometheus remote write 1.0 |
//! | [`prometheus_block`] | Prometheus' blocks on disk |
//! | [`loki`] | Loki's push API, protobuf and JSON |
//! | [`exposition`] | Prometheus text and OpenMetrics text |
//! | [`container_log`] | log lines as container runtimes write them |
//!
//! Every parser has a fuzz target in `fuzz/`; `tests/fuzz.rs` is a short run of all of them.

pub mod compression;
pub mod container_log;
pub mod exposition;
pub mod loki;
pub mod otlp;
pub mod prometheus_block;
pub mod remote_write;
pub mod rfc3339;

mod protobuf;
mod quota;
#[cfg(test)]
mod testdata;

pub use quota::{Decoded, Quota};
