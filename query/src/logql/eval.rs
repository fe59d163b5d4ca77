//! Evaluates LogQL: lines with an early stop, and metrics counted into columns as the lines pass by.

use super::ast::{LogSelector, Metric, RangeAggregation, RangeOp, Stage, VectorOp};
use super::pipeline;
use crate::columns::aggregate::{self, Grouping, Selection};
use crate::columns::operators::{Operator, only_numbers, with_scalar};
use crate::columns::{ABSENT, Column, Steps, absent, charge, labels_asked_for, matching, merge_same_labels};
use crate::promql::label_functions;
use model::log::LogEntry;
use model::{
    Answer, Budget, Columns, Direction, Error, ErrorKind, Hints, Labels, LogBatch, Read, Result, ScanBatch,
    ScanRequest, Tenant, TimeRange,
};
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// The evaluation times of a metric query in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) start_ns: i64,
    /// 0 when there is only one time.
    pub(super) step_ns: i64,
    pub(super) count: usize,
}

impl Times {
    fn time(&self, i: usize) -> i64 {
        self.start_ns
            .saturating_add(self.step_ns.saturating_mul(i64::try_from(i).unwrap_or(i64::MAX)))
    }
    /// The same in milliseconds, for the answer.
    pub(super) fn steps(&self) -> Steps {
        Steps {
            start_ms: self.start_ns.div_euclid(1_000_000),
            step_ms: self.step_ns / 1_000_000,
            count: self.count,
        }
    }
    /// The first step at or after a time.
    fn first_from(&self, ns: i64) -> usize {
        let Some(ahead) = ns.checked_sub(self.start_ns).filter(|d| *d > 0) else {
            return 0;
        };
        if self.step_ns == 0 {
            return 1;
        }
        let steps = ahead / self.step_ns + i64::from(ahead % self.step_ns != 0);
        usize::try_from(steps).unwrap_or(usize::MAX)
    }
}

/// One query under way.
pub(super) struct Evaluator<'a> {
    pub(super) store: &'a dyn Read<LogBatch>,
    pub(super) tenant: &'a Tenant,
    pub(super) budget: &'a Budget,
}

/// The value of a metric expression.
pub(super) enum Value {
    Scalar(f64),
    Vector(Vec<Column>),
}

/// Loki's arithmetic: dividing by zero gives no infinity.
pub(super) fn compute(op: Operator, left: f64, right: f64) -> f64 {
    match op {
        Operator::Div | Operator::Mod if right == 0.0 => f64::NAN,
        op => op.number(left, right),
    }
}

