//! Runs queries: so many at once, each with a purse, off the async threads, cancelled when the client goes away.

use model::{
    Budget, CancelToken, Clock, Counter, Error, ErrorKind, Meter, MetricDef, MetricKind, Pool, QueryLimits,
    Result,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Queries by language and outcome.
pub static QUERIES: MetricDef = MetricDef {
    name: "binnacle_queries_total",
    help: "Queries that were run, by language and by how they ended.",
    kind: MetricKind::Counter,
    labels: &["language", "outcome"],
};

/// The one way from an API to an engine.
#[derive(Clone)]
pub struct Queries {
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
    slots: Arc<Semaphore>,
    pool: Pool,
}

/// Cancels its query when the future that waits for it is dropped, which is what happens when a client leaves.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Queries {
    /// A runner with the limits of the configuration.
    pub fn new(limits: QueryLimits, clock: Arc<dyn Clock>, meter: Arc<dyn Meter>) -> Self {
        let slots = Arc::new(Semaphore::new(limits.max_concurrent.max(1)));
        let pool = Pool::new(match limits.max_total_bytes {
            0 => memory_bytes() / 4,
            given => given,
        });
        Self {
            limits,
            clock,
            meter,
            slots,
            pool,
        }
    }
    /// The limits.
    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }
    /// The clock that `now` comes from.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
    /// Runs one query on a blocking thread with a fresh purse. `timeout` shortens the configured one.
    pub async fn run<T: Send + 'static>(
        &self,
        language: &'static str,
        timeout: Option<Duration>,
        query: impl FnOnce(&Budget) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut limits = self.limits.budget();
        if let Some(timeout) = timeout {
            limits.timeout_ms = limits
                .timeout_ms
                .min(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        // The purse's time runs while the query waits for its turn, so that a full queue ends in an error too.
        let budget = Budget::of_pool(limits, self.clock.clone(), Some(self.pool.clone()));
        let _cancel = CancelOnDrop(budget.cancel_token());
        let slot = self.slots.clone().acquire_owned();
        let waited = tokio::time::timeout(Duration::from_millis(limits.timeout_ms), slot).await;
        let Ok(Ok(slot)) = waited else {
            self.count(language, "timeout").inc();
            let message = format!(
                "{} queries are running and none ended within {} ms (limits.query.max_concurrent)",
                self.limits.max_concurrent, limits.timeout_ms
            );
            return Err(Error::unavailable(message, Duration::from_secs(1)));
        };
        let span = tracing::info_span!(
            "query",
            otel.name = format!("query {language}"),
            samples = tracing::field::Empty,
            bytes = tracing::field::Empty,
        );
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let result = span.in_scope(|| query(&budget));
            span.record("samples", budget.samples_used());
            span.record("bytes", budget.bytes_used());
            result
        });
        let result = match work.await {
            Ok(result) => result,
            Err(e) => Err(Error::internal(format!(
                "the query ended in a bug, please report it: {e}"
            ))),
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(e) => match e.kind() {
                ErrorKind::LimitReached => "limit",
                ErrorKind::Timeout => "timeout",
                ErrorKind::Cancelled => "cancelled",
                ErrorKind::BadData | ErrorKind::Execution | ErrorKind::NotFound => "bad_query",
                _ => "error",
            },
        };
        self.count(language, outcome).inc();
        result
    }
    fn count(&self, language: &str, outcome: &str) -> Counter {
        self.meter.counter(&QUERIES, &[language, outcome])
    }
}

/// The machine's memory. A machine that does not tell gets what a small one has.
fn memory_bytes() -> u64 {
    const SMALL: u64 = 2 << 30;
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info.lines().find_map(|l| {
        l.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    kib.map_or(SMALL, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, NoMeter};

    fn runner(max_concurrent: usize) -> Queries {
        let limits = QueryLimits {
            max_concurrent,
            max_samples: 10,
            ..QueryLimits::default()
        };
        Queries::new(limits, Arc::new(ManualClock::default()), Arc::new(NoMeter))
    }

    #[tokio::test]
    async fn a_query_gets_a_purse() {
        let error = runner(1)
            .run("promql", None, |b| b.charge_samples(11))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached);
    }

    #[tokio::test]
    async fn a_client_that_leaves_cancels_its_query() {
        let (started_tx, started) = tokio::sync::oneshot::channel();
        let (seen_tx, seen) = tokio::sync::oneshot::channel();
        let queries = runner(1);
        let query = tokio::spawn(async move {
            queries
                .run("promql", None, move |budget| {
                    started_tx.send(()).unwrap();
                    while budget.check().is_ok() {
                        std::thread::yield_now();
                    }
                    seen_tx.send(budget.check().unwrap_err().kind()).unwrap();
                    Ok(())
                })
                .await
        });
        started.await.unwrap();
        query.abort();
        assert_eq!(seen.await.unwrap(), ErrorKind::Cancelled);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_that_query_alone() {
        let queries = runner(1);
        let error = queries
            .run::<()>("promql", None, |_| panic!("a bug"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(queries.run("promql", None, |_| Ok(1)).await.unwrap(), 1);
    }
}
