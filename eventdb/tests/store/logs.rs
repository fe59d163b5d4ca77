//! The log store gives the plain store's answers, whatever was written, flushed, merged and reopened.

use crate::support::*;
use eventdb::LogStore;
use model::plain::PlainStore;
use model::predicate::LineFilter;
use model::*;
use proptest::prelude::*;
use std::sync::Arc;
use storage::FaultyFs;

#[derive(Debug, Clone)]
enum Step {
    /// Stream, entries (time, line, metadata), agent.
    Write(usize, Vec<(i64, usize, u8)>, Option<u8>),
    /// The batch before once more.
    Retry,
    Flush,
    Compact,
    Maintain,
    Reopen,
    Kill,
}

#[derive(Debug, Clone)]
enum Leaf {
    Label(&'static str, MatchOp, &'static str),
    /// A text cut out of a line: which line, from, to.
    Cut(usize, prop::sample::Index, prop::sample::Index),
    Text(&'static str),
    Regex(&'static str),
    Metadata(MatchOp, &'static str),
}

#[derive(Debug, Clone)]
enum Tree {
    Leaf(Leaf),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

const DAY: i64 = 86_400_000_000_000;

fn line(n: usize) -> String {
    let words = [
        "error",
        "warn",
        "timeout",
        "größe",
        "x",
        "user_id",
        "connection reset",
    ];
    let (a, b) = (words[n % words.len()], words[(n / 7) % words.len()]);
    match n % 5 {
        0 => format!("level={a} msg=\"{b}\" id=4bf92f3577b34da{n}"),
        1 => format!("{a} {b} took {}ms from 10.0.0.{n}", n * 37),
        2 => format!("{{\"level\":\"{a}\",\"trace\":\"{:032x}\"}}", n * 7919),
        3 => format!("{a}{b}"),
        _ => String::new(),
    }
}

fn times() -> impl Strategy<Value = i64> {
    // Mostly close together and often equal, over the border of a day; sometimes far away.
    prop_oneof![8 => (-6..6_i64).prop_map(|t| DAY + t), 2 => 0..3 * DAY, 1 => any::<i64>()]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Often the same few lines, so that many entries are equal but for their metadata.
    let lines = prop_oneof![0..3_usize, 0..40_usize];
    let entries = prop::collection::vec((times(), lines, 0..3_u8), 0..12);
    let step = prop_oneof![
        8 => (0..5_usize, entries, prop::option::of(0..2_u8)).prop_map(|(s, e, a)| Step::Write(s, e, a)),
        2 => Just(Step::Retry),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..25)
}

fn tree() -> impl Strategy<Value = Tree> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let leaf = prop_oneof![
        (
            prop_oneof![Just("app"), Just("pod"), Just("none")],
            op.clone(),
            prop_oneof![Just("a1"), Just("p2"), Just(""), Just("a[01]")]
        )
            .prop_map(|(n, o, v)| Leaf::Label(n, o, v)),
        (
            0..40_usize,
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>()
        )
            .prop_map(|(l, a, b)| Leaf::Cut(l, a, b)),
        prop_oneof![
            Just(" took "),
            Just("="),
            Just("nothing has this"),
            Just("\"error\""),
            Just("")
        ]
        .prop_map(Leaf::Text),
        prop_oneof![
            Just("level=(error|warn) msg"),
            Just("^error"),
            Just("(?i)ERROR"),
            Just("took \\d+ms from"),
            Just("\"level\":\"x\",\"t")
        ]
        .prop_map(Leaf::Regex),
        (op, prop_oneof![Just("1"), Just(""), Just("2")]).prop_map(|(o, v)| Leaf::Metadata(o, v)),
    ];
    leaf.prop_map(Tree::Leaf).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::Or),
            inner.prop_map(|t| Tree::Not(Box::new(t))),
        ]
    })
}

fn predicate(tree: &Tree) -> Predicate {
    match tree {
        Tree::And(parts) => Predicate::And(parts.iter().map(predicate).collect()),
        Tree::Or(parts) => Predicate::Or(parts.iter().map(predicate).collect()),
        Tree::Not(part) => Predicate::Not(Box::new(predicate(part))),
        Tree::Leaf(Leaf::Label(name, op, value)) => {
            Predicate::Label(Matcher::new(*name, *op, *value).unwrap())
        }
        Tree::Leaf(Leaf::Metadata(op, value)) => Predicate::Metadata(Matcher::new("k", *op, *value).unwrap()),
        Tree::Leaf(Leaf::Text(text)) => Predicate::Line(LineFilter::Contains((*text).to_owned())),
        Tree::Leaf(Leaf::Regex(text)) => {
            Predicate::Line(LineFilter::Matches(matcher::search_regex(text).unwrap()))
        }
        Tree::Leaf(Leaf::Cut(n, a, b)) => {
            let line = line(*n);
            let borders: Vec<usize> = (0..=line.len()).filter(|i| line.is_char_boundary(*i)).collect();
            let (a, b) = (*a.get(&borders), *b.get(&borders));
            Predicate::Line(LineFilter::Contains(line[a.min(b)..a.max(b)].to_owned()))
        }
    }
}

