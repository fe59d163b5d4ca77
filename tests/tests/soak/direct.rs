//! The direct sender of the soak: new, late, repeated and changed samples, deletions, and a plain model of what must be there.

use super::{ADMIN, HOUR_MS, ask};
use std::collections::BTreeMap;
use storage::Rng;
use tests::binnacle::Binnacle;
use tests::remote_write::{self, Series};

/// Series of a class are kept for 10 days, those of `short` for 2. Only those of `victim` are deleted.
const CLASSES: [(&str, u32); 3] = [("steady", 100), ("short", 40), ("victim", 40)];
type Key = (&'static str, u32);
type Samples = Vec<(i64, f64)>;

/// The direct sender, and what it got acknowledged and must find again.
pub(crate) struct Direct {
    rng: Rng,
    pub(crate) start_ms: i64,
    expected: BTreeMap<Key, BTreeMap<i64, f64>>,
    last: Vec<(Key, Samples)>,
    pub(crate) acknowledged: u64,
    pub(crate) deleted: u64,
}

pub(crate) fn now_ms() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

impl Direct {
    pub(crate) fn new() -> Self {
        Self {
            rng: Rng::new(7),
            start_ms: now_ms(),
            expected: BTreeMap::new(),
            last: Vec::new(),
            acknowledged: 0,
            deleted: 0,
        }
    }
    fn value(&mut self) -> f64 {
        (self.rng.below(200_000) as f64 - 100_000.0) / 100.0
    }
    fn below(&mut self, end: i64) -> i64 {
        self.rng.below(end.unsigned_abs()).cast_signed()
    }
    /// A quarter of an hour of a series, some hours before the start. There are few such quarters, so that they are
    /// written again and again, and the load on the store stays what it is.
    fn block(&mut self, key: Key, hours_ago: i64) -> (Key, Samples) {
        let to_ms = self.start_ms - hours_ago * HOUR_MS;
        let samples = (0..60).map(|i| (to_ms - i * 15_000, self.value())).collect();
        (key, samples)
    }
    /// One new sample of each series, and old ones of some; now and then the batch before with some other values.
    pub(crate) fn batch(&mut self, round: u64) -> Vec<(Key, Samples)> {
        if round % 10 == 9 {
            let mut again = self.last.clone();
            for (_, samples) in again.iter_mut().take(20) {
                samples[0].1 += 1.0;
            }
            return again;
        }
        let at_ms = self.start_ms + round.cast_signed() * 1000;
        let mut batch = Vec::new();
        for (class, count) in CLASSES {
            for n in 0..count {
                batch.push(((class, n), vec![(at_ms, self.value())]));
            }
        }
        for (class, count) in CLASSES {
            for _ in 0..15 {
                let key = (class, self.below(i64::from(count)) as u32);
                let hours_ago = match (class, self.rng.one_in(2)) {
                    // Four days and more: it goes by the rule.
                    ("short", true) => 96 + 24 * self.below(4),
                    ("short", false) => 1 + 6 * self.below(2),
                    _ => 1 + 6 * self.below(12),
                };
                batch.push(self.block(key, hours_ago));
            }
        }
        batch
    }
    /// Sends a batch; all of it must be taken.
    pub(crate) async fn send(&mut self, binnacle: &Binnacle, batch: Vec<(Key, Samples)>) {
        let series: Vec<Series<'_>> = batch
            .iter()
            .map(|((class, n), samples)| {
                let labels = vec![
                    ("__name__", "soak_direct".to_owned()),
                    ("class", (*class).to_owned()),
                    ("n", n.to_string()),
                ];
                (labels, samples.clone())
            })
            .collect();
        let body = remote_write::body(&series).unwrap();
        let (status, text) = remote_write::send(binnacle.client(), &binnacle.url, body)
            .await
            .unwrap();
        assert!(status < 300, "{status} {text}");
        for (key, samples) in &batch {
            self.acknowledged += samples.len() as u64;
            for (at_ms, value) in samples {
                if key.0 != "short" || *at_ms > self.start_ms - 48 * HOUR_MS {
                    self.expected.entry(*key).or_default().insert(*at_ms, *value);
                }
            }
        }
        self.last = batch;
    }
    /// Deletes some of a series, or all of it.
    pub(crate) async fn delete(&mut self, binnacle: &Binnacle) {
        let n = self.below(40) as u32;
        let from_ms = self.start_ms - self.below(72 * HOUR_MS);
        let (mut query, mut range) = (String::new(), i64::MIN..=i64::MAX);
        if !self.rng.one_in(4) {
            range = from_ms..=from_ms + 24 * HOUR_MS;
            query = format!("&start={}&end={}", seconds(*range.start()), seconds(*range.end()));
        }
        let selector = format!("soak_direct%7Bclass=%22victim%22,n=%22{n}%22%7D");
        let path = format!("{ADMIN}/delete_series?match[]={selector}{query}");
        let (status, text) = ask(binnacle, "POST", &path).await;
        assert_eq!(status, 204, "{text}");
        let samples = self.expected.entry(("victim", n)).or_default();
        let before = samples.len();
        samples.retain(|at_ms, _| !range.contains(at_ms));
        self.deleted += (before - samples.len()) as u64;
    }
    /// Everything that must be there is, once and with its value, and nothing else.
    pub(crate) async fn check(&self, binnacle: &Binnacle, when: &str, is_cleaned: bool) {
        // What a rule takes may show until files are written anew.
        let classes = CLASSES
            .iter()
            .filter(|(class, _)| is_cleaned || *class != "short");
        for &(class, count) in classes {
            for n in 0..count {
                let query = format!("soak_direct{{class=\"{class}\",n=\"{n}\"}}[12d]");
                let found = binnacle.promql(&query).await.unwrap();
                let values = found.iter().flat_map(|s| s["values"].as_array().unwrap());
                let found: Samples = values
                    .map(|v| {
                        let at_ms = (v[0].as_f64().unwrap() * 1000.0).round() as i64;
                        (at_ms, v[1].as_str().unwrap().parse().unwrap())
                    })
                    .collect();
                let expected = self.expected.get(&(class, n)).into_iter().flatten();
                let expected: Samples = expected.map(|(at_ms, value)| (*at_ms, *value)).collect();
                let first = found.iter().zip(&expected).find(|(a, b)| a != b);
                assert!(
                    found == expected,
                    "{query} {when}: {} samples, {} expected; the first that differ: {first:?}",
                    found.len(),
                    expected.len()
                );
            }
        }
    }
}
