//! Exemplars are found wherever they lie, and only those that were asked for.

use super::*;
use model::Exemplar;

fn exemplar(timestamp_ms: i64, trace_id: &str) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", trace_id)]),
        timestamp_ms,
        value: 1.5,
    }
}

fn put_exemplars(store: &Store, job: &str, exemplars: &[(i64, &str)]) {
    let exemplars = exemplars.iter().map(|(time, id)| exemplar(*time, id));
    let series = Series {
        exemplars: exemplars.collect(),
        ..series(labels("up", job), &[(NOON_MS, 1.0)])
    };
    now(store.write(batch(vec![series]))).unwrap();
}

fn is(name: &str, value: &str) -> Predicate {
    Predicate::labels(vec![
        model::Matcher::new(name, model::MatchOp::Equal, value).unwrap(),
    ])
}

/// By job, the trace ids in the order of the answer.
fn found(store: &Store, predicates: &[Predicate], start_ms: i64, end_ms: i64) -> Vec<(String, Vec<String>)> {
    let range = TimeRange::from_ms(start_ms, end_ms);
    let found = store
        .exemplars(&Name::default(), predicates, range, &Budget::unlimited())
        .unwrap();
    let ids = |exemplars: Vec<Exemplar>| {
        let id = |e: Exemplar| e.labels.get("trace_id").unwrap_or_default().to_owned();
        exemplars.into_iter().map(id).collect()
    };
    found
        .into_iter()
        .map(|(labels, exemplars)| (labels.get("job").unwrap_or_default().to_owned(), ids(exemplars)))
        .collect()
}

fn check(
    store: &Store,
    predicates: &[Predicate],
    (start_ms, end_ms): (i64, i64),
    expected: &[(&str, &[&str])],
) {
    let expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(job, ids)| (job.to_string(), ids.iter().map(ToString::to_string).collect()))
        .collect();
    assert_eq!(found(store, predicates, start_ms, end_ms), expected);
}

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

#[test]
fn exemplars_are_found_in_heads_and_parts() {
    let fs = FaultyFs::new(1);
    let store = open(&fs);
    let up = [is("__name__", "up")];
    put_exemplars(&store, "b", &[(NOON_MS - DAY_MS, "old"), (NOON_MS + 2, "late")]);
    check(&store, &up, ALL, &[("b", &["old", "late"])]);
    store.flush().unwrap();
    check(&store, &up, ALL, &[("b", &["old", "late"])]);
    // One between the others, one said again, and a series that sorts before.
    put_exemplars(&store, "b", &[(NOON_MS + 1, "middle"), (NOON_MS + 2, "late")]);
    put_exemplars(&store, "a", &[(NOON_MS, "other")]);
    let all: [(&str, &[&str]); 2] = [("a", &["other"]), ("b", &["old", "middle", "late"])];
    check(&store, &up, ALL, &all);
    store.compact().unwrap();
    check(&store, &up, ALL, &all);
    // Times, both included.
    check(
        &store,
        &up,
        (NOON_MS, NOON_MS + 1),
        &[("a", &["other"]), ("b", &["middle"])],
    );
    check(&store, &up, (NOON_MS + 3, i64::MAX), &[]);
    // Selectors.
    check(&store, &[is("job", "a")], ALL, &all[..1]);
    check(&store, &[is("job", "a"), is("job", "b")], ALL, &all);
    check(&store, &[is("job", "c")], ALL, &[]);
    check(&store, &[], ALL, &[]);
    drop(store);
    check(&open(&fs), &up, ALL, &all);
}

#[test]
fn deleted_and_expired_exemplars_are_not_found() {
    let fs = FaultyFs::new(1);
    let time = clock();
    let store = open_with(&fs, options(), &time).unwrap();
    let up = [is("__name__", "up")];
    put_exemplars(&store, "a", &[(NOON_MS, "gone"), (NOON_MS + 5, "kept")]);
    put_exemplars(&store, "b", &[(NOON_MS, "other")]);
    store
        .delete(
            &Name::default(),
            &[is("job", "a")],
            (NOON_MS - 1, NOON_MS + 1),
            &Budget::unlimited(),
        )
        .unwrap();
    let left: [(&str, &[&str]); 2] = [("a", &["kept"]), ("b", &["other"])];
    check(&store, &up, ALL, &left);
    store.clean().unwrap();
    check(&store, &up, ALL, &left);
    time.advance_ns((10 * DAY_MS as u64 + 1) * 1_000_000);
    check(&store, &up, ALL, &[("a", &["kept"])]);
}

#[test]
fn exemplars_are_paid_for() {
    let store = open(&FaultyFs::new(1));
    put_exemplars(&store, "a", &[(NOON_MS, "x"), (NOON_MS + 1, "y")]);
    let limits = model::BudgetLimits {
        max_samples: 1,
        ..model::BudgetLimits::UNLIMITED
    };
    let budget = Budget::new(limits, clock());
    let range = TimeRange::from_ms(ALL.0, ALL.1);
    let error = store
        .exemplars(&Name::default(), &[Predicate::all()], range, &budget)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
}
