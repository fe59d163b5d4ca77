//! What binnacle knows about itself: `/metrics`, targets, rules, alerts, build.

use super::Api;
use super::prometheus_json::{ApiResult, success};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/targets", get(targets))
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/status/buildinfo", get(build))
        .route("/api/v1/status/runtimeinfo", get(runtime_info))
        .route("/loki/api/v1/status/buildinfo", get(loki_build))
}

async fn metrics(State(api): State<Api>) -> Response {
    let text = api.registry.gather_text();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}

async fn targets(State(api): State<Api>) -> ApiResult {
    success(
        &json!({ "activeTargets": api.scrapes.targets(), "droppedTargets": api.scrapes.dropped_targets() }),
    )
}

async fn rules(State(api): State<Api>) -> ApiResult {
    success(&api.alerts.rules())
}

async fn alerts(State(api): State<Api>) -> ApiResult {
    success(&api.alerts.alerts())
}

async fn build() -> ApiResult {
    success(&json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": "", "application": "binnacle",
    }))
}

/// What there is to say about one run of the program.
#[derive(Debug)]
pub struct About {
    /// When it started, and read its configuration: milliseconds since the epoch.
    pub started_ms: i64,
    /// The machine's name.
    pub hostname: String,
    /// How long metrics are kept.
    pub retention: String,
}

/// Go's names for what is alike here: tasks for goroutines, worker threads for its processors. Memory has no soft limit.
async fn runtime_info(State(api): State<Api>) -> ApiResult {
    let about = &api.about;
    let time = |ms: i64| wire::rfc3339::format_ns(ms.saturating_mul(model::time::NS_PER_MS));
    let folder = std::env::current_dir().map_or_else(|_| String::new(), |d| d.display().to_string());
    let tasks = tokio::runtime::Handle::current().metrics();
    success(&json!({
        "startTime": time(about.started_ms),
        "CWD": folder,
        "hostname": about.hostname,
        "serverTime": time(api.queries.clock().now_ms()),
        "reloadConfigSuccess": true,
        "lastConfigTime": time(about.started_ms),
        "corruptionCount": api.stores.metrics.stats().unreadable.len(),
        "goroutineCount": tasks.num_alive_tasks(),
        "GOMAXPROCS": tasks.num_workers(),
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": about.retention,
    }))
}

async fn loki_build() -> Response {
    super::prometheus_json::json(
        json!({ "version": env!("CARGO_PKG_VERSION"), "application": "binnacle" }).to_string(),
    )
}
