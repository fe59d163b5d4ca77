//! The trace store gives the plain store's answers, whatever was written, flushed, merged and reopened.

use crate::support::*;
use eventdb::TraceStore;
use model::plain::PlainStore;
use model::predicate::field;
use model::span::{SpanEvent, SpanLink, StatusCode};
use model::*;
use proptest::prelude::*;
use std::sync::Arc;
use storage::FaultyFs;

const DAY: i64 = 86_400_000_000_000;

/// What a span is made of. Its start follows from its identity, as it does for real retries.
#[derive(Debug, Clone, Copy)]
struct Seed {
    trace: u8,
    span: u8,
    kind: u8,
    service: u8,
    body: u16,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Seed>, Option<u8>),
    Retry,
    Flush,
    Compact,
    Maintain,
    Reopen,
    Kill,
}

fn start_of(seed: Seed) -> i64 {
    let far = if seed.trace.is_multiple_of(7) {
        i64::from(seed.span) * DAY / 3
    } else {
        0
    };
    DAY + i64::from(seed.trace % 5) * 10 - i64::from(seed.span) + far
}

fn span(seed: Seed) -> Span {
    let body = usize::from(seed.body);
    let names = ["GET /", "GET /cart", "SELECT", ""];
    let mut attributes: Attributes = vec![
        ("http.status".into(), Value::Int([200, 404, 500][body % 3])),
        ("id".into(), Value::String(format!("{:016x}", body * 7919))),
    ];
    if body.is_multiple_of(2) {
        attributes.push(("region".into(), Value::from("own")));
        attributes.push((
            "list".into(),
            Value::Array(vec![Value::Bool(true), Value::Double(1.5)]),
        ));
    }
    if body.is_multiple_of(5) {
        attributes.push(("long".into(), Value::String("x".repeat(200 + body % 3))));
        attributes.push(("a\0b".into(), Value::from("c")));
    }
    let start_ns = start_of(seed);
    Span {
        trace_id: trace_id(seed.trace),
        span_id: SpanId([seed.span + 1; 8]),
        parent_span_id: body.is_multiple_of(3).then_some(SpanId([9; 8])),
        name: names[body % 4].into(),
        kind: SpanKind::from_u8(seed.kind),
        start_ns,
        end_ns: start_ns + (body as i64 % 50) - 2,
        attributes,
        status: [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][body % 3],
        status_message: if body.is_multiple_of(11) {
            "no".into()
        } else {
            String::new()
        },
        trace_state: if body.is_multiple_of(13) {
            "k=v".into()
        } else {
            String::new()
        },
        flags: u32::from(seed.body % 2),
        events: vec![
            SpanEvent {
                timestamp_ns: start_ns + 1,
                name: "e".into(),
                attributes: vec![("k".into(), Value::Empty)]
            };
            body % 2
        ],
        links: vec![
            SpanLink {
                trace_id: trace_id(3),
                span_id: SpanId([3; 8]),
                ..SpanLink::default()
            };
            body % 3 / 2
        ],
    }
}

fn trace_id(n: u8) -> TraceId {
    let mut id = [0; 16];
    id[15] = n + 1;
    TraceId(id)
}

fn group(service: u8, spans: Vec<Span>) -> ResourceSpans {
    let mut resource = Resource::default();
    if service > 0 {
        resource.set("service.name", format!("s{service}"));
    }
    resource.set("region", "eu");
    resource.set("n", format!("{service}"));
    ResourceSpans {
        resource: resource.into(),
        scope: Scope {
            name: "lib".into(),
            version: "1".into(),
            attributes: vec![],
        }
        .into(),
        spans,
    }
}

fn payload(seeds: &[Seed]) -> Spans {
    Spans {
        groups: (0..3)
            .map(|service| {
                let own = seeds.iter().filter(|s| s.service == service);
                group(service, own.map(|s| span(*s)).collect())
            })
            .collect(),
    }
}

