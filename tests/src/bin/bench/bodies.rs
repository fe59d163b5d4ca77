//! Requests ready to send: encoded ahead of the clock into files, or made while they are sent.

use crate::target::{Content, Packer, Shape, Target};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Connections that send; a target stays on one, so that its samples come in the order of time.
pub(crate) const CONNECTIONS: usize = 4;

/// The requests of one connection in their order.
pub(crate) trait Bodies: Send {
    /// Puts the next request into `body`.
    fn next(&mut self, body: &mut Vec<u8>) -> Result<Option<Content>>;
}

/// Encoded requests in files, one for each connection.
pub(crate) struct Encoded {
    folder: PathBuf,
    entries: [Vec<Entry>; CONNECTIONS],
    /// Samples of each metric name, without staleness markers.
    pub(crate) samples_by_name: BTreeMap<String, u64>,
    /// What all series have and none of those that a server makes about itself.
    pub(crate) matcher: String,
    /// Whole seconds around all samples.
    pub(crate) range_s: (i64, i64),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    content: Content,
    offset: u64,
    length: u32,
}

impl Encoded {
    /// Generates the data of `shape` into a folder that does not exist yet.
    pub(crate) fn generate(shape: Shape, folder: &Path) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let mut entries = [const { Vec::new() }; CONNECTIONS];
        let mut open: VecDeque<(usize, &mut Vec<Entry>)> = entries.iter_mut().enumerate().collect();
        while !open.is_empty() {
            let some: Vec<_> = open.drain(..workers.min(open.len())).collect();
            std::thread::scope(|scope| {
                let running: Vec<_> = some
                    .into_iter()
                    .map(|(k, entries)| scope.spawn(move || generate_file(shape, folder, k, entries)))
                    .collect();
                running
                    .into_iter()
                    .try_for_each(|w| w.join().expect("a generator does not panic"))
            })?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            entries,
            samples_by_name: shape.samples_by_name(),
            matcher: r#"instance=~"node-.+""#.to_owned(),
            range_s: (shape.end_s() - shape.window_s(), shape.end_s()),
        })
    }
    /// Takes requests that come in any order of targets; names and matcher are the caller's to set.
    pub(crate) fn collect(
        folder: &Path,
        fill: impl FnOnce(&mut dyn FnMut(Content, &[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let mut writers = Vec::new();
        for k in 0..CONNECTIONS {
            writers.push(BufWriter::new(File::create(file(folder, k))?));
        }
        let mut entries: [Vec<Entry>; CONNECTIONS] = [const { Vec::new() }; CONNECTIONS];
        let mut range_ms = (i64::MAX, i64::MIN);
        let mut put = |content: Content, body: &[u8]| {
            let k = content.target % CONNECTIONS;
            range_ms = (range_ms.0.min(content.time_ms), range_ms.1.max(content.time_ms));
            push(&mut entries[k], &mut writers[k], content, body)
        };
        fill(&mut put)?;
        for (writer, entries) in writers.iter_mut().zip(&mut entries) {
            writer.flush()?;
            entries.sort_by_key(|e| (e.content.scrape, e.content.target, e.content.stale > 0));
        }
        Ok(Self {
            folder: folder.to_owned(),
            entries,
            samples_by_name: BTreeMap::new(),
            matcher: String::new(),
            range_s: (range_ms.0.div_euclid(1000) - 1, range_ms.1.div_euclid(1000) + 2),
        })
    }
    /// Samples to send, without staleness markers.
    pub(crate) fn samples(&self) -> u64 {
        self.samples_by_name.values().sum()
    }
    /// The requests of these scrapes, for each connection.
    pub(crate) fn open(&self, scrapes: std::ops::Range<usize>) -> Result<Vec<Box<dyn Bodies>>> {
        let mut all: Vec<Box<dyn Bodies>> = Vec::new();
        for (k, entries) in self.entries.iter().enumerate() {
            let chosen = entries.iter().filter(|e| scrapes.contains(&e.content.scrape));
            all.push(Box::new(FromFile {
                entries: chosen.copied().collect(),
                file: File::open(file(&self.folder, k))?,
            }));
        }
        Ok(all)
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        // The whole run's folder goes in the end; this only makes room early.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn file(folder: &Path, connection: usize) -> PathBuf {
    folder.join(format!("connection-{connection}"))
}

fn push(entries: &mut Vec<Entry>, writer: &mut BufWriter<File>, content: Content, body: &[u8]) -> Result<()> {
    let offset = entries.last().map_or(0, |e| e.offset + u64::from(e.length));
    writer.write_all(body)?;
    let length = u32::try_from(body.len()).context("a request is small")?;
    entries.push(Entry {
        content,
        offset,
        length,
    });
    Ok(())
}

fn generate_file(shape: Shape, folder: &Path, connection: usize, entries: &mut Vec<Entry>) -> Result<()> {
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(file(folder, connection))?);
    let mut packer = Packer::default();
    for index in (connection..shape.targets).step_by(CONNECTIONS) {
        let mut target = Target::new(shape, index);
        while target.advance() {
            crate::started::check()?;
            target.encode(&mut packer, |content, body| {
                push(entries, &mut writer, content, body)
            })?;
        }
    }
    writer.flush()?;
    entries.sort_by_key(|e| (e.content.scrape, e.content.target, e.content.stale > 0));
    Ok(())
}

struct FromFile {
    entries: VecDeque<Entry>,
    file: File,
}

impl Bodies for FromFile {
    fn next(&mut self, body: &mut Vec<u8>) -> Result<Option<Content>> {
        let Some(entry) = self.entries.pop_front() else {
            return Ok(None);
        };
        body.resize(entry.length as usize, 0);
        self.file.read_exact_at(body, entry.offset)?;
        Ok(Some(entry.content))
    }
}

/// Requests that are made while they are sent: for runs whose requests would fill the disk.
pub(crate) struct Live {
    targets: VecDeque<Target>,
    ready: VecDeque<(Content, Vec<u8>)>,
    packer: Packer,
}

impl Live {
    /// The requests of `shape`, for each connection.
    pub(crate) fn open(shape: Shape) -> Vec<Box<dyn Bodies>> {
        let of = |k: usize| -> Box<dyn Bodies> {
            Box::new(Self {
                targets: (k..shape.targets)
                    .step_by(CONNECTIONS)
                    .map(|i| Target::new(shape, i))
                    .collect(),
                ready: VecDeque::new(),
                packer: Packer::default(),
            })
        };
        (0..CONNECTIONS).map(of).collect()
    }
}

impl Bodies for Live {
    fn next(&mut self, body: &mut Vec<u8>) -> Result<Option<Content>> {
        while self.ready.is_empty() {
            // The targets take turns, so that all of them stay near the same scrape.
            let Some(mut target) = self.targets.pop_front() else {
                return Ok(None);
            };
            if target.advance() {
                target.encode(&mut self.packer, |content, body| {
                    self.ready.push_back((content, body.to_vec()));
                    Ok(())
                })?;
                self.targets.push_back(target);
            }
        }
        let Some((content, bytes)) = self.ready.pop_front() else {
            return Ok(None);
        };
        *body = bytes;
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests {
    use super::{CONNECTIONS, Encoded, Live};
    use crate::target::Shape;

    #[test]
    fn what_is_made_ahead_is_what_is_made_on_the_way() {
        let shape = Shape {
            targets: 6,
            series_per_target: 300,
            scrapes: 40,
            churn_per_hour: 3.0,
            jitter_ms: 7,
            base_ms: 1_795_132_800_000,
        };
        let folder = tempfile::tempdir().unwrap();
        let encoded = Encoded::generate(shape, &folder.path().join("bodies")).unwrap();
        let (ahead, live) = (encoded.open(0..shape.scrapes).unwrap(), Live::open(shape));
        assert_eq!((ahead.len(), live.len()), (CONNECTIONS, CONNECTIONS));
        let mut samples = 0;
        for (mut a, mut b) in ahead.into_iter().zip(live) {
            let (mut body_a, mut body_b) = (Vec::new(), Vec::new());
            while let Some(content) = a.next(&mut body_a).unwrap() {
                let other = b.next(&mut body_b).unwrap().unwrap();
                assert_eq!((content.target, content.scrape), (other.target, other.scrape));
                assert_eq!(body_a, body_b);
                samples += content.samples - content.stale;
            }
            assert!(b.next(&mut body_b).unwrap().is_none());
        }
        assert_eq!(samples, shape.samples());
    }
}
