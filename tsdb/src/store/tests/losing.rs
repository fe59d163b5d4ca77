//! Samples that go before others of their day do, and the windows that stay of them.

use super::keeping::{job, rule};
use super::rollups::{self, Bed, HOUR_MS, M5, MIDNIGHT_MS, Samples, asking, points, same, some_days};
use super::*;
use crate::samples::partition_of;
use crate::tenant::Oldest;
use model::{Resolution, RolledUp};

/// The one with the rule is kept for a day, others for six.
fn options_with_rule() -> Options {
    Options {
        retention_ms: Some(6 * DAY_MS as u64),
        retention_rules: vec![rule("short", 1)],
        ..rollups::options()
    }
}

fn put_job(store: &Store, job: &str, samples: &Samples) {
    let samples: Vec<(i64, f64)> = samples.iter().map(|(t, v)| (*t, *v)).collect();
    let outcome = now(store.write(batch(vec![series(labels("up", job), &samples)]))).unwrap();
    assert_eq!(outcome.rejected_count(), 0);
}

fn asking_for(job_name: &str, function: &str, resolution: Resolution) -> ScanRequest {
    let mut request = asking(function, resolution);
    request.predicate = job(job_name);
    request
}

/// The points of the only series of an answer, and what of them is windows.
fn answer(store: &Store, request: &ScanRequest) -> (Vec<(i64, f64)>, Arc<[RolledUp]>) {
    let mut rows = store.scan(request).unwrap().rows();
    let data = rows.next().transpose().unwrap().unwrap_or_default();
    assert!(rows.next().is_none());
    let points = data.timestamps_ms.into_iter().zip(data.values).collect();
    (points, data.rolled_up)
}

/// Compares what is said of a job with what looking at all its samples gives. Gives back the stretches of windows.
fn check(store: &Store, job: &str, samples: &Samples, resolution: Resolution) -> Vec<RolledUp> {
    let mut stretches = None;
    for (function, column) in [
        ("count_over_time", 0),
        ("sum_over_time", 1),
        ("max_over_time", 3),
        ("last_over_time", 4),
    ] {
        let (got, rolled_up) = answer(store, &asking_for(job, function, resolution));
        assert!(rolled_up.is_sorted_by(|a, b| a.until_ms <= b.after_ms));
        let expected = points(samples, &rolled_up, i64::MIN);
        let of_column = expected.into_iter().filter_map(|(time, width, window)| {
            let columns = window.of_samples?;
            Some((time, columns[if width == 0 { 4 } else { column }]))
        });
        same(
            &got,
            &of_column.collect::<Vec<_>>(),
            &format!("{function} of {job}"),
        );
        stretches = Some(rolled_up.to_vec());
    }
    stretches.unwrap_or_default()
}

fn raw_days(store: &Store, job: &str) -> Vec<i64> {
    let (points, _) = answer(store, &asking_for(job, "", Resolution::Raw));
    let mut days: Vec<i64> = points
        .iter()
        .map(|p| (p.0 - MIDNIGHT_MS).div_euclid(DAY_MS))
        .collect();
    days.dedup();
    days
}

/// A bed in which a rule took the samples of two days of one series, and another one has them.
fn after_the_rule() -> (Bed, Samples) {
    let bed = Bed::with(options_with_rule());
    let samples = some_days(-1..1);
    put_job(&bed.store, "short", &samples);
    put_job(&bed.store, "long", &samples);
    bed.upkeep();
    bed.advance(DAY_MS);
    bed.store.flush().unwrap();
    // The rule wants the first day, of which windows are not made.
    bed.upkeep();
    assert_eq!(raw_days(&bed.store, "short"), [-1, 0]);
    bed.advance(DAY_MS);
    bed.upkeep();
    assert_eq!(raw_days(&bed.store, "short"), [-1, 0]);
    bed.advance(HOUR_MS);
    bed.upkeep();
    bed.upkeep();
    assert_eq!(raw_days(&bed.store, "short"), [] as [i64; 0]);
    assert_eq!(raw_days(&bed.store, "long"), [-1, 0]);
    (bed, samples)
}

