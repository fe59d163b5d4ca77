//! A batch as it waits in the spool: a small head, and the body as it will be sent.

use model::{Batch, Error, Logs, Metrics, Origin, Result, Spans, Tenant};
use serde::{Deserialize, Serialize};
use wire::compression::{Encoding, compress};
use wire::remote_write::Message;

/// The version of the payload.
pub(super) const VERSION: u8 = 1;

/// Which signal a batch holds; the record's kind in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Prometheus remote write.
    Metrics,
    /// OTLP logs.
    Logs,
    /// OTLP traces.
    Spans,
}

impl Signal {
    pub(super) fn kind(self) -> u8 {
        match self {
            Self::Metrics => 1,
            Self::Logs => 2,
            Self::Spans => 3,
        }
    }
    pub(super) fn of_kind(kind: u8) -> Option<Self> {
        [Self::Metrics, Self::Logs, Self::Spans]
            .into_iter()
            .find(|signal| signal.kind() == kind)
    }
    pub(super) fn encoding(self) -> Encoding {
        match self {
            Self::Metrics => Encoding::Snappy,
            Self::Logs | Self::Spans => Encoding::Gzip,
        }
    }
}

/// What is known of a batch without reading its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) tenant: String,
    /// How many samples, entries or spans.
    pub(super) items: u64,
    /// Who made the batch before it came here: agent, epoch, stream, sequence.
    pub(super) origin: Option<(String, u64, String, u64)>,
    /// Of metrics, which remote write the body is: 1 as agents wrote it before, 2 with the starts of counters.
    #[serde(default = "one")]
    pub(super) remote_write: u8,
}

fn one() -> u8 {
    1
}

impl Head {
    pub(super) fn message(&self) -> Message {
        match self.remote_write {
            1 => Message::V1,
            _ => Message::V2,
        }
    }
    pub(super) fn tenant(&self) -> Result<Tenant> {
        Tenant::new(&self.tenant)
    }
    pub(super) fn origin(&self) -> Option<Origin> {
        let (agent, epoch, stream, sequence) = self.origin.clone()?;
        Some(Origin {
            agent,
            epoch,
            stream,
            sequence,
        })
    }
}

/// A payload that can wait in the spool.
pub(super) trait Spooled: Send + 'static {
    const SIGNAL: Signal;
    /// How many samples, entries or spans.
    fn items(&self) -> u64;
    /// The body before it is compressed.
    fn encode(&self) -> Vec<u8>;
}

impl Spooled for Metrics {
    const SIGNAL: Signal = Signal::Metrics;
    fn items(&self) -> u64 {
        self.series
            .iter()
            .map(|s| (s.samples.len() + s.histograms.len()) as u64)
            .sum()
    }
    fn encode(&self) -> Vec<u8> {
        wire::remote_write::encode_v2(self)
    }
}

impl Spooled for Logs {
    const SIGNAL: Signal = Signal::Logs;
    fn items(&self) -> u64 {
        self.streams.iter().map(|s| s.entries.len() as u64).sum()
    }
    fn encode(&self) -> Vec<u8> {
        wire::otlp::encode_logs(self)
    }
}

impl Spooled for Spans {
    const SIGNAL: Signal = Signal::Spans;
    fn items(&self) -> u64 {
        self.groups.iter().map(|g| g.spans.len() as u64).sum()
    }
    fn encode(&self) -> Vec<u8> {
        wire::otlp::encode_spans(self)
    }
}

/// `u32 length of the head, head as JSON, body`.
pub(super) fn encode<P: Spooled>(batch: &Batch<P>) -> Vec<u8> {
    let head = Head {
        tenant: batch.tenant.as_str().to_owned(),
        items: batch.payload.items(),
        origin: batch
            .origin
            .clone()
            .map(|o| (o.agent, o.epoch, o.stream, o.sequence)),
        remote_write: 2,
    };
    let head = serde_json::to_vec(&head).expect("strings and numbers always become JSON");
    let body = compress(P::SIGNAL.encoding(), &batch.payload.encode());
    let length = u32::try_from(head.len()).expect("a head is a few hundred bytes");
    let mut payload = Vec::with_capacity(4 + head.len() + body.len());
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(&head);
    payload.extend_from_slice(&body);
    payload
}

/// The head, and where the body begins.
pub(super) fn decode(payload: &[u8]) -> Result<(Head, usize)> {
    let bad = || Error::corrupt("a batch in the spool cannot be read");
    let (length, rest) = payload.split_first_chunk::<4>().ok_or_else(bad)?;
    let length = u32::from_le_bytes(*length) as usize;
    let head = rest.get(..length).ok_or_else(bad)?;
    let head = serde_json::from_slice(head).map_err(|_| bad())?;
    Ok((head, 4 + length))
}
