//! What survives a restart: the document `<data>/alert/<tenant>/state.json`.
//!
//! One JSON object, replaced atomically ([`model::Fs::replace`]) whenever an alert changed its state, before a
//! notification leaves and after its answer, and once a minute so that the length of an outage is known.
//!
//! | key | what it holds |
//! |---|---|
//! | `version` | [`VERSION`]; a program that meets a greater one refuses to start and touches nothing |
//! | `saved_at_ms` | when it was written, milliseconds since the epoch like all times |
//! | `rules` | per alerting rule (`file`, `group`, `name`, `labels`, `nth` among equals): its `alerts` with `labels`, `annotations`, `value` (text), `state`, `active_at_ms`, and where they are known `fired_at_ms`, `resolved_at_ms`, `keep_firing_since_ms` |
//! | `groups` | per notification group (`route`, `labels`, `receiver`): its `alerts`, `next_flush_ms`, `flushed` (the first wait is over), `in_flight` (a notification was on its way) |
//! | `log` | per webhook of a group (`route`, `labels`, `receiver`, `webhook`): `sent_at_ms`, the fingerprints that it was told are `firing` and `resolved`; `unsure` when a later answer is lost, with what that notification said in `maybe_firing` |
//!
//! Keys may be added within a version; readers ignore what they do not know.

use crate::evaluate::Alert;
use crate::notify::{LogEntry, LogKey, SavedGroup};
use model::{Error, ErrorKind, Fs, Result, Tenant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the document that this program writes.
pub const VERSION: u32 = 1;
/// The largest document that is read.
const MAX_BYTES: u64 = 256 << 20;

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) version: u32,
    pub(crate) saved_at_ms: i64,
    pub(crate) rules: Vec<SavedRule>,
    pub(crate) groups: Vec<SavedGroup>,
    pub(crate) log: Vec<SavedLogEntry>,
}

/// Names a rule across restarts. `nth` tells rules apart that agree in everything else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RuleKey {
    pub(crate) file: String,
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) nth: usize,
}

/// A rule with alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedRule {
    #[serde(flatten)]
    pub(crate) key: RuleKey,
    pub(crate) alerts: Vec<Alert>,
}

/// A line of the notification log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedLogEntry {
    #[serde(flatten)]
    pub(crate) key: LogKey,
    #[serde(flatten)]
    pub(crate) entry: LogEntry,
}

/// Where a tenant's document is.
pub fn path(data_dir: &Path, tenant: &Tenant) -> PathBuf {
    data_dir.join("alert").join(tenant.as_str()).join("state.json")
}

/// Reads the document; `None` when there is none yet.
///
/// # Errors
/// `Corrupt` when it cannot be understood, with what to do about it; errors of the disk.
pub(crate) fn load(fs: &dyn Fs, path: &Path) -> Result<Option<Document>> {
    let bytes = match fs.read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::from(e).within(path.display())),
    };
    #[derive(Deserialize)]
    struct OnlyVersion {
        version: u32,
    }
    let damaged = |e: serde_json::Error| {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "{}: the state of alerts is damaged ({e}); restore the file, or move it away to start without memory \
                 of what was told to whom",
                path.display()
            ),
        )
    };
    let OnlyVersion { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version != VERSION {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "{}: the state of alerts has version {version}, this program knows {VERSION}; use the program that wrote it",
                path.display()
            ),
        ));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Writes the document durably.
pub(crate) fn save(fs: &dyn Fs, path: &Path, document: &Document) -> Result<()> {
    let bytes = serde_json::to_vec(document)
        .map_err(|e| Error::internal(format!("the state of alerts cannot be written as JSON: {e}")))?;
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent()
            && !fs.exists(parent)?
        {
            fs.create_dir_all(parent)?;
        }
        fs.replace(path, &bytes)
    };
    write().map_err(|e| Error::from(e).within(path.display()))
}
