//! One group of tests: its series come in, its rules are evaluated, and what comes out is compared.

use super::compare;
use super::database::Database;
use super::file::{AlertTest, ExprTest, TestGroup};
use alert::Rehearsal;
use alert::rules::{Group, RuleFile};
use model::{Clock, Labels, Result, Series};
use query::promql::{QueryValue, series_notation};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What all groups of a file share.
pub(super) struct Settings<'a> {
    /// The group's name, or its number.
    pub(super) name: &'a str,
    pub(super) evaluation_interval: Duration,
    /// The places of groups of rules; those that are not in it come with the first ones.
    pub(super) order: &'a BTreeMap<String, usize>,
    pub(super) is_fuzzy: bool,
    pub(super) shows_diff: bool,
    /// Whether all series are shown at the end.
    pub(super) dumps: bool,
    pub(super) rules: &'a [RuleFile],
    pub(super) clock: &'a Arc<dyn Clock>,
}

/// What went wrong, in lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What was expected and what came out.
    fn differs(what: &str, expected: &str, got: &str, shows_diff: bool) -> Self {
        let indented = |text: &str| text.replace('\n', "\n            ");
        if shows_diff {
            let diff = indented(&compare::diff(expected, got));
            return Self(format!("    {what}\n        diff:\n            {diff}"));
        }
        Self(format!(
            "    {what}\n        exp: {}\n        got: {}",
            indented(expected),
            indented(got)
        ))
    }
}

/// Runs a group.
pub(super) fn run(group: &TestGroup, settings: &Settings<'_>) -> Vec<Failure> {
    if let Some(nameless) = group.alert_rule_test.iter().find(|t| t.alertname.is_empty()) {
        return vec![Failure::new(format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {} (in TestGroup {})",
            shown(nameless.eval_time),
            settings.name
        ))];
    }
    match Run::open(group, settings) {
        Ok(mut run) => {
            if run.evaluate() {
                run.check_exprs();
            }
            if settings.dumps {
                run.dump();
            }
            run.failures
        }
        Err(e) => vec![Failure::new(format!("    {}", e.message()))],
    }
}

struct Run<'a> {
    group: &'a TestGroup,
    settings: &'a Settings<'a>,
    database: Database,
    rules: Rehearsal,
    failures: Vec<Failure>,
}

impl<'a> Run<'a> {
    fn open(group: &'a TestGroup, settings: &'a Settings<'a>) -> Result<Self> {
        let interval = if group.interval.is_zero() {
            settings.evaluation_interval
        } else {
            group.interval
        };
        let database = Database::open(
            input_series(group, millis(interval))?,
            millis(settings.evaluation_interval),
            group.start_timestamp,
            Arc::clone(settings.clock),
        )?;
        let rules = Rehearsal::new(
            ordered(settings.rules, settings.order),
            Labels::from_pairs(group.external_labels.clone()),
            group.external_url.clone(),
        );
        Ok(Self {
            group,
            settings,
            database,
            rules,
            failures: Vec::new(),
        })
    }

    /// Evaluates the rules from the start to the last time that is asked for, and checks the alerts on the way. Gives
    /// false when a rule could not be evaluated: then the rest says nothing.
    fn evaluate(&mut self) -> bool {
        let step_ms = millis(self.settings.evaluation_interval).max(1);
        let mut tests: Vec<&AlertTest> = self.group.alert_rule_test.iter().collect();
        tests.sort_by_key(|t| t.eval_time);
        let mut tests = tests.into_iter().peekable();
        let last = millis(last_time(self.group)) / step_ms;
        // Without rules, nothing happens between the start and the end.
        let has_rules = self.rules.groups().any(|g| !g.rules.is_empty());
        for step in if has_rules { 0..=last } else { last..=last } {
            let at_ms = self.at_ms(step.saturating_mul(step_ms));
            let mut problems = Vec::new();
            if let Err(e) = self.database.load_until(at_ms) {
                problems.push(format!("    input_series: {}", e.message()));
            } else {
                problems.extend(self.evaluate_rules(at_ms));
            }
            if !problems.is_empty() {
                self.failures.extend(problems.into_iter().map(Failure));
                return false;
            }
            while let Some(test) = tests.next_if(|t| millis(t.eval_time) / step_ms <= step) {
                self.check_alerts(test);
            }
        }
        true
    }

