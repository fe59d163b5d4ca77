//! Why there are so many series: `/api/v1/status/tsdb` in Prometheus' form, and `/api/v1/cardinality` with growth.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiError, ApiResult, success};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use model::{Error, Tenant};
use serde_json::{Value, json};
use tsdb::{Cardinality, Stats};

/// Entries of each list, where the request does not say.
const DEFAULT_LIMIT: usize = 10;
/// And at most.
const MAX_LIMIT: usize = 10_000;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/api/v1/status/tsdb", get(status))
        .route("/api/v1/cardinality", get(cardinality))
}

async fn status(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let (counted, stats) = count(api, &headers, &params).await?;
    success(&json!({
        "headStats": {
            "numSeries": stats.head_series,
            "numLabelPairs": counted.pairs,
            "chunkCount": stats.head_blocks,
            "minTime": stats.min_ms,
            "maxTime": stats.max_ms,
        },
        "seriesCountByMetricName": named(&counted.series_by_metric),
        "labelValueCountByLabelName": named(&counted.values_by_name),
        "memoryInBytesByLabelName": named(&counted.bytes_by_name),
        "seriesCountByLabelValuePair": pairs(&counted),
    }))
}

async fn cardinality(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let (counted, stats) = count(api, &headers, &params).await?;
    let created = counted
        .created_by_hour
        .iter()
        .map(|(hour_ms, series)| json!({ "hour": hour_ms / 1000, "series": series }));
    success(&json!({
        "activeSeries": stats.head_series,
        "series": counted.series,
        "labelNames": counted.names,
        "labelPairs": counted.pairs,
        "seriesByMetricName": named(&counted.series_by_metric),
        "valuesByLabelName": named(&counted.values_by_name),
        "bytesByLabelName": named(&counted.bytes_by_name),
        "seriesByLabelPair": pairs(&counted),
        "createdByHour": created.collect::<Vec<_>>(),
    }))
}

/// Counts on a thread that may block: the catalog may have to be read from disk.
async fn count(api: Api, headers: &HeaderMap, params: &Params) -> Result<(Cardinality, Stats), ApiError> {
    let tenant: Tenant = runtime::http::tenant_of(headers)?;
    let limit = match params.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => match text.parse() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
            _ => {
                let message = format!("limit is {text:?}; give a whole number from 1 to {MAX_LIMIT}");
                return Err(Error::bad_data(message).into());
            }
        },
    };
    let work = tokio::task::spawn_blocking(move || {
        let metrics = &api.stores.metrics;
        Ok::<_, Error>((
            metrics.cardinality(&tenant, limit)?,
            metrics.tenant_stats(&tenant),
        ))
    });
    let counted = work
        .await
        .map_err(|e| Error::internal(format!("counting series ended in a bug: {e}")))?;
    Ok(counted?)
}

fn named(counts: &[(String, u64)]) -> Vec<Value> {
    let entry = |(name, value): &(String, u64)| json!({ "name": name, "value": value });
    counts.iter().map(entry).collect()
}

fn pairs(counted: &Cardinality) -> Vec<Value> {
    let pairs = counted.series_by_pair.iter();
    pairs
        .map(|(name, value, series)| json!({ "name": format!("{name}={value}"), "value": series }))
        .collect()
}
