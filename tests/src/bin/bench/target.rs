//! One scrape target of the generated data: a node with its pods, scrape by scrape, with churn.

use crate::group::{Group, INTERVAL_S, Identity};
use crate::random::Random;
use crate::series::GROUP;
use anyhow::Result;
use std::collections::BTreeMap;

/// Milliseconds from scrape to scrape.
pub(crate) const INTERVAL_MS: i64 = (INTERVAL_S * 1000.0) as i64;
/// Groups in one request: 2,000 samples, as Prometheus' queue sends.
const GROUPS_PER_BODY: usize = 20;

/// What to generate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) targets: usize,
    /// A multiple of 100.
    pub(crate) series_per_target: usize,
    pub(crate) scrapes: usize,
    /// Share of the pods that an hour replaces.
    pub(crate) churn_per_hour: f64,
    /// Scrapes come up to so much late.
    pub(crate) jitter_ms: u64,
    /// Time of the first scrape, a whole minute.
    pub(crate) base_ms: i64,
}

impl Shape {
    /// Series that stand at any time.
    pub(crate) fn series(&self) -> usize {
        self.targets * self.series_per_target
    }
    /// Samples without staleness markers.
    pub(crate) fn samples(&self) -> u64 {
        (self.series() * self.scrapes) as u64
    }
    /// A whole second after the last scrape, in seconds.
    pub(crate) fn end_s(&self) -> i64 {
        (self.base_ms + self.scrapes as i64 * INTERVAL_MS) / 1000 + 30
    }
    /// Seconds from before the first scrape to [`Self::end_s`].
    pub(crate) fn window_s(&self) -> i64 {
        self.end_s() - self.base_ms / 1000 + 60
    }
    /// Samples of each metric name: every pod has the same names, and one that churn replaces follows at once.
    pub(crate) fn samples_by_name(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let pods = self.series_per_target / GROUP - 1;
        for (slot, groups) in [(0, 1), (1, pods)] {
            let group = Group::new(
                Identity {
                    seed: 1,
                    target: 0,
                    slot,
                    generation: 0,
                },
                true,
            );
            for labels in group.labels() {
                let name = labels.into_iter().find(|(k, _)| *k == "__name__").map(|(_, v)| v);
                *counts.entry(name.unwrap_or_default()).or_default() +=
                    (groups * self.targets * self.scrapes) as u64;
            }
        }
        counts.retain(|_, n| *n > 0);
        counts
    }
    /// Samples of a request are below this.
    pub(crate) fn one_body_per_scrape(&self) -> bool {
        self.series_per_target <= GROUPS_PER_BODY * GROUP && self.churn_per_hour == 0.0
    }
}

/// A request's content besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) target: usize,
    pub(crate) scrape: usize,
    pub(crate) time_ms: i64,
    pub(crate) samples: u64,
    /// How many of them are staleness markers.
    pub(crate) stale: u64,
}

/// A target between two scrapes.
pub(crate) struct Target {
    shape: Shape,
    index: usize,
    random: Random,
    phase_ms: i64,
    groups: Vec<Group>,
    gone: Vec<Group>,
    scrape: usize,
    time_ms: i64,
}

const SEED: u64 = 1;

