//! Scrape targets served by the test: thousands of counters and gauges, with churn, and a signal at each scrape.

use anyhow::{Context as _, Result};
use axum::extract::{Path, State};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// How many targets, and what each of them shows.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Targets; they share one listener and have a path each.
    pub targets: usize,
    /// Series of one target at any time, half of them counters and half gauges.
    pub series: u64,
    /// Scrapes after which a series has ended and another stands in its place; spread evenly over the series.
    pub lifetime: u64,
}

/// Running targets; they end with the runtime.
pub struct Targets {
    address: String,
    shape: Shape,
    scrapes: watch::Receiver<u64>,
}

struct Served {
    shape: Shape,
    scrapes: Vec<AtomicU64>,
    of_first: watch::Sender<u64>,
}

impl Targets {
    /// Starts them.
    pub async fn start(shape: Shape) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (of_first, scrapes) = watch::channel(0);
        let served = Arc::new(Served {
            shape,
            scrapes: (0..shape.targets).map(|_| AtomicU64::new(0)).collect(),
            of_first,
        });
        let router = axum::Router::new()
            .route("/target/{n}", axum::routing::get(scrape))
            .with_state(served);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            shape,
            scrapes,
        })
    }
    /// A scrape job for Prometheus' configuration; the instances are `target-0`, `target-1`, …
    pub fn job(&self, name: &str) -> String {
        let mut text = format!("  - job_name: {name}\n    static_configs:\n");
        for n in 0..self.shape.targets {
            let _ = writeln!(
                text,
                "      - {{ targets: ['{}'], labels: {{ __metrics_path__: /target/{n}, instance: target-{n} }} }}",
                self.address
            );
        }
        text
    }
    /// Waits until the first target was scraped once more since the last call; how often it was in all.
    pub async fn next_scrape(&mut self) -> Result<u64> {
        tokio::time::timeout(crate::wait::PATIENCE, self.scrapes.changed())
            .await
            .context("no scrape in time")??;
        Ok(*self.scrapes.borrow_and_update())
    }
}

async fn scrape(State(served): State<Arc<Served>>, Path(n): Path<usize>) -> String {
    let Some(scrapes) = served.scrapes.get(n) else {
        return String::new();
    };
    let scrape = scrapes.fetch_add(1, Ordering::Relaxed) + 1;
    if n == 0 {
        served.of_first.send_replace(scrape);
    }
    exposition(&served.shape, scrape)
}

/// What a target shows at its `scrape`th scrape.
fn exposition(shape: &Shape, scrape: u64) -> String {
    let mut text = String::new();
    for (family, kind) in [("soak_requests_total", "counter"), ("soak_load", "gauge")] {
        let _ = writeln!(text, "# TYPE {family} {kind}");
        for slot in 0..shape.series / 2 {
            // Each series has its own moment to end, or all would end in the same scrape.
            let life = (scrape + slot * shape.lifetime / (shape.series / 2).max(1)) / shape.lifetime;
            let labels = format!("slot=\"{slot}\",life=\"{life}\"");
            let _ = if kind == "counter" {
                // Far from zero: Prometheus' versions differ in how they extrapolate to a counter's beginning.
                let value = (1_000_000 + scrape) * (slot % 7 + 1);
                writeln!(text, "{family}{{{labels}}} {value}")
            } else {
                let hundredths = (scrape * 31 + slot * 17) % 1000;
                writeln!(
                    text,
                    "{family}{{{labels}}} {}.{:02}",
                    hundredths / 100,
                    hundredths % 100
                )
            };
        }
    }
    text
}
