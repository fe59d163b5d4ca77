//! What there is much of: for whoever looks for the cause of too many series.

use super::ids::Ids;
use super::source::{Damage, HOUR_MS, PairText, Source};
use model::Result;
use model::labels::METRIC_NAME;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The largest of each kind, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// How many series there are.
    pub series: u64,
    /// Different pairs of a name and a value.
    pub pairs: u64,
    /// Label names.
    pub names: u64,
    /// Metric names by series.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names by different values.
    pub values_by_name: Vec<(String, u64)>,
    /// Label names by bytes: the length of each value, as often as a series has it.
    pub bytes_by_name: Vec<(String, u64)>,
    /// Pairs by series.
    pub series_by_pair: Vec<(String, String, u64)>,
    /// When the series were created: the start of each hour in milliseconds since the epoch, and how many; by time.
    pub created_by_hour: Vec<(i64, u64)>,
}

/// Keeps the largest of many.
struct Top<K> {
    limit: usize,
    /// The smallest that is kept is on top.
    kept: BinaryHeap<Reverse<(u64, Reverse<K>)>>,
}

impl<K: Ord> Top<K> {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BinaryHeap::new(),
        }
    }
    fn add(&mut self, count: u64, key: impl FnOnce() -> K) {
        let is_smaller = |least: &Reverse<(u64, Reverse<K>)>| count < least.0.0;
        if count == 0 || self.kept.len() == self.limit && self.kept.peek().is_none_or(is_smaller) {
            return;
        }
        self.kept.push(Reverse((count, Reverse(key()))));
        if self.kept.len() > self.limit {
            self.kept.pop();
        }
    }
    fn sorted(self) -> Vec<(K, u64)> {
        let sorted = self.kept.into_sorted_vec();
        sorted
            .into_iter()
            .map(|Reverse((count, Reverse(key)))| (key, count))
            .collect()
    }
}

/// One source on its way through its pairs, by name and value.
struct Walk<'a> {
    source: &'a dyn Source,
    kept: Option<Ids>,
    order: Option<Vec<u32>>,
    passed: u32,
    text: PairText,
    /// Series of the current pair; `None` at the end.
    series: Option<u64>,
}

impl Walk<'_> {
    fn advance(&mut self, damage: Damage<'_>) -> Result<()> {
        loop {
            let number = match &self.order {
                Some(order) => order.get(self.passed as usize).copied(),
                None => Some(self.passed).filter(|n| *n < self.source.pairs()),
            };
            let Some(number) = number else {
                self.series = None;
                return Ok(());
            };
            if self.passed.is_multiple_of(1024) {
                damage.check()?;
            }
            self.passed += 1;
            match self.count(number) {
                Ok(series) => {
                    self.series = Some(series);
                    return Ok(());
                }
                Err(e) => damage.note(e)?,
            }
        }
    }
    fn count(&mut self, number: u32) -> Result<u64> {
        let pair = self.source.pair(number, &mut self.text)?;
        match &self.kept {
            Some(kept) => Ok(self.source.list(&pair)?.intersect(kept).len()),
            // A memory part may know of more series than the view.
            None if self.order.is_some() => Ok(self.source.list(&pair)?.len()),
            None => Ok(pair.series),
        }
    }
    fn key(&self) -> Option<(&str, &str)> {
        self.series
            .map(|_| (self.text.name.as_str(), self.text.value.as_str()))
    }
}

/// Counts through all sources at once, pair by pair.
pub(super) fn count(
    inputs: Vec<(&dyn Source, Option<Ids>)>,
    limit: usize,
    damage: Damage<'_>,
) -> Result<Cardinality> {
    let mut hours = BTreeMap::new();
    let mut totals = Totals::new(limit);
    let mut walks = Vec::with_capacity(inputs.len());
    for (source, kept) in inputs {
        source.series(kept.as_ref(), damage, &mut |series| {
            *hours.entry(series.hour).or_insert(0) += 1;
            totals.found.series += 1;
            Ok(())
        })?;
        let mut walk = Walk {
            source,
            kept,
            order: source.sorted_pairs(),
            passed: 0,
            text: PairText::default(),
            series: None,
        };
        walk.advance(damage)?;
        walks.push(walk);
    }
    let (mut name, mut value) = (String::new(), String::new());
    while let Some((next_name, next_value)) = walks.iter().filter_map(Walk::key).min() {
        next_name.clone_into(&mut name);
        next_value.clone_into(&mut value);
        let mut series = 0;
        for walk in &mut walks {
            if walk.key() == Some((&name, &value)) {
                series += walk.series.unwrap_or(0);
                walk.advance(damage)?;
            }
        }
        totals.add(&name, &value, series);
    }
    let mut found = totals.finish();
    let in_ms = |(hour, count): (i64, u64)| (hour.saturating_mul(HOUR_MS), count);
    found.created_by_hour = hours.into_iter().map(in_ms).collect();
    Ok(found)
}

struct Totals {
    found: Cardinality,
    by_metric: Top<String>,
    by_values: Top<String>,
    by_bytes: Top<String>,
    by_pair: Top<(String, String)>,
    /// The name whose values go by, how many there were, and their bytes.
    name: (String, u64, u64),
}

impl Totals {
    fn new(limit: usize) -> Self {
        Self {
            found: Cardinality::default(),
            by_metric: Top::new(limit),
            by_values: Top::new(limit),
            by_bytes: Top::new(limit),
            by_pair: Top::new(limit),
            name: (String::new(), 0, 0),
        }
    }
    fn add(&mut self, name: &str, value: &str, series: u64) {
        if series == 0 {
            return;
        }
        if self.name.0 != name {
            self.end_name();
            self.name = (name.to_owned(), 0, 0);
        }
        self.name.1 += 1;
        self.name.2 += series * value.len() as u64;
        self.found.pairs += 1;
        self.by_pair.add(series, || (name.to_owned(), value.to_owned()));
        if name == METRIC_NAME {
            self.by_metric.add(series, || value.to_owned());
        }
    }
    fn end_name(&mut self) {
        let (name, values, bytes) = &self.name;
        self.found.names += u64::from(*values > 0);
        self.by_values.add(*values, || name.clone());
        self.by_bytes.add(*bytes, || name.clone());
    }
    fn finish(mut self) -> Cardinality {
        self.end_name();
        let pairs = self.by_pair.sorted().into_iter();
        Cardinality {
            series_by_metric: self.by_metric.sorted(),
            values_by_name: self.by_values.sorted(),
            bytes_by_name: self.by_bytes.sorted(),
            series_by_pair: pairs
                .map(|((name, value), series)| (name, value, series))
                .collect(),
            ..self.found
        }
    }
}
