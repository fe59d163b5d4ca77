//! The grammar of the expressions that are asked for.

use crate::data::{LENGTH_S, START_S};
use proptest::prelude::*;
use proptest::sample::select;

/// An expression, and when it is evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) expr: String,
    /// Whether the order of an instant vector says something.
    pub(crate) is_ordered: bool,
    at_s: i64,
    step_s: i64,
    steps: i64,
}

impl Question {
    /// The parameters of an instant query, or of a range query that ends at its time.
    pub(crate) fn parameters(&self, path: &str) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("query", self.expr.clone())];
        if path == "query" {
            parameters.push(("time", self.at_s.to_string()));
        } else {
            parameters.push(("start", (self.at_s - self.steps * self.step_s).to_string()));
            parameters.push(("end", self.at_s.to_string()));
            parameters.push(("step", self.step_s.to_string()));
        }
        parameters
    }
}

/// What is asked: mostly vectors, some of each other type, some that are wrong.
pub(crate) fn questions() -> impl Strategy<Value = Question> {
    let plain = prop_oneof![
        12 => vector(),
        2 => set(vector()),
        2 => scalar(),
        1 => range_of(&GAUGES),
        1 => (selector_of(&COUNTERS), range()).prop_map(|(s, range)| format!("({s})[{range}:30s]")),
        1 => wrong(),
        1 => Just("\"a text\"".to_owned()),
    ];
    let sorted = (select(&["sort", "sort_desc"][..]), unnamed_value())
        .prop_map(|(sort, vector)| format!("{sort}({vector})"));
    let expr = prop_oneof![
        20 => plain.prop_map(|e| (e, false)),
        1 => sorted.prop_map(|e| (e, true)),
    ];
    let first_s = START_S + 1200;
    // 7 s past a multiple of 30 s, in the data and a little behind it.
    let at_s = (0..(LENGTH_S - 600) / 30).prop_map(move |n| first_s - first_s % 30 + 7 + n * 30);
    (expr, at_s, select(&[30i64, 60, 90, 300][..]), 1i64..12).prop_map(
        |((expr, is_ordered), at_s, step_s, steps)| Question {
            expr,
            is_ordered,
            at_s,
            step_s,
            steps,
        },
    )
}

const COUNTERS: [&str; 5] = [
    "requests_total",
    "bytes_total",
    "latency_seconds_bucket",
    "latency_seconds_count",
    "latency_seconds_sum",
];
/// No two series of one of these have the same value at a time.
const GAUGES: [&str; 3] = ["temperature", "balance", "weight"];
const OTHERS: [&str; 4] = ["up", "boot_time_seconds", "odd", "nothing"];
const MATCHERS: [&str; 14] = [
    "job=\"api\"",
    "job!=\"api\"",
    "job=~\"api|web\"",
    "job!~\"a.*\"",
    "zone=\"north\"",
    "zone=~\"nor.+|south\"",
    "instance=~\"web-[0-2]:9100\"",
    "instance=~\".*-1:9100\"",
    "instance!~\".+-3.*\"",
    "code=\"200\"",
    "code=~\"5..\"",
    "code!=\"\"",
    "disk=\"\"",
    "le!~\"0.*\"",
];
const LABELS: [&str; 7] = ["job", "instance", "zone", "code", "disk", "le", "missing"];

fn duration() -> impl Strategy<Value = &'static str> {
    select(&["30s", "1m", "90s", "2m", "5m", "7m30s", "10m", "20m"][..])
}

fn range() -> impl Strategy<Value = &'static str> {
    select(&["1m", "90s", "2m", "5m", "10m", "20m", "1h"][..])
}

/// `offset` and `@` after a selector or a subquery.
fn shift() -> impl Strategy<Value = String> {
    let offset = (any::<bool>(), duration()).prop_map(|(negative, duration)| {
        let sign = if negative { "-" } else { "" };
        format!(" offset {sign}{duration}")
    });
    let offset = offset.boxed();
    let at = prop_oneof![
        Just(" @ start()".to_owned()),
        Just(" @ end()".to_owned()),
        (40i64..200).prop_map(|n| format!(" @ {}", START_S - START_S % 30 + 7 + n * 30)),
    ]
    .boxed();
    prop_oneof![
        6 => Just(String::new()),
        2 => offset.clone(),
        1 => at.clone(),
        1 => (at, offset).prop_map(|(at, offset)| format!("{at}{offset}")),
    ]
}

fn matchers() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&MATCHERS[..]), 0..3).prop_map(|matchers| {
        if matchers.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", matchers.join(","))
        }
    })
}

