//! The services that take data in, generic over the write doors: OTLP over gRPC and HTTP, remote write, Loki
//! push. Each is an axum `Router` that a program mounts on a listener; the write doors ([`model::Sinks`]) decide
//! whether the data goes to a store or into an agent's spool.
//!
//! All of them share one way in ([`Options`]): a place among the requests in flight, the tenant and the origin
//! from the headers, a body within its limits, decoding away from the event loop when it is large, one write,
//! and counters for whatever became of it.

mod grpc_health;
mod intake;
mod loki;
mod metrics;
mod options;
mod otlp;
mod refusal;
mod remote_write;

pub use grpc_health::grpc_health;
pub use intake::{AGENT_HEADER, EPOCH_HEADER, SEQUENCE_HEADER, STREAM_HEADER, origin_headers, origin_of};
pub use loki::loki_push;
pub use metrics::METRICS;
pub use options::Options;
pub use otlp::{otlp_grpc, otlp_http};
pub use remote_write::remote_write;

use model::Sinks;

/// What every handler of a router holds.
#[derive(Clone)]
struct Service {
    options: Options,
    sinks: Sinks,
}
