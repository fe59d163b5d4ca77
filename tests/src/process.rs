//! Child processes: started with their output kept, ended by their id, killed when a test is over.

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A running program. Dropping it kills the program.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    changed: Notify,
}

impl Output {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    async fn collect(self: Arc<Self>, stream: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            self.changed.notify_waiters();
        }
    }
}

impl Process {
    /// Starts a program; its output is kept and shown when a wait fails.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("{name} does not start: {command:?}"))?;
        let output = Arc::new(Output::default());
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(tokio::spawn(output.clone().collect(stream)));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(tokio::spawn(output.clone().collect(stream)));
        }
        Ok(Self {
            name: name.to_owned(),
            child,
            output,
            readers,
        })
    }
    /// The process id.
    pub fn pid(&self) -> Option<Pid> {
        self.child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    }
    /// What the program wrote so far, standard output and error.
    pub fn output(&self) -> String {
        self.output.lines().join("\n")
    }
    /// Waits for a line for which `find` gives something.
    pub async fn wait_for_line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let search = async {
            loop {
                let changed = self.output.changed.notified();
                if let Some(found) = self.output.lines().iter().find_map(|l| find(l)) {
                    return Ok(found);
                }
                tokio::select! {
                    () = changed => {}
                    // The last lines may still be on their way when the program has ended.
                    () = tokio::time::sleep(Duration::from_millis(200)) => {
                        if let Some(status) = self.child.try_wait()? {
                            if let Some(found) = self.output.lines().iter().find_map(|l| find(l)) {
                                return Ok(found);
                            }
                            bail!("{} ended with {status} before {what}:\n{}", self.name, self.output.lines().join("\n"));
                        }
                    }
                }
            }
        };
        match tokio::time::timeout(crate::wait::PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => bail!("{}: no {what} in time; its output:\n{}", self.name, self.output()),
        }
    }
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .pid()
            .with_context(|| format!("{} has ended already", self.name))?;
        Ok(kill_process(pid, signal)?)
    }
    /// Waits for the end, and for the last of the output.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let ended = async {
            let status = self.child.wait().await?;
            for reader in self.readers.drain(..) {
                reader.await?;
            }
            anyhow::Ok(status)
        };
        match tokio::time::timeout(crate::wait::PATIENCE, ended).await {
            Ok(status) => status,
            Err(_) => bail!("{} does not end; its output:\n{}", self.name, self.output()),
        }
    }
    /// Asks the program to end (SIGTERM) and waits.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait().await
    }
    /// Ends the program as a power cut would (SIGKILL) and waits.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }
}
