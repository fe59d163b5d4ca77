//! `binnacle tsdb dump`: the samples of a stopped binnacle as text.

use super::{DataDirArgs, INCOMPLETE, counted, output, parse_selectors, parse_tenant, parse_time};
use crate::config::Config;
use anyhow::Result;
use clap::{Args, ValueEnum};
use model::labels::METRIC_NAME;
use model::metric::{HistogramSample, is_stale};
use model::{
    Answer, Budget, BudgetLimits, Clock, Labels, NoMeter, Read as _, ScanRequest, SeriesData, Tenant,
    TimeRange,
};
use model::{Matcher, Predicate};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use storage::{DataDir, RealFs};

/// How `dump` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OpenMetrics text with times.
    Openmetrics,
    /// One JSON object per series and line.
    Json,
}

/// Flags of `tsdb dump`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle tsdb dump --data-dir /var/lib/binnacle > everything.om
  binnacle tsdb dump --match '{job=\"node\"}' --start 2026-03-01T00:00:00Z --end 2026-04-01T00:00:00Z
  binnacle tsdb dump --match up --format json | jq .metric

OpenMetrics text holds floats; native histograms, staleness markers and series without a name are left out and counted \
on standard error: JSON has them. Types, help texts and exemplars are left out of both. `binnacle tsdb import` and \
`promtool tsdb create-blocks-from openmetrics` read the text. Samples beyond the retention that are still on disk are \
written too.

Exit code 0 when everything was written, 3 when something could not be read, 1 when the dump ended early.")]
pub struct DumpArgs {
    /// Where the data is.
    #[command(flatten)]
    pub data: DataDirArgs,
    /// Whose samples
    #[arg(long, value_name = "TENANT", default_value = Tenant::DEFAULT, value_parser = parse_tenant)]
    pub tenant: Tenant,
    /// Only series that this selector selects; may be given more than once
    #[arg(long = "match", value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Samples from this time on (RFC 3339, or seconds since the epoch)
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    pub start: Option<i64>,
    /// Samples up to this time, included
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    pub end: Option<i64>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Openmetrics)]
    pub format: Format,
}

/// Opens the store and writes.
///
/// # Errors
/// Those of the data directory and of standard output.
pub fn run(args: &DumpArgs, clock: Arc<dyn Clock>) -> Result<ExitCode> {
    let path = args.data.path(&Config::default());
    let predicate = super::predicate(&parse_selectors(&args.selectors)?);
    // A path with a typing error is not made a data directory.
    storage::verify::data_dir(&RealFs, &path)?;
    let data = DataDir::open(Arc::new(RealFs), &path)?;
    let options = tsdb::Options {
        retention_ms: None,
        ..tsdb::Options::default()
    };
    let store = tsdb::Store::open(data.fs().clone(), data.root(), options, clock.clone(), &NoMeter)?;
    let budget = Budget::new(BudgetLimits::UNLIMITED, clock);
    let range = TimeRange::from_ms(args.start.unwrap_or(i64::MIN), args.end.unwrap_or(i64::MAX));
    let request = ScanRequest::new(args.tenant.clone(), range, predicate, budget.clone());
    let mut left_out = LeftOut::default();
    output::stream(|out| {
        // Metric by metric, because the text wants a family's lines together; series without a name come first.
        let names = store.label_values(&request, METRIC_NAME)?;
        for name in std::iter::once(String::new()).chain(names) {
            for series in of_metric(&store, &request, &name)? {
                match args.format {
                    Format::Openmetrics => write_openmetrics(out, &series, &mut left_out)?,
                    Format::Json => write_json(out, &series)?,
                }
            }
        }
        if args.format == Format::Openmetrics {
            out.write_all(b"# EOF\n")?;
        }
        Ok(())
    })?;
    store.close()?;
    left_out.remark();
    for stretch in budget.rolled_up() {
        let width = std::time::Duration::from_millis(stretch.resolution_ms.unsigned_abs());
        output::remark(&format!(
            "binnacle: of {} to {} only the last samples of windows of {} are there",
            super::shown_time(stretch.after_ms),
            super::shown_time(stretch.until_ms),
            model::duration::format(width)
        ));
    }
    let warnings = budget.warnings();
    warnings
        .iter()
        .for_each(|w| output::remark(&format!("binnacle: not written: {w}")));
    Ok(if warnings.is_empty() {
        ExitCode::SUCCESS
    } else {
        INCOMPLETE.into()
    })
}

/// The series of one metric, sorted by their labels.
fn of_metric(store: &tsdb::Store, request: &ScanRequest, name: &str) -> model::Result<Vec<SeriesData>> {
    let mut of_name = request.clone();
    let has_name = Predicate::Label(Matcher::equal(METRIC_NAME, name));
    of_name.predicate = Predicate::And(vec![has_name, request.predicate.clone()]);
    let scan = store.scan(&of_name)?;
    let is_exact = scan.predicates.iter().all(|a| *a == Answer::Exact);
    let mut all = scan.rows().collect::<model::Result<Vec<_>>>()?;
    all.retain(|series| is_exact || of_name.predicate.on_labels(&series.labels) != Some(false));
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(all)
}

