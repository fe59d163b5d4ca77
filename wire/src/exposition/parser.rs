//! The grammar of both formats, entry by entry.

use super::cursor::{Cursor, Text, unescape};
use super::{Format, number};
use model::labels::METRIC_NAME;
use model::{Error, Labels, LabelsBuilder, MetricType, Result};
use std::borrow::Cow;

/// One piece of an exposition.
#[derive(Debug)]
pub enum Entry<'a> {
    /// `# TYPE family type`.
    Type {
        /// The family's name.
        family: Cow<'a, str>,
        /// Its type.
        metric_type: MetricType,
    },
    /// `# HELP family text`.
    Help {
        /// The family's name.
        family: Cow<'a, str>,
        /// The text, escapes resolved.
        text: Cow<'a, str>,
    },
    /// `# UNIT family unit`, OpenMetrics only.
    Unit {
        /// The family's name.
        family: Cow<'a, str>,
        /// The unit, a suffix of the family's name.
        unit: &'a str,
    },
    /// A line with a value.
    Sample(Sample<'a>),
}

/// A line with a value. The labels stay text until somebody asks for them.
#[derive(Debug)]
pub struct Sample<'a> {
    /// Name and labels as they stand in the text: the key of a cache.
    pub series: &'a str,
    /// The value. Every NaN is the same one; an exposition can't hold staleness markers.
    pub value: f64,
    /// Milliseconds since the epoch, where the line says a time.
    pub timestamp_ms: Option<i64>,
    /// The exemplar, OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
    /// The type of the family that was announced last; decides about the form of `le` and `quantile`.
    pub metric_type: MetricType,
    place: Cursor<'a>,
    format: Format,
}

impl Sample<'_> {
    /// Name and labels, decoded. The bounds of histograms and the quantiles of summaries are brought into one
    /// form (`le="1"` becomes `le="1.0"`), as Prometheus does.
    ///
    /// # Errors
    /// [`model::ErrorKind::BadData`] when a label occurs twice.
    pub fn labels(&self) -> Result<LabelsBuilder> {
        let bound = match self.metric_type {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => "",
        };
        decode(self.place, self.format, true, bound)
    }
}

/// An exemplar of a sample.
#[derive(Debug)]
pub struct Exemplar<'a> {
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch, where the line says a time.
    pub timestamp_ms: Option<i64>,
    place: Cursor<'a>,
}

impl Exemplar<'_> {
    /// The labels, decoded.
    ///
    /// # Errors
    /// [`model::ErrorKind::BadData`] when a label occurs twice.
    pub fn labels(&self) -> Result<Labels> {
        Ok(decode(self.place, Format::OpenMetrics, false, "")?.build())
    }
}

fn decode(mut place: Cursor<'_>, format: Format, needs_name: bool, bound: &str) -> Result<LabelsBuilder> {
    let start = place;
    let mut builder = LabelsBuilder::default();
    let mut names = Vec::new();
    walk_series(&mut place, format, needs_name, &mut |name, value| {
        let (name, value) = (name.unescape(), value.unescape());
        names.push(name.clone());
        match (name == bound).then(|| number::float(&value)).flatten() {
            Some(number) => builder.push(name, number::format_bound(number)),
            None => builder.push(name, value),
        };
    })?;
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(start.error(&format!("label {:?} occurs twice", pair[0]))),
        None => Ok(builder),
    }
}

/// Walks over `name{label="value",…}` and shows each pair, the name as `__name__`.
fn walk_series<'a>(
    at: &mut Cursor<'a>,
    format: Format,
    needs_name: bool,
    show: &mut impl FnMut(Text<'a>, Text<'a>),
) -> Result<()> {
    let rules = Rules(format);
    let mut name = at.metric_name();
    if let Some(name) = name {
        show(Text::plain(METRIC_NAME), Text::plain(name));
    }
    let before = *at;
    rules.blanks(at);
    if !at.eat(b'{') {
        *at = before;
        return if name.is_some() {
            Ok(())
        } else {
            Err(at.expected("a metric name"))
        };
    }
    loop {
        rules.blanks(at);
        if at.eat(b'}') {
            break;
        }
        let quoted = at.peek() == Some(b'"');
        let label = if quoted {
            at.quoted(rules.line_breaks())?
        } else {
            Text::plain(
                at.label_name()
                    .ok_or_else(|| at.expected("a label name or \"}\""))?,
            )
        };
        rules.blanks(at);
        if label.is_empty() {
            return Err(at.error("a name in quotes is empty"));
        }
        if at.eat(b'=') {
            rules.blanks(at);
            show(label, at.quoted(rules.line_breaks())?);
        } else if quoted && needs_name && name.is_none() {
            name = Some("");
            show(Text::plain(METRIC_NAME), label);
        } else {
            return Err(at.expected("\"=\" after a label name"));
        }
        rules.blanks(at);
        if !at.eat(b',') && at.peek() != Some(b'}') {
            return Err(at.expected("\",\" or \"}\" after a label"));
        }
    }
    if needs_name && name.is_none() {
        return Err(at.error("the line has labels but no metric name"));
    }
    Ok(())
}