impl Evaluator<'_> {
    fn request(&self, selector: &LogSelector, range: TimeRange) -> ScanRequest {
        ScanRequest::new(
            self.tenant.clone(),
            range,
            selector.predicate(),
            self.budget.clone(),
        )
    }

    /// Hands out the lines that pass all stages, until `each` says that it has enough.
    fn lines(
        &self,
        selector: &LogSelector,
        request: &ScanRequest,
        mut is_enough: impl FnMut(&LogBatch) -> bool,
        mut each: impl FnMut(&Labels, LogEntry, pipeline::Passed) -> Result<()>,
    ) -> Result<()> {
        let stages: Vec<&Stage> = selector.engine_stages().collect();
        let scan = self.store.scan(request)?;
        let all_exact = scan.predicates.iter().all(|a| *a == Answer::Exact);
        for batch in scan.batches {
            self.budget.check()?;
            let batch = match batch? {
                ScanBatch::Rows(batch) => batch,
                ScanBatch::Aggregated(_) => {
                    return Err(Error::internal(
                        "the store aggregated a scan that asked for lines",
                    ));
                }
            };
            if is_enough(&batch) {
                break;
            }
            for entry in batch.entries {
                if !all_exact && !request.predicate.on_entry(&batch.labels, &entry) {
                    continue;
                }
                if let Some(passed) = pipeline::run(&stages, &batch.labels, &entry.line, &entry.metadata) {
                    each(&batch.labels, entry, passed)?;
                }
            }
        }
        Ok(())
    }

    /// The first `limit` lines in a direction, by stream.
    pub(super) fn log(
        &self,
        selector: &LogSelector,
        range: TimeRange,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<LogBatch>> {
        if limit == 0 || range.start_ns > range.end_ns {
            return Ok(Vec::new());
        }
        let mut request = self.request(selector, range);
        request.direction = direction;
        let best = std::cell::RefCell::new(Best::new(limit, direction));
        let is_enough = |batch: &LogBatch| best.borrow().cannot_improve(batch);
        self.lines(selector, &request, is_enough, |stream, entry, passed| {
            let mut best = best.borrow_mut();
            if best.is_better(entry.timestamp_ns) {
                self.budget
                    .charge_bytes((entry.line.len() + entry.metadata.len() * 48 + 64) as u64)?;
                let labels = if passed.is_plain() {
                    stream.clone()
                } else {
                    let mut builder = stream.to_builder();
                    passed.write_to(&mut builder);
                    builder.build()
                };
                best.add(labels, entry);
            }
            Ok(())
        })?;
        Ok(best.into_inner().into_streams())
    }

    pub(super) fn metric(&self, metric: &Metric, times: Times) -> Result<Value> {
        self.budget.check()?;
        let steps = times.steps();
        Ok(match metric {
            Metric::Number(n) => Value::Scalar(*n),
            Metric::Vector(n) => Value::Vector(vec![Column::new(Labels::empty(), vec![*n; times.count])]),
            Metric::Range(r) => Value::Vector(self.range(r, times)?),
            Metric::Aggregate { op, grouping, expr } => {
                let columns = self.vector(expr, times)?;
                Value::Vector(self.aggregate(*op, grouping, columns, steps)?)
            }
            Metric::Binary(b) => match (self.metric(&b.left, times)?, self.metric(&b.right, times)?) {
                (Value::Scalar(l), Value::Scalar(r)) => Value::Scalar(compute(b.op, l, r)),
                (Value::Vector(columns), Value::Scalar(scalar)) => {
                    let scalar = vec![scalar; times.count];
                    let return_bool = b.matching.return_bool;
                    Value::Vector(with_scalar(
                        b.op,
                        columns,
                        &scalar,
                        false,
                        return_bool,
                        only_numbers(compute),
                    ))
                }
                (Value::Scalar(scalar), Value::Vector(columns)) => {
                    let scalar = vec![scalar; times.count];
                    let return_bool = b.matching.return_bool;
                    Value::Vector(with_scalar(
                        b.op,
                        columns,
                        &scalar,
                        true,
                        return_bool,
                        only_numbers(compute),
                    ))
                }
                (Value::Vector(left), Value::Vector(right)) => {
                    let (matching, budget) = (&b.matching, self.budget);
                    Value::Vector(if b.op.is_set() {
                        matching::set_operation(b.op, left, right, matching, steps, budget)?
                    } else {
                        matching::vector_operation(
                            b.op,
                            &left,
                            &right,
                            matching,
                            steps,
                            only_numbers(compute),
                            budget,
                        )?
                    })
                }
            },
            Metric::LabelReplace { expr, args } => {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let columns = self.vector(expr, times)?;
                Value::Vector(merge_same_labels(label_functions::label_replace(&args, || {
                    Ok(columns)
                })?)?)
            }
        })
    }

    fn vector(&self, metric: &Metric, times: Times) -> Result<Vec<Column>> {
        match self.metric(metric, times)? {
            Value::Vector(columns) => Ok(columns),
            Value::Scalar(n) => Ok(vec![Column::new(Labels::empty(), vec![n; times.count])]),
        }
    }

    fn aggregate(
        &self,
        op: VectorOp,
        grouping: &Grouping,
        mut columns: Vec<Column>,
        steps: Steps,
    ) -> Result<Vec<Column>> {
        let budget = self.budget;
        let k = |k: f64| vec![k; steps.count];
        match op {
            VectorOp::Plain(op) => aggregate::aggregate(op, grouping, steps, budget, &mut |_| {}, |sink| {
                columns.into_iter().try_for_each(sink)
            }),
            VectorOp::TopK(n) => {
                aggregate::select(Selection::Top, &k(n), columns, grouping, budget, &mut |_| {})
            }
            VectorOp::BottomK(n) => {
                aggregate::select(Selection::Bottom, &k(n), columns, grouping, budget, &mut |_| {})
            }
            VectorOp::Sort { descending } => {
                if steps.count == 1 {
                    columns.sort_by(|a, b| {
                        let ordering = aggregate::nan_first(a.values[0], b.values[0]);
                        if descending { ordering.reverse() } else { ordering }
                    });
                }
                Ok(columns)
            }
        }
    }

    /// Counts lines, or their bytes, in the windows `(t - range, t]` of all steps in one pass.
    fn range(&self, r: &RangeAggregation, times: Times) -> Result<Vec<Column>> {
        if times.count == 0 {
            return Ok(Vec::new());
        }
        let last = times.time(times.count - 1).saturating_sub(r.offset_ns);
        let first = times
            .time(0)
            .saturating_sub(r.offset_ns)
            .saturating_sub(r.range_ns);
        let range = TimeRange {
            start_ns: first.saturating_add(1),
            end_ns: last,
        };
        let mut request = self.request(&r.selector, range);
        request.columns = Columns {
            body: matches!(r.op, RangeOp::BytesRate | RangeOp::BytesOverTime)
                || r.selector
                    .stages
                    .iter()
                    .any(|s| matches!(s, Stage::Json(_) | Stage::Logfmt(_) | Stage::Line(_))),
            attributes: true,
        };
        request.hints = Hints {
            step_ms: times.step_ns / 1_000_000,
            range_ms: r.range_ns / 1_000_000,
            function: Some(r.op.name().to_owned()),
            ..Hints::default()
        };
        let mut counts = Counts::new(times, self.budget);
        self.lines(&r.selector, &request, |_| false, |stream, entry, passed| {
            if let Some(kind) = passed.error {
                return Err(Error::new(
                    ErrorKind::Execution,
                    format!(
                        "pipeline error: {kind} for a line of {stream}. Use a label filter to skip such lines: | __error__=\"\""
                    ),
                ));
            }
            let weight = match r.op {
                RangeOp::BytesRate | RangeOp::BytesOverTime => entry.line.len() as f64,
                RangeOp::Rate | RangeOp::CountOverTime | RangeOp::AbsentOverTime => 1.0,
            };
            let at = entry.timestamp_ns.saturating_add(r.offset_ns);
            let window = (times.first_from(at), times.first_from(at.saturating_add(r.range_ns)));
            counts.add(stream, &entry, passed, window, weight)
        })?;
        let columns = counts.into_columns();
        Ok(match r.op {
            RangeOp::CountOverTime | RangeOp::BytesOverTime => columns,
            RangeOp::Rate | RangeOp::BytesRate => per_second(columns, r.range_ns),
            RangeOp::AbsentOverTime => absent(&columns, labels_asked_for(&r.selector.matchers), times.count),
        })
    }
}

