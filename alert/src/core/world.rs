//! A small world for tests: conditions that come and go, a receiver that may fail, a disk that may crash, and time
//! that passes in steps. It drives the core in the order in which the manager does: evaluate, look at the groups,
//! save, send, take the answer, save.

use super::*;
use crate::config::Config;
use crate::notify::{Fate, Notification};
use crate::rules;
use crate::state;
use query::promql::InstantSample;
use std::collections::BTreeSet;
use std::path::Path;
use storage::FaultyFs;

/// The world's time moves in steps of this.
pub(super) const STEP_MS: i64 = 5_000;
/// When it begins: a round time, so that times in expectations are seconds since then.
pub(super) const BEGIN_MS: i64 = 1_800_000_000_000;

/// One rule `A` over the condition `a`, evaluated every 10 s; `for` and routes are up to the test.
pub(super) struct World {
    pub(super) now_ms: i64,
    pub(super) fs: FaultyFs,
    pub(super) rules: String,
    pub(super) config: String,
    /// The conditions that hold: each is a result of every rule's expression, with the label `x`.
    pub(super) conditions: BTreeSet<String>,
    /// Whether queries fail.
    pub(super) blind: bool,
    /// What the receiver answers.
    pub(super) answers: Answers,
    /// What reached the receiver: `second receiver status firing… -resolved…`.
    pub(super) inbox: Vec<Mail>,
    pub(super) core: Option<Core>,
    /// What was written for each series last.
    pub(super) written: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// 200.
    Good,
    /// The notification arrives, the answer does not.
    Lost,
    /// It does not even arrive.
    Dead,
}

/// A notification as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) at_s: i64,
    pub(super) receiver: String,
    pub(super) status: String,
    pub(super) firing: BTreeSet<String>,
    pub(super) resolved: BTreeSet<String>,
}

impl std::fmt::Display for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.at_s, self.receiver, self.status)?;
        for x in &self.firing {
            write!(f, " {x}")?;
        }
        for x in &self.resolved {
            write!(f, " -{x}")?;
        }
        Ok(())
    }
}

pub(super) const CONFIG: &str = "
route: {receiver: hook, group_by: [alertname], group_wait: 10s, group_interval: 30s, repeat_interval: 10m}
receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]
";

pub(super) fn rules_with(extra: &str) -> String {
    format!(
        "groups:\n- name: g\n  interval: 10s\n  rules:\n  - alert: A\n    expr: a\n    {extra}\n    annotations: {{summary: 'x is {{{{ $labels.x }}}}'}}\n"
    )
}

