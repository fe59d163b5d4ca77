//! Bad input: each one clear error, with its place and the right code, and nothing else is harmed.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use std::io::Write as _;
use tests::binnacle::{Binnacle, Options, command};
use tests::process::Process;
use tests::remote_write;

/// Starts the program, which must refuse to start and say all these words.
async fn refused_start(data: &std::path::Path, options: &Options, says: &[&str]) {
    let mut process = Process::start("refused", command(data, options).unwrap()).unwrap();
    let end = process.wait().await.unwrap();
    let said = process.output();
    assert_ne!(end.code(), Some(0), "{said}");
    for word in says {
        assert!(said.contains(word), "lacks {word:?}:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_wrong_configuration_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let check = |config: &str, says: &'static [&'static str]| {
        let (options, data) = (Options::no_agent().with_config(config), data.clone());
        async move { refused_start(&data, &options, says).await }
    };
    check(
        "retention: { metrics: 1d }\nlissten: 127.0.0.1:9\n",
        &["data.yml:2", "lissten"],
    )
    .await;
    check(
        "limits:\n  query:\n    max_seris: 3\n",
        &["data.yml:3", "max_seris"],
    )
    .await;
    check("listen: [1, 2\n", &["data.yml:"]).await;
    check("retention:\n  logs: soon\n", &["data.yml:2", "soon"]).await;
    check("scrape_configs:\n  - job_nam: x\n", &["data.yml:2", "job_nam"]).await;
    check("route: { receiver: nobody }\nreceivers: []\n", &["nobody"]).await;
    check("rule_files: [missing.yml]\n", &["missing.yml"]).await;
    std::fs::write(
        folder.path().join("r.yml"),
        "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up ===\n",
    )
    .unwrap();
    check("rule_files: [r.yml]\n", &["r.yml:5"]).await;
    assert!(!data.join("FORMAT").exists() || data.join("FORMAT").is_file());
}

#[tokio::test]
async fn a_taken_port_names_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--otlp-grpc", "--otlp-http"] {
        let options = Options::no_agent().with_argument(flag).with_argument(&address);
        refused_start(&folder.path().join("data"), &options, &[&address, flag]).await;
    }
}

