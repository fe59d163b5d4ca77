//! Every router over a real connection, with the plain store behind it.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "all/common.rs"]
mod common;
#[path = "all/grpc.rs"]
mod grpc;
#[path = "all/grpc_health.rs"]
mod grpc_health;
#[path = "all/http.rs"]
mod http;
#[path = "all/push.rs"]
mod push;
#[path = "all/remote_write.rs"]
mod remote_write;
#[path = "all/shared_way.rs"]
mod shared_way;
