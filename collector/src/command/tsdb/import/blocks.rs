//! A block of Prometheus, series by series.

use super::super::io;
use super::Report;
use super::plan::BlockInput;
use super::writer::{Writer, is_large};
use model::{Error, Fs as _, Predicate, Result, Series};
use std::path::Path;
use storage::RealFs;
use wire::prometheus_block::{Block, Source};

/// Imports what a predicate selects. `tell` is told how many of the block's samples are done.
///
/// # Errors
/// Those of the store. What of the block cannot be read is in the report.
pub(super) fn import(
    input: &BlockInput,
    predicate: &Predicate,
    writer: &mut Writer,
    tell: &mut dyn FnMut(u64),
) -> Result<Report> {
    let mut report = Report::default();
    let mut block = match open(&input.dir) {
        Ok(block) => block,
        Err(e) => {
            report.add_unread(e);
            return Ok(report);
        }
    };
    let (mut chunks, stats) = (0u64, input.meta.stats);
    loop {
        let found = match block.next_series() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(report),
            Err(e) => {
                report.add_unread(Error::corrupt(format!("{e}; the series after it are not found")));
                return Ok(report);
            }
        };
        chunks += found.chunks.len() as u64;
        tell(
            (u128::from(stats.num_samples) * u128::from(chunks) / u128::from(stats.num_chunks.max(1))) as u64,
        );
        if predicate.on_labels(&found.labels) == Some(false) {
            continue;
        }
        report.series += 1;
        let empty = || Series {
            labels: found.labels.clone(),
            ..Series::default()
        };
        let mut series = empty();
        for place in &found.chunks {
            if let Err(e) = block.read_chunk(&found, place, &mut series) {
                report.add_unread(e);
            }
            if is_large(&series) {
                report.samples += count(&series);
                writer.push(std::mem::replace(&mut series, empty()))?;
            }
        }
        report.samples += count(&series);
        if count(&series) > 0 {
            writer.push(series)?;
        }
    }
}

fn count(series: &Series) -> u64 {
    (series.samples.len() + series.histograms.len()) as u64
}

fn open(dir: &Path) -> Result<Block> {
    let source = |path: &Path| -> Result<Source> {
        let file = RealFs.open(path).map_err(io(path))?;
        Ok(Source::new(path.display().to_string(), file))
    };
    let folder = dir.join("chunks");
    let mut chunks = Vec::new();
    for entry in RealFs.read_dir(&folder).map_err(io(&folder))? {
        if !entry.is_dir && entry.name.bytes().all(|b| b.is_ascii_digit()) {
            chunks.push(source(&folder.join(entry.name))?);
        }
    }
    let tombstones = dir.join("tombstones");
    let tombstones = match tombstones.exists() {
        true => Some(source(&tombstones)?),
        false => None,
    };
    Block::open(source(&dir.join("index"))?, chunks, tombstones.as_ref())
}
