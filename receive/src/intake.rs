//! The way in that all protocols share: headers, body, decoding, one write, counters.

use crate::options::{Options, Place};
use crate::refusal::{self, Refusal};
use crate::{Service, metrics};
use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use model::{Batch, Error, ErrorKind, Origin, Result, Tenant, Write, WriteOutcome};
use std::sync::Arc;
use std::time::Duration;
use wire::Decoded;

/// The header with the id of the agent that sends.
pub const AGENT_HEADER: HeaderName = HeaderName::from_static("x-binnacle-agent");
/// The header with the agent's epoch.
pub const EPOCH_HEADER: HeaderName = HeaderName::from_static("x-binnacle-epoch");
/// The header with the name of the agent's stream.
pub const STREAM_HEADER: HeaderName = HeaderName::from_static("x-binnacle-stream");
/// The header with the batch's place in the stream, counted from 1.
pub const SEQUENCE_HEADER: HeaderName = HeaderName::from_static("x-binnacle-sequence");

/// The time that a sender gets for its body. A place in flight is taken meanwhile.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Larger bodies are decoded on a thread of their own, so that the event loop goes on.
const INLINE_BODY_BYTES: usize = 32 << 10;
/// No more room is made for a body before it comes.
const MAX_RESERVED_BYTES: usize = 256 << 10;
/// So much of a body that is too large is still read, so that its sender sees the answer.
const MAX_DISCARDED_BYTES: usize = 16 << 20;
/// And for so long.
const DISCARD_TIME: Duration = Duration::from_millis(500);
/// When to come back where the error itself does not know.
const DEFAULT_RETRY_S: u64 = 5;

/// Reads who made a batch from its headers: all four of ours, or none.
///
/// # Errors
/// [`ErrorKind::BadData`] when only some are there or one can't be read.
pub fn origin_of(headers: &HeaderMap) -> Result<Option<Origin>> {
    let names = [AGENT_HEADER, EPOCH_HEADER, STREAM_HEADER, SEQUENCE_HEADER];
    if names.iter().all(|name| !headers.contains_key(name)) {
        return Ok(None);
    }
    Ok(Some(Origin {
        agent: text(headers, &AGENT_HEADER)?,
        epoch: number(headers, &EPOCH_HEADER)?,
        stream: text(headers, &STREAM_HEADER)?,
        sequence: number(headers, &SEQUENCE_HEADER).and_then(|n| match n {
            0 => Err(Error::bad_data(format!("header {SEQUENCE_HEADER} counts from 1"))),
            n => Ok(n),
        })?,
    }))
}

