//! Where each file of a data directory lives. See `docs/formats/layout.md`.

use model::{Fs, Result, Tenant};
use std::path::{Path, PathBuf};

/// The stores that keep data per tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreName {
    /// Samples and histograms.
    Metrics,
    /// Log lines.
    Logs,
    /// Spans.
    Traces,
}

impl StoreName {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// The name in paths, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

/// `<data>/FORMAT`
pub fn format_file(data: &Path) -> PathBuf {
    data.join("FORMAT")
}
/// `<data>/LOCK`
pub fn lock_file(data: &Path) -> PathBuf {
    data.join("LOCK")
}
/// `<data>/wal/<tenant>/<store>`: the directory of a store's log segments.
pub fn wal_dir(data: &Path, tenant: &Tenant, store: StoreName) -> PathBuf {
    data.join("wal").join(tenant.as_str()).join(store.as_str())
}
/// `<data>/<store>/<tenant>`: the directory of a store's manifest and parts.
pub fn store_dir(data: &Path, tenant: &Tenant, store: StoreName) -> PathBuf {
    data.join(store.as_str()).join(tenant.as_str())
}
/// `<store dir>/MANIFEST`
pub fn manifest_file(store_dir: &Path) -> PathBuf {
    store_dir.join("MANIFEST")
}
/// `<store dir>/parts`
pub fn parts_dir(store_dir: &Path) -> PathBuf {
    store_dir.join("parts")
}
/// `<store dir>/parts/<id>.part`.
pub fn part_file(store_dir: &Path, id: u64) -> PathBuf {
    parts_dir(store_dir).join(part_name(id))
}
/// `<id>.part`, the id as 20 digits.
pub fn part_name(id: u64) -> String {
    format!("{id:020}.part")
}
/// `<data>/alert/<tenant>`
pub fn alert_dir(data: &Path, tenant: &Tenant) -> PathBuf {
    data.join("alert").join(tenant.as_str())
}
/// `<data>/snapshots`: each snapshot a data directory of its own.
pub fn snapshots_dir(data: &Path) -> PathBuf {
    data.join("snapshots")
}
/// `<data>/agent`
pub fn agent_dir(data: &Path) -> PathBuf {
    data.join("agent")
}

/// The tenants that have anything of a store on disk, sorted: a log, a manifest or both.
pub fn tenants(fs: &dyn Fs, data: &Path, store: StoreName) -> Result<Vec<Tenant>> {
    let mut found = Vec::new();
    for name in directories(fs, &data.join("wal"))? {
        let Ok(tenant) = Tenant::new(&name) else { continue };
        if fs.exists(&wal_dir(data, &tenant, store))? {
            found.push(tenant);
        }
    }
    for name in directories(fs, &data.join(store.as_str()))? {
        found.extend(Tenant::new(&name));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn directories(fs: &dyn Fs, path: &Path) -> Result<Vec<String>> {
    match fs.read_dir(path) {
        Ok(entries) => Ok(entries.into_iter().filter(|e| e.is_dir).map(|e| e.name).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(model::Error::from(e).within(path.display())),
    }
}