impl RangeOp {
    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::CountOverTime => "count_over_time",
            Self::BytesRate => "bytes_rate",
            Self::BytesOverTime => "bytes_over_time",
            Self::AbsentOverTime => "absent_over_time",
        }
    }
}

fn per_second(mut columns: Vec<Column>, range_ns: i64) -> Vec<Column> {
    let seconds = range_ns as f64 / 1e9;
    columns.iter_mut().for_each(|c| c.map(|v| v / seconds));
    columns
}

/// Counts per series: each line adds to the steps whose windows hold it, which lie side by side. Only the
/// differences between steps are kept until the end.
struct Counts<'a> {
    times: Times,
    budget: &'a Budget,
    series: Vec<Series>,
    by_labels: HashMap<Labels, usize>,
    /// The series of lines without labels of their own, by stream.
    by_stream: HashMap<Labels, usize>,
}

struct Series {
    labels: Labels,
    /// How the number of lines, and their weight, differ from the step before.
    lines: Vec<i64>,
    weights: Vec<f64>,
}

impl<'a> Counts<'a> {
    fn new(times: Times, budget: &'a Budget) -> Self {
        Self {
            times,
            budget,
            series: Vec::new(),
            by_labels: HashMap::new(),
            by_stream: HashMap::new(),
        }
    }

