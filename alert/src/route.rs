//! The routing tree: which alert goes to whom, and how it is grouped.

use crate::config::{Config, Receiver, Route};
use model::{Error, Labels, MatchOp, Matcher, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The tree, ready to ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    root: Option<Node>,
    pub(crate) receivers: Vec<Receiver>,
}

#[derive(Debug, Clone)]
struct Node {
    matchers: Vec<Matcher>,
    goes_on: bool,
    target: Arc<Target>,
    children: Vec<Node>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The matchers on the way from the root, as Alertmanager writes them into the group key.
    pub(crate) key: String,
    pub(crate) receiver: String,
    group_by: GroupBy,
    pub(crate) group_wait_ms: i64,
    pub(crate) group_interval_ms: i64,
    pub(crate) repeat_interval_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GroupBy {
    All,
    Names(Vec<String>),
}

impl Target {
    /// The labels that make the alert's group.
    pub(crate) fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Names(names) => labels.keep(names),
        }
    }
}

impl Routes {
    /// Checks and compiles `route` and `receivers`.
    pub(crate) fn compile(config: &Config) -> Result<Self> {
        let mut names = BTreeSet::new();
        for receiver in &config.receivers {
            if !names.insert(receiver.name.as_str()) {
                let message = format!("receivers: the name {:?} is there twice", receiver.name);
                return Err(Error::bad_data(message));
            }
        }
        let Some(route) = &config.route else {
            if config.receivers.is_empty() {
                return Ok(Self::default());
            }
            return Err(Error::bad_data(
                "there are receivers but no route that leads to them",
            ));
        };
        if !route.matchers.is_empty() || !route.r#match.is_empty() || !route.match_re.is_empty() {
            return Err(Error::bad_data(
                "route: the root takes every alert and has no matchers",
            ));
        }
        if route.r#continue {
            return Err(Error::bad_data(
                "route: the root has no siblings and cannot continue",
            ));
        }
        if route.receiver.is_none() {
            return Err(Error::bad_data("route: the root needs a receiver"));
        }
        let above = Target {
            key: String::new(),
            receiver: String::new(),
            group_by: GroupBy::Names(Vec::new()),
            group_wait_ms: 30_000,
            group_interval_ms: 300_000,
            repeat_interval_ms: 4 * 3_600_000,
        };
        Ok(Self {
            root: Some(node(route, &above, &names, 0)?),
            receivers: config.receivers.clone(),
        })
    }

    /// Where an alert goes: the deepest matches, the first of siblings unless it says `continue`.
    pub(crate) fn find(&self, labels: &Labels) -> Vec<Arc<Target>> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            root.find(labels, &mut found);
        }
        found
    }

    /// How many webhooks a receiver has.
    pub(crate) fn webhooks(&self, receiver: &str) -> &[crate::config::Webhook] {
        self.receivers
            .iter()
            .find(|r| r.name == receiver)
            .map_or(&[], |r| &r.webhook_configs)
    }
}

impl Node {
    fn find(&self, labels: &Labels, found: &mut Vec<Arc<Target>>) -> bool {
        if !self.matchers.iter().all(|m| m.matches_labels(labels)) {
            return false;
        }
        let before = found.len();
        for child in &self.children {
            if child.find(labels, found) && !child.goes_on {
                break;
            }
        }
        if found.len() == before {
            found.push(Arc::clone(&self.target));
        }
        true
    }
}

