//! The language of `.test` files: `clear`, `load`, `eval`, `expect`.

use crate::series::{self, Item};
use model::metric::stale_nan;
use model::{Labels, Sample, Series};
use query::promql::RangeParams;
use regex::Regex;

pub(crate) enum Command {
    Clear,
    Load(Vec<Series>),
    Eval(Box<Eval>),
}

/// One `eval` with what is expected of it.
pub(crate) struct Eval {
    pub(crate) expr: String,
    pub(crate) when: When,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Note>,
    pub(crate) warnings: Vec<Note>,
    pub(crate) infos: Vec<Note>,
    pub(crate) expected: Expected,
}

#[derive(Clone, Copy)]
pub(crate) enum When {
    Instant(i64),
    Range(RangeParams),
}

/// A text that is expected.
#[derive(Debug)]
pub(crate) enum Note {
    /// There must be none.
    None,
    Any,
    Text(String),
    Matching(Regex),
}

impl Note {
    pub(crate) fn is_satisfied_by(&self, text: &str) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Text(expected) => text.contains(expected.as_str()),
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Expected {
    Scalar(f64),
    Text(String),
    Series(Vec<(Labels, Vec<Item>)>),
    RangeVector(RangeParams, Vec<(Labels, Vec<Item>)>),
}

impl Eval {
    /// Whether it can be asked as a range query too.
    pub(crate) fn can_be_ranged(&self) -> bool {
        let about_the_query = ["step()", "range()", "start()", "end()"];
        !self.ordered
            && !about_the_query.iter().any(|call| self.expr.contains(call))
            && !matches!(self.expected, Expected::RangeVector(..) | Expected::Text(_))
    }
}

/// All commands with the number of their first line.
pub(crate) fn parse(text: &str) -> Vec<(usize, Result<Command, String>)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let first = at;
        let head = lines[at].trim();
        at += 1;
        if head.is_empty() || head.starts_with('#') {
            continue;
        }
        let mut body = Vec::new();
        if head != "clear" {
            while at < lines.len() && !lines[at].trim().is_empty() {
                body.push(lines[at].trim());
                at += 1;
            }
        }
        body.retain(|line| !line.starts_with('#'));
        commands.push((first + 1, command(head, &body)));
    }
    commands
}

fn command(head: &str, body: &[&str]) -> Result<Command, String> {
    let (word, rest) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
    match word {
        "clear" => Ok(Command::Clear),
        "load" | "load_with_nhcb" => load(rest, body, word == "load_with_nhcb").map(Command::Load),
        word if word.starts_with("eval") => eval(word, rest.trim(), body).map(|e| Command::Eval(Box::new(e))),
        _ => Err(format!("unknown command {head:?}")),
    }
}

fn load(step: &str, body: &[&str], with_native: bool) -> Result<Vec<Series>, String> {
    let step_ms = time(step.trim())?;
    let mut loaded: Vec<Series> = Vec::new();
    for line in body {
        let (labels, rest) = series::labels(line)?;
        if rest.starts_with('@') {
            continue; // Start timestamps, which the engine does not look at.
        }
        let mut series = Series {
            labels,
            ..Series::default()
        };
        for (i, item) in series::items(rest)?.into_iter().enumerate() {
            let timestamp_ms = step_ms * i as i64;
            let sample = |value| Sample { timestamp_ms, value };
            match item {
                Item::Gap => {}
                Item::Value(value) => series.samples.push(sample(value)),
                Item::Stale => series.samples.push(sample(stale_nan())),
                Item::Histogram => series.histograms.push(crate::some_histogram(timestamp_ms)),
            }
        }
        loaded.push(series);
    }
    if with_native {
        loaded.extend(native(&loaded));
    }
    Ok(loaded)
}

/// The native series that belong to classic buckets.
fn native(classic: &[Series]) -> Vec<Series> {
    let of = |series: &Series| {
        let base = series.labels.metric_name()?.strip_suffix("_bucket")?.to_owned();
        let mut builder = series.labels.drop(&["le"]).to_builder();
        builder.set("__name__", base);
        Some(Series {
            labels: builder.build(),
            histograms: series
                .samples
                .iter()
                .map(|s| crate::some_histogram(s.timestamp_ms))
                .collect(),
            ..Series::default()
        })
    };
    classic.iter().filter_map(of).collect()
}

