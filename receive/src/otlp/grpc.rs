//! OTLP over gRPC: the `Export` calls of the three services.
//!
//! A unary call is one framed message in and one out, so the frames are read here and the message goes the same
//! way as over HTTP. A general gRPC server would unpack into structs before our limits are asked, and answer a
//! message over its limit with `OUT_OF_RANGE` and damaged gzip with `INTERNAL`; exporters send the former again
//! for ever.

use super::export;
use crate::intake::header_text;
use crate::refusal;
use crate::{Options, Service};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use model::{Error, ErrorKind, Result, Sinks};
use runtime::http::{error_for, grpc_code_of, is_grpc};
use std::convert::Infallible;
use std::time::Duration;
use wire::compression;
use wire::otlp::{Encoding, Signal, Status, encode_status};

const PROTOCOL: &str = "otlp_grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The frame's head: a flag and the message's length in four bytes.
const FRAME_HEAD_BYTES: usize = 5;
/// What an exporter is told to wait where the error itself does not know; without `RetryInfo` it would drop
/// the data.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);

/// The `Export` calls of the three services, for a listener that speaks HTTP/2. Messages may be packed with
/// gzip, deflate, snappy or zstd.
pub fn otlp_grpc(options: Options, sinks: Sinks) -> Router {
    let route = |signal| post(move |state, request| handle(state, signal, request));
    let path = |service: &str| format!("/opentelemetry.proto.collector.{service}/Export");
    Router::new()
        .route(&path("logs.v1.LogsService"), route(Signal::Logs))
        .route(&path("trace.v1.TraceService"), route(Signal::Traces))
        .route(&path("metrics.v1.MetricsService"), route(Signal::Metrics))
        .with_state(Service { options, sinks })
}

async fn handle(State(service): State<Service>, signal: Signal, request: Request<Body>) -> Response {
    let headers = request.headers().clone();
    let result = write(&service, signal, request).await;
    let (code, response) = match &result {
        Ok(message) => (0, message_answer(message)),
        Err(refusal) => (
            grpc_code_of(&refusal.error),
            error_answer(&headers, &refusal.error),
        ),
    };
    service.answered(PROTOCOL, &code.to_string(), result.as_ref().err());
    response
}

async fn write(service: &Service, signal: Signal, request: Request<Body>) -> refusal::Result<Vec<u8>> {
    let headers = request.headers();
    if !is_grpc(headers) {
        let shown = header_text(headers, &header::CONTENT_TYPE).unwrap_or_default();
        let message = format!("content type {shown:?} is not supported on this path; send application/grpc");
        return Err(Error::new(ErrorKind::Unsupported, message).into());
    }
    let packed = compression::Encoding::from_header(header_text(headers, &GRPC_ENCODING))?;
    let mut arrived = service.arrive(PROTOCOL, request).await?;
    let is_packed = unframe(&mut arrived.body)?;
    let packed = if is_packed {
        packed
    } else {
        compression::Encoding::Identity
    };
    Ok(export(service, arrived, signal, packed, Encoding::Protobuf).await?)
}

/// Takes the head off the one frame of a unary call; whether its message is packed.
fn unframe(body: &mut Bytes) -> Result<bool> {
    if body.len() < FRAME_HEAD_BYTES {
        return Err(Error::bad_data("the call holds no message"));
    }
    let flag = body.get_u8();
    let length = body.get_u32() as usize;
    if flag > 1 || length != body.len() {
        return Err(Error::bad_data(format!(
            "the call's frame promises a message of {length} bytes, but {} follow; send exactly one message",
            body.len()
        )));
    }
    Ok(flag == 1)
}

fn message_answer(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("an answer is one sentence"));
    frame.put_slice(message);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(frame.freeze()).with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
    let mut response = Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The error as trailers only, with the details that tell an exporter whether to try again: `UNAVAILABLE` always
/// does, `RESOURCE_EXHAUSTED` only with `RetryInfo`.
fn error_answer(request_headers: &HeaderMap, error: &Error) -> Response {
    let mut response = error_for(request_headers, error);
    if !is_grpc(response.headers()) {
        return response;
    }
    let retryable = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::LimitReached);
    let retry_after = retryable.then(|| error.retry_after().unwrap_or(DEFAULT_RETRY));
    let status = Status {
        code: grpc_code_of(error),
        message: error.message(),
        retry_after,
    };
    let details = STANDARD_NO_PAD.encode(encode_status(&status, Encoding::Protobuf));
    let headers = response.headers_mut();
    headers.insert(
        GRPC_DETAILS,
        HeaderValue::try_from(details).expect("base64 is visible ASCII"),
    );
    if error.kind() == ErrorKind::Unsupported {
        headers.insert(
            GRPC_ACCEPT_ENCODING,
            HeaderValue::from_static("identity,gzip,deflate,snappy,zstd"),
        );
    }
    response
}
