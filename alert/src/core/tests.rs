//! Scenarios: what happens when, and what the receiver hears.

use super::Document;
use super::world::{Answers, BEGIN_MS, CONFIG, STEP_MS, World, rules_with};

/// What happens at a second of a scenario.
enum Event {
    On(&'static str),
    Off(&'static str),
    /// Killed, and started again at once.
    Restart,
    /// Killed, and started again after so many seconds; conditions may change meanwhile.
    Outage(i64),
    Answers(Answers),
    Blind(bool),
    /// New rules.
    Rules(String),
    Routes(&'static str),
    /// The wall clock is set, by seconds.
    Jump(i64),
    Disk(Option<u64>),
}
use Event::{Answers as Answer, Blind, Disk, Jump, Off, On, Outage, Restart, Rules};

fn run(world: &mut World, events: Vec<(i64, Event)>, until_s: i64) {
    let mut events = events.into_iter().peekable();
    let mut back_ms = i64::MIN;
    let mut clock_ms = BEGIN_MS;
    loop {
        while let Some((_, event)) = events.next_if(|(at, _)| BEGIN_MS + at * 1000 <= clock_ms) {
            match event {
                On(x) => drop(world.conditions.insert(x.to_owned())),
                Off(x) => drop(world.conditions.remove(x)),
                Restart => {
                    world.fs.kill();
                    world.start();
                }
                Outage(seconds) => {
                    world.fs.kill();
                    world.core = None;
                    back_ms = clock_ms + seconds * 1000;
                }
                Answer(answers) => world.answers = answers,
                Blind(blind) => world.blind = blind,
                Rules(text) => {
                    world.rules = text;
                    world.reload();
                }
                Event::Routes(text) => {
                    world.config = text.to_owned();
                    world.reload();
                }
                Jump(seconds) => world.now_ms += seconds * 1000,
                Disk(capacity) => world.fs.set_capacity(capacity),
            }
        }
        if world.core.is_none() && clock_ms >= back_ms {
            world.start();
        }
        if clock_ms >= BEGIN_MS + until_s * 1000 {
            return;
        }
        clock_ms += STEP_MS;
        world.step();
    }
}

fn inbox(world: &World) -> Vec<String> {
    world.inbox.iter().map(ToString::to_string).collect()
}

/// One rule with `for` and what it says besides, one receiver; what arrives until a second.
fn check(extra: &str, events: Vec<(i64, Event)>, until_s: i64, expected: &[&str]) {
    let mut world = World::new(&rules_with(extra), CONFIG, 1);
    run(&mut world, events, until_s);
    assert_eq!(inbox(&world), expected);
}

#[test]
fn pending_firing_resolved() {
    // True at 10, fires at 40, the group waits 10 s, is looked at every 30 s.
    check(
        "for: 30s",
        vec![(5, On("a")), (100, Off("a"))],
        300,
        &["50 hook firing a", "110 hook resolved -a"],
    );
    check("", vec![(5, On("a")), (12, Off("a"))], 100, &[]);
    // Gone before `for` is over: nobody hears of it.
    check(
        "for: 30s",
        vec![(5, On("a")), (35, Off("a")), (45, On("a")), (72, Off("a"))],
        300,
        &[],
    );
    // Ends and begins between two looks: the receiver has heard that it fires, and it does.
    check(
        "",
        vec![(5, On("a")), (22, Off("a")), (32, On("a"))],
        300,
        &["20 hook firing a"],
    );
    check(
        "keep_firing_for: 1m",
        vec![(5, On("a")), (25, Off("a")), (65, On("a")), (85, Off("a"))],
        300,
        &["20 hook firing a", "170 hook resolved -a"],
    );
}

#[test]
fn groups_collect_repeat_and_do_not_repeat_themselves() {
    check(
        "",
        vec![(5, On("a")), (15, On("b")), (25, On("c")), (62, Off("a"))],
        200,
        &[
            "20 hook firing a b",
            "50 hook firing a b c",
            "80 hook firing b c -a",
        ],
    );
    // Again after repeat_interval, at a look.
    check(
        "",
        vec![(5, On("a"))],
        1300,
        &["20 hook firing a", "620 hook firing a", "1220 hook firing a"],
    );
}

#[test]
fn every_receiver_hears_its_own() {
    let config = "
route:
  receiver: all
  group_wait: 0s
  group_interval: 30s
  routes:
  - {receiver: one, matchers: [x=a], group_by: [...], continue: true}
  - {receiver: quiet, matchers: ['x=~\"a|b\"'], group_by: [x]}
receivers:
- {name: all, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}
- {name: one, webhook_configs: [{url: 'http://127.0.0.1:1/'}, {url: 'http://127.0.0.1:2/', max_alerts: 1}]}
- {name: quiet, webhook_configs: [{url: 'http://127.0.0.1:1/', send_resolved: false}]}
";
    let mut world = World::new(&rules_with(""), config, 1);
    let events = vec![
        (5, On("a")),
        (5, On("b")),
        (5, On("c")),
        (15, Off("a")),
        (15, Off("c")),
    ];
    run(&mut world, events, 100);
    assert_eq!(
        inbox(&world),
        [
            "10 all firing c",
            "10 one firing a",
            "10 one firing a",
            "10 quiet firing a",
            "10 quiet firing b",
            "40 all resolved -c",
            "40 one resolved -a",
            "40 one resolved -a",
        ]
    );
    assert_eq!(world.core().dispatcher.groups.len(), 1, "only b is left");
}

#[test]
fn a_receiver_that_fails_hears_it_later() {
    check(
        "",
        vec![
            (5, On("a")),
            (5, Answer(Answers::Dead)),
            (65, Answer(Answers::Good)),
        ],
        300,
        &["20 hook firing a", "80 hook firing a"].split_off_first(),
    );
    // The end is not forgotten either.
    check(
        "",
        vec![
            (5, On("a")),
            (25, Off("a")),
            (25, Answer(Answers::Dead)),
            (125, Answer(Answers::Good)),
        ],
        300,
        &["20 hook firing a", "140 hook resolved -a"],
    );
    // Never told that it fired, so not told that it ended.
    check(
        "",
        vec![
            (5, On("a")),
            (5, Answer(Answers::Dead)),
            (30, Off("a")),
            (100, Answer(Answers::Good)),
        ],
        300,
        &[],
    );
    // It may have heard that it fired, so it is told that it ended.
    check(
        "",
        vec![
            (5, On("a")),
            (5, Answer(Answers::Lost)),
            (32, Off("a")),
            (42, Answer(Answers::Good)),
        ],
        300,
        &["20 hook firing a", "50 hook resolved -a"],
    );
    // It may have heard that it ended, and it fires again: it is told so.
    check(
        "",
        vec![
            (5, On("a")),
            (32, Off("a")),
            (42, Answer(Answers::Lost)),
            (52, On("a")),
            (62, Answer(Answers::Good)),
        ],
        300,
        &["20 hook firing a", "50 hook resolved -a", "80 hook firing a"],
    );
    // The answer is lost: the one case in which the same is told twice.
    check(
        "",
        vec![
            (5, On("a")),
            (5, Answer(Answers::Lost)),
            (25, Answer(Answers::Good)),
        ],
        300,
        &["20 hook firing a", "50 hook firing a"],
    );
}

trait SplitOffFirst<'a> {
    fn split_off_first(self) -> Vec<&'a str>;
}
impl<'a, const N: usize> SplitOffFirst<'a> for &[&'a str; N] {
    /// All but the first: what would have arrived had the receiver lived.
    fn split_off_first(self) -> Vec<&'a str> {
        self[1..].to_vec()
    }
}

#[test]
fn a_restart_pages_nobody_twice_and_forgets_nothing() {
    for restart_s in (0..130).step_by(5) {
        check(
            "for: 30s",
            vec![(5, On("a")), (restart_s, Restart), (100, Off("a"))]
                .into_iter()
                .sorted_by_time(),
            300,
            &["50 hook firing a", "110 hook resolved -a"],
        );
    }
    // Resolved while we were away, long or short.
    check(
        "",
        vec![(5, On("a")), (40, Outage(60)), (50, Off("a"))],
        300,
        &["20 hook firing a", "110 hook resolved -a"],
    );
    check(
        "",
        vec![(5, On("a")), (40, Outage(600)), (50, Off("a"))],
        900,
        &["20 hook firing a", "700 hook resolved -a"],
    );
    // Still firing after a long outage: told again only when the repeat interval is over.
    check(
        "",
        vec![(5, On("a")), (40, Outage(300))],
        600,
        &["20 hook firing a"],
    );
    check(
        "",
        vec![(5, On("a")), (40, Outage(900))],
        1100,
        &["20 hook firing a", "1000 hook firing a"],
    );
    // After a long outage an empty answer proves nothing yet: the condition is seen again after 40 s.
    check(
        "for: 2m",
        vec![(5, On("a")), (160, Outage(400)), (165, Off("a")), (600, On("a"))],
        1000,
        &["140 hook firing a", "740 hook firing a"],
    );
    // A pending alert goes on where it was, unless the outage was longer than is tolerated.
    check(
        "for: 5m",
        vec![(5, On("a")), (100, Outage(60))],
        400,
        &["320 hook firing a"],
    );
    check(
        "for: 5m",
        vec![(5, On("a")), (100, Outage(3700))],
        4200,
        &["4120 hook firing a"],
    );
}

#[test]
fn what_was_on_its_way_in_a_crash_is_told_at_once() {
    let mut world = World::new(&rules_with(""), CONFIG, 1);
    run(&mut world, vec![(5, On("a"))], 15);
    world.now_ms += STEP_MS;
    world.evaluate();
    assert_eq!(world.look().len(), 1, "saved, and never sent");
    world.fs.kill();
    world.start();
    world.step();
    world.step();
    assert_eq!(
        inbox(&world),
        ["30 hook firing a"],
        "not at 50, the group's next look"
    );
}

trait SortedByTime {
    fn sorted_by_time(self) -> Vec<(i64, Event)>;
}
impl<I: Iterator<Item = (i64, Event)>> SortedByTime for I {
    fn sorted_by_time(self) -> Vec<(i64, Event)> {
        let mut events: Vec<_> = self.collect();
        events.sort_by_key(|(at, _)| *at);
        events
    }
}

#[test]
fn reloading_changes_what_changed_and_nothing_else() {
    check(
        "for: 30s",
        vec![
            (5, On("a")),
            (25, Rules(rules_with("for: 30s"))),
            (60, Rules(rules_with("for: 30s"))),
        ],
        300,
        &["50 hook firing a"],
    );
    // The rule is taken away: its alerts end.
    check(
        "",
        vec![(5, On("a")), (40, Rules("groups: []".to_owned()))],
        300,
        &["20 hook firing a", "50 hook resolved -a"],
    );
    // Another group_by makes another group; whoever is in it is told.
    let one_by_one = "
route: {receiver: hook, group_by: [x], group_wait: 10s, group_interval: 30s, repeat_interval: 10m}
receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]
";
    check(
        "",
        vec![(5, On("a")), (40, Event::Routes(one_by_one)), (65, Off("a"))],
        300,
        &["20 hook firing a", "45 hook firing a", "70 hook resolved -a"],
    );
}