/// What OpenMetrics text cannot say.
#[derive(Debug, Default, PartialEq, Eq)]
struct LeftOut {
    histograms: u64,
    stale: u64,
    nameless: u64,
}

impl LeftOut {
    fn remark(&self) {
        let parts: Vec<String> = [
            (self.histograms, "native histogram"),
            (self.stale, "staleness marker"),
            (self.nameless, "sample of series without a name"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| match word {
            "sample of series without a name" if count > 1 => {
                format!("{} samples of series without a name", super::shown_count(count))
            }
            word => counted(count, word),
        })
        .collect();
        if !parts.is_empty() {
            output::remark(&format!(
                "binnacle: left out, because OpenMetrics text has no form for it: {}; --format json has it",
                parts.join(", ")
            ));
        }
    }
}

fn write_openmetrics(out: &mut dyn Write, series: &SeriesData, left_out: &mut LeftOut) -> Result<()> {
    left_out.histograms += series.histograms.len() as u64;
    let Some(name) = name_and_labels(&series.labels) else {
        left_out.nameless += series.values.len() as u64;
        return Ok(());
    };
    for (time_ms, value) in series.timestamps_ms.iter().zip(&series.values) {
        if is_stale(*value) {
            left_out.stale += 1;
            continue;
        }
        writeln!(out, "{name} {} {}", Value(*value), seconds(*time_ms))?;
    }
    Ok(())
}

/// `name{label="value"}`; a name or a label that is not of letters, digits and `_` stands in quotes.
fn name_and_labels(labels: &Labels) -> Option<String> {
    let plain = |text: &str, also: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
        text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    let quoted = |text: &str| {
        let escaped = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("\"{escaped}\"")
    };
    let name = labels.metric_name()?;
    let is_plain = plain(name, "_:");
    let mut pairs = Vec::new();
    if !is_plain {
        pairs.push(quoted(name));
    }
    for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
        let label = if plain(label, "_") {
            label.to_owned()
        } else {
            quoted(label)
        };
        pairs.push(format!("{label}={}", quoted(value)));
    }
    let name = if is_plain { name } else { "" };
    Some(match pairs.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", pairs.join(",")),
    })
}

/// Milliseconds as seconds. Readers multiply by 1000 and cut off, which of 1.001 makes 1000: a digit more keeps such a
/// number above its millisecond.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let (whole, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    let text = format!("{sign}{whole}.{rest:03}");
    let read = |text: &str| text.parse::<f64>().map(|seconds| (seconds * 1000.0) as i64);
    if read(&text) == Ok(ms) { text } else { text + "1" }
}

/// A float with as many digits as tell it from its neighbours.
struct Value(f64);

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.0;
        if value.is_nan() {
            f.write_str("NaN")
        } else if value.is_infinite() {
            f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
        } else if value != 0.0 && !(1e-5..1e17).contains(&value.abs()) {
            write!(f, "{value:e}")
        } else {
            write!(f, "{value}")
        }
    }
}

/// One line; floats that JSON has no number for are the texts `NaN`, `+Inf`, `-Inf`, and `stale` for the marker.
fn write_json(out: &mut dyn Write, series: &SeriesData) -> Result<()> {
    out.write_all(b"{\"metric\":")?;
    serde_json::to_writer(&mut *out, &series.labels)?;
    out.write_all(b",\"timestamps\":")?;
    serde_json::to_writer(&mut *out, &series.timestamps_ms)?;
    out.write_all(b",\"values\":")?;
    write_list(out, &series.values, |out, value| write_number(out, *value))?;
    if series.start_timestamps_ms.iter().any(|start| *start != 0) {
        out.write_all(b",\"start_timestamps\":")?;
        serde_json::to_writer(&mut *out, &series.start_timestamps_ms)?;
    }
    if !series.histograms.is_empty() {
        out.write_all(b",\"histograms\":")?;
        write_list(out, &series.histograms, write_histogram)?;
    }
    Ok(out.write_all(b"}\n")?)
}

fn write_histogram(out: &mut dyn Write, sample: &HistogramSample) -> Result<()> {
    let h = &sample.histogram;
    write!(out, "{{\"timestamp\":{}", sample.timestamp_ms)?;
    if sample.start_timestamp_ms != 0 {
        write!(out, ",\"start_timestamp\":{}", sample.start_timestamp_ms)?;
    }
    write!(out, ",\"schema\":{},\"gauge\":{}", h.schema, h.is_gauge())?;
    let numbers = [
        ("count", h.count),
        ("sum", h.sum),
        ("zero_threshold", h.zero_threshold),
        ("zero_count", h.zero_count),
    ];
    for (name, number) in numbers {
        write!(out, ",\"{name}\":")?;
        write_number(out, number)?;
    }
    for (name, side) in [("positive", &h.positive), ("negative", &h.negative)] {
        write!(out, ",\"{name}\":")?;
        write_list(out, side, |out, (index, count)| {
            write!(out, "[{index},")?;
            write_number(out, *count)?;
            Ok(out.write_all(b"]")?)
        })?;
    }
    if !h.custom_bounds.is_empty() {
        out.write_all(b",\"custom_bounds\":")?;
        write_list(out, &h.custom_bounds, |out, bound| write_number(out, *bound))?;
    }
    Ok(out.write_all(b"}")?)
}

