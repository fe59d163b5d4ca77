//! Loki's push API: `POST /loki/api/v1/push`.

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
use wire::loki::Format;

const PROTOCOL: &str = "loki_push";

/// `POST /loki/api/v1/push`. 204 when everything was taken; 400 with a sentence when the request is malformed or
/// some of its streams were refused (the others are written), 413, 415, 429 and 503 as the error says.
pub fn loki_push(options: Options, sinks: Sinks) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push))
        .with_state(Service { options, sinks })
}

async fn push(State(service): State<Service>, request: Request<Body>) -> Response {
    let result = write(&service, request).await;
    plain_answer(&service, PROTOCOL, &result)
}

async fn write(service: &Service, request: Request<Body>) -> Result<WriteOutcome> {
    let format = Format::from_content_type(header_text(request.headers(), &header::CONTENT_TYPE))?;
    let encoding = match (format, header_text(request.headers(), &header::CONTENT_ENCODING)) {
        // The protobuf form is always packed, with or without the header.
        (Format::Protobuf, None) => Encoding::Snappy,
        (_, header) => Encoding::from_header(header)?,
    };
    let max_bytes = service.options.limits().max_decompressed_bytes;
    let arrived = service.arrive(PROTOCOL, request).await?;
    let decode = move |body: &[u8]| {
        let body = decompress(encoding, body, max_bytes)?;
        match format {
            Format::Protobuf => wire::loki::decode_protobuf(&body, &Quota::for_body(max_bytes)),
            Format::Json => wire::loki::decode_json(&body),
        }
    };
    Ok(arrived.write("logs", &service.sinks.logs, decode).await?)
}
