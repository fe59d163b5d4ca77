//! The spool against crashes, lost answers and its bounds.

use super::queue::Front;
use super::sender::{Addresses, Sender};
use super::*;
use crate::counters::Counters;
use model::{
    Labels, LogEntry, LogStream, NoMeter, Origin, ResourceSpans, Sample, Series, Span, SpanId, Tenant,
    TraceId,
};
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::{FaultyFs, Sequences};
use tokio_util::sync::CancellationToken;

const DIR: &str = "/data/agent";

fn open(fs: &Arc<FaultyFs>, max_bytes: u64) -> Spool {
    let fs: Arc<dyn Fs> = fs.clone();
    let agent = AgentId::open(fs.clone(), Path::new(DIR)).unwrap();
    let options = SpoolOptions {
        max_bytes,
        commit: CommitOptions::inline(),
    };
    Spool::open(&fs, Path::new(DIR), &options, &agent, &counters()).unwrap()
}

fn counters() -> Arc<Counters> {
    Arc::new(Counters::new(Arc::new(NoMeter)))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn line(text: &str, sequence: Option<u64>) -> Batch<Logs> {
    let entry = LogEntry {
        timestamp_ns: 1,
        line: text.to_owned(),
        metadata: Vec::new(),
    };
    let stream = LogStream {
        labels: Labels::from_pairs([("service_name", "s")]),
        entries: vec![entry],
    };
    Batch {
        tenant: Tenant::default(),
        origin: sequence.map(|sequence| Origin {
            agent: "a".into(),
            epoch: 1,
            stream: "files".into(),
            sequence,
        }),
        payload: Logs {
            streams: vec![stream],
        },
    }
}

/// A sample whose labels do not compress.
/// When the counter of [`sample`] began.
const START_MS: i64 = -5;

fn sample(value: f64, padding: usize) -> Batch<Metrics> {
    let mut state = value.to_bits() | 1;
    let noise: String = (0..padding)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
        })
        .collect();
    let series = Series {
        labels: Labels::from_pairs([("__name__", "m"), ("noise", noise.as_str())]),
        samples: vec![Sample {
            timestamp_ms: 1,
            value,
        }],
        start_timestamps_ms: vec![START_MS],
        ..Series::default()
    };
    Batch::new(
        Tenant::new("t").unwrap(),
        Metrics {
            series: vec![series],
            ..Metrics::default()
        },
    )
}

fn line_of(front: &Front) -> String {
    let quota = wire::Quota::new(1 << 20);
    let encoding = wire::compression::Encoding::Gzip;
    let body = wire::compression::decompress(encoding, &front.body, 1 << 20).unwrap();
    let decoded = wire::otlp::decode_logs(&body, wire::otlp::Encoding::Protobuf, 0, &quota).unwrap();
    decoded.payload.streams[0].entries[0].line.clone()
}

#[test]
fn batches_come_out_in_order_and_only_once_acknowledged() {
    let fs = Arc::new(FaultyFs::new(1));
    let spool = open(&fs, 1 << 20);
    let sinks = spool.own_sinks();
    for text in ["one", "two", "three"] {
        assert_eq!(block_on(sinks.logs.write(line(text, None))).unwrap().accepted, 1);
    }
    let queue = &spool.logs;
    let first = queue.front().unwrap();
    assert_eq!((line_of(&first).as_str(), first.items), ("one", 1));
    assert_eq!(queue.front().unwrap(), first);
    queue.acknowledged(&first);
    // Acknowledging again takes nothing else out.
    queue.acknowledged(&first);
    let second = queue.front().unwrap();
    assert_eq!(line_of(&second), "two");
    assert!(second.origin.sequence > first.origin.sequence);
    assert_eq!(
        (second.origin.stream.as_str(), second.origin.epoch),
        ("logs", first.origin.epoch)
    );
    spool.close().unwrap();
    drop(spool);
    let spool = open(&fs, 1 << 20);
    assert_eq!(spool.logs.front().unwrap(), second);
    assert_eq!(spool.waiting(), 2);
}

#[test]
fn a_retry_is_recognised_also_after_a_crash() {
    let fs = Arc::new(FaultyFs::new(2));
    let write = |spool: &Spool, text: &str, sequence| {
        let outcome = block_on(spool.own_sinks().logs.write(line(text, Some(sequence)))).unwrap();
        (outcome.accepted, outcome.duplicates)
    };
    let spool = open(&fs, 1 << 20);
    assert_eq!(write(&spool, "one", 1), (1, 0));
    assert_eq!(write(&spool, "one", 1), (0, 1));
    fs.crash();
    drop(spool);
    let spool = open(&fs, 1 << 20);
    assert_eq!(write(&spool, "one", 1), (0, 1));
    assert_eq!(write(&spool, "two", 2), (1, 0));
    while let Some(front) = spool.logs.front() {
        spool.logs.acknowledged(&front);
    }
    spool.close().unwrap();
    drop(spool);
    let spool = open(&fs, 1 << 20);
    assert_eq!((write(&spool, "two", 2), spool.waiting()), ((0, 1), 0));
}