fn seed() -> impl Strategy<Value = Seed> {
    // Few identities, so that many are the same.
    (0..12_u8, 0..4_u8, 2..4_u8, 0..3_u8, 0..300_u16).prop_map(|(trace, span, kind, service, body)| Seed {
        trace,
        span,
        kind,
        service,
        body,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (prop::collection::vec(seed(), 0..12), prop::option::of(0..2_u8)).prop_map(|(s, a)| Step::Write(s, a)),
        2 => Just(Step::Retry),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..20)
}

#[derive(Debug, Clone)]
enum Tree {
    Field(&'static str, MatchOp, String),
    Trace(u8),
    Span(u8),
    Duration(i64, i64),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let op = prop_oneof![4 => Just(MatchOp::Equal), 1 => Just(MatchOp::NotEqual), 1 => Just(MatchOp::Regex), 1 => Just(MatchOp::NotRegex)];
    let pair = prop_oneof![
        (
            Just(field::SERVICE),
            prop_oneof![Just("s1"), Just("unknown_service"), Just("")]
        ),
        (
            Just(field::NAME),
            prop_oneof![Just("GET /"), Just("SELECT"), Just("")]
        ),
        (Just(field::KIND), prop_oneof![Just("server"), Just("client")]),
        (Just(field::STATUS), prop_oneof![Just("error"), Just("ok")]),
        (
            Just("http.status"),
            prop_oneof![Just("404"), Just("500"), Just("")]
        ),
        (Just("region"), prop_oneof![Just("eu"), Just("own")]),
        (Just("list"), prop_oneof![Just("[true,1.5]"), Just("")]),
        (Just("none"), prop_oneof![Just("x"), Just("")]),
        (Just("a\0b"), prop_oneof![Just("c"), Just("")]),
    ];
    let leaf = prop_oneof![
        6 => (pair, op).prop_map(|((n, v), o)| Tree::Field(n, o, v.to_owned())),
        2 => (0..300_usize).prop_map(|n| Tree::Field("id", MatchOp::Equal, format!("{:016x}", n * 7919))),
        1 => (0..3_usize).prop_map(|n| Tree::Field("long", MatchOp::Equal, "x".repeat(200 + n))),
        2 => (0..12_u8).prop_map(Tree::Trace),
        1 => (0..5_u8).prop_map(Tree::Span),
        2 => (0..50_i64, 0..50_i64).prop_map(|(a, b)| Tree::Duration(a, b)),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::Or),
            inner.prop_map(|t| Tree::Not(Box::new(t))),
        ]
    })
}

fn predicate(tree: &Tree) -> Predicate {
    match tree {
        Tree::Field(name, op, value) => Predicate::Field(Matcher::new(*name, *op, value).unwrap()),
        Tree::Trace(n) => Predicate::Trace(trace_id(*n)),
        Tree::Span(n) => Predicate::Span(SpanId([n + 1; 8])),
        Tree::Duration(min_ns, max_ns) => Predicate::Duration {
            min_ns: *min_ns,
            max_ns: *max_ns,
        },
        Tree::And(parts) => Predicate::And(parts.iter().map(predicate).collect()),
        Tree::Or(parts) => Predicate::Or(parts.iter().map(predicate).collect()),
        Tree::Not(part) => Predicate::Not(Box::new(predicate(part))),
    }
}

struct Pair {
    fs: Arc<FaultyFs>,
    clock: Arc<ManualClock>,
    store: Option<TraceStore>,
    plain: PlainStore,
    sequences: [u64; 2],
    last: Option<Batch<Spans>>,
}

fn options() -> eventdb::Options {
    let limits = IngestLimits {
        max_future_ms: u64::MAX,
        ..IngestLimits::default()
    };
    eventdb::Options {
        limits,
        block_bytes: 8000,
        ..small()
    }
}

