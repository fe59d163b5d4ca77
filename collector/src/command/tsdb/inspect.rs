//! `binnacle tsdb inspect`: what is in a data directory, or in one part file.

use super::verify::everything;
use super::{DataDirArgs, output, shown_bytes, shown_count, shown_time};
use crate::cli::Output;
use crate::config::Config;
use anyhow::Result;
use clap::Args;
use model::{Error, Fs};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use storage::verify::{self, NamedPart};
use storage::{RealFs, layout};

/// Flags of `tsdb inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  binnacle tsdb inspect
  binnacle tsdb inspect --data-dir /var/lib/binnacle
  binnacle tsdb inspect binnacle-data/metrics/default/parts/00000000000000000007.part
  binnacle tsdb inspect --output json | jq '.stores[].parts[].size_bytes'

Shows the parts that count, by store and tenant, and where their bytes are. What is only in the logs and in memory so far \
is not counted. Nothing is changed, and binnacle may run meanwhile.

Exit code 0, or 1 when something cannot be read; `binnacle tsdb verify` names all damage.")]
pub struct InspectArgs {
    /// A part file; without it the whole data directory is shown
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where the data is.
    #[command(flatten)]
    pub data: DataDirArgs,
    /// For people or for programs
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Looks and shows.
///
/// # Errors
/// When the path is no data directory or no part file.
pub fn run(args: &InspectArgs) -> Result<ExitCode> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let (json, text, unreadable) = match &args.file {
        Some(file) => {
            let part = inspect_file(&fs, file)?;
            (part.json(), part.text(), 0)
        }
        None => {
            let data = args.data.path(&Config::default());
            let stores = inspect_dir(&fs, &data)?;
            let unreadable = stores.iter().map(Store::unreadable).sum();
            let json: Vec<Value> = stores.iter().map(Store::json).collect();
            let text = match stores.is_empty() {
                true => format!("{}: nothing is stored yet\n", data.display()),
                false => stores.iter().map(Store::text).collect::<Vec<_>>().join("\n"),
            };
            (json!({ "data_dir": data, "stores": json }), text, unreadable)
        }
    };
    output::stream(|out| {
        match args.output {
            Output::Json => writeln!(out, "{json}")?,
            Output::Table => out.write_all(text.as_bytes())?,
        }
        Ok(())
    })?;
    Ok(if unreadable == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One part file.
struct Part {
    path: PathBuf,
    named: Option<NamedPart>,
    /// What is in the file, or why that cannot be said.
    content: model::Result<Content>,
}

struct Content {
    kind: String,
    version: u16,
    size_bytes: u64,
    sections: Vec<(String, u64)>,
}

/// One store of one tenant.
struct Store {
    name: &'static str,
    tenant: String,
    parts: Vec<Part>,
    /// Bytes of the log's segments.
    log_bytes: u64,
    /// Why the manifest cannot be read.
    error: Option<Error>,
}

fn inspect_dir(fs: &Arc<dyn Fs>, data: &Path) -> model::Result<Vec<Store>> {
    verify::data_dir(fs.as_ref(), data)?;
    let all = everything(fs.as_ref(), data)?;
    let store = |(name, tenant): (storage::StoreName, model::Tenant)| {
        let dir = layout::store_dir(data, &tenant, name);
        let (named, error) = match verify::manifest(fs, &dir) {
            Ok(manifest) => (verify::named_parts(&manifest), None),
            Err(e) => (Vec::new(), Some(e)),
        };
        let part = |named: NamedPart| {
            let path = layout::part_file(&dir, named.id);
            Part {
                content: content(fs.as_ref(), &path),
                named: Some(named),
                path,
            }
        };
        let segments = fs
            .read_dir(&layout::wal_dir(data, &tenant, name))
            .unwrap_or_default();
        Store {
            name: name.as_str(),
            tenant: tenant.to_string(),
            // What a running program has merged away meanwhile does not count any more.
            parts: named
                .into_iter()
                .map(part)
                .filter(|p| !p.is_gone(fs, &dir))
                .collect(),
            log_bytes: segments.iter().map(|s| s.len).sum(),
            error,
        }
    };
    Ok(all.into_iter().map(store).collect())
}

/// A part, and what the manifest beside it says of it.
fn inspect_file(fs: &Arc<dyn Fs>, path: &Path) -> model::Result<Part> {
    let content = content(fs.as_ref(), path)?;
    let store_dir = path.parent().and_then(Path::parent);
    let manifest = store_dir.and_then(|dir| verify::manifest(fs, dir).ok());
    let named = manifest.iter().flat_map(verify::named_parts);
    let is_this =
        |part: &NamedPart| layout::part_file(Path::new(""), part.id).file_name() == path.file_name();
    Ok(Part {
        path: path.to_owned(),
        named: named.into_iter().find(is_this),
        content: Ok(content),
    })
}

fn content(fs: &dyn Fs, path: &Path) -> model::Result<Content> {
    let (kind, reader) = verify::open_part(fs, path)?;
    let section = |name: &str| (name.to_owned(), reader.section_len(name).unwrap_or_default());
    Ok(Content {
        kind: String::from_utf8_lossy(&kind.tag).into_owned(),
        version: kind.version,
        size_bytes: reader.size_bytes(),
        sections: reader.sections().map(section).collect(),
    })
}

/// What the stores call the things that a part is counted in.
const COUNTS: [&str; 2] = ["samples", "rows"];

impl Part {
    fn is_gone(&self, fs: &Arc<dyn Fs>, store_dir: &Path) -> bool {
        let is_missing = matches!(&self.content, Err(e) if e.kind() == model::ErrorKind::NotFound);
        let id = self.named.as_ref().map(|n| n.id);
        let is_named = || {
            let manifest = verify::manifest(fs, store_dir);
            manifest.is_ok_and(|m| verify::named_parts(&m).iter().any(|p| Some(p.id) == id))
        };
        is_missing && !is_named()
    }
    fn meta(&self, key: &str) -> Option<i64> {
        self.named.as_ref()?.meta.get(key)?.as_i64()
    }
    /// The width of the windows of rolled-up samples; `raw` for those as they came.
    fn resolution(&self) -> Option<String> {
        self.meta("samples")?;
        Some(match self.meta("resolution_ms") {
            None | Some(0) => "raw".to_owned(),
            Some(ms) => shown_width(ms),
        })
    }
    /// Samples or rows, where the manifest says.
    fn count(&self) -> Option<u64> {
        COUNTS.iter().find_map(|key| u64::try_from(self.meta(key)?).ok())
    }
    fn times_ms(&self) -> Option<(i64, i64)> {
        let ns = |key| Some(self.meta(key)?.div_euclid(model::time::NS_PER_MS));
        Some((
            self.meta("min_ms").or_else(|| ns("start_ns"))?,
            self.meta("max_ms").or_else(|| ns("end_ns"))?,
        ))
    }
    /// The day, counted from the epoch.
    fn partition(&self) -> Option<i64> {
        self.meta("partition").or_else(|| self.meta("day"))
    }
    fn json(&self) -> Value {
        let named = self.named.as_ref();
        let mut json =
            json!({ "file": self.path, "id": named.map(|n| n.id), "meta": named.map(|n| &n.meta) });
        match &self.content {
            Ok(content) => {
                let section = |(name, bytes): &(String, u64)| json!({ "name": name, "bytes": bytes });
                json["kind"] = content.kind.clone().into();
                json["version"] = content.version.into();
                json["size_bytes"] = content.size_bytes.into();
                json["sections"] = content.sections.iter().map(section).collect();
            }
            Err(e) => json["error"] = e.to_string().into(),
        }
        json
    }
    fn text(&self) -> String {
        let content = match &self.content {
            Ok(content) => content,
            Err(e) => return format!("{e}\n"),
        };
        let mut text = format!(
            "{}: {}, version {}, {}\n",
            self.path.display(),
            content.kind,
            content.version,
            shown_bytes(content.size_bytes)
        );
        if let Some(Value::Object(meta)) = self.named.as_ref().map(|n| &n.meta) {
            for (key, value) in meta {
                let shown = match (key.as_str(), value.as_i64()) {
                    ("min_ms" | "max_ms", Some(ms)) => shown_time(ms),
                    ("start_ns" | "end_ns", Some(ns)) => wire::rfc3339::format_ns(ns),
                    ("partition" | "day", Some(day)) => shown_day(day),
                    ("resolution_ms", Some(ms)) => shown_width(ms),
                    _ => value.to_string(),
                };
                let _ = writeln!(text, "  {key:<10}  {shown}");
            }
        }
        text.push('\n');
        text + &sections(content.sections.iter().cloned(), self.count(), content.size_bytes)
    }
    /// A row of the store's table.
    fn row(&self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let times = self.times_ms();
        let (kind, size) = match &self.content {
            Ok(content) => (content.kind.clone(), Some(content.size_bytes)),
            Err(_) => ("unreadable".to_owned(), self.named.as_ref().map(|n| n.size_bytes)),
        };
        let per_item = size.zip(self.count()).map(|(size, count)| per_item(size, count));
        let series = self.meta("series").and_then(|n| u64::try_from(n).ok());
        vec![
            or_dash(self.named.as_ref().map(|n| n.id.to_string())),
            kind,
            or_dash(self.partition().map(shown_day)),
            or_dash(self.resolution()),
            or_dash(times.map(|t| shown_time(t.0))),
            or_dash(times.map(|t| shown_time(t.1))),
            or_dash(series.map(shown_count)),
            or_dash(self.count().map(shown_count)),
            or_dash(size.map(shown_bytes)),
            or_dash(per_item),
        ]
    }
}

impl Store {
    fn unreadable(&self) -> usize {
        usize::from(self.error.is_some()) + self.parts.iter().filter(|p| p.content.is_err()).count()
    }
    fn json(&self) -> Value {
        json!({
            "store": self.name,
            "tenant": self.tenant,
            "log_bytes": self.log_bytes,
            "error": self.error.as_ref().map(Error::to_string),
            "parts": self.parts.iter().map(Part::json).collect::<Vec<_>>(),
        })
    }
    fn text(&self) -> String {
        let readable: Vec<&Content> = self
            .parts
            .iter()
            .filter_map(|p| p.content.as_ref().ok())
            .collect();
        let bytes: u64 = readable.iter().map(|c| c.size_bytes).sum();
        let mut text = format!(
            "{}, tenant {}: {}, {}, log {}\n",
            self.name,
            self.tenant,
            super::counted(self.parts.len() as u64, "part"),
            shown_bytes(bytes),
            shown_bytes(self.log_bytes)
        );
        let unreadable = self.parts.iter().filter_map(|p| p.content.as_ref().err());
        for e in self.error.iter().chain(unreadable) {
            let _ = writeln!(text, "  problem: {e}");
        }
        if self.parts.is_empty() {
            return text;
        }
        let head = [
            "part",
            "kind",
            "partition",
            "resolution",
            "from",
            "to",
            "series",
            "samples",
            "bytes",
            "B/sample",
        ];
        let head: Vec<String> = head.iter().map(|h| h.replace("sample", self.item())).collect();
        let rows = std::iter::once(head).chain(self.parts.iter().map(Part::row));
        text += &table(&rows.collect::<Vec<_>>(), &[1, 2, 3, 4, 5]);
        let count: u64 = self.parts.iter().filter_map(Part::count).sum();
        text.push('\n');
        let all = readable
            .iter()
            .flat_map(|c| c.sections.iter().map(|(n, b)| (format!("{} {n}", c.kind), *b)));
        text + &sections(all, Some(count).filter(|c| *c > 0), bytes)
    }
    /// What the store counts.
    fn item(&self) -> &'static str {
        match self.name {
            "metrics" => "sample",
            "logs" => "line",
            _ => "span",
        }
    }
}

/// Where the bytes are: sections of one name together.
fn sections(all: impl Iterator<Item = (String, u64)>, count: Option<u64>, size_bytes: u64) -> String {
    let (mut order, mut sums) = (Vec::new(), BTreeMap::new());
    for (name, bytes) in all {
        if !sums.contains_key(&name) {
            order.push(name.clone());
        }
        *sums.entry(name).or_insert(0) += bytes;
    }
    let in_sections: u64 = sums.values().sum();
    let mut rows = vec![
        ["section", "bytes", "share", "B/item"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut row = |name: &str, bytes: u64| {
        rows.push(vec![
            name.to_owned(),
            shown_bytes(bytes),
            format!("{:.1} %", 100.0 * bytes as f64 / size_bytes.max(1) as f64),
            count.map_or_else(|| "-".to_owned(), |count| per_item(bytes, count)),
        ]);
    };
    order.iter().for_each(|name| row(name, sums[name]));
    row("(checksums)", size_bytes.saturating_sub(in_sections));
    row("all", size_bytes);
    table(&rows, &[0])
}

fn per_item(bytes: u64, count: u64) -> String {
    format!("{:.3}", bytes as f64 / count.max(1) as f64)
}

/// `5m` of a width of windows.
fn shown_width(ms: i64) -> String {
    model::duration::format(std::time::Duration::from_millis(ms.unsigned_abs()))
}

/// `2026-11-21` of a day counted from the epoch.
fn shown_day(day: i64) -> String {
    let text = shown_time(day.saturating_mul(86_400_000));
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Columns; those of `left` begin at one place, the others end at one.
fn table(rows: &[Vec<String>], left: &[usize]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| {
        rows.iter()
            .map(|row| row[c].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(c, cell)| {
            let width = widths[c];
            match left.contains(&c) {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "bytes"], ["long", "7"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[0]), "  a     bytes\n  long      7\n");
    }

    #[test]
    fn sections_of_one_name_are_summed() {
        let all = [("x", 50), ("y", 20), ("x", 10)].map(|(n, b)| (n.to_owned(), b));
        let text = sections(all.into_iter(), Some(20), 100);
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["x", "60", "B", "60.0", "%", "3.000"]);
        assert_eq!(lines[2], ["y", "20", "B", "20.0", "%", "1.000"]);
        assert_eq!(lines[3], ["(checksums)", "20", "B", "20.0", "%", "1.000"]);
        assert_eq!(lines[4], ["all", "100", "B", "100.0", "%", "5.000"]);
    }

    #[test]
    fn days_are_dates() {
        assert_eq!(shown_day(0), "1970-01-01");
        assert_eq!(shown_day(19_675), "2023-11-14");
    }
}
