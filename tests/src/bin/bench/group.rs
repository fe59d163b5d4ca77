//! A hundred series that live and die together: their encoded form, and how their values move.

use crate::protobuf;
use crate::random::Random;
use crate::series::{BOUNDS, GROUP, Kind, Labels, Series, node, pod};

/// Seconds from scrape to scrape.
pub(crate) const INTERVAL_S: f64 = 15.0;

/// Which hundred series: enough to make them again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) seed: u64,
    pub(crate) target: usize,
    /// 0 is the node, the others are its pods.
    pub(crate) slot: usize,
    /// How often churn has replaced the pod of this slot.
    pub(crate) generation: usize,
}

impl Identity {
    fn random(self) -> Random {
        let parts = [self.target, self.slot, self.generation].map(|n| n as u64);
        Random::new(&[self.seed, parts[0], parts[1], parts[2]])
    }
    fn series(self, random: &mut Random) -> Vec<Series> {
        if self.slot == 0 {
            node(self.target, random)
        } else {
            pod(self.target, self.slot, random)
        }
    }
}

/// The running values of a group.
pub(crate) struct Group {
    identity: Identity,
    random: Random,
    /// Each series as a TimeSeries message whose sample is to be filled in.
    template: Vec<u8>,
    /// Where in `template` each series' 17 bytes of value and time begin.
    samples_at: Vec<u32>,
    kinds: Vec<Kind>,
    /// What each kind remembers: a count in its own units, or the distance from its mean.
    state: Vec<f64>,
    values: Vec<f64>,
    histogram: Histogram,
}

struct Histogram {
    shares: [f64; BOUNDS.len()],
    counts: [f64; BOUNDS.len()],
    sum: f64,
}

impl Histogram {
    fn new(random: &mut Random) -> Self {
        let usual = [3.0, 6.0, 9.0, 8.0, 6.0, 4.0, 2.0, 1.0, 0.5, 0.2];
        let drawn = usual.map(|share: f64| share * random.lognormal(0.0, 0.4));
        let total: f64 = drawn.iter().sum();
        Self {
            shares: drawn.map(|share| share / total),
            counts: [0.0; BOUNDS.len()],
            sum: 0.0,
        }
    }
    /// 60 requests a second on average; buckets are cumulative.
    fn advance(&mut self, random: &mut Random, wave: f64) {
        const MIDDLES: [f64; BOUNDS.len()] = [0.003, 0.007, 0.017, 0.037, 0.07, 0.17, 0.37, 0.7, 1.6, 4.0];
        let (mut below, mut seconds) = (0.0, 0.0);
        for ((share, count), middle) in self.shares.iter().zip(&mut self.counts).zip(MIDDLES) {
            let new = random.poisson(share * 60.0 * INTERVAL_S * wave);
            below += new;
            *count += below;
            seconds += new * middle;
        }
        self.sum += seconds * (1.0 + 0.01 * random.normal());
    }
}

