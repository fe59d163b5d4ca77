//! The model to remote write 2.0.

use super::{histogram, metric_type_number};
use crate::protobuf::Writer;
use model::{Labels, MetricMetadata, Metrics, Series};
use std::collections::HashMap;

/// Writes an `io.prometheus.write.v2.Request`, not yet packed. The metadata of a family stands with those of its
/// series that are in the same request; a family without any gets a series that has nothing but its name.
pub fn encode_v2(metrics: &Metrics) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.symbol("");
    let mut families: HashMap<&str, (&MetricMetadata, bool)> = metrics
        .metadata
        .iter()
        .map(|m| (m.family.as_str(), (m, false)))
        .collect();
    for series in &metrics.series {
        let family = family_of(&families, series.labels.metric_name().unwrap_or_default());
        let metadata = family
            .and_then(|family| families.get_mut(family))
            .map(|(m, said)| {
                *said = true;
                *m
            });
        encoder.series(series, metadata);
    }
    for metadata in &metrics.metadata {
        // The last of those with one name is the one that counts.
        if let Some((metadata, false)) = families.get(metadata.family.as_str()).copied() {
            encoder.lone_metadata(metadata);
            families.insert(metadata.family.as_str(), (metadata, true));
        }
    }
    let mut request = encoder.symbols;
    request.append(&encoder.series);
    request.finish()
}

/// The family with a series' own name, or that without the suffix of a histogram's or a summary's part.
fn family_of<'m>(families: &HashMap<&'m str, (&'m MetricMetadata, bool)>, name: &str) -> Option<&'m str> {
    let suffixes = ["", "_bucket", "_count", "_sum", "_gcount", "_gsum"];
    suffixes.iter().find_map(|suffix| {
        let base = name.strip_suffix(suffix)?;
        families.get_key_value(base).map(|(family, _)| *family)
    })
}

/// Both parts of a request: the table of symbols grows with the series that refer to it, and stands before them.
#[derive(Default)]
struct Encoder<'m> {
    references: HashMap<&'m str, u32>,
    symbols: Writer,
    series: Writer,
}

impl<'m> Encoder<'m> {
    fn symbol(&mut self, text: &'m str) -> u32 {
        let next = u32::try_from(self.references.len()).expect("a batch holds fewer than 4 billion strings");
        *self.references.entry(text).or_insert_with(|| {
            self.symbols.bytes_always(4, text.as_bytes());
            next
        })
    }

    fn refs(&mut self, labels: &'m Labels) -> Vec<u32> {
        let pairs = labels.iter();
        pairs
            .flat_map(|(name, value)| [name, value])
            .map(|text| self.symbol(text))
            .collect()
    }

    fn series(&mut self, series: &'m Series, metadata: Option<&'m MetricMetadata>) {
        let labels = self.refs(&series.labels);
        let exemplar_labels: Vec<Vec<u32>> = series.exemplars.iter().map(|e| self.refs(&e.labels)).collect();
        let metadata = metadata.map(|m| {
            (
                metric_type_number(m.metric_type),
                self.symbol(&m.help),
                self.symbol(&m.unit),
            )
        });
        let starts = series.start_timestamps_ms.iter().chain(std::iter::repeat(&0));
        self.series.message(5, |w| {
            w.uint32s(1, &labels);
            for (sample, start_ms) in series.samples.iter().zip(starts) {
                w.message(2, |w| {
                    w.double(1, sample.value);
                    w.int(2, sample.timestamp_ms);
                    w.int(3, *start_ms);
                });
            }
            for sample in &series.histograms {
                w.message(3, |w| histogram::encode(sample, w));
            }
            for (exemplar, labels) in series.exemplars.iter().zip(&exemplar_labels) {
                w.message(4, |w| {
                    w.uint32s(1, labels);
                    w.double(2, exemplar.value);
                    w.int(3, exemplar.timestamp_ms);
                });
            }
            if let Some(metadata) = metadata {
                put_metadata(metadata, w);
            }
        });
    }

    fn lone_metadata(&mut self, m: &'m MetricMetadata) {
        let name = [self.symbol(model::labels::METRIC_NAME), self.symbol(&m.family)];
        let metadata = (
            metric_type_number(m.metric_type),
            self.symbol(&m.help),
            self.symbol(&m.unit),
        );
        self.series.message(5, |w| {
            w.uint32s(1, &name);
            put_metadata(metadata, w);
        });
    }
}

fn put_metadata((metric_type, help, unit): (u64, u32, u32), w: &mut Writer) {
    w.message(5, |w| {
        w.uint(1, metric_type);
        w.uint(3, u64::from(help));
        w.uint(4, u64::from(unit));
    });
}
