//! Payload, fingerprint, groups.

use super::*;
use crate::config::Config;

const HOUR_MS: i64 = 3_600_000;

fn alert(pairs: &[(&str, &str)], starts_at_ms: i64, ends_at_ms: Option<i64>) -> RoutedAlert {
    RoutedAlert {
        labels: Labels::from_pairs(pairs.iter().copied()),
        annotations: BTreeMap::from([
            ("summary".to_owned(), "It \"burns\" – <really>".to_owned()),
            ("which".to_owned(), pairs.last().expect("some").1.to_owned()),
        ]),
        starts_at_ms,
        ends_at_ms,
        generator_url: "http://b:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1".to_owned(),
    }
}

fn dispatcher(routes: &str) -> Dispatcher {
    let config: Config = runtime::config::parse(routes, "c.yml").unwrap();
    Dispatcher {
        routes: Routes::compile(&config).unwrap(),
        external_url: "http://b:9090".to_owned(),
        ..Dispatcher::default()
    }
}

fn pretty(notification: &Notification) -> String {
    let body: serde_json::Value = serde_json::from_slice(notification.body.as_ref().unwrap()).unwrap();
    serde_json::to_string_pretty(&body).unwrap()
}

#[test]
fn fingerprints_are_alertmanagers() {
    // From the tests of prometheus/common, model/signature_test.go.
    let check = |pairs: &[(&str, &str)], print: u64| {
        assert_eq!(
            Fingerprint::of(&Labels::from_pairs(pairs.iter().copied())),
            Fingerprint(print)
        );
    };
    check(&[], 14_695_981_039_346_656_037);
    check(
        &[("name", "garland, briggs"), ("fear", "love is not enough")],
        5_799_056_148_416_392_346,
    );
}

#[test]
fn the_payload_is_version_4_to_the_letter() {
    let routes = "
route: {receiver: team-x, group_by: [alertname, cluster], group_wait: 0s, routes: [{matchers: [severity='page', 'a!~\"b|c\"']}]}
receivers: [{name: team-x, webhook_configs: [{url: 'http://127.0.0.1:1/'}, {url: 'http://127.0.0.1:1/', max_alerts: 1}]}]
";
    let routes = routes.replace("severity='page'", "severity=page");
    let mut dispatcher = dispatcher(&routes);
    let start = 1_763_720_000_000;
    let common = [
        ("alertname", "Down"),
        ("cluster", "eu \"1\""),
        ("severity", "page"),
    ];
    let with = |extra: &[(&'static str, &'static str)]| [&common[..], extra].concat();
    dispatcher.put(
        &alert(&with(&[("job", "b"), ("instance", "1")]), start, None),
        start,
    );
    dispatcher.put(
        &alert(&with(&[("job", "a"), ("instance", "2")]), start - 500, None),
        start,
    );
    let both = dispatcher.due(start, 9);
    assert_eq!(both.len(), 2);
    insta::assert_snapshot!("firing", pretty(&both[0]));
    insta::assert_snapshot!("truncated", pretty(&both[1]));
    for notification in &both {
        dispatcher.settle(notification, Fate::Delivered, start);
    }
    let end = start + 60_000;
    dispatcher.put(
        &alert(&with(&[("job", "b"), ("instance", "1")]), start, Some(end)),
        end,
    );
    dispatcher.put(
        &alert(&with(&[("job", "a"), ("instance", "2")]), start - 500, Some(end)),
        end,
    );
    let resolved = dispatcher.due(start + 300_000, 9);
    insta::assert_snapshot!("resolved", pretty(&resolved[0]));
    // The keys stand in the order in which Alertmanager writes them.
    let text = String::from_utf8(resolved[0].body.clone().unwrap()).unwrap();
    let keys = [
        "receiver",
        "status",
        "alerts",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "version",
        "groupKey",
        "truncatedAlerts",
    ];
    let places: Vec<_> = keys.map(|k| text.rfind(&format!("\"{k}\":")).unwrap()).to_vec();
    assert!(places[2..].is_sorted(), "{text}");
}

const ONE: &str = "
route: {receiver: r, group_by: [a], group_wait: 0s, group_interval: 1m}
receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]
";

#[test]
fn an_end_that_nobody_takes_is_given_up_after_five_days_and_counted() {
    let mut dispatcher = dispatcher(ONE);
    dispatcher.put(&alert(&[("a", "1")], 0, None), 0);
    let told = dispatcher.due(0, 9);
    dispatcher.settle(&told[0], Fate::Delivered, 0);
    dispatcher.put(&alert(&[("a", "1")], 0, Some(HOUR_MS)), HOUR_MS);
    let mut attempts = 0;
    for hour in 1..=130 {
        for notification in dispatcher.due(hour * HOUR_MS, 9) {
            // At last there is nothing left to say, and only the log moves on.
            let quiet = notification.body.is_none();
            let fate = if quiet { Fate::Delivered } else { Fate::NotTaken };
            dispatcher.settle(&notification, fate, hour * HOUR_MS);
            attempts += usize::from(!quiet);
        }
    }
    assert_eq!((attempts, dispatcher.abandoned), (120, 1));
    assert!(dispatcher.groups.is_empty());
}

#[test]
fn groups_are_bounded_and_so_is_what_leaves_at_once() {
    let mut dispatcher = dispatcher(ONE);
    let put = |dispatcher: &mut Dispatcher, n: usize| {
        let name = n.to_string();
        dispatcher.put(&alert(&[("a", &name)], 0, None), 0)
    };
    for n in 0..MAX_GROUPS {
        assert_eq!(
            put(&mut dispatcher, n),
            Put {
                changed: true,
                dropped: false
            }
        );
    }
    assert_eq!(
        put(&mut dispatcher, MAX_GROUPS),
        Put {
            changed: false,
            dropped: true
        }
    );
    assert_eq!(
        put(&mut dispatcher, 0),
        Put::default(),
        "what is known is no news"
    );
    assert_eq!(dispatcher.due(0, 7).len(), 7);
    assert_eq!(dispatcher.due(0, 8).len(), 8, "the next ones");
    assert_eq!(dispatcher.next_ms(), Some(0), "and others still wait");
}

#[test]
fn a_webhook_without_resolved_hears_only_what_fires() {
    let mut dispatcher = dispatcher(&ONE.replace("1/'", "1/', send_resolved: false"));
    dispatcher.put(&alert(&[("a", "1"), ("b", "1")], 0, None), 0);
    dispatcher.put(&alert(&[("a", "1"), ("b", "2")], 0, None), 0);
    let told = dispatcher.due(0, 9);
    dispatcher.settle(&told[0], Fate::Delivered, 0);
    dispatcher.put(&alert(&[("a", "1"), ("b", "1")], 0, Some(10)), 10);
    assert_eq!(dispatcher.due(60_000, 9), [], "one of two ended: no news");
    dispatcher.put(&alert(&[("a", "1"), ("b", "2")], 0, Some(70_000)), 70_000);
    let quiet = dispatcher.due(120_000, 9);
    assert_eq!(quiet[0].body, None, "nothing to say, but the log moves on");
    dispatcher.settle(&quiet[0], Fate::Delivered, 120_000);
    assert!(dispatcher.groups.is_empty());
}
