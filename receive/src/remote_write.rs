//! Prometheus remote write 1.0: `POST /api/v1/write`.

use crate::intake::{header_text, plain_answer};
use crate::refusal::Result;
use crate::{Options, Service};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{Request, header};
use model::{Sinks, WriteOutcome};
use wire::Quota;
use wire::compression::{Encoding, decompress};

const PROTOCOL: &str = "remote_write";

/// `POST /api/v1/write`. 204 when everything was taken; 400 with a sentence when the request is malformed or
/// some of its series were refused (the others are written), 413, 415, 429 and 503 as the error says.
pub fn remote_write(options: Options, sinks: Sinks) -> Router {
    Router::new()
        .route("/api/v1/write", post(push))
        .with_state(Service { options, sinks })
}

async fn push(State(service): State<Service>, request: Request<Body>) -> Response {
    let result = write(&service, request).await;
    plain_answer(&service, PROTOCOL, &result)
}

async fn write(service: &Service, request: Request<Body>) -> Result<WriteOutcome> {
    wire::remote_write::check_content_type(header_text(request.headers(), &header::CONTENT_TYPE))?;
    // The protocol knows only snappy, so that is what a request without the header means.
    let encoding = match header_text(request.headers(), &header::CONTENT_ENCODING) {
        None => Encoding::Snappy,
        header => Encoding::from_header(header)?,
    };
    let max_bytes = service.options.limits().max_decompressed_bytes;
    let arrived = service.arrive(PROTOCOL, request).await?;
    let decode = move |body: &[u8]| {
        let body = decompress(encoding, body, max_bytes)?;
        wire::remote_write::decode(&body, &Quota::for_body(max_bytes))
    };
    Ok(arrived.write("metrics", &service.sinks.metrics, decode).await?)
}
