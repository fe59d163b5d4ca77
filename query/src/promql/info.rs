//! `info()`: labels of info metrics, such as `target_info`, on the series of the same target.

use super::ast::{Call, Expr, Node, Selector, TimeShift};
use super::eval::{Evaluator, execution};
use super::select::Wanted;
use crate::columns::{Column, Steps, charge};
use model::labels::METRIC_NAME;
use model::{Error, Labels, MatchOp, Matcher, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The labels that say which target a series is of.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric that is meant when none is named.
const TARGET_INFO: &str = "target_info";
/// Characters with a meaning in regular expressions.
const SPECIAL: &str = r"\.+*?()|[]{}^$";

impl Evaluator<'_> {
    pub(crate) fn info(&self, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let Some(arg) = c.args.first() else {
            return Err(Error::internal("info lost its argument"));
        };
        let asked = Asked::of(c.args.get(1))?;
        let base = self.vector(arg, steps)?;
        let is_info = |column: &Column| {
            let name = column.labels.metric_name().unwrap_or_default();
            asked.names.iter().all(|m| m.matches(name))
        };
        let plain: Vec<bool> = base.iter().map(is_info).collect();
        let targets = base.iter().zip(&plain).filter(|(_, plain)| !**plain);
        let infos = match asked.selector(targets.map(|(c, _)| &c.labels), first_shift(arg))? {
            Some(selector) => {
                let wanted = Wanted::TimestampOfFloats;
                self.instant_selector(&selector, steps, wanted, Some("info"), arg.place)?
            }
            None => Vec::new(),
        };
        if let Some(other) = infos.iter().find(|c| !c.histograms.is_empty()) {
            return Err(execution(format!(
                "this should be an info metric, with float samples: {}",
                other.labels
            )));
        }
        Enrichment::of(&infos, &asked).run(self, base, &plain, steps)
    }
}

/// What the second argument asks for.
struct Asked {
    /// Matchers of the names of info metrics.
    names: Vec<Matcher>,
    /// Matchers of their labels.
    data: Vec<Matcher>,
}

impl Asked {
    fn of(arg: Option<&Expr>) -> Result<Self> {
        let (mut names, data) = match arg.map(|e| &e.bare().node) {
            Some(Node::Selector(s)) => s
                .matchers
                .iter()
                .cloned()
                .partition(|m: &Matcher| m.name() == METRIC_NAME),
            None => (Vec::new(), Vec::new()),
            Some(_) => return Err(Error::internal("info lost its selector")),
        };
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, TARGET_INFO));
        } else if names
            .iter()
            .all(|m| matches!(m.op(), MatchOp::NotEqual | MatchOp::NotRegex))
        {
            names.insert(0, Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info")?);
        }
        Ok(Self { names, data })
    }

    /// A selector of the info series of some targets; `None` when there is no target.
    fn selector<'a>(
        &self,
        targets: impl Iterator<Item = &'a Labels>,
        time: TimeShift,
    ) -> Result<Option<Selector>> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for labels in targets {
            for name in IDENTIFYING {
                if let Some(value) = labels.get(name).filter(|v| !v.is_empty()) {
                    values.entry(name).or_default().insert(value);
                }
            }
        }
        if values.is_empty() {
            return Ok(None);
        }
        let mut matchers = self.names.clone();
        matchers.extend(self.data.iter().cloned());
        for (name, values) in values {
            let any: Vec<String> = values.into_iter().map(escaped).collect();
            matchers.push(Matcher::new(name, MatchOp::Regex, any.join("|"))?);
        }
        Ok(Some(Selector {
            matchers,
            time,
            extension: None,
            finds_resets: false,
        }))
    }

    /// Whether a label of an info series is wanted.
    fn wants(&self, label: &str) -> bool {
        label != METRIC_NAME && (self.data.is_empty() || self.data.iter().any(|m| m.name() == label))
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if SPECIAL.contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// When the first selector of an expression looks, with the subqueries around it: the info series are those of that time.
fn first_shift(expr: &Expr) -> TimeShift {
    shift_within(expr).unwrap_or_default()
}

fn shift_within(expr: &Expr) -> Option<TimeShift> {
    match &expr.node {
        Node::Number(_) | Node::Text(_) => None,
        Node::Selector(s) => Some(s.time),
        Node::Range(r) => Some(r.selector.time),
        Node::Subquery(s) => {
            let inner = shift_within(&s.expr)?;
            if inner.at_ms.is_some() {
                return Some(inner);
            }
            Some(TimeShift {
                at_ms: s.time.at_ms,
                offset_ms: inner.offset_ms.saturating_add(s.time.offset_ms),
            })
        }
        Node::StepInvariant(e) | Node::Negate(e) => shift_within(e),
        Node::Binary(b) => shift_within(&b.left).or_else(|| shift_within(&b.right)),
        Node::Aggregate(a) => shift_within(&a.expr),
        Node::Call(c) => c.args.iter().find_map(shift_within),
    }
}

/// The info series, by metric and target.
struct Enrichment<'a> {
    infos: &'a [Column],
    asked: &'a Asked,
    /// Of each info metric, the series of each target.
    by_name: BTreeMap<&'a str, HashMap<Target<'a>, Vec<usize>>>,
}