    fn add(
        &mut self,
        stream: &Labels,
        entry: &LogEntry,
        passed: pipeline::Passed,
        (from, until): (usize, usize),
        weight: f64,
    ) -> Result<()> {
        let until = until.min(self.times.count);
        if from >= until {
            return Ok(());
        }
        let is_plain = entry.metadata.is_empty() && passed.is_plain();
        let known = if is_plain {
            self.by_stream.get(stream).copied()
        } else {
            None
        };
        let index = match known {
            Some(index) => index,
            None => {
                let mut builder = stream.to_builder();
                for (name, value) in &entry.metadata {
                    if stream.get(name).is_some() {
                        builder.set(format!("{name}_extracted"), value.as_str());
                    } else {
                        builder.set(name.as_str(), value.as_str());
                    }
                }
                passed.write_to(&mut builder);
                let index = self.index(builder.build())?;
                if is_plain {
                    self.by_stream.insert(stream.clone(), index);
                }
                index
            }
        };
        let series = &mut self.series[index];
        for (at, sign) in [(from, 1), (until, -1)] {
            if at < self.times.count {
                series.lines[at] += sign;
                series.weights[at] += sign as f64 * weight;
            }
        }
        Ok(())
    }

    fn index(&mut self, labels: Labels) -> Result<usize> {
        if let Some(index) = self.by_labels.get(&labels) {
            return Ok(*index);
        }
        charge(self.budget, 2, self.times.steps())?;
        self.budget.charge_bytes(labels.size_bytes() as u64)?;
        self.by_labels.insert(labels.clone(), self.series.len());
        self.series.push(Series {
            labels,
            lines: vec![0; self.times.count],
            weights: vec![0.0; self.times.count],
        });
        Ok(self.series.len() - 1)
    }

    fn into_columns(self) -> Vec<Column> {
        let mut columns: Vec<Column> = self
            .series
            .into_iter()
            .map(|series| {
                let (mut lines, mut weight) = (0, 0.0);
                let values = series.lines.iter().zip(&series.weights).map(|(l, w)| {
                    lines += l;
                    weight += w;
                    if lines == 0 { ABSENT } else { weight }
                });
                Column::new(series.labels.clone(), values.collect())
            })
            .collect();
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        columns
    }
}

/// The best lines so far: the newest ones, or the oldest.
struct Best {
    limit: usize,
    direction: Direction,
    /// The worst one on top.
    heap: BinaryHeap<Row>,
    order: u64,
}

struct Row {
    /// Smaller is better.
    rank: i64,
    order: u64,
    labels: Labels,
    entry: LogEntry,
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.rank, self.order).cmp(&(other.rank, other.order))
    }
}
impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Row {}

impl Best {
    fn new(limit: usize, direction: Direction) -> Self {
        Self {
            limit,
            direction,
            heap: BinaryHeap::new(),
            order: 0,
        }
    }
    fn rank(&self, timestamp_ns: i64) -> i64 {
        match self.direction {
            Direction::Forward => timestamp_ns,
            // Turns the order around without overflow.
            Direction::Backward => !timestamp_ns,
        }
    }
    fn is_better(&self, timestamp_ns: i64) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|w| self.rank(timestamp_ns) < w.rank)
    }
    /// Batches come ordered by their best line, so once this one cannot bring a better one, no later one can.
    fn cannot_improve(&self, batch: &LogBatch) -> bool {
        let Some(range) = batch.range() else { return false };
        let best = match self.direction {
            Direction::Forward => range.start_ns,
            Direction::Backward => range.end_ns,
        };
        !self.is_better(best)
    }
    fn add(&mut self, labels: Labels, entry: LogEntry) {
        self.order += 1;
        let (rank, order) = (self.rank(entry.timestamp_ns), self.order);
        self.heap.push(Row {
            rank,
            order,
            labels,
            entry,
        });
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }
    fn into_streams(self) -> Vec<LogBatch> {
        let mut streams: BTreeMap<Labels, Vec<LogEntry>> = BTreeMap::new();
        for row in self.heap.into_sorted_vec() {
            streams.entry(row.labels).or_default().push(row.entry);
        }
        streams
            .into_iter()
            .map(|(labels, entries)| LogBatch { labels, entries })
            .collect()
    }
}