fn node(route: &Route, above: &Target, receivers: &BTreeSet<&str>, depth: usize) -> Result<Node> {
    if depth > 64 {
        return Err(Error::bad_data("routes nest deeper than 64"));
    }
    let matchers = all_matchers(route)?;
    let shown: Vec<_> = matchers.iter().map(ToString::to_string).collect();
    let slash = if depth == 0 { "" } else { "/" };
    let key = format!("{}{slash}{{{}}}", above.key, shown.join(","));
    let receiver = route.receiver.as_ref().unwrap_or(&above.receiver).clone();
    if !receivers.contains(receiver.as_str()) {
        let message = format!("route: the receiver {receiver:?} is not among receivers");
        return Err(Error::bad_data(message));
    }
    let target = Target {
        key,
        receiver,
        group_by: match &route.group_by {
            Some(names) => group_by(names)?,
            None => above.group_by.clone(),
        },
        group_wait_ms: route.group_wait.map_or(above.group_wait_ms, to_ms),
        group_interval_ms: route.group_interval.map_or(above.group_interval_ms, to_ms),
        repeat_interval_ms: route.repeat_interval.map_or(above.repeat_interval_ms, to_ms),
    };
    if target.group_interval_ms == 0 || target.repeat_interval_ms == 0 {
        return Err(Error::bad_data(
            "route: group_interval and repeat_interval must be longer than 0",
        ));
    }
    let children = route
        .routes
        .iter()
        .map(|child| node(child, &target, receivers, depth + 1))
        .collect::<Result<_>>()?;
    Ok(Node {
        matchers,
        goes_on: route.r#continue,
        target: Arc::new(target),
        children,
    })
}

fn to_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn group_by(names: &[String]) -> Result<GroupBy> {
    if names.iter().any(|n| n == "...") {
        if names.len() > 1 {
            return Err(Error::bad_data(
                "route: group_by has ... and names; ... stands alone",
            ));
        }
        return Ok(GroupBy::All);
    }
    let unique: BTreeSet<_> = names.iter().collect();
    if unique.len() < names.len() {
        return Err(Error::bad_data("route: group_by names a label twice"));
    }
    Ok(GroupBy::Names(names.to_vec()))
}

/// All three forms together, sorted as Alertmanager sorts them.
fn all_matchers(route: &Route) -> Result<Vec<Matcher>> {
    let mut all = route.matchers.clone();
    for (name, value) in &route.r#match {
        all.push(Matcher::equal(name, value));
    }
    for (name, value) in &route.match_re {
        all.push(Matcher::new(name, MatchOp::Regex, value).map_err(|e| e.within("route: match_re"))?);
    }
    all.sort_by(|a, b| (a.name(), a.value(), a.op().as_str()).cmp(&(b.name(), b.value(), b.op().as_str())));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_find_their_way() {
        let config: Config = runtime::config::parse(
            r#"
route:
  receiver: all
  group_by: [alertname]
  routes:
    - matchers: ['severity="page"']
      receiver: phone
      group_by: ['...']
      group_wait: 1s
      continue: true
      routes:
        - match: {team: db}
          receiver: db
    - matchers: [severity=~"page|ticket", team!=web]
      receiver: tickets
    - match_re: {team: "w.*"}
receivers: [{name: all}, {name: phone}, {name: db}, {name: tickets}]
"#,
            "x.yml",
        )
        .unwrap();
        let routes = Routes::compile(&config).unwrap();
        let check = |labels: &[(&str, &str)], expected: &[&str]| {
            let labels = Labels::from_pairs(labels.iter().copied());
            let found: Vec<_> = routes
                .find(&labels)
                .iter()
                .map(|t| {
                    format!(
                        "{} {} {} {}",
                        t.receiver,
                        t.key,
                        t.group_labels(&labels),
                        t.group_wait_ms
                    )
                })
                .collect();
            assert_eq!(found, expected);
        };
        check(
            &[("alertname", "A"), ("x", "y")],
            &[r#"all {} {alertname="A"} 30000"#],
        );
        check(
            &[("alertname", "A"), ("severity", "page")],
            &[
                r#"phone {}/{severity="page"} {alertname="A", severity="page"} 1000"#,
                r#"tickets {}/{severity=~"page|ticket",team!="web"} {alertname="A"} 30000"#,
            ],
        );
        check(
            &[("alertname", "A"), ("severity", "page"), ("team", "db")],
            &[
                r#"db {}/{severity="page"}/{team="db"} {alertname="A", severity="page", team="db"} 1000"#,
                r#"tickets {}/{severity=~"page|ticket",team!="web"} {alertname="A"} 30000"#,
            ],
        );
        check(
            &[("alertname", "A"), ("severity", "ticket"), ("team", "web")],
            &[r#"all {}/{team=~"w.*"} {alertname="A"} 30000"#],
        );
    }
}
