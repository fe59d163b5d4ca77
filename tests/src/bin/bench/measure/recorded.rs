//! Bytes per sample of recorded scrapes, as recorded and with processor seconds rounded to a microsecond.

use super::{Bench, DataFolder, Measure, ingest, say};
use crate::bodies::Encoded;
use crate::protobuf::{self, STALE_BITS};
use crate::target::{Content, Packer};
use crate::{exposition, recording, started};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// Samples in one request.
const SAMPLES_PER_BODY: usize = 2000;

/// How values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    AsRecorded,
    /// Seconds of processors rounded to 1 us.
    Rounded,
}

/// All of `recorded`.
pub(crate) fn measure(bench: &mut Bench, folder: &Path) -> Result<()> {
    for values in [Values::AsRecorded, Values::Rounded] {
        let how = match values {
            Values::AsRecorded => "as recorded",
            Values::Rounded => "processor seconds rounded to 1 us",
        };
        let (encoded, scrapes) = encode(folder, &bench.folder.join("bodies"), values)?;
        let hours = (encoded.range_s.1 - encoded.range_s.0) as f64 / 3600.0;
        let title = format!("{how}: {} samples of {hours:.2} h", encoded.samples());
        for program in bench.programs.clone() {
            say(&format!("recorded, {title}: {}", program.name()));
            let data = DataFolder::new(&bench.folder, program);
            let figures = ingest::bytes_of(bench, &encoded, program, &data, scrapes);
            bench.put(Measure::Recorded, &title, program, figures)?;
        }
        bench.show_section(Measure::Recorded, &title);
    }
    Ok(())
}

/// Seconds of a processor: by the metric's name, or by its label `cpu`.
fn is_processor_seconds(labels: &[(String, String)]) -> bool {
    let name = labels
        .iter()
        .find(|(k, _)| k == "__name__")
        .map_or("", |(_, v)| v);
    name.ends_with("seconds_total") && (name.contains("cpu") || labels.iter().any(|(k, _)| k == "cpu"))
}

/// A series of one target.
struct Series {
    /// Encoded label pairs.
    labels: Vec<u8>,
    name: String,
    rounds: bool,
    /// The last scrape that had it.
    last: usize,
}

/// Remote write of a whole recording; besides, how many scrapes it has at most.
fn encode(folder: &Path, bodies: &Path, values: Values) -> Result<(Encoded, usize)> {
    let (mut counts, mut instances, mut scrapes) = (BTreeMap::new(), BTreeSet::new(), 0);
    let mut encoded = Encoded::collect(bodies, |put| {
        for (target, file) in recording::files(folder)?.iter().enumerate() {
            scrapes = scrapes.max(encode_target(
                target,
                file,
                values,
                &mut counts,
                &mut instances,
                put,
            )?);
        }
        Ok(())
    })?;
    encoded.samples_by_name = counts;
    let any: Vec<String> = instances.into_iter().collect();
    encoded.matcher = format!("instance=~\"{}\"", any.join("|"));
    Ok((encoded, scrapes))
}

type Put<'a> = dyn FnMut(Content, &[u8]) -> Result<()> + 'a;

