//! Closed by default: addresses, tokens for read, write and admin, TLS on every listener.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use tests::binnacle::{Binnacle, Options, command};
use tests::process::Process;

const AUTH: &str = "auth:\n  bearer:\n    - { token: r-token, access: [read] }\n    - { token: w-token, access: [write] }\n    \
                    - { token: a-token, access: [admin] }\n  basic:\n    - { username: ann, password: secret, access: [read] }\n";

fn now_ns() -> String {
    std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos()
        .to_string()
}

async fn refused(options: Options, says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut process =
        Process::start("refused", command(&folder.path().join("data"), &options).unwrap()).unwrap();
    let end = process.wait().await.unwrap();
    assert_ne!(end.code(), Some(0));
    let said = process.output();
    for word in says {
        assert!(said.contains(word), "lacks {word:?}:\n{said}");
    }
}

#[tokio::test]
async fn an_open_address_without_auth_is_refused() {
    for flag in ["--listen", "--otlp-grpc", "--otlp-http"] {
        refused(
            Options::no_agent().with_argument(flag).with_argument("0.0.0.0:0"),
            &[flag, "auth", "--insecure"],
        )
        .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = Options::no_agent()
        .with_argument("--insecure")
        .with_argument("--listen")
        .with_argument("0.0.0.0:0");
    let binnacle = Binnacle::start(&folder.path().join("data"), &options)
        .await
        .unwrap();
    assert_eq!(binnacle.get("/-/ready").await.unwrap().0, 200);
    let options = Options::no_agent()
        .with_config(AUTH)
        .with_argument("--listen")
        .with_argument("0.0.0.0:0");
    let other = Binnacle::start(&folder.path().join("other"), &options)
        .await
        .unwrap();
    assert_eq!(other.get("/-/ready").await.unwrap().0, 200);
}

#[tokio::test]
async fn each_token_opens_its_own_door() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(AUTH),
    )
    .await
    .unwrap();
    let push = serde_json::json!({ "streams": [{ "stream": { "a": "b" }, "values": [[now_ns(), "x"]] }] });
    let check = |method: &'static str, url: String, token: Option<&'static str>, expected: u16| {
        let (client, push) = (binnacle.client().clone(), push.clone());
        async move {
            let mut request = client.request(method.parse().unwrap(), &url);
            if method == "POST" && !url.ends_with("compact") && !url.ends_with("snapshot") {
                request = request.json(&push);
            }
            request = match token {
                Some("basic") => request.basic_auth("ann", Some("secret")),
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            assert_eq!(status, expected, "{method} {url} with {token:?}: {text}");
            assert!(
                !text.contains("-token") && !text.contains("secret"),
                "an answer shows a secret: {text}"
            );
        }
    };
    let url = |path: &str| format!("{}{path}", binnacle.url);
    let reads = [
        "/api/v1/query?query=up",
        "/loki/api/v1/labels",
        "/jaeger/api/services",
        "/metrics",
        "/api/v1/rules",
        "/render/panel.svg?query=up",
    ];
    for path in reads {
        check("GET", url(path), None, 401).await;
        check("GET", url(path), Some("wrong"), 401).await;
        check("GET", url(path), Some("w-token"), 403).await;
        check("GET", url(path), Some("r-token"), 200).await;
        check("GET", url(path), Some("basic"), 200).await;
        check("GET", url(path), Some("a-token"), 200).await;
    }
    let logs = format!("{}/v1/logs", binnacle.otlp_http);
    for target in [url("/loki/api/v1/push"), logs] {
        check("POST", target.clone(), None, 401).await;
        check("POST", target.clone(), Some("r-token"), 403).await;
    }
    check("POST", url("/loki/api/v1/push"), Some("w-token"), 204).await;
    check("POST", url("/-/compact"), Some("r-token"), 403).await;
    check("POST", url("/-/compact"), Some("a-token"), 200).await;
    let snapshots = "/api/v1/admin/tsdb/snapshot";
    for (method, path) in [("GET", snapshots), ("POST", snapshots), ("PUT", snapshots)] {
        check(method, url(path), None, 401).await;
        check(method, url(path), Some("r-token"), 403).await;
        check(method, url(path), Some("w-token"), 403).await;
        check(method, url(path), Some("a-token"), 200).await;
    }
    let one = url(&format!("{snapshots}/none"));
    check("DELETE", one.clone(), Some("r-token"), 403).await;
    check("DELETE", one, Some("a-token"), 404).await;
    // Without a token: only whether it lives, and the empty page with its field for one.
    for path in ["/", "/-/healthy", "/-/ready"] {
        check("GET", url(path), None, 200).await;
    }
    // Its own metrics are collected all the same.
    let own = |expression: &'static str| {
        let request = binnacle
            .client()
            .get(url("/api/v1/query"))
            .query(&[("query", expression)])
            .bearer_auth("r-token");
        async move {
            request
                .send()
                .await
                .unwrap()
                .json::<serde_json::Value>()
                .await
                .unwrap()
        }
    };
    tests::wait::until("its own scrape", || async {
        let up = own("up == 1").await;
        if up["data"]["result"].as_array().is_some_and(|r| !r.is_empty()) {
            Ok(())
        } else {
            Err(up)
        }
    })
    .await;
}

#[tokio::test]
async fn tls_on_every_listener() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let config = format!(
        "tls: {{ cert_file: '{}', key_file: '{}' }}\n{AUTH}",
        cert.display(),
        key.display()
    );
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(config),
    )
    .await
    .unwrap();
    assert!(
        binnacle.url.starts_with("https://") && binnacle.otlp_http.starts_with("https://"),
        "{}",
        binnacle.url
    );
    let root = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .build()
        .unwrap();
    let up = client
        .get(format!("{}/api/v1/query?query=1", binnacle.url))
        .bearer_auth("r-token")
        .send()
        .await
        .unwrap();
    assert_eq!(up.status(), 200);
    let empty = serde_json::json!({ "resourceLogs": [] });
    let logs = client
        .post(format!("{}/v1/logs", binnacle.otlp_http))
        .bearer_auth("w-token")
        .json(&empty)
        .send()
        .await
        .unwrap();
    assert_eq!(logs.status(), 200);
    let plain = tests::binnacle::client()
        .get(binnacle.url.replace("https:", "http:"))
        .send()
        .await;
    assert!(
        plain.is_err() || plain.is_ok_and(|r| !r.status().is_success()),
        "plain text is not served"
    );

    // gRPC with TLS and a token, by the SDK.
    let mut sdk = tokio::process::Command::new(tests::peers::python());
    sdk.args(["-c", include_str!("send_with_tls.py"), &binnacle.otlp_grpc])
        .arg(&cert);
    assert!(tests::peers::run(sdk).await.unwrap().contains("sent True"));
    let mut ask = tokio::process::Command::new(tests::binnacle::program());
    ask.args([
        "query",
        "--url",
        &binnacle.url,
        "--token",
        "r-token",
        "vector(7)",
        "--ca-file",
    ])
    .arg(&cert);
    assert_eq!(tests::peers::run(ask).await.unwrap().trim(), "{}  7");
}
