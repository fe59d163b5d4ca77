//! The HTTP middleware: a histogram and a span per request, and a panic becomes a 500.

use super::Registry;
use ::http::header::HeaderMap;
use ::http::{Method, Request, Response};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::Next;
use futures_util::FutureExt as _;
use model::{Clock, Counter, Error, Meter as _, MetricDef, MetricKind};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use prometheus::{HistogramOpts, HistogramVec};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// What a request that no route matched is counted under.
const NO_ROUTE: &str = "none";

/// The histogram of requests.
#[derive(Clone)]
pub(crate) struct Requests(HistogramVec);

impl Requests {
    pub(super) fn new() -> Self {
        let options = HistogramOpts::new(
            "binnacle_http_request_duration_seconds",
            "Time until the head of the answer was ready, by method, route template and status code.",
        )
        .buckets(BUCKETS.to_vec());
        Self(
            HistogramVec::new(options, &["method", "route", "code"])
                .expect("the name and the labels are valid"),
        )
    }
    pub(super) fn histogram(&self) -> HistogramVec {
        self.0.clone()
    }
}

/// Requests of one route that get a span, each second. A sender that pushes a thousand times a second would
/// otherwise fill the trace store with spans that say the same, and pay for each.
const SPANS_PER_SECOND: u32 = 20;

static UNTRACED: MetricDef = MetricDef {
    name: "binnacle_http_requests_untraced_total",
    help: "Requests without a span of their own, because their route had 20 in that second already.",
    kind: MetricKind::Counter,
    labels: &[],
};

#[derive(Clone)]
struct Observer {
    requests: Requests,
    clock: Arc<dyn Clock>,
    /// By route: the second, and the spans in it.
    spans: Arc<Mutex<HashMap<String, (u64, u32)>>>,
    untraced: Counter,
}

impl Observer {
    /// Whether a request gets a span: one that belongs to somebody's trace always does.
    fn wants_span(&self, request: &Request<Body>, route: &str) -> bool {
        if matches!(route, "/-/healthy" | "/-/ready" | NO_ROUTE) {
            return false;
        }
        if request.headers().contains_key("traceparent") {
            return true;
        }
        let second = self.clock.monotonic_ns() / 1_000_000_000;
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = match spans.get_mut(route) {
            Some((of, count)) if *of == second => {
                *count += 1;
                *count <= SPANS_PER_SECOND
            }
            Some(other) => {
                *other = (second, 1);
                true
            }
            None => {
                spans.insert(route.to_owned(), (second, 1));
                true
            }
        };
        if !fits {
            self.untraced.inc();
        }
        fits
    }
}

/// Puts the middleware around all routes of a router. Call it last, so that it sees every route's template.
/// Each request is counted and gets a server span that continues a W3C `traceparent` (health checks and files of the page
/// only count, and so do requests beyond 20 a second and route that belong to nobody's trace); a handler that panics is answered 500 and harms nobody else.
pub fn layer(router: Router, registry: &Registry, clock: Arc<dyn Clock>) -> Router {
    let observer = Observer {
        requests: registry.requests().clone(),
        clock,
        spans: Arc::default(),
        untraced: registry.counter(&UNTRACED, &[]),
    };
    router.layer(axum::middleware::from_fn_with_state(observer, observe))
}

async fn observe(State(observer): State<Observer>, request: Request<Body>, next: Next) -> Response<Body> {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |m| m.as_str().to_owned());
    let method = known_method(request.method());
    let span = if observer.wants_span(&request, &route) {
        span_of(&request, method, &route)
    } else {
        tracing::Span::none()
    };
    let started_ns = observer.clock.monotonic_ns();
    let request_headers = content_type_only(request.headers());

    let answer = AssertUnwindSafe(next.run(request).instrument(span.clone()));
    let response = answer.catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        let _in_request = span.enter();
        tracing::error!(method, route, panic = text, "a request handler panicked");
        let error = Error::internal("the request failed because of a bug; the server's log says more");
        crate::http::error_for(&request_headers, &error)
    });

    let code = response.status().as_u16();
    span.record("http.response.status_code", code);
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let seconds = observer.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
    let labels = [method, &route, &code.to_string()];
    observer.requests.0.with_label_values(&labels).observe(seconds);
    response
}

fn span_of(request: &Request<Body>, method: &str, route: &str) -> tracing::Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        url.path = request.uri().path(),
        http.response.status_code = tracing::field::Empty,
    );
    let remote = TraceContextPropagator::new().extract(&Headers(request.headers()));
    // Fails only when nobody collects spans, and then there is nothing to continue.
    let _ = span.set_parent(remote);
    span
}

/// Methods come from outside; unknown ones share a name so that they cannot make series without end.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

fn content_type_only(headers: &HeaderMap) -> HeaderMap {
    let key = ::http::header::CONTENT_TYPE;
    headers.get(&key).map(|v| (key, v.clone())).into_iter().collect()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(::http::HeaderName::as_str).collect()
    }
}
