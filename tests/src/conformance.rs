//! Cases of the reference systems' own test suites, run against our engines, and the lists of those that fail still.

mod dashboards;
mod promql;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A kind of case files.
pub struct Suite {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// How the names of its files end.
    extension: &'static str,
    run: fn(&Path) -> Result<Vec<Case>>,
}

/// All suites.
pub static SUITES: &[Suite] = &[
    Suite {
        name: "promql",
        about: "load, eval and expect (.test)",
        extension: "test",
        run: promql::run,
    },
    Suite {
        name: "dashboards",
        about: "expressions of Grafana dashboards (.json), which must parse",
        extension: "json",
        run: dashboards::run,
    },
];

/// One case and what came of it.
#[derive(Debug)]
pub struct Case {
    /// The number of its line.
    pub line: usize,
    /// What the case is about, for instance an expression.
    pub name: String,
    /// What was expected and what came; `None` when it passed.
    pub failure: Option<String>,
}

/// A file that was run.
#[derive(Debug)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its path inside the folder that was asked for.
    pub inside: PathBuf,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

impl FileReport {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.cases.len() - self.failures().count()
    }
    /// The cases that failed, with the reasons.
    pub fn failures(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.cases.iter().filter_map(|c| Some((c, c.failure.as_deref()?)))
    }
}

impl Suite {
    /// The suite of a name.
    ///
    /// # Errors
    /// A sentence that names those that there are.
    pub fn find(name: &str) -> Result<&'static Self> {
        let names: Vec<_> = SUITES.iter().map(|s| s.name).collect();
        let found = SUITES.iter().find(|s| s.name == name);
        found.with_context(|| format!("suite {name} is not there yet; there is: {}", names.join(", ")))
    }

    /// Runs files, and those in folders and the folders in them.
    ///
    /// # Errors
    /// A file that cannot be read or is not of the suite's language, an empty file, a folder without a
    /// file, no case at all.
    pub fn run(&self, paths: &[PathBuf]) -> Result<Vec<FileReport>> {
        let mut reports = Vec::new();
        for path in paths {
            for (file, inside) in self.files(path)? {
                let cases = (self.run)(&file)?;
                reports.push(FileReport {
                    path: file,
                    inside,
                    cases,
                });
            }
        }
        // A file of which all cases are kept elsewhere is no mistake; asking for nothing else is.
        if reports.iter().all(|r| r.cases.is_empty()) {
            let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
            bail!("{}: no case of suite {}", paths.join(", "), self.name);
        }
        Ok(reports)
    }

    /// The files that a path stands for, sorted, each with its path inside it.
    fn files(&self, path: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        let is_ours = |file: &Path| file.extension().is_some_and(|e| e == self.extension);
        if !metadata.is_dir() {
            if !is_ours(path) {
                bail!("{} is no .{} file", path.display(), self.extension);
            }
            let inside = path.file_name().map(PathBuf::from).unwrap_or_default();
            return Ok(vec![(path.to_owned(), inside)]);
        }
        let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if is_ours(&entry.path()) {
                    let inside = entry.path().strip_prefix(path)?.to_owned();
                    files.push((entry.path(), inside));
                }
            }
        }
        if files.is_empty() {
            bail!("{} has no .{} file", path.display(), self.extension);
        }
        files.sort();
        Ok(files)
    }
}

/// The failures as the lists of them have it: `file:line`, by file and line.
pub fn failing(reports: &[FileReport]) -> Vec<String> {
    let of_file = |r: &FileReport| {
        let file = r.inside.display().to_string();
        let lines = r.failures().map(|(case, _)| case.line);
        lines.map(|line| (file.clone(), line)).collect::<Vec<_>>()
    };
    let all: BTreeSet<_> = reports.iter().flat_map(of_file).collect();
    all.into_iter()
        .map(|(file, line)| format!("{file}:{line}"))
        .collect()
}

/// Compares the failures of a folder with the list of those that are known.
///
/// # Errors
/// Says which cases fail and are not in the list, which are in the list and pass, and what to do.
pub fn hold(suite: &str, folder: &Path, reports: &[FileReport], list: &Path) -> Result<()> {
    let shown = list.display();
    let text = std::fs::read_to_string(list).with_context(|| shown.to_string())?;
    let known: BTreeSet<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let failing = failing(reports);
    let failing: BTreeSet<&str> = failing.iter().map(String::as_str).collect();
    let mut problems = Vec::new();
    for report in reports {
        for (case, failure) in report.failures() {
            let place = format!("{}:{}", report.inside.display(), case.line);
            if !known.contains(place.as_str()) {
                problems.push(format!("FAILS NOW {place}: {}\n{}", case.name, indented(failure)));
            }
        }
    }
    let pass_now = known
        .difference(&failing)
        .map(|place| format!("PASSES NOW {place}"));
    problems.extend(pass_now);
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "suite {suite} and {shown} differ:\n{}\nMend what fails. When a listed case passes, take it out of the list; to write the list anew:\n  cargo run -p tests --bin conformance -- {suite} --list-failing {} > {shown}",
        problems.join("\n"),
        folder.display()
    )
}

/// A text with each line moved to the right.
pub fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}
