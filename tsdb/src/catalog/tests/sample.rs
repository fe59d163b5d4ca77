//! A kept segment of encoding 1: it must stay readable, and what is written today must look the same.

use super::*;

const SAMPLE: &[u8] = include_bytes!("../../../testdata/catalog-1/00000000000000000007.part");

/// The series that stand in the sample: id, hour of creation, labels.
fn series() -> Vec<(SeriesId, i64, Labels)> {
    let mut list = Vec::new();
    for pod in 0..30u64 {
        let name = format!("web-7d9c{pod:04}-x{}", pod * 7919 % 9973);
        let instance = format!("node-{}.example:9100", pod % 4);
        for (at, metric) in ["up", "requests_total", "memory_bytes"].into_iter().enumerate() {
            let mut pairs = vec![
                ("__name__", metric),
                ("pod", name.as_str()),
                ("instance", &instance),
            ];
            if at == 1 {
                pairs.push(("code", if pod % 2 == 0 { "200" } else { "500" }));
            }
            if pod % 5 == 0 {
                pairs.push(("größe", "ü"));
            }
            list.push((
                10 + pod * 4 + at as u64,
                480_000 + pod as i64 / 10,
                Labels::from_pairs(pairs),
            ));
        }
    }
    list.push((1_000_000, -1, Labels::empty()));
    list
}

fn entry() -> SegmentEntry {
    SegmentEntry {
        id: 7,
        size_bytes: SAMPLE.len() as u64,
        meta: SegmentMeta {
            series: 91,
            first_id: 10,
            last_id: 1_000_000,
            pairs: 40,
        },
    }
}

#[test]
fn the_kept_sample_is_readable() {
    let mut world = World::new(1);
    world.fs.replace(&path_of(7), SAMPLE).unwrap();
    world.manifest.push(entry());
    world.reopen();
    assert!(world.catalog.damage().is_empty());
    let view = world.catalog.view();
    let ids = select(&view, &Predicate::all());
    let expected: Vec<_> = series().into_iter().map(|(id, _, labels)| (id, labels)).collect();
    assert_eq!(all_labels(&view, &ids), expected);
    for (id, labels) in &expected {
        assert_eq!(world.catalog.find(labels).unwrap(), Some(*id));
    }
    let of_one = Predicate::labels([
        matcher("code", MatchOp::Equal, "500"),
        matcher("größe", MatchOp::Equal, "ü"),
    ]);
    assert_eq!(select(&view, &of_one), [31, 71, 111]);
    let hour = |n: i64| n * source::HOUR_MS;
    let created = view.cardinality(None, 1).unwrap().created_by_hour;
    assert_eq!(
        created,
        [
            (hour(-1), 1),
            (hour(480_000), 30),
            (hour(480_001), 30),
            (hour(480_002), 30)
        ]
    );
}

#[test]
fn the_sample_is_what_would_be_written_today() {
    let world = World::new(1);
    for (id, hour, labels) in series() {
        world.catalog.insert(id, &labels, hour * source::HOUR_MS + 5);
    }
    let written = world.catalog.write_memory(7).unwrap();
    let bytes = &world.fs.snapshot()[&path_of(7)];
    assert!(
        bytes == SAMPLE,
        "what is written has changed: {} bytes, kept are {}",
        bytes.len(),
        SAMPLE.len()
    );
    assert_eq!(written, Some(entry()));
}
