//! Finding log files by pattern, and finding files again that have moved.

use super::fingerprint::{FileId, Fingerprint};
use crate::config::FileFormat;
use model::Result;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Directory entries that are looked at when a moved file is searched.
const MAX_SIBLINGS: usize = 10_000;

/// A pattern as it is searched for.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// With the host's root before it.
    glob: glob::Pattern,
    text: String,
    /// How the lines are written.
    pub(super) format: FileFormat,
    /// Labels for every stream.
    pub(super) labels: Vec<(String, String)>,
}

impl Pattern {
    /// Checks a configured pattern.
    pub(super) fn new(host: &crate::host::Host, config: &crate::config::FilePattern) -> Result<Self> {
        let root = glob::Pattern::escape(&host.path("/").to_string_lossy());
        let text = format!(
            "{}/{}",
            root.trim_end_matches('/'),
            config.glob.trim_start_matches('/')
        );
        let glob = glob::Pattern::new(&text).map_err(|e| {
            model::Error::bad_data(format!(
                "agent.logs.files: {:?} is not a pattern: {}",
                config.glob, e.msg
            ))
        })?;
        Ok(Self {
            glob,
            text,
            format: config.format,
            labels: config.labels.clone().into_iter().collect(),
        })
    }
    /// Whether a path is one of this pattern's.
    pub(super) fn matches(&self, path: &Path) -> bool {
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::new()
        };
        self.glob.matches_path_with(path, options)
    }
}

/// A file that a pattern found.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    pub(super) pattern: usize,
    pub(super) size: u64,
    pub(super) modified: Option<std::time::SystemTime>,
}

/// All files that the patterns find now, each once, by the first pattern that finds it.
pub(super) fn candidates(patterns: &[Pattern]) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (pattern, p) in patterns.iter().enumerate() {
        // The pattern was checked when it was made.
        for path in glob::glob(&p.text).into_iter().flatten().flatten() {
            if let Some(candidate) = candidate(path, pattern)
                && seen.insert(candidate.id)
            {
                found.push(candidate);
            }
        }
    }
    found
}

fn candidate(path: PathBuf, pattern: usize) -> Option<Candidate> {
    let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    Some(Candidate {
        id: FileId::of(&metadata),
        path,
        pattern,
        size: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

/// What is in the directory of a path.
fn beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.parent()
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten()
        .take(MAX_SIBLINGS)
        .map(|entry| entry.path())
}

fn name_begins_with(path: &Path, original: &Path) -> bool {
    match (path.file_name(), original.file_name()) {
        (Some(name), Some(begin)) => name.as_encoded_bytes().starts_with(begin.as_encoded_bytes()),
        _ => false,
    }
}

/// A file of this identity that still holds what a fingerprint says, wherever rotation may have put it.
pub(super) fn find(id: FileId, path: &Path, print: &Fingerprint) -> Option<(File, PathBuf)> {
    let same = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|m| FileId::of(&m) == id);
    let path = std::iter::once(path.to_owned()).chain(beside(path)).find(same)?;
    let file = File::open(&path).ok()?;
    let still = FileId::of(&file.metadata().ok()?) == id && print.matches(&file);
    still.then_some((file, path))
}

/// A copy that was made of a file before it was truncated: a new file beside it, with a name that begins with its
/// name, which holds what a fingerprint says. `taken` are files that are known otherwise.
pub(super) fn find_copy(
    path: &Path,
    print: &Fingerprint,
    taken: impl Fn(FileId) -> bool,
) -> Option<(File, PathBuf)> {
    if print.offset == 0 {
        return None;
    }
    let others = beside(path).filter(|other| other != path && name_begins_with(other, path));
    { others }.find_map(|path| {
        let file = File::open(&path).ok()?;
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let copy = !taken(FileId::of(&metadata)) && print.matches(&file);
        copy.then_some((file, path))
    })
}

/// Whether a file beside another, with a name that begins with its name, holds what the other begins with: a copy,
/// perhaps made just now by a rotation that will truncate the original next. Gives the end of what is the same.
pub(super) fn copy_of(candidate: &Candidate, original: &File, original_path: &Path) -> Option<Fingerprint> {
    let beside = candidate.path.parent() == original_path.parent() && candidate.path != original_path;
    let named = name_begins_with(&candidate.path, original_path);
    let original_size = original.metadata().ok()?.len();
    if !beside || !named || candidate.size == 0 || candidate.size > original_size {
        return None;
    }
    let file = File::open(&candidate.path).ok()?;
    let print = Fingerprint::take(&file, candidate.size).ok()?;
    print.matches(original).then_some(print)
}
