//! OTLP over HTTP.

use crate::common::{Server, header, limits};
use model::{Error, ErrorKind, Rejection};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use receive::otlp_http;
use std::time::Duration;
use wire::compression::{Encoding, compress};

pub(crate) const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeLogs":[{"logRecords":[{"timeUnixNano":"5","body":{"stringValue":"one"}},{"body":{"stringValue":"no time"}}]}]}]}"#;
const METRICS: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeMetrics":[{"metrics":[{"name":"up","gauge":{"dataPoints":[{"timeUnixNano":"5000000","asInt":"1"}]}},
    {"name":"d","sum":{"aggregationTemporality":1,"dataPoints":[{"asInt":"1"},{"asInt":"2"}]}}]}]}]}"#;
const TRACES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /"},{"name":"no ids"}]}]}]}"#;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The example spans as protobuf.
fn traces_protobuf() -> Vec<u8> {
    let quota = wire::Quota::new(1 << 20);
    let spans = wire::otlp::decode_traces(TRACES.as_bytes(), wire::otlp::Encoding::Json, &quota).unwrap();
    wire::otlp::encode_spans(&spans.payload)
}

#[tokio::test]
async fn json_of_all_signals_is_stored() {
    let s = Server::start(otlp_http).await;
    let r = s
        .post("/v1/logs", LOGS)
        .header("content-type", JSON)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (r.status().as_u16(), header(&r, "content-type").unwrap().as_str()),
        (200, JSON)
    );
    assert_eq!(r.text().await.unwrap(), "{}");
    assert_eq!(
        s.lines("default"),
        [
            "{service_name=\"shop\"} one []@5",
            "{service_name=\"shop\"} no time []@1700000000000000000"
        ]
    );
    let r = s
        .post("/v1/metrics", METRICS)
        .header("content-type", JSON)
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 200);
    let answer: serde_json::Value = serde_json::from_str(&r.text().await.unwrap()).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "2");
    assert!(
        answer["partialSuccess"]["errorMessage"]
            .as_str()
            .unwrap()
            .contains("cumulative")
    );
    assert_eq!(s.series("default"), ["up{job=\"shop\"} 1@5"]);
    let r = s
        .post("/v1/traces", TRACES)
        .header("content-type", JSON)
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 200);
    assert!(r.text().await.unwrap().contains(r#""rejectedSpans":"1""#));
    assert_eq!(s.spans("default"), ["shop GET /"]);
    let count = |key: &str| s.counters.get(key);
    assert_eq!(count("binnacle_receive_requests_total otlp_http 200"), 3);
    assert_eq!(count("binnacle_receive_accepted_total otlp_http logs"), 2);
    assert_eq!(
        count("binnacle_receive_rejected_total otlp_http metrics temporality"),
        2
    );
    assert_eq!(
        count("binnacle_receive_rejected_total otlp_http traces invalid_id"),
        1
    );
    assert_eq!(
        count("binnacle_receive_bytes_total otlp_http"),
        (LOGS.len() + METRICS.len() + TRACES.len()) as u64
    );
}

#[tokio::test]
async fn protobuf_in_every_packing_is_stored_once() {
    let s = Server::start(otlp_http).await;
    for encoding in [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Zstd,
    ] {
        let body = compress(encoding, &traces_protobuf());
        let request = s.post("/v1/traces", body).header("content-type", PROTOBUF);
        let r = request
            .header("content-encoding", encoding.name())
            .send()
            .await
            .unwrap();
        assert_eq!(
            (r.status().as_u16(), header(&r, "content-type").unwrap().as_str()),
            (200, PROTOBUF)
        );
        assert!(r.bytes().await.unwrap().is_empty());
        assert_eq!(s.spans("default"), ["shop GET /"]);
    }
    assert_eq!(
        s.counters.get("binnacle_receive_accepted_total otlp_http traces"),
        1
    );
    assert_eq!(
        s.counters
            .get("binnacle_receive_duplicates_total otlp_http traces"),
        3
    );
}

/// Each bad request: code, sentence in the request's own encoding, nothing stored.
#[tokio::test]
async fn bad_requests() {
    let s = Server::start(otlp_http).await;
    let check =
        async |content_type: &str, encoding: &str, body: Vec<u8>, code: u16, grpc: i32, says: &str| {
            let request = s.post("/v1/logs", body).header("content-type", content_type);
            let r = request.header("content-encoding", encoding).send().await.unwrap();
            assert_eq!(r.status().as_u16(), code, "{says}");
            let answered = header(&r, "content-type").unwrap();
            let bytes = r.bytes().await.unwrap();
            let message = match content_type {
                JSON => {
                    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    assert_eq!(
                        (json["code"].as_i64(), answered.as_str()),
                        (Some(i64::from(grpc)), JSON)
                    );
                    json["message"].as_str().unwrap().to_owned()
                }
                PROTOBUF => {
                    let status = tonic_status(&bytes);
                    assert_eq!((status.0, answered.as_str()), (grpc, PROTOBUF));
                    status.1
                }
                _ => String::from_utf8(bytes.to_vec()).unwrap(),
            };
            assert!(message.contains(says), "{message}");
            assert!(s.is_empty());
        };
    let bomb = compress(Encoding::Gzip, &vec![b' '; 300_000]);
    for content_type in [JSON, PROTOBUF] {
        check(
            content_type,
            "identity",
            b"\x0a\x7fgarbage".to_vec(),
            400,
            3,
            "not valid",
        )
        .await;
        check(
            content_type,
            "gzip",
            b"garbage".to_vec(),
            400,
            3,
            "not valid gzip",
        )
        .await;
        check(
            content_type,
            "br",
            b"{}".to_vec(),
            415,
            12,
            "content encoding \"br\"",
        )
        .await;
        check(
            content_type,
            "identity",
            vec![b' '; 60_000],
            413,
            3,
            "limits.ingest.max_body_bytes",
        )
        .await;
        check(
            content_type,
            "gzip",
            bomb.clone(),
            413,
            3,
            "limits.ingest.max_decompressed_bytes",
        )
        .await;
        check(
            content_type,
            "zstd",
            compress(Encoding::Zstd, &vec![0; 300_000]),
            413,
            3,
            "max_decompressed",
        )
        .await;
    }
    check(
        "text/plain",
        "identity",
        LOGS.into(),
        415,
        0,
        "content type \"text/plain\"",
    )
    .await;
    check("", "identity", LOGS.into(), 415, 0, "content type \"\"").await;
    let small = compress(Encoding::Gzip, &[0x0a, 0x00].repeat(100_000));
    check(PROTOBUF, "gzip", small, 413, 3, "many small items").await;
    let r = s
        .client
        .get(format!("http://{}/v1/logs", s.address))
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 405);
    assert!(s.counters.get("binnacle_receive_requests_total otlp_http 413") >= 7);
    assert_eq!(
        s.counters.refused(),
        [
            "otlp_http bad_data 4",
            "otlp_http max_body_bytes 2",
            "otlp_http max_decompressed_bytes 5",
            "otlp_http unsupported 4",
        ]
    );
}

