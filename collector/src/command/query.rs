//! `binnacle query`: asks a running binnacle over its own APIs and prints a table or the JSON.

use crate::cli::{Language, Output, QueryArgs};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// Asks and prints.
pub async fn run(args: &QueryArgs, now_ms: i64) -> Result<()> {
    let language = args.language.unwrap_or_else(|| guess(&args.query));
    let (path, parameters) = request(args, language, now_ms);
    let answer = fetch(args, &path, &parameters).await?;
    let text = match args.output {
        Output::Json => format!("{answer}\n"),
        Output::Table => {
            let json: Value =
                serde_json::from_str(&answer).context("the answer is not JSON; is this a binnacle?")?;
            table(&json, language)
        }
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // `binnacle query … | head` has read enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the answer"),
    }
}

/// A trace id is 32 hexadecimal digits. LogQL's selectors stand in braces without a name before them and without
/// `__name__`; everything else is PromQL.
fn guess(query: &str) -> Language {
    let text = query.trim();
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Language::Trace;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let bare = text
        .match_indices('{')
        .any(|(i, _)| !text[..i].trim_end().ends_with(is_name));
    if bare && !text.contains("__name__") {
        Language::Logql
    } else {
        Language::Promql
    }
}

/// Path and parameters of the request.
fn request(args: &QueryArgs, language: Language, now_ms: i64) -> (String, Vec<(&'static str, String)>) {
    let query = args.query.trim().to_owned();
    let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
    let start = |since: Duration| now_ms.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    match language {
        Language::Trace => (format!("/jaeger/api/traces/{query}"), Vec::new()),
        Language::Promql => match args.since {
            None => ("/api/v1/query".to_owned(), vec![("query", query)]),
            Some(since) => {
                let step = args
                    .step
                    .unwrap_or_else(|| (since / 60).max(Duration::from_secs(1)));
                let parameters = vec![
                    ("query", query),
                    ("start", seconds(start(since))),
                    ("end", seconds(now_ms)),
                    ("step", step.as_secs_f64().to_string()),
                ];
                ("/api/v1/query_range".to_owned(), parameters)
            }
        },
        Language::Logql => {
            let since = args.since.unwrap_or(Duration::from_secs(3600));
            let mut parameters = vec![
                ("query", query),
                ("start", format!("{}000000", start(since))),
                ("end", format!("{now_ms}000000")),
                ("limit", args.limit.to_string()),
            ];
            if let Some(step) = args.step {
                parameters.push(("step", step.as_secs_f64().to_string()));
            }
            ("/loki/api/v1/query_range".to_owned(), parameters)
        }
    }
}

async fn fetch(args: &QueryArgs, path: &str, parameters: &[(&str, String)]) -> Result<String> {
    let mut config = runtime::client::HttpConfig {
        bearer_token: args.token.as_deref().map(runtime::secret::Secret::new),
        ..runtime::client::HttpConfig::default()
    };
    config.tls_config.ca_file = args.ca_file.clone();
    let client = runtime::client::Client::new(&config, Duration::from_secs(300))?;
    let url = format!("{}{path}", args.url.trim_end_matches('/'));
    let response = client.get(&url)?.query(parameters).send().await.map_err(|e| {
        let hint = if e.is_connect() {
            "; start one with `binnacle`, or say where it is with --url"
        } else {
            ""
        };
        anyhow::anyhow!(
            "no answer from {}: {}{hint}",
            args.url,
            runtime::client::explain(&e)
        )
    })?;
    let (status, text) = (response.status(), response.text().await?);
    if status.is_success() {
        return Ok(text);
    }
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let message = json
        .as_ref()
        .and_then(|j| j["error"].as_str().or(j["errors"][0]["msg"].as_str()));
    bail!("{}: {}", status, message.unwrap_or(text.trim()));
}

fn table(answer: &Value, language: Language) -> String {
    if language == Language::Trace {
        return trace(&answer["data"][0]);
    }
    let data = &answer["data"];
    let result = data["result"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    match data["resultType"].as_str() {
        Some("scalar" | "string") => {
            let _ = writeln!(out, "{}", text(&data["result"][1]));
        }
        Some("vector") => {
            let rows = result
                .iter()
                .map(|r| (name_of(&r["metric"]), number_or_histogram(r)));
            columns(&mut out, rows.collect());
        }
        Some("matrix") => {
            for series in result {
                let _ = writeln!(out, "{}", name_of(&series["metric"]));
                let of = |key: &str| series[key].as_array().into_iter().flatten();
                let mut points: Vec<(&Value, String)> = of("values")
                    .map(|p| (&p[0], text(&p[1])))
                    .chain(of("histograms").map(|p| (&p[0], histogram(&p[1]))))
                    .collect();
                let seconds = |time: &Value| time.as_f64().unwrap_or_default();
                points.sort_by(|a, b| seconds(a.0).total_cmp(&seconds(b.0)));
                for (time, shown) in points {
                    let _ = writeln!(out, "  {}  {shown}", seconds_text(time));
                }
            }
        }
        _ => logs(&mut out, result),
    }
    if out.is_empty() {
        out.push_str("no data\n");
    }
    for key in ["warnings", "infos"] {
        for note in answer[key].as_array().into_iter().flatten() {
            let _ = writeln!(out, "# {}", text(note));
        }
    }
    out
}

fn number_or_histogram(element: &Value) -> String {
    match &element["histogram"] {
        Value::Null => text(&element["value"][1]),
        point => histogram(&point[1]),
    }
}

/// A native histogram as promtool shows it: `{count:3, sum:4.5, (1,2]:3}`.
fn histogram(histogram: &Value) -> String {
    let mut out = format!(
        "{{count:{}, sum:{}",
        text(&histogram["count"]),
        text(&histogram["sum"])
    );
    for bucket in histogram["buckets"].as_array().into_iter().flatten() {
        let (open, close) = match bucket[0].as_i64() {
            Some(0) => ('(', ']'),
            Some(1) => ('[', ')'),
            Some(2) => ('(', ')'),
            _ => ('[', ']'),
        };
        let [lower, upper, count] = [1, 2, 3].map(|i| text(&bucket[i]));
        let _ = write!(out, ", {open}{lower},{upper}{close}:{count}");
    }
    out.push('}');
    out
}

fn columns(out: &mut String, rows: Vec<(String, String)>) {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<width$}  {value}");
    }
}

