//! The series: counters with resets, gauges, classic histograms, gaps and ends.

use tests::remote_write::Series;

/// The first whole second of the data. In the past, so that nothing depends on when the test runs.
pub(crate) const START_S: i64 = 1_700_000_010;
/// The seconds of the data.
pub(crate) const LENGTH_S: i64 = 5400;
/// The seconds between two samples of a series.
const INTERVAL_S: i64 = 15;
/// The seconds of one request. Prometheus takes no samples that are an hour behind others.
const BATCH_S: i64 = 600;
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

const JOBS: [&str; 3] = ["api", "web", "db"];
const INSTANCES: usize = 4;
const CODES: [&str; 4] = ["200", "404", "500", "503"];
const BOUNDS: [&str; 7] = ["0.005", "0.05", "0.25", "1", "2.5", "10", "+Inf"];

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.below(1 << 40) as f64 / (1u64 << 40) as f64
    }
}

/// When a target is there, and at which milliseconds it is asked.
struct Target {
    labels: Vec<(&'static str, String)>,
    times_ms: Vec<i64>,
    /// Ends of its presence: a staleness marker follows.
    ends_ms: Vec<i64>,
}

fn target(job: &str, instance: usize, random: &mut Random) -> Target {
    // Never on a whole second.
    let offset_ms =
        1 + i64::try_from(random.below(980)).unwrap() + 1000 * i64::try_from(random.below(14)).unwrap();
    let mut times_ms = Vec::new();
    let mut ends_ms = Vec::new();
    let samples = LENGTH_S / INTERVAL_S;
    let gap = match instance {
        // Away for six minutes, with and without a marker, and for a few samples.
        1 | 2 => 120..144,
        3 => 200..203,
        _ => 0..0,
    };
    for number in 0..samples {
        let jitter_ms = i64::try_from(random.below(19)).unwrap();
        let time_ms = START_S * 1000 + number * INTERVAL_S * 1000 + offset_ms + jitter_ms;
        if gap.contains(&number) {
            if number == gap.start && instance == 1 {
                ends_ms.push(time_ms);
            }
            continue;
        }
        // The last target of the last job comes late, and one goes early.
        let (is_late, is_early) = (job == "db" && instance == 3, job == "web" && instance == 0);
        if (is_late && number < 150) || (is_early && number > 300) {
            continue;
        }
        if is_early && number == 300 {
            ends_ms.push(time_ms);
            continue;
        }
        times_ms.push(time_ms);
    }
    Target {
        labels: vec![
            ("job", job.to_owned()),
            ("instance", format!("{job}-{instance}:9100")),
            ("zone", ["north", "south"][instance % 2].to_owned()),
        ],
        times_ms,
        ends_ms,
    }
}

/// All series of one target.
fn series_of(target: &Target, random: &mut Random, all: &mut Vec<Series<'static>>) {
    let mut add = |name: &str, more: &[(&'static str, &str)], values: Vec<f64>| {
        let mut labels = target.labels.clone();
        labels.push(("__name__", name.to_owned()));
        labels.extend(more.iter().map(|(k, v)| (*k, (*v).to_owned())));
        let mut samples: Vec<(i64, f64)> = target.times_ms.iter().copied().zip(values).collect();
        samples.extend(target.ends_ms.iter().map(|t| (*t, f64::from_bits(STALE_NAN))));
        samples.sort_by_key(|s| s.0);
        all.push((labels, samples));
    };
    let count = target.times_ms.len();
    for code in CODES {
        add("requests_total", &[("code", code)], counter(count, 40, random));
    }
    add("bytes_total", &[], counter(count, 90_000, random));
    for disk in ["sda", "sdb"] {
        add("temperature", &[("disk", disk)], gauge(count, 40.0, random));
    }
    add("balance", &[], gauge(count, -3.0, random));
    add("weight", &[], gauge(count, 70.0, random));
    add("up", &[], vec![1.0; count]);
    add(
        "boot_time_seconds",
        &[],
        (0..count)
            .map(|i| (1_600_000_000 + i / 100 * 3661) as f64)
            .collect(),
    );
    add("odd", &[], (0..count).map(odd).collect());
    let (buckets, sum) = histogram(count, random);
    for (bound, values) in BOUNDS.iter().zip(&buckets) {
        add("latency_seconds_bucket", &[("le", bound)], values.clone());
    }
    add("latency_seconds_count", &[], buckets[BOUNDS.len() - 1].clone());
    add("latency_seconds_sum", &[], sum);
}

/// Rises from 0 or from far above it, and starts anew now and then.
fn counter(count: usize, most: u64, random: &mut Random) -> Vec<f64> {
    let mut value = if random.below(2) == 0 { 0 } else { most * 1000 };
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(value as f64);
        value = if random.below(120) == 0 {
            random.below(most)
        } else {
            value + random.below(most)
        };
    }
    values
}

/// Wanders around a value, and never has the same value twice.
fn gauge(count: usize, around: f64, random: &mut Random) -> Vec<f64> {
    let mut value = around;
    let mut step = || {
        value = around + (value - around) * 0.9 + (random.fraction() - 0.5) * 8.0;
        value
    };
    (0..count).map(|_| step()).collect()
}

/// Values that are no ordinary numbers among ones that are.
fn odd(number: usize) -> f64 {
    match number % 11 {
        3 => f64::NAN,
        5 => f64::INFINITY,
        8 => f64::NEG_INFINITY,
        n => n as f64 / 4.0,
    }
}

/// Cumulative counts by bound, and the sum.
fn histogram(count: usize, random: &mut Random) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut counts = [0u64; BOUNDS.len()];
    let mut total = 0.0;
    let (mut buckets, mut sums) = (vec![Vec::new(); BOUNDS.len()], Vec::new());
    for _ in 0..count {
        for (bucket, values) in buckets.iter_mut().enumerate() {
            values.push(counts[..=bucket].iter().sum::<u64>() as f64);
        }
        sums.push(total);
        for _ in 0..random.below(12) {
            let bucket = usize::try_from(random.below(BOUNDS.len() as u64)).unwrap();
            counts[bucket] += 1;
            total += BOUNDS[bucket]
                .parse()
                .ok()
                .filter(|b: &f64| b.is_finite())
                .unwrap_or(17.5);
        }
    }
    (buckets, sums)
}

/// Requests in order of time, with all series.
pub(crate) fn batches() -> Vec<Vec<Series<'static>>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut all = Vec::new();
    for job in JOBS {
        for instance in 0..INSTANCES {
            let target = target(job, instance, &mut random);
            series_of(&target, &mut random, &mut all);
        }
    }
    let first_ms = START_S * 1000;
    let batch = |number: i64| {
        let from_ms = first_ms + number * BATCH_S * 1000;
        let part = |(labels, samples): &Series<'static>| {
            let due = |s: &&(i64, f64)| (from_ms..from_ms + BATCH_S * 1000).contains(&s.0);
            (
                labels.clone(),
                samples.iter().filter(due).copied().collect::<Vec<_>>(),
            )
        };
        let parts = all.iter().map(part);
        parts.filter(|(_, samples)| !samples.is_empty()).collect()
    };
    (0..=LENGTH_S / BATCH_S)
        .map(batch)
        .filter(|b: &Vec<_>| !b.is_empty())
        .collect()
}
