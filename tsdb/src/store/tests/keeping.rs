//! How long what is kept: deletion, retention by time, by rule and by size, and series that are gone.

use super::*;
use crate::options::RetentionRule;
use model::{MatchOp, Matcher};

pub(super) fn job(job: &str) -> Predicate {
    Predicate::Label(Matcher::new("job", MatchOp::Equal, job).unwrap())
}

pub(super) fn rule(of: &str, days: i64) -> RetentionRule {
    RetentionRule {
        name: format!("{of} {days}d"),
        selector: job(of),
        keep_ms: (days * DAY_MS) as u64,
    }
}

/// One sample at noon of each of the last days, for each job.
fn put_days(store: &Store, days: i64, jobs: &[&str]) {
    let samples: Vec<_> = (0..days).map(|d| (NOON_MS - d * DAY_MS, d as f64)).collect();
    let all = jobs
        .iter()
        .map(|job| series(labels("up", job), &samples))
        .collect();
    assert_eq!(now(store.write(batch(all))).unwrap().rejected_count(), 0);
}

/// The days, counted back from the first one, of which each job has a sample.
fn days(store: &Store) -> BTreeMap<String, Vec<i64>> {
    let rows = rows(store, &everything()).unwrap().into_iter();
    rows.map(|(labels, samples, ..)| {
        let days = samples.iter().map(|(time, _)| (NOON_MS - time) / DAY_MS);
        (labels.get("job").unwrap().to_owned(), days.rev().collect())
    })
    .collect()
}

fn expected<const N: usize>(jobs: [(&str, Vec<i64>); N]) -> BTreeMap<String, Vec<i64>> {
    jobs.into_iter()
        .map(|(job, days)| (job.to_owned(), days))
        .collect()
}

/// Whether some bytes stand anywhere on the disk.
fn on_disk(fs: &FaultyFs, dir: &Path, wanted: &[u8]) -> bool {
    let entries = fs.read_dir(dir).unwrap();
    entries.iter().any(|entry| {
        let path = dir.join(&entry.name);
        match entry.is_dir {
            true => on_disk(fs, &path, wanted),
            false => fs
                .read(&path, 1 << 30)
                .unwrap()
                .windows(wanted.len())
                .any(|w| w == wanted),
        }
    })
}

#[test]
fn what_is_deleted_is_hidden_at_once_stays_so_and_goes_for_good() {
    let (fs, clock) = (FaultyFs::new(1), clock());
    let mut store = open_with(&fs, options(), &clock).unwrap();
    put_days(&store, 3, &["a", "b"]);
    let range = (NOON_MS - DAY_MS, NOON_MS - DAY_MS);
    let delete = |store: &Store, job_name: &str, range| {
        store
            .delete(&Name::default(), &[job(job_name)], range, &Budget::unlimited())
            .unwrap()
    };
    assert_eq!(delete(&store, "a", range), 1);
    assert_eq!(delete(&store, "nobody", range), 0);
    let hidden = expected([("a", vec![0, 2]), ("b", vec![0, 1, 2])]);
    assert_eq!((days(&store), store.stats().tombstones), (hidden.clone(), 1));
    drop(store);
    fs.crash();
    store = open_with(&fs, options(), &clock).unwrap();
    assert_eq!(days(&store), hidden);
    // Background merges wait a while for more to be deleted.
    store.merge().unwrap();
    assert_eq!(store.stats().tombstones, 1);
    clock.advance_ns(options().tombstone_delay_ms * 1_000_000);
    store.merge().unwrap();
    assert_eq!((days(&store), store.stats().tombstones), (hidden, 0));
    assert_eq!(store.inner.context.metrics.removed_by_deletion.get(), 1);
    // What is written after a deletion is not meant by it.
    put(&store, &[(range.0, 7.0)]);
    assert_eq!(days(&store)["a"], [0, 1, 2]);
    drop(store);
    fs.crash();
    assert_eq!(days(&open_with(&fs, options(), &clock).unwrap())["a"], [0, 1, 2]);
}

