//! Tests of the store: against the plain store, one per promise, and simulated crashes.

mod exemplars;
mod keeping;
mod losing;
mod oracle;
mod promises;
mod rollups;
mod simulation;

use super::*;
use model::metric::{Histogram, HistogramSample, ResetHint};
use model::{Budget, ManualClock, Metrics, Origin, Predicate, Sample, ScanBatch, Series, TimeRange};
use std::future::Future;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use storage::{CommitOptions, FaultyFs, LogOptions};

/// Noon of a day of 2023.
const NOON_MS: i64 = 1_700_049_600_000;
const DAY_MS: i64 = 86_400_000;

/// Small enough that everything happens in a short test; commits without a thread, so that a seed says all.
fn options() -> Options {
    Options {
        retention_ms: Some(10 * DAY_MS as u64),
        merge_parts: 2,
        log: LogOptions {
            segment_bytes: 600,
            ..LogOptions::default()
        },
        commit: CommitOptions::inline(),
        ..Options::default()
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_ns(NOON_MS * 1_000_000))
}

fn open_with(fs: &FaultyFs, options: Options, clock: &Arc<ManualClock>) -> Result<Store> {
    Store::open(
        Arc::new(fs.clone()),
        Path::new("/data"),
        options,
        clock.clone(),
        &NoMeter,
    )
}
fn open(fs: &FaultyFs) -> Store {
    open_with(fs, options(), &clock()).unwrap()
}

/// The answer of a future that never waits: commits are inline.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits"),
    }
}

fn labels(name: &str, job: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", job)])
}

fn series(labels: Labels, samples: &[(i64, f64)]) -> Series {
    let samples = samples.iter().map(|(timestamp_ms, value)| Sample {
        timestamp_ms: *timestamp_ms,
        value: *value,
    });
    Series {
        labels,
        samples: samples.collect(),
        ..Series::default()
    }
}

fn histogram(timestamp_ms: i64, count: f64) -> HistogramSample {
    HistogramSample {
        start_timestamp_ms: 0,
        timestamp_ms,
        histogram: Histogram {
            schema: 3,
            count,
            sum: count * 1.5,
            positive: vec![(-2, count), (7, 1.0)],
            ..Histogram::default()
        },
    }
}

fn batch(series: Vec<Series>) -> Batch<Metrics> {
    let payload = Metrics {
        series,
        ..Metrics::default()
    };
    Batch::new(Name::default(), payload)
}

fn origin(sequence: u64) -> Origin {
    Origin {
        agent: "agent".into(),
        epoch: 1,
        stream: "metrics".into(),
        sequence,
    }
}

fn put(store: &Store, samples: &[(i64, f64)]) -> WriteOutcome {
    now(store.write(batch(vec![series(labels("up", "a"), samples)]))).unwrap()
}

fn request(predicate: Predicate, start_ms: i64, end_ms: i64) -> ScanRequest {
    let range = TimeRange::from_ms(start_ms, end_ms);
    ScanRequest::new(Name::default(), range, predicate, Budget::unlimited())
}
fn everything() -> ScanRequest {
    request(Predicate::all(), i64::MIN, i64::MAX)
}

/// A series of an answer with bits for values, so that answers compare exactly.
type Row = (Labels, Vec<(i64, u64)>, Vec<HistogramSample>, Vec<i64>);

fn rows(store: &dyn Read<SeriesData>, request: &ScanRequest) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in store.scan(request)?.batches {
        let ScanBatch::Rows(mut data) = batch? else {
            panic!("nobody asked for an aggregation")
        };
        let bits = data.values.iter().map(|v| v.to_bits());
        if let Some(first) = data.histograms.first_mut()
            && first.histogram.reset_hint == ResetHint::NotReset
        {
            // The first one is told from one before the range only where that is near, and not deleted.
            first.histogram.reset_hint = ResetHint::Unknown;
        }
        rows.push((
            data.labels,
            data.timestamps_ms.into_iter().zip(bits).collect(),
            data.histograms,
            data.start_timestamps_ms,
        ));
    }
    // Series come in any order.
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(rows)
}

/// The samples of the only series.
fn samples(store: &Store) -> Vec<(i64, f64)> {
    let rows = rows(store, &everything()).unwrap();
    assert!(rows.len() <= 1);
    let bits = rows.into_iter().flat_map(|(_, samples, ..)| samples);
    bits.map(|(time, bits)| (time, f64::from_bits(bits))).collect()
}

fn seeds(default: u64) -> u64 {
    std::env::var("BINNACLE_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(default)
}
