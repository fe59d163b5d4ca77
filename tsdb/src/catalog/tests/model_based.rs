//! The catalog against a map of ids to labels.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Step {
    /// New series; the numbers bring some ids out of order.
    Insert(Vec<(Vec<(String, String)>, u8)>),
    InsertAgain,
    Persist,
    /// Merges some neighbours, keeping what the number says.
    Merge {
        from: usize,
        count: usize,
        modulus: u64,
    },
    Reopen,
    /// The power fails after a segment was written and before the manifest names it.
    CrashBeforeManifest,
    Look(Vec<Tree>),
}

/// A predicate, so that it can be shown when a test fails.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(&'static str, MatchOp, &'static str),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

impl Tree {
    fn predicate(&self) -> Predicate {
        let all = |parts: &[Tree]| parts.iter().map(Tree::predicate).collect();
        match self {
            Self::Leaf(name, op, value) => Predicate::Label(matcher(name, *op, value)),
            Self::And(parts) => Predicate::And(all(parts)),
            Self::Or(parts) => Predicate::Or(all(parts)),
            Self::Not(part) => Predicate::Not(Box::new(part.predicate())),
        }
    }
}

fn leaf() -> impl Strategy<Value = Tree> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let names = prop::sample::select(vec!["__name__", "a", "b", "pod", "none"]);
    let texts = (
        prop::sample::select(vec![Equal, NotEqual]),
        prop::sample::select(vec!["x", "y", "", "m1", "pod-12", "nope"]),
    );
    let expressions = (
        prop::sample::select(vec![Regex, NotRegex]),
        prop::sample::select(vec![
            "x|y",
            "x|",
            ".+",
            ".*",
            "",
            "pod-1.*",
            "pod-(1|2)",
            "(x|m1|m2)",
            "m.",
            "nope.*",
            "[xy]",
            ".*1",
        ]),
    );
    (names, prop_oneof![texts, expressions]).prop_map(|(name, (op, value))| Tree::Leaf(name, op, value))
}
fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(3, 8, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            4 => list.clone().prop_map(Tree::And),
            1 => list.prop_map(Tree::Or),
            1 => inner.prop_map(|t| Tree::Not(Box::new(t))),
        ]
    })
}
fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let optional = |name: &'static str, value: &'static str| {
        prop::option::weighted(0.7, value).prop_map(move |v| v.map(|v| (name.to_owned(), v)))
    };
    let labels = (
        optional("__name__", "m[0-4]"),
        optional("a", "[xyz]"),
        optional("b", "[xy]{1,2}"),
        optional("pod", "pod-[0-9]{1,2}"),
        optional("ü", "[é\"|]{1,3}"),
    );
    labels.prop_map(|(a, b, c, d, e)| [a, b, c, d, e].into_iter().flatten().collect())
}
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((pairs(), 0u8..4), 1..120).prop_map(Step::Insert),
        1 => Just(Step::InsertAgain),
        3 => Just(Step::Persist),
        2 => (0usize..4, 1usize..5, 1u64..5).prop_map(|(from, count, modulus)| Step::Merge { from, count, modulus }),
        1 => Just(Step::Reopen),
        1 => Just(Step::CrashBeforeManifest),
        3 => prop::collection::vec(tree(), 1..5).prop_map(Step::Look),
    ]
}

/// What the catalog should hold.
#[derive(Default)]
struct Expected {
    series: BTreeMap<SeriesId, Labels>,
    persisted: BTreeSet<SeriesId>,
    next_id: SeriesId,
}