#[test]
fn what_cannot_be_evaluated_stays_as_it_is() {
    check(
        "",
        vec![
            (5, On("a")),
            (25, Blind(true)),
            (26, Off("a")),
            (100, Blind(false)),
        ],
        300,
        &["20 hook firing a", "110 hook resolved -a"],
    );
    let mut world = World::new(&rules_with(""), CONFIG, 1);
    run(&mut world, vec![(0, Blind(true))], 20);
    let rules = serde_json::to_value(world.core().rules()).unwrap();
    let rule = &rules["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["health"], &rule["lastError"]),
        (&"err".into(), &"too slow".into())
    );
}

#[test]
fn a_full_disk_stops_no_notification() {
    check(
        "",
        vec![
            (0, Disk(Some(0))),
            (5, On("a")),
            (60, Disk(None)),
            (65, Restart),
            (100, Off("a")),
        ],
        300,
        &["20 hook firing a", "110 hook resolved -a"],
    );
}

#[test]
fn the_wall_clock_may_be_set() {
    // Set back by an hour: the waits do not get longer.
    let mut world = World::new(&rules_with("for: 30s"), CONFIG, 1);
    run(
        &mut world,
        vec![(5, On("a")), (25, Jump(-3600)), (100, Off("a"))],
        400,
    );
    let told: Vec<_> = world.inbox.iter().map(|m| m.status.as_str()).collect();
    assert_eq!(told, ["firing", "resolved"]);
    // Set forward: due things are done, once.
    let mut world = World::new(&rules_with("for: 30s"), CONFIG, 1);
    run(
        &mut world,
        vec![(5, On("a")), (25, Jump(3600)), (100, Off("a"))],
        400,
    );
    let told: Vec<_> = world.inbox.iter().map(|m| m.status.as_str()).collect();
    assert_eq!(told, ["firing", "resolved"]);
}