struct Pair {
    fs: Arc<FaultyFs>,
    clock: Arc<ManualClock>,
    store: Option<LogStore>,
    plain: PlainStore,
    sequences: [u64; 2],
    last: Option<Batch<Logs>>,
}

impl Pair {
    fn new() -> Self {
        let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
        let store = Some(open_logs(&fs, options(), &clock).unwrap());
        Self {
            fs,
            clock,
            store,
            plain: PlainStore::default(),
            sequences: [0; 2],
            last: None,
        }
    }
    fn store(&self) -> &LogStore {
        self.store.as_ref().unwrap()
    }
    fn write(&mut self, batch: Batch<Logs>) {
        let ours = now(self.store().write(batch.clone())).unwrap();
        let plain = self.plain.write_logs(batch.clone());
        assert_eq!(ours.rejected, []);
        assert_eq!(ours.accepted + ours.duplicates, plain.accepted + plain.duplicates);
        self.last = Some(batch);
    }
    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(s, entries, agent) => {
                let entries = entries
                    .iter()
                    .map(|(t, l, m)| LogEntry {
                        metadata: (0..*m)
                            .map(|i| (["k", "l"][usize::from(i)].to_owned(), m.to_string()))
                            .collect(),
                        ..entry(*t, &line(*l))
                    })
                    .collect();
                let origin = agent.map(|a| {
                    self.sequences[usize::from(a)] += 1;
                    origin(["x", "y"][usize::from(a)], self.sequences[usize::from(a)])
                });
                let payload = logs(stream(*s), entries);
                self.write(Batch {
                    tenant: Tenant::default(),
                    origin,
                    payload,
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
        self.store = Some(open_logs(&self.fs, options(), &self.clock).unwrap());
    }
    fn check(&self, request: &ScanRequest) {
        let (store, plain): (&dyn Read<LogBatch>, &dyn Read<LogBatch>) = (self.store(), &self.plain);
        let mut ours = log_rows(store, request).unwrap();
        let mut expected = log_rows(plain, request).unwrap();
        if let Some(limit) = request.limit {
            let key = |r: &Row| {
                if request.direction == Direction::Forward {
                    r.0
                } else {
                    !r.0
                }
            };
            ours.sort_by_key(key);
            expected.sort_by_key(key);
            let first = |rows: &[Row]| rows.iter().take(limit).map(|r| r.0).collect::<Vec<_>>();
            assert_eq!(first(&ours), first(&expected), "{request:?}");
            assert!(ours.iter().all(|r| expected.contains(r)), "{request:?}");
            return;
        }
        ours.sort();
        expected.sort();
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
        for name in ["app", "pod", "none"] {
            assert_eq!(
                store.label_values(request, name).unwrap(),
                plain.label_values(request, name).unwrap()
            );
        }
    }
}

fn options() -> eventdb::Options {
    let limits = IngestLimits {
        max_future_ms: u64::MAX,
        ..IngestLimits::default()
    };
    eventdb::Options {
        limits,
        // A merge takes two or three parts, so that some stay behind.
        max_part_bytes: 14_000,
        ..small()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_those_of_the_plain_store(
        steps in steps(),
        queries in prop::collection::vec((tree(), times(), times(), any::<bool>(), prop::option::of(0..6_usize)), 6),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
        }
        pair.check(&request(Predicate::all(), TimeRange::ALL));
        for (tree, a, b, forward, limit) in queries {
            let range = if a % 3 == 0 { TimeRange::ALL } else { TimeRange { start_ns: a.min(b), end_ns: a.max(b) } };
            let mut request = request(predicate(&tree), range);
            request.direction = if forward { Direction::Forward } else { Direction::Backward };
            request.limit = limit;
            pair.check(&request);
        }
    }
}

#[test]
fn of_equal_entries_the_first_to_arrive_is_shown_also_after_merges() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let store = open_logs(&fs, options(), &clock).unwrap();
    for n in 0..3 {
        let marked = LogEntry {
            metadata: vec![("k".into(), n.to_string())],
            ..entry(5, "the same line")
        };
        let batch = Batch::new(Tenant::default(), logs(stream(1), vec![marked]));
        assert_eq!(now(store.write(batch)).unwrap().accepted, 1);
        store.flush().unwrap();
    }
    let size = store.stats().part_bytes / 3;
    drop(store);
    // Room for two: the third part stays as it is.
    let narrow = eventdb::Options {
        max_part_bytes: size * 5 / 2,
        ..options()
    };
    let store = open_logs(&fs, narrow, &clock).unwrap();
    store.compact().unwrap();
    assert_eq!(store.stats().parts, 2);
    for value in ["0", "1", "2"] {
        let has = Predicate::Metadata(Matcher::equal("k", value));
        let rows = log_rows(&store, &request(has, TimeRange::ALL)).unwrap();
        assert_eq!(rows.len(), usize::from(value == "0"), "{value}");
    }
}

#[test]
fn every_part_of_every_line_is_found() {
    let mut pair = Pair::new();
    let lines: Vec<(i64, usize, u8)> = (0..40).map(|n| (n as i64, n, 0)).collect();
    for half in lines.chunks(20) {
        pair.step(&Step::Write(1, half.to_vec(), None));
        pair.step(&Step::Flush);
    }
    pair.step(&Step::Compact);
    for n in 0..40 {
        let text = line(n);
        let borders: Vec<usize> = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).collect();
        for (i, a) in borders.iter().enumerate() {
            for b in borders[i..].iter().step_by(3) {
                let has = Predicate::Line(LineFilter::Contains(text[*a..*b].to_owned()));
                let rows = log_rows(pair.store(), &request(has, TimeRange::ALL)).unwrap();
                assert!(
                    rows.iter().any(|r| r.0 == n as i64),
                    "{:?} of {text:?}",
                    &text[*a..*b]
                );
            }
        }
    }
}

