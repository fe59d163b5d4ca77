//! Loki push.

use crate::common::Server;
use model::{Labels, LogEntry, LogStream, Logs};
use receive::loki_push;
use wire::compression::{Encoding, compress};

const PUSH: &str = "/loki/api/v1/push";

#[tokio::test]
async fn loki_push_is_stored() {
    let s = Server::start(loki_push).await;
    let json = r#"{"streams":[{"stream":{"job":"x"},"values":[["5","one",{"trace_id":"abc"}]]}]}"#;
    let logs = Logs {
        streams: vec![LogStream {
            labels: Labels::from_pairs([("job", "x")]),
            entries: vec![LogEntry {
                timestamp_ns: 6,
                line: "two".into(),
                metadata: vec![],
            }],
        }],
    };
    let protobuf = compress(Encoding::Snappy, &wire::loki::encode_protobuf(&logs));
    let send = async |content_type: &str, encoding: Option<&str>, body: Vec<u8>| {
        let request = s.post(PUSH, body).header("content-type", content_type);
        let request = match encoding {
            Some(encoding) => request.header("content-encoding", encoding),
            None => request,
        };
        assert_eq!(
            request.send().await.unwrap().status(),
            204,
            "{content_type} {encoding:?}"
        );
    };
    send("application/json", None, json.into()).await;
    send(
        "application/json; charset=utf-8",
        Some("gzip"),
        compress(Encoding::Gzip, json.as_bytes()),
    )
    .await;
    send("application/x-protobuf", None, protobuf.clone()).await;
    send("application/x-protobuf", Some("snappy"), protobuf).await;
    assert_eq!(
        s.lines("default"),
        [
            "{job=\"x\"} one [(\"trace_id\", \"abc\")]@5",
            "{job=\"x\"} two []@6"
        ]
    );
    assert_eq!(
        s.counters.get("binnacle_receive_duplicates_total loki_push logs"),
        2
    );
}

#[tokio::test]
async fn loki_push_refuses() {
    let s = Server::start(loki_push).await;
    let check = async |content_type: &str, encoding: &str, body: Vec<u8>, code: u16, says: &str| {
        let request = s.post(PUSH, body).header("content-type", content_type);
        let r = request.header("content-encoding", encoding).send().await.unwrap();
        assert_eq!(r.status().as_u16(), code, "{says}");
        let text = r.text().await.unwrap();
        assert!(text.contains(says) && text.lines().count() == 1, "{text}");
        assert!(s.is_empty());
    };
    let json = "application/json";
    check(
        json,
        "identity",
        b"garbage".to_vec(),
        400,
        "not a push request in JSON",
    )
    .await;
    check(json, "identity", vec![b' '; 60_000], 413, "max_body_bytes").await;
    check(
        json,
        "gzip",
        compress(Encoding::Gzip, &vec![b' '; 300_000]),
        413,
        "max_decompressed_bytes",
    )
    .await;
    check(
        "text/plain",
        "identity",
        b"{}".to_vec(),
        415,
        "content type \"text/plain\"",
    )
    .await;
    check(
        "application/x-protobuf",
        "snappy",
        b"garbage".to_vec(),
        400,
        "not valid snappy",
    )
    .await;
    check(
        json,
        "identity",
        br#"{"streams":[{"stream":{},"values":[["1","x"]]}]}"#.to_vec(),
        400,
        "no labels",
    )
    .await;
    assert_eq!(
        s.counters.refused(),
        [
            "loki_push bad_data 2",
            "loki_push max_body_bytes 1",
            "loki_push max_decompressed_bytes 1",
            "loki_push unsupported 1",
        ]
    );
    let mixed =
        r#"{"streams":[{"stream":{},"values":[["1","x"]]},{"stream":{"a":"b"},"values":[["1","good"]]}]}"#;
    let r = s
        .post(PUSH, mixed)
        .header("content-type", json)
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 400);
    assert_eq!(s.lines("default"), ["{a=\"b\"} good []@1"]);
}
