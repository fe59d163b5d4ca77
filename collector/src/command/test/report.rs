//! How tests went: lines for a person, JUnit XML for programs.

use super::cases::Failure;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;

/// The tests of one file.
#[derive(Debug)]
pub(super) struct Suite {
    name: String,
    started_ms: i64,
    pub(super) cases: Vec<Case>,
    /// Why there are no cases.
    error: Option<String>,
}

/// One group of tests.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) failures: Vec<Failure>,
}

impl Suite {
    pub(super) fn new(name: String, started_ms: i64) -> Self {
        Self {
            name,
            started_ms,
            cases: Vec::new(),
            error: None,
        }
    }

    /// A file that cannot be run.
    pub(super) fn aborted(mut self, error: String) -> Self {
        self.error = Some(error);
        self
    }

    pub(super) fn passed(&self) -> bool {
        self.error.is_none() && self.cases.iter().all(|c| c.failures.is_empty())
    }

    /// What is told of a file that did not pass.
    pub(super) fn problems(&self) -> String {
        let mut text = String::new();
        if let Some(error) = &self.error {
            let _ = writeln!(text, "{error}\n");
        }
        for case in &self.cases {
            for failure in &case.failures {
                let _ = writeln!(text, "    name: {},\n{}\n", case.name, failure.0);
            }
        }
        text
    }
}

/// Names the file that comes.
#[expect(clippy::print_stdout, reason = "this command's answer goes to the shell")]
pub(super) fn begin(file: &Path) {
    println!("Unit Testing:  {}", file.display());
}

/// Tells how a file went.
#[expect(clippy::print_stdout, reason = "this command's answer goes to the shell")]
pub(super) fn end(suite: &Suite) {
    if suite.passed() {
        println!("  SUCCESS\n");
        return;
    }
    let problems = suite.problems();
    let is_terminal = std::io::stderr().is_terminal();
    let text = if is_terminal {
        coloured(&problems)
    } else {
        problems
    };
    say(&format!("  FAILED:\n{}\n", text.trim_end()));
}

/// Lines of a diff in red and green.
fn coloured(text: &str) -> String {
    let line = |line: &str| match line.trim_start().get(..2) {
        Some("- ") => format!("\x1b[31m{line}\x1b[0m\n"),
        Some("+ ") => format!("\x1b[32m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Something to know that is no failure.
pub(super) fn warn(text: &str) {
    say(&format!("  WARNING: {text}"));
}

/// A line for `--debug`.
pub(super) fn debug(text: &str) {
    say(&format!("DEBUG: {text}"));
}

#[expect(
    clippy::print_stderr,
    reason = "failures go to standard error, as promtool's do"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

/// All suites as JUnit XML.
pub(super) fn junit(suites: &[Suite]) -> String {
    let mut xml = "<testsuites>".to_owned();
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|c| c.failures.len()).sum();
        let timestamp = wire::rfc3339::format_ns(suite.started_ms.saturating_mul(model::time::NS_PER_MS));
        let _ = write!(
            xml,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\" skipped=\"0\" timestamp=\"{}\">",
            escaped(&suite.name),
            suite.cases.len().max(usize::from(suite.error.is_some())),
            usize::from(suite.error.is_some()),
            timestamp.split('.').next().unwrap_or_default()
        );
        if let Some(error) = &suite.error {
            let _ = write!(
                xml,
                "<testcase name=\"unknown\"><error>{}</error></testcase>",
                escaped(error)
            );
        }
        for case in &suite.cases {
            let _ = write!(xml, "<testcase name=\"{}\">", escaped(&case.name));
            for failure in &case.failures {
                let _ = write!(xml, "<failure>{}</failure>", escaped(&failure.0));
            }
            xml.push_str("</testcase>");
        }
        xml.push_str("</testsuite>");
    }
    xml + "</testsuites>\n"
}

/// A text as XML has it; characters that XML does not have are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
