//! The plain store: everything in a list, every question answered by looking at all of it.
//!
//! It is the oracle of the tests: a real store must give the same answers to the same requests after the same
//! writes. It keeps the promises about visibility (the later value of a series and time wins, equal lines and
//! spans show once, an agent's batch counts once) and nothing else: no disk, no limits, no speed.

use crate::predicate::{field, status_name};
use crate::write::BoxFuture;
use crate::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The store. Implements [`Write`] and [`Read`] for all three signals.
#[derive(Default)]
pub struct PlainStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The value and the start of each time.
    samples: BTreeMap<(Tenant, Labels), BTreeMap<i64, (f64, i64)>>,
    histograms: BTreeMap<(Tenant, Labels), BTreeMap<i64, metric::HistogramSample>>,
    entries: Vec<(Tenant, Labels, LogEntry)>,
    spans: Vec<(Tenant, ResourceSpans)>,
    sequences: HashMap<(Tenant, &'static str, String, u64, String), u64>,
}

impl State {
    /// Whether a batch of one of our agents was taken before.
    fn is_retry<P>(&mut self, signal: &'static str, batch: &Batch<P>) -> bool {
        let Some(o) = &batch.origin else { return false };
        let last = self
            .sequences
            .entry((
                batch.tenant.clone(),
                signal,
                o.agent.clone(),
                o.epoch,
                o.stream.clone(),
            ))
            .or_default();
        let retry = o.sequence <= *last;
        *last = o.sequence.max(*last);
        retry
    }
}

