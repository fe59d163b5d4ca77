//! The language of `.test` files: `clear`, `load`, `eval`, and what is expected of an eval.

use super::classic;
use model::{Labels, Series};
use query::promql::RangeParams;
use query::promql::series_notation::{self as notation, Item, number};
use regex::Regex;

/// A command and the number of its first line.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) line: usize,
    pub(super) command: Command,
}

#[derive(Debug)]
pub(super) enum Command {
    /// Drops all series.
    Clear,
    /// Writes series.
    Load(Vec<Series>),
    /// Evaluates an expression.
    Eval(Box<Eval>),
}

/// One `eval` with what is expected of it.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) expr: String,
    pub(super) when: When,
    pub(super) is_ordered: bool,
    /// The error that it must end with.
    pub(super) fail: Option<Text>,
    pub(super) warnings: Notes,
    pub(super) infos: Notes,
    /// The times of the samples of an instant query's range vector.
    pub(super) range_vector: Option<RangeParams>,
    pub(super) expected: Expected,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// Milliseconds since the epoch.
    Instant(i64),
    Range(RangeParams),
}

#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    Scalar(f64),
    Text(String),
    /// The series of a vector or a matrix in the order of their lines.
    Series(Vec<(Labels, Vec<Item>)>),
}

/// A text that is expected.
#[derive(Debug)]
pub(super) enum Text {
    Any,
    Exactly(String),
    Matching(Regex),
}

/// What is expected of the warnings, or of the infos.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// There must be one, whatever it says: of the older spelling, which lets others be.
    pub(super) at_least_one: bool,
    /// There must be none.
    pub(super) none: bool,
    /// Each must be there, and no others.
    pub(super) texts: Vec<Text>,
}

impl Text {
    pub(super) fn is_met_by(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == text,
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any text"),
            Self::Exactly(text) => write!(f, "{text:?}"),
            Self::Matching(regex) => write!(f, "a text that matches {:?}", regex.as_str()),
        }
    }
}

/// Something in a file that is not of its language.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {problem}")]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) problem: String,
}

/// Reads all commands of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Placed>, SyntaxError> {
    // A comment ends a block, as an empty line does.
    let trimmed = text.lines().map(str::trim);
    let lines: Vec<&str> = trimmed.map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (first, head) = (at, lines[at]);
        at += 1;
        let word = head
            .split([' ', '\t'])
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let mut block = Block {
            lines: &lines,
            next: at,
        };
        let command = match word.as_str() {
            "" => continue,
            "clear" => Ok(Command::Clear),
            word if word.starts_with("load") => load(head, &mut block).map(Command::Load),
            word if word.starts_with("eval") => eval(head, &mut block).map(|e| Command::Eval(Box::new(e))),
            _ => Err(format!("unknown command {head:?}")),
        };
        match command {
            Ok(command) => commands.push(Placed {
                line: first + 1,
                command,
            }),
            Err(problem) => {
                return Err(SyntaxError {
                    // The last line that was looked at.
                    line: block.next.max(first + 1),
                    problem,
                });
            }
        }
        at = block.next;
    }
    Ok(commands)
}

/// The lines up to the next empty one.
struct Block<'a> {
    lines: &'a [&'a str],
    next: usize,
}

impl<'a> Iterator for Block<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.next).filter(|l| !l.is_empty())?;
        self.next += 1;
        Some(line)
    }
}

fn load(head: &str, block: &mut Block<'_>) -> Result<Vec<Series>, String> {
    let (word, step) = head.split_once([' ', '\t']).ok_or("a load without a step")?;
    let with_native = match word {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(format!("unknown command {word:?}")),
    };
    let step_ms = notation::parse_duration_ms(step.trim()).map_err(|e| plain(&e))?;
    let mut loaded: Vec<Series> = Vec::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in &mut *block {
        if notation::is_of_starts(line) {
            if starts.is_some() {
                return Err("start timestamps without a line of samples".to_owned());
            }
            starts = Some(notation::parse_starts(line).map_err(|e| plain(&e))?);
            continue;
        }
        let (labels, items) = notation::parse(line).map_err(|e| plain(&e))?;
        let offsets = match starts.take() {
            None => Vec::new(),
            Some((of, _)) if of != labels => {
                return Err(format!("the start timestamps before are of {of}"));
            }
            Some((_, offsets)) if offsets.len() != items.len() => {
                return Err(format!(
                    "{} start timestamps for {} samples",
                    offsets.len(),
                    items.len()
                ));
            }
            Some((_, offsets)) => offsets,
        };
        // The last line of a series holds.
        loaded.retain(|s| s.labels != labels);
        loaded.push(notation::series(labels, items, &offsets, 0, step_ms));
    }
    if starts.is_some() {
        return Err("start timestamps without a line of samples".to_owned());
    }
    if with_native {
        loaded.extend(classic::merged(&loaded)?);
    }
    Ok(loaded)
}

