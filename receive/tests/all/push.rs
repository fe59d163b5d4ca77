//! Remote write and Loki push.

use crate::common::{Server, header};
use model::{Error, Labels, LogEntry, LogStream, Logs, Metrics, Rejection, Sample, Series};
use receive::{loki_push, remote_write};
use std::time::Duration;
use wire::compression::{Encoding, compress};

const WRITE: &str = "/api/v1/write";
const PUSH: &str = "/loki/api/v1/push";

fn series(labels: &[(&str, &str)], value: f64) -> Series {
    Series {
        labels: Labels::from_pairs(labels.iter().copied()),
        samples: vec![Sample {
            timestamp_ms: 7,
            value,
        }],
        ..Series::default()
    }
}

fn write_body(series: Vec<Series>) -> Vec<u8> {
    wire::remote_write::encode(&Metrics {
        series,
        metadata: vec![],
    })
}

#[tokio::test]
async fn remote_write_is_stored() {
    let s = Server::start(remote_write).await;
    let body = write_body(vec![series(&[("__name__", "up"), ("job", "x")], 1.0)]);
    let send = async |body: Vec<u8>, encoding: Option<&str>| {
        let request = s
            .post(WRITE, body)
            .header("content-type", "application/x-protobuf");
        let request = match encoding {
            Some(encoding) => request.header("content-encoding", encoding),
            None => request,
        };
        request
            .header("x-prometheus-remote-write-version", "0.1.0")
            .send()
            .await
            .unwrap()
    };
    for encoding in [Some("snappy"), None] {
        let r = send(compress(Encoding::Snappy, &body), encoding).await;
        assert_eq!((r.status().as_u16(), r.text().await.unwrap().as_str()), (204, ""));
    }
    assert_eq!(
        send(compress(Encoding::Zstd, &body), Some("zstd")).await.status(),
        204
    );
    assert_eq!(s.series("default"), ["up{job=\"x\"} 1@7"]);
    assert_eq!(
        s.counters.get("binnacle_receive_requests_total remote_write 204"),
        3
    );
    assert_eq!(
        s.counters
            .get("binnacle_receive_accepted_total remote_write metrics"),
        3
    );
}

#[tokio::test]
async fn remote_write_refuses() {
    let s = Server::start(remote_write).await;
    let check = async |content_type: &str, encoding: &str, body: Vec<u8>, code: u16, says: &str| {
        let request = s.post(WRITE, body).header("content-type", content_type);
        let r = request.header("content-encoding", encoding).send().await.unwrap();
        assert_eq!(r.status().as_u16(), code, "{says}");
        assert_eq!(header(&r, "content-type").unwrap(), "text/plain; charset=utf-8");
        let text = r.text().await.unwrap();
        assert!(text.contains(says) && text.lines().count() == 1, "{text}");
        assert!(s.is_empty());
    };
    let protobuf = "application/x-protobuf";
    let snappy = |body: &[u8]| compress(Encoding::Snappy, body);
    check(protobuf, "snappy", b"garbage".to_vec(), 400, "not valid snappy").await;
    check(protobuf, "snappy", snappy(b"garbage"), 400, "not valid protobuf").await;
    check(protobuf, "br", vec![], 415, "content encoding").await;
    check("application/json", "snappy", vec![], 415, "send remote write 1.0").await;
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    check(v2, "snappy", vec![], 415, "send remote write 1.0").await;
    check(
        protobuf,
        "snappy",
        vec![0; 60_000],
        413,
        "limits.ingest.max_body_bytes",
    )
    .await;
    check(
        protobuf,
        "snappy",
        snappy(&vec![0; 300_000]),
        413,
        "limits.ingest.max_decompressed_bytes",
    )
    .await;
    check(
        protobuf,
        "gzip",
        compress(Encoding::Gzip, &vec![0; 300_000]),
        413,
        "max_decompressed_bytes",
    )
    .await;
    check(
        protobuf,
        "snappy",
        snappy(&write_body(vec![series(&[("job", "x")], 1.0)])),
        400,
        "no metric name",
    )
    .await;
    // The last was well-formed: its series are counted, not the request.
    assert_eq!(
        s.counters.refused(),
        [
            "remote_write bad_data 2",
            "remote_write max_body_bytes 1",
            "remote_write max_decompressed_bytes 2",
            "remote_write unsupported 3",
        ]
    );
}

#[tokio::test]
async fn remote_write_takes_the_good_among_the_bad() {
    let s = Server::start(remote_write).await;
    let body = write_body(vec![
        series(&[("job", "x")], 1.0),
        series(&[("__name__", "up")], 2.0),
    ]);
    let send = async || {
        s.post(WRITE, compress(Encoding::Snappy, &body))
            .send()
            .await
            .unwrap()
    };
    let r = send().await;
    assert_eq!(r.status(), 400);
    assert_eq!(
        r.text().await.unwrap(),
        "the series {job=\"x\"} has no metric name (__name__) (1 refused)\n"
    );
    assert_eq!(s.series("default"), ["up 2@7"]);
    let refused = Rejection {
        reason: "too_old",
        count: 4,
        message: "samples are outside of retention".into(),
    };
    *s.door.refuse.lock().unwrap() = Some(refused);
    let r = send().await;
    assert_eq!(r.status(), 400);
    assert!(
        r.text()
            .await
            .unwrap()
            .ends_with("; samples are outside of retention (4 refused)\n")
    );
    assert_eq!(
        s.counters
            .get("binnacle_receive_rejected_total remote_write metrics invalid_labels"),
        2
    );
    assert_eq!(
        s.counters
            .get("binnacle_receive_rejected_total remote_write metrics too_old"),
        4
    );
}

#[tokio::test]
async fn the_stores_word_reaches_the_sender() {
    let s = Server::start(remote_write).await;
    let check = async |error: Error, code: u16, retry_after: Option<&str>| {
        *s.door.fail.lock().unwrap() = Some(error.clone());
        let body = write_body(vec![series(&[("__name__", "up")], 1.0)]);
        let r = s
            .post(WRITE, compress(Encoding::Snappy, &body))
            .send()
            .await
            .unwrap();
        assert_eq!(
            (r.status().as_u16(), header(&r, "retry-after").as_deref()),
            (code, retry_after)
        );
        assert_eq!(r.text().await.unwrap(), format!("{error}\n"));
        assert!(s.is_empty());
    };
    check(
        Error::unavailable("the disk is full", Duration::from_secs(10)),
        503,
        Some("10"),
    )
    .await;
    check(Error::limit("max_series is reached"), 429, Some("5")).await;
    check(Error::internal("a bug"), 500, None).await;
    assert_eq!(
        s.counters.refused(),
        [
            "remote_write limit 1",
            "remote_write other 1",
            "remote_write unavailable 1",
        ]
    );
}

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