/// The headers that [`origin_of`] reads.
///
/// # Errors
/// [`ErrorKind::BadData`] when the agent's id or the stream's name holds what a header can't.
pub fn origin_headers(origin: &Origin) -> Result<HeaderMap> {
    let value = |name: &HeaderName, text: &str| {
        let fits = |v: &HeaderValue| is_word(v.as_bytes());
        HeaderValue::from_str(text)
            .ok()
            .filter(fits)
            .ok_or_else(|| bad_word(name))
    };
    let mut headers = HeaderMap::new();
    headers.insert(AGENT_HEADER, value(&AGENT_HEADER, &origin.agent)?);
    headers.insert(EPOCH_HEADER, HeaderValue::from(origin.epoch));
    headers.insert(STREAM_HEADER, value(&STREAM_HEADER, &origin.stream)?);
    headers.insert(SEQUENCE_HEADER, HeaderValue::from(origin.sequence));
    Ok(headers)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<String> {
    let value = header_of(headers, name)?;
    match value.to_str() {
        Ok(text) if is_word(text.as_bytes()) => Ok(text.to_owned()),
        _ => Err(bad_word(name)),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64> {
    let value = header_of(headers, name)?;
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::bad_data(format!("header {name} is not a whole number")))
}

fn header_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h HeaderValue> {
    headers.get(name).ok_or_else(|| {
        Error::bad_data(format!(
            "header {name} is missing; send all of {AGENT_HEADER}, {EPOCH_HEADER}, {STREAM_HEADER}, {SEQUENCE_HEADER} or none"
        ))
    })
}

fn is_word(text: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

fn bad_word(name: &HeaderName) -> Error {
    Error::bad_data(format!("header {name} must be 1 to 128 visible ASCII characters"))
}

/// A request that has a place, a tenant and a whole body.
pub(crate) struct Arrived {
    pub(crate) body: Bytes,
    tenant: Tenant,
    origin: Option<Origin>,
    protocol: &'static str,
    options: Options,
    _place: Place,
}

impl Service {
    /// Takes a request in as far as it is the same for all protocols.
    pub(crate) async fn arrive(
        &self,
        protocol: &'static str,
        request: Request<Body>,
    ) -> refusal::Result<Arrived> {
        let place = self.options.enter()?;
        let tenant = runtime::http::tenant_of(request.headers())?;
        let origin = origin_of(request.headers())?;
        let max_bytes = self.options.limits().max_body_bytes;
        let body = tokio::time::timeout(BODY_TIMEOUT, read_body(request, max_bytes))
            .await
            .map_err(|_| {
                Error::new(
                    ErrorKind::Timeout,
                    format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
                )
            })??;
        self.options
            .meter()
            .counter(&metrics::BYTES, &[protocol])
            .add(body.len() as u64);
        Ok(Arrived {
            body,
            tenant,
            origin,
            protocol,
            options: self.options.clone(),
            _place: place,
        })
    }

    /// Counts an answer, and why it refuses the whole request if it does.
    pub(crate) fn answered(&self, protocol: &'static str, code: &str, refused: Option<&Refusal>) {
        let meter = self.options.meter();
        meter.counter(&metrics::REQUESTS, &[protocol, code]).inc();
        if let Some(Refusal { error, reason }) = refused {
            meter
                .counter(&metrics::REFUSED_REQUESTS, &[protocol, reason])
                .inc();
            tracing::debug!(protocol, reason, "{error}");
        }
    }
}

/// Reads a body of at most so many bytes.
async fn read_body(request: Request<Body>, max_bytes: u64) -> refusal::Result<Bytes> {
    let promised = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut body = request.into_body();
    let mut too_large = promised.is_some_and(|bytes| bytes > max_bytes);
    // A promise is taken at its word only so far, since it costs its maker nothing.
    let expected = usize::try_from(promised.unwrap_or(0)).unwrap_or(usize::MAX);
    let mut kept = BytesMut::with_capacity(expected.min(MAX_RESERVED_BYTES));
    while !too_large {
        let Some(frame) = body.frame().await else {
            return Ok(kept.freeze());
        };
        let frame = frame.map_err(|e| Error::bad_data(format!("the body ended early: {e}")))?;
        if let Ok(data) = frame.into_data() {
            too_large = data.len() > limit - kept.len();
            if !too_large {
                kept.extend_from_slice(&data);
            }
        }
    }
    drop(kept);
    discard(body).await;
    let error = Error::new(
        ErrorKind::TooLarge,
        format!(
            "the body is larger than {max_bytes} bytes (limits.ingest.max_body_bytes); send smaller batches or raise the limit"
        ),
    );
    Err(Refusal::new(refusal::MAX_BODY_BYTES, error))
}

/// Reads on for a moment and throws it away: a sender that is still writing when the connection closes never sees
/// the answer.
async fn discard(mut body: Body) {
    let discarding = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > MAX_DISCARDED_BYTES {
                return;
            }
        }
    };
    // Whether it came to an end or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME, discarding).await;
}

impl Arrived {
    /// Decodes the body, writes what is in it, and counts. The outcome holds the refusals of both steps.
    pub(crate) async fn write<P>(
        mut self,
        signal: &'static str,
        sink: &Arc<dyn Write<P>>,
        decode: impl FnOnce(&[u8]) -> Result<Decoded<P>> + Send + 'static,
    ) -> Result<WriteOutcome>
    where
        P: Default + PartialEq + Send + 'static,
    {
        let decoded = self.decode(decode).await?;
        self.store(signal, sink, decoded).await
    }

    /// Decodes the body, which is gone then.
    pub(crate) async fn decode<T: Send + 'static>(
        &mut self,
        decode: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let body = std::mem::take(&mut self.body);
        if body.len() <= INLINE_BODY_BYTES {
            return decode(&body);
        }
        let decoding = tokio::task::spawn_blocking(move || decode(&body)).await;
        decoding.map_err(|e| Error::internal(format!("decoding a request failed: {e}")))?
    }

    /// Writes what was in the body, and counts. The outcome holds what was refused before, too.
    pub(crate) async fn store<P>(
        self,
        signal: &'static str,
        sink: &Arc<dyn Write<P>>,
        decoded: Decoded<P>,
    ) -> Result<WriteOutcome>
    where
        P: Default + PartialEq + 'static,
    {
        let mut outcome = WriteOutcome {
            rejected: decoded.rejected,
            ..WriteOutcome::default()
        };
        // A sequence must reach the store even with nothing behind it, or the next one would look like a gap.
        if self.origin.is_some() || decoded.payload != P::default() {
            let batch = Batch {
                tenant: self.tenant,
                origin: self.origin,
                payload: decoded.payload,
            };
            outcome.merge(sink.write(batch).await?);
        }
        let meter = self.options.meter();
        meter
            .counter(&metrics::ACCEPTED, &[self.protocol, signal])
            .add(outcome.accepted);
        meter
            .counter(&metrics::DUPLICATES, &[self.protocol, signal])
            .add(outcome.duplicates);
        for r in &outcome.rejected {
            meter
                .counter(&metrics::REJECTED, &[self.protocol, signal, r.reason])
                .add(r.count);
            tracing::debug!(
                protocol = self.protocol,
                signal,
                reason = r.reason,
                count = r.count,
                "{}",
                r.message
            );
        }
        Ok(outcome)
    }
}

/// The answer of the plain-text protocols: 204, or the error's status with its sentence. Refused items among
/// accepted ones are a 400, so that the sender says so and does not try again.
pub(crate) fn plain_answer(
    service: &Service,
    protocol: &'static str,
    result: &refusal::Result<WriteOutcome>,
) -> Response {
    let response = match result {
        Ok(outcome) => outcome_answer(outcome),
        Err(refusal) => plain_error(&refusal.error),
    };
    service.answered(protocol, response.status().as_str(), result.as_ref().err());
    response
}

/// The part of [`plain_answer`] for requests that were read.
pub(crate) fn outcome_answer(outcome: &WriteOutcome) -> Response {
    if !outcome.rejected.is_empty() {
        return runtime::http::plain_error(&Error::bad_data(outcome.rejection_message()));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// As runtime's, and with a `Retry-After` on everything that may be sent again.
pub(crate) fn plain_error(error: &Error) -> Response {
    let mut response = runtime::http::plain_error(error);
    add_retry_after(&mut response);
    response
}

/// Says when to come back where the error itself does not know.
pub(crate) fn add_retry_after(response: &mut Response) {
    let retryable = matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    if retryable && !response.headers().contains_key(header::RETRY_AFTER) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(DEFAULT_RETRY_S));
    }
}

/// A header as text; one that is not ASCII counts as one that nobody knows.
pub(crate) fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|v| v.to_str().unwrap_or("?"))
}