#[test]
fn a_series_without_samples_is_answered_from_the_windows_of_the_day() {
    let (mut bed, samples) = after_the_rule();
    for _ in 0..2 {
        let stretches = check(&bed.store, "short", &samples, Resolution::Auto);
        // The first sample stands at a midnight: its window is of the day before.
        let widths: Vec<_> = stretches.iter().map(|s| s.resolution_ms).collect();
        assert_eq!(widths, [M5]);
        assert_eq!(
            check(&bed.store, "long", &samples, Resolution::Auto)
                .iter()
                .map(|s| s.until_ms)
                .max(),
            Some(MIDNIGHT_MS - DAY_MS)
        );
        check(&bed.store, "short", &samples, Resolution::AtMost(HOUR_MS));
        check(&bed.store, "long", &samples, Resolution::AtMost(HOUR_MS));
        bed.reopen();
    }
    let request = asking_for("short", "", Resolution::Auto);
    answer(&bed.store, &request);
    let noted = request.budget.rolled_up();
    assert_eq!(noted.iter().map(|s| s.resolution_ms).collect::<Vec<_>>(), [M5]);
    let names = |resolution| bed.store.label_values(&asking("", resolution), "job").unwrap();
    assert_eq!(names(Resolution::Auto), ["long", "short"]);
    assert_eq!(names(Resolution::Raw), ["long"]);
    assert_eq!(bed.store.series(&asking("", Resolution::Auto)).unwrap().len(), 2);
    // A few hours around a midnight.
    let mut request = asking_for("short", "last_over_time", Resolution::Auto);
    request.range = TimeRange::from_ms(MIDNIGHT_MS - 6 * HOUR_MS, MIDNIGHT_MS + 6 * HOUR_MS);
    let (got, _) = answer(&bed.store, &request);
    assert!(got.is_sorted_by(|a, b| a.0 < b.0));
    let asked = got.iter().filter(|p| p.0 >= MIDNIGHT_MS - 6 * HOUR_MS).count();
    // At each full hour one window ends with one sample, and three more follow.
    assert_eq!(asked, 12 * 4 + 1);
}

#[test]
fn a_late_sample_shows_until_it_is_in_the_windows() {
    let (bed, mut samples) = after_the_rule();
    let late = Samples::from([(MIDNIGHT_MS - 20 * 60_000, 1000.0)]);
    put_job(&bed.store, "short", &late);
    // In memory, and in a file.
    for _ in 0..2 {
        let (got, _) = answer(
            &bed.store,
            &asking_for("short", "last_over_time", Resolution::Auto),
        );
        let of_day = got
            .iter()
            .filter(|p| MIDNIGHT_MS - DAY_MS < p.0 && p.0 < MIDNIGHT_MS);
        assert_eq!(of_day.collect::<Vec<_>>(), [&(MIDNIGHT_MS - 20 * 60_000, 1000.0)]);
        bed.store.flush().unwrap();
    }
    bed.upkeep();
    assert_eq!(raw_days(&bed.store, "short"), [-1], "it waits for its window");
    bed.advance(HOUR_MS);
    bed.upkeep();
    bed.upkeep();
    assert_eq!(raw_days(&bed.store, "short"), [] as [i64; 0]);
    samples.extend(late);
    check(&bed.store, "short", &samples, Resolution::Auto);
}

