//! Upkeep by hand: `POST /-/compact`, and Prometheus' `/api/v1/admin/tsdb` for deleting series.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiError, no_content};
use super::prometheus_params::{invalid, time_range};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use model::{Error, Predicate, Result, Tenant};

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/-/compact", post(compact))
        .route(
            "/api/v1/admin/tsdb/delete_series",
            post(delete_series).put(delete_series),
        )
        .route(
            "/api/v1/admin/tsdb/clean_tombstones",
            post(clean_tombstones).put(clean_tombstones),
        )
}

/// Seals and merges everything in all stores; answers when nothing is left to do.
async fn compact(State(api): State<Api>) -> Response {
    match api.stores.compact().await {
        Ok(()) => "compacted\n".into_response(),
        Err(e) => runtime::http::plain_error(&e),
    }
}

/// What is to be deleted.
struct Deletion {
    tenant: Tenant,
    predicates: Vec<Predicate>,
    range_ms: (i64, i64),
}

impl Deletion {
    fn of(headers: &HeaderMap, params: &Params) -> Result<Self> {
        if params.all("match[]").next().is_none() {
            return Err(Error::bad_data("no match[] parameter provided"));
        }
        let (start, end) = time_range(params)?;
        if end < start {
            let e = Error::bad_data("end timestamp must not be before start time");
            return Err(invalid("end")(e));
        }
        let selector = |text: &str| query::promql::parse_selector(text).map(Predicate::labels);
        let selectors = params.all("match[]").map(selector).collect::<Result<Vec<_>>>();
        let predicates = selectors.map_err(invalid("match[]"))?;
        Ok(Self {
            tenant: runtime::http::tenant_of(headers)?,
            predicates,
            range_ms: (start, end),
        })
    }
}

async fn delete_series(
    State(api): State<Api>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let Deletion {
        tenant,
        predicates,
        range_ms,
    } = Deletion::of(&headers, &params)?;
    let store = api.stores.metrics.clone();
    api.queries
        .run("delete", None, move |budget| {
            store.delete(&tenant, &predicates, range_ms, budget)
        })
        .await?;
    Ok(no_content())
}

async fn clean_tombstones(State(api): State<Api>) -> Result<Response, ApiError> {
    let store = api.stores.metrics.clone();
    tokio::task::spawn_blocking(move || store.clean())
        .await
        .map_err(|e| Error::internal(format!("cleaning ended in a bug: {e}")))??;
    Ok(no_content())
}
