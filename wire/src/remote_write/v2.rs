//! `io.prometheus.write.v2.Request` to columns: labels are written out from the request's table of symbols.

use super::columns::{self, Columns};
use super::metric_type;
use crate::protobuf::{Field, Reader, uint32s};
use crate::{Decoded, Quota};
use model::labels::METRIC_NAME;
use model::{Error, Exemplar, LabelsBuilder, MetricMetadata, MetricType, RawMetrics, Result, raw};
use std::collections::HashMap;

pub(super) fn decode(body: &[u8], quota: &Quota) -> Result<Decoded<RawMetrics>> {
    let mut walk = Walk {
        symbols: Symbols::read(body, quota)?,
        columns: Columns::new(quota),
        bytes: Vec::new(),
        refs: Vec::new(),
        pairs: Vec::new(),
        families: Families::default(),
    };
    let mut request = Reader::new(body);
    let mut position = 0;
    while let Some((number, field)) = request.next()? {
        if number == 5 {
            position += 1;
            let series = walk.series(field.bytes()?);
            // How much memory there is does not depend on which series asked for the last of it.
            series.map_err(|e| {
                quota
                    .ran_out()
                    .unwrap_or_else(|| e.within(format!("series {position}")))
            })?;
        }
    }
    let mut decoded = walk.columns.finish(walk.bytes);
    decoded.payload.metadata = walk.families.found;
    Ok(decoded)
}

/// All strings of a request. The first is the empty one, for fields that say nothing.
struct Symbols<'b>(Vec<&'b str>);

impl<'b> Symbols<'b> {
    fn read(body: &'b [u8], quota: &Quota) -> Result<Self> {
        let mut symbols = Vec::new();
        let mut request = Reader::new(body);
        while let Some((number, field)) = request.next()? {
            if number == 4 {
                quota.take_one::<&str>()?;
                let text = field
                    .text()
                    .map_err(|e| e.within(format!("symbol {}", symbols.len())))?;
                symbols.push(text);
            }
        }
        Ok(Self(symbols))
    }
    #[inline]
    fn get(&self, reference: u32) -> Result<&'b str> {
        self.0
            .get(reference as usize)
            .copied()
            .ok_or_else(|| self.unknown(reference))
    }
    #[cold]
    fn unknown(&self, reference: u32) -> Error {
        Error::bad_data(format!(
            "it refers to symbol {reference}, but the request has {} symbols",
            self.0.len()
        ))
    }
    /// Puts the pairs that the references stand for behind each other.
    fn pairs(&self, refs: &[u32], pairs: &mut Vec<(&'b str, &'b str)>, quota: &Quota) -> Result<()> {
        let (chunks, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Error::bad_data(format!(
                "it has {} references to label names and values, which is not an even number",
                refs.len()
            )));
        }
        let further = chunks.len().saturating_sub(pairs.capacity());
        quota.take(further * size_of::<(&str, &str)>())?;
        for [name, value] in chunks {
            pairs.push((self.get(*name)?, self.get(*value)?));
        }
        Ok(())
    }
}

struct Walk<'b, 'q> {
    symbols: Symbols<'b>,
    columns: Columns<'q>,
    /// The label bytes of all series.
    bytes: Vec<u8>,
    /// Of the series that is being read: what its labels refer to, and its labels.
    refs: Vec<u32>,
    pairs: Vec<(&'b str, &'b str)>,
    families: Families<'b>,
}