#[test]
fn windows_made_anew_keep_what_samples_have_gone_and_lose_what_was_deleted() {
    let (bed, samples) = after_the_rule();
    let (mut of_long, mut of_short) = (samples.clone(), samples);
    let range = (MIDNIGHT_MS - 10 * HOUR_MS + 1, MIDNIGHT_MS - 8 * HOUR_MS - 1);
    let delete = |selector| {
        bed.store
            .delete(&Name::default(), &[selector], range, &Budget::unlimited())
    };
    assert_eq!(delete(job("short")).unwrap(), 1);
    of_short.retain(|time, _| !(range.0..=range.1).contains(time));
    let late = Samples::from([(MIDNIGHT_MS - 25 * 60_000, 77.0)]);
    put_job(&bed.store, "long", &late);
    of_long.extend(late);
    bed.store.flush().unwrap();
    let parts = bed.parts();
    bed.upkeep();
    bed.advance(HOUR_MS);
    bed.upkeep();
    assert_eq!(bed.parts()[&(M5 as u64)], parts[&(M5 as u64)]);
    check(&bed.store, "long", &of_long, Resolution::AtMost(M5));
    let (got, _) = answer(
        &bed.store,
        &asking_for("short", "count_over_time", Resolution::Auto),
    );
    let up = |time: &i64| (time - 1).div_euclid(M5) * M5 + M5;
    let mut ends: Vec<i64> = of_short.keys().map(up).collect();
    ends.dedup();
    // The window that ends at the first full hour has a deleted time, too: a window goes with any.
    ends.retain(|end| !(range.0..range.1 + M5).contains(end));
    same(
        &got.iter().map(|p| p.0).collect::<Vec<_>>(),
        &ends,
        "what was not deleted",
    );
}

#[test]
fn what_can_be_read_of_a_damaged_day_is_rolled_up_in_the_end() {
    let bed = Bed::with(rollups::options());
    let mut samples = some_days(-1..0);
    samples.pop_first();
    put_job(&bed.store, "a", &samples);
    put_job(&bed.store, "b", &samples);
    bed.advance(DAY_MS + 4 * HOUR_MS);
    bed.store.compact().unwrap();
    let is_raw = |bytes: &[u8]| bytes.get(8..12) == Some(b"SMPL");
    let mut files: Vec<_> = bed
        .fs
        .snapshot()
        .into_iter()
        .filter(|(_, bytes)| is_raw(bytes))
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    // Files of windows came later.
    bed.fs.flip_bit(&files[0].0, 64 * 8);
    let late = Samples::from([(MIDNIGHT_MS - 25 * 60_000, 77.0)]);
    put_job(&bed.store, "b", &late);
    bed.store.flush().unwrap();
    let metrics = &bed.store.inner.context.metrics;
    let mut days = 0;
    while bed.parts().contains_key(&0) {
        assert_eq!(metrics.roll_up_given_up.get(), 0, "{days}");
        bed.advance(DAY_MS);
        drop(bed.store.merge());
        bed.store.maintain().unwrap();
        days += 1;
        assert!(days < 10);
    }
    assert_eq!((days, metrics.roll_up_given_up.get()), (5, 1));
    assert!(metrics.roll_up_failed.get() > 0);
    check(&bed.store, "a", &samples, Resolution::Auto);
    samples.extend(late);
    check(&bed.store, "b", &samples, Resolution::Auto);
}

#[test]
fn for_size_samples_go_before_windows() {
    let bed = Bed::with(Options {
        retention_ms: Some(20 * DAY_MS as u64),
        retention_bytes: Some(u64::MAX),
        ..rollups::options()
    });
    let samples = some_days(-3..1);
    put_job(&bed.store, "a", &samples);
    bed.advance(2 * DAY_MS);
    bed.store.compact().unwrap();
    let tenant = bed.store.tenant(&Name::default()).unwrap();
    let first = partition_of(NOON_MS);
    let remove = |expected: Oldest| {
        assert_eq!(tenant.oldest(), Some(expected));
        tenant.remove_oldest(expected).unwrap();
    };
    for day in -3..0 {
        remove(Oldest::Samples(first + day));
        check(&bed.store, "a", &samples, Resolution::Auto);
    }
    // Late data of another series hides nothing, and does not make windows of nothing.
    let late = Samples::from([(MIDNIGHT_MS - 25 * 60_000, 77.0)]);
    put_job(&bed.store, "b", &late);
    for _ in 0..3 {
        bed.store.flush().unwrap();
        check(&bed.store, "a", &samples, Resolution::Auto);
        bed.upkeep();
        bed.advance(HOUR_MS);
    }
    check(&bed.store, "b", &late, Resolution::Auto);
    remove(Oldest::Samples(first - 1));
    for day in -4..0 {
        remove(Oldest::Day(first + day));
    }
    assert_eq!(tenant.oldest(), None);
    assert_eq!(raw_days(&bed.store, "a"), [0]);
}