#[test]
fn a_full_spool_refuses_others_and_drops_its_own_oldest() {
    let fs = Arc::new(FaultyFs::new(3));
    let max = 1 << 20;
    let spool = open(&fs, max);
    let mut refused = 0;
    for i in 0..300 {
        let result = block_on(spool.relay_sinks().metrics.write(sample(f64::from(i), 10_000)));
        refused += u32::from(result.is_err_and(|e| e.kind() == model::ErrorKind::Unavailable));
    }
    assert!(refused > 150, "{refused}");
    assert!(fs.used_bytes() <= max, "{}", fs.used_bytes());
    // No room at all: what the agent collects has nothing of its own to drop.
    assert!(block_on(spool.own_sinks().metrics.write(sample(1.0, 10_000))).is_err());
    // Room for three.
    for _ in 0..3 {
        let front = spool.metrics.front().unwrap();
        spool.metrics.acknowledged(&front);
    }
    for i in 0..10 {
        block_on(spool.own_sinks().metrics.write(sample(f64::from(i), 10_000))).unwrap();
    }
    let values: Vec<f64> = std::iter::from_fn(|| {
        let front = spool.own.front()?;
        spool.own.acknowledged(&front);
        assert_eq!(front.tenant.as_str(), "t");
        let encoding = wire::compression::Encoding::Snappy;
        let body = wire::compression::decompress(encoding, &front.body, 1 << 20).unwrap();
        let quota = wire::Quota::new(1 << 20);
        let decoded = wire::remote_write::decode_raw(front.message, body.into(), &quota).unwrap();
        let metrics = decoded.payload.decode().unwrap();
        assert_eq!(metrics.series[0].start_timestamps_ms, [START_MS]);
        Some(metrics.series[0].samples[0].value)
    })
    .collect();
    assert_eq!(values, [7.0, 8.0, 9.0]);
    // The disk is given back.
    while let Some(front) = spool.metrics.front() {
        spool.metrics.acknowledged(&front);
    }
    spool.close().unwrap();
    assert!(fs.used_bytes() < max / 8, "{}", fs.used_bytes());
}

#[test]
fn a_full_disk_is_told_and_passes() {
    let fs = Arc::new(FaultyFs::new(4));
    let spool = open(&fs, 1 << 20);
    fs.set_capacity(Some(fs.used_bytes()));
    let e = block_on(spool.own_sinks().logs.write(line("one", None))).unwrap_err();
    assert_eq!(e.kind(), model::ErrorKind::Unavailable);
    fs.set_capacity(None);
    block_on(spool.own_sinks().logs.write(line("two", None))).unwrap();
    assert_eq!(line_of(&spool.logs.front().unwrap()), "two");
}

#[derive(Debug, Clone)]
enum Action {
    /// Writes a new batch; or the last one again, as after a lost answer.
    Write(bool),
    /// The collector takes the first batch, and the answer arrives or not.
    Send(bool),
    Crash,
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Everything that was acknowledged to its writer reaches the collector once and in order.
    #[test]
    fn each_batch_arrives_once_and_in_order(
        actions in prop::collection::vec(
            prop_oneof![
                4 => any::<bool>().prop_map(Action::Write),
                4 => any::<bool>().prop_map(Action::Send),
                1 => Just(Action::Crash),
                1 => Just(Action::Restart),
            ],
            1..60,
        ),
        seed in any::<u64>(),
    ) {
        let fs = Arc::new(FaultyFs::new(seed));
        let mut spool = open(&fs, 4 << 20);
        let (mut sent, mut taken, mut seen) = (0u64, Vec::new(), Sequences::default());
        for action in actions.into_iter().chain(std::iter::repeat_n(Action::Send(true), 120)) {
            match action {
                Action::Write(again) => {
                    sent += u64::from(!again || sent == 0);
                    let batch = line(&sent.to_string(), Some(sent));
                    block_on(spool.own_sinks().logs.write(batch)).unwrap();
                }
                Action::Send(answered) => {
                    let Some(front) = spool.logs.front() else { continue };
                    if seen.observe(&front.origin) {
                        taken.push(line_of(&front).parse::<u64>().unwrap());
                    }
                    if answered {
                        spool.logs.acknowledged(&front);
                    }
                }
                Action::Crash => {
                    fs.crash();
                    drop(spool);
                    spool = open(&fs, 4 << 20);
                }
                Action::Restart => {
                    spool.close().unwrap();
                    drop(spool);
                    spool = open(&fs, 4 << 20);
                }
            }
        }
        prop_assert_eq!(taken, (1..=sent).collect::<Vec<_>>());
    }
}