fn selector_of(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    (select(names), matchers()).prop_map(|(name, matchers)| format!("{name}{matchers}"))
}

fn instant_of(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    (selector_of(names), shift()).prop_map(|(selector, shift)| format!("{selector}{shift}"))
}

fn range_of(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    (selector_of(names), range(), shift()).prop_map(|(s, range, shift)| format!("{s}[{range}]{shift}"))
}

/// A range vector of counters, of anything, or of a subquery.
fn range_vector() -> impl Strategy<Value = String> + Clone {
    let subquery = (
        leaf(),
        range(),
        select(&["", "30s", "1m", "90s", "2m"][..]),
        shift(),
    )
        .prop_map(|(inner, range, step, shift)| format!("({inner})[{range}:{step}]{shift}"));
    prop_oneof![
        3 => range_of(&COUNTERS),
        3 => range_of(&GAUGES),
        2 => range_of(&OTHERS),
        2 => subquery,
    ]
    .boxed()
}

/// A function over a range.
fn over_time() -> impl Strategy<Value = String> {
    let names = &[
        "irate",
        "delta",
        "idelta",
        "deriv",
        "changes",
        "resets",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "sum_over_time",
        "count_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "last_over_time",
        "present_over_time",
        "absent_over_time",
    ][..];
    let plain = (select(names), range_vector()).prop_map(|(name, range)| format!("{name}({range})"));
    let rate = (select(&["rate", "increase", "irate"][..]), range_of(&COUNTERS))
        .prop_map(|(name, range)| format!("{name}({range})"));
    let quantile =
        (quantile(), range_vector()).prop_map(|(q, range)| format!("quantile_over_time({q}, {range})"));
    let ahead = select(&["60", "3600", "-30", "0.5"][..]);
    let predict = (selector_of(&GAUGES), range(), duration(), ahead).prop_map(|(s, range, offset, ahead)| {
        format!("predict_linear({s}[{range}] offset {offset}, {ahead})")
    });
    prop_oneof![6 => plain, 4 => rate, 1 => quantile, 1 => predict]
}

fn quantile() -> impl Strategy<Value = &'static str> {
    select(&["0", "0.1", "0.5", "0.9", "0.99", "1", "1.5", "-1", "NaN"][..])
}

fn number() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "0", "1", "2", "-1.5", "100", "0.25", "1e3", "0x10", "Inf", "-Inf", "NaN",
        ][..],
    )
}

/// Something simple with one value for each series.
fn leaf() -> BoxedStrategy<String> {
    prop_oneof![
        3 => instant_of(&COUNTERS),
        3 => instant_of(&GAUGES),
        2 => instant_of(&OTHERS),
        4 => (select(&["rate", "increase", "delta", "max_over_time", "last_over_time"][..]), range_of(&COUNTERS))
            .prop_map(|(name, range)| format!("{name}({range})")),
        1 => number().prop_map(|n| format!("vector({n})")),
    ]
    .boxed()
}

/// Values that differ from series to series.
fn unnamed_value() -> impl Strategy<Value = String> {
    prop_oneof![
        instant_of(&GAUGES),
        instant_of(&GAUGES).prop_map(|g| format!("-{g} * 2"))
    ]
}

fn vector() -> BoxedStrategy<String> {
    let base = prop_oneof![3 => leaf(), 3 => over_time(), 2 => histogram_quantile(), 1 => named()];
    base.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            3 => aggregation(&inner),
            3 => function(inner.clone()),
            2 => with_scalar(inner.clone()),
            2 => matched(),
            1 => k_of(),
            1 => same_labels(inner.clone()),
            1 => inner.prop_map(|v| format!("-({v})")),
        ]
    })
    .boxed()
}

/// Selectors by the name as a label.
fn named() -> impl Strategy<Value = String> {
    let matcher = select(
        &[
            "__name__=\"weight\"",
            "__name__=~\"temp.*|weight\"",
            "__name__=~\".*_total\"",
        ][..],
    );
    let other = select(&MATCHERS[..9]);
    prop_oneof![
        (matcher, other.clone()).prop_map(|(name, other)| format!("{{{name},{other}}}")),
        other.prop_map(|other| format!("count({{{other}}})")),
    ]
}

fn labels() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&LABELS[..]), 0..3).prop_map(|labels| labels.join(", "))
}

fn grouping() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        2 => labels().prop_map(|l| format!(" by ({l}) ")),
        1 => labels().prop_map(|l| format!(" without ({l}) ")),
    ]
}

