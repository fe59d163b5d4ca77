//! Remote write 1.0 and 2.0: what is taken, what is refused, and what the answers say.

use crate::common::{Server, header};
use model::metric::{Histogram, HistogramSample};
use model::{Error, Exemplar, Labels, Metrics, Rejection, Sample, Series};
use receive::{origin_headers, remote_write};
use std::time::Duration;
use wire::compression::{Encoding, compress};
use wire::remote_write::{Message, encode, encode_v2};

const WRITE: &str = "/api/v1/write";
const BOTH: [Message; 2] = [Message::V1, Message::V2];

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

/// Two samples, one native histogram with this schema, three exemplars.
fn mixed(schema: i32) -> Vec<Series> {
    let exemplar = Exemplar {
        labels: Labels::empty(),
        timestamp_ms: 7,
        value: 1.0,
    };
    let histogram = HistogramSample {
        timestamp_ms: 7,
        start_timestamp_ms: 0,
        histogram: Histogram {
            schema,
            ..Histogram::default()
        },
    };
    let mut all = vec![
        series(&[("__name__", "a")], 1.0),
        series(&[("__name__", "b")], 2.0),
    ];
    all[0].exemplars = vec![exemplar; 3];
    all.push(Series {
        labels: Labels::from_pairs([("__name__", "h")]),
        histograms: vec![histogram],
        ..Series::default()
    });
    all
}

fn body(message: Message, series: Vec<Series>) -> Vec<u8> {
    let metrics = Metrics {
        series,
        metadata: vec![],
    };
    match message {
        Message::V1 => encode(&metrics),
        Message::V2 => encode_v2(&metrics),
    }
}

async fn send(s: &Server, message: Message, series: Vec<Series>) -> reqwest::Response {
    s.post(WRITE, compress(Encoding::Snappy, &body(message, series)))
        .header("content-type", message.content_type())
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", message.version())
        .send()
        .await
        .unwrap()
}

/// Samples, histograms and exemplars of the headers.
fn written(r: &reqwest::Response) -> Option<[String; 3]> {
    let all = ["samples", "histograms", "exemplars"]
        .map(|what| header(r, &format!("x-prometheus-remote-write-{what}-written")));
    match all {
        [Some(a), Some(b), Some(c)] => Some([a, b, c]),
        none => {
            assert_eq!(none, [None, None, None]);
            None
        }
    }
}

fn counts(samples: u64, histograms: u64, exemplars: u64) -> Option<[String; 3]> {
    Some([samples, histograms, exemplars].map(|n| n.to_string()))
}

