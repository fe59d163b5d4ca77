//! The targets of `wire`: what each does with its bytes. Wire's tests include this file, and run it over the kept seeds.

use model::fs::ReadFile;
use model::{LogStream, Logs, Metrics, RawSeries, Series};
use std::ops::Range;
use std::sync::Arc;
use wire::compression::decompress;
use wire::container_log::Joiner;
use wire::prometheus_block::{Block, Source};
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
    ("prometheus_block", prometheus_block),
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

/// A file in memory.
struct Bytes(Vec<u8>);

impl ReadFile for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).ok();
        let piece = from.and_then(|from| self.0.get(from..from.checked_add(buffer.len())?));
        buffer.copy_from_slice(piece.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A block of Prometheus: the lengths of its index and tombstones, two bytes each, then both, then a file of chunks. The
/// checksums are made right before, or nothing behind them would ever be looked at.
pub fn prometheus_block(data: &[u8]) {
    /// One series may name the same chunk again and again.
    const MAX_CHUNKS: usize = 100;
    let [a, b, c, d, rest @ ..] = data else {
        return;
    };
    let cut = |low, high, bytes: &[u8]| usize::from(u16::from_le_bytes([low, high])).min(bytes.len());
    let (index, rest) = rest.split_at(cut(*a, *b, rest));
    let (tombstones, chunks) = rest.split_at(cut(*c, *d, rest));
    let (mut index, mut tombstones, mut chunks) = (index.to_vec(), tombstones.to_vec(), chunks.to_vec());
    seal_index(&mut index);
    seal_chunks(&mut chunks);
    let end = tombstones.len().saturating_sub(4);
    seal(&mut tombstones, 5..end);
    let source = |name: &str, bytes| Source::new(name, Arc::new(Bytes(bytes)));
    let tombstones = (!tombstones.is_empty()).then(|| source("tombstones", tombstones));
    let opened = Block::open(
        source("index", index),
        vec![source("chunks/000001", chunks)],
        tombstones.as_ref(),
    );
    let Ok(mut block) = opened else {
        return;
    };
    let mut read = 0;
    while let Ok(Some(found)) = block.next_series() {
        for place in found.chunks.iter().take(MAX_CHUNKS - read) {
            let mut series = Series::default();
            let is_read = block.read_chunk(&found, place, &mut series).is_ok();
            assert!(
                is_read || series == Series::default(),
                "damage leaves nothing behind"
            );
            read += 1;
        }
    }
}

/// Writes the checksum of a piece behind it, if there is room.
fn seal(bytes: &mut [u8], piece: Range<usize>) {
    let checksum = bytes.get(piece.clone()).map(crc32c);
    let place = bytes.get_mut(piece.end..).and_then(|rest| rest.first_chunk_mut());
    if let (Some(checksum), Some(place)) = (checksum, place) {
        *place = checksum.to_be_bytes();
    }
}

/// The checksums of the table of contents, the symbols and the series.
fn seal_index(bytes: &mut [u8]) {
    let Some(toc) = bytes.len().checked_sub(52) else {
        return;
    };
    seal(bytes, toc..toc + 48);
    let sections: [usize; 6] = std::array::from_fn(|i| {
        let at = toc + i * 8;
        let number = u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        usize::try_from(number).unwrap_or(usize::MAX)
    });
    let [symbols, series, ..] = sections;
    if let Some(length) = bytes.get(symbols..).and_then(|b| b.first_chunk::<4>()) {
        let start = symbols + 4;
        let end = start.saturating_add(u32::from_be_bytes(*length) as usize);
        seal(bytes, start..end);
    }
    let end = sections.into_iter().filter(|s| *s > series).min();
    seal_pieces(bytes, series..end.unwrap_or(toc).min(toc), 0);
}

fn seal_chunks(bytes: &mut [u8]) {
    // A chunk's length does not count the byte of its encoding.
    seal_pieces(bytes, 8..bytes.len(), 1);
}

/// The checksums of pieces that each have their length before them; zeros may stand in between.
fn seal_pieces(bytes: &mut [u8], within: Range<usize>, uncounted: usize) {
    let mut at = within.start;
    while at < within.end {
        let (mut length, mut shift, mut start) = (0usize, 0, at);
        if uncounted == 0 && bytes[at] == 0 {
            at += 1;
            continue;
        }
        while let Some(byte) = bytes.get(start).filter(|_| shift < 35) {
            length |= usize::from(byte & 0x7f) << shift;
            (shift, start) = (shift + 7, start + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = start.saturating_add(length + uncounted);
        seal(bytes, start..end);
        at = end.saturating_add(4);
    }
}

/// CRC-32C (Castagnoli), reflected, one byte after the other.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let (mut table, mut byte) = ([0u32; 256], 0);
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize]
    })
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
