//! Prometheus' `/api/v1/query_exemplars`: the exemplars of all series that an expression selects.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiResult, no_content, success_with, write_exemplars};
use super::prometheus_params::time_range;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use model::{Error, Predicate, TimeRange};
use query::promql::syntax;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new().route(
        "/api/v1/query_exemplars",
        get(query_exemplars).post(query_exemplars),
    )
}

async fn query_exemplars(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let (start_ms, end_ms) = time_range(&params)?;
    if end_ms < start_ms {
        return Err(Error::bad_data("end timestamp must not be before start timestamp").into());
    }
    let expr = syntax::parse(params.get("query").unwrap_or_default())?;
    let selectors = expr.selectors();
    if selectors.is_empty() {
        return Ok(no_content());
    }
    let predicates: Vec<Predicate> = selectors
        .into_iter()
        .map(|matchers| Predicate::labels(matchers.to_vec()))
        .collect();
    let store = api.stores.metrics.clone();
    let max_bytes = api.queries.limits().max_response_bytes;
    let run = move |budget: &model::Budget| {
        let range = TimeRange::from_ms(start_ms, end_ms);
        let found = store.exemplars(&tenant, &predicates, range, budget)?;
        let mut data = String::new();
        write_exemplars(&mut data, &found);
        Ok((data, budget.warnings()))
    };
    let (data, warnings) = api.queries.run("exemplars", None, run).await?;
    if data.len() as u64 > max_bytes {
        return Err(Error::limit(format!(
            "the exemplars have {} bytes, more than {max_bytes} (limits.query.max_response_bytes); narrow the query",
            data.len()
        ))
        .into());
    }
    Ok(success_with(&data, &warnings))
}
