//! Crashes from a seed, at every point of a notification: nobody is told twice unless an answer was lost, and
//! nothing is forgotten.

use super::world::{Answers, CONFIG, Mail, World, rules_with};
use crate::notify::Fate;
use storage::Rng;

/// The same notification as the one before.
fn repeats(mails: &[Mail]) -> usize {
    let same = |a: &Mail, b: &Mail| a.firing == b.firing && a.resolved == b.resolved && b.at_s - a.at_s < 600;
    mails.windows(2).filter(|w| same(&w[0], &w[1])).count()
}

/// A run with crashes; gives the world, and for how many notifications the answer was lost: it did not come, or was
/// not on the disk before the crash.
fn simulate(seed: u64) -> (World, usize) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(&rules_with("for: 10s"), CONFIG, seed);
    let mut lost = 0;
    for _ in 0..400 {
        if rng.one_in(12) {
            let x = ["a", "b", "c"][rng.below(3) as usize].to_owned();
            if !world.conditions.remove(&x) {
                world.conditions.insert(x);
            }
        }
        world.answers = match rng.below(20) {
            0 => Answers::Lost,
            1..=3 => Answers::Dead,
            _ => Answers::Good,
        };
        if rng.one_in(6) {
            world.fs.fail_power_after(rng.below(12));
        }
        lost += step(&mut world, &mut rng);
    }
    // In the end all is well for a while, and everybody hears how things stand.
    world.answers = Answers::Good;
    if world.core.is_none() || world.fs.is_powerless() {
        world.fs.crash();
        world.start();
    }
    world.fs.heal();
    for _ in 0..60 {
        world.step();
    }
    (world, lost)
}

/// A step of time with a chance to crash between any two things.
fn step(world: &mut World, rng: &mut Rng) -> usize {
    world.now_ms += super::world::STEP_MS;
    if world.core.is_none() {
        world.fs.crash();
        world.start();
    }
    let mut unknown = 0;
    let crashes = |world: &mut World, rng: &mut Rng| {
        if world.fs.is_powerless() || rng.one_in(40) {
            world.core = None;
        }
        world.core.is_none()
    };
    world.evaluate();
    if crashes(world, rng) {
        return 0;
    }
    let due = world.look();
    if crashes(world, rng) {
        return due.len();
    }
    // A crash from here on leaves nobody sure of what is on its way.
    let on_its_way = due.len();
    for (i, notification) in due.iter().enumerate() {
        let fate = world.send(notification);
        unknown += usize::from(fate == Fate::Unknown);
        if crashes(world, rng) {
            return unknown + on_its_way - i;
        }
        world.settle(notification, fate);
        if crashes(world, rng) {
            return unknown + on_its_way - i;
        }
        world.save();
        // When the save failed with the power, what is on the disk may be the old or the new.
        unknown += usize::from(world.core().dirty);
        if crashes(world, rng) {
            return unknown + on_its_way - i;
        }
    }
    if world.core().dirty {
        world.save();
    }
    crashes(world, rng);
    unknown
}

#[test]
fn nobody_is_told_twice_and_nothing_is_forgotten() {
    let (mut told, mut lost_answers, mut told_twice) = (0, 0, 0);
    for seed in 0..300 {
        let (world, lost) = simulate(seed);
        let twice = repeats(&world.inbox);
        assert!(
            twice <= lost,
            "seed {seed}: told twice {twice} times with {lost} lost answers: {:#?}",
            world.inbox.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
        // What the receiver believes is how things are.
        let mut believed = std::collections::BTreeSet::new();
        for mail in &world.inbox {
            believed.extend(mail.firing.iter().cloned());
            believed.retain(|x| !mail.resolved.contains(x) || mail.firing.contains(x));
        }
        assert_eq!(believed, world.conditions, "seed {seed}");
        told += world.inbox.len();
        lost_answers += lost;
        told_twice += twice;
    }
    // The runs are about something: much is told, answers do get lost, and that does repeat things.
    assert!(
        told > 3000 && lost_answers > 100 && told_twice > 10,
        "{told} {lost_answers} {told_twice}"
    );
}

#[test]
fn a_run_depends_on_nothing_but_its_seed() {
    assert_eq!(simulate(7).0.inbox, simulate(7).0.inbox);
}
