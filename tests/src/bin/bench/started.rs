//! What this run has started and made: servers are ended by their id and the folder is removed, whatever happens.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Started {
    children: BTreeMap<u32, Child>,
    folder: Option<PathBuf>,
    is_over: bool,
}

static STARTED: Mutex<Option<Started>> = Mutex::new(None);

fn with<T>(look: impl FnOnce(&mut Started) -> T) -> T {
    let mut guard: MutexGuard<'_, Option<Started>> = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    look(guard.get_or_insert_default())
}

/// Makes the folder of this run under `parent`.
pub(crate) fn folder(parent: &Path) -> Result<PathBuf> {
    let folder = tempfile::Builder::new()
        .prefix("binnacle-bench-")
        .tempdir_in(parent)?
        .keep();
    with(|s| s.folder = Some(folder.clone()));
    Ok(folder)
}

/// An error once the run is to end: long work asks now and then.
pub(crate) fn check() -> Result<()> {
    ensure!(!with(|s| s.is_over), "interrupted");
    Ok(())
}

/// Starts a program; its process id.
pub(crate) fn spawn(command: &mut Command) -> Result<u32> {
    // Under the lock: a run that is over starts nothing, and what was started is known.
    with(|s| {
        ensure!(!s.is_over, "interrupted");
        let child = command
            .spawn()
            .with_context(|| format!("{command:?} does not start"))?;
        let id = child.id();
        s.children.insert(id, child);
        Ok(id)
    })
}

/// Whether a program has ended; one that nobody knows any more has.
pub(crate) fn ended(id: u32) -> Result<Option<ExitStatus>> {
    with(|s| {
        let child = s.children.get_mut(&id).context("the server has ended")?;
        Ok(child.try_wait()?)
    })
}

/// Ends a program at once (SIGKILL) and forgets it.
pub(crate) fn kill(id: u32) {
    if let Some(mut child) = with(|s| s.children.remove(&id)) {
        // Fails only when it has ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Ends all that was started; nothing starts afterwards.
pub(crate) fn kill_all() {
    let children = with(|s| {
        s.is_over = true;
        std::mem::take(&mut s.children)
    });
    for mut child in children.into_values() {
        // Fails only when it has ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Removes this run's folder.
pub(crate) fn remove_folder() {
    if let Some(folder) = with(|s| s.folder.take()) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
