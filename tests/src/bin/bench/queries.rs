//! The list of dashboard queries, and the address of each at a server.

use crate::api;
use crate::http::escaped;
use crate::plan::Named;
use crate::server::Server;

const HOUR: i64 = 3600;

#[derive(Debug, Clone, Copy)]
enum Ask {
    /// At one time; needs data of so many seconds.
    Instant(i64),
    /// Over so many seconds, with a step.
    Range(i64, i64),
    /// A path with its query; over the last hour.
    Labels,
}

use Ask::{Instant, Labels, Range};

/// One dashboard query; `%INSTANCE%` stands for a target in the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) name: &'static str,
    ask: Ask,
    text: &'static str,
}

const fn q(name: &'static str, ask: Ask, text: &'static str) -> Query {
    Query { name, ask, text }
}

/// What dashboards ask; whole seconds off the minutes, with data for each length.
pub(crate) const QUERIES: &[Query] = &[
    q(
        "count by name",
        Instant(0),
        r#"count by (__name__) ({__name__!=""})"#,
    ),
    q(
        "cpu by namespace",
        Instant(0),
        "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
    ),
    q(
        "topk pods by memory",
        Instant(0),
        "topk(10, sum by (namespace, pod) (container_memory_working_set_bytes))",
    ),
    q(
        "quantile of all",
        Instant(0),
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    q(
        "memory over limit",
        Instant(0),
        "container_memory_working_set_bytes / on (namespace, pod, container) container_spec_memory_limit_bytes > 0.3",
    ),
    q(
        "group_left info",
        Instant(0),
        "sum by (created_by_name) (sum by (namespace, pod) (rate(container_cpu_usage_seconds_total[5m])) * on (namespace, pod) group_left (created_by_name) kube_pod_info)",
    ),
    q(
        "predict disk",
        Instant(HOUR),
        r#"predict_linear(node_filesystem_avail_bytes{fstype!="tmpfs"}[1h], 4 * 3600)"#,
    ),
    q("absent", Instant(0), r#"absent(up{job="nosuchjob"})"#),
    q(
        "subquery max",
        Instant(HOUR),
        "max_over_time(sum(rate(container_cpu_usage_seconds_total[5m]))[55m:1m])",
    ),
    q(
        "quantile over time",
        Instant(HOUR),
        "quantile_over_time(0.95, node_load1[55m])",
    ),
    q(
        "changes",
        Instant(HOUR),
        "sum by (namespace) (changes(container_start_time_seconds[55m]))",
    ),
    q(
        "1h one series",
        Range(HOUR, 15),
        r#"node_load1{instance="%INSTANCE%"}"#,
    ),
    q(
        "1h cpu by namespace",
        Range(HOUR, 15),
        "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
    ),
    q(
        "1h node utilisation",
        Range(HOUR, 15),
        r#"100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])))"#,
    ),
    q(
        "1h quantile by service",
        Range(HOUR, 15),
        "histogram_quantile(0.95, sum by (le, service) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    q(
        "1h network by regex",
        Range(HOUR, 30),
        r#"sum by (pod) (rate(container_network_receive_bytes_total{pod=~"web-.*|api-.*", interface!="lo"}[5m]))"#,
    ),
    q(
        "1h irate topk",
        Range(HOUR, 30),
        r#"topk(5, sum by (pod) (irate(container_cpu_usage_seconds_total{namespace=~"payments|search"}[1m])))"#,
    ),
    q(
        "1h count pods",
        Range(HOUR, 15),
        "count by (namespace) (kube_pod_info)",
    ),
    q(
        "6h cpu by namespace",
        Range(6 * HOUR, 60),
        "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
    ),
    q(
        "6h error ratio",
        Range(6 * HOUR, 60),
        r#"sum by (service) (rate(http_requests_total{code=~"5.."}[10m])) / sum by (service) (rate(http_requests_total[10m]))"#,
    ),
    q(
        "6h memory join",
        Range(6 * HOUR, 60),
        "avg by (namespace) (container_memory_working_set_bytes / on (namespace, pod, container) group_left container_spec_memory_limit_bytes)",
    ),
    q(
        "6h subquery average",
        Range(6 * HOUR, 120),
        "avg_over_time(sum(rate(http_requests_total[5m]))[30m:1m])",
    ),
    q(
        "24h cpu by namespace",
        Range(24 * HOUR, 300),
        "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
    ),
    q(
        "24h quantile of all",
        Range(24 * HOUR, 300),
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    q(
        "24h increase",
        Range(24 * HOUR, 300),
        "sum by (handler) (increase(http_requests_total[1h]))",
    ),
    q(
        "24h average memory",
        Range(24 * HOUR, 300),
        r#"sum by (namespace) (avg_over_time(container_memory_working_set_bytes{container!=""}[5m]))"#,
    ),
    q(
        "24h label_replace",
        Range(24 * HOUR, 300),
        r#"sum by (short) (label_replace(rate(node_network_receive_bytes_total[5m]), "short", "$1", "node", "([^.]+).*"))"#,
    ),
    q("pods", Labels, "/api/v1/label/pod/values?"),
    q(
        "pods of a namespace",
        Labels,
        r#"/api/v1/label/pod/values?match[]=kube_pod_info{namespace="payments"}"#,
    ),
    q("label names", Labels, "/api/v1/labels?"),
    q("metric names", Labels, "/api/v1/label/__name__/values?"),
    q(
        "series of a namespace",
        Labels,
        r#"/api/v1/series?match[]=container_memory_working_set_bytes{namespace="payments"}"#,
    ),
];

/// A selector over an hour for as many series as a thousand targets have loads, or one target has at all.
pub(crate) const SELECTORS: &[Query] = &[
    q(
        "1h selector, two series of each target",
        Range(HOUR, 15),
        r#"{__name__=~"node_load1|node_load5"}"#,
    ),
    q(
        "1h selector, all series of one target",
        Range(HOUR, 15),
        r#"{instance="%INSTANCE%"}"#,
    ),
    q(
        "1h sum over two series of each target",
        Range(HOUR, 15),
        r#"sum({__name__=~"node_load1|node_load5"})"#,
    ),
];

impl Query {
    /// Whether its answer is a list of names or series.
    pub(crate) fn is_list(self) -> bool {
        matches!(self.ask, Labels)
    }
    /// Seconds of data that it needs.
    pub(crate) fn span_s(self) -> i64 {
        match self.ask {
            Instant(span_s) | Range(span_s, _) => span_s,
            Labels => 0,
        }
    }
    /// Where to ask it, near the end of the data.
    pub(crate) fn address(self, server: &Server, data: &Named) -> String {
        let instance = crate::series::instance(data.shape.targets / 2);
        let text = self.text.replace("%INSTANCE%", &instance);
        // Half a minute off the minutes, so that no point of a subquery stands on the border of a window.
        let end_s = data.shape.end_s() - 60;
        let end_s = end_s - (end_s - 30).rem_euclid(60);
        match self.ask {
            Instant(_) => api::instant(server, &text, end_s),
            Range(span_s, step_s) => {
                let start_s = (end_s - span_s).max(data.shape.base_ms / 1000 + 330);
                api::range(server, &text, start_s, end_s, step_s)
            }
            Labels => {
                let more = server.program.query_parameters();
                let (path, selector) = text.split_once('?').unwrap_or((&text, ""));
                let selector = selector
                    .split_once('=')
                    .map(|(k, v)| format!("&{}={}", escaped(k), escaped(v)));
                format!(
                    "{path}?start={}&end={end_s}{}{more}",
                    end_s - HOUR,
                    selector.unwrap_or_default()
                )
            }
        }
    }
}
