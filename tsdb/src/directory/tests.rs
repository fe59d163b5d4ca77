//! The directory against a map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn labels(n: u32) -> Labels {
    let pairs = [
        ("__name__", "m".to_owned()),
        ("n", n.to_string()),
        ("instance", (n / 4).to_string()),
    ];
    Labels::from_pairs(pairs)
}

#[derive(Debug, Clone)]
enum Step {
    /// A batch of these series, in this order.
    Batch(Vec<u32>),
    /// So much time passes and those that were idle go.
    Evict(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(0u32..40, 1..20).prop_map(Step::Batch),
        1 => (0u32..30).prop_map(Step::Evict),
    ]
}

proptest! {
    #[test]
    fn a_directory_is_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let mut directory = Directory::default();
        let (mut now_s, mut next_id) = (100u32, 1);
        // By number: id and when it was seen.
        let mut model: BTreeMap<u32, (SeriesId, u32)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Batch(numbers) => {
                    let mut after = NO_SLOT;
                    for number in numbers {
                        let stranger = directory.stranger(&labels(number));
                        let found = directory.find(stranger.key, after, now_s);
                        prop_assert_eq!(found.map(|s| directory.id(s)), model.get(&number).map(|m| m.0));
                        after = found.unwrap_or_else(|| {
                            next_id += 1;
                            directory.add(next_id, &stranger, false, now_s)
                        });
                        model.insert(number, (directory.id(after), now_s));
                    }
                }
                Step::Evict(passed_s) => {
                    now_s += passed_s;
                    let gone = directory.evict(now_s, 20, |_| true);
                    let before = model.len();
                    model.retain(|_, (_, seen)| now_s - *seen < 20);
                    prop_assert_eq!(gone, before - model.len());
                }
            }
            prop_assert_eq!(directory.len(), model.len());
            for (number, (id, _)) in &model {
                prop_assert_eq!(directory.slot_of(*id).map(|s| directory.id(s)), Some(*id));
                let same_target = model.keys().filter(|n| *n / 4 == number / 4).count();
                prop_assert_eq!(directory.target_series(directory.stranger(&labels(*number)).target) as usize, same_target);
            }
        }
    }
}

#[test]
fn an_alias_goes_with_its_series() {
    let mut directory = Directory::default();
    let stranger = directory.stranger(&labels(1));
    let slot = directory.add(7, &stranger, true, 0);
    directory.add_alias(99, slot);
    assert_eq!(directory.find(99, NO_SLOT, 0), Some(slot));
    assert_eq!(directory.evict(10, 5, |_| true), 1);
    assert_eq!(directory.find(99, NO_SLOT, 10), None);
    assert_eq!(directory.slot_of(7), None);
}

#[test]
fn what_is_not_idle_stays() {
    let mut directory = Directory::default();
    for n in 0..3 {
        let stranger = directory.stranger(&labels(n));
        directory.add(u64::from(n) + 1, &stranger, true, 0);
    }
    assert_eq!(directory.evict(100, 5, |slot| slot != 1), 2);
    assert_eq!((directory.len(), directory.slot_of(2)), (1, Some(1)));
}
