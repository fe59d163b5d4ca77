//! Trace search over the plain store.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use model::plain::PlainStore;
use model::span::StatusCode;
use model::{
    Batch, Budget, BudgetLimits, ErrorKind, ManualClock, Resource, ResourceSpans, Span, SpanId, SpanKind,
    Spans, Tenant, TimeRange, TraceId, Value,
};
use query::traces::{Operation, Search, get, operations, search, services};
use std::sync::Arc;

fn id(n: u8) -> TraceId {
    TraceId([n; 16])
}

fn group(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let mut resource = Resource::default();
    resource.set("service.name", service);
    resource.set("region", if service == "shop" { "eu" } else { "us" });
    ResourceSpans {
        resource: resource.into(),
        spans,
        ..ResourceSpans::default()
    }
}

fn span(trace: u8, n: u8, name: &str, kind: SpanKind, start_ns: i64, duration_ns: i64) -> Span {
    Span {
        trace_id: id(trace),
        span_id: SpanId([n; 8]),
        name: name.into(),
        kind,
        start_ns,
        end_ns: start_ns + duration_ns,
        attributes: vec![("code".into(), Value::Int(200 + i64::from(trace)))],
        ..Span::default()
    }
}

/// Four traces at times 100, 200, 300 and 400; each has a span in the shop and one in the database.
fn store() -> PlainStore {
    let store = PlainStore::default();
    for trace in 1..=4u8 {
        let start = i64::from(trace) * 100;
        let mut server = span(trace, 1, "GET /", SpanKind::Server, start, 50);
        if trace == 2 {
            server.status = StatusCode::Error;
        }
        let client = span(
            trace,
            2,
            "SELECT",
            SpanKind::Client,
            start + 1,
            i64::from(trace) * 10,
        );
        let groups = vec![group("shop", vec![server]), group("db", vec![client])];
        store.write_spans(Batch::new(Tenant::default(), Spans { groups }));
    }
    store
}

fn found(query: &Search) -> Vec<u8> {
    let traces = search(&store(), &Tenant::default(), query, &Budget::unlimited()).unwrap();
    for trace in &traces {
        assert_eq!(
            trace.iter().map(|g| g.spans.len()).sum::<usize>(),
            2,
            "a trace comes whole"
        );
    }
    traces.iter().map(|t| t[0].spans[0].trace_id.0[0]).collect()
}

#[test]
fn traces_are_found_newest_first() {
    let all = Search::default;
    let text = |s: &str| Some(s.to_owned());
    let tag = |k: &str, v: &str| vec![(k.to_owned(), v.to_owned())];
    let check = |query: Search, expected: &[u8]| assert_eq!(found(&query), expected, "{query:?}");
    check(all(), &[4, 3, 2, 1]);
    check(Search { limit: 2, ..all() }, &[4, 3]);
    check(Search { limit: 0, ..all() }, &[]);
    check(
        Search {
            service: text("shop"),
            ..all()
        },
        &[4, 3, 2, 1],
    );
    check(
        Search {
            service: text("nobody"),
            ..all()
        },
        &[],
    );
    check(
        Search {
            operation: text("SELECT"),
            min_duration_ns: Some(25),
            ..all()
        },
        &[4, 3],
    );
    check(
        Search {
            operation: text("SELECT"),
            max_duration_ns: Some(20),
            ..all()
        },
        &[2, 1],
    );
    // One span must satisfy all of it.
    check(
        Search {
            service: text("shop"),
            operation: text("SELECT"),
            ..all()
        },
        &[],
    );
    check(
        Search {
            tags: tag("code", "203"),
            ..all()
        },
        &[3],
    );
    check(
        Search {
            tags: tag("region", "us"),
            ..all()
        },
        &[4, 3, 2, 1],
    );
    check(
        Search {
            tags: tag("error", "true"),
            ..all()
        },
        &[2],
    );
    check(
        Search {
            tags: tag("span.kind", "client"),
            service: text("shop"),
            ..all()
        },
        &[],
    );
    check(
        Search {
            tags: tag("otel.status_code", "ERROR"),
            ..all()
        },
        &[2],
    );
    check(
        Search {
            range: TimeRange {
                start_ns: 150,
                end_ns: 300,
            },
            ..all()
        },
        &[3, 2],
    );
}

#[test]
fn an_impossible_duration_is_refused() {
    let query = Search {
        min_duration_ns: Some(2),
        max_duration_ns: Some(1),
        ..Search::default()
    };
    let error = search(&store(), &Tenant::default(), &query, &Budget::unlimited()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
}

#[test]
fn a_trace_is_found_by_its_id() {
    let (store, tenant, budget) = (store(), Tenant::default(), Budget::unlimited());
    let trace = get(&store, &tenant, id(2), &budget).unwrap().unwrap();
    let names: Vec<&str> = trace
        .iter()
        .flat_map(|g| &g.spans)
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(names, ["GET /", "SELECT"]);
    assert_eq!(get(&store, &tenant, id(9), &budget).unwrap(), None);
    assert_eq!(
        get(&store, &Tenant::new("other").unwrap(), id(2), &budget).unwrap(),
        None
    );
}

#[test]
fn services_and_operations_are_listed() {
    let (store, tenant, budget) = (store(), Tenant::default(), Budget::unlimited());
    assert_eq!(services(&store, &tenant, &budget).unwrap(), ["db", "shop"]);
    let server = Operation {
        name: "GET /".into(),
        kind: SpanKind::Server,
    };
    assert_eq!(
        operations(&store, &tenant, "shop", None, &budget).unwrap(),
        std::slice::from_ref(&server)
    );
    assert_eq!(
        operations(&store, &tenant, "shop", Some(SpanKind::Server), &budget).unwrap(),
        [server]
    );
    assert!(
        operations(&store, &tenant, "shop", Some(SpanKind::Client), &budget)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_budget_ends_a_search() {
    let limits = BudgetLimits {
        max_samples: 3,
        ..BudgetLimits::UNLIMITED
    };
    let budget = Budget::new(limits, Arc::new(ManualClock::default()));
    let error = search(&store(), &Tenant::default(), &Search::default(), &budget).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
}
