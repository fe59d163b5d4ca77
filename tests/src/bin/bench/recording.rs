//! Recorded scrapes: a folder with a file for each target. docs/benchmarks.md describes the format.

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// What the files' names end in.
const SUFFIX: &str = ".scrapes.gz";
/// The most text of one scrape.
const MAX_BYTES: usize = 1 << 28;

/// The line before a scrape's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Milliseconds since 1970 at the scrape's start.
    pub(crate) time_ms: i64,
    /// Labels of the target, which each series gets.
    pub(crate) labels: BTreeMap<String, String>,
    /// Bytes of text that follow this line.
    pub(crate) bytes: usize,
}

/// Appends a scrape to its target's file, complete for whoever reads it from now on.
pub(crate) fn append(folder: &Path, target: &str, head: &Head, text: &[u8]) -> Result<()> {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "-.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = target.chars().map(safe).collect();
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(folder.join(name + SUFFIX))?;
    // A member of its own: a recording that is interrupted stays readable.
    let mut member = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut member, head)?;
    member.write_all(b"\n")?;
    member.write_all(text)?;
    Ok(file.write_all(&member.finish()?)?)
}

/// The files of a recording.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            all.push(path);
        }
    }
    ensure!(!all.is_empty(), "{}: no file ends in {SUFFIX}", folder.display());
    all.sort();
    Ok(all)
}

/// Calls `each` with every scrape of a file in its order.
pub(crate) fn read(path: &Path, mut each: impl FnMut(Head, &str) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::new(MultiGzDecoder::new(File::open(path)?));
    let mut line = String::new();
    loop {
        line.clear();
        reader.by_ref().take(64 << 10).read_line(&mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let head: Head =
            serde_json::from_str(&line).with_context(|| format!("{}: a scrape's head", path.display()))?;
        ensure!(
            head.bytes <= MAX_BYTES,
            "{}: a scrape of {} bytes",
            path.display(),
            head.bytes
        );
        let mut text = String::new();
        let read = reader
            .by_ref()
            .take(head.bytes as u64)
            .read_to_string(&mut text)?;
        ensure!(read == head.bytes, "{}: ends within a scrape", path.display());
        each(head, &text)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Head, append, files, read};

    #[test]
    fn what_is_appended_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let scrapes = [(1, "up 1\n"), (2, ""), (3, "a{b=\"c\"} 2\n# end\n")];
        let head = |time_ms, text: &str| Head {
            time_ms,
            labels: [("job".to_owned(), "node".to_owned())].into(),
            bytes: text.len(),
        };
        for (time_ms, text) in scrapes {
            append(
                folder.path(),
                "127.0.0.1:9100/x",
                &head(time_ms, text),
                text.as_bytes(),
            )
            .unwrap();
        }
        let files = files(folder.path()).unwrap();
        assert!(files[0].ends_with("127.0.0.1_9100_x.scrapes.gz"), "{files:?}");
        let mut found = Vec::new();
        read(&files[0], |head, text| {
            found.push((head, text.to_owned()));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, scrapes.map(|(t, text)| (head(t, text), text.to_owned())));
    }

    #[test]
    fn an_empty_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            files(folder.path())
                .unwrap_err()
                .to_string()
                .contains("scrapes.gz")
        );
    }
}