    fn evaluate_rules(&mut self, at_ms: i64) -> Vec<String> {
        let database = &self.database;
        let ask = |expr: &str, at_ms| database.ask(expr, at_ms).map(|r| r.value);
        let write = |series: Vec<Series>| database.write(series);
        let failed = self.rules.evaluate(at_ms, ask, write);
        let since_start = Duration::from_millis(at_ms.abs_diff(self.group.start_timestamp));
        failed
            .into_iter()
            .map(|(rule, e)| {
                let time = shown(since_start);
                format!("    rule: {rule}, time: {time}, err: {}", e.message())
            })
            .collect()
    }

    fn check_alerts(&mut self, test: &AlertTest) {
        let expected = compare::expected_alerts(&test.alertname, &test.exp_alerts);
        let got = compare::firing_alerts(self.rules.firing(&test.alertname));
        if expected == got {
            return;
        }
        let what = format!("alertname: {}, time: {},", test.alertname, shown(test.eval_time));
        self.failures.push(Failure::differs(
            &what,
            &compare::shown_alerts(&expected),
            &compare::shown_alerts(&got),
            self.settings.shows_diff,
        ));
    }

    fn check_exprs(&mut self) {
        for test in &self.group.promql_expr_test {
            let what = format!("expr: {:?}, time: {},", test.expr, shown(test.eval_time));
            match self.check_expr(test, &what) {
                Ok(None) => {}
                Ok(Some(failure)) => self.failures.push(failure),
                Err(e) => {
                    let text = format!("    {what} err: {}", e.message());
                    self.failures.push(Failure(text));
                }
            }
        }
    }

    fn check_expr(&self, test: &ExprTest, what: &str) -> Result<Option<Failure>> {
        let answer = self
            .database
            .ask(&test.expr, self.at_ms(millis(test.eval_time)))?;
        let got = compare::samples_of(answer.value)?;
        let expected = compare::expected_samples(&test.exp_samples)?;
        if compare::same_samples(&expected, &got, self.settings.is_fuzzy) {
            return Ok(None);
        }
        let mut failure = Failure::differs(
            what,
            &compare::shown_samples(&expected),
            &compare::shown_samples(&got),
            self.settings.shows_diff,
        );
        if compare::expects_nan(&expected) {
            failure.0 += "\n        note: NaN equals nothing; to expect it, ask for `(EXPR) != (EXPR)`";
        }
        Ok(Some(failure))
    }

    /// Shows all series, those of the rules too.
    fn dump(&self) {
        let end = Duration::from_secs(last_time(self.group).as_secs() + 1);
        // The range is open on the left, and the first points lie at the start.
        let range = end + Duration::from_secs(1);
        let expr = format!("{{__name__=~\".+\"}}[{}]", shown(range));
        match self.database.ask(&expr, self.at_ms(millis(end))).map(|r| r.value) {
            Ok(QueryValue::Matrix(series)) => {
                super::report::debug(&format!("all series at {}:", shown(end)));
                for one in series {
                    super::report::debug(&compare::shown_series(&one));
                }
            }
            Ok(_) => super::report::debug("the series cannot be shown"),
            Err(e) => super::report::debug(&format!("the series cannot be shown: {}", e.message())),
        }
    }

    fn at_ms(&self, since_start_ms: i64) -> i64 {
        self.group.start_timestamp.saturating_add(since_start_ms)
    }
}

/// The input series with their points; the last of those with the same labels holds.
fn input_series(group: &TestGroup, interval_ms: i64) -> Result<Vec<Series>> {
    let mut by_labels = BTreeMap::new();
    for input in &group.input_series {
        let text = format!("{} {}", input.series, input.values);
        let (labels, items) =
            series_notation::parse(&text).map_err(|e| e.within(format!("input_series: {}", input.series)))?;
        let series = series_notation::series(labels.clone(), items, &[], group.start_timestamp, interval_ms);
        by_labels.insert(labels, series);
    }
    Ok(by_labels.into_values().collect())
}

/// The groups of all files, those with a place in the order by it.
fn ordered(rules: &[RuleFile], order: &BTreeMap<String, usize>) -> Vec<Arc<Group>> {
    let mut groups: Vec<Arc<Group>> = rules.iter().flat_map(|f| f.groups.iter().cloned()).collect();
    groups.sort_by_key(|g| order.get(&g.name).copied().unwrap_or(0));
    groups
}

/// The last time that a test of a group asks for.
fn last_time(group: &TestGroup) -> Duration {
    let alerts = group.alert_rule_test.iter().map(|t| t.eval_time);
    let exprs = group.promql_expr_test.iter().map(|t| t.eval_time);
    alerts.chain(exprs).max().unwrap_or_default()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn shown(duration: Duration) -> String {
    model::duration::format(duration)
}
