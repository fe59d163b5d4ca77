//! Prometheus remote write 1.0 and 2.0: `POST /api/v1/write`.

use crate::intake::{header_text, outcome_answer, plain_error};
use crate::refusal::Result;
use crate::{Options, Service};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{HeaderName, HeaderValue, Request, header};
use model::{Sinks, WriteOutcome};
use wire::Quota;
use wire::compression::{Encoding, decompress};
use wire::remote_write::{Message, decode_raw};

const PROTOCOL: &str = "remote_write";
const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// `POST /api/v1/write`. 204 when everything was taken; 400 with a sentence when the request is malformed or
/// some of its samples were refused (the others are written), 413, 415, 429 and 503 as the error says. Three
/// headers say how much was written.
pub fn remote_write(options: Options, sinks: Sinks) -> Router {
    Router::new()
        .route("/api/v1/write", post(push))
        .with_state(Service { options, sinks })
}

async fn push(State(service): State<Service>, request: Request<Body>) -> Response {
    let (response, refused) = match negotiate(&request) {
        Err(refusal) => (plain_error(&refusal.error), Some(refusal)),
        Ok((message, encoding)) => match write(&service, message, encoding, request).await {
            Ok((outcome, written)) => (written.tell(outcome_answer(&outcome)), None),
            Err(refusal) => {
                let response = plain_error(&refusal.error);
                // Senders of 2.0 are told in any case; those of 1.0 do not expect to be.
                let response = match message {
                    Message::V1 => response,
                    Message::V2 => Written::default().tell(response),
                };
                (response, Some(refusal))
            }
        },
    };
    service.answered(PROTOCOL, response.status().as_str(), refused.as_ref());
    response
}

/// What the body holds, and how it is packed.
fn negotiate(request: &Request<Body>) -> Result<(Message, Encoding)> {
    let headers = request.headers();
    let message = Message::from_content_type(header_text(headers, &header::CONTENT_TYPE))?;
    // The protocol knows only snappy, so that is what a request without the header means.
    let encoding = match header_text(headers, &header::CONTENT_ENCODING) {
        None => Encoding::Snappy,
        header => Encoding::from_header(header)?,
    };
    Ok((message, encoding))
}

async fn write(
    service: &Service,
    message: Message,
    encoding: Encoding,
    request: Request<Body>,
) -> Result<(WriteOutcome, Written)> {
    let max_bytes = service.options.limits().max_decompressed_bytes;
    let mut arrived = service.arrive(PROTOCOL, request).await?;
    let decode = move |body: &[u8]| {
        let body = decompress(encoding, body, max_bytes)?.into_owned();
        decode_raw(message, body, &Quota::for_body(max_bytes))
    };
    let decoded = arrived.decode(decode).await?;
    let sent_histograms = decoded.payload.histograms.len() as u64;
    let outcome = arrived
        .store("metrics", &service.sinks.raw_metrics, decoded)
        .await?;
    let written = Written::new(&outcome, sent_histograms);
    Ok((outcome, written))
}

/// What the headers of an answer say was written.
#[derive(Default)]
struct Written {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

impl Written {
    /// What was there already counts as written. Where nothing was refused, all histograms were taken, also those
    /// among the duplicates, of which a store does not say what they are.
    fn new(outcome: &WriteOutcome, sent_histograms: u64) -> Self {
        let histograms = if outcome.rejected.is_empty() {
            sent_histograms
        } else {
            outcome.accepted_histograms
        };
        Self {
            samples: (outcome.accepted + outcome.duplicates).saturating_sub(histograms),
            histograms,
            exemplars: outcome.accepted_exemplars,
        }
    }
    fn tell(&self, mut response: Response) -> Response {
        for (name, count) in [
            (SAMPLES_WRITTEN, self.samples),
            (HISTOGRAMS_WRITTEN, self.histograms),
            (EXEMPLARS_WRITTEN, self.exemplars),
        ] {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
        response
    }
}