impl<'b> Walk<'b, '_> {
    fn series(&mut self, message: &'b [u8]) -> Result<()> {
        self.refs.clear();
        let (mut metadata, mut created_ms) = (None, 0);
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => uint32s(field, &mut self.refs)?,
                2 => {
                    let (sample, start_ms) = columns::sample(field.bytes()?)?;
                    self.columns.sample(sample, start_ms)?;
                }
                3 => self.columns.histogram(field.bytes()?)?,
                4 => self.exemplar(field.bytes()?)?,
                5 => metadata = Some(field.bytes()?),
                // Only drafts of the protocol have this one: the start of all samples of the series.
                6 => created_ms = field.int()?,
                _ => {}
            }
        }
        self.columns.began(created_ms)?;
        self.pairs.clear();
        self.symbols
            .pairs(&self.refs, &mut self.pairs, self.columns.quota())?;
        if let Some(message) = metadata {
            let name = self.pairs.iter().find(|(name, _)| *name == METRIC_NAME);
            let name = name.map(|(_, value)| *value).unwrap_or_default();
            self.families
                .add(name, message, &self.symbols, self.columns.quota())?;
        }
        let from = self.bytes.len();
        if self.columns.needs_labels() {
            self.put_labels()?;
        }
        self.columns.end(from..self.bytes.len(), &self.bytes[from..])
    }

    /// Writes the labels in the canonical form. Senders sort them already; two with one name stay for the store to
    /// refuse.
    fn put_labels(&mut self) -> Result<()> {
        let pairs = &mut self.pairs;
        let is_sorted = pairs.is_sorted_by(|a, b| a.0 < b.0);
        if !is_sorted || pairs.iter().any(|(_, value)| value.is_empty()) {
            pairs.sort_by_key(|(name, _)| *name);
            pairs.retain(|(_, value)| !value.is_empty());
        }
        // Each text has at most five bytes of length and one of field number before it, so has each pair.
        let most = pairs.iter().map(|(name, value)| name.len() + value.len() + 18);
        self.columns.quota().take(most.sum())?;
        raw::put_labels(&mut self.bytes, pairs.iter().copied());
        Ok(())
    }

    fn exemplar(&mut self, message: &[u8]) -> Result<()> {
        let (mut refs, mut pairs) = (Vec::new(), Vec::new());
        let (value, timestamp_ms) = columns::exemplar(message, |field: Field<'_>| uint32s(field, &mut refs))?;
        self.symbols.pairs(&refs, &mut pairs, self.columns.quota())?;
        let mut labels = LabelsBuilder::default();
        for (name, value) in pairs {
            let quota = self.columns.quota();
            quota.take(size_of::<(String, String)>() + 2 * (name.len() + value.len()))?;
            labels.push(name, value);
        }
        self.columns.exemplar(Exemplar {
            labels: labels.build(),
            timestamp_ms,
            value,
        })
    }
}

/// The metadata of the request's families. The protocol says them with each series; they are kept once.
#[derive(Default)]
struct Families<'b> {
    found: Vec<MetricMetadata>,
    places: HashMap<&'b str, usize>,
    /// What the series before said, and under which name: those of one family stand side by side.
    last: Option<(&'b str, &'b [u8])>,
}

impl<'b> Families<'b> {
    fn add(&mut self, name: &'b str, message: &'b [u8], symbols: &Symbols<'b>, quota: &Quota) -> Result<()> {
        if message.is_empty() || name.is_empty() || self.last == Some((name, message)) {
            return Ok(());
        }
        self.last = Some((name, message));
        let (mut kind, mut help, mut unit) = (MetricType::Unknown, "", "");
        let mut reader = Reader::new(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => kind = metric_type(field.int32()?),
                3 => help = text(symbols, field)?,
                4 => unit = text(symbols, field)?,
                _ => {}
            }
        }
        if (kind, help, unit) == (MetricType::Unknown, "", "") {
            return Ok(());
        }
        let family = family(name, kind);
        quota.take(size_of::<MetricMetadata>() + family.len() + help.len() + unit.len())?;
        let metadata = MetricMetadata {
            family: family.to_owned(),
            metric_type: kind,
            help: help.to_owned(),
            unit: unit.to_owned(),
        };
        match self.places.get(family) {
            Some(place) => self.found[*place] = metadata,
            None => {
                quota.take_one::<(&str, usize)>()?;
                self.places.insert(family, self.found.len());
                self.found.push(metadata);
            }
        }
        Ok(())
    }
}

/// The text behind a reference of metadata, of which 0 is the one that says nothing.
fn text<'b>(symbols: &Symbols<'b>, field: Field<'_>) -> Result<&'b str> {
    let reference = field.int32()?.cast_unsigned();
    if reference == 0 {
        return Ok("");
    }
    symbols.get(reference)
}

/// The family that a series belongs to. Families of counters go by their series' name.
fn family(name: &str, metric_type: MetricType) -> &str {
    let suffixes: &[&str] = match metric_type {
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    base.filter(|base| !base.is_empty()).unwrap_or(name)
}
