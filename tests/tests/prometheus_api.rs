//! Prometheus' HTTP API of the built program: answers and errors to the letter, and beside Debian's Prometheus.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::{Value, json};
use tests::binnacle::{Binnacle, Options};
use tests::remote_write::{self, FullSeries, Histogram};
use tests::{peers, wait};

/// Ten minutes ago, at a full minute, in seconds.
fn base() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    i64::try_from(now).unwrap() / 60 * 60 - 600
}

fn labelled<'a>(pairs: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
    pairs
        .iter()
        .map(|(name, value)| (*name, value.to_string()))
        .collect()
}

/// A counter with exemplars, numbers that are hard to write, and a native histogram.
fn data(base: i64) -> Vec<u8> {
    let base_ms = base * 1000;
    let counter = |code: &str, step: f64| FullSeries {
        labels: labelled(&[("__name__", "api_requests_total"), ("code", code), ("job", "a")]),
        samples: (0..9).map(|i| (base_ms + 15_000 * i, step * i as f64)).collect(),
        exemplars: vec![
            (
                labelled(&[("trace_id", &format!("t{code}"))]),
                0.5,
                base_ms + 15_000,
            ),
            (labelled(&[]), 1.25, base_ms + 30_250),
        ],
        ..FullSeries::default()
    };
    let odd = |kind: &str, value: f64| FullSeries {
        labels: labelled(&[("__name__", "api_odd"), ("job", "a"), ("kind", kind)]),
        samples: vec![(base_ms + 120_000, value)],
        ..FullSeries::default()
    };
    let histogram = |i: i64| Histogram {
        timestamp_ms: base_ms + 60_000 * i,
        count: 5 * (i as u64 + 1),
        sum: 3.5 * (i as f64 + 1.0),
        schema: 0,
        zero_threshold: 0.25,
        zero_count: i as u64 + 1,
        negative: (1, vec![i + 1]),
        positive: (0, vec![2 * (i + 1), 0, i + 1]),
    };
    let series = [
        counter("200", 10.0),
        counter("500", 0.1),
        odd("large", 1e21),
        odd("nan", f64::NAN),
        odd("quoted \"\u{1}<é>", f64::NEG_INFINITY),
        odd("small", 1.5e-7),
        FullSeries {
            labels: labelled(&[("__name__", "api_sizes"), ("job", "a")]),
            histograms: (0..3).map(histogram).collect(),
            ..FullSeries::default()
        },
    ];
    let metadata = [
        ("api_requests_total", 1, "Requests, by code.", ""),
        ("api_sizes", 3, "Sizes.", "bytes"),
    ];
    remote_write::full_body(&series, &metadata).unwrap()
}

async fn started(folder: &std::path::Path, options: Options, base: i64) -> Binnacle {
    let binnacle = Binnacle::start(&folder.join("data"), &options).await.unwrap();
    let sent = remote_write::send(binnacle.client(), &binnacle.url, data(base)).await;
    assert_eq!(sent.unwrap(), (204, String::new()));
    binnacle
}

type Parameters<'a> = &'a [(&'a str, &'a str)];

