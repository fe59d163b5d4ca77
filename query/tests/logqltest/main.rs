//! Runs `.logqltest` files (load, eval, expect) against the LogQL engine over the plain store.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod series;

use model::plain::PlainStore;
use model::{Batch, Budget, Direction, Labels, LogEntry, LogStream, Logs, Origin, Tenant};
use query::logql::{Engine, LogParams, LogResult};
use regex::Regex;
use series::Item;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Default)]
struct Totals {
    passed: usize,
    failures: Vec<String>,
}

enum When {
    Instant(i64),
    Range(LogParams),
}

struct Eval {
    line: usize,
    when: When,
    expr: String,
    expectations: Vec<String>,
}

fn run_file(path: &Path) -> Totals {
    let text = std::fs::read_to_string(path).unwrap();
    let mut totals = Totals::default();
    let mut store = Arc::new(PlainStore::default());
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let head = line.trim();
        if head == "clear" {
            store = Arc::new(PlainStore::default());
        } else if head == "load" {
            let mut streams = Vec::new();
            while let Some((number, line)) = lines.next_if(|(_, l)| l.trim().starts_with('{')) {
                match load_line(line.trim()) {
                    Some(stream) => streams.push(stream),
                    None => totals
                        .failures
                        .push(format!("{}:{}: {line}", path.display(), number + 1)),
                }
            }
            // Lines of one of our agents keep real repeats.
            let origin = Origin {
                agent: "test".into(),
                epoch: 1,
                stream: path.display().to_string(),
                sequence: number as u64 + 1,
            };
            store.write_logs(Batch {
                origin: Some(origin),
                ..Batch::new(Tenant::default(), Logs { streams })
            });
        } else if let Some(rest) = head.strip_prefix("eval ") {
            let mut expectations = Vec::new();
            let goes_on = |l: &str| {
                let l = l.trim();
                !l.is_empty() && !l.starts_with("eval ") && l != "clear" && l != "load"
            };
            while let Some((_, line)) = lines.next_if(|(_, l)| goes_on(l)) {
                expectations.push(without_comment(line).trim().to_owned());
            }
            expectations.retain(|e| !e.is_empty());
            let Some(eval) = eval_line(rest, number + 1, expectations) else {
                totals
                    .failures
                    .push(format!("{}:{}: {head}", path.display(), number + 1));
                continue;
            };
            match check(&store, &eval) {
                Ok(()) => totals.passed += 1,
                Err(problem) => totals.failures.push(format!(
                    "{}:{}: {}\n    {problem}",
                    path.display(),
                    eval.line,
                    eval.expr
                )),
            }
        }
    }
    totals
}

/// Cuts off a comment that is not inside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut escaped) = (None, false);
    for (i, c) in line.char_indices() {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(q), c) if q == c && !escaped => quote = None,
            (None, '"' | '`') => quote = Some(c),
            (None, '#') => return &line[..i],
            _ => {}
        }
        escaped = false;
    }
    line
}

