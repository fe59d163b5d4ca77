//! The statistics of a query that `stats` asks for.

use super::params::Params;
use model::Budget;
use query::go::quote;
use query::promql::{QueryResult, Timings};
use serde::Serialize;

/// What a request wants to know about its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// Totals.
    Totals,
    /// Totals, and samples by step.
    All,
}

impl Asked {
    /// Reads `stats`. A value that nobody knows stands for the totals and gets a warning.
    pub fn of(params: &Params) -> (Self, Option<String>) {
        match params.get("stats") {
            None => (Self::Nothing, None),
            Some("true") => (Self::Totals, None),
            Some("all") => (Self::All, None),
            Some(other) => {
                let warning = format!(
                    "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
                    quote(other)
                );
                (Self::Totals, Some(warning))
            }
        }
    }
}

/// Where time and samples went.
#[derive(Debug, Serialize)]
pub struct Stats {
    timings: Seconds,
    samples: Samples,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seconds {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    total_queryable_samples_per_step: Vec<(f64, u64)>,
    total_queryable_samples: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples_read_per_step: Vec<(f64, u64)>,
    samples_read: u64,
    peak_samples: u64,
}

impl Stats {
    /// Of a query that has just ended. Its samples are those that its budget paid for: each is read once, whatever number
    /// of steps looks at it, and counts until the end. So by step they are known only where there is one step, at
    /// `only_step_ms`.
    pub fn of(result: &QueryResult, waited_ns: u64, budget: &Budget, only_step_ms: Option<i64>) -> Self {
        let Timings {
            prepare_ns,
            evaluate_ns,
            sort_ns,
        } = result.timings;
        let samples = budget.samples_used();
        let per_step = || {
            let step = only_step_ms.map(|ms| (ms as f64 / 1e3, samples));
            step.into_iter().collect()
        };
        Self {
            timings: Seconds {
                eval_total_time: seconds(prepare_ns + evaluate_ns + sort_ns),
                result_sort_time: seconds(sort_ns),
                query_preparation_time: seconds(prepare_ns),
                inner_eval_time: seconds(evaluate_ns),
                exec_queue_time: seconds(waited_ns),
                exec_total_time: seconds(budget.elapsed_ns()),
            },
            samples: Samples {
                total_queryable_samples_per_step: per_step(),
                total_queryable_samples: samples,
                samples_read_per_step: per_step(),
                samples_read: samples,
                peak_samples: samples,
            },
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
