//! A snapshot brought back into a data directory that has nothing of its stores.

use super::{StoreSnapshot, Taken};
use crate::log::Position;
use crate::{DataDir, StoreName, layout, verify};
use model::{Error, Fs, Result, Tenant};
use std::path::Path;
use std::sync::Arc;

/// Links or copies every store of a snapshot into a data directory, whose lock the caller holds; says what came from
/// which. A store appears whole or not at all. `tell` is called with the bytes that are done in this step.
///
/// # Errors
/// [`model::ErrorKind::BadData`] when `from` is no snapshot, or when the data directory has something of a store that
/// the snapshot holds; nothing was changed then. [`model::ErrorKind::Corrupt`] when a file of it is missing, and those
/// of the disk.
pub fn restore(
    fs: &Arc<dyn Fs>,
    from: &Path,
    to: &DataDir,
    tell: &mut dyn FnMut(u64),
) -> Result<Vec<(StoreName, Taken)>> {
    let stores = check_empty(fs, from, to)?;
    let mut restored = Vec::new();
    for (store, tenants) in &stores {
        restored.push((*store, one_store(fs, from, to.root(), *store, tenants, tell)?));
    }
    Ok(restored)
}

/// Fails when a data directory has something of a store that a snapshot holds; gives what the snapshot holds.
///
/// # Errors
/// As [`restore`]; nothing was changed.
pub fn check_empty(fs: &Arc<dyn Fs>, from: &Path, to: &DataDir) -> Result<Contents> {
    let stores = contents(fs, from)?;
    for (store, _) in &stores {
        check_none(fs.as_ref(), to.root(), *store)?;
    }
    Ok(stores)
}

/// The stores that a snapshot holds, and their tenants.
pub type Contents = Vec<(StoreName, Vec<Tenant>)>;

fn contents(fs: &Arc<dyn Fs>, from: &Path) -> Result<Contents> {
    verify::data_dir(fs.as_ref(), from).map_err(|e| e.within("no snapshot, or not a whole one"))?;
    let has_log = fs
        .exists(&from.join("wal"))
        .map_err(|e| Error::from(e).within(from.display()))?;
    if has_log {
        return Err(Error::bad_data(format!(
            "{} is a data directory with a log, no snapshot; start a binnacle with it, or take a snapshot of it",
            from.display()
        )));
    }
    let mut stores = Contents::new();
    for store in StoreName::ALL {
        let tenants = layout::tenants(fs.as_ref(), from, store)?;
        if !tenants.is_empty() {
            stores.push((store, tenants));
        }
    }
    if stores.is_empty() {
        return Err(Error::bad_data(format!("{} holds nothing", from.display())));
    }
    Ok(stores)
}

fn check_none(fs: &dyn Fs, data: &Path, store: StoreName) -> Result<()> {
    let tenants = layout::tenants(fs, data, store)?;
    let dir = data.join(store.as_str());
    let refuse = |what: String| {
        Err(Error::bad_data(format!(
            "{} has {what} already, and a restore replaces nothing: choose an empty directory, or move {} and {}/*/{} \
             away first",
            data.display(),
            dir.display(),
            data.join("wal").display(),
            store.as_str()
        )))
    };
    if let Some(tenant) = tenants.first() {
        return refuse(format!("{} of tenant {tenant}", store.as_str()));
    }
    match fs.read_dir(&dir) {
        Ok(entries) => match entries.first() {
            Some(entry) => refuse(format!("{:?} in {}", entry.name, dir.display())),
            None => Ok(()),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::from(e).within(dir.display())),
    }
}

fn one_store(
    fs: &Arc<dyn Fs>,
    from: &Path,
    data: &Path,
    store: StoreName,
    tenants: &[Tenant],
    tell: &mut dyn FnMut(u64),
) -> Result<Taken> {
    let path = data.join(store.as_str());
    let building = model::fs::temporary_name(&path);
    let within = |e: std::io::Error| Error::from(e).within(path.display());
    // Left by a restore that was interrupted, and an empty folder of the store.
    for old in [&building, &path] {
        if fs.exists(old).map_err(within)? {
            fs.remove_dir_all(old).map_err(within)?;
        }
    }
    let mut taken = Taken::default();
    for tenant in tenants {
        let source = layout::store_dir(from, tenant, store);
        let manifest = verify::manifest(fs, &source)?;
        if manifest.log_position != Position::default() {
            return Err(Error::bad_data(format!(
                "{} needs a log, which snapshots do not: it is no snapshot",
                layout::manifest_file(&source).display()
            )));
        }
        let begun = StoreSnapshot::begin(fs, &manifest, &source, &building.join(tenant.as_str()))?;
        taken += begun.finish(tell)?;
    }
    fs.rename(&building, &path).map_err(within)?;
    fs.sync_dir(data).map_err(within)?;
    Ok(taken)
}

/// The bytes that [`restore`] is going to take.
///
/// # Errors
/// As [`restore`].
pub fn size_bytes(fs: &Arc<dyn Fs>, from: &Path) -> Result<u64> {
    let mut total = 0;
    for (store, tenants) in contents(fs, from)? {
        let sizes = tenants.iter().map(|t| verify::size_bytes(fs, from, t, store));
        total += sizes.sum::<u64>();
    }
    Ok(total)
}
