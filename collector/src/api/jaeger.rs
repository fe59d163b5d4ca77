//! Jaeger's v1 query API under `/jaeger/api`: services, operations, search, one trace.

use super::Api;
use super::jaeger_json::{envelope, error, trace};
use super::params::Params;
use super::prometheus_json::json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{Error, Result, SpanKind, TimeRange, TraceId};
use query::traces::{Operation, Search};
use std::collections::BTreeMap;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/jaeger/api/services", get(services))
        .route(
            "/jaeger/api/services/{service}/operations",
            get(operations_of_service),
        )
        .route("/jaeger/api/operations", get(operations))
        .route("/jaeger/api/traces", get(search))
        .route("/jaeger/api/traces/{id}", get(by_id))
}

/// An error in Jaeger's form.
struct ApiError(Error);

impl From<Error> for ApiError {
    fn from(e: Error) -> Self {
        Self(e)
    }
}
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = runtime::http::query_status_of(&self.0);
        let body = error(status.as_u16(), self.0.message()).to_string();
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

type ApiResult = std::result::Result<Response, ApiError>;

/// Traces of a search that names no limit; Jaeger's own default.
const DEFAULT_LIMIT: u64 = 20;
/// How far back a search without a start looks.
const DEFAULT_LOOKBACK_NS: i64 = 2 * 86_400 * model::time::NS_PER_S;

async fn services(State(api): State<Api>, headers: HeaderMap) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let traces = api.traces.clone();
    let names = api
        .queries
        .run("traces", None, move |b| {
            query::traces::services(&*traces, &tenant, b)
        })
        .await?;
    Ok(json(envelope(&serde_json::json!(names), names.len()).to_string()))
}

async fn operations_of_service(
    State(api): State<Api>,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let mut names: Vec<_> = find_operations(&api, &headers, service, None)
        .await?
        .into_iter()
        .map(|o| o.name)
        .collect();
    names.dedup();
    Ok(json(envelope(&serde_json::json!(names), names.len()).to_string()))
}

async fn operations(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let service = params.required("service")?.to_owned();
    let kind = params.parsed("spanKind", |text| {
        let all = (1..=5).map(SpanKind::from_u8);
        let found = all.into_iter().find(|k| k.as_str() == text.to_ascii_lowercase());
        found.ok_or_else(|| {
            Error::bad_data(format!(
                "{text:?} is none of internal, server, client, producer, consumer"
            ))
        })
    })?;
    let found = find_operations(&api, &headers, service, kind).await?;
    let rows: Vec<_> = found
        .iter()
        .map(|o| serde_json::json!({ "name": o.name, "spanKind": o.kind.as_str() }))
        .collect();
    Ok(json(envelope(&serde_json::json!(rows), rows.len()).to_string()))
}

async fn find_operations(
    api: &Api,
    headers: &HeaderMap,
    service: String,
    kind: Option<SpanKind>,
) -> Result<Vec<Operation>> {
    let tenant = runtime::http::tenant_of(headers)?;
    let traces = api.traces.clone();
    api.queries
        .run("traces", None, move |b| {
            query::traces::operations(&*traces, &tenant, &service, kind, b)
        })
        .await
}

async fn by_id(State(api): State<Api>, Path(id): Path<String>, headers: HeaderMap) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let id = TraceId::from_hex(&id)?;
    let traces = api.traces.clone();
    let found = api
        .queries
        .run("traces", None, move |b| {
            query::traces::get(&*traces, &tenant, id, b)
        })
        .await?;
    match found {
        Some(groups) => Ok(json(
            envelope(&serde_json::json!([trace(&groups)]), 1).to_string(),
        )),
        None => Err(Error::new(model::ErrorKind::NotFound, "trace not found").into()),
    }
}