fn encode_target(
    target: usize,
    file: &Path,
    values: Values,
    counts: &mut BTreeMap<String, u64>,
    instances: &mut BTreeSet<String>,
    put: &mut Put<'_>,
) -> Result<usize> {
    let (mut known, mut packer, mut scrape) = (HashMap::<String, Series>::new(), Packer::default(), 0);
    recording::read(file, |head, text| {
        started::check()?;
        let instance = head
            .labels
            .get("instance")
            .context("a target has a label `instance`")?;
        instances.insert(instance.replace('.', r"\\."));
        scrape += 1;
        let mut samples = Vec::new();
        for line in text.lines() {
            let Some((series, value)) = exposition::split(line)? else {
                continue;
            };
            if !known.contains_key(series) {
                known.insert(series.to_owned(), new_series(series, &head.labels)?);
            }
            let one = known.get_mut(series).context("it was just put there")?;
            if std::mem::replace(&mut one.last, scrape) == scrape {
                continue; // The same series twice in one text.
            }
            *counts.entry(one.name.clone()).or_default() += 1;
            let rounds = values == Values::Rounded && one.rounds;
            let value = if rounds {
                (value * 1e6).round() / 1e6
            } else {
                value
            };
            samples.push((one.labels.clone(), value));
        }
        // Series that have ended say so, as from Prometheus.
        let ended = known
            .extract_if(|_, s| s.last != scrape)
            .map(|(_, s)| (s.labels, f64::from_bits(STALE_BITS)));
        let ended: Vec<_> = ended.collect();
        for (some, stale) in [(&samples, false), (&ended, true)] {
            for part in some.chunks(SAMPLES_PER_BODY) {
                let body = packer.pack(|request| {
                    for (labels, value) in part {
                        protobuf::encoded_series(request, labels, *value, head.time_ms);
                    }
                })?;
                let samples = part.len() as u64;
                let stale = if stale { samples } else { 0 };
                put(
                    Content {
                        target,
                        scrape: scrape - 1,
                        time_ms: head.time_ms,
                        samples,
                        stale,
                    },
                    body,
                )?;
            }
        }
        Ok(())
    })?;
    Ok(scrape)
}

fn new_series(text: &str, of_target: &BTreeMap<String, String>) -> Result<Series> {
    let own = exposition::labels(text)?;
    let rounds = is_processor_seconds(&own);
    let mut all: BTreeMap<&str, &str> = own.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    all.extend(of_target.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    all.retain(|_, v| !v.is_empty());
    let mut labels = Vec::new();
    protobuf::labels(&mut labels, all.iter().map(|(k, v)| (*k, *v)));
    let name = all.get("__name__").map_or_else(String::new, |n| (*n).to_owned());
    Ok(Series {
        labels,
        name,
        rounds,
        last: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::{Values, encode, is_processor_seconds};
    use crate::exposition;
    use crate::recording::{Head, append};

    #[test]
    fn processor_seconds_are_known_by_name_or_label() {
        let check = |text: &str, expected| {
            assert_eq!(
                is_processor_seconds(&exposition::labels(text).unwrap()),
                expected,
                "{text}"
            );
        };
        check("container_cpu_usage_seconds_total", true);
        check("node_schedstat_running_seconds_total{cpu=\"0\"}", true);
        check("node_disk_io_time_seconds_total{device=\"sda\"}", false);
        check("node_cpu_frequency_hertz{cpu=\"0\"}", false);
    }

    #[test]
    fn a_recording_becomes_requests_with_markers_for_what_ends() {
        let folder = tempfile::tempdir().unwrap();
        for (i, text) in [
            "a 1\nb_cpu_seconds_total 0.123456789\n",
            "a 2\n",
            "a 3\nb_cpu_seconds_total 2\n",
        ]
        .iter()
        .enumerate()
        {
            let labels = [("instance".to_owned(), "a.b:1".to_owned())].into();
            let head = Head {
                time_ms: 1_795_132_800_001 + i as i64 * 15_000,
                labels,
                bytes: text.len(),
            };
            append(folder.path(), "one", &head, text.as_bytes()).unwrap();
        }
        let (encoded, scrapes) =
            encode(folder.path(), &folder.path().join("bodies"), Values::Rounded).unwrap();
        assert_eq!((scrapes, encoded.samples()), (3, 5));
        assert_eq!(encoded.matcher, r#"instance=~"a\\.b:1""#);
        let (mut stale, mut bytes) = (0, Vec::new());
        for mut source in encoded.open(0..scrapes).unwrap() {
            let mut body = Vec::new();
            while let Some(content) = source.next(&mut body).unwrap() {
                stale += content.stale;
                bytes.extend(snap::raw::Decoder::new().decompress_vec(&body).unwrap());
            }
        }
        assert_eq!(stale, 1);
        let has = |value: f64| bytes.windows(8).any(|w| w == value.to_le_bytes());
        assert!(has(0.123457) && !has(0.123456789));
    }
}