fn insert(world: &World, expected: &mut Expected, new: &[(Vec<(String, String)>, u8)]) {
    let mut batch = Vec::new();
    for (pairs, gap) in new {
        expected.next_id += 1 + u64::from(*gap == 3) * 40;
        let labels = Labels::from_pairs(pairs.iter().cloned());
        if world.catalog.find(&labels).unwrap().is_none()
            && batch.iter().all(|(_, other, _)| *other != labels)
        {
            batch.push((expected.next_id, labels, *gap));
        }
    }
    batch.sort_by_key(|(id, _, gap)| (u8::from(*gap == 2), *id));
    for (id, labels, gap) in batch {
        world
            .catalog
            .insert(id, &labels, i64::from(gap) * source::HOUR_MS - 1);
        expected.series.insert(id, labels);
    }
}

fn run(world: &mut World, expected: &mut Expected, step: &Step) {
    match step {
        Step::Insert(new) => insert(world, expected, new),
        Step::InsertAgain => {
            let before = world.catalog.memory_series();
            for (id, labels) in &expected.series {
                world.catalog.insert(*id, labels, 0);
            }
            assert_eq!(world.catalog.memory_series(), before);
        }
        Step::Persist => {
            world.persist();
            assert_eq!(world.catalog.memory_series(), 0);
            expected.persisted = expected.series.keys().copied().collect();
        }
        Step::Merge { from, count, modulus } => merge(world, expected, *from, *count, *modulus),
        Step::Reopen => {
            world.reopen();
            forget_memory(expected);
        }
        Step::CrashBeforeManifest => {
            let file = world.file();
            world.fs.fail_power_after(file % 7);
            let _ = world.catalog.write_memory(file);
            // Whatever became of the file, memory is as it was.
            world.fs.crash();
            world.reopen();
            forget_memory(expected);
        }
        Step::Look(trees) => look(world, expected, trees),
    }
}

fn forget_memory(expected: &mut Expected) {
    let persisted = &expected.persisted;
    expected.series.retain(|id, _| persisted.contains(id));
}

fn merge(world: &mut World, expected: &mut Expected, from: usize, count: usize, modulus: u64) {
    let ids: Vec<u64> = world.segment_ids().into_iter().skip(from).take(count).collect();
    let chosen = world.manifest.iter().filter(|e| ids.contains(&e.id));
    let before: u64 = chosen.clone().map(|e| e.meta.series).sum();
    let kept: u64 = chosen
        .flat_map(|e| e.meta.first_id..=e.meta.last_id)
        .filter(|id| expected.persisted.contains(id))
        .count() as u64;
    let view = world.catalog.view();
    let all_before = select(&view, &Predicate::all());
    world.merge(&ids, &|id| !id.is_multiple_of(modulus + 1));
    // A look from before sees what it saw, though the files are gone.
    assert_eq!(all_labels(&view, &all_before).len(), all_before.len());
    let after = select(&world.catalog.view(), &Predicate::all());
    let gone: Vec<_> = all_before
        .iter()
        .filter(|id| after.binary_search(id).is_err())
        .collect();
    assert!(gone.iter().all(|id| id.is_multiple_of(modulus + 1)) && gone.len() as u64 <= before.min(kept));
    for id in gone {
        expected.series.remove(id);
        expected.persisted.remove(id);
    }
    let merged = world.manifest.last().filter(|_| !ids.is_empty());
    if let Some(merged) = merged.filter(|e| e.id == world.next_file) {
        let range = merged.meta.first_id..=merged.meta.last_id;
        assert!(range.contains(&merged.meta.first_id) && merged.meta.series <= before);
    }
}

