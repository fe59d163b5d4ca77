//! Debian's Prometheus and we hold the same data and are asked the same questions.
//!
//! Prometheus 2.42 and 3.x, which we follow, differ on purpose. These differences are kept out, by the data and by the
//! grammar:
//!
//! - Ranges and the lookback are open on the left in 3.x. No sample lies on a whole second; times of evaluation are 7 s
//!   past multiples of 30 s, and ranges, offsets and steps of subqueries are multiples of 30 s. So nothing lies on an
//!   edge. Subqueries are not nested: the inner one would be evaluated on whole steps.
//! - In a regular expression of 3.x a dot matches a newline: no label has one.
//! - 3.x extrapolates a rate to zero in another way when a counter begins within the range near zero, but not at it:
//!   counters begin at 0 or far from it, and there is no rate of anything else.
//! - A subquery without a step in its range gives one point behind it when its inside is pinned with `@`, and shows it when
//!   it is the whole query.
//! - `holt_winters` has another name in 3.x, and `mad_over_time`, `first_over_time`, `sort_by_label`, `info`, the fills and others are new.
//! - 3.x can choose classic histograms in `histogram_fraction`, which in 2.42 ignores them.
//! - Functions drop the metric name at the end of a query here, and at once there. Where that can be seen (a function over
//!   several metrics, or over an `or`; `by (__name__)`), nothing is asked.
//! - Ties of `topk`, `bottomk` and sorts are broken by the order in which a store gives its series: such functions get
//!   gauges, which never have the same value twice, and a sort is compared value by value.
//! - 2.42 keeps the metric name under `atan2`, and in a range query moves the range of `predict_linear(x[5m] @ t, 1)` along:
//!   both were mended later.
//! - The deviation of a single NaN or infinity is 0 in 2.42 and NaN in 3.x: `stddev` and `stdvar` get gauges.
//! - `timestamp(x @ t offset d)` forgets the offset when it looks, but not when it reads, in 2.42 and still in 3.x.
//! - Hours and days of times that no clock shows depend on the machine in Go: such functions get times.
//! - Sums are added up in another order. `%`, `sin`, `cos` and `tan` would make much of the last digit: they get gauges.
//! - Names of labels that only 3.x allows, and everything that only 3.x parses.
//!
//! `BINNACLE_DIFFERENTIAL_CASES` is the number of expressions, `BINNACLE_DIFFERENTIAL_SEED` another seed than the usual one.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

#[path = "promql_differential/compare.rs"]
mod compare;
#[path = "promql_differential/data.rs"]
mod data;
#[path = "promql_differential/grammar.rs"]
mod grammar;

use compare::Answer;
use grammar::Question;
use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::path::Path;
use tests::binnacle::{Binnacle, Options, client};
use tests::process::Process;
use tests::{peers, remote_write, skipped};
use tokio::process::Command;

/// How many expressions are asked for when nothing else is said.
const CASES: usize = 400;
/// The most differences that are told.
const MAX_TOLD: usize = 12;
/// The most steps towards a shorter expression.
const MAX_SHRINKS: usize = 200;

/// Both programs with the same data.
struct Pair {
    client: reqwest::Client,
    ours: String,
    theirs: String,
}

impl Pair {
    /// What the two say about an expression, if that differs.
    async fn difference(&self, question: &Question) -> Option<String> {
        for path in ["query", "query_range"] {
            let parameters = question.parameters(path);
            let ours = Answer::ask(&self.client, &self.ours, path, &parameters).await;
            let theirs = Answer::ask(&self.client, &self.theirs, path, &parameters).await;
            if let Err(problem) = compare::same(&ours, &theirs, question.is_ordered && path == "query") {
                return Some(format!("{path} {parameters:?}\n  {problem}"));
            }
        }
        None
    }

    /// The shortest question found that still makes a difference.
    async fn shrunk(&self, tree: &mut impl ValueTree<Value = Question>, mut found: String) -> String {
        for _ in 0..MAX_SHRINKS {
            if !tree.simplify() {
                break;
            }
            match self.difference(&tree.current()).await {
                Some(shorter) => found = shorter,
                None if tree.complicate() => {}
                None => break,
            }
        }
        found
    }
}

/// Debian's Prometheus with a door for remote writes, and nothing to scrape.
async fn prometheus(folder: &Path) -> (Process, String) {
    let address = format!("127.0.0.1:{}", peers::free_port().unwrap());
    std::fs::write(folder.join("nothing.yml"), "global: {}\n").unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", folder.join("nothing.yml").display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("prometheus").display()
        ))
        .arg("--storage.tsdb.retention.time=100y")
        .arg("--web.enable-remote-write-receiver")
        .arg(format!("--web.listen-address={address}"));
    let mut process = Process::start("prometheus", command).unwrap();
    let ready = |l: &str| l.contains("ready to receive web requests").then_some(());
    process.wait_for_line("readiness", ready).await.unwrap();
    (process, format!("http://{address}"))
}

fn number_of(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
    })
}

#[tokio::test]
async fn debians_prometheus_gives_the_same_answers() {
    if !Path::new("/usr/bin/prometheus").exists() {
        return skipped("Debian's prometheus is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let options = Options::no_agent().with_config("retention: { metrics: 90y }\n");
    let binnacle = Binnacle::start(&folder.path().join("data"), &options)
        .await
        .unwrap();
    let (_prometheus, theirs) = prometheus(folder.path()).await;
    let pair = Pair {
        client: client(),
        ours: binnacle.url.clone(),
        theirs,
    };
    for batch in data::batches() {
        let body = remote_write::body(&batch).unwrap();
        for base in [&pair.ours, &pair.theirs] {
            let (status, said) = remote_write::send(&pair.client, base, body.clone())
                .await
                .unwrap();
            assert!((200..300).contains(&status), "{base}: {status} {said}");
        }
    }

    let mut seed = [7; 32];
    let chosen = number_of("BINNACLE_DIFFERENTIAL_SEED", 0);
    seed[..8].copy_from_slice(&(chosen as u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let questions = grammar::questions();
    let mut differences = Vec::new();
    for _ in 0..number_of("BINNACLE_DIFFERENTIAL_CASES", CASES) {
        let mut tree = questions.new_tree(&mut runner).unwrap();
        if let Some(found) = pair.difference(&tree.current()).await {
            differences.push(pair.shrunk(&mut tree, found).await);
            if differences.len() == MAX_TOLD {
                break;
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
