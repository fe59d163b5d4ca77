//! What is the same for all protocols: tenant, origin, requests in flight.

use crate::common::{Server, header, limits};
use crate::http::LOGS;
use model::{IngestLimits, Origin};
use receive::{loki_push, origin_headers, origin_of, otlp_http};
use std::sync::Arc;
use tokio::sync::Semaphore;

const BODY: &str = r#"{"streams":[{"stream":{"job":"x"},"values":[["5","one"]]}]}"#;

fn push(s: &Server) -> reqwest::RequestBuilder {
    s.post("/loki/api/v1/push", BODY)
        .header("content-type", "application/json")
}

fn origin() -> Origin {
    Origin {
        agent: "a-1".into(),
        epoch: 2,
        stream: "logs".into(),
        sequence: 3,
    }
}

#[tokio::test]
async fn the_tenant_comes_from_its_header() {
    let s = Server::start(loki_push).await;
    assert_eq!(
        push(&s)
            .header("x-scope-orgid", "t1")
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!((s.lines("t1").len(), s.lines("default").len()), (1, 0));
    assert_eq!(push(&s).send().await.unwrap().status(), 204);
    assert_eq!(s.lines("default").len(), 1);
    for bad in ["", "a b", "../x"] {
        let r = push(&s).header("x-scope-orgid", bad).send().await.unwrap();
        assert_eq!(r.status(), 400, "{bad:?}");
        assert!(r.text().await.unwrap().contains("X-Scope-OrgID"));
    }
    assert_eq!(s.door.origins.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_origin_comes_whole_or_not_at_all() {
    let s = Server::start(loki_push).await;
    let all = origin_headers(&origin()).unwrap();
    for _ in 0..2 {
        assert_eq!(push(&s).headers(all.clone()).send().await.unwrap().status(), 204);
    }
    assert_eq!(*s.door.origins.lock().unwrap(), [Some(origin()), Some(origin())]);
    assert_eq!(s.lines("default").len(), 1);
    assert_eq!(
        s.counters.get("binnacle_receive_duplicates_total loki_push logs"),
        1
    );
    for name in all.keys() {
        let mut some = all.clone();
        some.remove(name);
        let r = push(&s).headers(some).send().await.unwrap();
        assert_eq!(r.status(), 400);
        assert!(
            r.text()
                .await
                .unwrap()
                .contains(&format!("header {name} is missing"))
        );
    }
    for (name, bad) in [
        ("x-binnacle-epoch", "-1"),
        ("x-binnacle-sequence", "0"),
        ("x-binnacle-sequence", "x"),
        ("x-binnacle-agent", ""),
        ("x-binnacle-agent", "a b"),
        ("x-binnacle-stream", "ü"),
    ] {
        let mut headers = all.clone();
        headers.insert(name, http_value(bad));
        assert!(origin_of(&headers).is_err(), "{name}: {bad}");
        assert_eq!(
            push(&s).headers(headers).send().await.unwrap().status(),
            400,
            "{name}: {bad}"
        );
    }
    assert_eq!(s.door.origins.lock().unwrap().len(), 2);
    assert_eq!(origin_of(&all).unwrap(), Some(origin()));
    assert!(
        origin_headers(&Origin {
            agent: "a\nb".into(),
            ..origin()
        })
        .is_err()
    );
}

fn http_value(text: &str) -> reqwest::header::HeaderValue {
    reqwest::header::HeaderValue::from_bytes(text.as_bytes()).unwrap()
}

/// An empty batch of an agent reaches the store because of its sequence; of anybody else it does not.
#[tokio::test]
async fn empty_batches() {
    let s = Server::start(otlp_http).await;
    let send = async |headers| {
        let r = s
            .post("/v1/logs", "{}")
            .header("content-type", "application/json")
            .headers(headers);
        assert_eq!(r.send().await.unwrap().status(), 200);
        s.door.origins.lock().unwrap().len()
    };
    assert_eq!(send(reqwest::header::HeaderMap::new()).await, 0);
    assert_eq!(send(origin_headers(&origin()).unwrap()).await, 1);
}

/// With one place, a second request gets 503 while the first is being written, and the place comes back. The
/// place is one for all routers of the same options.
#[tokio::test]
async fn requests_in_flight_are_limited() {
    let one_place = IngestLimits {
        max_inflight_requests: 1,
        ..limits()
    };
    let s = Server::start_with(one_place, |options, sinks| {
        loki_push(options.clone(), sinks.clone()).merge(otlp_http(options, sinks))
    })
    .await;
    let gate = Arc::new(Semaphore::new(0));
    *s.door.gate.lock().unwrap() = Some(gate.clone());
    let first = tokio::spawn(push(&s).send());
    s.door.entered.notified().await;
    let r = s
        .post("/v1/logs", LOGS)
        .header("content-type", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (r.status().as_u16(), header(&r, "retry-after").as_deref()),
        (503, Some("1"))
    );
    assert!(
        r.text()
            .await
            .unwrap()
            .contains("limits.ingest.max_inflight_requests")
    );
    assert_eq!(s.counters.refused(), ["otlp_http max_inflight_requests 1",]);
    gate.add_permits(100);
    assert_eq!(first.await.unwrap().unwrap().status(), 204);
    assert_eq!(push(&s).send().await.unwrap().status(), 204);
    // A client that goes away gives its place back too.
    *s.door.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    let gone = tokio::spawn(push(&s).send());
    s.door.entered.notified().await;
    s.door.entered.notified().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    *s.door.gate.lock().unwrap() = None;
    let came_back = async {
        while push(&s).send().await.unwrap().status() != 204 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), came_back)
        .await
        .expect("the place comes back");
}