fn look(world: &World, expected: &Expected, trees: &[Tree]) {
    let view = world.catalog.view();
    // What comes later is not in the view.
    world
        .catalog
        .insert(expected.next_id + 1, &labels(&[("a", "x"), ("pod", "later")]), 0);
    let all: Vec<SeriesId> = expected.series.keys().copied().collect();
    let pairs: Vec<_> = expected.series.iter().map(|(id, l)| (*id, l.clone())).collect();
    assert_eq!(all_labels(&view, &all), pairs);
    for (id, labels) in pairs.iter().step_by(7) {
        assert_eq!(world.catalog.find(labels).unwrap(), Some(*id));
        assert!(world.catalog.contains(*id).unwrap());
        let mut other = labels.to_builder();
        other.set("a", "other");
        assert_eq!(world.catalog.find(&other.build()).unwrap(), None);
    }
    for tree in trees {
        let predicate = tree.predicate();
        let wanted = |(_, labels): &(&SeriesId, &Labels)| predicate.on_labels(labels) == Some(true);
        let ids: Vec<_> = expected.series.iter().filter(wanted).map(|(id, _)| *id).collect();
        assert_eq!(select(&view, &predicate), ids, "{tree:?}");
        for given in [None, Some(&ids[..])] {
            let given_labels = || {
                let chosen = expected
                    .series
                    .iter()
                    .filter(|(id, _)| given.is_none_or(|g| g.contains(id)));
                chosen.map(|(_, labels)| labels)
            };
            let names: BTreeSet<&str> = given_labels().flat_map(|l| l.iter().map(|(n, _)| n)).collect();
            assert!(
                view.label_names(given).unwrap().iter().eq(names.iter()),
                "{tree:?}"
            );
            for name in ["__name__", "pod", "ü", "none"] {
                let values: BTreeSet<&str> = given_labels().filter_map(|l| l.get(name)).collect();
                assert!(
                    view.label_values(name, given).unwrap().iter().eq(values.iter()),
                    "{tree:?} {name}"
                );
            }
            let found = view.cardinality(given, 3).unwrap();
            assert_eq!(found, cardinality_of(&given_labels().collect::<Vec<_>>(), &found));
        }
    }
}

/// What should be counted; times of creation are taken as they are but for their sum.
fn cardinality_of(series: &[&Labels], found: &Cardinality) -> Cardinality {
    assert_eq!(
        found.created_by_hour.iter().map(|(_, n)| n).sum::<u64>(),
        series.len() as u64
    );
    let mut by_pair: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for pair in series.iter().flat_map(|l| l.iter()) {
        *by_pair.entry(pair).or_default() += 1;
    }
    let (mut values, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    for ((name, value), series) in &by_pair {
        *values.entry(*name).or_insert(0) += 1;
        *bytes.entry(*name).or_insert(0) += series * value.len() as u64;
    }
    fn top<K: Ord>(counts: impl Iterator<Item = (K, u64)>) -> Vec<(K, u64)> {
        let mut list: Vec<_> = counts.collect();
        list.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
        list.truncate(3);
        list
    }
    let owned = |list: Vec<(&str, u64)>| list.into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
    let metrics = by_pair.iter().filter(|((name, _), _)| *name == "__name__");
    Cardinality {
        series: series.len() as u64,
        pairs: by_pair.len() as u64,
        names: values.len() as u64,
        series_by_metric: owned(top(metrics.map(|((_, value), n)| (*value, *n)))),
        values_by_name: owned(top(values.clone().into_iter())),
        bytes_by_name: owned(top(bytes.into_iter())),
        series_by_pair: top(by_pair.iter().map(|(k, n)| (*k, *n)))
            .into_iter()
            .map(|((name, value), n)| (name.to_owned(), value.to_owned(), n))
            .collect(),
        created_by_hour: found.created_by_hour.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_catalog_is_a_map_of_ids_to_labels(seed: u64, steps in prop::collection::vec(step(), 1..16), end in prop::collection::vec(tree(), 3)) {
        let mut world = World::new(seed);
        let mut expected = Expected::default();
        for step in steps.iter().chain([&Step::Look(end)]) {
            run(&mut world, &mut expected, step);
            if matches!(step, Step::Look(_)) {
                // Out of the way of what comes: the series that was inserted behind the view's back.
                world.persist();
                let ids = world.segment_ids();
                expected.next_id += 1;
                world.merge(&ids, &|id| id != expected.next_id);
                expected.persisted = expected.series.keys().copied().collect();
            }
        }
    }
}