impl PlainStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// [`Write::write`] for metrics, without a future.
    pub fn write_metrics(&self, batch: Batch<Metrics>) -> WriteOutcome {
        let mut state = self.state();
        let count = batch
            .payload
            .series
            .iter()
            .map(|s| (s.samples.len() + s.histograms.len()) as u64)
            .sum();
        if state.is_retry("metrics", &batch) {
            return WriteOutcome {
                duplicates: count,
                ..WriteOutcome::default()
            };
        }
        let histograms = batch.payload.series.iter().map(|s| s.histograms.len() as u64);
        let accepted_histograms = histograms.sum();
        for series in batch.payload.series {
            let key = (batch.tenant.clone(), series.labels);
            let mut starts = series.start_timestamps_ms.into_iter();
            for s in series.samples {
                state
                    .samples
                    .entry(key.clone())
                    .or_default()
                    .insert(s.timestamp_ms, (s.value, starts.next().unwrap_or_default()));
            }
            for h in series.histograms {
                state
                    .histograms
                    .entry(key.clone())
                    .or_default()
                    .insert(h.timestamp_ms, h);
            }
        }
        WriteOutcome {
            accepted: count,
            accepted_histograms,
            ..WriteOutcome::default()
        }
    }
    /// Deletes what series that satisfy a predicate have in a range of times, both included.
    pub fn delete_metrics(&self, tenant: &Tenant, predicate: &Predicate, range_ms: (i64, i64)) {
        let mut state = self.state();
        let (start, end) = range_ms;
        let wanted = |key: &(Tenant, Labels)| key.0 == *tenant && predicate.on_labels(&key.1) == Some(true);
        for (_, samples) in state.samples.iter_mut().filter(|(key, _)| wanted(key)) {
            samples.retain(|time, _| *time < start || end < *time);
        }
        for (_, histograms) in state.histograms.iter_mut().filter(|(key, _)| wanted(key)) {
            histograms.retain(|time, _| *time < start || end < *time);
        }
    }
    /// [`Write::write`] for logs, without a future.
    pub fn write_logs(&self, batch: Batch<Logs>) -> WriteOutcome {
        let mut state = self.state();
        let retry = state.is_retry("logs", &batch);
        let mut outcome = WriteOutcome::default();
        for stream in batch.payload.streams {
            for entry in stream.entries {
                // Lines of our agents keep real repeats; foreign senders' equal lines are retries.
                let seen = || {
                    state.entries.iter().any(|(t, l, e)| {
                        (t, l) == (&batch.tenant, &stream.labels)
                            && (e.timestamp_ns, &e.line) == (entry.timestamp_ns, &entry.line)
                    })
                };
                if retry || (batch.origin.is_none() && seen()) {
                    outcome.duplicates += 1;
                } else {
                    outcome.accepted += 1;
                    state
                        .entries
                        .push((batch.tenant.clone(), stream.labels.clone(), entry));
                }
            }
        }
        outcome
    }
    /// [`Write::write`] for spans, without a future.
    pub fn write_spans(&self, batch: Batch<Spans>) -> WriteOutcome {
        let mut state = self.state();
        let retry = state.is_retry("spans", &batch);
        let mut outcome = WriteOutcome::default();
        for mut group in batch.payload.groups {
            let before = group.spans.len() as u64;
            let mut new: Vec<Span> = Vec::new();
            for span in group.spans {
                let key =
                    |g: &Resource, s: &Span| (s.trace_id, s.span_id, s.kind, g.service_name().to_owned());
                let wanted = key(&group.resource, &span);
                let stored = state.spans.iter().any(|(t, g)| {
                    *t == batch.tenant && g.spans.iter().any(|s| key(&g.resource, s) == wanted)
                });
                if !retry && !stored && !new.iter().any(|s| key(&group.resource, s) == wanted) {
                    new.push(span);
                }
            }
            outcome.accepted += new.len() as u64;
            outcome.duplicates += before - new.len() as u64;
            group.spans = new;
            if !group.spans.is_empty() {
                state.spans.push((batch.tenant.clone(), group));
            }
        }
        outcome
    }

    fn matching_series(&self, r: &ScanRequest) -> Vec<SeriesData> {
        let state = self.state();
        let (start, end) = (r.range.start_ms(), r.range.end_ms());
        let mut found: BTreeMap<Labels, SeriesData> = BTreeMap::new();
        let wanted = |tenant: &Tenant, labels: &Labels| {
            start <= end && *tenant == r.tenant && r.predicate.on_labels(labels) == Some(true)
        };
        for ((tenant, labels), samples) in &state.samples {
            if wanted(tenant, labels) && samples.range(start..=end).next().is_some() {
                let data = found.entry(labels.clone()).or_default();
                data.labels = labels.clone();
                data.timestamps_ms
                    .extend(samples.range(start..=end).map(|(t, _)| *t));
                data.values.extend(samples.range(start..=end).map(|(_, v)| v.0));
                let starts = samples.range(start..=end).map(|(_, v)| v.1);
                if starts.clone().any(|start| start != 0) {
                    data.start_timestamps_ms = starts.collect();
                }
            }
        }
        for ((tenant, labels), samples) in &state.histograms {
            if wanted(tenant, labels) && samples.range(start..=end).next().is_some() {
                let data = found.entry(labels.clone()).or_default();
                data.labels = labels.clone();
                // The first one is told from the one before the range.
                let before = samples.range(..start).next_back();
                let all = before.into_iter().chain(samples.range(start..=end));
                let mut all: Vec<_> = all.map(|(_, h)| h.clone()).collect();
                metric::mark_continued(&mut all, &data.timestamps_ms);
                all.retain(|h| h.timestamp_ms >= start);
                data.histograms = all;
            }
        }
        found.into_values().collect()
    }
    fn matching_entries(&self, r: &ScanRequest) -> Vec<(Labels, LogEntry)> {
        let state = self.state();
        let mut found: Vec<_> = state
            .entries
            .iter()
            .filter(|(t, l, e)| {
                *t == r.tenant && r.range.contains(e.timestamp_ns) && r.predicate.on_entry(l, e)
            })
            .map(|(_, l, e)| (l.clone(), e.clone()))
            .collect();
        found.sort_by_key(|(_, e)| e.timestamp_ns);
        if r.direction == Direction::Backward {
            found.reverse();
        }
        found
    }
    fn matching_spans(&self, r: &ScanRequest) -> Vec<ResourceSpans> {
        let state = self.state();
        let keep = |group: &ResourceSpans| {
            let matches = |s: &&Span| r.range.contains(s.start_ns) && r.predicate.on_span(group, s);
            let spans: Vec<Span> = group.spans.iter().filter(matches).cloned().collect();
            (!spans.is_empty()).then(|| ResourceSpans {
                spans,
                ..group.clone()
            })
        };
        let mut found: Vec<_> = state
            .spans
            .iter()
            .filter(|(t, _)| *t == r.tenant)
            .filter_map(|(_, g)| keep(g))
            .collect();
        found.sort_by_key(|g| g.spans.iter().map(|s| s.start_ns).min());
        if r.direction == Direction::Backward {
            found.reverse();
        }
        found
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T>> {
    Box::pin(std::future::ready(Ok(value)))
}
fn answer<B: Send + 'static>(request: &ScanRequest, rows: Vec<B>) -> Result<Scan<B>> {
    request.budget.check()?;
    Ok(Scan {
        predicates: vec![Answer::Exact; request.predicate.leaves().len()],
        aggregate: Answer::NotDone,
        batches: Box::new(rows.into_iter().map(|rows| Ok(ScanBatch::Rows(rows)))),
    })
}
fn sorted(items: impl IntoIterator<Item = String>) -> Result<Vec<String>> {
    Ok(items
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect())
}