type Target<'a> = [Option<&'a str>; IDENTIFYING.len()];

fn target(labels: &Labels) -> Target<'_> {
    IDENTIFYING.map(|name| labels.get(name))
}

impl<'a> Enrichment<'a> {
    fn of(infos: &'a [Column], asked: &'a Asked) -> Self {
        let mut by_name: BTreeMap<&str, HashMap<Target<'_>, Vec<usize>>> = BTreeMap::new();
        for (i, info) in infos.iter().enumerate() {
            let name = info.labels.metric_name().unwrap_or_default();
            let of_name = by_name.entry(name).or_default();
            of_name.entry(target(&info.labels)).or_default().push(i);
        }
        Self {
            infos,
            asked,
            by_name,
        }
    }

    /// The series with the labels of the info series of each step.
    fn run(
        &self,
        evaluator: &Evaluator<'_>,
        base: Vec<Column>,
        plain: &[bool],
        steps: Steps,
    ) -> Result<Vec<Column>> {
        let needs_info = self.asked.data.iter().any(|m| !m.matches(""));
        let mut output: Vec<Column> = Vec::with_capacity(base.len());
        let mut by_labels: HashMap<Labels, usize> = HashMap::new();
        for (column, plain) in base.into_iter().zip(plain) {
            evaluator.budget.check()?;
            let mut targets: HashMap<Vec<usize>, Option<usize>> = HashMap::new();
            for step in 0..steps.count {
                let element = column.at(step);
                if element.is_absent() {
                    continue;
                }
                let chosen = match plain {
                    true => Vec::new(),
                    false => self.chosen(&column.labels, step)?,
                };
                let target = match targets.get(&chosen) {
                    Some(target) => *target,
                    None => {
                        let labels = (*plain || !chosen.is_empty() || !needs_info)
                            .then(|| self.labels(&column.labels, &chosen))
                            .transpose()?;
                        let target = match labels {
                            None => None,
                            Some(labels) => Some(match by_labels.get(&labels) {
                                Some(at) => *at,
                                None => {
                                    charge(evaluator.budget, 1, steps)?;
                                    by_labels.insert(labels.clone(), output.len());
                                    output.push(Column::absent(labels, column.drop_name, steps.count));
                                    output.len() - 1
                                }
                            }),
                        };
                        targets.insert(chosen, target);
                        target
                    }
                };
                let Some(target) = target else { continue };
                if output[target].has(step) {
                    return Err(crate::columns::same_labels());
                }
                output[target].set(step, element);
            }
        }
        Ok(output)
    }

    /// The newest info series of each metric for a target.
    fn chosen(&self, labels: &Labels, step: usize) -> Result<Vec<usize>> {
        let mut chosen = Vec::new();
        for of_name in self.by_name.values() {
            let mut best: Option<usize> = None;
            let members = of_name.get(&target(labels)).map_or(&[][..], Vec::as_slice);
            for &i in members.iter().filter(|i| self.infos[**i].has(step)) {
                let seconds = |i: usize| self.infos[i].values[step];
                best = match best {
                    None => Some(i),
                    Some(other) if seconds(other) > seconds(i) => Some(other),
                    Some(other) if seconds(other) < seconds(i) => Some(i),
                    Some(other) => {
                        let ms = seconds(i) * 1000.0;
                        return Err(execution(format!(
                            "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                            self.infos[other].labels, self.infos[i].labels
                        )));
                    }
                };
            }
            chosen.extend(best);
        }
        Ok(chosen)
    }

    fn labels(&self, base: &Labels, chosen: &[usize]) -> Result<Labels> {
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for &i in chosen {
            for (name, value) in self.infos[i].labels.iter() {
                if !self.asked.wants(name) {
                    continue;
                }
                if added.get(name).is_some_and(|other| *other != value) {
                    return Err(execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.insert(name, value);
                }
            }
        }
        let mut builder = base.to_builder();
        for (name, value) in added {
            builder.set(name, value);
        }
        Ok(builder.build())
    }
}
