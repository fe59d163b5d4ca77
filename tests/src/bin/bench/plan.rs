//! How much is measured: the sizes behind `--size`.

use crate::target::{INTERVAL_MS, Shape};
use clap::ValueEnum;

/// How large the measurements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// Seconds; for the tests, whose figures mean nothing.
    #[value(hide = true)]
    Tiny,
    /// Minutes.
    Small,
    /// Hours, with about 10 GB of disk: the figures that are written down.
    Full,
}

/// How long to look and to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long memory is watched for its steady state.
    pub(crate) steady_s: f64,
    /// A server that is idle for so long is idle.
    pub(crate) idle_look_s: f64,
    /// One that is never idle is measured after so long.
    pub(crate) idle_limit_s: f64,
    /// Files that do not change for so long are still.
    pub(crate) still_s: f64,
    /// Repetitions of each query, at least.
    pub(crate) query_runs: usize,
    /// Queries are repeated for so long, at most five times as often.
    pub(crate) query_s: f64,
}

/// Data with a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Repetitions with a new server, of which the median is given.
    pub(crate) runs: usize,
}

/// Kills under load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kills {
    pub(crate) shape: Shape,
    /// Scrapes that are sent as fast as they are taken.
    pub(crate) preload: usize,
    /// Samples a second of the rest.
    pub(crate) rate: f64,
    /// Seconds of the rest, then SIGKILL.
    pub(crate) load_s: f64,
    pub(crate) rounds: usize,
}

/// Everything that a size fixes.
pub(crate) struct Plan {
    pub(crate) patience: Patience,
    pub(crate) ingest: Vec<Named>,
    /// Samples a second and scrapes of the first data at a fixed rate.
    pub(crate) fixed_rate: (f64, usize),
    /// The same data with and without jitter.
    pub(crate) jitter: Vec<Named>,
    pub(crate) memory: Vec<Named>,
    pub(crate) kills: Kills,
    pub(crate) curve: Vec<Named>,
}

const JITTER_MS: u64 = 7;

/// Data that has ended a few minutes ago.
fn shape(
    now_ms: i64,
    targets: usize,
    series_per_target: usize,
    scrapes: usize,
    churn_per_hour: f64,
) -> Shape {
    let end_ms = now_ms - 300_000;
    let base_ms = (end_ms - scrapes as i64 * INTERVAL_MS).div_euclid(60_000) * 60_000;
    Shape {
        targets,
        series_per_target,
        scrapes,
        churn_per_hour,
        jitter_ms: JITTER_MS,
        base_ms,
    }
}

impl Plan {
    /// The plan of a size, with data that ends shortly before `now_ms`.
    pub(crate) fn new(size: Size, now_ms: i64) -> Self {
        match size {
            Size::Tiny => Self::tiny(now_ms),
            Size::Small => Self::small(now_ms),
            Size::Full => Self::full(now_ms),
        }
    }
    fn tiny(now_ms: i64) -> Self {
        let of = |targets, scrapes, churn| shape(now_ms, targets, 200, scrapes, churn);
        Self {
            patience: Patience {
                steady_s: 0.2,
                idle_look_s: 0.2,
                idle_limit_s: 1.0,
                still_s: 0.2,
                query_runs: 1,
                query_s: 0.0,
            },
            ingest: vec![named("tiny", of(5, 60, 0.4), 1)],
            fixed_rate: (100_000.0, 10),
            jitter: vec![],
            memory: vec![named("tiny", of(5, 60, 4.0), 1)],
            kills: Kills {
                shape: of(4, 400, 0.0),
                preload: 20,
                rate: 50_000.0,
                load_s: 0.5,
                rounds: 1,
            },
            curve: vec![named("1k", of(5, 8, 0.0), 1), named("2k", of(10, 8, 0.0), 1)],
        }
    }
    fn small(now_ms: i64) -> Self {
        let of = |targets, scrapes, churn| shape(now_ms, targets, 1000, scrapes, churn);
        Self {
            patience: Patience {
                steady_s: 5.0,
                idle_look_s: 2.0,
                idle_limit_s: 60.0,
                still_s: 5.0,
                query_runs: 3,
                query_s: 0.3,
            },
            ingest: vec![
                named("10k", of(10, 260, 0.05), 3),
                named("50k", of(50, 120, 0.05), 1),
            ],
            fixed_rate: (50_000.0, 60),
            jitter: jitter(of(5, 500, 0.05)),
            memory: vec![named("20k", of(20, 480, 0.4), 1)],
            kills: Kills {
                shape: of(10, 200, 0.0),
                preload: 60,
                rate: 50_000.0,
                load_s: 5.0,
                rounds: 2,
            },
            curve: curve(now_ms, &[("10k", 10, 60), ("50k", 50, 20), ("100k", 100, 12)]),
        }
    }
    fn full(now_ms: i64) -> Self {
        let of = |targets, scrapes, churn| shape(now_ms, targets, 1000, scrapes, churn);
        Self {
            patience: Patience {
                steady_s: 20.0,
                idle_look_s: 3.0,
                idle_limit_s: 120.0,
                still_s: 10.0,
                query_runs: 7,
                query_s: 1.0,
            },
            ingest: vec![
                named("10k", of(10, 5760, 0.05), 1),
                named("200k", of(200, 260, 0.05), 1),
            ],
            fixed_rate: (50_000.0, 240),
            jitter: jitter(of(10, 1000, 0.05)),
            memory: vec![
                named("200k", of(200, 480, 0.4), 1),
                named("500k", of(500, 480, 0.4), 1),
            ],
            kills: Kills {
                shape: of(50, 240, 0.0),
                preload: 100,
                rate: 100_000.0,
                load_s: 20.0,
                rounds: 3,
            },
            curve: curve(
                now_ms,
                &[
                    ("10k", 10, 300),
                    ("50k", 50, 80),
                    ("200k", 200, 30),
                    ("500k", 500, 16),
                    ("1M", 1000, 12),
                ],
            ),
        }
    }
}

fn named(name: &'static str, shape: Shape, runs: usize) -> Named {
    Named { name, shape, runs }
}

fn jitter(shape: Shape) -> Vec<Named> {
    vec![
        named("jitter of 0 to 7 ms", shape, 1),
        named(
            "no jitter",
            Shape {
                jitter_ms: 0,
                ..shape
            },
            1,
        ),
    ]
}

fn curve(now_ms: i64, points: &[(&'static str, usize, usize)]) -> Vec<Named> {
    let points = points.iter().copied();
    points
        .map(|(name, targets, scrapes)| named(name, shape(now_ms, targets, 1000, scrapes, 0.0), 1))
        .collect()
}
