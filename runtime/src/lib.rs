//! What both programs need to live: config, secrets, TLS, auth, telemetry about ourselves, health, clock, shutdown.
//!
//! This is the only crate that asks the operating system for the time, reads certificates and passwords, and
//! knows how our errors become HTTP and gRPC statuses. Everything here is independent of what a program stores
//! or serves; the programs put the pieces together.

pub mod auth;
pub mod client;
pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod listen;
pub mod metrics;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

pub use auth::{Access, Auth, AuthConfig};
pub use clock::SystemClock;
pub use config::ConfigError;
pub use metrics::Registry;
pub use secret::Secret;
pub use tokio_util::sync::CancellationToken;
