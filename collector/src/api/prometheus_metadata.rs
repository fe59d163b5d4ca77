//! Prometheus' `/api/v1/metadata`: what senders and targets say of their metric families.

use super::Api;
use super::params::Params;
use super::prometheus_json::{ApiResult, success};
use super::prometheus_params::whole_number;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use model::metric::MetricType;
use model::{Error, MetricMetadata, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new().route("/api/v1/metadata", get(metadata))
}

/// One thing said of a family.
#[derive(Debug, PartialEq, Serialize)]
struct Said {
    #[serde(rename = "type")]
    metric_type: MetricType,
    unit: String,
    help: String,
}

async fn metadata(State(api): State<Api>, headers: HeaderMap, params: Params) -> ApiResult {
    let tenant = runtime::http::tenant_of(&headers)?;
    let asked = Asked::of(&params)?;
    // From memory, and bounded by limits.ingest.
    success(&asked.pick(api.stores.metrics.metadata(&tenant)))
}

struct Asked<'a> {
    metric: Option<&'a str>,
    limit: usize,
}

impl<'a> Asked<'a> {
    fn of(params: &'a Params) -> Result<Self> {
        let number = |name: &str| -> Result<Option<i64>> {
            let number = params.get(name).map(whole_number).transpose();
            number.map_err(|_| Error::bad_data(format!("{name} must be a number")))
        };
        let limit = number("limit")?.and_then(|n| usize::try_from(n).ok());
        // The store keeps one thing said of each family, the newest, and no limit is less than that.
        number("limit_per_metric")?;
        Ok(Self {
            metric: params.get("metric"),
            limit: limit.unwrap_or(usize::MAX),
        })
    }
    fn pick(&self, all: Vec<MetricMetadata>) -> BTreeMap<String, [Said; 1]> {
        let wanted = all
            .into_iter()
            .filter(|m| self.metric.is_none_or(|name| name == m.family));
        let entry = |m: MetricMetadata| {
            let said = Said {
                metric_type: m.metric_type,
                unit: m.unit,
                help: m.help,
            };
            (m.family, [said])
        };
        wanted.take(self.limit).map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_picked_by_name_and_number() {
        let family = |name: &str| MetricMetadata {
            family: name.to_owned(),
            metric_type: MetricType::GaugeHistogram,
            help: "What it is.".to_owned(),
            unit: "bytes".to_owned(),
        };
        let said = r#"[{"type":"gaugehistogram","unit":"bytes","help":"What it is."}]"#;
        let check = |metric: &str, limit: &str, names: &[&str]| {
            let params = Params::from_pairs([("metric", metric), ("limit", limit)]);
            let picked = Asked::of(&params).unwrap().pick(vec![family("a"), family("b")]);
            let entries: Vec<String> = names.iter().map(|n| format!("\"{n}\":{said}")).collect();
            let expected = format!("{{{}}}", entries.join(","));
            assert_eq!(serde_json::to_string(&picked).unwrap(), expected);
        };
        check("", "", &["a", "b"]);
        check("b", "", &["b"]);
        check("c", "", &[]);
        check("", "1", &["a"]);
        check("", "0", &[]);
        check("", "-1", &["a", "b"]);
    }
}
