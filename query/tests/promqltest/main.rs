//! Runs `.test` files (load, eval, expect) against the PromQL engine over the plain store.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod script;
mod series;

use model::metric::HistogramSample;
use model::plain::PlainStore;
use model::{Batch, Budget, Metrics, Series, Tenant};
use query::promql::{Engine, Options, QueryResult, QueryValue, RangeParams};
use script::{Command, Eval, Expected, Note, When};
use series::{Item, almost_equal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What came of a file.
#[derive(Default)]
struct Totals {
    passed: usize,
    failures: Vec<String>,
}

fn run_file(path: &Path) -> Totals {
    let text = std::fs::read_to_string(path).unwrap();
    let mut totals = Totals::default();
    let mut store = Arc::new(PlainStore::default());
    for (line, command) in script::parse(&text) {
        match command {
            Err(problem) => totals
                .failures
                .push(format!("{}:{line}: {problem}", path.display())),
            Ok(Command::Clear) => store = Arc::new(PlainStore::default()),
            Ok(Command::Load(series)) => load(&store, series),
            Ok(Command::Eval(eval)) => match check(&store, &eval) {
                Ok(()) => totals.passed += 1,
                Err(problem) => {
                    totals
                        .failures
                        .push(format!("{}:{line}: {}\n    {problem}", path.display(), eval.expr));
                }
            },
        }
    }
    totals
}

fn load(store: &PlainStore, series: Vec<Series>) {
    let payload = Metrics {
        series,
        metadata: Vec::new(),
    };
    store.write_metrics(Batch::new(Tenant::default(), payload));
}

fn engine(store: &Arc<PlainStore>) -> Engine {
    Engine::with_options(store.clone(), Options::default())
}

fn check(store: &Arc<PlainStore>, eval: &Eval) -> Result<(), String> {
    let engine = engine(store);
    let (tenant, budget) = (Tenant::default(), Budget::unlimited());
    let answer = match eval.when {
        When::Instant(at_ms) => engine.instant(&tenant, &eval.expr, at_ms, &budget),
        When::Range(params) => engine.range(&tenant, &eval.expr, params, &budget),
    };
    if let Some(note) = &eval.fail {
        return match answer {
            Ok(answer) => Err(format!("expected an error, got {:?}", answer.value)),
            Err(e) if note.is_satisfied_by(e.message()) => Ok(()),
            Err(e) => Err(format!("expected the error {note:?}, got {e}")),
        };
    }
    let answer = answer.map_err(|e| format!("error: {e}"))?;
    check_notes("warning", &eval.warnings, &answer.warnings)?;
    check_notes("info", &eval.infos, &answer.infos)?;
    compare(eval, &answer)?;
    match eval.when {
        When::Instant(at_ms) if eval.can_be_ranged() => check_as_range(&engine, eval, at_ms),
        _ => Ok(()),
    }
}

/// An instant query must give the same answer at the middle of three steps.
fn check_as_range(engine: &Engine, eval: &Eval, at_ms: i64) -> Result<(), String> {
    let params = RangeParams {
        start_ms: at_ms - 60_000,
        end_ms: at_ms + 60_000,
        step_ms: 60_000,
    };
    let answer = engine
        .range(&Tenant::default(), &eval.expr, params, &Budget::unlimited())
        .map_err(|e| format!("as a range query: error: {e}"))?;
    let QueryValue::Matrix(matrix) = answer.value else {
        return Err("a range query that gave no matrix".to_owned());
    };
    let got: BTreeMap<_, _> = matrix
        .iter()
        .filter_map(|s| {
            let index = s.timestamps_ms.iter().position(|t| *t == at_ms)?;
            Some((s.labels.clone(), s.values[index]))
        })
        .collect();
    let expected: BTreeMap<_, _> = match &eval.expected {
        Expected::Scalar(v) => [(model::Labels::empty(), Item::Value(*v))].into(),
        Expected::Series(series) => series
            .iter()
            .map(|(l, items)| (l.clone(), items[0].clone()))
            .collect(),
        Expected::Text(_) | Expected::RangeVector(..) => return Ok(()),
    };
    let same = got.len() == expected.len()
        && got
            .iter()
            .zip(&expected)
            .all(|((gl, gv), (el, ev))| gl == el && ev.is_met_by(*gv));
    if same {
        Ok(())
    } else {
        Err(format!("as a range query: expected {expected:?}, got {got:?}"))
    }
}

fn check_notes(what: &str, expected: &[Note], got: &[String]) -> Result<(), String> {
    for note in expected {
        let met = match note {
            Note::None => got.is_empty(),
            note => got.iter().any(|text| note.is_satisfied_by(text)),
        };
        if !met {
            return Err(format!("expected {what} {note:?}, got {got:?}"));
        }
    }
    Ok(())
}

fn compare(eval: &Eval, answer: &QueryResult) -> Result<(), String> {
    match (&eval.expected, &answer.value) {
        (Expected::Scalar(expected), QueryValue::Scalar(got)) if almost_equal(*expected, got.value) => Ok(()),
        (Expected::Text(expected), QueryValue::String { value, .. }) if expected == value => Ok(()),
        (Expected::Series(expected), QueryValue::Vector(got)) => {
            let found = |(labels, items): &(model::Labels, Vec<Item>)| {
                got.iter()
                    .position(|s| s.labels == *labels && items[0].is_met_by(s.value))
            };
            let places: Vec<_> = expected.iter().map(found).collect();
            let in_order = places.iter().enumerate().all(|(i, place)| *place == Some(i));
            let all_there = places.iter().all(Option::is_some) && got.len() == expected.len();
            if all_there && (in_order || !eval.ordered) {
                return Ok(());
            }
            Err(format!("expected {expected:?}, got {got:?}"))
        }
        (Expected::Series(expected), QueryValue::Matrix(got)) => {
            let When::Range(params) = eval.when else {
                return Err("a matrix from an instant query".to_owned());
            };
            compare_matrix(expected, got, params)
        }
        (Expected::RangeVector(params, expected), QueryValue::Matrix(got)) => {
            compare_matrix(expected, got, *params)
        }
        (expected, got) => Err(format!("expected {expected:?}, got {got:?}")),
    }
}

fn compare_matrix(
    expected: &[(model::Labels, Vec<Item>)],
    got: &[model::SeriesData],
    params: RangeParams,
) -> Result<(), String> {
    let wrong = || Err(format!("expected {expected:?}, got {got:?}"));
    let steps = usize::try_from((params.end_ms - params.start_ms) / params.step_ms).unwrap() + 1;
    let wanted = expected
        .iter()
        .filter(|(_, items)| items.iter().any(|i| *i != Item::Gap))
        .count();
    if got.len() != wanted {
        return wrong();
    }
    for (labels, items) in expected {
        let mut points = BTreeMap::new();
        if let Some(series) = got.iter().find(|s| s.labels == *labels) {
            points.extend(
                series
                    .timestamps_ms
                    .iter()
                    .copied()
                    .zip(series.values.iter().copied()),
            );
        }
        let mut met = 0;
        for (step, item) in items.iter().enumerate() {
            let time = params.start_ms + step as i64 * params.step_ms;
            match (item, points.get(&time)) {
                (Item::Gap, None) => {}
                (item, Some(value)) if item.is_met_by(*value) => met += 1,
                _ => return wrong(),
            }
        }
        if met != points.len() || items.len() > steps {
            return wrong();
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    files
}

#[test]
fn our_own_cases_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let files = files(&folder);
    assert!(!files.is_empty());
    for file in files {
        let totals = run_file(&file);
        assert!(totals.failures.is_empty(), "\n{}", totals.failures.join("\n"));
        assert!(totals.passed > 0, "{} has no case", file.display());
        println!("{}: {} passed", file.display(), totals.passed);
    }
}

/// A guide on the way to full conformance: prints how far the engine is. `BINNACLE_SHARED` names the folder that
/// holds `conformance/`; `BINNACLE_FAILURES=1` prints each failure.
#[test]
fn the_reference_cases_are_counted() {
    let shared = std::env::var_os("BINNACLE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("conformance/promql");
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

/// A native histogram whose content does not matter, because the engine leaves it out.
fn some_histogram(timestamp_ms: i64) -> HistogramSample {
    HistogramSample {
        start_timestamp_ms: 0,
        timestamp_ms,
        histogram: model::metric::Histogram::default(),
    }
}