/// Lines of all streams, oldest first, as one would read a file.
fn logs(out: &mut String, streams: &[Value]) {
    let mut lines: Vec<(i64, String, String)> = Vec::new();
    for stream in streams {
        let labels = &stream["stream"];
        let source = ["container", "service_name", "job", "filename"]
            .iter()
            .find_map(|k| labels[k].as_str());
        for value in stream["values"].as_array().into_iter().flatten() {
            let ns = text(&value[0]).parse().unwrap_or_default();
            lines.push((ns, source.unwrap_or("-").to_owned(), text(&value[1])));
        }
    }
    lines.sort_by_key(|(ns, _, _)| *ns);
    for (ns, source, line) in lines {
        let _ = writeln!(out, "{}  {source}  {line}", wire::rfc3339::format_ns(ns));
    }
}

/// Spans as a tree with offsets and durations.
fn trace(trace: &Value) -> String {
    let spans: Vec<&Value> = trace["spans"].as_array().into_iter().flatten().collect();
    let Some(first) = spans.iter().filter_map(|s| s["startTime"].as_i64()).min() else {
        return "no data\n".to_owned();
    };
    let parent = |s: &Value| s["references"][0]["spanID"].as_str().map(str::to_owned);
    let known: std::collections::HashSet<&str> = spans.iter().filter_map(|s| s["spanID"].as_str()).collect();
    let mut out = format!("trace {}  {} spans\n", text(&trace["traceID"]), spans.len());
    let is_root = |s: &&&Value| parent(s).is_none_or(|p| !known.contains(p.as_str()));
    let mut open: Vec<(usize, &Value)> = spans.iter().filter(is_root).rev().map(|s| (0, *s)).collect();
    let mut shown = std::collections::HashSet::new();
    while let Some((depth, span)) = open.pop() {
        let id = text(&span["spanID"]);
        if !shown.insert(id.clone()) {
            continue;
        }
        let service = text(&trace["processes"][text(&span["processID"])]["serviceName"]);
        let offset_us = span["startTime"].as_i64().unwrap_or(first) - first;
        let duration_us = span["duration"].as_i64().unwrap_or_default();
        let failed = span["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|t| t["key"] == "error" && t["value"] == true);
        let _ = writeln!(
            out,
            "{:>10}  {:>10}  {}{service}: {}{}",
            micros(offset_us),
            micros(duration_us),
            "  ".repeat(depth),
            text(&span["operationName"]),
            if failed { "  ERROR" } else { "" }
        );
        let children = spans
            .iter()
            .filter(|s| parent(s).as_deref() == Some(id.as_str()))
            .rev();
        open.extend(children.map(|s| (depth + 1, *s)));
    }
    out
}

fn micros(us: i64) -> String {
    match us {
        ..1_000 => format!("{us}µs"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        _ => format!("{:.2}s", us as f64 / 1e6),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn name_of(metric: &Value) -> String {
    let pairs = metric
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), text(v)));
    model::Labels::from_pairs(pairs).to_string()
}

fn seconds_text(value: &Value) -> String {
    let ms = (value.as_f64().unwrap_or_default() * 1e3).round();
    #[expect(clippy::cast_possible_truncation, reason = "times of the API fit")]
    wire::rfc3339::format_ns((ms as i64).saturating_mul(model::time::NS_PER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_guessed() {
        let check = |query: &str, language| assert_eq!(guess(query), language, "{query}");
        check("up", Language::Promql);
        check("up{job=\"a\"}", Language::Promql);
        check("sum by (x) (rate(a_total{x=\"y\"}[5m]))", Language::Promql);
        check("{__name__=\"up\"}", Language::Promql);
        check("{app=\"a\"} |= \"x\"", Language::Logql);
        check("sum(count_over_time({app=\"a\"}[5m]))", Language::Logql);
        check("0af7651916cd43dd8448eb211c80319c", Language::Trace);
    }

    #[test]
    fn answers_become_tables() {
        let vector = serde_json::json!({ "data": { "resultType": "vector", "result": [
            { "metric": { "__name__": "up", "job": "a" }, "value": [1, "1"] },
            { "metric": { "__name__": "up" }, "value": [1, "0"] } ] }, "warnings": ["w"] });
        assert_eq!(
            table(&vector, Language::Promql),
            "up{job=\"a\"}  1\nup           0\n# w\n"
        );
        let sizes = serde_json::json!({ "count": "4", "sum": "5.5",
            "buckets": [[1, "-2", "-1", "1"], [3, "-0.1", "0.1", "1"], [0, "1", "2", "1"], [2, "2", "4", "1"]] });
        let shown = "{count:4, sum:5.5, [-2,-1):1, [-0.1,0.1]:1, (1,2]:1, (2,4):1}";
        let histogram = serde_json::json!({ "data": { "resultType": "vector", "result": [
            { "metric": { "__name__": "sizes" }, "histogram": [1, sizes] } ] } });
        assert_eq!(table(&histogram, Language::Promql), format!("sizes  {shown}\n"));
        let mixed = serde_json::json!({ "data": { "resultType": "matrix", "result": [
            { "metric": {}, "values": [[0, "1"], [2, "3"]], "histograms": [[1, sizes]] } ] } });
        let at = |second: u8| format!("  1970-01-01T00:00:0{second}.000000000Z");
        let rows = format!("{{}}\n{}  1\n{}  {shown}\n{}  3\n", at(0), at(1), at(2));
        assert_eq!(table(&mixed, Language::Promql), rows);
        let empty = serde_json::json!({ "data": { "resultType": "vector", "result": [] } });
        assert_eq!(table(&empty, Language::Promql), "no data\n");
        let logs = serde_json::json!({ "data": { "resultType": "streams", "result": [
            { "stream": { "container": "web" }, "values": [["2000000000", "b"], ["1000000000", "a"]] } ] } });
        assert_eq!(
            table(&logs, Language::Logql),
            "1970-01-01T00:00:01.000000000Z  web  a\n1970-01-01T00:00:02.000000000Z  web  b\n"
        );
    }

    #[test]
    fn a_trace_becomes_a_tree() {
        let span = |id: &str, parent: Option<&str>, start: i64| {
            let references: Vec<_> = parent
                .iter()
                .map(|p| serde_json::json!({ "spanID": p }))
                .collect();
            serde_json::json!({ "spanID": id, "references": references, "startTime": start, "duration": 1500,
                "processID": "p1", "operationName": id, "tags": [] })
        };
        let trace_json = serde_json::json!({ "traceID": "t", "processes": { "p1": { "serviceName": "s" } },
            "spans": [span("a", None, 10), span("b", Some("a"), 20), span("lost", Some("gone"), 30)] });
        let shown = trace(&trace_json);
        let names: Vec<_> = shown
            .lines()
            .skip(1)
            .map(|l| l.rsplit("ms").next().unwrap())
            .collect();
        assert_eq!(names, ["  s: a", "    s: b", "  s: lost"]);
    }
}
