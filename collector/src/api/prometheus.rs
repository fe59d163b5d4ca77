//! Prometheus' query API under `/api/v1`: query, query_range, and what there is to say about the text of a query.

use super::Api;
use super::params::{Params, duration};
use super::prometheus_json::{ApiResult, query_answer, success, success_with};
use super::prometheus_params::{self, invalid, limit, optional_time_ms};
use super::prometheus_stats::{Asked, Stats};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use model::{Budget, Error, ErrorKind, Resolution, Result};
use query::promql::syntax::{self, Expr};
use query::promql::{Engine, QueryResult, QueryValue};
use std::time::Duration;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/api/v1/query", get(instant).post(instant))
        .route("/api/v1/query_range", get(range).post(range))
        .route("/api/v1/format_query", get(format_query).post(format_query))
        .route("/api/v1/parse_query", get(parse_query).post(parse_query))
}

async fn instant(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let limit = limit(&params)?;
    let at_ms = optional_time_ms(&params, "time")?.unwrap_or_else(|| api.queries.clock().now_ms());
    let query = Query::of(&api, &params, 0)?;
    let evaluate =
        move |engine: &Engine, text: &str, budget: &Budget| engine.instant(&tenant, text, at_ms, budget);
    query.answer(&api, limit, Some(at_ms), evaluate).await
}

async fn range(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let limit = limit(&params)?;
    let range = prometheus_params::range(&params)?;
    range.check_points(api.queries.limits().max_points_per_series)?;
    let query = Query::of(&api, &params, range.step_ms)?;
    let only_step_ms =
        Some(range.start_ms).filter(|_| range.end_ms.saturating_sub(range.start_ms) < range.step_ms);
    let evaluate =
        move |engine: &Engine, text: &str, budget: &Budget| engine.range(&tenant, text, range, budget);
    query.answer(&api, limit, only_step_ms, evaluate).await
}

async fn format_query(params: Params) -> ApiResult {
    success(&parsed(&params)?.pretty())
}

async fn parse_query(params: Params) -> ApiResult {
    Ok(success_with(&parsed(&params)?.to_json(), &[]))
}

fn parsed(params: &Params) -> Result<Expr> {
    syntax::parse(params.get("query").unwrap_or_default()).map_err(invalid("query"))
}

/// What both kinds of queries have in common, in the order in which Prometheus looks at it.
struct Query {
    text: String,
    timeout: Option<Duration>,
    engine: Engine,
    stats: Asked,
    warning: Option<String>,
}

impl Query {
    fn of(api: &Api, params: &Params, step_ms: i64) -> Result<Self> {
        let timeout = prometheus_params::timeout(params)?;
        let mut engine = api.promql.clone();
        if let Some(lookback_ms) = prometheus_params::lookback_ms(params)? {
            engine = engine.with_lookback(lookback_ms);
        }
        let mut engine = engine.at_resolution(resolution(params, step_ms)?);
        if params.get("explain").is_some_and(|asked| asked != "false") {
            engine = engine.explaining();
        }
        let (stats, warning) = Asked::of(params);
        Ok(Self {
            text: params.get("query").unwrap_or_default().to_owned(),
            timeout,
            engine,
            stats,
            warning,
        })
    }
    /// Evaluates it and writes what comes of it. `only_step_ms` is the time of a query that has one alone.
    async fn answer(
        self,
        api: &Api,
        limit: Option<usize>,
        only_step_ms: Option<i64>,
        evaluate: impl FnOnce(&Engine, &str, &Budget) -> Result<QueryResult> + Send + 'static,
    ) -> ApiResult {
        let Self {
            text, engine, stats, ..
        } = self;
        let only_step_ms = only_step_ms.filter(|_| stats == Asked::All);
        let run = move |budget: &Budget| {
            let waited_ns = budget.elapsed_ns();
            // What is malformed is the query: everything else was looked at before.
            let result = evaluate(&engine, &text, budget).map_err(|e| match e.kind() {
                ErrorKind::BadData => invalid("query")(e),
                _ => e,
            })?;
            let stats =
                (stats != Asked::Nothing).then(|| Stats::of(&result, waited_ns, budget, only_step_ms));
            Ok((result, stats))
        };
        let (mut result, stats) = api.queries.run("promql", self.timeout, run).await?;
        truncate(&mut result, limit);
        result.warnings.extend(self.warning);
        query_answer(&result, stats.as_ref(), api.queries.limits().max_response_bytes)
    }
}

/// Thanos' parameter `max_source_resolution`: `auto` takes windows of up to a fifth of the step, `0s` no windows at all.
/// Without it, windows are used where the samples have ended.
fn resolution(params: &Params, step_ms: i64) -> Result<Resolution> {
    let read = |text: &str| {
        if text == "auto" {
            return Ok(Resolution::AtMost(step_ms / 5));
        }
        match duration(text).ok().map(|width| width.as_millis()) {
            Some(0) => Ok(Resolution::Raw),
            Some(300_000) => Ok(Resolution::AtMost(300_000)),
            Some(3_600_000) => Ok(Resolution::AtMost(3_600_000)),
            _ => Err(Error::bad_data(format!(
                "{text:?} is not a resolution: write auto, 0s, 5m or 1h"
            ))),
        }
    };
    let asked = params.parsed("max_source_resolution", read)?;
    Ok(asked.unwrap_or_default())
}

/// The API's own `limit`: so many series, with a warning when there were more.
fn truncate(result: &mut QueryResult, limit: Option<usize>) {
    let Some(limit) = limit else {
        return;
    };
    let before = match &mut result.value {
        QueryValue::Vector(v) => {
            let before = v.len();
            v.truncate(limit);
            before
        }
        QueryValue::Matrix(m) => {
            let before = m.len();
            m.truncate(limit);
            before
        }
        QueryValue::Scalar(_) | QueryValue::String { .. } => 0,
    };
    if before > limit {
        result.warnings.push("results truncated due to limit".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_are_those_of_thanos() {
        let check = |text: &str, step_ms: i64, expected: Option<Resolution>| {
            let params = Params::from_pairs([("max_source_resolution", text)]);
            let read = resolution(&params, step_ms);
            match expected {
                Some(expected) => assert_eq!(read.unwrap(), expected, "{text}"),
                None => {
                    let message = read.unwrap_err().to_string();
                    assert!(message.contains("write auto, 0s, 5m or 1h"), "{message}");
                }
            }
        };
        check("", 1, Some(Resolution::Auto));
        check("0s", 1, Some(Resolution::Raw));
        check("0", 1, Some(Resolution::Raw));
        check("5m", 1, Some(Resolution::AtMost(300_000)));
        check("300", 1, Some(Resolution::AtMost(300_000)));
        check("1h", 1, Some(Resolution::AtMost(3_600_000)));
        check("auto", 1_500_000, Some(Resolution::AtMost(300_000)));
        check("auto", 0, Some(Resolution::AtMost(0)));
        check("10m", 1, None);
        check("coarse", 1, None);
    }
}
