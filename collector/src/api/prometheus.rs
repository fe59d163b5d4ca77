//! Prometheus' query API under `/api/v1`: query, query_range, labels, label values, series.

use super::Api;
use super::params::{Params, duration, time_ms};
use super::prometheus_json::{ApiResult, query_answer, success};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use model::{Error, Labels, Matcher, Predicate, Resolution, Result, ScanRequest, Tenant, TimeRange};
use query::promql::RangeParams;
use std::collections::BTreeSet;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/api/v1/query", get(instant).post(instant))
        .route("/api/v1/query_range", get(range).post(range))
        .route("/api/v1/labels", get(label_names).post(label_names))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/series", get(series).post(series))
}

async fn instant(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let expr = params.required("query")?.to_owned();
    let at_ms = params
        .parsed("time", time_ms)?
        .unwrap_or_else(|| api.queries.clock().now_ms());
    let timeout = params.duration("timeout")?;
    let engine = api.promql.at_resolution(resolution(&params, 0)?);
    let limit = params.number("limit")?;
    let result = api
        .queries
        .run("promql", timeout, move |b| {
            engine.instant(&tenant, &expr, at_ms, b)
        })
        .await?;
    query_answer(&truncated(result, limit), api.queries.limits().max_response_bytes)
}

async fn range(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let expr = params.required("query")?.to_owned();
    let range = range_params(&params)?;
    check_points(range, api.queries.limits().max_points_per_series)?;
    let timeout = params.duration("timeout")?;
    let engine = api.promql.at_resolution(resolution(&params, range.step_ms)?);
    let limit = params.number("limit")?;
    let result = api
        .queries
        .run("promql", timeout, move |b| engine.range(&tenant, &expr, range, b))
        .await?;
    query_answer(&truncated(result, limit), api.queries.limits().max_response_bytes)
}

/// `start`, `end` and `step` of a range query.
pub fn range_params(params: &Params) -> Result<RangeParams> {
    let required = |name| params.required(name);
    required("start")?;
    required("end")?;
    required("step")?;
    let start_ms = params.parsed("start", time_ms)?.unwrap_or_default();
    let end_ms = params.parsed("end", time_ms)?.unwrap_or_default();
    let step = params.parsed("step", duration)?.unwrap_or_default();
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    if step_ms == 0 {
        return Err(Error::bad_data(
            "parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end_ms < start_ms {
        return Err(Error::bad_data(
            "parameter \"end\": end timestamp must not be before start time",
        ));
    }
    Ok(RangeParams {
        start_ms,
        end_ms,
        step_ms,
    })
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

/// Refuses a range query whose series would be longer than the limit.
pub fn check_points(range: RangeParams, max: u64) -> Result<()> {
    let steps = (range.end_ms - range.start_ms) / range.step_ms;
    if steps.unsigned_abs() < max {
        return Ok(());
    }
    Err(Error::bad_data(format!(
        "exceeded maximum resolution of {max} points per timeseries. Try decreasing the query resolution (?step=XX) (limits.query.max_points_per_series)"
    )))
}

/// The API's own `limit`: so many series, with a warning when there were more.
fn truncated(mut result: query::promql::QueryResult, limit: Option<u64>) -> query::promql::QueryResult {
    use query::promql::QueryValue;
    let Some(limit) = limit.filter(|l| *l > 0) else {
        return result;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
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
    result
}

/// What the metadata endpoints have in common: `match[]`, `start`, `end`.
struct Selection {
    tenant: Tenant,
    range: TimeRange,
    selectors: Vec<Vec<Matcher>>,
    limit: usize,
}

impl Selection {
    fn of(headers: &HeaderMap, params: &Params) -> Result<Self> {
        let start = params.parsed("start", time_ms)?;
        let end = params.parsed("end", time_ms)?;
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            return Err(Error::bad_data(
                "parameter \"end\": end timestamp must not be before start time",
            ));
        }
        let selectors = params
            .all("match[]")
            .map(query::promql::parse_selector)
            .collect::<Result<_>>();
        let limit = params.number("limit")?.filter(|l| *l > 0);
        Ok(Self {
            tenant: runtime::http::tenant_of(headers)?,
            range: TimeRange::from_ms(start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX)),
            selectors: selectors.map_err(|e| e.within("parameter \"match[]\""))?,
            limit: limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX)),
        })
    }
    /// Asks once for each selector (once for everything when there is none) and joins the answers.
    async fn ask<T: Ord + Send + 'static>(
        self,
        api: &Api,
        ask: impl Fn(&dyn model::Read<model::SeriesData>, &ScanRequest) -> Result<Vec<T>> + Send + 'static,
    ) -> Result<(Vec<T>, bool)> {
        let reader = api.metrics.clone();
        api.queries
            .run("metadata", None, move |budget| {
                let predicates: Vec<Predicate> = if self.selectors.is_empty() {
                    vec![Predicate::all()]
                } else {
                    self.selectors.into_iter().map(Predicate::labels).collect()
                };
                let mut all = BTreeSet::new();
                for predicate in predicates {
                    let request =
                        ScanRequest::new(self.tenant.clone(), self.range, predicate, budget.clone());
                    all.extend(ask(&*reader, &request)?);
                }
                let more = all.len() > self.limit;
                Ok((all.into_iter().take(self.limit).collect(), more))
            })
            .await
    }
}

fn list<T: serde::Serialize>((items, more): (Vec<T>, bool)) -> ApiResult {
    if !more {
        return success(&items);
    }
    let body = serde_json::json!({
        "status": "success", "data": items, "warnings": ["results truncated due to limit"],
    });
    Ok(super::prometheus_json::json(body.to_string()))
}

async fn label_names(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    list(
        Selection::of(&headers, &params)?
            .ask(&api, model::Read::label_names)
            .await?,
    )
}

async fn label_values(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> ApiResult {
    let ask = move |reader: &dyn model::Read<model::SeriesData>, request: &ScanRequest| {
        reader.label_values(request, &name)
    };
    list(Selection::of(&headers, &params)?.ask(&api, ask).await?)
}

async fn series(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let selection = Selection::of(&headers, &params)?;
    if selection.selectors.is_empty() {
        return Err(Error::bad_data("no match[] parameter provided").into());
    }
    let (found, more): (Vec<Labels>, bool) = selection.ask(&api, model::Read::series).await?;
    list((found, more))
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