impl Pair {
    fn new() -> Self {
        let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
        let store = Some(open_traces(&fs, options(), &clock).unwrap());
        Self {
            fs,
            clock,
            store,
            plain: PlainStore::default(),
            sequences: [0; 2],
            last: None,
        }
    }
    fn store(&self) -> &TraceStore {
        self.store.as_ref().unwrap()
    }
    fn write(&mut self, batch: Batch<Spans>) {
        let ours = now(self.store().write(batch.clone())).unwrap();
        let plain = self.plain.write_spans(batch.clone());
        assert_eq!(ours.rejected, []);
        assert_eq!(ours.accepted + ours.duplicates, plain.accepted + plain.duplicates);
        self.last = Some(batch);
    }
    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(seeds, agent) => {
                let origin = agent.map(|a| {
                    self.sequences[usize::from(a)] += 1;
                    origin(["x", "y"][usize::from(a)], self.sequences[usize::from(a)])
                });
                self.write(Batch {
                    tenant: Tenant::default(),
                    origin,
                    payload: payload(seeds),
                });
            }
            Step::Retry => {
                if let Some(batch) = self.last.clone() {
                    self.write(batch);
                }
            }
            Step::Flush => self.store().flush().unwrap(),
            Step::Compact => self.store().compact().unwrap(),
            Step::Maintain => self.store().maintain().unwrap(),
            Step::Reopen => {
                self.store().close().unwrap();
                self.reopen();
            }
            Step::Kill => {
                self.fs.kill();
                self.reopen();
            }
        }
    }
    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open_traces(&self.fs, options(), &self.clock).unwrap());
    }
    fn check(&self, request: &ScanRequest) {
        let (store, plain): (&dyn Read<SpanBatch>, &dyn Read<SpanBatch>) = (self.store(), &self.plain);
        let mut ours = ordered_span_rows(store, request).unwrap();
        let mut expected = span_rows(plain, request).unwrap();
        if let Some(limit) = request.limit {
            let first = |rows: &[SpanRow]| {
                let key = |r: &SpanRow| {
                    if request.direction == Direction::Forward {
                        r.0
                    } else {
                        !r.0
                    }
                };
                let mut keys: Vec<i64> = rows.iter().map(key).collect();
                keys.sort_unstable();
                keys.truncate(limit);
                keys
            };
            assert_eq!(first(&ours), first(&expected), "{request:?}");
            assert!(ours.iter().all(|r| expected.contains(r)), "{request:?}");
            return;
        }
        ours.sort_by(|a, b| a.partial_cmp(b).unwrap());
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(ours, expected, "{request:?}");
        assert_eq!(
            store.label_names(request).unwrap(),
            plain.label_names(request).unwrap(),
            "{request:?}"
        );
        assert_eq!(
            store.series(request).unwrap(),
            plain.series(request).unwrap(),
            "{request:?}"
        );
        for name in [
            field::SERVICE,
            field::NAME,
            field::KIND,
            field::STATUS,
            "http.status",
            "region",
            "id",
            "list",
            "a",
            "a\0b",
        ] {
            let values = |s: &dyn Read<SpanBatch>| s.label_values(request, name).unwrap();
            assert_eq!(values(store), values(plain), "{name} of {request:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_those_of_the_plain_store(
        steps in steps(),
        queries in prop::collection::vec((tree(), -20..60_i64, -20..60_i64, 0..4_u8, any::<bool>(), prop::option::of(0..6_usize)), 6),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
        }
        pair.check(&request(Predicate::all(), TimeRange::ALL));
        pair.check(&request(predicate(&Tree::Field(field::SERVICE, MatchOp::Equal, "s1".into())), TimeRange::ALL));
        for (tree, a, b, wide, forward, limit) in queries {
            let range = if wide > 0 { TimeRange::ALL } else { TimeRange { start_ns: DAY + a.min(b), end_ns: DAY + a.max(b) } };
            let mut request = request(predicate(&tree), range);
            request.direction = if forward { Direction::Forward } else { Direction::Backward };
            request.limit = limit;
            pair.check(&request);
        }
    }
}

fn many(store: &TraceStore, from: u32, to: u32) {
    let spans = |range: std::ops::Range<u32>| {
        range
            .flat_map(|n| {
                (0..3_u8).map(move |i| {
                    let mut id = [1; 16];
                    id[12..].copy_from_slice(&n.to_be_bytes());
                    Span {
                        trace_id: TraceId(id),
                        span_id: SpanId([i + 1; 8]),
                        name: format!("op {}", n % 100),
                        start_ns: DAY + i64::from(n) * 10 + i64::from(i),
                        end_ns: DAY + i64::from(n) * 10 + 1000 * i64::from(i),
                        attributes: vec![("user".into(), Value::String(format!("u{n}")))],
                        ..Span::default()
                    }
                })
            })
            .collect()
    };
    let batch = Batch::new(
        Tenant::default(),
        Spans {
            groups: vec![group(1, spans(from..to))],
        },
    );
    now(store.write(batch)).unwrap();
}