impl Group {
    /// A group whose next scrape is its first. Those that stand at the start of the data have counted for a while.
    pub(crate) fn new(identity: Identity, at_start: bool) -> Self {
        let mut random = identity.random();
        let series = identity.series(&mut random);
        let mut template = Vec::new();
        let mut samples_at = Vec::with_capacity(GROUP);
        for one in &series {
            let labels = one.labels.iter().map(|(k, v)| (*k, v.as_str()));
            protobuf::series(&mut template, labels, 0.0, protobuf::PLACEHOLDER_MS);
            samples_at.push((template.len() - protobuf::SAMPLE_TAIL) as u32);
        }
        let kinds: Vec<Kind> = series.iter().map(|s| s.kind).collect();
        let state = kinds
            .iter()
            .map(|kind| if at_start { start(*kind, &mut random) } else { 0.0 });
        Self {
            state: state.collect(),
            histogram: Histogram::new(&mut random),
            values: vec![0.0; kinds.len()],
            identity,
            random,
            template,
            samples_at,
            kinds,
        }
    }
    /// The label sets, made again: nobody holds them while data is sent.
    pub(crate) fn labels(&self) -> Vec<Labels> {
        let series = self.identity.series(&mut self.identity.random());
        series.into_iter().map(|s| s.labels).collect()
    }
    /// Which one it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }
    /// The values of the last scrape, in the order of the labels.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }
    /// Moves every series to its next scrape.
    pub(crate) fn advance(&mut self, time_ms: i64, wave: f64) {
        let Self {
            kinds,
            state,
            values,
            random,
            histogram,
            ..
        } = self;
        if kinds.iter().any(|k| matches!(k, Kind::BucketCount)) {
            histogram.advance(random, wave);
        }
        for ((kind, state), value) in kinds.iter().zip(state).zip(values) {
            *value = next(*kind, state, random, histogram, wave, time_ms);
        }
    }
    /// Appends the last scrape's samples to a write request.
    pub(crate) fn encode(&self, request: &mut Vec<u8>, time_ms: i64) {
        self.encode_values(request, time_ms, |i| self.values[i]);
    }
    /// Appends a staleness marker for every series.
    pub(crate) fn encode_stale(&self, request: &mut Vec<u8>, time_ms: i64) {
        self.encode_values(request, time_ms, |_| f64::from_bits(protobuf::STALE_BITS));
    }
    fn encode_values(&self, request: &mut Vec<u8>, time_ms: i64, value: impl Fn(usize) -> f64) {
        let start = request.len();
        request.extend_from_slice(&self.template);
        for (i, at) in self.samples_at.iter().enumerate() {
            protobuf::fill(&mut request[start + *at as usize..], value(i), time_ms);
        }
    }
}

fn start(kind: Kind, random: &mut Random) -> f64 {
    let age_s = 1e4 + random.unit() * 2e6;
    match kind {
        Kind::Integer(rate) | Kind::Idle(rate) => (rate * age_s).round(),
        Kind::Centiseconds(share) => (share * age_s * 100.0).round(),
        Kind::Nanoseconds(share) => (share * age_s * 1e9).round(),
        _ => 0.0,
    }
}

fn next(
    kind: Kind,
    state: &mut f64,
    random: &mut Random,
    histogram: &Histogram,
    wave: f64,
    time_ms: i64,
) -> f64 {
    let noisy = |random: &mut Random, mean: f64, deviation: f64| {
        (mean * (1.0 + deviation * random.normal())).max(0.0).round()
    };
    match kind {
        Kind::Integer(rate) => {
            let mean = rate * INTERVAL_S * wave;
            *state += if mean > 50.0 {
                noisy(random, mean, 0.35)
            } else {
                random.poisson(mean)
            };
            *state
        }
        Kind::Idle(rate) => {
            if random.happens(0.15) {
                *state += random.poisson(rate * INTERVAL_S);
            }
            *state
        }
        Kind::Flat => {
            *state += f64::from(u8::from(random.happens(2e-4)));
            *state
        }
        Kind::Centiseconds(share) => {
            *state += noisy(random, share * INTERVAL_S * 100.0 * wave, 0.1);
            *state / 100.0
        }
        Kind::Nanoseconds(share) => {
            *state += noisy(random, share * INTERVAL_S * 1e9 * wave, 0.4);
            *state / 1e9
        }
        Kind::IdleNanoseconds => {
            if random.happens(0.1) {
                *state += random.exponential(3e8).round();
            }
            *state / 1e9
        }
        Kind::Pages(mean_bytes) => {
            let pages = mean_bytes / 4096.0;
            if random.happens(0.55) {
                *state = *state * 0.99 + random.normal() * pages * 0.002;
            }
            (pages + *state).round().max(0.0) * 4096.0
        }
        Kind::Constant(value) => value,
        Kind::Load(mean) => {
            *state = *state * 0.99 + random.normal() * 0.08;
            ((mean * wave + *state).abs() * 100.0).round() / 100.0
        }
        Kind::SmallInteger(mean) => {
            if random.happens(0.3) {
                noisy(random, mean, 0.1)
            } else {
                mean
            }
        }
        Kind::Now => (time_ms / 1000) as f64,
        Kind::Bucket(i) => histogram.counts[i],
        Kind::BucketCount => histogram.counts[BOUNDS.len() - 1],
        Kind::BucketSum => histogram.sum,
    }
}