fn aggregation(inner: &BoxedStrategy<String>) -> BoxedStrategy<String> {
    let names = &["sum", "avg", "min", "max", "count", "group"][..];
    let plain =
        (select(names), grouping(), inner.clone()).prop_map(|(name, by, v)| format!("{name}{by}({v})"));
    let quantile =
        (grouping(), quantile(), inner.clone()).prop_map(|(by, q, v)| format!("quantile{by}({q}, {v})"));
    let values =
        (grouping(), instant_of(&OTHERS)).prop_map(|(by, v)| format!("count_values{by}(\"value\", {v})"));
    let deviation = (select(&["stddev", "stdvar"][..]), grouping(), instant_of(&GAUGES))
        .prop_map(|(name, by, v)| format!("{name}{by}({v})"));
    prop_oneof![8 => plain, 2 => quantile, 2 => deviation, 1 => values].boxed()
}

/// Some of the gauges by their values.
fn k_of() -> impl Strategy<Value = String> {
    let k = select(&["0", "1", "2", "5", "100", "-1", "1.9"][..]);
    (
        select(&["topk", "bottomk"][..]),
        grouping(),
        k,
        instant_of(&GAUGES),
    )
        .prop_map(|(name, by, k, v)| format!("{name}{by}({k}, {v})"))
}

fn function(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let names = &[
        "abs",
        "ceil",
        "floor",
        "exp",
        "ln",
        "log2",
        "log10",
        "sqrt",
        "sgn",
        "round",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "deg",
        "rad",
        "absent",
        "histogram_count",
        "histogram_sum",
    ][..];
    let plain = (select(names), inner.clone()).prop_map(|(name, v)| format!("{name}({v})"));
    let wave = (select(&["sin", "cos", "tan"][..]), instant_of(&GAUGES))
        .prop_map(|(name, v)| format!("{name}({v})"));
    let remainder = (instant_of(&GAUGES), select(&["7", "-0.3", "0", "Inf"][..]))
        .prop_map(|(v, by)| format!("{v} % {by}"));
    let names = [&COUNTERS[..], &GAUGES, &OTHERS].concat();
    let timestamp = (select(names), matchers(), duration())
        .prop_map(|(name, matchers, offset)| format!("timestamp({name}{matchers} offset {offset})"));
    let of_values = inner.clone().prop_map(|v| format!("timestamp(({v}) * 1)"));
    let dates = &[
        "minute",
        "hour",
        "day_of_week",
        "day_of_month",
        "day_of_year",
        "days_in_month",
        "month",
        "year",
    ][..];
    let date = (select(dates), instant_of(&["boot_time_seconds", "bytes_total"]))
        .prop_map(|(name, v)| format!("{name}({v})"));
    let clamp =
        (inner.clone(), number(), number()).prop_map(|(v, low, high)| format!("clamp({v}, {low}, {high})"));
    let one_side = (select(&["clamp_min", "clamp_max"][..]), inner.clone(), number())
        .prop_map(|(name, v, limit)| format!("{name}({v}, {limit})"));
    let round =
        (inner.clone(), select(&["0.1", "5", "-2", "0"][..])).prop_map(|(v, to)| format!("round({v}, {to})"));
    let replace = (inner.clone(), select(&LABELS[..]), select(&LABELS[..])).prop_flat_map(|(v, to, from)| {
        let parts = select(
            &[
                ("$1", "(.*)"),
                ("x-$1-$2", "(.+)-(.*)"),
                ("${first}_y", "(?P<first>[a-z]+).*"),
                ("", ".*"),
                ("$1", "(nothing)"),
            ][..],
        );
        parts.prop_map(move |(text, regex)| {
            format!("label_replace({v}, \"{to}\", \"{text}\", \"{from}\", \"{regex}\")")
        })
    });
    let join = (inner, select(&["both", "job"][..]))
        .prop_map(|(v, to)| format!("label_join({v}, \"{to}\", \"/\", \"job\", \"missing\", \"instance\")"));
    prop_oneof![
        12 => plain,
        1 => timestamp,
        1 => of_values,
        2 => date,
        1 => wave,
        1 => remainder,
        1 => clamp,
        2 => one_side,
        1 => round,
        2 => replace,
        1 => join,
    ]
}

fn histogram_quantile() -> impl Strategy<Value = String> {
    let buckets = (
        select(&["rate", "increase", "last_over_time"][..]),
        matchers(),
        range(),
        shift(),
    )
        .prop_map(|(name, matchers, range, shift)| {
            format!("{name}(latency_seconds_bucket{matchers}[{range}]{shift})")
        });
    let by = select(&["sum by (le) ", "sum by (job, le) ", "sum without (instance) ", ""][..]);
    (quantile(), by, buckets).prop_map(|(q, by, b)| format!("histogram_quantile({q}, {by}({b}))"))
}