impl World {
    pub(super) fn new(rules: &str, config: &str, seed: u64) -> Self {
        let mut world = Self {
            now_ms: BEGIN_MS,
            fs: FaultyFs::new(seed),
            rules: rules.to_owned(),
            config: config.to_owned(),
            conditions: BTreeSet::new(),
            blind: false,
            answers: Answers::Good,
            inbox: Vec::new(),
            core: None,
            written: BTreeMap::new(),
        };
        world.start();
        world
    }
    fn path() -> &'static Path {
        Path::new("/data/alert/default/state.json")
    }
    fn parsed(&self) -> (Vec<RuleFile>, Config) {
        (
            vec![rules::load(&self.rules, "r.yml").unwrap()],
            runtime::config::parse(&self.config, "c.yml").unwrap(),
        )
    }
    /// Starts the program from what is on the disk.
    pub(super) fn start(&mut self) {
        let (files, config) = self.parsed();
        let saved = state::load(&self.fs, Self::path()).unwrap();
        self.core = Some(Core::start(&files, &config, "http://b:9090/", saved, self.now_ms).unwrap());
    }
    pub(super) fn reload(&mut self) {
        let (files, config) = self.parsed();
        let now_ms = self.now_ms;
        self.core()
            .reload(&files, &config, "http://b:9090/", now_ms)
            .unwrap();
    }
    pub(super) fn core(&mut self) -> &mut Core {
        self.core.as_mut().expect("the program runs")
    }
    /// Saves; a failure leaves the core dirty, as in the manager.
    pub(super) fn save(&mut self) {
        let now_ms = self.now_ms;
        let document = self.core().document(now_ms);
        let saved = state::save(&self.fs, Self::path(), &document).is_ok();
        self.core().dirty = !saved;
    }
    pub(super) fn seconds(&self) -> i64 {
        (self.now_ms - BEGIN_MS) / 1000
    }

    /// One step of time, without crashes.
    pub(super) fn step(&mut self) {
        self.now_ms += STEP_MS;
        if self.core.is_none() {
            return;
        }
        self.evaluate();
        for notification in self.look() {
            let fate = self.send(&notification);
            self.settle(&notification, fate);
        }
        if self.core().dirty {
            self.save();
        }
    }

    /// Evaluates the groups whose time it is.
    pub(super) fn evaluate(&mut self) {
        let now_ms = self.now_ms;
        for group in 0..self.core().groups.len() {
            let interval_ms = i64::try_from(self.core().groups[group].interval.as_millis()).unwrap();
            if (now_ms - BEGIN_MS) % interval_ms != 0 {
                continue;
            }
            for rule in 0..self.core().groups[group].rules.len() {
                let answer = self.answer();
                let series = self.core().apply(group, rule, answer, Duration::ZERO, now_ms);
                for s in series {
                    let value = s.samples[0].value;
                    assert_eq!(s.samples[0].timestamp_ms, now_ms);
                    if model::metric::is_stale(value) {
                        // After a restart from an older state the marker may end what was never written.
                        self.written.remove(&s.labels.to_string());
                    } else {
                        self.written.insert(s.labels.to_string(), value);
                    }
                }
            }
            self.core().group_done(group, Duration::ZERO, now_ms);
        }
    }

    fn answer(&self) -> Result<QueryValue> {
        if self.blind {
            return Err(Error::new(model::ErrorKind::Timeout, "too slow"));
        }
        let sample = |x: &String| InstantSample {
            labels: Labels::from_pairs([("__name__", "a"), ("x", x.as_str())]),
            timestamp_ms: self.now_ms,
            value: 1.0,
            histogram: None,
        };
        Ok(QueryValue::Vector(self.conditions.iter().map(sample).collect()))
    }

    /// Looks at the groups, and saves before what they want to send leaves.
    pub(super) fn look(&mut self) -> Vec<Notification> {
        let now_ms = self.now_ms;
        if !self.core().is_settled(now_ms) {
            return Vec::new();
        }
        let due = self.core().dispatcher.due(now_ms, usize::MAX);
        if !due.is_empty() {
            self.save();
        }
        due
    }

    /// Gives it to the receiver; says what is known of it then.
    pub(super) fn send(&mut self, notification: &Notification) -> Fate {
        let Some(body) = &notification.body else {
            return Fate::Delivered;
        };
        if self.answers != Answers::Dead {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            let of_status = |status: &str| -> BTreeSet<String> {
                let alerts = body["alerts"].as_array().unwrap();
                let wanted = alerts.iter().filter(|a| a["status"] == status);
                wanted
                    .map(|a| a["labels"]["x"].as_str().unwrap_or("?").to_owned())
                    .collect()
            };
            self.inbox.push(Mail {
                at_s: self.seconds(),
                receiver: notification.group.receiver.clone(),
                status: body["status"].as_str().unwrap().to_owned(),
                firing: of_status("firing"),
                resolved: of_status("resolved"),
            });
        }
        match self.answers {
            Answers::Good => Fate::Delivered,
            Answers::Lost => Fate::Unknown,
            Answers::Dead => Fate::NotTaken,
        }
    }

    pub(super) fn settle(&mut self, notification: &Notification, fate: Fate) {
        let now_ms = self.now_ms;
        self.core().dispatcher.settle(notification, fate, now_ms);
        self.core().dirty = true;
    }
}
