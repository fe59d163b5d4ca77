//! What a series costs in memory and on disk, and that a merge of churned segments stays small.

use super::workload;
use super::*;
use std::collections::BTreeSet;
use storage::Rng;

#[test]
fn a_series_costs_what_was_promised() {
    let mut world = World::new(1);
    let series = 60_000;
    for (id, labels) in (1..).zip(workload::cluster(series, 9, 1)) {
        world.catalog.insert(id, &labels, 1_700_000_000_000);
    }
    let in_memory = world.catalog.memory_bytes() / series;
    assert!(in_memory < 200, "{in_memory} bytes in memory");
    world.persist();
    let on_disk = world.manifest[0].size_bytes as f64 / series as f64;
    assert!(on_disk < 25.0, "{on_disk} bytes on disk");
    let kept = world.catalog.segment_bytes() as f64 / series as f64;
    assert!(kept < 1.0, "{kept} bytes in memory of a series in a segment");
}

#[test]
fn churn_leaves_segments_that_hold_what_is_alive() {
    let mut world = World::new(1);
    let (mut rng, mut id) = (Rng::new(3), 0);
    let mut pods: Vec<Vec<SeriesId>> = Vec::new();
    let mut add_pod = |world: &World, pods: &mut Vec<Vec<SeriesId>>, rng: &mut Rng| {
        let mut ids = Vec::new();
        for labels in workload::pod(rng.below(20) as u32, rng) {
            id += 1;
            world.catalog.insert(id, &labels, 0);
            ids.push(id);
        }
        pods.push(ids);
    };
    for round in 0..30 {
        for _ in 0..20 {
            if pods.len() >= 100 {
                pods.swap_remove(rng.below(100) as usize);
            }
            add_pod(&world, &mut pods, &mut rng);
        }
        world.persist();
        let alive: BTreeSet<SeriesId> = pods.iter().flatten().copied().collect();
        while let Some(ids) = world.catalog.choose_merge() {
            world.merge(&ids, &|id| alive.contains(&id));
        }
        assert!(
            world.manifest.len() <= 8,
            "{} segments in round {round}",
            world.manifest.len()
        );
        let view = world.catalog.view();
        let found = select(&view, &Predicate::all());
        assert!(alive.iter().all(|id| found.binary_search(id).is_ok()));
        let counted = view
            .cardinality(Some(&alive.iter().copied().collect::<Vec<_>>()), 1)
            .unwrap();
        assert_eq!(counted.series, alive.len() as u64);
    }
    let ids = world.segment_ids();
    let alive: BTreeSet<SeriesId> = pods.iter().flatten().copied().collect();
    world.merge(&ids, &|id| alive.contains(&id));
    let found = select(&world.catalog.view(), &Predicate::all());
    assert!(found.into_iter().eq(alive), "a merge of all leaves what is alive");
}
