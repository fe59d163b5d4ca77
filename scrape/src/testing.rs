//! What the tests of this crate share: a sink that can refuse, clocks, and a server with scripted answers.

use crate::cache::Cache;
use crate::config::{Defaults, ScrapeConfig};
use crate::fetch::Fetcher;
use crate::manager::Options;
use crate::scrape_loop::{Command, ScrapeLoop, Shared, SharedStatus};
use crate::sleep::Sleep;
use crate::target::{Target, TargetStatus, build};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use model::metric::is_stale;
use model::plain::PlainStore;
use model::{
    Batch, BoxFuture, Budget, Clock, Error, Metrics, NoMeter, Predicate, Read, Result, ScanRequest,
    SeriesData, Tenant, TimeRange, Write, WriteOutcome,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// 2023-11-14T22:13:20Z.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// Time that stands still until everybody waits, and then jumps to whoever waits shortest.
pub(crate) struct VirtualTime {
    wall_ms: AtomicI64,
    now: watch::Sender<Duration>,
    deadlines: Mutex<BTreeSet<Duration>>,
}

impl VirtualTime {
    pub(crate) fn new() -> Self {
        Self {
            wall_ms: AtomicI64::new(START_MS),
            now: watch::channel(Duration::ZERO).0,
            deadlines: Mutex::default(),
        }
    }
    /// Sets the wall clock as it stood at the beginning.
    pub(crate) fn set_ms(&self, ms: i64) {
        self.wall_ms.store(ms, Ordering::SeqCst);
    }
    /// Runs a future; while it and all other tasks wait, time jumps.
    pub(crate) async fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let jumps = async {
            loop {
                // On one thread this is plenty for every task to get as far as its next wait.
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                if let Some(next) = self.deadlines.lock().unwrap().pop_first() {
                    self.now.send_replace(next);
                }
            }
        };
        tokio::select! {
            biased;
            done = future => done,
            () = jumps => unreachable!("the jumps never end"),
        }
    }
}

impl Sleep for VirtualTime {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let deadline = *self.now.borrow() + duration;
        let mut now = self.now.subscribe();
        if !duration.is_zero() {
            self.deadlines.lock().unwrap().insert(deadline);
        }
        Box::pin(async move {
            now.wait_for(|now| *now >= deadline).await.unwrap();
        })
    }
}

impl Clock for VirtualTime {
    fn now_ns(&self) -> i64 {
        let elapsed = i64::try_from(self.monotonic_ns()).unwrap();
        self.wall_ms.load(Ordering::SeqCst) * 1_000_000 + elapsed
    }
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.now.borrow().as_nanos()).unwrap()
    }
}

/// A store that can be told to refuse, and that says how much it took.
pub(crate) struct Sink {
    plain: PlainStore,
    refusals: AtomicU32,
    retry_after: Mutex<Duration>,
    written: watch::Sender<usize>,
}

impl Sink {
    fn new() -> Self {
        Self {
            plain: PlainStore::default(),
            refusals: AtomicU32::new(0),
            retry_after: Mutex::default(),
            written: watch::channel(0).0,
        }
    }
    pub(crate) fn refuse(&self, times: u32, retry_after: Duration) {
        self.refusals.store(times, Ordering::SeqCst);
        *self.retry_after.lock().unwrap() = retry_after;
    }
    /// Batches taken so far.
    pub(crate) fn written(&self) -> usize {
        *self.written.borrow()
    }
    async fn wait_for(&self, batches: usize) {
        let mut written = self.written.subscribe();
        written.wait_for(|n| *n >= batches).await.unwrap();
    }
}

impl Write<Metrics> for Sink {
    fn write(&self, batch: Batch<Metrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(async move {
            let refuse = self
                .refusals
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok();
            if refuse {
                return Err(Error::unavailable(
                    "the disk is full",
                    *self.retry_after.lock().unwrap(),
                ));
            }
            let outcome = self.plain.write_metrics(batch);
            self.written.send_modify(|n| *n += 1);
            Ok(outcome)
        })
    }
}

/// A sink, a clock and what loops share.
pub(crate) struct Harness {
    pub(crate) sink: Arc<Sink>,
    pub(crate) time: Arc<VirtualTime>,
    clock: Arc<dyn Clock>,
    pub(crate) shutdown: CancellationToken,
    shared: Arc<Shared>,
    commands: Mutex<Vec<watch::Sender<Command>>>,
}

/// A loop on a task of its own.
pub(crate) struct RunningLoop {
    pub(crate) target: Target,
    pub(crate) status: SharedStatus,
    _command: watch::Sender<Command>,
    shutdown: CancellationToken,
    task: Mutex<Option<JoinHandle<Option<Cache>>>>,
}

impl RunningLoop {
    pub(crate) async fn shutdown(&self) {
        self.shutdown.cancel();
        let task = self.task.lock().unwrap().take().unwrap();
        assert!(task.await.unwrap().is_none());
    }
}

