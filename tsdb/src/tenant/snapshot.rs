//! What a tenant has, into a snapshot: a flush, then a second name for every file that the manifest names.

use super::Tenant;
use model::{Result, Tenant as Name};
use std::path::Path;
use storage::{StoreName, StoreSnapshot, Taken, layout};

impl Tenant {
    /// Whose data it is.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
    /// Takes this tenant's files into a data directory that is being built. With the head, everything that was
    /// acknowledged before is in it; without, what a flush wrote before. Writes, flushes, merges and reads go on.
    pub(crate) fn snapshot(&self, to: &Path, with_head: bool) -> Result<Taken> {
        let to = layout::store_dir(to, &self.name, StoreName::Metrics);
        if with_head {
            self.flush()?;
        }
        let begun = StoreSnapshot::begin(&self.context.fs, &self.lock_manifest(), &self.dir, &to)?;
        begun.finish(&mut |_| {})
    }
}
