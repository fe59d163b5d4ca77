//! Running other programs, with a line that says which step this is and how long it took.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Where cargo builds; follows CARGO_TARGET_DIR.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let Some(given) = std::env::var_os("CARGO_TARGET_DIR") else {
        return Ok(root().join("target"));
    };
    Ok(std::env::current_dir()?.join(given))
}

/// A line for whoever watches.
#[expect(clippy::print_stderr, reason = "this is a program for a terminal")]
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// One program to run.
pub(crate) struct Step {
    name: String,
    command: Command,
}

impl Step {
    /// cargo with arguments, in the workspace's root.
    pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Self {
        Self::program(
            name,
            &std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()),
            arguments,
        )
    }
    /// Any program, in the workspace's root.
    pub(crate) fn program(name: &str, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(root()).stdin(Stdio::null());
        Self {
            name: name.to_owned(),
            command,
        }
    }
    /// Adds arguments.
    pub(crate) fn arguments(mut self, more: &[String]) -> Self {
        self.command.args(more);
        self
    }
    /// Runs in another folder.
    pub(crate) fn folder(mut self, folder: PathBuf) -> Self {
        self.command.current_dir(folder);
        self
    }
    /// Sets one variable.
    pub(crate) fn env(mut self, name: &str, value: String) -> Self {
        self.command.env(name, value);
        self
    }
    /// Sets variables.
    pub(crate) fn envs<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        self.command.envs(pairs);
        self
    }
    /// Runs it; fails when it fails.
    #[expect(
        clippy::disallowed_methods,
        reason = "a chore's duration is shown to a person, nothing depends on it"
    )]
    pub(crate) fn run(mut self) -> Result<()> {
        say(&format!("{} …", self.name));
        let started = std::time::Instant::now();
        let status = self
            .command
            .status()
            .with_context(|| format!("{}: {:?} does not start", self.name, self.command))?;
        let seconds = Duration::as_secs_f64(&started.elapsed());
        if !status.success() {
            bail!("{} failed after {seconds:.0} s ({status})", self.name);
        }
        say(&format!("{}: {seconds:.0} s", self.name));
        Ok(())
    }
}

/// Whether a program runs and succeeds; its output is not shown.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

/// What a program prints.
pub(crate) fn output(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()?;
    if !output.status.success() {
        bail!(
            "{program} {arguments:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