impl Harness {
    /// On time that jumps.
    pub(crate) fn new() -> Self {
        let time = Arc::new(VirtualTime::new());
        Self::with_clock(time.clone(), time)
    }
    /// On real time, for real sockets.
    pub(crate) fn real() -> Self {
        Self::with_clock(
            Arc::new(VirtualTime::new()),
            Arc::new(runtime::SystemClock::new()),
        )
    }
    fn with_clock(time: Arc<VirtualTime>, clock: Arc<dyn Clock>) -> Self {
        let (sink, shutdown) = (Arc::new(Sink::new()), CancellationToken::new());
        let options = Options {
            sink: sink.clone(),
            tenant: Tenant::default(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
        };
        let shared = Arc::new(Shared::new(options, time.clone(), &NoMeter));
        Self {
            sink,
            time,
            clock,
            shutdown,
            shared,
            commands: Mutex::default(),
        }
    }
    /// Lets time pass until so many batches were written.
    pub(crate) async fn wait_for(&self, batches: usize) {
        self.time.drive(self.sink.wait_for(batches)).await;
    }
    pub(crate) fn options(&self) -> Options {
        Options {
            sink: self.sink.clone(),
            tenant: Tenant::default(),
            clock: self.clock.clone(),
            shutdown: self.shutdown.clone(),
        }
    }
    /// The loop of the configuration's first target, not running.
    pub(crate) fn scrape_loop(&self, config: ScrapeConfig) -> ScrapeLoop {
        let (scrape_loop, command) = self.with_command(config);
        // Without its manager a loop ends.
        self.commands.lock().unwrap().push(command);
        scrape_loop
    }
    fn with_command(&self, config: ScrapeConfig) -> (ScrapeLoop, watch::Sender<Command>) {
        let built = build(&config, Defaults::default(), &config.static_configs).unwrap();
        let target = built.targets[0].clone();
        let (sender, command) = watch::channel(Command::Run);
        let scrape_loop = ScrapeLoop {
            fetcher: Fetcher::new(&config).unwrap(),
            cache: Cache::new(Arc::new(config), target.labels.clone()),
            status: Arc::new(Mutex::new(TargetStatus::new(&target))),
            shared: self.shared.clone(),
            command,
            target,
        };
        (scrape_loop, sender)
    }
    pub(crate) fn start(&self, config: ScrapeConfig) -> RunningLoop {
        let (scrape_loop, command) = self.with_command(config);
        RunningLoop {
            target: scrape_loop.target.clone(),
            status: scrape_loop.status.clone(),
            _command: command,
            shutdown: self.shutdown.clone(),
            task: Mutex::new(Some(tokio::spawn(scrape_loop.run()))),
        }
    }
    /// All samples that were written of one series.
    pub(crate) fn values(&self, series: &str) -> Vec<(i64, String)> {
        let all = ScanRequest::new(
            Tenant::default(),
            TimeRange::ALL,
            Predicate::all(),
            Budget::unlimited(),
        );
        let rows = Read::<SeriesData>::scan(&self.sink.plain, &all).unwrap().rows();
        let found = rows
            .map(Result::unwrap)
            .find(|data| data.labels.to_string() == series);
        let data = found.unwrap_or_default();
        let shown = |v: f64| {
            if is_stale(v) {
                "stale".to_owned()
            } else {
                v.to_string()
            }
        };
        let values = data.values.iter().map(|v| shown(*v));
        data.timestamps_ms.iter().copied().zip(values).collect()
    }
}

impl ScrapeLoop {
    /// One scrape that was planned for this time and began at it.
    pub(crate) async fn once(&mut self, time_ms: i64) {
        let fetched = self.timed_fetch().await;
        self.finish(time_ms, time_ms, fetched).await;
    }
}

/// What the server answers.
#[derive(Clone)]
pub(crate) enum Scripted {
    Answer {
        status: u16,
        content_type: String,
        packed: bool,
        body: Vec<u8>,
    },
    /// Nothing.
    Hang,
    /// The head and a part of the body.
    HangInBody,
}

impl Scripted {
    pub(crate) fn text(body: &str) -> Self {
        Self::Answer {
            status: 200,
            content_type: "text/plain".to_owned(),
            packed: false,
            body: body.as_bytes().to_vec(),
        }
    }
    pub(crate) fn packed(body: &str) -> Self {
        Self::Answer {
            status: 200,
            content_type: "text/plain".to_owned(),
            packed: true,
            body: wire::compression::compress(wire::compression::Encoding::Gzip, body.as_bytes()),
        }
    }
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer {
            status,
            content_type: "text/plain".to_owned(),
            packed: false,
            body: Vec::new(),
        }
    }
}

/// What the server was asked.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    pub(crate) uri: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

type Script = Arc<Mutex<(Scripted, Asked)>>;

/// A server on 127.0.0.1 that answers as it is told.
pub(crate) struct Server {
    pub(crate) address: String,
    script: Script,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let script: Script = Arc::new(Mutex::new((Scripted::text(""), Asked::default())));
        let router = axum::Router::new().fallback(answer).with_state(script.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            script,
            task,
        }
    }
    pub(crate) fn script(&self, what: Scripted) {
        self.script.lock().unwrap().0 = what;
    }
    pub(crate) fn answer(&self, content_type: &str, body: &str) {
        self.script(Scripted::Answer {
            status: 200,
            content_type: content_type.to_owned(),
            packed: false,
            body: body.as_bytes().to_vec(),
        });
    }
    pub(crate) fn answer_packed(&self, body: &str) {
        self.script(Scripted::packed(body));
    }
    pub(crate) fn last_request(&self) -> Asked {
        self.script.lock().unwrap().1.clone()
    }
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let headers = request.headers().iter();
    let asked = Asked {
        uri: request.uri().to_string(),
        headers: headers
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()))
            .collect(),
    };
    let what = {
        let mut script = script.lock().unwrap();
        script.1 = asked;
        script.0.clone()
    };
    match what {
        Scripted::Hang => std::future::pending().await,
        Scripted::HangInBody => {
            let first = stream::once(async { Ok::<_, std::convert::Infallible>(Bytes::from("a 1\n")) });
            Response::new(Body::from_stream(first.chain(stream::pending())))
        }
        Scripted::Answer {
            status,
            content_type,
            packed,
            body,
        } => {
            let mut response = Response::builder()
                .status(status)
                .header("content-type", content_type);
            if packed {
                response = response.header("content-encoding", "gzip");
            }
            response.body(Body::from(body)).unwrap()
        }
    }
}