/// A collector that takes everything and remembers it, as a store would.
#[derive(Default)]
struct Taken {
    seen: Mutex<Sequences>,
    items: Mutex<Vec<String>>,
}

impl Taken {
    fn take(&self, origin: Option<&Origin>, items: Vec<String>) -> WriteOutcome {
        let accepted = items.len() as u64;
        if self.seen.lock().unwrap().observe(origin.unwrap()) {
            self.items.lock().unwrap().extend(items);
        }
        WriteOutcome {
            accepted,
            ..WriteOutcome::default()
        }
    }
}

struct Into(Arc<Taken>);

impl Write<Metrics> for Into {
    fn write(&self, batch: Batch<Metrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        let items = batch
            .payload
            .series
            .iter()
            .map(|s| s.samples[0].value.to_string())
            .collect();
        let outcome = self.0.take(batch.origin.as_ref(), items);
        Box::pin(async { Ok(outcome) })
    }
}
impl Write<Logs> for Into {
    fn write(&self, batch: Batch<Logs>) -> BoxFuture<'_, Result<WriteOutcome>> {
        let items = batch
            .payload
            .streams
            .iter()
            .map(|s| s.entries[0].line.clone())
            .collect();
        let outcome = self.0.take(batch.origin.as_ref(), items);
        Box::pin(async { Ok(outcome) })
    }
}
impl Write<Spans> for Into {
    fn write(&self, batch: Batch<Spans>) -> BoxFuture<'_, Result<WriteOutcome>> {
        let items = batch
            .payload
            .groups
            .iter()
            .map(|g| g.spans[0].name.clone())
            .collect();
        let outcome = self.0.take(batch.origin.as_ref(), items);
        Box::pin(async { Ok(outcome) })
    }
}

/// Serves the real receivers over `Taken`; every third request's answer is lost after it was taken.
async fn collector(taken: Arc<Taken>, requests: Arc<AtomicU64>) -> String {
    let sinks = Sinks::new(
        Arc::new(Into(taken.clone())),
        Arc::new(Into(taken.clone())),
        Arc::new(Into(taken)),
    );
    let clock = Arc::new(model::ManualClock::default());
    let options = receive::Options::new(model::IngestLimits::default(), clock, Arc::new(NoMeter));
    let lose_some = move |request: axum::extract::Request, next: axum::middleware::Next| {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        async move {
            let answer = next.run(request).await;
            if number.is_multiple_of(3) {
                return axum::response::IntoResponse::into_response(axum::http::StatusCode::BAD_GATEWAY);
            }
            answer
        }
    };
    let router = receive::remote_write(options.clone(), sinks.clone())
        .merge(receive::otlp_http(options, sinks))
        .layer(axum::middleware::from_fn(lose_some));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test]
async fn the_sender_repeats_what_was_not_answered_and_the_collector_recognises_it() {
    let (taken, requests) = (Arc::new(Taken::default()), Arc::new(AtomicU64::new(0)));
    let url = collector(taken.clone(), requests.clone()).await;
    let spool = open(&Arc::new(FaultyFs::new(5)), 1 << 20);
    let sinks = spool.own_sinks();
    for i in 0..4 {
        sinks.logs.write(line(&format!("line {i}"), None)).await.unwrap();
        sinks.metrics.write(sample(f64::from(i), 10)).await.unwrap();
        let span = Span {
            name: format!("span {i}"),
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            ..Span::default()
        };
        let group = ResourceSpans {
            spans: vec![span],
            ..ResourceSpans::default()
        };
        let batch = Batch::new(Tenant::default(), Spans { groups: vec![group] });
        spool.relay_sinks().spans.write(batch).await.unwrap();
    }
    let stop = CancellationToken::new();
    let mut senders = tokio::task::JoinSet::new();
    for queue in spool.queues() {
        let sender = Sender {
            queue,
            client: runtime::client::Client::new(&Default::default(), std::time::Duration::from_secs(5))
                .unwrap(),
            addresses: Addresses::new(&url, None),
            counters: counters(),
        };
        senders.spawn(sender.run(stop.clone()));
    }
    while spool.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    senders.join_all().await;
    assert!(requests.load(Ordering::SeqCst) > 12);
    let mut items = taken.items.lock().unwrap().clone();
    items.sort();
    let mut expected: Vec<String> = (0..4)
        .flat_map(|i| [format!("{i}"), format!("line {i}"), format!("span {i}")])
        .collect();
    expected.sort();
    assert_eq!(items, expected);
}
