//! Tests of the registry's text and of the HTTP middleware.

use super::*;
use crate::SystemClock;
use ::http::{Request, Response, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use tower::ServiceExt as _;

static QUEUED: MetricDef = MetricDef {
    name: "binnacle_test_queued",
    help: "Things that \"wait\".",
    kind: MetricKind::Gauge,
    labels: &["queue"],
};
static SENT: MetricDef = MetricDef {
    name: "binnacle_test_sent_total",
    help: "Things sent.",
    kind: MetricKind::Counter,
    labels: &[],
};

/// The lines about one family.
fn lines(text: &str, name: &str) -> Vec<String> {
    let about = |l: &&str| l.split([' ', '{']).any(|word| word.starts_with(name));
    text.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn the_text_is_the_exposition_format() {
    let registry = Registry::new("binnacle", "1.2.3");
    registry.gauge(&QUEUED, &["b"]).set(-2);
    registry.gauge(&QUEUED, &["a\n\"x\""]).set(7);
    registry.counter(&SENT, &[]).add(3);
    registry.clone().counter(&SENT, &[]).inc();
    let text = registry.gather_text();
    assert_eq!(
        lines(&text, "binnacle_test_"),
        [
            "# HELP binnacle_test_queued Things that \"wait\".",
            "# TYPE binnacle_test_queued gauge",
            r#"binnacle_test_queued{queue="a\n\"x\""} 7"#,
            r#"binnacle_test_queued{queue="b"} -2"#,
            "# HELP binnacle_test_sent_total Things sent.",
            "# TYPE binnacle_test_sent_total counter",
            "binnacle_test_sent_total 4",
        ]
    );
    assert!(text.contains("binnacle_build_info{program=\"binnacle\",version=\"1.2.3\"} 1\n"));
    assert!(text.contains("\nprocess_resident_memory_bytes "));
    let names: Vec<_> = registry.definitions().iter().map(|d| d.name).collect();
    assert_eq!(
        names,
        [
            "binnacle_build_info",
            "binnacle_test_queued",
            "binnacle_test_sent_total"
        ]
    );
}

#[test]
#[should_panic(expected = "two definitions share the name binnacle_test_sent_total")]
fn a_name_has_one_definition() {
    static OTHER: MetricDef = MetricDef {
        name: "binnacle_test_sent_total",
        help: "Something else.",
        kind: MetricKind::Counter,
        labels: &[],
    };
    let registry = Registry::new("binnacle", "1");
    registry.counter(&SENT, &[]).inc();
    registry.counter(&OTHER, &[]).inc();
}

fn app(registry: &Registry) -> Router {
    async fn boom() -> &'static str {
        panic!("boom")
    }
    let inner = Router::new().route("/items/{id}", get(|| async { StatusCode::NO_CONTENT }));
    let router = Router::new().route("/boom", get(boom)).nest("/api", inner);
    observe::layer(router, registry, Arc::new(SystemClock::new()))
}

async fn send(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_template() {
    let registry = Registry::new("binnacle", "1");
    let router = app(&registry);
    for (method, path, status) in [
        ("GET", "/api/items/7", 204),
        ("GET", "/api/items/8", 204),
        ("BREW", "/nowhere", 404),
        ("POST", "/api/items/8", 405),
    ] {
        let request = Request::builder().method(method).uri(path);
        let response = send(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{method} {path}");
    }
    let text = registry.gather_text();
    for count in [
        r#"_count{code="204",method="GET",route="/api/items/{id}"} 2"#,
        r#"_count{code="404",method="other",route="none"} 1"#,
        r#"_count{code="405",method="POST",route="/api/items/{id}"} 1"#,
    ] {
        let line = format!("\nbinnacle_http_request_duration_seconds{count}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test]
async fn a_busy_route_gets_a_few_spans_a_second() {
    let registry = Registry::new("binnacle", "1");
    let clock = Arc::new(model::ManualClock::default());
    let router = Router::new().route("/push", get(|| async { StatusCode::NO_CONTENT }));
    let router = observe::layer(router, &registry, clock.clone());
    let send_some = async |count: u32, header: Option<&str>| {
        for _ in 0..count {
            let mut request = Request::builder().uri("/push");
            if let Some(parent) = header {
                request = request.header("traceparent", parent);
            }
            send(&router, request.body(Body::empty()).unwrap()).await;
        }
    };
    let untraced = |count: u32| {
        let line = format!("binnacle_http_requests_untraced_total {count}");
        assert_eq!(
            lines(&registry.gather_text(), "binnacle_http_requests_untraced_total").last(),
            Some(&line)
        );
    };
    send_some(30, None).await;
    untraced(10);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    send_some(5, Some(parent)).await;
    untraced(10);
    clock.advance_ns(1_000_000_000);
    send_some(20, None).await;
    untraced(10);
}

#[tokio::test]
async fn a_panic_is_answered() {
    let registry = Registry::new("binnacle", "1");
    let router = app(&registry);
    let plain = send(&router, Request::get("/boom").body(Body::empty()).unwrap()).await;
    assert_eq!(plain.status(), 500);
    let grpc = Request::get("/boom").header("content-type", "application/grpc");
    let grpc = send(&router, grpc.body(Body::empty()).unwrap()).await;
    assert_eq!(grpc.headers()["grpc-status"], "13");
    assert!(
        registry
            .gather_text()
            .contains(r#"_count{code="500",method="GET",route="/boom"} 1"#)
    );
}
