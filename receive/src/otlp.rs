//! OTLP over HTTP and over gRPC; the two differ in how a request is framed and how an answer looks.

mod grpc;
mod http;

pub use grpc::otlp_grpc;
pub use http::otlp_http;

use crate::Service;
use crate::intake::Arrived;
use model::{Result, WriteOutcome};
use wire::Quota;
use wire::compression::{self, decompress};
use wire::otlp::{Encoding, Signal, decode_logs, decode_metrics, decode_traces, encode_response};

/// Unpacks, decodes and writes a request; the answer that says so.
async fn export(
    service: &Service,
    arrived: Arrived,
    signal: Signal,
    packed: compression::Encoding,
    encoding: Encoding,
) -> Result<Vec<u8>> {
    let max_bytes = service.options.limits().max_decompressed_bytes;
    let now_ns = service.options.now_ns();
    let sinks = &service.sinks;
    let outcome = match signal {
        Signal::Logs => {
            let decode = move |body: &[u8]| {
                let body = decompress(packed, body, max_bytes)?;
                decode_logs(&body, encoding, now_ns, &Quota::for_body(max_bytes))
            };
            arrived.write("logs", &sinks.logs, decode).await?
        }
        Signal::Traces => {
            let decode = move |body: &[u8]| {
                let body = decompress(packed, body, max_bytes)?;
                decode_traces(&body, encoding, &Quota::for_body(max_bytes))
            };
            arrived.write("traces", &sinks.spans, decode).await?
        }
        Signal::Metrics => {
            let decode = move |body: &[u8]| {
                let body = decompress(packed, body, max_bytes)?;
                decode_metrics(&body, encoding, now_ns, &Quota::for_body(max_bytes))
            };
            arrived.write("metrics", &sinks.metrics, decode).await?
        }
    };
    Ok(answer(signal, &outcome, encoding))
}

fn answer(signal: Signal, outcome: &WriteOutcome, encoding: Encoding) -> Vec<u8> {
    encode_response(
        signal,
        outcome.rejected_count(),
        &outcome.rejection_message(),
        encoding,
    )
}
