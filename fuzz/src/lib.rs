//! What each fuzz target does with its bytes. Wire's tests include this file, and run it over the kept seeds.

use model::{LogStream, Logs, Metrics, RawSeries};
use wire::compression::decompress;
use wire::container_log::Joiner;
use wire::remote_write::Message;
use wire::rfc3339::{format_ns, parse_ns};
use wire::{Quota, compression, container_log, exposition, loki, otlp, remote_write as prometheus};

/// The memory that one decoded request may take.
const QUOTA_BYTES: usize = 1 << 24;

/// A target's name, which is that of its folder in `corpus` too, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets by name.
pub const TARGETS: &[Target] = &[
    ("compression", compression),
    ("container_log", container_log),
    ("exposition", exposition),
    ("loki_json", loki_json),
    ("loki_labels", loki_labels),
    ("loki_protobuf", loki_protobuf),
    ("otlp_logs", otlp_logs),
    ("otlp_metrics", otlp_metrics),
    ("otlp_traces", otlp_traces),
    ("remote_write", remote_write),
    ("remote_write_v2", remote_write_v2),
    ("rfc3339", rfc3339),
];

fn quota() -> Quota {
    Quota::new(QUOTA_BYTES)
}

/// Unpacking never gives more than its cap, and damage is an error. The first byte chooses the packing.
pub fn compression(data: &[u8]) {
    use compression::Encoding::{Deflate, Gzip, Snappy, SnappyFramed, Zstd};
    const MAX_BYTES: u64 = 1 << 16;
    let all = [Gzip, Deflate, Snappy, SnappyFramed, Zstd];
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    if let Ok(unpacked) = decompress(all[usize::from(*choice) % all.len()], body, MAX_BYTES) {
        assert!(unpacked.len() as u64 <= MAX_BYTES);
    }
}

/// Log lines of container runtimes: a joined line stays within its limit.
pub fn container_log(data: &[u8]) {
    const MAX_BYTES: usize = 64;
    let mut joiner = Joiner::new(MAX_BYTES);
    for (position, line) in data.split(|b| *b == b'\n').enumerate() {
        let Ok(piece) = container_log::Format::detect(line).parse(line) else {
            continue;
        };
        if let Some(joined) = joiner.push(&piece, position as u64) {
            // A byte that is no UTF-8 is shown as three.
            assert!(joined.line.len() <= 3 * MAX_BYTES);
        }
    }
    joiner.flush();
}

/// Both text formats: every series that parses has a name.
pub fn exposition(data: &[u8]) {
    for format in [exposition::Format::Prometheus, exposition::Format::OpenMetrics] {
        if let Ok(metrics) = exposition::parse(format, data, 0, &quota()) {
            assert!(metrics.series.iter().all(|s| s.labels.metric_name().is_some()));
        }
    }
}

/// Loki's push request in JSON.
pub fn loki_json(data: &[u8]) {
    if let Ok(decoded) = loki::decode_json(data) {
        assert!(decoded.payload.streams.iter().all(|s| !s.labels.is_empty()));
    }
}

/// A stream's labels as text; what is read can be written and read again.
pub fn loki_labels(data: &[u8]) {
    let Some(text) = data.utf8_chunks().next() else {
        return;
    };
    let Ok(labels) = loki::parse_labels(text.valid()) else {
        return;
    };
    if !labels.is_empty() {
        let logs = Logs {
            streams: vec![LogStream {
                labels,
                entries: vec![],
            }],
        };
        let again = loki::decode_protobuf(&loki::encode_protobuf(&logs), &quota());
        assert_eq!(again.expect("what we write can be read").payload, logs);
    }
}

/// Loki's push request in protobuf, unpacked.
pub fn loki_protobuf(data: &[u8]) {
    if let Ok(decoded) = loki::decode_protobuf(data, &quota()) {
        assert!(decoded.payload.streams.iter().all(|s| !s.labels.is_empty()));
    }
}

/// OTLP logs in both encodings.
pub fn otlp_logs(data: &[u8]) {
    for encoding in [otlp::Encoding::Protobuf, otlp::Encoding::Json] {
        let _ = otlp::decode_logs(data, encoding, 0, &quota());
    }
}

/// OTLP metrics in both encodings.
pub fn otlp_metrics(data: &[u8]) {
    for encoding in [otlp::Encoding::Protobuf, otlp::Encoding::Json] {
        let _ = otlp::decode_metrics(data, encoding, 0, &quota());
    }
}

/// OTLP traces in both encodings.
pub fn otlp_traces(data: &[u8]) {
    for encoding in [otlp::Encoding::Protobuf, otlp::Encoding::Json] {
        let _ = otlp::decode_traces(data, encoding, &quota());
    }
}

/// Remote write 1.0, unpacked; what is read can be written and read again.
pub fn remote_write(data: &[u8]) {
    let Some(metrics) = metrics_of(Message::V1, data) else {
        return;
    };
    let body = prometheus::encode(&metrics);
    let again = prometheus::decode(&body, &Quota::new(4 * QUOTA_BYTES)).expect("what we write can be read");
    assert_eq!(prometheus::encode(&again.payload), body);
}

/// Remote write 2.0, unpacked; what is read can be written and read again. Metadata may belong to a shorter name then.
pub fn remote_write_v2(data: &[u8]) {
    let Some(mut metrics) = metrics_of(Message::V2, data) else {
        return;
    };
    metrics.metadata.clear();
    let body = prometheus::encode_v2(&metrics);
    let again = prometheus::decode_raw(Message::V2, body.clone(), &Quota::new(16 * QUOTA_BYTES));
    let again = again.expect("what we write can be read").payload.decode();
    assert_eq!(prometheus::encode_v2(&again.expect("symbols are UTF-8")), body);
}

/// A request of remote write with its labels decoded; the columns always fit together.
fn metrics_of(message: Message, data: &[u8]) -> Option<Metrics> {
    let raw = prometheus::decode_raw(message, data.to_vec(), &quota())
        .ok()?
        .payload;
    let sum = |of: fn(&RawSeries) -> u32| raw.series.iter().map(|s| of(s) as usize).sum::<usize>();
    assert_eq!(sum(|s| s.samples), raw.samples.len());
    assert_eq!(sum(|s| s.histograms), raw.histograms.len());
    assert_eq!(sum(|s| s.exemplars), raw.exemplars.len());
    // A symbol of many labels is in each of them; decoded, they would be there twice.
    (raw.bytes.len() <= QUOTA_BYTES / 16).then(|| raw.decode().ok())?
}

/// Timestamps; what is read can be written and read again.
pub fn rfc3339(data: &[u8]) {
    // The first second that 64 bits can say begins before their range.
    if let Some(ns) = parse_ns(data).filter(|ns| *ns > i64::MIN + 1_000_000_000) {
        assert_eq!(parse_ns(format_ns(ns).as_bytes()), Some(ns));
    }
}