#[test]
fn the_newest_lines_cost_few_blocks() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let store = open_logs(&fs, options(), &clock).unwrap();
    for part in 0..10 {
        let entries = (0..500)
            .map(|i| entry(part * 1000 + i, &line(i as usize)))
            .collect();
        now(store.write(Batch::new(Tenant::default(), logs(stream(1), entries)))).unwrap();
        store.flush().unwrap();
    }
    let mut latest = request(Predicate::all(), TimeRange::ALL);
    latest.direction = Direction::Backward;
    latest.limit = Some(5);
    let rows = log_rows(&store, &latest).unwrap();
    assert_eq!(rows[0].0, 9499);
    assert!(
        latest.budget.samples_used() < 100,
        "{} entries looked at",
        latest.budget.samples_used()
    );
    let needle = Predicate::Line(LineFilter::Contains(" \"no such word here\" ".into()));
    let absent = request(needle, TimeRange::ALL);
    assert_eq!(log_rows(&store, &absent).unwrap(), []);
    assert_eq!(
        absent.budget.samples_used(),
        0,
        "words that are nowhere cost no block"
    );
    let rare = request(
        Predicate::Line(LineFilter::Contains(" 10.0.0.433 ".into())),
        TimeRange::ALL,
    );
    assert_eq!(log_rows(&store, &rare).unwrap().len(), 0);
}

#[test]
fn a_budget_ends_a_scan() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let store = open_logs(&fs, options(), &clock).unwrap();
    let entries = (0..500).map(|i| entry(i, &line(i as usize))).collect();
    now(store.write(Batch::new(Tenant::default(), logs(stream(1), entries)))).unwrap();
    store.flush().unwrap();
    let check = |limits: BudgetLimits, kind: ErrorKind| {
        let budget = Budget::new(limits, clock.clone());
        let request = ScanRequest::new(Tenant::default(), TimeRange::ALL, Predicate::all(), budget);
        assert_eq!(log_rows(&store, &request).unwrap_err().kind(), kind);
    };
    let unlimited = BudgetLimits::UNLIMITED;
    check(
        BudgetLimits {
            max_samples: 100,
            ..unlimited
        },
        ErrorKind::LimitReached,
    );
    check(
        BudgetLimits {
            max_bytes: 100,
            ..unlimited
        },
        ErrorKind::LimitReached,
    );
    check(
        BudgetLimits {
            max_series: 0,
            ..unlimited
        },
        ErrorKind::LimitReached,
    );
    check(
        BudgetLimits {
            timeout_ms: 0,
            ..unlimited
        },
        ErrorKind::Timeout,
    );
    let cancelled = request(Predicate::all(), TimeRange::ALL);
    cancelled.budget.cancel_token().cancel();
    assert_eq!(
        log_rows(&store, &cancelled).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}