impl Target {
    /// The target before its first scrape.
    pub(crate) fn new(shape: Shape, index: usize) -> Self {
        let mut random = Random::new(&[SEED, index as u64]);
        let group = |slot| {
            Group::new(
                Identity {
                    seed: SEED,
                    target: index,
                    slot,
                    generation: 0,
                },
                true,
            )
        };
        Self {
            shape,
            index,
            phase_ms: random.below(INTERVAL_MS as u64) as i64,
            random,
            groups: (0..shape.series_per_target / GROUP).map(group).collect(),
            gone: Vec::new(),
            scrape: 0,
            time_ms: 0,
        }
    }
    /// Goes to the next scrape; `false` when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        let Shape {
            base_ms,
            jitter_ms,
            scrapes,
            churn_per_hour,
            ..
        } = self.shape;
        if self.scrape == scrapes {
            return false;
        }
        let since_base_ms = self.phase_ms + self.scrape as i64 * INTERVAL_MS;
        let time_ms = base_ms + since_base_ms + self.random.below(jitter_ms + 1) as i64;
        // Queries ask on whole seconds: no sample may stand on the border of a window.
        self.time_ms = time_ms + i64::from(time_ms % 1000 == 0);
        let day = since_base_ms as f64 / 86_400_000.0 * std::f64::consts::TAU;
        let wave = (1.0 + 0.5 * day.sin() + 0.05 * self.random.normal()).max(0.1);
        let replaced = churn_per_hour * INTERVAL_S / 3600.0;
        self.gone.clear();
        for slot in 1..self.groups.len() {
            if self.random.happens(replaced) && self.scrape > 0 {
                let old = self.groups[slot].identity();
                let new = Group::new(
                    Identity {
                        generation: old.generation + 1,
                        ..old
                    },
                    false,
                );
                self.gone.push(std::mem::replace(&mut self.groups[slot], new));
            }
        }
        for group in &mut self.groups {
            group.advance(self.time_ms, wave);
        }
        self.scrape += 1;
        true
    }
    /// The scrape's time.
    pub(crate) fn time_ms(&self) -> i64 {
        self.time_ms
    }
    /// Its groups.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }
    /// The requests of this scrape, compressed; staleness markers come last.
    pub(crate) fn encode(
        &self,
        packer: &mut Packer,
        mut each: impl FnMut(Content, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let content = |groups: usize, stale: bool| Content {
            target: self.index,
            scrape: self.scrape - 1,
            time_ms: self.time_ms,
            samples: (groups * GROUP) as u64,
            stale: if stale { (groups * GROUP) as u64 } else { 0 },
        };
        for (groups, stale) in [(&self.groups, false), (&self.gone, true)] {
            for some in groups.chunks(GROUPS_PER_BODY) {
                let body = packer.pack(|request| {
                    for group in some {
                        if stale {
                            group.encode_stale(request, self.time_ms);
                        } else {
                            group.encode(request, self.time_ms);
                        }
                    }
                })?;
                each(content(some.len(), stale), body)?;
            }
        }
        Ok(())
    }
}

/// Builds and compresses requests in buffers that are used again.
pub(crate) struct Packer {
    plain: Vec<u8>,
    packed: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            plain: Vec::new(),
            packed: Vec::new(),
            encoder: snap::raw::Encoder::new(),
        }
    }
}

impl Packer {
    /// The compressed form of what `write` appends.
    pub(crate) fn pack(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<&[u8]> {
        self.plain.clear();
        write(&mut self.plain);
        self.packed
            .resize(snap::raw::max_compress_len(self.plain.len()), 0);
        let length = self.encoder.compress(&self.plain, &mut self.packed)?;
        Ok(&self.packed[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::{Packer, Shape, Target};
    use crate::series::GROUP;
    use std::collections::BTreeSet;

    const SHAPE: Shape = Shape {
        targets: 2,
        series_per_target: 400,
        scrapes: 200,
        churn_per_hour: 0.4,
        jitter_ms: 7,
        base_ms: 1_795_132_800_000,
    };

    fn bodies(index: usize) -> Vec<(u64, u64, i64, Vec<u8>)> {
        let (mut target, mut packer, mut all) = (Target::new(SHAPE, index), Packer::default(), Vec::new());
        while target.advance() {
            target
                .encode(&mut packer, |c, body| {
                    all.push((c.samples, c.stale, c.time_ms, body.to_vec()));
                    Ok(())
                })
                .unwrap();
        }
        all
    }

    #[test]
    fn the_same_data_comes_again_and_targets_differ() {
        assert_eq!(bodies(0), bodies(0));
        assert_ne!(bodies(0), bodies(1));
    }

    #[test]
    fn samples_are_as_many_as_said_and_churn_leaves_markers() {
        let all: Vec<_> = (0..SHAPE.targets).flat_map(bodies).collect();
        let stale: u64 = all.iter().map(|b| b.1).sum();
        assert_eq!(all.iter().map(|b| b.0 - b.1).sum::<u64>(), SHAPE.samples());
        assert_eq!(SHAPE.samples_by_name().values().sum::<u64>(), SHAPE.samples());
        // 2 targets of 3 pods, 40% an hour, 50 minutes: 2 pods are expected.
        assert!(stale >= GROUP as u64 && stale <= 10 * GROUP as u64, "{stale}");
        assert!(all.iter().all(|b| b.2 % 1000 != 0), "a sample on a whole second");
    }

    #[test]
    fn a_scrape_comes_every_fifteen_seconds_with_a_little_jitter() {
        let times: Vec<i64> = bodies(0).iter().filter(|b| b.1 == 0).map(|b| b.2).collect();
        for pair in times.windows(2) {
            assert!((14_990..=15_010).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
        let steps: BTreeSet<i64> = times.windows(2).map(|p| p[1] - p[0]).collect();
        assert!(steps.len() > 5, "{steps:?}");
    }
}