async fn search(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let traces = api.traces.clone();
    let mut found = Vec::new();
    let ids: Vec<TraceId> = params
        .all("traceID")
        .map(TraceId::from_hex)
        .collect::<Result<_>>()?;
    if ids.is_empty() {
        let wanted = trace_query(&api, &params)?;
        found = api
            .queries
            .run("traces", None, move |b| {
                query::traces::search(&*traces, &tenant, &wanted, b)
            })
            .await?;
    } else {
        for id in ids {
            let (traces, tenant) = (traces.clone(), tenant.clone());
            let one = api
                .queries
                .run("traces", None, move |b| {
                    query::traces::get(&*traces, &tenant, id, b)
                })
                .await?;
            found.extend(one);
        }
    }
    let rows: Vec<_> = found.iter().map(|groups| trace(groups)).collect();
    Ok(json(envelope(&serde_json::json!(rows), rows.len()).to_string()))
}

fn trace_query(api: &Api, params: &Params) -> Result<Search> {
    let micros = |name: &str| -> Result<Option<i64>> {
        params.parsed(name, |text| {
            let n: i64 = text
                .parse()
                .map_err(|_| Error::bad_data(format!("{text:?} is not a number of microseconds")))?;
            n.checked_mul(1000)
                .ok_or_else(|| Error::bad_data(format!("{text:?} is out of range")))
        })
    };
    let end_ns = micros("end")?.unwrap_or_else(|| api.queries.clock().now_ns());
    let start_ns = micros("start")?.unwrap_or(end_ns.saturating_sub(DEFAULT_LOOKBACK_NS));
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for text in params.all("tags").filter(|t| !t.is_empty()) {
        let map: BTreeMap<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|e| Error::bad_data(format!("parameter \"tags\": not a JSON object of texts: {e}")))?;
        let plain = |v: serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        tags.extend(map.into_iter().map(|(k, v)| (k, plain(v))));
    }
    for text in params.all("tag") {
        let pair = text.split_once(':');
        let (k, v) =
            pair.ok_or_else(|| Error::bad_data(format!("parameter \"tag\": {text:?} is not key:value")))?;
        tags.insert(k.to_owned(), v.to_owned());
    }
    let limit = params
        .number("limit")?
        .unwrap_or(DEFAULT_LIMIT)
        .min(api.queries.limits().max_rows);
    let nanoseconds =
        |name: &str| -> Result<Option<i64>> { Ok(params.parsed(name, go_duration_ns)?.filter(|ns| *ns > 0)) };
    Ok(Search {
        service: params.get("service").map(str::to_owned),
        operation: params.get("operation").map(str::to_owned),
        tags: tags.into_iter().collect(),
        min_duration_ns: nanoseconds("minDuration")?,
        max_duration_ns: nanoseconds("maxDuration")?,
        range: TimeRange { start_ns, end_ns },
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    })
}

/// A duration as Go writes it: `1.5s`, `250ms`, `100us`, `1m30s`.
fn go_duration_ns(text: &str) -> Result<i64> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 6e10),
        ("h", 3.6e12),
    ];
    let bad = || {
        Error::bad_data(format!(
            "{text:?} is not a duration: write for instance 1.5s, 250ms or 100us"
        ))
    };
    let (mut rest, mut total) = (text, 0.0);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = UNITS
            .iter()
            .find(|(name, _)| *name == &rest[..letters])
            .ok_or_else(bad)?;
        total += number * unit.1;
        rest = &rest[letters..];
    }
    if total > 9.0e18 {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
    Ok(total as i64)
}

#[cfg(test)]
mod tests {
    use super::go_duration_ns;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, ns) in [
            ("1.5s", 1_500_000_000),
            ("250ms", 250_000_000),
            ("100us", 100_000),
            ("100µs", 100_000),
            ("1m30s", 90_000_000_000),
            ("7ns", 7),
        ] {
            assert_eq!(go_duration_ns(text).unwrap(), ns, "{text}");
        }
        for bad in ["", "5", "x", "1.2.3s", "-1s", "99999999h"] {
            assert!(go_duration_ns(bad).is_err(), "{bad}");
        }
    }
}
