//! Sends requests over a few kept connections, and keeps what was acknowledged, when, and how long it took.

use crate::bodies::Bodies;
use crate::clock::{now, pause, seconds_since};
use crate::http::Connection;
use crate::started;
use crate::target::Content;
use anyhow::{Result, bail};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// How to send.
pub(crate) struct Sending<'a> {
    pub(crate) port: u16,
    /// Samples a second over all connections; `None` for as fast as they are taken.
    pub(crate) rate: Option<f64>,
    /// Set when the server is going to be killed: then an error is an end and no failure.
    pub(crate) stop: Option<&'a AtomicBool>,
}

/// An acknowledged request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) content: Content,
    pub(crate) at: Instant,
    /// From the first byte out to the last byte in.
    pub(crate) took: Duration,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Answers that asked for a later attempt, which was made.
    pub(crate) retries: u64,
    pub(crate) wall_s: f64,
}

impl Sent {
    /// Samples and staleness markers.
    pub(crate) fn samples(&self) -> u64 {
        self.acknowledged.iter().map(|a| a.content.samples).sum()
    }
    /// Series that ended in these scrapes.
    pub(crate) fn ended(&self, scrapes: std::ops::Range<usize>) -> u64 {
        let some = self
            .acknowledged
            .iter()
            .filter(|a| scrapes.contains(&a.content.scrape));
        some.map(|a| a.content.stale).sum()
    }
    /// Milliseconds that this share of the acknowledgements took at most.
    pub(crate) fn latency_ms(&self, share: f64) -> f64 {
        let mut all: Vec<Duration> = self.acknowledged.iter().map(|a| a.took).collect();
        all.sort_unstable();
        let last = all.len().saturating_sub(1);
        all.get((last as f64 * share).round() as usize)
            .map_or(0.0, |d| d.as_secs_f64() * 1e3)
    }
}

/// Scrapes that one connection may be ahead of the slowest.
const DRIFT: usize = 20;
const ATTEMPTS: usize = 200;

/// Where each connection is, so that none runs away.
struct Positions {
    scrapes: Mutex<Vec<usize>>,
    changed: Condvar,
}

impl Positions {
    /// Says where a connection is and waits until the others are near.
    fn reach(&self, connection: usize, scrape: usize) {
        let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        if scrapes[connection] != scrape {
            scrapes[connection] = scrape;
            self.changed.notify_all();
        }
        while scrapes
            .iter()
            .min()
            .is_some_and(|slowest| scrape > slowest.saturating_add(DRIFT))
        {
            scrapes = self.changed.wait(scrapes).unwrap_or_else(PoisonError::into_inner);
        }
    }
    /// The connection is not to be waited for any more.
    fn reach_end(&self, connection: usize) {
        let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        scrapes[connection] = usize::MAX - DRIFT;
        self.changed.notify_all();
    }
}

/// Says on every way out that a connection is not to be waited for.
struct Done<'a>(&'a Positions, usize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.reach_end(self.1);
    }
}

struct Shared<'a> {
    sending: &'a Sending<'a>,
    positions: Positions,
    /// Samples that were handed to connections, for the rate.
    begun: AtomicU64,
    /// One connection met an error: the others need not go on.
    failed: AtomicBool,
    start: Instant,
}

/// Sends all requests; calls `watch` a few times a second meanwhile.
pub(crate) fn send(
    sending: &Sending<'_>,
    sources: Vec<Box<dyn Bodies>>,
    mut watch: impl FnMut() -> Result<()>,
) -> Result<Sent> {
    let shared = Shared {
        sending,
        positions: Positions {
            scrapes: Mutex::new(vec![0; sources.len()]),
            changed: Condvar::new(),
        },
        begun: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        start: now(),
    };
    let mut sent = Sent::default();
    std::thread::scope(|scope| {
        let run = |(k, source)| {
            let shared = &shared;
            scope.spawn(move || {
                let sent = connection(shared, k, source);
                shared.failed.fetch_or(sent.is_err(), Ordering::Relaxed);
                sent
            })
        };
        let running: Vec<_> = sources.into_iter().enumerate().map(run).collect();
        while !running.iter().all(ScopedJoinHandle::is_finished) {
            // An error here ends with the threads' own errors: what they send to is gone.
            let _ = watch();
            pause(Duration::from_millis(50));
        }
        sent.wall_s = seconds_since(shared.start);
        for one in running {
            let one = one.join().expect("a connection does not panic")?;
            sent.acknowledged.extend(one.acknowledged);
            sent.retries += one.retries;
        }
        anyhow::Ok(())
    })?;
    watch()?;
    Ok(sent)
}

fn connection(shared: &Shared<'_>, k: usize, mut source: Box<dyn Bodies>) -> Result<Sent> {
    let _done = Done(&shared.positions, k);
    let (mut connection, mut body, mut sent) =
        (Connection::new(shared.sending.port), Vec::new(), Sent::default());
    let stopped = || shared.sending.stop.is_some_and(|s| s.load(Ordering::Relaxed));
    while let Some(content) = source.next(&mut body)? {
        started::check()?;
        shared.positions.reach(k, content.scrape);
        if let Some(rate) = shared.sending.rate {
            let before = shared.begun.fetch_add(content.samples, Ordering::Relaxed);
            let early_s = before as f64 / rate - seconds_since(shared.start);
            pause(Duration::from_secs_f64(early_s.max(0.0)));
        }
        if stopped() || shared.failed.load(Ordering::Relaxed) {
            break;
        }
        match post(&mut connection, &body, &mut sent.retries) {
            Ok(took) => sent.acknowledged.push(Acknowledged {
                content,
                at: now(),
                took,
            }),
            Err(_) if stopped() => break,
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}

const HEADERS: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
    X-Prometheus-Remote-Write-Version: 0.1.0\r\nUser-Agent: binnacle-bench\r\n";

/// Sends until it is taken; how long the attempt took that was.
fn post(connection: &mut Connection, body: &[u8], retries: &mut u64) -> Result<Duration> {
    for _ in 0..ATTEMPTS {
        let start = now();
        let answer = connection.post("/api/v1/write", HEADERS, body)?;
        if answer.is_success() {
            return Ok(now().duration_since(start));
        }
        if answer.status != 429 && answer.status < 500 {
            bail!("refused: {}: {}", answer.status, answer.text());
        }
        *retries += 1;
        pause(Duration::from_millis(50));
    }
    bail!("not taken in {ATTEMPTS} attempts")
}