/// `{labels} "line" @ START [repeat every STEP for COUNT] [metadata key="value"]`
fn load_line(line: &str) -> Option<LogStream> {
    let (labels, rest) = series::labels(line).ok()?;
    let (text, rest) = quoted(rest.trim())?;
    let rest = without_comment(rest);
    let start = Regex::new(r"^\s*@\s*(\S+)").unwrap();
    let repeat = Regex::new(r"\[repeat\s+every\s+(\S+)\s+for\s+(\d+)\]").unwrap();
    let metadata = Regex::new(r"\[metadata (.*)\]").unwrap();
    let start_ns = time_ns(&start.captures(rest)?[1])?;
    let (step_ns, count) = match repeat.captures(rest) {
        Some(found) => (time_ns(&found[1])?, found[2].parse().ok()?),
        None => (0, 1),
    };
    let metadata = match metadata.captures(rest) {
        Some(found) => {
            let pair = Regex::new(r#"([\w.]+)="([^"]*)""#).unwrap();
            pair.captures_iter(&found[1])
                .map(|p| (p[1].to_owned(), p[2].to_owned()))
                .collect()
        }
        None => Vec::new(),
    };
    let entry = |i: i64| LogEntry {
        timestamp_ns: start_ns + i * step_ns,
        line: text.replace("{{.i}}", &i.to_string()),
        metadata: metadata.clone(),
    };
    Some(LogStream {
        labels,
        entries: (0..count).map(entry).collect(),
    })
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Some((value, &text[i + 1..])),
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

fn time_ns(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let ns = model::duration::parse(digits).ok()?.as_nanos();
    Some(sign * i64::try_from(ns).ok()?)
}

fn eval_line(rest: &str, line: usize, expectations: Vec<String>) -> Option<Eval> {
    let instant = Regex::new(r"^instant at (\S+) (.+)$").unwrap();
    let range = Regex::new(r"^range from (\S+) to (\S+) step (\S+) (.+)$").unwrap();
    let (when, expr) = if let Some(found) = instant.captures(rest) {
        (When::Instant(time_ns(&found[1])?), found[2].to_owned())
    } else {
        let found = range.captures(rest)?;
        let params = LogParams {
            start_ns: time_ns(&found[1])?,
            end_ns: time_ns(&found[2])?,
            step_ns: time_ns(&found[3])?,
            limit: 1000,
            direction: Direction::Forward,
        };
        (When::Range(params), found[4].to_owned())
    };
    Some(Eval {
        line,
        when,
        expr,
        expectations,
    })
}

fn check(store: &Arc<PlainStore>, eval: &Eval) -> Result<(), String> {
    let engine = Engine::new(store.clone());
    let (tenant, budget) = (Tenant::default(), Budget::unlimited());
    let answer = match eval.when {
        When::Instant(at_ns) => engine.instant(&tenant, &eval.expr, at_ns, &budget),
        When::Range(params) => engine.range(&tenant, &eval.expr, params, &budget),
    };
    if eval.expectations.iter().any(|e| e.starts_with("expect fail")) {
        return match answer {
            Err(e) if e.message().contains("not supported yet") => Err(format!("error: {e}")),
            Err(_) => Ok(()),
            Ok(answer) => Err(format!("expected an error, got {answer:?}")),
        };
    }
    let answer = answer.map_err(|e| format!("error: {e}"))?;
    let mut expected: BTreeMap<Labels, Vec<Item>> = BTreeMap::new();
    for line in eval.expectations.iter().filter(|e| !e.starts_with("expect")) {
        let (labels, items) = match series::number(line) {
            Some(n) => (Labels::empty(), vec![Item::Value(n)]),
            None => series::parse(line)?,
        };
        expected.insert(labels, items);
    }
    let got = points(&answer, eval);
    let item_met = |(item, value): (&Item, &Option<f64>)| match value {
        Some(value) => item.is_met_by(*value),
        None => *item == Item::Gap,
    };
    let is_met = |(labels, items): (&Labels, &Vec<Item>)| {
        got.get(labels)
            .is_some_and(|values| values.len() == items.len() && items.iter().zip(values).all(item_met))
    };
    if got.len() == expected.len() && expected.iter().all(is_met) {
        return Ok(());
    }
    Err(format!("expected {expected:?}, got {got:?}"))
}

/// The values of an answer at each step.
fn points(answer: &LogResult, eval: &Eval) -> BTreeMap<Labels, Vec<Option<f64>>> {
    match answer {
        LogResult::Scalar(sample) => [(Labels::empty(), vec![Some(sample.value)])].into(),
        LogResult::Vector(samples) => samples
            .iter()
            .map(|s| (s.labels.clone(), vec![Some(s.value)]))
            .collect(),
        LogResult::Matrix(matrix) => {
            let When::Range(params) = eval.when else {
                return BTreeMap::new();
            };
            let steps = (params.end_ns - params.start_ns) / params.step_ns;
            let times = (0..=steps).map(|i| (params.start_ns + i * params.step_ns) / 1_000_000);
            let of = |s: &model::SeriesData| {
                let found = |t| {
                    s.timestamps_ms
                        .iter()
                        .position(|own| *own == t)
                        .map(|i| s.values[i])
                };
                (s.labels.clone(), times.clone().map(found).collect())
            };
            matrix.iter().map(of).collect()
        }
        LogResult::Streams(_) => BTreeMap::new(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "logqltest"))
        .collect();
    files.sort();
    files
}

#[test]
fn our_own_cases_pass() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"));
    assert!(!files.is_empty());
    for file in files {
        let totals = run_file(&file);
        assert!(totals.failures.is_empty(), "\n{}", totals.failures.join("\n"));
        assert!(totals.passed > 0, "{} has no case", file.display());
        println!("{}: {} passed", file.display(), totals.passed);
    }
}

/// A guide, as for PromQL: `BINNACLE_SHARED` names the folder that holds `conformance/`, `BINNACLE_FAILURES=1`
/// prints each failure.
#[test]
fn the_reference_cases_are_counted() {
    let shared = std::env::var_os("BINNACLE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("conformance/logql");
    if !folder.is_dir() {
        use std::io::Write as _;
        // Straight to standard error: the test runner hides what passing tests print.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not there", folder.display());
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    for file in files(&folder) {
        let totals = run_file(&file);
        passed += totals.passed;
        failed += totals.failures.len();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        println!(
            "{name}: {} passed, {} failed",
            totals.passed,
            totals.failures.len()
        );
        if std::env::var_os("BINNACLE_FAILURES").is_some() {
            totals.failures.iter().for_each(|f| println!("{f}"));
        }
    }
    println!("{passed} passed, {failed} failed");
    assert!(passed > 0);
}