fn eval(head: &str, block: &mut Block<'_>) -> Result<Eval, String> {
    let mut eval = eval_head(head)?;
    let mut series: Vec<(Labels, Vec<Item>)> = Vec::new();
    for line in block.by_ref() {
        if let Some(text) = line
            .strip_prefix("expected_fail_message")
            .filter(|_| eval.fail.is_some())
        {
            eval.fail = Some(Text::Exactly(text.trim().to_owned()));
        } else if let Some(text) = line
            .strip_prefix("expected_fail_regexp")
            .filter(|_| eval.fail.is_some())
        {
            eval.fail = Some(matching(text)?);
        } else if let Some(rest) = line.strip_prefix("expect ") {
            expect(rest.trim(), &mut eval)?;
        } else if let Some(value) = number(line) {
            eval.expected = Expected::Scalar(value);
            return Ok(eval);
        } else {
            let (labels, items) = notation::parse(line).map_err(|e| plain(&e))?;
            if items.is_empty() {
                return Err("a series without a value is no expectation".to_owned());
            }
            let is_instant = matches!(eval.when, When::Instant(_)) && eval.range_vector.is_none();
            if is_instant && items.len() > 1 {
                return Err("several values for one time: `expect range vector` is missing".to_owned());
            }
            series.retain(|(known, _)| *known != labels);
            series.push((labels, items));
        }
    }
    if !matches!(eval.expected, Expected::Text(_)) {
        eval.expected = Expected::Series(series);
    }
    Ok(eval)
}

fn eval_head(head: &str) -> Result<Eval, String> {
    let instant = r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+at\s+(\S+)\s+(.+)$";
    let range = r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$";
    let find = |pattern: &str| {
        let regex = Regex::new(pattern).map_err(|e| e.to_string())?;
        Ok::<_, String>(regex.captures(head))
    };
    let (found, when) = if let Some(found) = find(instant)? {
        let at_ms = notation::parse_duration_ms(&found[2]).map_err(|e| plain(&e))?;
        (found, When::Instant(at_ms))
    } else if let Some(found) = find(range)? {
        let params = range_params(&found[2], &found[3], &found[4])?;
        (found, When::Range(params))
    } else {
        return Err(
            "neither `eval instant at TIME EXPR` nor `eval range from A to B step S EXPR`".to_owned(),
        );
    };
    let kind = found.get(1).map_or("", |m| m.as_str());
    let notes = |is_wanted| Notes {
        at_least_one: is_wanted,
        ..Notes::default()
    };
    Ok(Eval {
        expr: found[found.len() - 1].to_owned(),
        when,
        is_ordered: kind == "ordered",
        fail: (kind == "fail").then_some(Text::Any),
        warnings: notes(kind == "warn"),
        infos: notes(kind == "info"),
        range_vector: None,
        expected: Expected::Series(Vec::new()),
    })
}

/// What follows `expect`.
fn expect(rest: &str, eval: &mut Eval) -> Result<(), String> {
    let bad = || format!("unknown expectation {rest:?}");
    let (kind, text) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let text = text.trim();
    match kind {
        "string" => {
            eval.expected = Expected::Text(notation::parse_quoted(text).map_err(|e| plain(&e))?);
            return Ok(());
        }
        "range" => {
            let words: Vec<&str> = text.split_whitespace().collect();
            let ["vector", "from", start, "to", end, "step", step] = words[..] else {
                return Err(bad());
            };
            eval.range_vector = Some(range_params(start, end, step)?);
            return Ok(());
        }
        _ => {}
    }
    let text = if let Some(text) = text.strip_prefix("msg:") {
        Text::Exactly(text.trim().to_owned())
    } else if let Some(pattern) = text.strip_prefix("regex:") {
        matching(pattern)?
    } else if text.is_empty() {
        Text::Any
    } else {
        return Err(bad());
    };
    match kind {
        "ordered" => eval.is_ordered = true,
        "fail" if matches!(eval.fail, None | Some(Text::Any)) => eval.fail = Some(text),
        "fail" => return Err("an eval fails only once".to_owned()),
        "warn" => eval.warnings.texts.push(text),
        "no_warn" => eval.warnings.none = true,
        "info" => eval.infos.texts.push(text),
        "no_info" => eval.infos.none = true,
        _ => return Err(bad()),
    }
    for notes in [&eval.warnings, &eval.infos] {
        if notes.none && !notes.texts.is_empty() {
            return Err(format!("`expect {kind}` contradicts another line"));
        }
    }
    Ok(())
}

fn matching(pattern: &str) -> Result<Text, String> {
    Regex::new(pattern.trim())
        .map(Text::Matching)
        .map_err(|e| e.to_string())
}

fn range_params(start: &str, end: &str, step: &str) -> Result<RangeParams, String> {
    let params = RangeParams {
        start_ms: notation::parse_duration_ms(start).map_err(|e| plain(&e))?,
        end_ms: notation::parse_duration_ms(end).map_err(|e| plain(&e))?,
        step_ms: notation::parse_duration_ms(step).map_err(|e| plain(&e))?,
    };
    if params.end_ms < params.start_ms {
        return Err(format!("{end} is before {start}"));
    }
    if params.step_ms <= 0 {
        return Err(format!("{step} is no step"));
    }
    Ok(params)
}

/// An error without its kind.
fn plain(error: &model::Error) -> String {
    error.message().to_owned()
}