#[test]
fn rules_write_their_series() {
    let rules = "
groups:
- name: g
  interval: 10s
  rules:
  - {record: b, expr: a, labels: {y: z}}
  - {alert: A, expr: b, for: 20s, labels: {severity: page}}
";
    let mut world = World::new(rules, CONFIG, 1);
    let mut written = |events: Vec<(i64, Event)>| {
        let until = world.seconds() + 10;
        let from = world.seconds();
        for (_, event) in events {
            match event {
                On(x) => drop(world.conditions.insert(x.to_owned())),
                Off(x) => drop(world.conditions.remove(x)),
                Restart => world.start(),
                _ => unreachable!("not used here"),
            }
        }
        while world.seconds() < until {
            world.step();
        }
        let start = (BEGIN_MS / 1000) as f64;
        let shown: Vec<String> = world
            .written
            .iter()
            .map(|(l, v)| {
                if *v > start {
                    format!("{l} +{}", v - start)
                } else {
                    format!("{l} {v}")
                }
            })
            .collect();
        (from, shown)
    };
    assert_eq!(
        written(vec![(0, On("1"))]).1,
        [
            r#"ALERTS_FOR_STATE{alertname="A", severity="page", x="1"} +10"#,
            r#"ALERTS{alertname="A", alertstate="pending", severity="page", x="1"} 1"#,
            r#"b{x="1", y="z"} 1"#,
        ]
    );
    written(vec![]);
    assert_eq!(
        written(vec![(0, On("2"))]).1,
        [
            r#"ALERTS_FOR_STATE{alertname="A", severity="page", x="1"} +10"#,
            r#"ALERTS_FOR_STATE{alertname="A", severity="page", x="2"} +30"#,
            r#"ALERTS{alertname="A", alertstate="firing", severity="page", x="1"} 1"#,
            r#"ALERTS{alertname="A", alertstate="pending", severity="page", x="2"} 1"#,
            r#"b{x="1", y="z"} 1"#,
            r#"b{x="2", y="z"} 1"#,
        ]
    );
    assert_eq!(written(vec![(0, Off("1")), (0, Off("2"))]).1, [""; 0]);
}