/// Code and message of a `google.rpc.Status`, read by an independent implementation.
pub(crate) fn tonic_status(bytes: &[u8]) -> (i32, String) {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    let status = Status::decode(bytes).unwrap();
    (status.code, status.message)
}

/// A body without a promised length meets the limit too.
#[tokio::test]
async fn chunked_bodies_are_limited() {
    let s = Server::start(otlp_http).await;
    let mut stream = tokio::net::TcpStream::connect(s.address).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
        .write_all(format!("{:x}\r\n{}\r\n", 50_001, " ".repeat(50_001)).as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    assert_eq!(s.counters.refused(), ["otlp_http max_body_bytes 1",]);
}

#[tokio::test]
async fn the_stores_word_reaches_the_exporter() {
    let s = Server::start(otlp_http).await;
    let check = async |error: Error, code: u16, retry_after: Option<&str>| {
        *s.door.fail.lock().unwrap() = Some(error.clone());
        let r = s
            .post("/v1/logs", LOGS)
            .header("content-type", JSON)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (r.status().as_u16(), header(&r, "retry-after").as_deref()),
            (code, retry_after)
        );
        let json: serde_json::Value = serde_json::from_str(&r.text().await.unwrap()).unwrap();
        assert_eq!(json["message"], error.message());
        assert!(s.is_empty());
    };
    check(
        Error::unavailable("the disk is full", Duration::from_millis(9500)),
        503,
        Some("10"),
    )
    .await;
    check(Error::limit("max_streams is reached"), 429, Some("5")).await;
    let tenants = "there are 64 tenants already (limits.ingest.max_tenants)";
    check(Error::limit(tenants), 429, Some("5")).await;
    check(Error::new(ErrorKind::Timeout, "too slow"), 504, None).await;
    check(Error::new(ErrorKind::Internal, "a bug"), 500, None).await;
    assert_eq!(
        s.counters.refused(),
        [
            "otlp_http limit 1",
            "otlp_http max_tenants 1",
            "otlp_http other 1",
            "otlp_http timeout 1",
            "otlp_http unavailable 1",
        ]
    );
    *s.door.fail.lock().unwrap() = None;
    let refused = Rejection {
        reason: "label_limit",
        count: 1,
        message: "too many labels".into(),
    };
    *s.door.refuse.lock().unwrap() = Some(refused);
    let r = s
        .post("/v1/traces", traces_protobuf())
        .header("content-type", PROTOBUF)
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 200);
    let answer = ExportTraceServiceResponse::decode(r.bytes().await.unwrap()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(
        (partial.rejected_spans, partial.error_message.as_str()),
        (1, "too many labels (1 refused)")
    );
    assert_eq!(
        s.counters
            .get("binnacle_receive_rejected_total otlp_http traces label_limit"),
        1
    );
}

/// A large body takes the way over a thread of its own.
#[tokio::test]
async fn large_bodies_are_stored() {
    let s = Server::start_with(model::IngestLimits::default(), otlp_http).await;
    let line = "x".repeat(100_000);
    let r = s
        .post("/v1/logs", LOGS.replace("one", &line))
        .header("content-type", JSON)
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 200);
    assert!(s.lines("default")[0].contains(&line));
    let r = s
        .post("/v1/logs", format!("{{{}", " ".repeat(100_000)))
        .header("content-type", JSON)
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 400);
    assert_eq!(limits().max_body_bytes, 50_000);
}