#[test]
fn what_is_over_a_limit_is_refused_item_by_item() {
    let (fs, clock) = (
        Arc::new(FaultyFs::new(1)),
        Arc::new(ManualClock::at_ns(100 * DAY)),
    );
    let limits = IngestLimits {
        max_labels: 2,
        max_label_value_bytes: 20,
        max_line_bytes: 10,
        max_streams: 2,
        max_future_ms: 60_000,
        max_tenants: 1,
        ..IngestLimits::default()
    };
    let options = eventdb::Options {
        limits,
        retention_ms: Some(86_400_000),
        ..small()
    };
    let store = open_logs(&fs, options, &clock).unwrap();
    let at = 100 * DAY;
    let wide = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]);
    let long = Labels::from_pairs([("a", "x".repeat(21))]);
    let heavy = LogEntry {
        metadata: vec![("k".into(), "v".repeat(10))],
        ..entry(at, "heavy")
    };
    let payload = Logs {
        streams: vec![
            LogStream {
                labels: stream(1),
                entries: vec![
                    entry(at, "good"),
                    entry(at - 2 * DAY, "old"),
                    entry(at + DAY, "new"),
                    heavy,
                    entry(at, "größer als erlaubt"),
                ],
            },
            LogStream {
                labels: wide,
                entries: vec![entry(at, "w"), entry(at, "w2")],
            },
            LogStream {
                labels: long,
                entries: vec![entry(at, "l")],
            },
            LogStream {
                labels: stream(2),
                entries: vec![entry(at, "2")],
            },
            LogStream {
                labels: stream(3),
                entries: vec![entry(at, "3")],
            },
        ],
    };
    let outcome = now(store.write(Batch::new(Tenant::default(), payload))).unwrap();
    let reasons: Vec<_> = outcome.rejected.iter().map(|r| (r.reason, r.count)).collect();
    assert_eq!(outcome.accepted, 3);
    let expected = [
        ("too_old", 1),
        ("too_far_in_future", 1),
        ("metadata_limit", 1),
        ("label_limit", 3),
        ("stream_limit", 1),
    ];
    assert_eq!(reasons, expected);
    let rows = log_rows(&store, &request(Predicate::all(), TimeRange::ALL)).unwrap();
    let cut = rows.iter().find(|r| !r.3.is_empty()).unwrap();
    assert_eq!((cut.2.as_str(), cut.3[0].1.as_str()), ("größer a", "20"));
    assert_eq!(cut.3[0].0, eventdb::CUT_MARK);
    let other = Batch::new(
        Tenant::new("other").unwrap(),
        logs(stream(1), vec![entry(at, "x")]),
    );
    assert_eq!(
        now(store.write(other)).unwrap_err().kind(),
        ErrorKind::LimitReached
    );
}

#[test]
fn retention_removes_whole_days() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::at_ns(10 * DAY)));
    let options = eventdb::Options {
        retention_ms: Some(5 * 86_400_000),
        ..small()
    };
    let store = open_logs(&fs, options, &clock).unwrap();
    let entries = (6..10).map(|day| entry(day * DAY + 5, "x")).collect();
    now(store.write(Batch::new(Tenant::default(), logs(stream(1), entries)))).unwrap();
    store.flush().unwrap();
    let count = || {
        log_rows(&store, &request(Predicate::all(), TimeRange::ALL))
            .unwrap()
            .len()
    };
    assert_eq!((count(), store.stats().parts), (4, 4));
    clock.jump_to_ns(13 * DAY);
    let running = store.scan(&request(Predicate::all(), TimeRange::ALL)).unwrap();
    store.maintain().unwrap();
    assert_eq!((count(), store.stats().parts), (2, 2));
    assert_eq!(running.rows().count(), 4, "a scan keeps what it began with");
    assert_eq!(
        part_files(&fs, storage::StoreName::Logs).len(),
        2,
        "the files went with the scan"
    );
}

#[test]
fn a_tenant_sees_only_its_own() {
    let (fs, clock) = (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()));
    let store = open_logs(&fs, options(), &clock).unwrap();
    for name in ["one", "two"] {
        now(store.write(Batch::new(
            Tenant::new(name).unwrap(),
            logs(stream(1), vec![entry(1, name)]),
        )))
        .unwrap();
    }
    drop(store);
    let store = open_logs(&fs, options(), &clock).unwrap();
    for (name, lines) in [("one", vec!["one"]), ("two", vec!["two"]), ("three", vec![])] {
        let mut request = request(Predicate::all(), TimeRange::ALL);
        request.tenant = Tenant::new(name).unwrap();
        let rows = log_rows(&store, &request).unwrap();
        assert_eq!(rows.iter().map(|r| r.2.as_str()).collect::<Vec<_>>(), lines);
    }
}