/// Where the two formats differ in small things.
#[derive(Clone, Copy)]
struct Rules(Format);

impl Rules {
    /// Prometheus text allows blanks between all tokens, OpenMetrics between none.
    fn blanks(self, at: &mut Cursor<'_>) {
        if self.0 == Format::Prometheus {
            at.blanks();
        }
    }
    /// Prometheus' lexer lets a quoted text of its own format run over line breaks.
    fn line_breaks(self) -> bool {
        self.0 == Format::Prometheus
    }
}

/// Walks an exposition entry by entry. Stops after the first error.
#[derive(Debug)]
pub struct Parser<'a> {
    format: Format,
    at: Cursor<'a>,
    metric_type: MetricType,
    done: bool,
}

impl<'a> Parser<'a> {
    /// Starts at the top.
    ///
    /// # Errors
    /// [`model::ErrorKind::BadData`] when the text is not UTF-8; the sentence names the line.
    pub fn new(format: Format, body: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|e| {
            let line = 1 + memchr::memchr_iter(b'\n', &body[..e.valid_up_to()]).count();
            Error::bad_data(format!("line {line}: the text is not valid UTF-8"))
        })?;
        Ok(Self {
            format,
            at: Cursor::new(text),
            metric_type: MetricType::Unknown,
            done: false,
        })
    }

    fn entry(&mut self) -> Result<Option<Entry<'a>>> {
        match self.format {
            Format::Prometheus => self.prometheus_entry(),
            Format::OpenMetrics => self.openmetrics_entry(),
        }
    }

    fn prometheus_entry(&mut self) -> Result<Option<Entry<'a>>> {
        loop {
            self.at.blanks();
            if self.at.at_end() {
                return Ok(None);
            }
            if self.at.eat(b'\n') {
                continue;
            }
            if self.at.peek() != Some(b'#') {
                return self.prometheus_sample().map(Some);
            }
            if let Some(entry) = self.prometheus_comment()? {
                return Ok(Some(entry));
            }
        }
    }

    /// A comment is metadata only when a blank follows `#` and another follows the keyword.
    fn prometheus_comment(&mut self) -> Result<Option<Entry<'a>>> {
        self.at.eat(b'#');
        let keyword = (self.at.blanks() > 0)
            .then(|| ["HELP", "TYPE"].into_iter().find(|k| self.at.eat_str(k)))
            .flatten()
            .filter(|_| self.at.blanks() > 0);
        let Some(keyword) = keyword else {
            self.at.line();
            return Ok(None);
        };
        let family = self.family()?;
        let text = match self.at.peek() {
            Some(b' ' | b'\t') => &self.at.line()[1..],
            None | Some(b'\n') => "",
            _ => return Err(self.at.expected("a blank after the family's name")),
        };
        if keyword == "HELP" {
            return Ok(Some(Entry::Help {
                family,
                text: unescape(text, false),
            }));
        }
        let metric_type = match text.trim_matches([' ', '\t']) {
            "untyped" => MetricType::Unknown,
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            other => return Err(self.at.error(&format!("{other:?} is not a metric type"))),
        };
        self.metric_type = metric_type;
        Ok(Some(Entry::Type { family, metric_type }))
    }

    fn prometheus_sample(&mut self) -> Result<Entry<'a>> {
        let (place, series) = self.series()?;
        self.at.blanks();
        let value = self.value(|b| matches!(b, b' ' | b'\t' | b'\n' | b'{'))?;
        self.at.blanks();
        let timestamp_ms = match self.at.peek() {
            None | Some(b'\n') => None,
            _ => Some(self.time(number::millis, "a timestamp in milliseconds")?),
        };
        self.at.blanks();
        self.end_of_line()?;
        Ok(Entry::Sample(Sample {
            series,
            value,
            timestamp_ms,
            exemplar: None,
            metric_type: self.metric_type,
            place,
            format: self.format,
        }))
    }

    fn openmetrics_entry(&mut self) -> Result<Option<Entry<'a>>> {
        if self.at.at_end() {
            return Err(self.at.error("the text does not end with \"# EOF\""));
        }
        if self.at.peek() != Some(b'#') {
            return self.openmetrics_sample().map(Some);
        }
        if self.at.eat_str("# EOF") {
            self.at.eat(b'\n');
            return if self.at.at_end() {
                Ok(None)
            } else {
                Err(self.at.expected("nothing after \"# EOF\""))
            };
        }
        self.openmetrics_metadata().map(Some)
    }

    fn openmetrics_metadata(&mut self) -> Result<Entry<'a>> {
        let keyword = ["# HELP ", "# TYPE ", "# UNIT "]
            .into_iter()
            .find(|k| self.at.eat_str(k));
        let keyword = keyword.ok_or_else(|| self.at.expected("# HELP, # TYPE, # UNIT or # EOF"))?;
        let family = self.family()?;
        if !self.at.eat(b' ') {
            return Err(self.at.expected("a space after the family's name"));
        }
        let text = self.at.line();
        let entry = match keyword {
            "# HELP " => Entry::Help {
                family,
                text: unescape(text, true),
            },
            "# TYPE " => {
                self.metric_type = self.openmetrics_type(text)?;
                Entry::Type {
                    family,
                    metric_type: self.metric_type,
                }
            }
            _ if text.is_empty() || has_unit(&family, text) => Entry::Unit { family, unit: text },
            _ => {
                return Err(self
                    .at
                    .error(&format!("unit {text:?} is not a suffix of metric {family:?}")));
            }
        };
        if !self.at.eat(b'\n') {
            return Err(self.at.expected("a line break"));
        }
        Ok(entry)
    }

    fn openmetrics_type(&self, text: &str) -> Result<MetricType> {
        Ok(match text {
            "unknown" => MetricType::Unknown,
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "gaugehistogram" => MetricType::GaugeHistogram,
            "summary" => MetricType::Summary,
            "info" => MetricType::Info,
            "stateset" => MetricType::StateSet,
            other => return Err(self.at.error(&format!("{other:?} is not a metric type"))),
        })
    }

    fn openmetrics_sample(&mut self) -> Result<Entry<'a>> {
        let (place, series) = self.series()?;
        self.space("a space before the value")?;
        let value = self.value(|b| matches!(b, b' ' | b'\n'))?;
        let timestamp_ms = self.openmetrics_time(true)?;
        let exemplar = if self.at.eat_str(" # ") {
            Some(self.exemplar()?)
        } else {
            None
        };
        if !self.at.eat(b'\n') {
            return Err(self.at.expected("a line break"));
        }
        Ok(Entry::Sample(Sample {
            series,
            value,
            timestamp_ms,
            exemplar,
            metric_type: self.metric_type,
            place,
            format: self.format,
        }))
    }

    fn exemplar(&mut self) -> Result<Exemplar<'a>> {
        let place = self.at;
        if self.at.peek() != Some(b'{') {
            return Err(self.at.expected("the labels of an exemplar"));
        }
        walk_series(&mut self.at, Format::OpenMetrics, false, &mut |_, _| ())?;
        self.space("a space before the exemplar's value")?;
        let value = self.value(|b| matches!(b, b' ' | b'\n'))?;
        let timestamp_ms = self.openmetrics_time(false)?;
        Ok(Exemplar {
            value,
            timestamp_ms,
            place,
        })
    }

    /// The time after a value, if there is one; with `exemplar` a `#` may stand in its place.
    fn openmetrics_time(&mut self, exemplar: bool) -> Result<Option<i64>> {
        let before = self.at;
        if !self.at.eat(b' ') {
            return Ok(None);
        }
        if exemplar && self.at.peek() == Some(b'#') {
            self.at = before;
            return Ok(None);
        }
        self.time(number::seconds, "a timestamp in seconds").map(Some)
    }

    fn series(&mut self) -> Result<(Cursor<'a>, &'a str)> {
        let place = self.at;
        walk_series(&mut self.at, self.format, true, &mut |_, _| ())?;
        Ok((place, self.at.since(place.pos())))
    }

    fn family(&mut self) -> Result<Cow<'a, str>> {
        match self.at.peek() {
            Some(b'"') => Ok(self.at.quoted(false)?.unescape()),
            _ => match self.at.metric_name() {
                Some(name) => Ok(Cow::Borrowed(name)),
                None => Err(self.at.expected("a metric name")),
            },
        }
    }

    fn value(&mut self, ends: impl Fn(u8) -> bool) -> Result<f64> {
        let before = self.at;
        number::float(self.at.until(ends)).ok_or_else(|| before.expected("a value"))
    }

    fn time(&mut self, read: impl Fn(&str) -> Option<i64>, what: &str) -> Result<i64> {
        let before = self.at;
        read(self.at.until(|b| matches!(b, b' ' | b'\t' | b'\n'))).ok_or_else(|| before.expected(what))
    }

    fn space(&mut self, what: &str) -> Result<()> {
        if self.at.eat(b' ') {
            Ok(())
        } else {
            Err(self.at.expected(what))
        }
    }

    fn end_of_line(&mut self) -> Result<()> {
        if self.at.at_end() || self.at.eat(b'\n') {
            Ok(())
        } else {
            Err(self.at.expected("the end of the line"))
        }
    }
}

fn has_unit(family: &str, unit: &str) -> bool {
    family.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.entry().transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}