async fn ask(base_url: &str, path: &str, parameters: Parameters<'_>) -> (u16, String) {
    let request = tests::binnacle::client().get(format!("{base_url}/api/v1/{path}"));
    let response = request.query(parameters).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn answers_are_prometheus_json_to_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let base = base();
    let binnacle = started(folder.path(), Options::no_agent(), base).await;
    let second = |after: i64| (base + after).to_string();
    let check = async |path: &str, parameters: Parameters<'_>, expected: &str| {
        let (status, text) = ask(&binnacle.url, path, parameters).await;
        assert_eq!((status, text.as_str()), (200, expected), "{path} {parameters:?}");
    };
    let buckets =
        r#""buckets":[[1,"-2","-1","N"],[3,"-0.25","0.25","N"],[0,"0.5","1","2N"],[0,"2","4","N"]]"#;
    let buckets = |n: u32| {
        buckets
            .replace("2N", &(2 * n).to_string())
            .replace('N', &n.to_string())
    };
    let at = format!("{}.500", base + 120);
    let (b0, b60, b15) = (second(0), second(60), second(15));

    let vector = |result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
    };
    let sizes = format!(
        r#"{{"metric":{{"__name__":"api_sizes","job":"a"}},"histogram":[{at},{{"count":"15","sum":"10.5",{}}}]}}"#,
        buckets(3)
    );
    check("query", &[("query", "api_sizes"), ("time", &at)], &vector(&sizes)).await;
    let odd = |kind: &str, value: &str| {
        format!(r#"{{"metric":{{"__name__":"api_odd","job":"a","kind":{kind}}},"value":[{at},"{value}"]}}"#)
    };
    let small = odd(r#""small""#, "1.5e-07");
    check(
        "query",
        &[("query", r#"api_odd{kind="small"}"#), ("time", &at)],
        &vector(&small),
    )
    .await;
    let quoted = odd(r#""quoted \"\u0001<é>""#, "-Inf");
    check(
        "query",
        &[("query", r#"api_odd{kind=~"quo.*"}"#), ("time", &at)],
        &vector(&quoted),
    )
    .await;
    check("query", &[("query", "nothing")], &vector("")).await;
    check(
        "query",
        &[("query", "2^70"), ("time", "1.5")],
        r#"{"status":"success","data":{"resultType":"scalar","result":[1.500,"1.1805916207174113e+21"]}}"#,
    )
    .await;
    check(
        "query",
        &[("query", r#""a\"b""#), ("time", "0")],
        r#"{"status":"success","data":{"resultType":"string","result":[0,"a\"b"]}}"#,
    )
    .await;
    let matrix = |result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}"#)
    };
    let over_time = format!(
        r#"{{"metric":{{"__name__":"api_sizes","job":"a"}},"histograms":[[{b0},{{"count":"5","sum":"3.5",{}}}],[{b60},{{"count":"10","sum":"7",{}}}]]}}"#,
        buckets(1),
        buckets(2)
    );
    let range = [
        ("query", "api_sizes"),
        ("start", &b0),
        ("end", &b60),
        ("step", "1m"),
    ];
    check("query_range", &range, &matrix(&over_time)).await;
    let counts = format!(r#"{{"metric":{{"code":"200","job":"a"}},"values":[[{b0},"1"],[{b60},"5"]]}}"#);
    let range = [
        ("query", r#"count_over_time(api_requests_total{code="200"}[1h])"#),
        ("start", &b0),
        ("end", &b60),
        ("step", "60"),
    ];
    check("query_range", &range, &matrix(&counts)).await;

    let exemplars = |code: &str| {
        format!(
            r#"{{"seriesLabels":{{"__name__":"api_requests_total","code":"{code}","job":"a"}},"exemplars":[{{"labels":{{"trace_id":"t{code}"}},"value":"0.5","timestamp":{b15}}},{{"labels":{{}},"value":"1.25","timestamp":{}.250}}]}}"#,
            base + 30
        )
    };
    let expression = "sum(rate(api_requests_total[5m])) + api_sizes";
    let both = format!(
        r#"{{"status":"success","data":[{},{}]}}"#,
        exemplars("200"),
        exemplars("500")
    );
    check("query_exemplars", &[("query", expression)], &both).await;
    let one = [
        ("query", r#"api_requests_total{code="500"}"#),
        ("start", &b0),
        ("end", &b60),
    ];
    let only = format!(r#"{{"status":"success","data":[{}]}}"#, exemplars("500"));
    check("query_exemplars", &one, &only).await;
    let none = [("query", expression), ("start", &b60)];
    check("query_exemplars", &none, r#"{"status":"success","data":[]}"#).await;
    let without_selectors = ask(&binnacle.url, "query_exemplars", &[("query", "1+1")]).await;
    assert_eq!(without_selectors, (204, String::new()));

    let counter = r#""api_requests_total":[{"type":"counter","unit":"","help":"Requests, by code."}]"#;
    let sizes = r#""api_sizes":[{"type":"histogram","unit":"bytes","help":"Sizes."}]"#;
    let data = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
    check(
        "metadata",
        &[("metric", "api_sizes")],
        &data(&format!("{{{sizes}}}")),
    )
    .await;
    check(
        "metadata",
        &[("limit", "1"), ("limit_per_metric", "1")],
        &data(&format!("{{{counter}}}")),
    )
    .await;
    check("metadata", &[("metric", "nothing")], &data("{}")).await;
    check(
        "label/kind/values",
        &[("match[]", "api_odd"), ("limit", "0")],
        &data(r#"["large","nan","quoted \"\u0001<é>","small"]"#),
    )
    .await;
    check(
        "label/U__kind/values",
        &[("match[]", r#"{kind="nan"}"#)],
        &data(r#"["nan"]"#),
    )
    .await;
    check(
        "labels",
        &[("match[]", "api_sizes"), ("match[]", "api_requests_total")],
        &data(r#"["__name__","code","job"]"#),
    )
    .await;
    check(
        "series",
        &[("match[]", "api_sizes"), ("start", &b0), ("end", &b60)],
        &data(r#"[{"__name__":"api_sizes","job":"a"}]"#),
    )
    .await;
    check(
        "series",
        &[("match[]", r#"{job="a"}"#), ("limit", "1"), ("start", &b0)],
        r#"{"status":"success","data":[{"__name__":"api_odd","job":"a","kind":"large"}],"warnings":["results truncated due to limit"]}"#,
    )
    .await;
    check(
        "format_query",
        &[("query", "sum(rate(up[5m]))by(job)")],
        &data(r#""sum by (job) (rate(up[5m]))""#),
    )
    .await;
    // A range without any time in it is no error.
    let backwards = [("match[]", "api_sizes"), ("start", &b60), ("end", &b0)];
    for path in ["labels", "label/job/values", "series"] {
        check(path, &backwards, &data("[]")).await;
    }
    let (_, tree) = ask(&binnacle.url, "parse_query", &[("query", "up > 1")]).await;
    let tree: Value = serde_json::from_str(&tree).unwrap();
    assert_eq!(tree["data"]["type"], "binaryExpr", "{tree}");
    assert_eq!(tree["data"]["lhs"]["name"], "up", "{tree}");
}

#[tokio::test]
async fn parameters_that_are_wrong_get_prometheus_errors() {
    let folder = tempfile::tempdir().unwrap();
    let base = base();
    let config = "limits: { query: { max_points_per_series: 11000 } }\n";
    let binnacle = started(folder.path(), Options::no_agent().with_config(config), base).await;
    let check = async |path: &str, parameters: Parameters<'_>, status: u16, kind: &str, error: &str| {
        let answer = ask(&binnacle.url, path, parameters).await;
        let expected = json!({ "status": "error", "errorType": kind, "error": error });
        let got: Value = serde_json::from_str(&answer.1).unwrap_or_else(|_| panic!("{path}: {answer:?}"));
        assert_eq!((answer.0, got), (status, expected), "{path} {parameters:?}");
    };
    let bad = async |path: &str, parameters: Parameters<'_>, error: &str| {
        check(path, parameters, 400, "bad_data", error).await;
    };
    let empty = r#"invalid parameter "query": unknown position: parse error: no expression found in input"#;
    bad("query", &[], empty).await;
    bad("format_query", &[], empty).await;
    bad("parse_query", &[], empty).await;
    bad(
        "query",
        &[("query", "up{")],
        r#"invalid parameter "query": 1:4: parse error: unexpected end of input inside braces"#,
    )
    .await;
    bad(
        "query",
        &[("query", "up"), ("time", "foo")],
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "foo" to a valid timestamp"#,
    )
    .await;
    let limits = [
        ("-1", "limit must be non-negative"),
        ("x", r#"strconv.Atoi: parsing "x": invalid syntax"#),
        (
            "99999999999999999999",
            r#"strconv.Atoi: parsing "99999999999999999999": value out of range"#,
        ),
    ];
    for (limit, why) in limits {
        let error = format!("invalid parameter \"limit\": {why}");
        for path in ["query", "query_range", "labels", "label/job/values", "series"] {
            let parameters = [
                ("query", "up"),
                ("limit", limit),
                ("match[]", "up"),
                ("time", "x"),
            ];
            let parameters = if path.starts_with("query") {
                &parameters[..]
            } else {
                &parameters[..3]
            };
            bad(path, parameters, &error).await;
        }
    }
    for path in ["query", "query_range"] {
        let range = [("query", "up"), ("start", "0"), ("end", "1"), ("step", "1")];
        let with = |name, value| [&range[..], &[(name, value)]].concat();
        bad(
            path,
            &with("timeout", "soon"),
            r#"invalid parameter "timeout": cannot parse "soon" to a valid duration"#,
        )
        .await;
        bad(
            path,
            &with("lookback_delta", "1 s"),
            r#"error parsing lookback delta duration: cannot parse "1 s" to a valid duration"#,
        )
        .await;
        let answer = ask(&binnacle.url, path, &with("timeout", "0")).await;
        assert_eq!(answer.0, 503, "{answer:?}");
        assert!(answer.1.contains(r#""errorType":"timeout""#), "{answer:?}");
    }
    let range = async |start: &str, end: &str, step: &str, error: &str| {
        let parameters = [("query", "up"), ("start", start), ("end", end), ("step", step)];
        bad("query_range", &parameters, error).await;
    };
    range(
        "",
        "1",
        "1",
        r#"invalid parameter "start": cannot parse "" to a valid timestamp"#,
    )
    .await;
    range(
        "0",
        "x",
        "1",
        r#"invalid parameter "end": cannot parse "x" to a valid timestamp"#,
    )
    .await;
    range(
        "2",
        "1",
        "1",
        r#"invalid parameter "end": end timestamp must not be before start time"#,
    )
    .await;
    range(
        "0",
        "1",
        "",
        r#"invalid parameter "step": cannot parse "" to a valid duration"#,
    )
    .await;
    range(
        "0",
        "1",
        "1e19",
        r#"invalid parameter "step": cannot parse "1e19" to a valid duration. It overflows int64"#,
    )
    .await;
    for step in ["0", "-1"] {
        range(
            "0",
            "1",
            step,
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        )
        .await;
    }
    range(
        "0",
        "11001",
        "1",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX) (limits.query.max_points_per_series)",
    )
    .await;
    let longest = [("query", "1"), ("start", "0"), ("end", "11000"), ("step", "1")];
    assert_eq!(ask(&binnacle.url, "query_range", &longest).await.0, 200);
    let kinds = [("query", "up[5m]"), ("start", "0"), ("end", "1"), ("step", "1")];
    bad(
        "query_range",
        &kinds,
        r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#,
    )
    .await;
    for name in ["start", "end"] {
        let error = format!(
            r#"invalid parameter "{name}": invalid time value for '{name}': cannot parse "x" to a valid timestamp"#
        );
        for path in ["labels", "label/job/values", "series", "query_exemplars"] {
            bad(path, &[("match[]", "up"), ("query", "up"), (name, "x")], &error).await;
        }
    }
    bad("series", &[], "no match[] parameter provided").await;
    let nothing = "match[] must contain at least one non-empty matcher";
    let selects_all = [("match[]", r#"{job=~".*"}"#)];
    bad(
        "series",
        &selects_all,
        &format!("invalid parameter \"match[]\": {nothing}"),
    )
    .await;
    bad("labels", &selects_all, nothing).await;
    bad("label/job/values", &selects_all, nothing).await;
    bad("label/%FF/values", &[], "invalid label name: \"\"").await;
    let exemplars = [("query", "up"), ("start", "2"), ("end", "1")];
    bad(
        "query_exemplars",
        &exemplars,
        "end timestamp must not be before start timestamp",
    )
    .await;
    bad(
        "query_exemplars",
        &[("query", "up{")],
        "1:4: parse error: unexpected end of input inside braces",
    )
    .await;
    bad("metadata", &[("limit", "x")], "limit must be a number").await;
    bad(
        "metadata",
        &[("limit_per_metric", "1.5")],
        "limit_per_metric must be a number",
    )
    .await;
    let time = (base + 120).to_string();
    let many = [("query", "api_sizes * on(job) api_odd"), ("time", time.as_str())];
    let answer = ask(&binnacle.url, "query", &many).await;
    assert_eq!(answer.0, 422, "{answer:?}");
    assert!(answer.1.contains(r#""errorType":"execution""#), "{answer:?}");
    // The ends of time are times as others.
    for time in [
        "-292273086-05-16T16:47:06Z",
        "292277025-08-18T07:12:54.999999999Z",
        "9e15",
        "-9e15",
    ] {
        let expression = "rate(api_odd[1h] offset 5m) + sum_over_time(api_odd[1h:1m])";
        let answer = ask(&binnacle.url, "query", &[("query", expression), ("time", time)]).await;
        assert_eq!(answer.0, 200, "{time}: {answer:?}");
        let range = [
            ("query", expression),
            ("start", time),
            ("end", time),
            ("step", "1"),
        ];
        let answer = ask(&binnacle.url, "query_range", &range).await;
        assert_eq!(answer.0, 200, "{time}: {answer:?}");
    }
}

#[tokio::test]
async fn parameters_change_what_a_query_gives() {
    let folder = tempfile::tempdir().unwrap();
    let base = base();
    let binnacle = started(folder.path(), Options::no_agent(), base).await;
    let time = (base + 150).to_string();
    let answer = async |extra: Parameters<'_>| -> Value {
        let parameters = [
            &[
                (
                    "query",
                    "count_over_time(api_requests_total[10m]) + api_requests_total",
                ),
                ("time", &time),
            ],
            extra,
        ];
        let (status, text) = ask(&binnacle.url, "query", &parameters.concat()).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let count = |answer: &Value| answer["data"]["result"].as_array().unwrap().len();
    assert_eq!(count(&answer(&[]).await), 2);
    assert_eq!(count(&answer(&[("lookback_delta", "30s")]).await), 0);
    assert_eq!(count(&answer(&[("lookback_delta", "31")]).await), 2);
    assert_eq!(count(&answer(&[("lookback_delta", "0")]).await), 2);
    let limited = answer(&[("limit", "1")]).await;
    assert_eq!(count(&limited), 1);
    assert_eq!(limited["warnings"], json!(["results truncated due to limit"]));
    assert!(answer(&[("limit", "2"), ("timeout", "1h")]).await["warnings"].is_null());

    assert!(answer(&[]).await["data"]["stats"].is_null());
    let stats = answer(&[("stats", "true")]).await["data"]["stats"].clone();
    let samples = &stats["samples"];
    let total = samples["totalQueryableSamples"].as_u64().unwrap();
    assert!(total >= 20, "{stats}");
    assert_eq!(
        (&samples["samplesRead"], &samples["peakSamples"]),
        (&json!(total), &json!(total))
    );
    assert!(samples["totalQueryableSamplesPerStep"].is_null(), "{stats}");
    let timing = |name: &str| {
        stats["timings"][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {stats}"))
    };
    let parts = timing("queryPreparationTime") + timing("innerEvalTime") + timing("resultSortTime");
    assert!((parts - timing("evalTotalTime")).abs() < 1e-9, "{stats}");
    assert!(
        timing("execQueueTime") + parts <= timing("execTotalTime") + 1e-9,
        "{stats}"
    );
    assert!(timing("innerEvalTime") > 0.0, "{stats}");
    let by_step = answer(&[("stats", "all")]).await["data"]["stats"]["samples"].clone();
    assert_eq!(
        by_step["totalQueryableSamplesPerStep"],
        json!([[(base + 150) as f64, by_step["totalQueryableSamples"]]])
    );
    assert!(answer(&[]).await["data"]["explain"].is_null());
    let explain = answer(&[("explain", "true")]).await["data"]["explain"].clone();
    let part = |part: &Value| {
        let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        (
            text("kind"),
            text("text"),
            part["series"].as_u64(),
            part["steps"].as_u64(),
        )
    };
    let whole = "count_over_time(api_requests_total[10m]) + api_requests_total";
    assert_eq!(
        part(&explain),
        ("+".to_owned(), whole.to_owned(), Some(2), Some(1))
    );
    let below: Vec<_> = explain["parts"].as_array().unwrap().iter().map(part).collect();
    let expected = [
        ("count_over_time", "count_over_time(api_requests_total[10m])"),
        ("selector", "api_requests_total"),
    ];
    assert_eq!(
        below,
        expected.map(|(kind, text)| (kind.to_owned(), text.to_owned(), Some(2), Some(1)))
    );
    let read = &explain["parts"][0]["parts"][0];
    assert_eq!(
        part(read),
        (
            "range selector".to_owned(),
            "api_requests_total[10m]".to_owned(),
            Some(2),
            Some(1)
        )
    );
    let numbers = |key: &str| (explain[key].as_f64().unwrap(), read[key].as_f64().unwrap());
    let (all, of_range) = numbers("samples");
    assert!(0.0 < of_range && of_range < all, "{explain}");
    let (all, of_range) = numbers("seconds");
    assert!(0.0 < of_range && of_range < all, "{explain}");
    let odd = answer(&[("stats", "1")]).await;
    assert!(odd["data"]["stats"].is_object(), "{odd}");
    assert_eq!(
        odd["warnings"],
        json!([
            r#"value "1" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all""#
        ])
    );

    // A form says the same as the address, and counts more.
    let form = binnacle
        .client()
        .post(format!("{}/api/v1/query?query=nothing", binnacle.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("query=api_sizes&time={time}"));
    let posted: Value = form.send().await.unwrap().json().await.unwrap();
    assert_eq!(count(&posted), 1, "{posted}");

    let info = binnacle.json("/api/v1/status/runtimeinfo", &[]).await.unwrap();
    assert_eq!(info["data"]["storageRetention"], "30d", "{info}");
    let folder = std::env::current_dir().unwrap();
    assert_eq!(info["data"]["CWD"], folder.display().to_string(), "{info}");
    let build = binnacle.json("/api/v1/status/buildinfo", &[]).await.unwrap();
    assert!(build["data"]["version"].is_string(), "{build}");
}

#[tokio::test]
async fn answers_are_compressed_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = started(folder.path(), Options::no_agent(), base()).await;
    let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    for (accepted, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd])] {
        let url = format!("{}/api/v1/label/__name__/values", binnacle.url);
        let request = client.get(url).header("accept-encoding", accepted);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], accepted);
        let body = response.bytes().await.unwrap();
        assert_eq!(&body[..magic.len()], magic);
    }
}

/// What both must say the same of; `B+n` is that many seconds after the first sample. Not here: texts that have changed
/// since that version, and rates whose last digit has.
const ALIKE: &[(&str, Parameters<'static>)] = &[
    ("query", &[("query", "api_requests_total"), ("time", "B+127")]),
    (
        "query",
        &[("query", "api_requests_total[2m]"), ("time", "B+127.5")],
    ),
    (
        "query",
        &[
            ("query", "rate(api_requests_total{code=\"200\"}[100s])"),
            ("time", "B+127"),
        ],
    ),
    ("query", &[("query", "api_odd"), ("time", "B+127")]),
    ("query", &[("query", "api_sizes"), ("time", "B+127.123")]),
    ("query", &[("query", "api_sizes[3m]"), ("time", "B+127")]),
    (
        "query",
        &[("query", "histogram_count(api_sizes)"), ("time", "B+127")],
    ),
    (
        "query",
        &[("query", "histogram_sum(api_sizes)"), ("time", "B+127")],
    ),
    ("query", &[("query", "sum(api_sizes)"), ("time", "B+127")]),
    (
        "query",
        &[("query", "vector(1)"), ("time", "2015-06-03T13:21:58.555Z")],
    ),
    ("query", &[("query", "1/0"), ("time", "1.25")]),
    ("query", &[("query", "\"text\""), ("time", "0")]),
    (
        "query_range",
        &[
            ("query", "api_requests_total"),
            ("start", "B+7"),
            ("end", "B+127"),
            ("step", "10"),
        ],
    ),
    (
        "query_range",
        &[
            ("query", "{job=\"a\"}"),
            ("start", "B+7"),
            ("end", "B+127"),
            ("step", "30s"),
        ],
    ),
    (
        "query_range",
        &[
            ("query", "sum(increase(api_requests_total{code=\"200\"}[70s]))"),
            ("start", "B+82"),
            ("end", "B+127"),
            ("step", "15"),
        ],
    ),
    (
        "series",
        &[("match[]", "{job=\"a\"}"), ("start", "B+0"), ("end", "B+127")],
    ),
    ("labels", &[("match[]", "{job=\"a\"}")]),
    ("label/code/values", &[]),
    ("label/__name__/values", &[("match[]", "{job=\"a\"}")]),
    (
        "query_exemplars",
        &[
            ("query", "api_requests_total"),
            ("start", "B+0"),
            ("end", "B+127"),
        ],
    ),
    (
        "query_exemplars",
        &[
            ("query", "api_requests_total"),
            ("start", "B+20"),
            ("end", "B+127"),
        ],
    ),
    (
        "query_exemplars",
        &[("query", "nothing"), ("start", "B+0"), ("end", "B+127")],
    ),
    ("metadata", &[("metric", "prometheus_build_info")]),
    (
        "metadata",
        &[("metric", "prometheus_http_request_duration_seconds")],
    ),
    ("metadata", &[("metric", "api_nothing")]),
    ("metadata", &[("limit", "x")]),
    ("format_query", &[("query", "sum(rate(up[5m]))by(job)")]),
    ("query", &[("query", "up"), ("timeout", "x")]),
    (
        "query_range",
        &[("query", "up"), ("start", "x"), ("end", "1"), ("step", "1")],
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "2"), ("end", "1"), ("step", "1")],
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "0"), ("end", "1"), ("step", "-1")],
    ),
    (
        "query_range",
        &[("query", "up"), ("start", "0"), ("end", "1"), ("step", "1e10")],
    ),
    ("series", &[]),
    ("series", &[("match[]", "{}")]),
    ("labels", &[("match[]", "{job=~\".*\"}")]),
    (
        "query_exemplars",
        &[("query", "up"), ("start", "2"), ("end", "1")],
    ),
];

/// Status and answer, lists in an order that says nothing sorted.
async fn comparable(url: &str, path: &str, parameters: Parameters<'_>) -> (u16, Value) {
    let (status, text) = ask(url, path, parameters).await;
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"));
    for place in ["/data", "/data/result"] {
        if let Some(Value::Array(list)) = answer.pointer_mut(place)
            && list.iter().any(Value::is_object)
        {
            list.sort_by_key(Value::to_string);
        }
    }
    (status, answer)
}

#[tokio::test]
async fn answers_are_those_of_debians_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_prometheus, theirs)) = peers::prometheus_receiver(folder.path()).await.unwrap() else {
        return;
    };
    let base = base();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: prometheus\n    \
         static_configs: [{{ targets: ['{}'] }}]\n",
        theirs.trim_start_matches("http://")
    );
    let binnacle = started(folder.path(), Options::no_agent().with_config(config), base).await;
    let client = tests::binnacle::client();
    let sent = remote_write::send(&client, &theirs, data(base)).await.unwrap();
    assert_eq!(sent.0, 204, "{sent:?}");
    for url in [&binnacle.url, &theirs] {
        wait::until("a scrape's metadata", || async {
            let asked = [("metric", "prometheus_http_request_duration_seconds")];
            let (_, answer) = comparable(url, "metadata", &asked).await;
            anyhow::ensure!(
                answer["data"].as_object().is_some_and(|d| !d.is_empty()),
                "{answer}"
            );
            Ok(())
        })
        .await;
    }
    let mut different = Vec::new();
    for (path, parameters) in ALIKE {
        let times: Vec<(&str, String)> = parameters
            .iter()
            .map(
                |(name, value)| match value.strip_prefix("B+").map(str::parse::<f64>) {
                    Some(Ok(after)) => (*name, (base as f64 + after).to_string()),
                    _ => (*name, value.to_string()),
                },
            )
            .collect();
        let parameters: Vec<(&str, &str)> = times.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let ours = comparable(&binnacle.url, path, &parameters).await;
        let expected = comparable(&theirs, path, &parameters).await;
        if ours != expected {
            different.push(format!(
                "{path} {parameters:?}:\n  ours   {ours:?}\n  theirs {expected:?}"
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
