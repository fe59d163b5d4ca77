//! Snapshots: Prometheus' `POST /api/v1/admin/tsdb/snapshot`, and how to list and remove them.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiResult, success};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::{delete, get};
use model::{Error, Result};
use serde_json::{Value, json};

/// The routes; all of them need admin access.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/api/v1/admin/tsdb/snapshot", get(list).post(create).put(create))
        .route("/api/v1/admin/tsdb/snapshot/{name}", delete(remove))
}

async fn create(State(api): State<Api>, params: Params) -> ApiResult {
    let name = api.stores.snapshot(skip_head(&params)?).await?;
    success(&json!({ "name": name }))
}

async fn list(State(api): State<Api>) -> ApiResult {
    let snapshots = api.stores.snapshots().await?;
    let listed = snapshots
        .iter()
        .map(|s| json!({ "name": s.name, "sizeBytes": s.size_bytes }));
    success(&listed.collect::<Vec<Value>>())
}

async fn remove(State(api): State<Api>, Path(name): Path<String>) -> ApiResult {
    api.stores.remove_snapshot(name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Prometheus': leave out what is in memory only. The words for it are those of its language.
fn skip_head(params: &Params) -> Result<bool> {
    match params.get("skip_head") {
        None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some(other) => Err(Error::bad_data(format!(
            "invalid parameter \"skip_head\": {other:?} is neither true nor false"
        ))),
    }
}
