//! Counters of the agent itself.

use model::{Counter, Gauge, Meter, MetricDef, MetricKind};

macro_rules! defs {
    ($($name:ident = $kind:ident $text:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $name: MetricDef = MetricDef {
                name: $text,
                help: $help,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
            };
        )*
        /// All of them, for the list that can be printed.
        pub static ALL: &[&MetricDef] = &[$(&$name),*];
    };
}

defs! {
    COLLECTIONS = Counter "binnacle_agent_collections_total" [] "Rounds in which container and node metrics were collected.";
    COLLECTION_ERRORS = Counter "binnacle_agent_collection_errors_total" ["reason"] "Rounds of metrics that could not be handed on, by kind of error.";
    CONTAINERS = Gauge "binnacle_agent_containers" [] "Containers seen in the last round.";
    CGROUPS_SKIPPED = Counter "binnacle_agent_cgroups_skipped_total" ["reason"] "Control groups that were not looked at because of a limit.";
    OOM_KILLS = Counter "binnacle_agent_oom_kills_seen_total" [] "OOM kills in the kernel's log that belong to a container.";
    KERNEL_LOG_LOST = Counter "binnacle_agent_kernel_log_lost_total" [] "Times that the kernel's log was overwritten before it was read.";
    SAMPLES = Counter "binnacle_agent_samples_total" [] "Samples collected and handed on.";
    SAMPLES_DROPPED = Counter "binnacle_agent_samples_dropped_total" ["reason"] "Collected samples that were dropped.";
    LOG_FILES = Gauge "binnacle_agent_log_files" [] "Log files that are being followed.";
    LOG_LINES = Counter "binnacle_agent_log_lines_total" [] "Log lines read and acknowledged.";
    LOG_BYTES = Counter "binnacle_agent_log_bytes_total" [] "Bytes of log files read and acknowledged.";
    LOG_LINES_CUT = Counter "binnacle_agent_log_lines_cut_total" [] "Log lines cut because they were longer than logs.max_line_bytes.";
    LOG_BYTES_LOST = Counter "binnacle_agent_log_bytes_lost_total" ["reason"] "Bytes of log files that were never handed on.";
    LOG_FILES_SKIPPED = Counter "binnacle_agent_log_files_skipped_total" ["reason"] "Times that a log file could not be followed.";
    LOG_LINES_REJECTED = Counter "binnacle_agent_log_lines_rejected_total" ["reason"] "Log lines that the store refused for good.";
    LOG_WRITE_ERRORS = Counter "binnacle_agent_log_write_errors_total" ["reason"] "Attempts to hand on log lines that failed and are repeated.";
    LOG_LINES_MALFORMED = Counter "binnacle_agent_log_lines_malformed_total" [] "Lines that were not in their file's format and were taken as they are.";
    SPOOL_BYTES = Gauge "binnacle_agent_spool_bytes" ["queue"] "Bytes waiting in the spool.";
    SPOOL_BATCHES = Gauge "binnacle_agent_spool_batches" ["queue"] "Batches waiting in the spool.";
    SPOOL_REFUSED = Counter "binnacle_agent_spool_refused_total" ["queue"] "Batches refused because the spool was full; their senders try again.";
    SPOOL_DROPPED = Counter "binnacle_agent_spool_dropped_total" ["queue", "reason"] "Batches dropped from the spool.";
    SENT = Counter "binnacle_agent_sent_total" ["queue"] "Batches that the collector acknowledged.";
    SEND_ERRORS = Counter "binnacle_agent_send_errors_total" ["queue", "reason"] "Attempts to send that failed.";
}

/// Ready-made counters without label values, and the meter for those with.
pub struct Counters {
    meter: std::sync::Arc<dyn Meter>,
}

impl Counters {
    /// Counters over a meter.
    pub fn new(meter: std::sync::Arc<dyn Meter>) -> Self {
        Self { meter }
    }
    /// One counter.
    pub fn counter(&self, def: &'static MetricDef, values: &[&str]) -> Counter {
        self.meter.counter(def, values)
    }
    /// One gauge.
    pub fn gauge(&self, def: &'static MetricDef, values: &[&str]) -> Gauge {
        self.meter.gauge(def, values)
    }
    /// The meter behind them.
    pub fn meter(&self) -> std::sync::Arc<dyn Meter> {
        self.meter.clone()
    }
}

/// The short word that stands for a kind of error in a counter's label.
pub fn reason(error: &model::Error) -> &'static str {
    use model::ErrorKind as K;
    match error.kind() {
        K::BadData => "bad_data",
        K::Unauthenticated => "unauthenticated",
        K::Forbidden => "forbidden",
        K::NotFound => "not_found",
        K::TooLarge => "too_large",
        K::Unsupported => "unsupported",
        K::Execution => "execution",
        K::LimitReached => "limit_reached",
        K::Cancelled => "cancelled",
        K::Unavailable => "unavailable",
        K::Timeout => "timeout",
        K::Corrupt => "corrupt",
        K::Internal => "internal",
    }
}
