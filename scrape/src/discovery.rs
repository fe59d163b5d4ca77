//! Groups of targets: from the configuration, and from files.

use crate::config::{ScrapeConfig, TargetGroup};
use model::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a look at a job's files shows without reading them: paths, times and sizes.
pub(crate) type Stamps = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// The files that a job's patterns name, sorted, with their times.
pub(crate) fn stamps(config: &ScrapeConfig) -> Stamps {
    let patterns = config.file_sd_configs.iter().flat_map(|sd| &sd.files);
    let mut paths: Vec<PathBuf> = patterns
        .filter_map(|pattern| glob::glob(&pattern.to_string_lossy()).ok())
        .flat_map(|found| found.filter_map(Result::ok))
        .collect();
    paths.sort();
    paths.dedup();
    let stamp = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths
        .into_iter()
        .map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        })
        .collect()
}

/// All groups of a job. A file that cannot be read is an error, so that a half-written file does not take its
/// targets away.
pub(crate) fn groups(config: &ScrapeConfig, files: &Stamps) -> Result<Vec<TargetGroup>> {
    let mut groups = config.static_configs.clone();
    for (path, _) in files {
        let found: Vec<TargetGroup> = runtime::config::load(path).map_err(Error::from)?;
        groups.extend(found.into_iter().map(|mut group| {
            let name = "__meta_filepath".to_owned();
            group.labels.insert(name, path.display().to_string());
            group
        }));
    }
    Ok(groups)
}
