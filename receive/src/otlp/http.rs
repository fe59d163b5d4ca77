//! OTLP over HTTP: `POST /v1/logs`, `/v1/traces`, `/v1/metrics`, protobuf and JSON.

use super::export;
use crate::intake::{add_retry_after, header_text, plain_error};
use crate::refusal::{Refusal, Result};
use crate::{Options, Service};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{HeaderValue, Request, header};
use model::{Error, Sinks};
use runtime::http::{grpc_code_of, retry_after, status_of};
use wire::compression;
use wire::otlp::{Encoding, Signal, Status, encode_status};

const PROTOCOL: &str = "otlp_http";

/// The three paths of OTLP over HTTP. Answers, and errors as `google.rpc.Status`, come in the encoding of the
/// request; items that were refused among accepted ones are a partial success with 200.
pub fn otlp_http(options: Options, sinks: Sinks) -> Router {
    let route = |signal| post(move |state, request| handle(state, signal, request));
    Router::new()
        .route("/v1/logs", route(Signal::Logs))
        .route("/v1/traces", route(Signal::Traces))
        .route("/v1/metrics", route(Signal::Metrics))
        .with_state(Service { options, sinks })
}

async fn handle(State(service): State<Service>, signal: Signal, request: Request<Body>) -> Response {
    let content_type = header_text(request.headers(), &header::CONTENT_TYPE);
    let (response, refused) = match Encoding::from_content_type(content_type) {
        // Without an encoding of the request there is none for the answer.
        Err(e) => (plain_error(&e), Some(Refusal::from(e))),
        Ok(encoding) => match write(&service, signal, encoding, request).await {
            Ok(body) => (encoded(encoding, body), None),
            Err(refusal) => (error_answer(&refusal.error, encoding), Some(refusal)),
        },
    };
    service.answered(PROTOCOL, response.status().as_str(), refused.as_ref());
    response
}

async fn write(
    service: &Service,
    signal: Signal,
    encoding: Encoding,
    request: Request<Body>,
) -> Result<Vec<u8>> {
    let header = header_text(request.headers(), &header::CONTENT_ENCODING);
    let packed = compression::Encoding::from_header(header)?;
    let arrived = service.arrive(PROTOCOL, request).await?;
    Ok(export(service, arrived, signal, packed, encoding).await?)
}

fn encoded(encoding: Encoding, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    let content_type = HeaderValue::from_static(encoding.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn error_answer(error: &Error, encoding: Encoding) -> Response {
    let status = Status {
        code: grpc_code_of(error),
        message: error.message(),
        retry_after: error.retry_after(),
    };
    let mut response = encoded(encoding, encode_status(&status, encoding));
    *response.status_mut() = status_of(error);
    if let Some(value) = retry_after(error) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    add_retry_after(&mut response);
    response
}
