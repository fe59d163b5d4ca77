//! Loki's query API under `/loki/api/v1`: query, query_range, labels, values, series.

use super::Api;
use super::loki_json::{ApiResult, Metadata, answer};
use super::params::{Params, duration, time_ns};
use super::prometheus_json::json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use model::time::NS_PER_S;
use model::{Direction, Error, Predicate, Result, ScanRequest, TimeRange};
use query::logql::LogParams;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/loki/api/v1/query", get(instant).post(instant))
        .route("/loki/api/v1/query_range", get(range).post(range))
        .route("/loki/api/v1/labels", get(label_names).post(label_names))
        .route("/loki/api/v1/label", get(label_names).post(label_names))
        .route("/loki/api/v1/label/{name}/values", get(label_values))
        .route("/loki/api/v1/series", get(series).post(series))
}

/// Rows of a log query that names no limit.
const DEFAULT_LIMIT: u64 = 100;
/// Width of a log query that names no start.
const DEFAULT_RANGE_NS: i64 = 3_600 * NS_PER_S;

async fn range(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let expr = params.required("query")?.to_owned();
    let time = time_range(&api, &params)?;
    let direction = direction(&params)?;
    let step_ns = match params.parsed("step", duration)? {
        Some(step) => i64::try_from(step.as_nanos()).unwrap_or(i64::MAX),
        // Loki's default: about 250 points, in whole seconds.
        None => ((time.end_ns - time.start_ns) / 250 / NS_PER_S).max(1) * NS_PER_S,
    };
    let limit = limit(&api, &params)?;
    let log_params = LogParams {
        start_ns: time.start_ns,
        end_ns: time.end_ns,
        step_ns,
        limit,
        direction,
    };
    let engine = api.logql.clone();
    let (result, warnings) = api
        .queries
        .run("logql", None, move |b| {
            let result = engine.range(&tenant, &expr, log_params, b)?;
            Ok((result, b.warnings()))
        })
        .await?;
    answer(
        &result,
        &warnings,
        direction,
        metadata_form(&headers),
        api.queries.limits().max_response_bytes,
    )
}

async fn instant(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let expr = params.required("query")?.to_owned();
    let at_ns = params
        .parsed("time", time_ns)?
        .unwrap_or_else(|| api.queries.clock().now_ns());
    let engine = api.logql.clone();
    let (result, warnings) = api
        .queries
        .run("logql", None, move |b| {
            let result = engine.instant(&tenant, &expr, at_ns, b)?;
            Ok((result, b.warnings()))
        })
        .await?;
    answer(
        &result,
        &warnings,
        direction(&params)?,
        metadata_form(&headers),
        api.queries.limits().max_response_bytes,
    )
}

fn metadata_form(headers: &HeaderMap) -> Metadata {
    let flags = headers
        .get("x-loki-response-encoding-flags")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if flags.split(',').any(|f| f.trim() == "categorize-labels") {
        Metadata::Categorised
    } else {
        Metadata::InLabels
    }
}

fn direction(params: &Params) -> Result<Direction> {
    let direction = params.parsed("direction", |text| match text.to_ascii_lowercase().as_str() {
        "forward" => Ok(Direction::Forward),
        "backward" => Ok(Direction::Backward),
        _ => Err(Error::bad_data(format!(
            "{text:?} is neither forward nor backward"
        ))),
    })?;
    Ok(direction.unwrap_or(Direction::Backward))
}

fn limit(api: &Api, params: &Params) -> Result<usize> {
    let limit = params.number("limit")?.unwrap_or(DEFAULT_LIMIT);
    let max = api.queries.limits().max_rows;
    if limit > max {
        return Err(Error::bad_data(format!(
            "parameter \"limit\": {limit} is more than {max} (limits.query.max_rows); page with start and end"
        )));
    }
    if limit == 0 {
        return Err(Error::bad_data("parameter \"limit\": must be larger than zero"));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// `start` and `end`, or `since`; the last hour by default.
fn time_range(api: &Api, params: &Params) -> Result<TimeRange> {
    let end_ns = params
        .parsed("end", time_ns)?
        .unwrap_or_else(|| api.queries.clock().now_ns());
    let since = params
        .parsed("since", duration)?
        .map(|d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    let default_start = end_ns.saturating_sub(since.unwrap_or(DEFAULT_RANGE_NS));
    let start_ns = params.parsed("start", time_ns)?.unwrap_or(default_start);
    if end_ns < start_ns {
        return Err(Error::bad_data("parameter \"end\": must not be before start"));
    }
    Ok(TimeRange { start_ns, end_ns })
}

async fn label_names(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    ask(&api, &headers, &params, model::Read::label_names).await
}

async fn label_values(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> ApiResult {
    ask(&api, &headers, &params, move |reader, request| {
        reader.label_values(request, &name)
    })
    .await
}

async fn series(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    ask(&api, &headers, &params, model::Read::series).await
}

/// Asks once for each selector of `query` or `match[]` (once for everything when there is none).
async fn ask<T: Ord + serde::Serialize + Send + 'static>(
    api: &Api,
    headers: &HeaderMap,
    params: &Params,
    ask: impl Fn(&dyn model::Read<model::LogBatch>, &ScanRequest) -> Result<Vec<T>> + Send + 'static,
) -> ApiResult {
    let tenant = runtime::http::tenant_of(headers)?;
    let range = time_range(api, params)?;
    let mut predicates = Vec::new();
    for selector in params
        .all("match[]")
        .chain(params.all("match"))
        .chain(params.all("query"))
    {
        if !selector.is_empty() {
            predicates.push(Predicate::labels(query::logql::parse_selector(selector)?));
        }
    }
    if predicates.is_empty() {
        predicates.push(Predicate::all());
    }
    let reader = api.logs.clone();
    let all = api
        .queries
        .run("metadata", None, move |budget| {
            let mut all = std::collections::BTreeSet::new();
            for predicate in predicates {
                all.extend(ask(
                    &*reader,
                    &ScanRequest::new(tenant.clone(), range, predicate, budget.clone()),
                )?);
            }
            Ok(all)
        })
        .await?;
    let data = serde_json::to_string(&all).map_err(|e| Error::internal(e.to_string()))?;
    Ok(json(format!(r#"{{"status":"success","data":{data}}}"#)))
}
