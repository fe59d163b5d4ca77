//! What is to be imported: the inputs, their times, how much they hold.

use super::super::{counted, io};
use super::openmetrics;
use model::{Error, Result};
use std::path::{Path, PathBuf};
use wire::prometheus_block::Meta;

/// All inputs, oldest first.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub inputs: Vec<Input>,
    /// What the person at the shell should know about the inputs.
    pub remarks: Vec<String>,
}

/// One thing to import.
#[derive(Debug)]
pub(super) enum Input {
    Block(BlockInput),
    Text(TextInput),
}

/// A block of Prometheus.
#[derive(Debug)]
pub(super) struct BlockInput {
    pub dir: PathBuf,
    pub meta: Meta,
}

/// A file of OpenMetrics text that was read once.
#[derive(Debug)]
pub(super) struct TextInput {
    pub path: PathBuf,
    pub samples: u64,
    /// The first and the last time; absent without samples.
    pub times_ms: Option<(i64, i64)>,
}

impl Input {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Block(block) => &block.dir,
            Self::Text(text) => &text.path,
        }
    }
    pub(super) fn samples(&self) -> u64 {
        match self {
            Self::Block(block) => block.meta.stats.num_samples,
            Self::Text(text) => text.samples,
        }
    }
    /// The oldest time in it.
    pub(super) fn min_ms(&self) -> Option<i64> {
        match self {
            Self::Block(block) => Some(block.meta.min_time),
            Self::Text(text) => text.times_ms.map(|(min, _)| min),
        }
    }
}

/// More than any `meta.json`.
const MAX_META_BYTES: u64 = 16 << 20;

impl Plan {
    /// Looks at what the paths are. Text files are read once, so that a mistake in them is found before anything is
    /// written.
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self> {
        let mut plan = Self::default();
        for path in paths {
            let kind = std::fs::metadata(path).map_err(io(path))?;
            if !kind.is_dir() {
                plan.inputs
                    .push(Input::Text(openmetrics::look_through(path, kind.len())?));
            } else if path.join("meta.json").exists() {
                plan.add_block(path)?;
            } else {
                plan.add_folder(path)?;
            }
        }
        plan.inputs.sort_by_key(Input::min_ms);
        Ok(plan)
    }
    pub(super) fn samples(&self) -> u64 {
        self.inputs.iter().map(Input::samples).sum()
    }
    fn add_block(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("meta.json");
        let len = std::fs::metadata(&path).map_err(io(&path))?.len();
        if len > MAX_META_BYTES {
            return Err(Error::corrupt(format!(
                "{} has {len} bytes: no meta.json is so large",
                path.display()
            )));
        }
        let text = std::fs::read(&path).map_err(io(&path))?;
        let meta = Meta::parse(&path.display().to_string(), &text)?;
        self.inputs.push(Input::Block(BlockInput {
            dir: dir.to_owned(),
            meta,
        }));
        Ok(())
    }
    /// A data folder of Prometheus, or any other folder of blocks.
    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let before = self.inputs.len();
        for entry in std::fs::read_dir(folder).map_err(io(folder))? {
            let path = entry.map_err(io(folder))?.path();
            // Prometheus writes new blocks and removes old ones under names with a suffix.
            if path.extension().is_none() && path.join("meta.json").exists() {
                self.add_block(&path)?;
            }
        }
        let found = (self.inputs.len() - before) as u64;
        let has_log = ["wal", "chunks_head"]
            .iter()
            .any(|name| folder.join(name).is_dir());
        let about_log = "Prometheus' write-ahead log is not read; what is in no block yet comes with a snapshot (POST \
                         /api/v1/admin/tsdb/snapshot)";
        match (found, has_log) {
            (0, false) => Err(Error::bad_data(format!(
                "{} is neither a block nor a folder of blocks: no meta.json in it or one below",
                folder.display()
            ))),
            (0, true) => Err(Error::bad_data(format!(
                "{} holds no block; {about_log}",
                folder.display()
            ))),
            (_, true) => {
                let found = counted(found, "block");
                let remark = format!("binnacle: note: {}: {found}; {about_log}", folder.display());
                self.remarks.push(remark);
                Ok(())
            }
            (_, false) => Ok(()),
        }
    }
}
