//! A running program under measurement: started on a free port, watched through /proc, ended by its id.

use crate::clock::{now, pause, seconds_since};
use crate::http::Connection;
use crate::plan::Patience;
use crate::program::Program;
use crate::started;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A server. Dropping it kills the program.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) port: u16,
    /// Seconds from its start until it said that it is ready.
    pub(crate) ready_s: f64,
    /// When it was started.
    pub(crate) started: Instant,
    id: u32,
    data: PathBuf,
}

/// Bytes of a process' memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Everything resident.
    pub(crate) rss: u64,
    /// Of it, what is no file.
    pub(crate) anon: u64,
    /// The most that was resident at any time.
    pub(crate) peak: u64,
}

impl Memory {
    /// The larger of each figure.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            rss: self.rss.max(other.rss),
            anon: self.anon.max(other.anon),
            peak: self.peak.max(other.peak),
        }
    }
}

const READY_WITHIN: Duration = Duration::from_secs(600);

impl Server {
    /// Starts the program on a folder, which need not exist, and waits until it is ready. `watch` sees its memory
    /// meanwhile.
    pub(crate) fn start(program: Program, data: &Path, mut watch: impl FnMut(Memory)) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let port = tests::peers::free_port()?;
        let log = data.with_extension("log");
        let output = std::fs::File::options().create(true).append(true).open(&log)?;
        let mut command = program.command(data, port)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let started = now();
        let id = started::spawn(&mut command)?;
        let mut server = Self {
            program,
            port,
            ready_s: 0.0,
            started,
            id,
            data: data.to_owned(),
        };
        let mut connection = Connection::new(port).with_timeout(Duration::from_secs(5));
        while !connection
            .get(program.ready_path())
            .is_ok_and(|a| a.status == 200)
        {
            if let Some(status) = started::ended(id)? {
                bail!("{} ended with {status}; {}", program.name(), last_lines(&log));
            }
            if now().duration_since(started) > READY_WITHIN {
                bail!("{} is not ready in time; {}", program.name(), last_lines(&log));
            }
            watch(server.memory().unwrap_or_default());
            pause(Duration::from_millis(5));
        }
        server.ready_s = seconds_since(started);
        Ok(server)
    }
    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }
    fn proc_file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.id);
        std::fs::read_to_string(path).with_context(|| {
            format!(
                "{} has ended; {}",
                self.program.name(),
                last_lines(&self.data.with_extension("log"))
            )
        })
    }
    /// User and system seconds, at the kernel's 100 ticks a second.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        let stat = self.proc_file("stat")?;
        let after_name = stat.rsplit(')').next().context("a name in brackets")?;
        let mut fields = after_name.split_whitespace().skip(11).map(str::parse::<f64>);
        let mut next = || fields.next().context("two times")?.context("a number");
        Ok((next()? + next()?) / 100.0)
    }
    /// Its memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = self.proc_file("status")?;
        let kib = |key: &str| {
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
            let number = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            number.with_context(|| format!("no {key} in /proc"))
        };
        Ok(Memory {
            rss: kib("VmRSS")? << 10,
            anon: kib("RssAnon")? << 10,
            peak: kib("VmHWM")? << 10,
        })
    }
    /// Bytes that it caused to be written to disk; `None` where the kernel does not tell.
    pub(crate) fn written_bytes(&self) -> Option<u64> {
        let io = self.proc_file("io").ok()?;
        io.lines()
            .find_map(|l| l.strip_prefix("write_bytes: ")?.parse().ok())
    }
    /// The median of its memory over a while.
    pub(crate) fn steady(&self, while_s: f64) -> Result<Memory> {
        let (start, mut seen) = (now(), Vec::new());
        while seen.is_empty() || seconds_since(start) < while_s {
            seen.push(self.memory()?);
            pause(Duration::from_millis(200));
        }
        let median = |of: fn(&Memory) -> u64| {
            let mut all: Vec<u64> = seen.iter().map(of).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        Ok(Memory {
            rss: median(|m| m.rss),
            anon: median(|m| m.anon),
            peak: median(|m| m.peak),
        })
    }
    /// Waits until it uses less than a twentieth of a core, or the patience ends; the memory that was seen.
    pub(crate) fn wait_idle(&self, patience: &Patience) -> Result<Memory> {
        let (start, mut last, mut seen) = (now(), self.cpu_s()?, self.memory()?);
        while seconds_since(start) < patience.idle_limit_s {
            started::check()?;
            pause(Duration::from_secs_f64(patience.idle_look_s));
            let cpu_s = self.cpu_s()?;
            seen = seen.max(self.memory()?);
            if cpu_s - last < 0.05 * patience.idle_look_s {
                break;
            }
            last = cpu_s;
        }
        Ok(seen)
    }
    /// Makes it put everything into its final form, waits until its files are still, and gives their size in bytes;
    /// besides, what it answered when it refused.
    pub(crate) fn flush(&self, patience: &Patience) -> Result<(u64, Vec<String>)> {
        let mut refusals = Vec::new();
        for (method, path) in self.program.flush() {
            let mut connection = Connection::new(self.port).with_timeout(Duration::from_secs(3600));
            let answer = match *method {
                "POST" => connection.post(path, "", &[])?,
                _ => connection.get(path)?,
            };
            if !answer.is_success() {
                refusals.push(format!(
                    "{method} {path}: {}: {}",
                    answer.status,
                    answer.text().trim()
                ));
            }
        }
        let folder = self.program.flushed(&self.data);
        let (start, mut size, mut since) = (now(), bytes_below(&folder)?, now());
        while seconds_since(since) < patience.still_s && seconds_since(start) < 20.0 * patience.still_s {
            started::check()?;
            pause(Duration::from_millis(200));
            let size_now = bytes_below(&folder)?;
            if size_now != size {
                (size, since) = (size_now, now());
            }
        }
        Ok((size, refusals))
    }
    /// Asks it to end (SIGTERM) and waits.
    pub(crate) fn stop(self) -> Result<()> {
        let id = i32::try_from(self.id)
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")?;
        if started::ended(self.id)?.is_none() {
            kill_process(id, Signal::TERM)?;
        }
        let asked = now();
        while started::ended(self.id)?.is_none() {
            if seconds_since(asked) > 120.0 {
                bail!("{} does not end when asked to", self.program.name());
            }
            pause(Duration::from_millis(20));
        }
        Ok(())
    }
    /// Ends it as a power cut would (SIGKILL).
    pub(crate) fn kill(&self) {
        started::kill(self.id);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The sizes of all files below a folder, hard links once.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64> {
    let (mut total, mut seen, mut open) = (0, BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        // Files come and go while a server merges them.
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let Ok(meta) = entry
                .as_ref()
                .map_err(|_| ())
                .and_then(|e| e.metadata().map_err(|_| ()))
            else {
                continue;
            };
            if meta.is_dir() {
                open.push(entry?.path());
            } else if seen.insert((meta.dev(), meta.ino())) {
                total += meta.len();
            }
        }
    }
    Ok(total)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!(
        "it said last:\n{}",
        lines[lines.len().saturating_sub(10)..].join("\n")
    )
}