#[test]
fn results_that_cannot_be_are_the_rules_error() {
    let error = |rules: &str, conditions: &[&str]| {
        let mut world = World::new(rules, CONFIG, 1);
        world.conditions = conditions.iter().map(|s| (*s).to_owned()).collect();
        run(&mut world, vec![], 10);
        let rules = serde_json::to_value(world.core().rules()).unwrap();
        rules["groups"][0]["rules"][0]["lastError"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    let same = "groups: [{name: g, interval: 10s, rules: [{alert: A, expr: a, labels: {x: same}}]}]";
    assert_eq!(
        error(same, &["1", "2"]),
        "two results have the same labels after the alert's labels were set"
    );
    let same = "groups: [{name: g, interval: 10s, rules: [{record: r, expr: a, labels: {x: same}}]}]";
    assert_eq!(
        error(same, &["1", "2"]),
        "two results have the same labels after the rule's labels were set"
    );
    let limit = "groups: [{name: g, interval: 10s, limit: 1, rules: [{alert: A, expr: a}]}]";
    assert_eq!(error(limit, &["1"]), "none");
    assert_eq!(
        error(limit, &["1", "2"]),
        "the rule gives 2 results, more than the group's limit of 1"
    );
}

#[test]
fn the_api_shows_rules_and_alerts_as_prometheus_does() {
    let rules = "
groups:
- name: g
  interval: 10s
  rules:
  - {record: b, expr: a}
  - {alert: A, expr: a, for: 10s, labels: {severity: page}, annotations: {summary: '{{ $value }} {{ nope'}}
"
    .replace("{{ nope", "of 2");
    let mut world = World::new(&rules, CONFIG, 1);
    run(&mut world, vec![(5, On("a"))], 20);
    insta::assert_snapshot!(
        "rules",
        serde_json::to_string_pretty(&world.core().rules()).unwrap()
    );
    insta::assert_snapshot!(
        "alerts",
        serde_json::to_string_pretty(&world.core().alerts()).unwrap()
    );
    insta::assert_snapshot!(
        "notifications",
        serde_json::to_string_pretty(&world.core().notifications()).unwrap()
    );
}

#[test]
fn the_state_document_keeps_its_form() {
    let config = "
external_labels: {cluster: eu}
route: {receiver: hook, group_by: [alertname], group_wait: 10s, group_interval: 30s}
receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]
";
    let mut world = World::new(&rules_with("keep_firing_for: 20s"), config, 1);
    run(&mut world, vec![(5, On("a")), (15, On("b")), (25, Off("a"))], 45);
    let now_ms = world.now_ms;
    let document = world.core().document(now_ms);
    insta::assert_snapshot!("document", serde_json::to_string_pretty(&document).unwrap());
    // The kept file of version 1 is read, and says the same.
    let kept: Document = serde_json::from_str(include_str!("../../testdata/state-v1.json")).unwrap();
    assert_eq!(kept, document);
}