const ARITHMETIC: [&str; 5] = ["+", "-", "*", "/", "^"];
const COMPARISONS: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];

fn operator() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&ARITHMETIC[..]).prop_map(str::to_owned),
        2 => select(&COMPARISONS[2..]).prop_map(str::to_owned),
        1 => select(&COMPARISONS[..]).prop_map(|op| format!("{op} bool")),
    ]
}

fn with_scalar(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    (inner, operator(), scalar(), any::<bool>()).prop_map(|(v, op, s, is_left)| {
        if is_left {
            format!("({s}) {op} ({v})")
        } else {
            format!("({v}) {op} ({s})")
        }
    })
}

/// Operators between vectors whose labels have something to do with each other.
fn matched() -> impl Strategy<Value = String> {
    let sides = &[
        (
            "temperature{disk=\"sda\"}",
            "ignoring (disk)",
            "temperature{disk=\"sda\"} offset 1m",
        ),
        ("temperature", "", "temperature offset 5m"),
        ("temperature", "ignoring (disk) group_left", "weight"),
        ("temperature", "on (instance) group_left (zone)", "balance"),
        ("weight", "ignoring (disk) group_right", "temperature"),
        ("weight", "% on (instance)", "balance"),
        ("weight", "on (instance)", "balance"),
        ("weight", "on (job)", "balance"),
        ("weight", "on (instance) group_left", "temperature"),
        (
            "rate(requests_total{code=\"500\"}[5m])",
            "ignoring (code)",
            "rate(requests_total{code=\"200\"}[5m])",
        ),
        (
            "rate(requests_total[5m])",
            "ignoring (code) group_left",
            "sum without (code) (rate(requests_total[5m]))",
        ),
        ("sum by (job) (weight)", "on (job) group_right", "balance"),
        (
            "requests_total",
            "on (job, zone) group_left (disk)",
            "max by (job, zone, disk) (temperature{disk=\"sdb\"})",
        ),
        ("sum(weight)", "", "vector(3)"),
        ("sum by (job) (balance)", "atan2", "max by (job) (weight)"),
        (
            "sum by (job) (bytes_total)",
            "",
            "count by (job) (bytes_total{zone=\"north\"})",
        ),
    ][..];
    (select(sides), operator()).prop_map(|((left, matching, right), op)| match matching {
        "atan2" | "% on (instance)" => format!("{left} {matching} {right}"),
        _ => format!("{left} {op} {matching} {right}"),
    })
}

fn set(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let matching = prop_oneof![
        Just(String::new()),
        labels().prop_map(|l| format!(" on ({l})")),
        labels().prop_map(|l| format!(" ignoring ({l})")),
    ];
    (
        inner.clone(),
        select(&["and", "or", "unless"][..]),
        matching,
        inner,
    )
        .prop_map(|(left, op, matching, right)| format!("({left}) {op}{matching} ({right})"))
}

/// An operator between an expression and something of the same labels.
fn same_labels(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    (inner, select(&ARITHMETIC[..])).prop_map(|(v, op)| format!("({v}) {op} ({v})"))
}

fn scalar() -> BoxedStrategy<String> {
    let base = prop_oneof![
        5 => number().prop_map(str::to_owned),
        1 => Just("time()".to_owned()),
        1 => Just("pi()".to_owned()),
        1 => instant_of(&GAUGES).prop_map(|v| format!("scalar(sum({v}))")),
        1 => instant_of(&OTHERS).prop_map(|v| format!("scalar({v})")),
    ];
    base.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            (inner.clone(), select(&ARITHMETIC[..]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), select(&COMPARISONS[..]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} bool ({b})")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
    .boxed()
}

/// What neither takes.
fn wrong() -> impl Strategy<Value = String> {
    select(
        &[
            "rate(weight)",
            "weight[5m] + 1",
            "1 == 2",
            "weight > bool",
            "sum by (job weight)",
            "nosuch(weight)",
            "weight{job=\"api\"",
            "weight and 1",
            "{}",
            "{job=~\".*\"}",
            "abs(weight, 1)",
            "weight[5m] offset 1m @ 5 @ 6",
            "topk(weight, 1)",
            "label_replace(weight, \"a\", \"b\", \"job\", \"(\")",
            "label_join(weight)",
            "weight + on (job) group_left balance",
            "-\"a\"",
            "weight[0s]",
            "(weight)[5m]",
            "label_replace(weight, \"instance\", \"same\", \"job\", \".*\")",
            "weight{job=\"a\"} group_left balance",
        ][..],
    )
    .prop_map(str::to_owned)
}