#[tokio::test]
async fn a_data_directory_of_a_newer_format_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    assert_eq!(binnacle.process.terminate().await.unwrap().code(), Some(0));
    let format = std::fs::read_to_string(data.join("FORMAT")).unwrap();
    let newer = format.replace('1', "7");
    assert_ne!(format, newer, "the file names version 1: {format}");
    std::fs::write(data.join("FORMAT"), &newer).unwrap();
    refused_start(&data, &Options::no_agent(), &["7", "newer", "data"]).await;
    assert_eq!(std::fs::read_to_string(data.join("FORMAT")).unwrap(), newer);
    std::fs::write(data.join("FORMAT"), "something else\n").unwrap();
    refused_start(&data, &Options::no_agent(), &["FORMAT"]).await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bad_bodies_are_refused_and_harm_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "limits: { ingest: { max_body_bytes: 100000, max_decompressed_bytes: 1000000, max_labels: 5 } }\n";
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(config),
    )
    .await
    .unwrap();
    let protobuf = "application/x-protobuf";
    let bomb = gzip(&vec![b' '; 20_000_000]);
    let snappy_bomb = snap::raw::Encoder::new()
        .compress_vec(&vec![0; 2_000_000])
        .unwrap();
    let main = |path: &str| format!("{}{path}", binnacle.url);
    let otlp = |path: &str| format!("{}{path}", binnacle.otlp_http);
    let check = |url: String,
                 kind: &'static str,
                 encoding: Option<&'static str>,
                 body: Vec<u8>,
                 code: u16,
                 says: &'static str| {
        let client = binnacle.client().clone();
        async move {
            let mut request = client.post(&url).header("content-type", kind).body(body);
            if let Some(encoding) = encoding {
                request = request.header("content-encoding", encoding);
            }
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
            assert_eq!(status, code, "{url} {kind} {encoding:?}: {text}");
            assert!(
                text.contains(says),
                "{url} {kind} {encoding:?}: lacks {says:?}: {text}"
            );
        }
    };
    let json = "application/json";
    check(
        main("/api/v1/write"),
        protobuf,
        Some("snappy"),
        b"garbage".to_vec(),
        400,
        "snappy",
    )
    .await;
    check(
        main("/api/v1/write"),
        protobuf,
        Some("snappy"),
        snappy_bomb,
        413,
        "max_decompressed_bytes",
    )
    .await;
    check(
        main("/api/v1/write"),
        protobuf,
        Some("snappy"),
        vec![0; 200_000],
        413,
        "max_body_bytes",
    )
    .await;
    check(
        main("/api/v1/write"),
        "text/plain",
        Some("snappy"),
        b"x".to_vec(),
        415,
        "",
    )
    .await;
    check(
        main("/loki/api/v1/push"),
        json,
        None,
        b"{\"streams\": 5}".to_vec(),
        400,
        "",
    )
    .await;
    check(
        main("/loki/api/v1/push"),
        json,
        Some("gzip"),
        bomb.clone(),
        413,
        "max_decompressed_bytes",
    )
    .await;
    check(
        main("/loki/api/v1/push"),
        json,
        Some("br"),
        b"x".to_vec(),
        415,
        "br",
    )
    .await;
    for signal in ["/v1/logs", "/v1/traces", "/v1/metrics"] {
        check(otlp(signal), protobuf, None, vec![0xff; 10], 400, "").await;
        check(otlp(signal), json, None, b"{".to_vec(), 400, "").await;
        check(
            otlp(signal),
            protobuf,
            Some("gzip"),
            bomb.clone(),
            413,
            "max_decompressed_bytes",
        )
        .await;
        check(otlp(signal), "text/plain", None, b"x".to_vec(), 415, "").await;
    }

    // Too many labels: that series is refused by name, the good one beside it is kept.
    let many: Vec<(&str, String)> = ["__name__", "l1", "l2", "l3", "l4", "l5", "l6"]
        .iter()
        .map(|n| (*n, format!("wide_{n}")))
        .collect();
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let good = vec![("__name__", "good_metric".to_owned())];
    let body = remote_write::body(&[(many, vec![(now, 1.0)]), (good, vec![(now, 2.0)])]).unwrap();
    let (status, text) = remote_write::send(binnacle.client(), &binnacle.url, body)
        .await
        .unwrap();
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("max_labels"), "{text}");
    assert_eq!(binnacle.promql_value("good_metric").await.unwrap(), 2.0);

    // All of it is counted, and the program lives.
    let (_, metrics) = binnacle.get("/metrics").await.unwrap();
    assert!(
        metrics
            .lines()
            .any(|l| l.contains("rejected") && !l.starts_with('#') && !l.ends_with(" 0")),
        "{metrics}"
    );
    assert_eq!(binnacle.get("/-/ready").await.unwrap().0, 200);
}

#[tokio::test]
async fn bad_queries_get_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = "limits: { query: { max_samples: 1000, max_points_per_series: 100 } }\n";
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(config),
    )
    .await
    .unwrap();
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let samples: Vec<_> = (0..3000).map(|n| (now - 10 * n, n as f64)).collect();
    let body = remote_write::body(&[(vec![("__name__", "long".to_owned())], samples)]).unwrap();
    assert_eq!(
        remote_write::send(binnacle.client(), &binnacle.url, body)
            .await
            .unwrap()
            .0,
        204
    );
    let check = |path: &'static str, code: u16, says: &'static [&'static str]| {
        let binnacle = &binnacle;
        async move {
            let (status, text) = binnacle.get(path).await.unwrap();
            assert_eq!(status, code, "{path}: {text}");
            for word in says {
                assert!(text.contains(word), "{path}: lacks {word:?}: {text}");
            }
        }
    };
    check("/api/v1/query", 400, &["bad_data", "query", "no expression"]).await;
    check("/api/v1/query?query=sum(", 400, &["bad_data"]).await;
    check("/api/v1/query?query=up&time=never", 400, &["time", "never"]).await;
    check("/api/v1/query?query=rate(up)", 400, &["bad_data"]).await;
    check("/api/v1/query?query=up%7Ba%3D~%22(%22%7D", 400, &["bad_data"]).await;
    check(
        "/api/v1/query?query=count_over_time(long%5B1h%5D)",
        422,
        &["max_samples"],
    )
    .await;
    check(
        "/api/v1/query_range?query=up&start=0&end=1000&step=1",
        400,
        &["max_points_per_series"],
    )
    .await;
    check(
        "/api/v1/query_range?query=up&start=10&end=0&step=1",
        400,
        &["end"],
    )
    .await;
    check(
        "/api/v1/query_range?query=up&start=0&end=10&step=0",
        400,
        &["step"],
    )
    .await;
    check("/api/v1/series", 400, &["match[]"]).await;
    check("/loki/api/v1/query_range?query=%7Ba%3D", 400, &[]).await;
    check(
        "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D&limit=1000000",
        400,
        &["max_rows"],
    )
    .await;
    check("/jaeger/api/traces/xyz", 400, &["xyz"]).await;
    check(
        "/jaeger/api/traces/0af7651916cd43dd8448eb211c80319c",
        404,
        &["not found"],
    )
    .await;
    check("/api/v1/nothing", 404, &[]).await;
    assert_eq!(binnacle.promql_value("vector(1)").await.unwrap(), 1.0);
}

