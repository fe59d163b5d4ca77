//! OTLP over gRPC, with the client that exporters use and with frames made by hand.

use crate::common::Server;
use crate::http::tonic_status;
use model::{Error, ErrorKind};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point::Value,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use receive::otlp_grpc;
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use wire::compression::{Encoding, compress};

const EXPORT_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn logs(records: usize) -> ExportLogsServiceRequest {
    let record = |i| LogRecord {
        time_unix_nano: 1 + i as u64,
        ..Default::default()
    };
    let scope_logs = vec![ScopeLogs {
        log_records: (0..records).map(record).collect(),
        ..Default::default()
    }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs,
            ..Default::default()
        }],
    }
}

async fn channel(s: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", s.address))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn all_signals_are_stored() {
    let s = Server::start(otlp_grpc).await;
    let channel = channel(&s).await;
    let plain = LogsServiceClient::new(channel.clone());
    for mut client in [
        plain.clone(),
        plain.clone().send_compressed(CompressionEncoding::Gzip),
        plain.send_compressed(CompressionEncoding::Zstd),
    ] {
        let answer = client.export(logs(2)).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
        assert_eq!(s.lines("default").len(), 2);
    }
    let span = |id: u8| Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: "GET /".into(),
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span(1), span(0)],
        ..Default::default()
    }];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans,
            ..Default::default()
        }],
    };
    let answer = TraceServiceClient::new(channel.clone())
        .export(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(s.spans("default"), ["unknown_service GET /"]);
    let point = NumberDataPoint {
        time_unix_nano: 7_000_000,
        value: Some(Value::AsInt(3)),
        ..Default::default()
    };
    let data = Some(Data::Gauge(Gauge {
        data_points: vec![point],
    }));
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![Metric {
            name: "g".into(),
            data,
            ..Default::default()
        }],
        ..Default::default()
    }];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics,
            ..Default::default()
        }],
    };
    MetricsServiceClient::new(channel).export(request).await.unwrap();
    assert_eq!(s.series("default"), ["g 3@7"]);
    assert_eq!(s.counters.get("binnacle_receive_requests_total otlp_grpc 0"), 5);
    assert!(s.counters.refused().is_empty());
    assert_eq!(
        s.counters.get("binnacle_receive_duplicates_total otlp_grpc logs"),
        4
    );
}

#[tokio::test]
async fn the_tenant_is_in_the_metadata() {
    let s = Server::start(otlp_grpc).await;
    let mut client = LogsServiceClient::new(channel(&s).await);
    let mut request = tonic::Request::new(logs(1));
    request
        .metadata_mut()
        .insert("x-scope-orgid", "t1".parse().unwrap());
    client.export(request).await.unwrap();
    assert_eq!((s.lines("t1").len(), s.lines("default").len()), (1, 0));
    let mut request = tonic::Request::new(logs(1));
    request
        .metadata_mut()
        .insert("x-scope-orgid", "a/b".parse().unwrap());
    let status = client.export(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("X-Scope-OrgID"), "{status}");
}

#[tokio::test]
async fn statuses_tell_an_exporter_what_to_do() {
    let s = Server::start(otlp_grpc).await;
    let mut client = LogsServiceClient::new(channel(&s).await);
    let mut check = async |error: Error, code: tonic::Code, retries: bool| {
        *s.door.fail.lock().unwrap() = Some(error.clone());
        let status = client.export(logs(1)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, error.message()));
        assert_eq!(
            tonic_status(status.details()),
            (code as i32, error.message().to_owned())
        );
        let has_retry_info = status.details().windows(9).any(|w| w == b"RetryInfo");
        assert_eq!(has_retry_info, retries, "{error}");
        assert!(s.is_empty());
    };
    check(
        Error::unavailable("the disk is full", Duration::from_secs(3)),
        tonic::Code::Unavailable,
        true,
    )
    .await;
    check(
        Error::limit("max_streams ü %"),
        tonic::Code::ResourceExhausted,
        true,
    )
    .await;
    check(Error::bad_data("bad"), tonic::Code::InvalidArgument, false).await;
    check(
        Error::new(ErrorKind::Internal, "a bug"),
        tonic::Code::Internal,
        false,
    )
    .await;
}

/// What no exporter does by itself: code, sentence, nothing stored. None of the codes is one that exporters
/// send again after.
#[tokio::test]
async fn bad_calls() {
    let s = Server::start(otlp_grpc).await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let check = async |encoding: &str, body: Vec<u8>, code: &str, says: &str| {
        let request = client
            .post(format!("http://{}{EXPORT_LOGS}", s.address))
            .body(body);
        let request = request
            .header("content-type", "application/grpc")
            .header("grpc-encoding", encoding);
        let r = request.send().await.unwrap();
        assert_eq!(
            (r.status().as_u16(), r.headers()["grpc-status"].to_str().unwrap()),
            (200, code),
            "{says}"
        );
        let message = r.headers()["grpc-message"].to_str().unwrap().to_owned();
        assert!(message.contains(says), "{message}");
        assert!(s.is_empty());
    };
    let frame = |flag: u8, length: usize, message: &[u8]| {
        let head = [&[flag][..], &u32::try_from(length).unwrap().to_be_bytes()].concat();
        [head, message.to_vec()].concat()
    };
    let whole = |flag, message: &[u8]| frame(flag, message.len(), message);
    check("identity", vec![], "3", "holds no message").await;
    check("identity", vec![0, 0, 0], "3", "holds no message").await;
    check(
        "identity",
        frame(0, 9, b"abc"),
        "3",
        "promises a message of 9 bytes, but 3 follow",
    )
    .await;
    check("identity", frame(0, 1, b"abc"), "3", "send exactly one message").await;
    check("identity", whole(7, b""), "3", "exactly one").await;
    check("identity", whole(0, b"garbage"), "3", "not valid protobuf").await;
    check("gzip", whole(1, b"garbage"), "3", "not valid gzip").await;
    check("br", whole(1, b""), "12", "content encoding").await;
    check(
        "identity",
        whole(0, &[0; 60_000]),
        "3",
        "limits.ingest.max_body_bytes",
    )
    .await;
    let bomb = compress(Encoding::Gzip, &vec![0; 300_000]);
    check(
        "gzip",
        whole(1, &bomb),
        "3",
        "limits.ingest.max_decompressed_bytes",
    )
    .await;
    let small = compress(Encoding::Gzip, &[0x0a, 0x00].repeat(100_000));
    check("gzip", whole(1, &small), "3", "many small items").await;
    let request = client
        .post(format!("http://{}{EXPORT_LOGS}", s.address))
        .header("content-type", "application/json");
    let r = request.body("{}").send().await.unwrap();
    assert_eq!(r.status(), 415);
    assert!(r.text().await.unwrap().contains("application/grpc"));
    assert_eq!(s.counters.get("binnacle_receive_requests_total otlp_grpc 3"), 10);
    assert_eq!(
        s.counters.refused(),
        [
            "otlp_grpc bad_data 7",
            "otlp_grpc max_body_bytes 1",
            "otlp_grpc max_decompressed_bytes 2",
            "otlp_grpc unsupported 2",
        ]
    );
}
