//! How far a command is: a bar on a terminal, plain lines elsewhere.

use super::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Samples,
}

/// Shows on standard error how far something is.
pub(super) struct Progress {
    /// Absent where nobody watches.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn start(what: &'static str, total: u64, unit: Unit) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: None };
        }
        let template = match unit {
            Unit::Bytes => "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            Unit::Samples => "{prefix} {wide_bar} {human_pos}/{human_len} samples {per_sec} {eta}",
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
        Self {
            bar: Some(bar.with_style(style).with_prefix(what)),
        }
    }
    /// So much is done in all.
    pub(super) fn at(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }
    /// So much more is done.
    pub(super) fn advance(&self, more: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(more);
        }
    }
    /// A line above the bar.
    pub(super) fn remark(&self, line: &str) {
        self.aside(|| output::remark(line));
    }
    /// A line of the answer, above the bar.
    pub(super) fn answer(&self, line: &str) {
        self.aside(|| output::answer(line));
    }
    fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
