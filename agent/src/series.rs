//! Building one round of samples: families, cached label sets, and markers for series that have ended.

use model::metric::stale_nan;
use model::{Labels, MetricMetadata, MetricType, Metrics, Sample, Series};
use std::collections::{BTreeMap, HashMap};

/// A metric family that the agent makes.
#[derive(Debug)]
pub struct Family {
    /// Full name.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Counter or gauge.
    pub metric_type: MetricType,
}

impl Family {
    /// A family that only grows.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            metric_type: MetricType::Counter,
        }
    }
    /// A family that goes both ways.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            metric_type: MetricType::Gauge,
        }
    }
}

/// How many rounds pass between two batches that describe the families.
const METADATA_EVERY_ROUNDS: u64 = 40;

/// Collects the samples of one round after the other. Label sets are built once per series and kept as long
/// as the series lives; a series that a full round does not mention gets a staleness marker and is forgotten.
#[derive(Debug, Default)]
pub struct Gatherer {
    cache: HashMap<Box<[u8]>, Cached>,
    scratch: Vec<u8>,
    round: u64,
    now_ms: i64,
    out: Vec<Series>,
    families: BTreeMap<&'static str, &'static Family>,
}

#[derive(Debug)]
struct Cached {
    labels: Labels,
    last_round: u64,
}

impl Gatherer {
    /// Starts a full round: what it does not mention has ended.
    pub fn begin(&mut self, now_ms: i64) {
        self.round += 1;
        self.now_ms = now_ms;
    }
    /// Starts a few extra samples between two rounds.
    pub fn begin_extra(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }
    /// The time that samples of this round carry, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }
    /// Adds a sample: the family's name, the base labels, and further labels of this series.
    pub fn emit(&mut self, family: &'static Family, base: &Labels, extra: &[(&str, &str)], value: f64) {
        self.emit_at(family, base, extra, value, self.now_ms);
    }
    /// Adds a sample of another time.
    pub fn emit_at(
        &mut self,
        family: &'static Family,
        base: &Labels,
        extra: &[(&str, &str)],
        value: f64,
        timestamp_ms: i64,
    ) {
        // The base set stands in the key by its 64-bit hash: this is done for every sample of every round.
        self.scratch.clear();
        self.scratch.extend_from_slice(&base.hash().to_le_bytes());
        self.scratch.extend_from_slice(family.name.as_bytes());
        for (name, value) in extra {
            for part in [name, value] {
                self.scratch.push(0xFF);
                self.scratch.extend_from_slice(part.as_bytes());
            }
        }
        let labels = match self.cache.get_mut(self.scratch.as_slice()) {
            Some(cached) => {
                cached.last_round = self.round;
                cached.labels.clone()
            }
            None => {
                let labels = build(family, base, extra);
                let cached = Cached {
                    labels: labels.clone(),
                    last_round: self.round,
                };
                self.cache.insert(self.scratch.as_slice().into(), cached);
                self.families.insert(family.name, family);
                labels
            }
        };
        self.out.push(one_sample(labels, timestamp_ms, value));
    }
    /// Whether a series is known from this or the round before.
    pub fn series(&self) -> usize {
        self.cache.len()
    }
    /// Ends a full round.
    pub fn finish(&mut self) -> Metrics {
        let (round, now_ms, out) = (self.round, self.now_ms, &mut self.out);
        self.cache.retain(|_, cached| {
            let alive = cached.last_round == round;
            if !alive {
                out.push(one_sample(cached.labels.clone(), now_ms, stale_nan()));
            }
            alive
        });
        let metadata = if round % METADATA_EVERY_ROUNDS == 1 {
            self.families.values().map(|f| describe(f)).collect()
        } else {
            Vec::new()
        };
        let capacity = self.cache.len();
        Metrics {
            series: std::mem::replace(&mut self.out, Vec::with_capacity(capacity)),
            metadata,
        }
    }
    /// Ends a few extra samples.
    pub fn finish_extra(&mut self) -> Metrics {
        Metrics {
            series: std::mem::take(&mut self.out),
            metadata: Vec::new(),
        }
    }
}

fn build(family: &Family, base: &Labels, extra: &[(&str, &str)]) -> Labels {
    let mut builder = base.to_builder();
    builder.push(model::labels::METRIC_NAME, family.name);
    for (name, value) in extra {
        builder.push(*name, *value);
    }
    builder.build()
}

fn one_sample(labels: Labels, timestamp_ms: i64, value: f64) -> Series {
    Series {
        labels,
        samples: vec![Sample { timestamp_ms, value }],
        ..Series::default()
    }
}

fn describe(family: &Family) -> MetricMetadata {
    MetricMetadata {
        family: family.name.to_owned(),
        metric_type: family.metric_type,
        help: family.help.to_owned(),
        unit: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metric::is_stale;

    static A: Family = Family::gauge("a", "An a.");
    static B: Family = Family::counter("b_total", "A b.");

    fn shown(metrics: &Metrics) -> Vec<String> {
        let mut lines: Vec<String> = metrics
            .series
            .iter()
            .map(|s| {
                let sample = s.samples[0];
                let value = if is_stale(sample.value) {
                    "stale".to_owned()
                } else {
                    sample.value.to_string()
                };
                format!("{} {value} @{}", s.labels, sample.timestamp_ms)
            })
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_series_that_is_not_mentioned_again_ends_once() {
        let base = Labels::from_pairs([("node", "n")]);
        let mut g = Gatherer::default();
        g.begin(1000);
        g.emit(&A, &base, &[], 1.0);
        g.emit(&B, &base, &[("device", "x")], 2.0);
        let first = g.finish();
        assert_eq!(
            shown(&first),
            [
                r#"a{node="n"} 1 @1000"#,
                r#"b_total{device="x", node="n"} 2 @1000"#
            ]
        );
        assert_eq!(first.metadata.len(), 2);
        g.begin_extra(1500);
        g.emit(&A, &base, &[], 7.0);
        assert_eq!(shown(&g.finish_extra()), [r#"a{node="n"} 7 @1500"#]);
        g.begin(2000);
        g.emit(&A, &base, &[], 1.0);
        assert_eq!(
            shown(&g.finish()),
            [
                r#"a{node="n"} 1 @2000"#,
                r#"b_total{device="x", node="n"} stale @2000"#
            ]
        );
        g.begin(3000);
        g.emit(&A, &base, &[], 1.0);
        assert_eq!(shown(&g.finish()), [r#"a{node="n"} 1 @3000"#]);
    }
}
