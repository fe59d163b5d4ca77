//! A router on a port of its own with the plain store behind it, and what the tests ask of both.

use axum::Router;
use model::plain::PlainStore;
use model::*;
use receive::Options;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(crate) const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// Small limits, so that tests can go over them.
pub(crate) fn limits() -> IngestLimits {
    IngestLimits {
        max_body_bytes: 50_000,
        max_decompressed_bytes: 200_000,
        ..IngestLimits::default()
    }
}

/// Counters by name and labels.
#[derive(Default)]
pub(crate) struct Counters(Mutex<BTreeMap<String, Counter>>);

impl Counters {
    pub(crate) fn get(&self, key: &str) -> u64 {
        self.0.lock().unwrap().get(key).map_or(0, Counter::get)
    }
    /// Protocol, reason and number of all requests that were refused as a whole.
    pub(crate) fn refused(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter_map(|(key, counter)| {
                let labels = key.strip_prefix("binnacle_receive_refused_requests_total ")?;
                Some(format!("{labels} {}", counter.get()))
            })
            .collect()
    }
}

impl Meter for Counters {
    fn counter(&self, def: &'static MetricDef, values: &[&str]) -> Counter {
        assert_eq!(def.labels.len(), values.len(), "{}", def.name);
        let key = format!("{} {}", def.name, values.join(" "));
        self.0
            .lock()
            .unwrap()
            .entry(key.trim().to_owned())
            .or_default()
            .clone()
    }
    fn gauge(&self, _: &'static MetricDef, _: &[&str]) -> Gauge {
        Gauge::default()
    }
}

/// Takes everything to the plain store, unless it was told to fail, to refuse, or to wait.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) store: PlainStore,
    pub(crate) fail: Mutex<Option<Error>>,
    pub(crate) refuse: Mutex<Option<Rejection>>,
    pub(crate) gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
    pub(crate) entered: tokio::sync::Notify,
    pub(crate) origins: Mutex<Vec<Option<Origin>>>,
}

impl Door {
    async fn pass<P>(&self, batch: Batch<P>) -> Result<WriteOutcome>
    where
        PlainStore: Write<P>,
    {
        self.origins.lock().unwrap().push(batch.origin.clone());
        let gate = self.gate.lock().unwrap().clone();
        self.entered.notify_one();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        if let Some(e) = self.fail.lock().unwrap().clone() {
            return Err(e);
        }
        let mut outcome = self.store.write(batch).await?;
        outcome.rejected.extend(self.refuse.lock().unwrap().clone());
        Ok(outcome)
    }
}

macro_rules! door {
    ($payload:ty) => {
        impl Write<$payload> for Door {
            fn write(&self, batch: Batch<$payload>) -> BoxFuture<'_, Result<WriteOutcome>> {
                Box::pin(self.pass(batch))
            }
        }
    };
}
door!(Metrics);
/// As a store that knows series by their bytes: it counts what else there is.
impl Write<RawMetrics> for Door {
    fn write(&self, batch: Batch<RawMetrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move {
            let (histograms, exemplars) = (batch.payload.histograms.len(), batch.payload.exemplars.len());
            let batch = Batch {
                tenant: batch.tenant,
                origin: batch.origin,
                payload: batch.payload.decode()?,
            };
            let mut outcome = self.pass(batch).await?;
            if outcome.accepted > 0 {
                outcome.accepted_histograms = histograms as u64;
                outcome.accepted_exemplars = exemplars as u64;
            }
            Ok(outcome)
        })
    }
}
door!(Logs);
door!(Spans);

pub(crate) struct Server {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) door: Arc<Door>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) client: reqwest::Client,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(router: impl FnOnce(Options, Sinks) -> Router) -> Self {
        Self::start_with(limits(), router).await
    }
    pub(crate) async fn start_with(
        limits: IngestLimits,
        router: impl FnOnce(Options, Sinks) -> Router,
    ) -> Self {
        runtime::tls::install_provider();
        let door = Arc::new(Door::default());
        let counters = Arc::new(Counters::default());
        let options = Options::new(limits, Arc::new(ManualClock::at_ns(NOW_NS)), counters.clone());
        let sinks = Sinks {
            raw_metrics: door.clone(),
            ..Sinks::new(door.clone(), door.clone(), door.clone())
        };
        let router = router(options, sinks);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            door,
            counters,
            client: reqwest::Client::new(),
            task,
        }
    }
    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.client
            .post(format!("http://{}{path}", self.address))
            .body(body)
    }

    fn request(tenant: &str) -> ScanRequest {
        ScanRequest::new(
            Tenant::new(tenant).unwrap(),
            TimeRange::ALL,
            Predicate::And(vec![]),
            Budget::unlimited(),
        )
    }
    pub(crate) fn series(&self, tenant: &str) -> Vec<String> {
        let scan = Read::<SeriesData>::scan(&self.door.store, &Self::request(tenant)).unwrap();
        let mut all = Vec::new();
        for rows in scan.rows() {
            let s = rows.unwrap();
            let points = s
                .timestamps_ms
                .iter()
                .zip(&s.values)
                .map(|(t, v)| format!(" {v}@{t}"));
            all.push(format!("{}{}", s.labels, points.collect::<String>()));
        }
        all
    }
    pub(crate) fn lines(&self, tenant: &str) -> Vec<String> {
        let scan = Read::<LogBatch>::scan(&self.door.store, &Self::request(tenant)).unwrap();
        let mut all = Vec::new();
        for rows in scan.rows() {
            let b = rows.unwrap();
            all.extend(
                b.entries
                    .iter()
                    .map(|e| format!("{} {} {:?}@{}", b.labels, e.line, e.metadata, e.timestamp_ns)),
            );
        }
        all
    }
    pub(crate) fn spans(&self, tenant: &str) -> Vec<String> {
        let scan = Read::<SpanBatch>::scan(&self.door.store, &Self::request(tenant)).unwrap();
        let mut all = Vec::new();
        for rows in scan.rows() {
            let b = rows.unwrap();
            for g in &b.groups {
                all.extend(
                    g.spans
                        .iter()
                        .map(|s| format!("{} {}", g.resource.service_name(), s.name)),
                );
            }
        }
        all
    }
    pub(crate) fn is_empty(&self) -> bool {
        ["default", "t1"]
            .iter()
            .all(|t| self.series(t).is_empty() && self.lines(t).is_empty() && self.spans(t).is_empty())
    }
}

pub(crate) fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response
        .headers()
        .get(name)
        .map(|v| v.to_str().unwrap().to_owned())
}
