//! Is everything there, and as it was sent: counts of all samples, and whole windows read back bit for bit.

use crate::api::{self, Labels};
use crate::bodies::Encoded;
use crate::http::Connection;
use crate::report::Figures;
use crate::server::Server;
use crate::target::{Shape, Target};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Samples that one counting query looks at, about.
const SAMPLES_PER_QUERY: u64 = 5_000_000;

/// Counts every metric name over the whole time, in windows that no query limit minds. Staleness markers are no
/// samples. Gives how many samples are missing (or too many, below 0).
pub(crate) fn count(server: &Server, encoded: &Encoded, figures: &mut Figures) -> Result<i64> {
    let (mut sent, mut stored) = (0, 0);
    let ((start_s, end_s), matcher) = (encoded.range_s, &encoded.matcher);
    for (name, expected) in &encoded.samples_by_name {
        let windows = (expected / SAMPLES_PER_QUERY + 1) as i64;
        let window_s = (end_s - start_s + windows - 1) / windows;
        let mut found = 0;
        for k in 0..windows {
            let expression = format!("sum(count_over_time({{__name__=\"{name}\",{matcher}}}[{window_s}s]))");
            found += api::value(server, &expression, end_s - k * window_s)? as u64;
        }
        if found != *expected && figures.notes.len() < 3 {
            figures.note(format!("{name}: {found} of {expected} samples are there"));
        }
        sent += expected;
        stored += found;
    }
    figures.fact("samples sent", sent as f64);
    figures.fact("samples stored", stored as f64);
    Ok(sent as i64 - stored as i64)
}

/// What reading back gave.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ReadBack {
    pub(crate) expected: u64,
    pub(crate) missing: u64,
    /// The earliest time of a missing one.
    pub(crate) first_missing_ms: Option<i64>,
    /// There, with other bits.
    pub(crate) changed: u64,
    /// There, though never acknowledged; no fault.
    pub(crate) more: u64,
}

impl std::ops::AddAssign for ReadBack {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.missing += other.missing;
        self.first_missing_ms = self
            .first_missing_ms
            .into_iter()
            .chain(other.first_missing_ms)
            .min();
        self.changed += other.changed;
        self.more += other.more;
    }
}

/// Reads one target's samples of the last `window_s` seconds before the data's end and compares those whose times are
/// `wanted`.
pub(crate) fn read_back(
    server: &Server,
    shape: Shape,
    target: usize,
    window_s: i64,
    wanted: impl Fn(i64) -> bool,
) -> Result<ReadBack> {
    let expression = format!(
        "{{instance=\"{}\"}}[{window_s}s]",
        crate::series::instance(target)
    );
    let body = api::fetch(
        &mut Connection::new(server.port),
        &api::instant(server, &expression, shape.end_s()),
    )?;
    let mut found: BTreeMap<Labels, BTreeMap<i64, u64>> = BTreeMap::new();
    for series in api::series(&body)? {
        let points = series
            .points()?
            .into_iter()
            .map(|(time_ms, value)| (time_ms, value.to_bits()));
        found.entry(series.metric.clone()).or_default().extend(points);
    }
    let from_ms = (shape.end_s() - window_s) * 1000;
    let (mut result, mut times) = (ReadBack::default(), BTreeSet::new());
    let mut running = Target::new(shape, target);
    let mut labels: BTreeMap<(usize, usize), Vec<Labels>> = BTreeMap::new();
    while running.advance() {
        let time_ms = running.time_ms();
        if time_ms <= from_ms || !wanted(time_ms) {
            continue;
        }
        times.insert(time_ms);
        for group in running.groups() {
            let identity = group.identity();
            let sets = labels
                .entry((identity.slot, identity.generation))
                .or_insert_with(|| {
                    let owned =
                        |set: Vec<(&str, String)>| set.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
                    group.labels().into_iter().map(owned).collect()
                });
            for (set, value) in sets.iter().zip(group.values()) {
                result.expected += 1;
                match found.get(set).and_then(|points| points.get(&time_ms)) {
                    None => {
                        result.missing += 1;
                        result.first_missing_ms.get_or_insert(time_ms);
                    }
                    Some(bits) if *bits != value.to_bits() => result.changed += 1,
                    Some(_) => {}
                }
            }
        }
    }
    let all = found.values().flat_map(BTreeMap::keys);
    result.more = all.filter(|t| !times.contains(t)).count() as u64;
    Ok(result)
}
