//! Suite promql: `.test` files of load, eval and expect, run against the engine over the metrics store.

mod at_modifier;
mod classic;
mod compare;
mod database;
mod histogram;
mod script;
#[cfg(test)]
mod tests;

use super::Case;
use anyhow::{Context as _, Result, bail};
use database::{Database, Problem};
use query::promql::{QueryValue, RangeParams};
use script::{Command, Eval, Placed, When};
use std::path::Path;

/// The distance of the steps of the range query that stands for an instant query.
const RANGE_STEP_MS: i64 = 60_000;

/// Runs a file: one case for each eval, and one for each load that fails.
pub(super) fn run(path: &Path) -> Result<Vec<Case>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let shown = path.display();
    let commands = script::parse(&text).map_err(|e| anyhow::anyhow!("{shown}:{e}"))?;
    if commands.is_empty() {
        bail!("{shown} is empty");
    }
    let mut cases = Vec::new();
    let mut database = Database::open()?;
    for Placed { line, command } in commands {
        let (name, outcome) = match command {
            Command::Clear => {
                database = Database::open()?;
                continue;
            }
            Command::Load(series) => match database.load(series) {
                Ok(()) => continue,
                Err(problem) => ("load".to_owned(), Err(problem)),
            },
            Command::Eval(eval) => {
                let outcome = check(&database, &eval);
                (eval.expr, outcome)
            }
        };
        cases.push(Case {
            line,
            name,
            failure: outcome.err(),
        });
    }
    Ok(cases)
}

fn check(database: &Database, eval: &Eval) -> Result<(), String> {
    let at_ms = match eval.when {
        When::Instant(at_ms) => at_ms,
        When::Range(params) => return check_range(database, eval, params),
    };
    check_instant(database, eval, &eval.expr, at_ms)?;
    for (expr, at_ms) in pinned(&eval.expr, at_ms)? {
        check_instant(database, eval, &expr, at_ms)
            .map_err(|problem| format!("as {expr} at {at_ms} ms: {problem}"))?;
    }
    Ok(())
}

/// What must give the same answer as an expression at a time: expressions with `@`, and other times.
fn pinned(expr: &str, at_ms: i64) -> Result<Vec<(String, i64)>, String> {
    let pinned = at_modifier::pinned(expr, at_ms).map_err(|e| format!("cannot add `@` to it: {e}"))?;
    let at_times = |pinned: String| {
        let times = at_modifier::other_times(at_ms).into_iter();
        times.map(|other_ms| (pinned.clone(), other_ms)).collect()
    };
    Ok(pinned.map(at_times).unwrap_or_default())
}

/// Checks that an error is the expected one.
fn check_failure(eval: &Eval, problem: &Problem) -> Result<(), String> {
    match (&eval.fail, problem) {
        (Some(expected), Problem::Error(text)) if expected.is_met_by(text) => Ok(()),
        (Some(expected), _) => Err(format!("another error\nexpected: {expected}\ngot: {problem}")),
        (None, _) => Err(problem.to_string()),
    }
}

fn should_have_failed(value: &QueryValue) -> Result<(), String> {
    Err(format!("no error\ngot: {}", compare::shown_value(value)))
}

fn check_range(database: &Database, eval: &Eval, params: RangeParams) -> Result<(), String> {
    let answer = database.ask(|engine, tenant, budget| engine.range(tenant, &eval.expr, params, budget));
    match answer {
        Err(problem) => check_failure(eval, &problem),
        Ok(answer) if eval.fail.is_some() => should_have_failed(&answer.value),
        Ok(answer) => {
            compare::annotations(eval, &answer)?;
            compare::value(eval, &answer.value)
        }
    }
}

/// An instant query, and then the same as the middle step of a range query.
fn check_instant(database: &Database, eval: &Eval, expr: &str, at_ms: i64) -> Result<(), String> {
    let answer = database.ask(|engine, tenant, budget| engine.instant(tenant, expr, at_ms, budget));
    match answer {
        Err(problem) => return check_failure(eval, &problem),
        Ok(answer) if eval.fail.is_some() => return should_have_failed(&answer.value),
        Ok(answer) => {
            compare::annotations(eval, &answer)?;
            compare::value(eval, &answer.value)?;
        }
    }
    // The reference asks this of the text, and prints the pinned one in its own way before.
    let is_pinned = expr != eval.expr;
    if eval.range_vector.is_some()
        || matches!(eval.expected, script::Expected::Text(_))
        || asks_for_its_times(expr, is_pinned)
    {
        return Ok(());
    }
    let params = RangeParams {
        start_ms: at_ms - RANGE_STEP_MS,
        end_ms: at_ms + RANGE_STEP_MS,
        step_ms: RANGE_STEP_MS,
    };
    let answer = database.ask(|engine, tenant, budget| engine.range(tenant, expr, params, budget));
    let outcome = match answer {
        Err(problem) => Err(problem.to_string()),
        Ok(answer) => compare::middle_step(eval, &answer.value, at_ms),
    };
    outcome.map_err(|problem| format!("as a range query: {problem}"))
}

/// Whether a range query means something else by the expression.
fn asks_for_its_times(expr: &str, is_printed: bool) -> bool {
    let printed: String;
    let expr = if is_printed {
        printed = expr.split_whitespace().collect::<String>().to_lowercase();
        &printed
    } else {
        expr
    };
    ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|call| expr.contains(call))
}