/// A small file system of its own; unmounted with the value.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(path: std::path::PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "binnacle-test"])
            .arg(&path)
            .status();
        if status.is_ok_and(|s| s.success()) {
            return Some(Self(path));
        }
        tests::skipped("a tmpfs can only be mounted by root");
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_answers_503_reads_go_on_and_it_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(folder.path().join("small"), "24m") else {
        return;
    };
    let mut binnacle = Binnacle::start(&disk.0.join("data"), &Options::no_agent())
        .await
        .unwrap();
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let push = |n: i64| {
        // Lines that do not compress, half a megabyte a request.
        let mut seed = n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            format!("{seed:016x}")
        };
        let values: Vec<_> = (0..500)
            .map(|i| {
                [
                    format!("{}", now + n * 1000 + i),
                    format!("n={n} i={i} {}", (0..60).map(|_| random()).collect::<String>()),
                ]
            })
            .collect();
        let body = serde_json::json!({ "streams": [{ "stream": { "app": "disk" }, "values": values }] });
        binnacle
            .client()
            .post(format!("{}/loki/api/v1/push", binnacle.url))
            .json(&body)
            .send()
    };
    let mut acknowledged = Vec::new();
    let mut refusal = None;
    for n in 0..200 {
        let response = push(n).await.unwrap();
        if response.status().is_success() {
            acknowledged.push(n);
            continue;
        }
        let retry_after = response.headers().get("retry-after").cloned();
        refusal = Some((
            response.status().as_u16(),
            retry_after,
            response.text().await.unwrap(),
        ));
        break;
    }
    let (status, retry_after, text) = refusal.expect("24 MB are full after 200 requests of half a megabyte");
    assert_eq!(status, 503, "{text}");
    assert!(retry_after.is_some(), "{text}");
    assert!(text.contains("full"), "{text}");
    let count = |binnacle: &Binnacle| {
        let request = binnacle
            .client()
            .get(format!("{}/loki/api/v1/query", binnacle.url))
            .query(&[("query", r#"sum(count_over_time({app="disk"}[1h]))"#)]);
        async move {
            let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
            answer["data"]["result"][0]["value"][1]
                .as_str()
                .unwrap_or_default()
                .parse::<f64>()
                .unwrap_or_default()
        }
    };
    let expected = 500.0 * acknowledged.len() as f64;
    assert_eq!(count(&binnacle).await, expected, "reads go on");

    // Somebody makes room: it takes writes again by itself.
    let grown = std::process::Command::new("mount")
        .args(["-o", "remount,size=256m"])
        .arg(&disk.0)
        .status()
        .unwrap();
    assert!(grown.success());
    tests::wait::until("writes after there is room", || async {
        let response = push(1000).await.map_err(|e| e.to_string())?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(response.text().await.unwrap_or_default())
        }
    })
    .await;
    assert_eq!(count(&binnacle).await, expected + 500.0);
    binnacle.process.kill().await.unwrap();
    let binnacle = Binnacle::start(&disk.0.join("data"), &Options::no_agent())
        .await
        .unwrap();
    assert_eq!(count(&binnacle).await, expected + 500.0, "after kill -9");
}
