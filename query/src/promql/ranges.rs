//! Range vectors: selectors and subqueries under functions, and as the whole of a query.

use super::ast::{Call, Expr, Extension, Node, RangeFunction, RangeSelector, Selector, Subquery};
use super::eval::{Evaluator, execution, wrong_kind};
use super::select::{Purpose, sort_by_labels, without_stale};
use super::vectors::{absent_labels, series_of};
use super::window::{Parameters, Samples, Windows, evaluate, extended, mixed, starts, widened};
use crate::columns::aggregate::Sink;
use crate::columns::{ABSENT, Column, Steps, charge, charge_histograms, without_reserved};
use model::{Result, SeriesData};

/// A series of a range vector, and what is known of where it comes from.
struct Input<'a> {
    series: &'a SeriesData,
    drop_name: bool,
    extension: Option<Extension>,
    windows: &'a Windows<'a>,
}

impl Evaluator<'_> {
    pub(crate) fn range_function(&self, f: RangeFunction, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        self.each_of_range(f, c, steps, &mut |column| {
            columns.push(column);
            Ok(())
        })?;
        sort_by_labels(&mut columns, |c| &c.labels);
        Ok(columns)
    }

    /// The same, series by series in no order.
    pub(crate) fn each_of_range(
        &self,
        f: RangeFunction,
        c: &Call,
        steps: Steps,
        sink: Sink<'_>,
    ) -> Result<()> {
        let range_argument = f.range_argument();
        let mut parameters = Vec::new();
        for (_, arg) in c.args.iter().enumerate().filter(|(i, _)| *i != range_argument) {
            parameters.push(self.scalar(arg, steps)?);
        }
        let given = Parameters {
            first: parameters.first().map(Vec::as_slice),
            second: parameters.get(1).map(Vec::as_slice),
        };
        let keeps_name = matches!(f, RangeFunction::First | RangeFunction::Last);
        let place = c.args.first().map_or(0, |arg| arg.place);
        let mut has_any = false;
        self.series_windows(&c.args[range_argument], Some((c.name, f)), steps, |input| {
            if f == RangeFunction::Smoothing {
                check_smoothing(&parameters)?;
            }
            charge(self.budget, 1, steps)?;
            let (series, windows) = (input.series, input.windows);
            let name = series.labels.metric_name().unwrap_or_default();
            let notes = || self.notes.borrow_mut();
            let mut column = if series.histograms.is_empty() && input.extension.is_none() {
                let samples = Samples::of(series);
                if matches!(f, RangeFunction::Rate | RangeFunction::Increase) {
                    let overlaps = starts::count_overlaps(samples, windows);
                    if overlaps > 0 {
                        notes().start_time_overlaps(place, name, overlaps);
                    }
                }
                Column::new(series.labels.clone(), evaluate(f, samples, windows, &given))
            } else {
                let asked = mixed::Asked {
                    function: f,
                    extension: input.extension,
                    lookback_ms: self.options.lookback_ms,
                    name,
                    place,
                };
                mixed::evaluate(&asked, series, windows, &given, &mut notes())?
            };
            charge_histograms(self.budget, &column)?;
            column.drop_name = input.drop_name || !keeps_name;
            if column.is_empty() {
                return Ok(());
            }
            let has_floats = !column.values.iter().all(|v| crate::columns::is_absent(*v));
            if has_floats && matches!(f, RangeFunction::Rate | RangeFunction::Increase) {
                notes().counter_name(place, name);
            }
            has_any = true;
            sink(column)
        })?;
        if f == RangeFunction::Quantile && has_any {
            self.notes.borrow_mut().quantiles(place, &parameters[0]);
        }
        Ok(())
    }

    /// Hands out each series of a range vector, without staleness markers, and where its windows lie.
    fn series_windows(
        &self,
        arg: &Expr,
        function: Option<(&'static str, RangeFunction)>,
        steps: Steps,
        mut each: impl FnMut(Input<'_>) -> Result<()>,
    ) -> Result<()> {
        if steps.count == 0 {
            return Ok(());
        }
        match &arg.bare().node {
            Node::Range(RangeSelector { selector, range_ms }) => {
                let end_ms = |time| selector.time.apply(time);
                let windows = Windows {
                    steps,
                    end_ms: &end_ms,
                    range_ms: *range_ms,
                };
                check_extension(selector, function.map(|f| f.0))?;
                let lookback_ms = self.options.lookback_ms;
                let (before_ms, ahead_ms) = match selector.extension {
                    None => (0, 0),
                    Some(Extension::Anchored) => (lookback_ms, 0),
                    Some(Extension::Smoothed) => (lookback_ms, lookback_ms),
                };
                let after_ms = end_ms(steps.start_ms)
                    .saturating_sub(*range_ms)
                    .saturating_sub(before_ms);
                let until_ms = end_ms(steps.end_ms()).saturating_add(ahead_ms);
                let purpose = Purpose {
                    function: function.map(|f| f.0),
                    range_ms: *range_ms,
                };
                let read = || {
                    let mut count = 0;
                    self.read(selector, after_ms, until_ms, steps, purpose, |mut series| {
                        count += 1;
                        without_stale(&mut series);
                        each(Input {
                            series: &series,
                            drop_name: false,
                            extension: selector.extension,
                            windows: &windows,
                        })
                    })?;
                    Ok(count)
                };
                self.explained(arg, steps.count, |count| *count, read).map(|_| ())
            }
            Node::Subquery(subquery) => {
                let end_ms = |time| subquery.time.apply(time);
                let windows = Windows {
                    steps,
                    end_ms: &end_ms,
                    range_ms: subquery.range_ms,
                };
                let inner_steps = self.subquery_steps(subquery, steps)?;
                for column in self.vector(&subquery.expr, inner_steps)? {
                    let drop_name = column.drop_name;
                    let series = series_of(column, inner_steps);
                    each(Input {
                        series: &series,
                        drop_name,
                        extension: None,
                        windows: &windows,
                    })?;
                }
                Ok(())
            }
            _ => Err(wrong_kind("a range vector", arg)),
        }
    }

    /// The times at which a subquery is evaluated: multiples of its step, for all windows at once.
    fn subquery_steps(&self, s: &Subquery, steps: Steps) -> Result<Steps> {
        let step_ms = s.step_ms.unwrap_or(self.options.subquery_step_ms);
        let after_ms = s.time.apply(steps.start_ms).saturating_sub(s.range_ms);
        let start_ms = after_ms
            .div_euclid(step_ms)
            .saturating_add(1)
            .saturating_mul(step_ms);
        let inner = Steps::range(start_ms, s.time.apply(steps.end_ms()), step_ms);
        // What the subquery holds is charged series by series; this stops absurd numbers of steps at once.
        self.budget.charge_bytes((inner.count as u64).saturating_mul(8))?;
        Ok(inner)
    }

    pub(crate) fn absent_over_time(&self, c: &Call, steps: Steps) -> Result<Vec<Column>> {
        let mut found = vec![false; steps.count];
        let arg = &c.args[0];
        let none = Parameters {
            first: None,
            second: None,
        };
        self.series_windows(arg, Some((c.name, RangeFunction::Present)), steps, |input| {
            let asked = mixed::Asked {
                function: RangeFunction::Present,
                extension: None,
                lookback_ms: 0,
                name: "",
                place: 0,
            };
            let mut notes = self.notes.borrow_mut();
            let present = mixed::evaluate(&asked, input.series, input.windows, &none, &mut notes)?;
            for (step, found) in found.iter_mut().enumerate() {
                *found |= present.has(step);
            }
            Ok(())
        })?;
        let values: Vec<f64> = found
            .iter()
            .map(|found| if *found { ABSENT } else { 1.0 })
            .collect();
        let column = Column::new(absent_labels(arg), values);
        Ok(if column.is_empty() {
            Vec::new()
        } else {
            vec![column]
        })
    }

    /// The samples of a range vector, for an instant query that asks for nothing else.
    pub(crate) fn raw(&self, expr: &Expr, steps: Steps) -> Result<Vec<SeriesData>> {
        let mut matrix = Vec::new();
        self.series_windows(expr, None, steps, |input| {
            let Input { series, windows, .. } = input;
            let end_ms = (windows.end_ms)(steps.start_ms);
            let range_ms = widened(windows.range_ms, &series.rolled_up, end_ms);
            let start_ms = end_ms.saturating_sub(range_ms);
            let labels = if input.drop_name {
                without_reserved(&series.labels)
            } else {
                series.labels.clone()
            };
            let data = match input.extension {
                None => {
                    let parts = mixed::Parts::of(series).within(start_ms, end_ms);
                    SeriesData {
                        labels,
                        timestamps_ms: parts.times_ms.to_vec(),
                        values: parts.values.to_vec(),
                        histograms: parts.histograms.to_vec(),
                        ..SeriesData::default()
                    }
                }
                Some(extension) => {
                    if !series.histograms.is_empty() {
                        return Err(execution(format!(
                            "{} modifier is not supported with histograms",
                            extension.as_str()
                        )));
                    }
                    let range = extended::Range {
                        start_ms,
                        end_ms,
                        is_smoothed: extension == Extension::Smoothed,
                    };
                    let points = extended::with_ends(&series.timestamps_ms, &series.values, range);
                    let (timestamps_ms, values) = points.into_iter().unzip();
                    SeriesData {
                        labels,
                        timestamps_ms,
                        values,
                        ..SeriesData::default()
                    }
                }
            };
            self.budget.charge_bytes(16 * data.values.len() as u64)?;
            if !data.values.is_empty() || !data.histograms.is_empty() {
                matrix.push(data);
            }
            Ok(())
        })?;
        sort_by_labels(&mut matrix, |s| &s.labels);
        Ok(matrix)
    }
}

fn check_extension(selector: &Selector, function: Option<&str>) -> Result<()> {
    let (Some(extension), Some(function)) = (selector.extension, function) else {
        return Ok(());
    };
    if extension.functions().contains(&function) {
        return Ok(());
    }
    Err(execution(format!(
        "{} modifier can only be used with: {} - not with {function}",
        extension.as_str(),
        extension.functions().join(", ")
    )))
}

/// The factors of `double_exponential_smoothing` lie between 0 and 1.
fn check_smoothing(parameters: &[Vec<f64>]) -> Result<()> {
    for (values, (what, letter)) in parameters.iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if let Some(bad) = values.iter().find(|v| **v <= 0.0 || **v >= 1.0) {
            return Err(execution(format!(
                "invalid {what} factor. Expected: 0 < {letter} < 1, got: {bad:.6}"
            )));
        }
    }
    Ok(())
}