#[test]
fn nothing_of_a_deleted_series_stays_on_the_disk() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let secret = "card-4929-1234";
    let write = |job: &str| {
        let all = vec![series(labels("up", job), &[(NOON_MS, 1.0)])];
        now(store.write(batch(all))).unwrap();
    };
    write("a");
    write(secret);
    assert!(on_disk(&fs, Path::new("/data"), secret.as_bytes()));
    let series = store.delete(
        &Name::default(),
        &[job(secret)],
        (i64::MIN, i64::MAX),
        &Budget::unlimited(),
    );
    assert_eq!(series.unwrap(), 1);
    assert_eq!(days(&store), expected([("a", vec![0])]));
    // Active series may send again: their labels stay until they are idle.
    let idle_ns = 3_600_000_000_000;
    drop(store);
    let clock = clock();
    let store = open_with(&fs, options(), &clock).unwrap();
    clock.advance_ns(idle_ns);
    store.maintain().unwrap();
    store.compact().unwrap();
    assert_eq!(store.stats().catalog_series, 1);
    drop(store);
    // The log's last segment goes with the next one.
    let store = open_with(&fs, options(), &clock).unwrap();
    for at in 0..40 {
        put(&store, &[(NOON_MS + at, 1.0)]);
    }
    store.compact().unwrap();
    assert!(
        !on_disk(&fs, Path::new("/data"), secret.as_bytes()),
        "the labels are gone"
    );
}

#[test]
fn too_many_deletions_are_refused_until_they_are_carried_out() {
    let fs = FaultyFs::new(1);
    let store = open_with(
        &fs,
        Options {
            max_tombstones: 2,
            ..options()
        },
        &clock(),
    )
    .unwrap();
    put_days(&store, 5, &["a"]);
    let delete = |day: i64| {
        let time = NOON_MS - day * DAY_MS;
        store.delete(&Name::default(), &[job("a")], (time, time), &Budget::unlimited())
    };
    delete(0).unwrap();
    delete(1).unwrap();
    let e = delete(2).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LimitReached);
    assert!(e.message().contains("clean_tombstones"), "{e}");
    store.clean().unwrap();
    delete(2).unwrap();
    assert_eq!(days(&store), expected([("a", vec![3, 4])]));
}

#[test]
fn of_the_rules_that_fit_a_series_the_first_holds() {
    let (fs, clock) = (FaultyFs::new(1), clock());
    let open = |rules: &[RetentionRule]| {
        let options = Options {
            retention_ms: Some(5 * DAY_MS as u64),
            retention_rules: rules.to_vec(),
            ..options()
        };
        open_with(&fs, options, &clock).unwrap()
    };
    let rules = [rule("short", 2), rule("long", 8), rule("short", 8)];
    let store = open(&rules);
    put_days(&store, 8, &["short", "long", "other"]);
    store.flush().unwrap();
    // A day goes when the whole of it is older.
    store.merge().unwrap();
    let kept = expected([
        ("short", (0..=2).collect()),
        ("long", (0..8).collect()),
        ("other", (0..=5).collect()),
    ]);
    assert_eq!(days(&store), kept);
    let removed = &store.inner.context.metrics;
    assert_eq!(removed.removed_by_rule.get(), 5 + 2);
    // Nothing more to do, also after a restart.
    let files = |fs: &FaultyFs| {
        fs.read_dir(Path::new("/data/metrics/default/parts"))
            .unwrap()
            .len()
    };
    let before = (fs.used_bytes(), files(&fs));
    drop(store);
    let store = open(&rules);
    assert!(!store.merge().unwrap());
    assert_eq!((fs.used_bytes(), files(&fs)), before);
    // What comes late for a day that is over goes too, and is counted.
    now(store.write(batch(vec![series(
        labels("up", "short"),
        &[(NOON_MS - 4 * DAY_MS, 1.0)],
    )])))
    .unwrap();
    store.flush().unwrap();
    while store.merge().unwrap() {}
    assert_eq!(days(&store), kept);
    // Other rules are another decision.
    drop(store);
    let store = open(&[rule("long", 1)]);
    while store.merge().unwrap() {}
    store.enforce_retention(clock.now_ms()).unwrap();
    assert_eq!(
        days(&store),
        expected([
            ("short", (0..=2).collect()),
            ("long", vec![0, 1]),
            ("other", (0..=5).collect())
        ])
    );
}

