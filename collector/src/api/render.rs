//! Pictures of queries: `GET /render/panel.svg` and `/render/panel.png`.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiError, ApiResult};
use super::prometheus_params;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use dashboard::render::{PanelSeries, PanelSpec, Theme, Unit};
use model::{Error, Labels, Result, SeriesData};
use query::promql::{QueryValue, RangeParams};

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/render/panel.svg", get(svg))
        .route("/render/panel.png", get(png))
}

async fn svg(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let picture = draw(&api, &headers, &params, |spec| {
        dashboard::render::svg(spec).map(String::into_bytes)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}

async fn png(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let picture = draw(&api, &headers, &params, dashboard::render::png).await?;
    Ok(([(header::CONTENT_TYPE, "image/png")], picture).into_response())
}

/// Points of a panel when no step is given.
const POINTS: i64 = 240;
/// Width of a panel's time when no start is given.
const DEFAULT_RANGE_MS: i64 = 3_600_000;

async fn draw(
    api: &Api,
    headers: &HeaderMap,
    params: &Params,
    draw: impl Fn(&PanelSpec) -> Result<Vec<u8>> + Send + 'static,
) -> Result<Vec<u8>, ApiError> {
    let tenant = runtime::http::tenant_of(headers)?;
    let expr = params.required("query")?.to_owned();
    let range = panel_range(api, params)?;
    range.check_points(api.queries.limits().max_points_per_series)?;
    let mut spec = spec(params, range)?;
    if spec.title.is_empty() {
        spec.title.clone_from(&expr);
    }
    spec.check()?;
    let legend = params.get("legend").map(str::to_owned);
    let engine = api.promql.clone();
    let picture = api.queries.run("render", None, move |budget| {
        let result = engine.range(&tenant, &expr, range, budget)?;
        let QueryValue::Matrix(series) = result.value else {
            return Err(Error::bad_data(
                "the query does not give series that can be drawn",
            ));
        };
        spec.series = series
            .iter()
            .map(|s| PanelSeries::new(name(s, legend.as_deref()), s))
            .collect();
        draw(&spec)
    });
    Ok(picture.await?)
}

/// `start`, `end` and `step`, or the last hour in a sensible step.
fn panel_range(api: &Api, params: &Params) -> Result<RangeParams> {
    if params.get("start").is_some() && params.get("end").is_some() && params.get("step").is_some() {
        return prometheus_params::range(params);
    }
    let time = super::params::time_ms;
    let end_ms = params
        .parsed("end", time)?
        .unwrap_or_else(|| api.queries.clock().now_ms());
    let start_ms = params
        .parsed("start", time)?
        .unwrap_or(end_ms.saturating_sub(DEFAULT_RANGE_MS));
    let step = params
        .duration("step")?
        .map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    let step_ms = step.unwrap_or((end_ms - start_ms) / POINTS).max(1);
    if end_ms <= start_ms {
        return Err(Error::bad_data("parameter \"end\": must be after start"));
    }
    Ok(RangeParams {
        start_ms,
        end_ms,
        step_ms,
    })
}

fn spec(params: &Params, range: RangeParams) -> Result<PanelSpec> {
    let pixels = |name: &str, default: u32| -> Result<u32> {
        let given = params.number(name)?;
        Ok(given.map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX)))
    };
    let base = PanelSpec::default();
    Ok(PanelSpec {
        title: params.get("title").unwrap_or_default().to_owned(),
        width: pixels("width", base.width)?,
        height: pixels("height", base.height)?,
        theme: params.parsed("theme", theme)?.unwrap_or_default(),
        unit: params.parsed("unit", unit)?.unwrap_or_default(),
        start_ms: range.start_ms,
        end_ms: range.end_ms,
        step_ms: range.step_ms,
        stacked: params.get("stacked").is_some_and(|v| v != "false" && v != "0"),
        series: Vec::new(),
    })
}

fn theme(name: &str) -> Result<Theme> {
    match name {
        "dark" => Ok(Theme::Dark),
        "light" => Ok(Theme::Light),
        _ => Err(Error::bad_data(format!("{name:?} is neither dark nor light"))),
    }
}

fn unit(name: &str) -> Result<Unit> {
    let known = "short, bytes, bytes_per_second, percent, percent_unit, seconds";
    Unit::from_name(name).ok_or_else(|| Error::bad_data(format!("{name:?} is none of {known}")))
}

/// A legend such as `{{pod}} on {{node}}`, or the series as it is written in PromQL.
fn name(series: &SeriesData, legend: Option<&str>) -> String {
    let Some(template) = legend else {
        return series.labels.to_string();
    };
    fill(template, &series.labels)
}

fn fill(template: &str, labels: &Labels) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((label, tail)) = after.split_once("}}") else {
            break;
        };
        out.push_str(before);
        out.push_str(labels.get(label.trim()).unwrap_or_default());
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_take_labels() {
        let labels = Labels::from_pairs([("pod", "p"), ("node", "n")]);
        for (template, expected) in [
            ("{{pod}} on {{ node }}", "p on n"),
            ("{{x}}", ""),
            ("a {{pod", "a {{pod"),
        ] {
            assert_eq!(fill(template, &labels), expected);
        }
    }
}
