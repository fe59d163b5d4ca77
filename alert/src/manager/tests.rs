//! The whole of it: rules over a store, a real webhook receiver, restarts. Nothing sleeps: tests wait for what
//! arrives.

use super::*;
use crate::rules;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use model::plain::PlainStore;
use model::{Batch, Labels, Metrics as Payload, NoMeter, Predicate, Sample, Series, SeriesData};
use runtime::SystemClock;
use serde_json::Value;
use std::collections::VecDeque;
use storage::RealFs;
use tokio::sync::mpsc;

/// What the receiver got: the path, the authorization header, the body.
type Mail = (String, Option<String>, Value);

/// A receiver on 127.0.0.1 that answers from a list, and 200 when that is empty.
struct Receiver {
    address: std::net::SocketAddr,
    answers: Arc<Mutex<VecDeque<(StatusCode, HeaderMap)>>>,
    mail: mpsc::Receiver<Mail>,
}

#[derive(Clone)]
struct Shelf {
    answers: Arc<Mutex<VecDeque<(StatusCode, HeaderMap)>>>,
    mail: mpsc::Sender<Mail>,
}

async fn take(
    State(shelf): State<Shelf>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, HeaderMap) {
    let authorization = headers
        .get("authorization")
        .map(|v| v.to_str().unwrap().to_owned());
    shelf
        .mail
        .send((uri.path().to_owned(), authorization, body))
        .await
        .unwrap();
    let answer = shelf.answers.lock().unwrap().pop_front();
    answer.unwrap_or((StatusCode::OK, HeaderMap::new()))
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, mail) = mpsc::channel(1000);
        let answers = Arc::default();
        let shelf = Shelf {
            answers: Arc::clone(&answers),
            mail: sender,
        };
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/{*path}", post(take)).with_state(shelf);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            answers,
            mail,
        }
    }
    /// The next notification; a test that waits too long fails.
    async fn next(&mut self) -> Mail {
        let mail = tokio::time::timeout(Duration::from_secs(20), self.mail.recv());
        mail.await.expect("a notification within 20 s").unwrap()
    }
    /// Status and the alerts' labels `x` of the next one.
    async fn next_short(&mut self) -> String {
        let (_, _, body) = self.next().await;
        let alerts = body["alerts"].as_array().unwrap();
        let of = |a: &Value| {
            format!(
                "{} {}",
                a["labels"]["x"].as_str().unwrap(),
                a["status"].as_str().unwrap()
            )
        };
        alerts.iter().map(of).collect::<Vec<_>>().join(", ")
    }
    fn answer(&self, status: StatusCode, headers: &[(&'static str, &str)]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        self.answers.lock().unwrap().push_back((status, map));
    }
}

struct House {
    store: Arc<PlainStore>,
    dir: tempfile::TempDir,
    config: Config,
    rules: Vec<RuleFile>,
    receiver: Receiver,
}

const RULES: &str = "
groups:
- name: g
  interval: 50ms
  rules:
  - {record: up_again, expr: up}
  - {alert: Down, expr: up_again == 0, labels: {severity: page}, annotations: {summary: '{{ $labels.x }} is at {{ $value }}'}}
";

impl House {
    async fn new() -> Self {
        let receiver = Receiver::start().await;
        let config = format!(
            "
default_rules: false
route: {{receiver: hook, group_by: [x], group_wait: 0s, group_interval: 200ms, repeat_interval: 1h}}
receivers:
- name: hook
  webhook_configs:
  - url: http://{}/a/hook
    http_config: {{authorization: {{credentials: s3cret}}}}
",
            receiver.address
        );
        Self {
            store: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
            config: runtime::config::parse(&config, "c.yml").unwrap(),
            rules: vec![rules::load(RULES, "r.yml").unwrap()],
            receiver,
        }
    }
    fn options(&self, shutdown: &CancellationToken) -> Options {
        Options {
            tenant: Tenant::default(),
            engine: Engine::new(Arc::clone(&self.store) as Arc<dyn model::Read<SeriesData>>),
            writer: Arc::clone(&self.store) as Arc<dyn Write<Payload>>,
            fs: Arc::new(RealFs),
            data_dir: self.dir.path().to_owned(),
            clock: Arc::new(SystemClock::default()),
            meter: Arc::new(NoMeter),
            query_limits: model::QueryLimits::default().budget(),
            external_url: "http://127.0.0.1:9090".to_owned(),
            shutdown: shutdown.clone(),
        }
    }
    fn start(&self) -> (Manager, CancellationToken) {
        let shutdown = CancellationToken::new();
        let manager = Manager::start(self.options(&shutdown), &self.config, &self.rules).unwrap();
        (manager, shutdown)
    }
    /// `up{x}` has this value from now on.
    fn up(&self, x: &str, value: f64) {
        let clock = SystemClock::default();
        let series = Series {
            labels: Labels::from_pairs([("__name__", "up"), ("x", x)]),
            samples: vec![Sample {
                timestamp_ms: clock.now_ms(),
                value,
            }],
            ..Series::default()
        };
        let payload = Payload {
            series: vec![series],
            metadata: Vec::new(),
        };
        self.store.write_metrics(Batch::new(Tenant::default(), payload));
    }
    /// The names of the series in the store.
    fn names(&self) -> Vec<String> {
        let everything = Predicate::And(Vec::new());
        let request = model::ScanRequest::new(
            Tenant::default(),
            model::TimeRange::ALL,
            everything,
            model::Budget::unlimited(),
        );
        let store: &dyn model::Read<SeriesData> = self.store.as_ref();
        store.label_values(&request, "__name__").unwrap()
    }
}

async fn stop((manager, shutdown): (Manager, CancellationToken)) {
    shutdown.cancel();
    manager.stopped().await;
}

#[tokio::test]
async fn an_alert_reaches_its_receiver_and_so_does_its_end() {
    let mut house = House::new().await;
    house.up("a", 0.0);
    let running = house.start();
    let (path, authorization, body) = house.receiver.next().await;
    assert_eq!(
        (path.as_str(), authorization.as_deref()),
        ("/a/hook", Some("Bearer s3cret"))
    );
    assert_eq!(body["status"], "firing");
    assert_eq!(body["groupKey"], r#"{}:{x="a"}"#);
    assert_eq!(body["commonAnnotations"]["summary"], "a is at 0");
    assert_eq!(body["commonLabels"]["alertname"], "Down");
    assert_eq!(running.0.alerts().alerts.len(), 1);
    house.up("a", 1.0);
    assert_eq!(house.receiver.next_short().await, "a resolved");
    assert_eq!(running.0.alerts().alerts.len(), 0);
    assert_eq!(house.names(), ["ALERTS", "ALERTS_FOR_STATE", "up", "up_again"]);
    stop(running).await;
}

#[tokio::test]
async fn a_restart_pages_nobody_twice() {
    let mut house = House::new().await;
    house.up("a", 0.0);
    let running = house.start();
    assert_eq!(house.receiver.next_short().await, "a firing");
    stop(running).await;
    let path = house.dir.path().join("alert/default/state.json");
    assert!(path.exists());
    // What is new after the restart is the next thing that arrives: the old is not told again.
    let running = house.start();
    house.up("b", 0.0);
    assert_eq!(house.receiver.next_short().await, "b firing");
    stop(running).await;
    // What ended while we were away is told.
    house.up("a", 1.0);
    let running = house.start();
    assert_eq!(house.receiver.next_short().await, "a resolved");
    stop(running).await;
}

#[tokio::test]
async fn failures_are_tried_again_and_refusals_only_at_the_next_look() {
    let mut house = House::new().await;
    house.config.route.as_mut().unwrap().group_interval = Some(Duration::from_secs(4));
    house.receiver.answer(StatusCode::INTERNAL_SERVER_ERROR, &[]);
    house
        .receiver
        .answer(StatusCode::TOO_MANY_REQUESTS, &[("retry-after", "0")]);
    house.up("a", 0.0);
    let running = house.start();
    for _ in 0..3 {
        assert_eq!(house.receiver.next_short().await, "a firing");
    }
    // The third was taken. Another group is refused once: its next look comes after group_interval, not sooner.
    house.receiver.answer(StatusCode::BAD_REQUEST, &[]);
    house.up("b", 0.0);
    assert_eq!(house.receiver.next_short().await, "b firing");
    house.up("c", 0.0);
    assert_eq!(house.receiver.next_short().await, "c firing");
    assert_eq!(house.receiver.next_short().await, "b firing");
    stop(running).await;
}

#[tokio::test]
async fn a_reload_takes_new_rules_and_ends_old_alerts() {
    let mut house = House::new().await;
    house.up("a", 0.0);
    let running = house.start();
    assert_eq!(house.receiver.next_short().await, "a firing");
    let bad = Config {
        receivers: Vec::new(),
        ..house.config.clone()
    };
    assert!(running.0.reload(&bad, &house.rules).is_err());
    let other = RULES.replace("Down", "StillDown");
    running
        .0
        .reload(&house.config, &[rules::load(&other, "r.yml").unwrap()])
        .unwrap();
    let (_, _, body) = house.receiver.next().await;
    let names: Vec<_> = body["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| format!("{} {}", a["labels"]["alertname"], a["status"]))
        .collect();
    // Both in one notification, or the end alone, as the look comes before or after the first evaluation.
    assert!(names.contains(&r#""Down" "resolved""#.to_owned()), "{names:?}");
    stop(running).await;
}

#[tokio::test]
async fn a_state_that_cannot_be_understood_is_left_alone() {
    let house = House::new().await;
    let path = house.dir.path().join("alert/default/state.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, says) in [
        (
            "{\"version\":2,\"other\":1}",
            "has version 2, this program knows 1; use the program that wrote it",
        ),
        ("{\"version\":1", "is damaged"),
        (
            "{\"version\":1,\"saved_at_ms\":0,\"rules\":7,\"groups\":[],\"log\":[]}",
            "move it away to start without memory",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Manager::start(
            house.options(&CancellationToken::new()),
            &house.config,
            &house.rules,
        );
        let error = error.err().unwrap();
        assert!(
            error.message().contains(says) && error.message().contains("state.json"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn the_default_pack_runs_over_an_empty_store_and_its_watchdog_fires() {
    let mut house = House::new().await;
    // The same rules, each group as often as it can.
    let fast = rules::DEFAULT_RULES
        .replace("interval: 15s", "interval: 50ms")
        .replace("interval: 30s", "interval: 50ms");
    house.rules = vec![rules::load(&fast, "default-rules.yml").unwrap()];
    let running = house.start();
    let (_, _, body) = house.receiver.next().await;
    assert_eq!(body["commonLabels"]["alertname"], "Watchdog");
    let all_evaluated = || {
        let rules = running.0.rules();
        rules
            .groups
            .iter()
            .all(|g| !g.last_evaluation.starts_with("0001"))
            .then_some(rules)
    };
    let rules = loop {
        if let Some(rules) = all_evaluated() {
            break rules;
        }
        tokio::task::yield_now().await;
    };
    for rule in rules.groups.iter().flat_map(|g| &g.rules) {
        let api::RuleInfo::Alerting(rule) = rule else {
            panic!("the pack only alerts")
        };
        assert_eq!(rule.health, "ok", "{}: {:?}", rule.name, rule.last_error);
    }
    stop(running).await;
}
