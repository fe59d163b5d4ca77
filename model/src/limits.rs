//! The limits of the configuration, with their defaults. Every name here is a key under `limits:`.

use serde::{Deserialize, Serialize};

/// Limits on what comes in: `limits.ingest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestLimits {
    /// Bytes of a request body as sent.
    pub max_body_bytes: u64,
    /// Bytes of a request body once unpacked.
    pub max_decompressed_bytes: u64,
    /// Requests that are being written at once; more are answered 503.
    pub max_inflight_requests: usize,
    /// Labels of one series or stream.
    pub max_labels: usize,
    /// Bytes of a label's name.
    pub max_label_name_bytes: usize,
    /// Bytes of a label's value.
    pub max_label_value_bytes: usize,
    /// Active series of one tenant.
    pub max_series: u64,
    /// Active series of all tenants.
    pub max_series_total: u64,
    /// Active series of one target: of one pair of the labels `job` and `instance`.
    pub max_series_per_target: u64,
    /// Active log streams of one tenant.
    pub max_streams: u64,
    /// Bytes of one log line; a longer one is cut, marked and counted.
    pub max_line_bytes: usize,
    /// Bytes of one span, attributes included.
    pub max_span_bytes: usize,
    /// Samples, entries or spans further in the future than this are refused, in milliseconds.
    pub max_future_ms: u64,
    /// Tenants that may exist.
    pub max_tenants: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 16 << 20,
            max_decompressed_bytes: 64 << 20,
            max_inflight_requests: 256,
            max_labels: 64,
            max_label_name_bytes: 1024,
            max_label_value_bytes: 4096,
            max_series: 2_000_000,
            max_series_total: 4_000_000,
            max_series_per_target: 500_000,
            max_streams: 100_000,
            max_line_bytes: 256 << 10,
            max_span_bytes: 1 << 20,
            max_future_ms: 10 * 365 * 86_400_000,
            max_tenants: 64,
        }
    }
}

/// Limits on what one query may use: `limits.query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryLimits {
    /// Series or streams that one query may touch.
    pub max_series: u64,
    /// Samples, log entries or spans that one query may look at.
    pub max_samples: u64,
    /// Bytes that one query may read and hold.
    pub max_bytes: u64,
    /// Bytes that all queries together may hold; 0 is a quarter of the machine's memory.
    pub max_total_bytes: u64,
    /// Time of one query in milliseconds.
    pub timeout_ms: u64,
    /// Points per series of a range query.
    pub max_points_per_series: u64,
    /// Rows (log lines, traces) of one answer.
    pub max_rows: u64,
    /// Bytes of one answer.
    pub max_response_bytes: u64,
    /// Queries that run at once; more wait for their turn.
    pub max_concurrent: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_series: 500_000,
            max_samples: 50_000_000,
            max_bytes: 2 << 30,
            max_total_bytes: 0,
            timeout_ms: 120_000,
            max_points_per_series: 11_000,
            max_rows: 5_000,
            max_response_bytes: 256 << 20,
            max_concurrent: 8,
        }
    }
}

impl QueryLimits {
    /// The part of these limits that a query's purse holds.
    pub fn budget(&self) -> crate::BudgetLimits {
        crate::BudgetLimits {
            max_series: self.max_series,
            max_samples: self.max_samples,
            max_bytes: self.max_bytes,
            timeout_ms: self.timeout_ms,
        }
    }
}
