//! The YAML form of files of unit tests.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// The interval of evaluations where the file names none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// A file of unit tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestFile {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) rule_files: Vec<String>,
    #[serde(default = "default_interval", deserialize_with = "interval")]
    pub(super) evaluation_interval: Duration,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) group_eval_order: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tests: Vec<TestGroup>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) fuzzy_compare: bool,
}

/// Series, and what is expected of rules and expressions over them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestGroup {
    /// The distance of the points of the series; that of the evaluations when left out.
    #[serde(default, deserialize_with = "duration")]
    pub(super) interval: Duration,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) input_series: Vec<InputSeries>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) alert_rule_test: Vec<AlertTest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) promql_expr_test: Vec<ExprTest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) external_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) external_url: String,
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(default, deserialize_with = "start_ms")]
    pub(super) start_timestamp: i64,
}

/// A series in the notation of series.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputSeries {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) series: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) values: String,
}

/// The alerts of a name that are expected to fire at a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertTest {
    #[serde(default, deserialize_with = "duration")]
    pub(super) eval_time: Duration,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) alertname: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

/// An alert; the name is added to its labels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    #[serde(default, deserialize_with = "texts")]
    pub(super) exp_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "texts")]
    pub(super) exp_annotations: BTreeMap<String, String>,
}

/// What an expression is expected to give at a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExprTest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expr: String,
    #[serde(default, deserialize_with = "duration")]
    pub(super) eval_time: Duration,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_samples: Vec<ExpectedSample>,
}

/// One sample; with a histogram the value does not count.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedSample {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) labels: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) value: f64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) histogram: String,
}

impl TestFile {
    /// Reads a file, or says what is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let cannot = |e: std::io::Error| format!("{name}: cannot be read: {e}");
        let size = std::fs::metadata(path).map_err(cannot)?.len();
        if size > MAX_FILE_BYTES {
            return Err(format!("{name} has {size} bytes, more than {MAX_FILE_BYTES}"));
        }
        let text = std::fs::read_to_string(path).map_err(cannot)?;
        Self::parse(&text).map_err(|e| format!("{name}: {e}"))
    }

    /// Reads a file's text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let blank = text
            .lines()
            .map(str::trim)
            .all(|l| l.is_empty() || l.starts_with('#') || l == "---");
        serde_saphyr::from_str(if blank { "{}" } else { text }).map_err(|e| e.to_string())
    }
}

/// A key without a value is as good as none.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: Option<BTreeMap<String, Option<String>>> = Option::deserialize(d)?;
    let texts = map.unwrap_or_default().into_iter();
    Ok(texts.map(|(k, v)| (k, v.unwrap_or_default())).collect())
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    match Option::<String>::deserialize(d)? {
        None => Ok(Duration::ZERO),
        Some(text) => model::duration::parse(&text).map_err(|e| serde::de::Error::custom(e.message())),
    }
}

fn default_interval() -> Duration {
    DEFAULT_INTERVAL
}

fn interval<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let interval = duration(d)?;
    Ok(if interval.is_zero() {
        DEFAULT_INTERVAL
    } else {
        interval
    })
}

fn start_ms<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    match Option::<String>::deserialize(d)? {
        None => Ok(0),
        Some(text) => crate::api::params::time_ms(&text).map_err(serde::de::Error::custom),
    }
}
