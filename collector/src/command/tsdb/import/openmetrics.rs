//! A file of OpenMetrics text, in pieces of whole lines.

use super::super::io;
use super::super::progress::{Progress, Unit};
use super::Report;
use super::plan::TextInput;
use super::writer::Writer;
use model::{Error, ErrorKind, MetricMetadata, MetricType, Predicate, Result, Series};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use wire::exposition::{Entry, Format, Parser, Sample};

/// Bytes of a piece, and the longest line.
const PIECE: usize = 4 << 20;
const END: &[u8] = b"# EOF\n";
/// Families whose type and help are remembered; the store has a limit of its own.
const MAX_FAMILIES: usize = 100_000;

/// Reads a file without importing it: how many samples of which times. A mistake in the text is found here.
///
/// # Errors
/// [`ErrorKind::BadData`] with file and line.
pub(super) fn look_through(path: &Path, len: u64) -> Result<TextInput> {
    let progress = Progress::start("checking", len, Unit::Bytes);
    let (mut samples, mut times_ms) = (0, None);
    each_piece(path, &mut |piece| {
        piece.each(&mut |entry| {
            if let Entry::Sample(sample) = entry {
                let time = time_of(&sample)?;
                samples += 1;
                times_ms = Some(times_ms.map_or((time, time), |(min, max): (i64, i64)| {
                    (min.min(time), max.max(time))
                }));
            }
            Ok(())
        })?;
        progress.advance(piece.text.len() as u64);
        Ok(())
    })?;
    Ok(TextInput {
        path: path.to_owned(),
        samples,
        times_ms,
    })
}

/// Imports what a predicate selects. `tell` is told how many of the file's samples are done.
///
/// # Errors
/// Those of the store and of the file.
pub(super) fn import(
    input: &TextInput,
    predicate: &Predicate,
    writer: &mut Writer,
    tell: &mut dyn FnMut(u64),
) -> Result<Report> {
    let mut report = Report::default();
    let mut families = BTreeMap::new();
    let mut known = std::collections::HashSet::new();
    let mut done = 0;
    each_piece(&input.path, &mut |piece| {
        let mut gathered = Gathered::default();
        piece.each(&mut |entry| match entry {
            Entry::Sample(sample) => {
                done += 1;
                gathered.add(&sample, predicate)
            }
            about => {
                describe(&mut families, about);
                Ok(())
            }
        })?;
        for series in gathered.series {
            known.insert(series.labels.hash());
            report.samples += series.samples.len() as u64;
            writer.push(series)?;
        }
        tell(done);
        Ok(())
    })?;
    report.series = known.len() as u64;
    families.into_values().for_each(|family| writer.describe(family));
    Ok(report)
}

/// An import without times would put every sample at the time of the import.
fn time_of(sample: &Sample<'_>) -> Result<i64> {
    sample.timestamp_ms.ok_or_else(|| {
        Error::bad_data(format!(
            "{} has no time; an import needs one for every sample",
            sample.series
        ))
    })
}

/// The samples of a piece by series.
#[derive(Default)]
struct Gathered {
    /// Name, labels and type as they stand in the text; `None` for a series that nobody wants.
    places: HashMap<(MetricType, String), Option<usize>>,
    series: Vec<Series>,
}

impl Gathered {
    fn add(&mut self, sample: &Sample<'_>, predicate: &Predicate) -> Result<()> {
        // The type decides about the form of some labels.
        let key = (sample.metric_type, sample.series.to_owned());
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                let labels = sample.labels()?.build();
                let place = (predicate.on_labels(&labels) != Some(false)).then_some(self.series.len());
                if place.is_some() {
                    self.series.push(Series {
                        labels,
                        ..Series::default()
                    });
                }
                self.places.insert(key, place);
                place
            }
        };
        let Some(place) = place else { return Ok(()) };
        let timestamp_ms = time_of(sample)?;
        let series = &mut self.series[place];
        series.samples.push(model::Sample {
            timestamp_ms,
            value: sample.value,
        });
        if let Some(exemplar) = &sample.exemplar {
            series.exemplars.push(model::Exemplar {
                labels: exemplar.labels()?,
                timestamp_ms: exemplar.timestamp_ms.unwrap_or(timestamp_ms),
                value: exemplar.value,
            });
        }
        Ok(())
    }
}

fn describe(families: &mut BTreeMap<String, MetricMetadata>, entry: Entry<'_>) {
    let name = match &entry {
        Entry::Type { family, .. } | Entry::Help { family, .. } | Entry::Unit { family, .. } => {
            family.to_string()
        }
        Entry::Sample(_) => return,
    };
    if families.len() >= MAX_FAMILIES && !families.contains_key(&name) {
        return;
    }
    let known = families.entry(name.clone()).or_insert_with(|| MetricMetadata {
        family: name,
        ..MetricMetadata::default()
    });
    match entry {
        Entry::Type { metric_type, .. } => known.metric_type = metric_type,
        Entry::Help { text, .. } => known.help = text.into_owned(),
        Entry::Unit { unit, .. } => unit.clone_into(&mut known.unit),
        Entry::Sample(_) => {}
    }
}

/// Some whole lines of a file.
struct Piece<'a> {
    text: &'a [u8],
    /// The file's lines before it.
    lines_before: usize,
    is_last: bool,
    /// The type that was announced last.
    metric_type: &'a mut MetricType,
}