#[test]
fn the_oldest_days_go_for_size_and_the_newest_stays() {
    let fs = FaultyFs::new(1);
    let clock = clock();
    let store = open_with(&fs, options(), &clock).unwrap();
    put_days(&store, 6, &["a", "b"]);
    store.compact().unwrap();
    let stats = store.stats();
    let (all, day) = (
        stats.part_bytes + stats.catalog_bytes + stats.log_bytes,
        stats.part_bytes / 6,
    );
    drop(store);
    let open = |bytes: u64| {
        let options = Options {
            retention_bytes: Some(bytes),
            ..options()
        };
        open_with(&fs, options, &clock).unwrap()
    };
    let store = open(all + 2 * day);
    store.maintain().unwrap();
    assert_eq!(days(&store)["a"].len(), 6, "there is room");
    drop(store);
    let store = open(all - 2 * day + day / 2);
    store.maintain().unwrap();
    assert_eq!(days(&store)["a"], [0, 1, 2, 3]);
    drop(store);
    let store = open(1);
    store.maintain().unwrap();
    assert_eq!(days(&store), expected([("a", vec![0]), ("b", vec![0])]));
}

#[test]
fn series_of_which_nothing_is_left_leave_the_catalog_and_may_come_back() {
    let (fs, clock) = (FaultyFs::new(1), clock());
    let mut store = open_with(&fs, options(), &clock).unwrap();
    let old = labels("up", "old");
    let write = |store: &Store, labels: &Labels, time| {
        now(store.write(batch(vec![series(labels.clone(), &[(time, 1.0)])]))).unwrap()
    };
    write(&store, &old, NOON_MS - 9 * DAY_MS);
    write(&store, &labels("up", "new"), NOON_MS);
    store.compact().unwrap();
    assert_eq!(store.stats().catalog_series, 2);
    clock.advance_ns(3 * DAY_MS as u64 * 1_000_000);
    let later = NOON_MS + 3 * DAY_MS;
    write(&store, &labels("up", "new"), later);
    store.maintain().unwrap();
    store.compact().unwrap();
    assert_eq!(store.stats().catalog_series, 1, "nothing is left of the old one");
    let names = |store: &Store| store.label_values(&everything(), "job").unwrap();
    assert_eq!(names(&store), ["new"]);
    drop(store);
    fs.crash();
    store = open_with(&fs, options(), &clock).unwrap();
    assert_eq!(
        (store.stats().catalog_series, names(&store)),
        (1, vec!["new".to_owned()])
    );
    write(&store, &old, later);
    assert_eq!(names(&store), ["new", "old"]);
    drop(store);
    fs.crash();
    assert_eq!(names(&open_with(&fs, options(), &clock).unwrap()), ["new", "old"]);
}

#[test]
fn files_that_merges_made_needless_are_gone() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    for round in 0..40i64 {
        // New series in each flush, so that the catalog has segments to merge, too.
        let all = (0..5)
            .map(|n| {
                series(
                    labels("up", &format!("{round}-{n}")),
                    &[(NOON_MS + round * 1000, 1.0)],
                )
            })
            .collect();
        assert_eq!(now(store.write(batch(all))).unwrap().rejected_count(), 0);
        store.flush().unwrap();
        while store.merge().unwrap() {}
    }
    let dir = Path::new("/data/metrics/default");
    let manifest = String::from_utf8(fs.read(&dir.join("MANIFEST"), 1 << 20).unwrap()).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(manifest.split_once('\n').unwrap().1).unwrap();
    let entries = [&manifest["parts"], &manifest["state"]["catalog"]].map(|list| list.as_array().unwrap());
    let named: Vec<_> = entries
        .into_iter()
        .flatten()
        .map(|e| e["id"].as_u64().unwrap())
        .collect();
    let files = fs.read_dir(&dir.join("parts")).unwrap();
    assert!(
        files.len() == named.len() && named.len() < 20,
        "{files:?}, {named:?}"
    );
    assert_eq!(rows(&store, &everything()).unwrap().len(), 200);
}