fn write_number(out: &mut dyn Write, value: f64) -> Result<()> {
    if is_stale(value) {
        out.write_all(b"\"stale\"")?;
    } else if value.is_finite() {
        write!(out, "{}", Value(value))?;
    } else {
        write!(out, "\"{}\"", Value(value))?;
    }
    Ok(())
}

fn write_list<T>(
    out: &mut dyn Write,
    items: &[T],
    write: impl Fn(&mut dyn Write, &T) -> Result<()>,
) -> Result<()> {
    out.write_all(b"[")?;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        write(out, item)?;
    }
    Ok(out.write_all(b"]")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metric::{Histogram, stale_nan};
    use wire::exposition::{self, Format as TextFormat};

    fn parse(text: &str) -> Vec<model::Series> {
        let quota = wire::Quota::new(1 << 24);
        exposition::parse(TextFormat::OpenMetrics, text.as_bytes(), 0, &quota)
            .unwrap()
            .series
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let values = [
            0.0,
            -0.0,
            1.5,
            -1e-7,
            1e17,
            1e300,
            5e-324,
            0.1,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            123_456_789.125,
        ];
        let times = [
            0,
            1,
            -1,
            -1500,
            1_700_000_000_123,
            1_700_000_000_999,
            4_102_444_799_001,
            -62_135_596_800_001,
        ];
        let labels = Labels::from_pairs([("__name__", "a:b"), ("x", "q\"\\\n"), ("d.e", "ü"), ("Z", "")]);
        let nameless = Labels::from_pairs([("__name__", "with space"), ("le", "1")]);
        for labels in [labels, nameless, Labels::from_pairs([("__name__", "up")])] {
            for time_ms in times
                .into_iter()
                .chain((0..2000).map(|i| 1_700_000_000_000 + i * 7_919))
            {
                let series = SeriesData {
                    labels: labels.clone(),
                    timestamps_ms: vec![time_ms; values.len()],
                    values: values.to_vec(),
                    ..SeriesData::default()
                };
                let mut text = Vec::new();
                write_openmetrics(&mut text, &series, &mut LeftOut::default()).unwrap();
                text.extend(b"# EOF\n");
                let text = String::from_utf8(text).unwrap();
                let read = parse(&text);
                assert_eq!(read.len(), values.len());
                for (series, value) in read.iter().zip(values) {
                    let expected = model::Sample {
                        timestamp_ms: time_ms,
                        value,
                    };
                    assert_eq!(
                        (&series.labels, &series.samples[..]),
                        (&labels, &[expected][..]),
                        "{text}"
                    );
                }
            }
        }
    }

    fn all_kinds() -> SeriesData {
        SeriesData {
            labels: Labels::from_pairs([("__name__", "m"), ("a", "\"")]),
            timestamps_ms: vec![1000, 2000, 3000],
            values: vec![1.0, stale_nan(), f64::NAN],
            start_timestamps_ms: vec![0, 500, 500],
            histograms: vec![HistogramSample {
                timestamp_ms: 4000,
                start_timestamp_ms: 7,
                histogram: Histogram {
                    schema: -53,
                    count: 3.0,
                    sum: f64::INFINITY,
                    positive: vec![(0, 1.0), (2, 2.0)],
                    custom_bounds: vec![0.5, 1e20],
                    ..Histogram::default()
                },
            }],
            ..SeriesData::default()
        }
    }

    #[test]
    fn what_has_no_form_is_counted() {
        let (mut text, mut left_out) = (Vec::new(), LeftOut::default());
        write_openmetrics(&mut text, &all_kinds(), &mut left_out).unwrap();
        let mut nameless = all_kinds();
        nameless.labels = Labels::from_pairs([("a", "b")]);
        write_openmetrics(&mut text, &nameless, &mut left_out).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "m{a=\"\\\"\"} 1 1.000\nm{a=\"\\\"\"} NaN 3.000\n"
        );
        let expected = LeftOut {
            histograms: 2,
            stale: 1,
            nameless: 3,
        };
        assert_eq!(left_out, expected);
    }

    #[test]
    fn json_has_everything() {
        let mut text = Vec::new();
        write_json(&mut text, &all_kinds()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = serde_json::json!({
            "metric": { "__name__": "m", "a": "\"" },
            "timestamps": [1000, 2000, 3000],
            "values": [1, "stale", "NaN"],
            "start_timestamps": [0, 500, 500],
            "histograms": [{
                "timestamp": 4000, "start_timestamp": 7, "schema": -53, "gauge": false, "count": 3, "sum": "+Inf",
                "zero_threshold": 0, "zero_count": 0, "positive": [[0, 1], [2, 2]], "negative": [],
                "custom_bounds": [0.5, 1e20],
            }],
        });
        assert_eq!(read, expected);
    }
}