fn eval(word: &str, rest: &str, body: &[&str]) -> Result<Eval, String> {
    let instant = Regex::new(r"^instant\s+(?:at\s+(\S+)\s+)?(.+)$").unwrap();
    let range = Regex::new(r"^range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$").unwrap();
    let (when, expr) = if let Some(found) = instant.captures(rest) {
        let at_ms = found.get(1).map_or(Ok(0), |t| time(t.as_str()))?;
        (When::Instant(at_ms), found[2].to_owned())
    } else if let Some(found) = range.captures(rest) {
        (
            When::Range(range_params(&found[1], &found[2], &found[3])?),
            found[4].to_owned(),
        )
    } else {
        return Err(format!("eval {rest:?}"));
    };
    let mut eval = Eval {
        expr,
        when,
        ordered: word == "eval_ordered",
        fail: (word == "eval_fail").then_some(Note::Any),
        warnings: if word == "eval_warn" {
            vec![Note::Any]
        } else {
            Vec::new()
        },
        infos: if word == "eval_info" {
            vec![Note::Any]
        } else {
            Vec::new()
        },
        expected: Expected::Series(Vec::new()),
    };
    for line in body {
        expectation(line, &mut eval)?;
    }
    Ok(eval)
}

fn range_params(start: &str, end: &str, step: &str) -> Result<RangeParams, String> {
    Ok(RangeParams {
        start_ms: time(start)?,
        end_ms: time(end)?,
        step_ms: time(step)?,
    })
}

fn expectation(line: &str, eval: &mut Eval) -> Result<(), String> {
    if let Some(text) = line.strip_prefix("expected_fail_message ") {
        eval.fail = Some(Note::Text(text.to_owned()));
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp ") {
        eval.fail = Some(Note::Matching(Regex::new(text).map_err(|e| e.to_string())?));
        return Ok(());
    }
    if let Some(rest) = line.strip_prefix("expect ") {
        return expect(rest.trim(), eval);
    }
    if let Some(value) = series::number(line) {
        eval.expected = Expected::Scalar(value);
        return Ok(());
    }
    let series = series::parse(line)?;
    if let Expected::Series(all) | Expected::RangeVector(_, all) = &mut eval.expected {
        all.push(series);
    }
    Ok(())
}

fn expect(rest: &str, eval: &mut Eval) -> Result<(), String> {
    if let Some(text) = rest.strip_prefix("string") {
        let text = text.trim();
        eval.expected = Expected::Text(text[1..text.len() - 1].to_owned());
        return Ok(());
    }
    if let Some(params) = rest.strip_prefix("range vector") {
        let words: Vec<&str> = params.split_whitespace().collect();
        let ["from", start, "to", end, "step", step] = words[..] else {
            return Err(format!("expect {rest:?}"));
        };
        eval.expected = Expected::RangeVector(range_params(start, end, step)?, Vec::new());
        return Ok(());
    }
    let (kind, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let text = text.trim();
    let note = if let Some(text) = text.strip_prefix("msg:") {
        Note::Text(text.trim().to_owned())
    } else if let Some(regex) = text.strip_prefix("regex:") {
        Note::Matching(Regex::new(regex.trim()).map_err(|e| e.to_string())?)
    } else {
        Note::Any
    };
    match kind {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail = Some(note),
        "warn" => eval.warnings.push(note),
        "no_warn" => eval.warnings.push(Note::None),
        "info" => eval.infos.push(note),
        "no_info" => eval.infos.push(Note::None),
        _ => return Err(format!("expect {rest:?}")),
    }
    Ok(())
}

/// Milliseconds: a duration, perhaps negative, or seconds.
fn time(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    if let Ok(seconds) = digits.parse::<f64>() {
        return Ok(sign * (seconds * 1000.0).round() as i64);
    }
    let duration = model::duration::parse(digits).map_err(|e| e.to_string())?;
    Ok(sign * i64::try_from(duration.as_millis()).map_err(|e| e.to_string())?)
}