#[tokio::test]
async fn both_versions_are_stored() {
    let s = Server::start(remote_write).await;
    let check =
        async |content_type: Option<&str>, encoding: Option<&str>, packed: Encoding, message: Message| {
            let sent = body(message, vec![series(&[("__name__", "up"), ("job", "x")], 1.0)]);
            let mut request = s.post(WRITE, compress(packed, &sent));
            for (name, value) in [("content-type", content_type), ("content-encoding", encoding)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let r = request.send().await.unwrap();
            assert_eq!(written(&r), counts(1, 0, 0));
            assert_eq!((r.status().as_u16(), r.text().await.unwrap().as_str()), (204, ""));
        };
    let plain = "application/x-protobuf";
    let v1 = "application/x-protobuf;proto=prometheus.WriteRequest";
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    check(Some(plain), Some("snappy"), Encoding::Snappy, Message::V1).await;
    check(Some(v1), Some("snappy"), Encoding::Snappy, Message::V1).await;
    check(Some(v2), Some("snappy"), Encoding::Snappy, Message::V2).await;
    check(Some(v2), None, Encoding::Snappy, Message::V2).await;
    check(None, None, Encoding::Snappy, Message::V1).await;
    check(Some(plain), Some("zstd"), Encoding::Zstd, Message::V1).await;
    check(Some(v2), Some("gzip"), Encoding::Gzip, Message::V2).await;
    check(Some(v2), Some("identity"), Encoding::Identity, Message::V2).await;
    assert_eq!(s.series("default"), ["up{job=\"x\"} 1@7"]);
    assert_eq!(
        s.counters.get("binnacle_receive_requests_total remote_write 204"),
        8
    );
    assert_eq!(
        s.counters
            .get("binnacle_receive_accepted_total remote_write metrics"),
        8
    );
}

#[tokio::test]
async fn headers_say_what_was_written() {
    for message in BOTH {
        let s = Server::start(remote_write).await;
        let r = send(&s, message, mixed(0)).await;
        assert_eq!((r.status().as_u16(), written(&r)), (204, counts(2, 1, 3)));
        // Nothing at all is no error.
        let r = send(&s, message, vec![]).await;
        assert_eq!((r.status().as_u16(), written(&r)), (204, counts(0, 0, 0)));
        // A part of it: the decoder refuses the histogram, then the store some samples too.
        let r = send(&s, message, mixed(99)).await;
        assert_eq!((r.status().as_u16(), written(&r)), (400, counts(2, 0, 3)));
        let text = r.text().await.unwrap();
        assert_eq!(
            text,
            "a native histogram of h has schema 99, which is neither -4 to 8 nor -53 (1 refused)\n"
        );
        let refused = Rejection {
            reason: "too_old",
            count: 4,
            message: "samples are outside of retention".into(),
        };
        *s.door.refuse.lock().unwrap() = Some(refused);
        let r = send(&s, message, mixed(99)).await;
        assert_eq!((r.status().as_u16(), written(&r)), (400, counts(2, 0, 3)));
        let text = r.text().await.unwrap();
        assert!(
            text.ends_with("; samples are outside of retention (4 refused)\n"),
            "{text}"
        );
        let r = send(&s, message, mixed(0)).await;
        assert_eq!((r.status().as_u16(), written(&r)), (400, counts(2, 1, 3)));
        let rejected = |reason| {
            let key = format!("binnacle_receive_rejected_total remote_write metrics {reason}");
            s.counters.get(&key)
        };
        assert_eq!((rejected("invalid_histogram"), rejected("too_old")), (2, 8));
        // What was there already is written as far as the sender is concerned.
        *s.door.refuse.lock().unwrap() = None;
        let origin = model::Origin {
            agent: "a".into(),
            epoch: 1,
            stream: "metrics".into(),
            sequence: 1,
        };
        for exemplars in [3, 0] {
            let packed = compress(Encoding::Snappy, &body(message, mixed(0)));
            let request = s.post(WRITE, packed).headers(origin_headers(&origin).unwrap());
            let r = request
                .header("content-type", message.content_type())
                .send()
                .await
                .unwrap();
            assert_eq!((r.status().as_u16(), written(&r)), (204, counts(2, 1, exemplars)));
        }
    }
}

#[tokio::test]
async fn requests_that_are_refused() {
    let s = Server::start(remote_write).await;
    let check = async |content_type: &str, encoding: &str, body: Vec<u8>, code: u16, says: &str| {
        let request = s.post(WRITE, body).header("content-type", content_type);
        let r = request.header("content-encoding", encoding).send().await.unwrap();
        assert_eq!(r.status().as_u16(), code, "{says}");
        assert_eq!(header(&r, "content-type").unwrap(), "text/plain; charset=utf-8");
        // Only who speaks 2.0, and was understood, asks how much was written.
        let speaks_v2 = content_type.ends_with("v2.Request") && code != 415;
        assert_eq!(written(&r), if speaks_v2 { counts(0, 0, 0) } else { None });
        let text = r.text().await.unwrap();
        assert!(text.contains(says) && text.lines().count() == 1, "{text}");
        assert!(s.is_empty());
    };
    let snappy = |body: &[u8]| compress(Encoding::Snappy, body);
    for message in BOTH {
        let protobuf = message.content_type();
        check(protobuf, "snappy", b"garbage".to_vec(), 400, "not valid snappy").await;
        check(protobuf, "snappy", snappy(b"garbage"), 400, "not valid protobuf").await;
        let mut whole = body(message, mixed(0));
        whole.pop();
        check(protobuf, "snappy", snappy(&whole), 400, "ends in the middle").await;
        check(protobuf, "br", vec![], 415, "content encoding").await;
        let large = vec![0; 60_000];
        check(protobuf, "snappy", large, 413, "limits.ingest.max_body_bytes").await;
        let bomb = vec![0; 300_000];
        let says = "limits.ingest.max_decompressed_bytes";
        check(protobuf, "snappy", snappy(&bomb), 413, says).await;
        check(protobuf, "gzip", compress(Encoding::Gzip, &bomb), 413, says).await;
    }
    let v2 = Message::V2.content_type();
    // A series that refers to a symbol that is not there.
    let bad_reference = snappy(b"\x22\x00\x2a\x04\x0a\x02\x00\x01");
    let says = "series 1: it refers to symbol 1, but the request has 1 symbols";
    check(v2, "snappy", bad_reference, 400, says).await;
    check(
        "application/json",
        "snappy",
        vec![],
        415,
        "send remote write 2.0 as",
    )
    .await;
    let v3 = "application/x-protobuf;proto=io.prometheus.write.v3.Request";
    check(v3, "snappy", vec![], 415, "or 1.0 as application/x-protobuf").await;
    assert_eq!(
        s.counters.refused(),
        [
            "remote_write bad_data 7",
            "remote_write max_body_bytes 2",
            "remote_write max_decompressed_bytes 4",
            "remote_write unsupported 4",
        ]
    );
}

#[tokio::test]
async fn the_stores_word_reaches_the_sender() {
    let s = Server::start(remote_write).await;
    let check = async |error: Error, code: u16, retry_after: Option<&str>| {
        *s.door.fail.lock().unwrap() = Some(error.clone());
        for message in BOTH {
            let r = send(&s, message, mixed(0)).await;
            assert_eq!(
                (r.status().as_u16(), header(&r, "retry-after").as_deref()),
                (code, retry_after)
            );
            let nothing = (message == Message::V2).then(|| counts(0, 0, 0)).flatten();
            assert_eq!(written(&r), nothing);
            assert_eq!(r.text().await.unwrap(), format!("{error}\n"));
            assert!(s.is_empty());
        }
    };
    check(
        Error::unavailable("the disk is full", Duration::from_secs(10)),
        503,
        Some("10"),
    )
    .await;
    check(Error::limit("max_series is reached"), 429, Some("5")).await;
    check(Error::bad_data("a label is not UTF-8"), 400, None).await;
    check(Error::internal("a bug"), 500, None).await;
    assert_eq!(
        s.counters.refused(),
        [
            "remote_write bad_data 2",
            "remote_write limit 2",
            "remote_write other 2",
            "remote_write unavailable 2",
        ]
    );
}

/// A body that is decoded on a thread of its own, and one with labels of every length.
#[tokio::test]
async fn large_bodies() {
    for message in BOTH {
        let s = Server::start(remote_write).await;
        let all: Vec<_> = (0..1800u64)
            .map(|n| {
                let unlike = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                series(&[("__name__", "m"), ("id", &format!("{unlike:x}"))], n as f64)
            })
            .collect();
        let packed = compress(Encoding::Snappy, &body(message, all.clone()));
        assert!(
            packed.len() > 32 << 10 && packed.len() < 50_000,
            "{}",
            packed.len()
        );
        let r = send(&s, message, all).await;
        assert_eq!((r.status().as_u16(), written(&r)), (204, counts(1800, 0, 0)));
        assert_eq!(s.series("default").len(), 1800);
    }
}