impl Write<Metrics> for PlainStore {
    fn write(&self, batch: Batch<Metrics>) -> BoxFuture<'_, Result<WriteOutcome>> {
        ready(self.write_metrics(batch))
    }
}
impl Write<Logs> for PlainStore {
    fn write(&self, batch: Batch<Logs>) -> BoxFuture<'_, Result<WriteOutcome>> {
        ready(self.write_logs(batch))
    }
}
impl Write<Spans> for PlainStore {
    fn write(&self, batch: Batch<Spans>) -> BoxFuture<'_, Result<WriteOutcome>> {
        ready(self.write_spans(batch))
    }
}

impl Read<SeriesData> for PlainStore {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<SeriesData>> {
        let series = self.matching_series(request);
        request.budget.charge_series(series.len() as u64)?;
        request
            .budget
            .charge_samples(series.iter().map(|s| s.values.len() as u64).sum())?;
        answer(request, series)
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let series = self.matching_series(request);
        sorted(
            series
                .iter()
                .flat_map(|s| s.labels.iter().map(|(n, _)| n.to_owned())),
        )
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let series = self.matching_series(request);
        sorted(
            series
                .iter()
                .filter_map(|s| s.labels.get(name).map(str::to_owned)),
        )
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        Ok(self
            .matching_series(request)
            .into_iter()
            .map(|s| s.labels)
            .collect())
    }
}

impl Read<LogBatch> for PlainStore {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<LogBatch>> {
        let rows = self.matching_entries(request);
        request.budget.charge_samples(rows.len() as u64)?;
        answer(
            request,
            rows.into_iter()
                .map(|(labels, e)| LogBatch {
                    labels,
                    entries: vec![e],
                })
                .collect(),
        )
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let rows = self.matching_entries(request);
        sorted(rows.iter().flat_map(|(l, _)| l.iter().map(|(n, _)| n.to_owned())))
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let rows = self.matching_entries(request);
        sorted(rows.iter().filter_map(|(l, _)| l.get(name).map(str::to_owned)))
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let set: BTreeSet<Labels> = self
            .matching_entries(request)
            .into_iter()
            .map(|(l, _)| l)
            .collect();
        Ok(set.into_iter().collect())
    }
}

impl Read<SpanBatch> for PlainStore {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<SpanBatch>> {
        let groups = self.matching_spans(request);
        request
            .budget
            .charge_samples(groups.iter().map(|g| g.spans.len() as u64).sum())?;
        answer(
            request,
            groups
                .into_iter()
                .map(|g| SpanBatch { groups: vec![g] })
                .collect(),
        )
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let groups = self.matching_spans(request);
        let keys = |g: &ResourceSpans| -> Vec<String> {
            let of_spans = g.spans.iter().flat_map(|s| s.attributes.iter());
            g.resource
                .attributes
                .iter()
                .chain(of_spans)
                .map(|(k, _)| k.clone())
                .collect()
        };
        sorted(groups.iter().flat_map(keys))
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let groups = self.matching_spans(request);
        let value = |g: &ResourceSpans, s: &Span| match name {
            field::SERVICE => g.resource.service_name().to_owned(),
            field::NAME => s.name.clone(),
            field::KIND => s.kind.as_str().to_owned(),
            field::STATUS => status_name(s.status).to_owned(),
            key => {
                let own = s.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v);
                own.or_else(|| g.resource.get(key))
                    .map(Value::to_string)
                    .unwrap_or_default()
            }
        };
        sorted(
            groups
                .iter()
                .flat_map(|g| g.spans.iter().map(|s| value(g, s)).collect::<Vec<_>>()),
        )
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let of = |g: &ResourceSpans| {
            Labels::from_pairs(
                g.resource
                    .attributes
                    .iter()
                    .map(|(k, v)| (k.clone(), v.to_string())),
            )
        };
        let set: BTreeSet<Labels> = self.matching_spans(request).iter().map(of).collect();
        Ok(set.into_iter().collect())
    }
}