#[test]
fn one_trace_costs_one_block_of_each_part() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let store = open_traces(&fs, options(), &clock).unwrap();
    for part in 0..3 {
        many(&store, part * 10_000, (part + 1) * 10_000);
        store.flush().unwrap();
    }
    let check = |predicate: Predicate, rows: usize, looked_at: u64| {
        let request = request(predicate.clone(), TimeRange::ALL);
        assert_eq!(
            ordered_span_rows(&store, &request).unwrap().len(),
            rows,
            "{predicate:?}"
        );
        let used = request.budget.samples_used();
        assert!(used <= looked_at, "{used} spans looked at for {predicate:?}");
    };
    for n in [0_u32, 1, 4_999, 9_999, 10_000, 17_123, 29_999] {
        let mut id = [1; 16];
        id[12..].copy_from_slice(&n.to_be_bytes());
        check(Predicate::Trace(TraceId(id)), 3, 60);
        check(Predicate::Field(Matcher::equal("user", format!("u{n}"))), 3, 600);
    }
    check(Predicate::Trace(TraceId([7; 16])), 0, 0);
    check(Predicate::Field(Matcher::equal("user", "nobody")), 0, 3000);
    check(Predicate::Field(Matcher::equal("service.name", "s2")), 0, 0);
    check(
        Predicate::Duration {
            min_ns: 3000,
            max_ns: i64::MAX,
        },
        0,
        0,
    );
    let mut latest = request(Predicate::all(), TimeRange::ALL);
    latest.direction = Direction::Backward;
    latest.limit = Some(5);
    assert_eq!(
        span_rows(&store, &latest).unwrap().iter().map(|r| r.0).max(),
        Some(DAY + 299_992)
    );
    assert!(latest.budget.samples_used() < 200);
    let services = request(Predicate::all(), TimeRange::ALL);
    let reader: &dyn Read<SpanBatch> = &store;
    assert_eq!(reader.label_values(&services, field::SERVICE).unwrap(), ["s1"]);
    let of_one = request(
        Predicate::Field(Matcher::equal("service.name", "s1")),
        TimeRange::ALL,
    );
    assert_eq!(reader.label_values(&of_one, field::NAME).unwrap().len(), 100);
    assert_eq!(
        (services.budget.samples_used(), of_one.budget.samples_used()),
        (0, 0),
        "answered by the index"
    );
}

#[test]
fn what_is_over_a_limit_is_refused_span_by_span() {
    let (fs, clock) = (
        Arc::new(FaultyFs::new(1)),
        Arc::new(ManualClock::at_ns(100 * DAY)),
    );
    let limits = IngestLimits {
        max_span_bytes: 2000,
        max_future_ms: 60_000,
        ..IngestLimits::default()
    };
    let options = eventdb::Options {
        limits,
        retention_ms: Some(86_400_000),
        ..small()
    };
    let store = open_traces(&fs, options, &clock).unwrap();
    let at = 100 * DAY;
    let good = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        start_ns: at,
        ..Span::default()
    };
    let deep = (0..40).fold(Value::Int(1), |v, _| Value::Array(vec![v]));
    let spans = vec![
        good.clone(),
        Span {
            trace_id: TraceId([0; 16]),
            ..good.clone()
        },
        Span {
            span_id: SpanId([0; 8]),
            ..good.clone()
        },
        Span {
            start_ns: at - 2 * DAY,
            ..good.clone()
        },
        Span {
            start_ns: at + DAY,
            ..good.clone()
        },
        Span {
            attributes: vec![("k".into(), Value::String("x".repeat(2000)))],
            ..good.clone()
        },
        Span {
            attributes: vec![("k".into(), deep)],
            ..good
        },
    ];
    let batch = Batch::new(
        Tenant::default(),
        Spans {
            groups: vec![group(1, spans)],
        },
    );
    let outcome = now(store.write(batch)).unwrap();
    let reasons: Vec<_> = outcome.rejected.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(outcome.accepted, 1);
    assert_eq!(
        reasons,
        [
            ("invalid_id", 2),
            ("too_old", 1),
            ("too_far_in_future", 1),
            ("span_limit", 2)
        ]
    );
}
