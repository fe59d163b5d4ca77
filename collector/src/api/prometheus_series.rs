//! Prometheus' API for what there is: label names, label values, series.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiResult, success_with, write_labels};
use super::prometheus_params::{invalid, limit, selectors, time_range};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use model::{Error, Labels, Matcher, Predicate, Read, Result, ScanRequest, SeriesData, Tenant, TimeRange};
use query::go::quote;
use std::collections::BTreeSet;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/api/v1/labels", get(label_names).post(label_names))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/series", get(series).post(series))
}

/// What these endpoints have in common: `match[]`, `start`, `end`, `limit`.
struct Selection {
    tenant: Tenant,
    range: TimeRange,
    selectors: Vec<Vec<Matcher>>,
    limit: Option<usize>,
}

impl Selection {
    /// `name_selectors` puts the parameter's name before what is wrong with a selector.
    fn of(headers: &HeaderMap, params: &Params, name_selectors: impl Fn(Error) -> Error) -> Result<Self> {
        let limit = limit(params)?;
        let (start_ms, end_ms) = time_range(params)?;
        Ok(Self {
            tenant: runtime::http::tenant_of(headers)?,
            range: TimeRange::from_ms(start_ms, end_ms),
            selectors: selectors(params).map_err(name_selectors)?,
            limit,
        })
    }
    /// Asks once for each selector (once for everything when there is none) and joins the answers.
    async fn ask<T: Ord + Send + 'static>(
        self,
        api: &Api,
        ask: impl Fn(&dyn Read<SeriesData>, &ScanRequest) -> Result<Vec<T>> + Send + 'static,
    ) -> Result<Found<T>> {
        let reader = api.metrics.clone();
        let (items, mut warnings) = api
            .queries
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
                Ok((all, budget.warnings()))
            })
            .await?;
        let limit = self.limit.unwrap_or(usize::MAX);
        if items.len() > limit {
            warnings.push("results truncated due to limit".to_owned());
        }
        Ok(Found {
            items: items.into_iter().take(limit).collect(),
            warnings,
        })
    }
}

/// What was found, sorted.
struct Found<T> {
    items: Vec<T>,
    warnings: Vec<String>,
}

impl Found<String> {
    fn answer(&self) -> ApiResult {
        let data = serde_json::to_string(&self.items).map_err(|e| Error::internal(e.to_string()))?;
        Ok(success_with(&data, &self.warnings))
    }
}

async fn label_names(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let selection = Selection::of(&headers, &params, |e| e)?;
    selection.ask(&api, Read::label_names).await?.answer()
}

async fn label_values(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    params: Params,
) -> ApiResult {
    // What is no UTF-8 is no name.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let name = unescaped(name);
    if name.is_empty() {
        return Err(Error::bad_data(format!("invalid label name: {}", quote(&name))).into());
    }
    let ask = move |reader: &dyn Read<SeriesData>, request: &ScanRequest| reader.label_values(request, &name);
    let selection = Selection::of(&headers, &params, |e| e)?;
    selection.ask(&api, ask).await?.answer()
}

async fn series(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    if params.all("match[]").next().is_none() {
        return Err(Error::bad_data("no match[] parameter provided").into());
    }
    let selection = Selection::of(&headers, &params, invalid("match[]"))?;
    let found: Found<Labels> = selection.ask(&api, Read::series).await?;
    let mut data = String::from("[");
    for (i, labels) in found.items.iter().enumerate() {
        data.push_str(if i == 0 { "" } else { "," });
        write_labels(&mut data, labels);
    }
    data.push(']');
    Ok(success_with(&data, &found.warnings))
}

/// The name that `U__` and escapes stand for: `_2E_` is the character with that number, `__` an underscore. A name that
/// is not written so is taken as it is.
fn unescaped(name: String) -> String {
    name.strip_prefix("U__").and_then(unescape).unwrap_or(name)
}

fn unescape(mut rest: &str) -> Option<String> {
    let mut name = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        let (code, after) = rest[at + 1..].split_once('_')?;
        if code.is_empty() {
            name.push('_');
        } else {
            let digits = code.len() <= 6 && code.bytes().all(|b| b.is_ascii_hexdigit());
            let code = digits.then(|| u32::from_str_radix(code, 16).ok())??;
            name.push(char::from_u32(code)?);
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_taken_for_what_they_stand_for() {
        let check = |name: &str, expected: &str| assert_eq!(unescaped(name.to_owned()), expected);
        check("job", "job");
        check("a_b", "a_b");
        check("U__http_2e_status", "http.status");
        check("U__a__b", "a_b");
        check("U__a_1F600_", "a\u{1f600}");
        check("U__", "");
        check("U__a_b", "U__a_b");
        check("U__a_D800_", "U__a_D800_");
        check("U__a_00000002e_", "U__a_00000002e_");
    }
}
