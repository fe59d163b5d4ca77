//! gRPC's standard health service, and the answer to calls that nobody serves.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http::Request;
use model::{Error, ErrorKind};
use runtime::http::{is_grpc, plain_error};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// What may be asked about: everything, or one of the services of [`crate::otlp_grpc`].
const SERVICES: [&str; 4] = [
    "",
    "opentelemetry.proto.collector.logs.v1.LogsService",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "opentelemetry.proto.collector.trace.v1.TraceService",
];
/// A question is the name of a service.
const MAX_QUESTION_BYTES: usize = 1 << 10;

/// `grpc.health.v1.Health` for a listener with [`crate::otlp_grpc`]: `SERVING` until the shutdown begins, then
/// `NOT_SERVING`. Calls to services and methods that are not on the listener get `UNIMPLEMENTED`, other requests 404.
///
/// Merge it behind the layer that asks for tokens: probes have none.
pub fn grpc_health(shutdown: CancellationToken) -> Router {
    let server = HealthServer::new(Standing { shutdown }).max_decoding_message_size(MAX_QUESTION_BYTES);
    Routes::new(server).into_axum_router().fallback(not_served)
}

async fn not_served(request: Request<Body>) -> Response {
    let path = request.uri().path();
    if is_grpc(request.headers()) {
        let message = format!("{path} is not served here; OTLP's Export calls and grpc.health.v1.Health are");
        return Status::unimplemented(message).into_http();
    }
    let message = format!("{path} is not served here; this port speaks OTLP over gRPC");
    plain_error(&Error::new(ErrorKind::NotFound, message))
}

/// How the listener stands.
struct Standing {
    shutdown: CancellationToken,
}

impl Standing {
    fn now(&self) -> ServingStatus {
        if self.shutdown.is_cancelled() {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for Standing {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !SERVICES.contains(&service.as_str()) {
            return Err(Status::new(
                Code::NotFound,
                format!("there is no service {service:?} here"),
            ));
        }
        Ok(tonic::Response::new(answer(self.now())))
    }

    /// How it stands, and again when that changes. The stream ends with the shutdown, which would wait for it
    /// otherwise.
    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.get_ref().service.as_str());
        let first = if known {
            self.now()
        } else {
            ServingStatus::ServiceUnknown
        };
        let shutdown = self.shutdown.clone();
        let last = stream::once(async move {
            shutdown.cancelled().await;
            ServingStatus::NotServing
        });
        let changes = last.filter(move |_| std::future::ready(first == ServingStatus::Serving));
        let all = stream::once(std::future::ready(first)).chain(changes);
        Ok(tonic::Response::new(all.map(|status| Ok(answer(status))).boxed()))
    }
}
