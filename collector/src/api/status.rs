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

async fn loki_build() -> Response {
    super::prometheus_json::json(
        json!({ "version": env!("CARGO_PKG_VERSION"), "application": "binnacle" }).to_string(),
    )
}