impl Piece<'_> {
    /// Shows each entry. A mistake is told with its line in the file.
    fn each(&mut self, visit: &mut dyn FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        // The parser wants whole texts: what came before and what comes after is made up.
        let mut text = Vec::with_capacity(self.text.len() + 64);
        let is_continued = *self.metric_type != MetricType::Unknown;
        if is_continued {
            text.extend_from_slice(format!("# TYPE x {}\n", type_name(*self.metric_type)).as_bytes());
        }
        text.extend_from_slice(self.text);
        if !self.is_last {
            text.extend_from_slice(END);
        }
        let made_up = usize::from(is_continued);
        let moved = |e: Error| moved(e, self.lines_before, made_up);
        let entries = Parser::new(Format::OpenMetrics, &text).map_err(moved)?;
        for (line, entry) in (1..).zip(entries.skip(made_up)) {
            let entry = entry.map_err(moved)?;
            if let Entry::Type { metric_type, .. } = &entry {
                *self.metric_type = *metric_type;
            }
            visit(entry).map_err(|e| match e.kind() {
                // Each entry of OpenMetrics is one line.
                ErrorKind::BadData if !e.message().starts_with("line ") => {
                    e.within(format_args!("line {}", self.lines_before + line))
                }
                ErrorKind::BadData => moved(e),
                _ => e,
            })?;
        }
        Ok(())
    }
}

/// Puts the line of the file into an error that names the line of a piece.
fn moved(e: Error, lines_before: usize, made_up: usize) -> Error {
    let parts = e
        .message()
        .strip_prefix("line ")
        .and_then(|rest| rest.split_once(':'));
    let Some((line, what)) = parts.and_then(|(line, what)| Some((line.parse::<usize>().ok()?, what))) else {
        return e;
    };
    Error::new(
        e.kind(),
        format!("line {}:{what}", (line + lines_before).saturating_sub(made_up)),
    )
}

fn type_name(metric_type: MetricType) -> &'static str {
    match metric_type {
        MetricType::Unknown => "unknown",
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::GaugeHistogram => "gaugehistogram",
        MetricType::Summary => "summary",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
    }
}

/// Shows a file piece by piece.
fn each_piece(path: &Path, visit: &mut dyn FnMut(&mut Piece<'_>) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(io(path))?;
    pieces(file, PIECE, visit).map_err(|e| e.within(path.display()))
}

fn pieces(
    mut file: impl Read,
    size: usize,
    visit: &mut dyn FnMut(&mut Piece<'_>) -> Result<()>,
) -> Result<()> {
    let mut text = Vec::new();
    let (mut lines_before, mut metric_type) = (0, MetricType::Unknown);
    loop {
        // One byte more than a piece tells whether there is more; lines are not cut.
        let wanted = (size + 1 - text.len()) as u64;
        let found = file.by_ref().take(wanted).read_to_end(&mut text)?;
        let is_last = (found as u64) < wanted;
        let mut end = if is_last {
            text.len()
        } else {
            text.iter().rposition(|b| *b == b'\n').ok_or_else(|| {
                Error::bad_data(format!(
                    "line {}: it is longer than {size} bytes",
                    lines_before + 1
                ))
            })? + 1
        };
        // The end of the text belongs to the last piece, which may be nothing else.
        if !is_last && text[..end].ends_with(b"\n# EOF\n") {
            end -= END.len();
        }
        visit(&mut Piece {
            text: &text[..end],
            lines_before,
            is_last,
            metric_type: &mut metric_type,
        })?;
        if is_last {
            return Ok(());
        }
        lines_before += text[..end].iter().filter(|b| **b == b'\n').count();
        text.drain(..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All samples and families of a text that is read in pieces, or the error.
    fn read(text: &str, size: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        pieces(text.as_bytes(), size, &mut |piece| {
            piece.each(&mut |entry| {
                found.push(match entry {
                    Entry::Sample(s) => format!("{} {} {}", s.labels()?.build(), s.value, time_of(&s)?),
                    other => format!("{other:?}"),
                });
                Ok(())
            })
        })?;
        Ok(found)
    }

    const TEXT: &str = "# TYPE h histogram\n# HELP h some text\nh_bucket{le=\"1\"} 1 1\nh_bucket{le=\"2\"} 1 1\n\
        h_bucket{le=\"+Inf\"} 3 1.5 # {a=\"b\"} 1\n# TYPE g gauge\ng{le=\"1\"} 1 2\ng 5 3\n# EOF\n";

    #[test]
    fn pieces_of_any_size_say_the_same() {
        let whole = read(TEXT, 1 << 20).unwrap();
        assert_eq!(whole.len(), 8);
        assert!(whole[2].contains("le=\"1.0\""), "{whole:?}");
        assert!(whole[6].contains("le=\"1\""), "{whole:?}");
        for size in 40..TEXT.len() + 3 {
            assert_eq!(read(TEXT, size).unwrap(), whole, "{size}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let check = |text: &str, says: &str| {
            for size in [40, 60, 1 << 20] {
                let e = read(text, size).unwrap_err();
                assert!(e.message().starts_with(says), "{size}: {e}");
            }
        };
        check(&TEXT.replace("g 5 3", "g five 3"), "line 8: expected a value");
        check(&TEXT.replace("g 5 3", "g 5"), "line 8: g has no time");
        check(
            &TEXT.replace("g{le=\"1\"}", "g{le=\"1\",le=\"1\"}"),
            "line 7: label \"le\" occurs twice",
        );
        check(&TEXT.replace("# EOF\n", ""), "line 9: the text does not end");
        check(&TEXT.replace("g 5 3", "# EOF"), "line 9: expected nothing after");
        let e = read(&TEXT.replace("some text", &"x".repeat(100)), 50).unwrap_err();
        assert!(
            e.message().starts_with("line 2: it is longer than 50 bytes"),
            "{e}"
        );
    }
}
