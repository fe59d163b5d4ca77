//! Snapshots of all three stores while they run.

use super::Stores;
use model::{Error, Result};
use std::hash::{BuildHasher as _, RandomState};
use storage::Taken;
use storage::snapshot::Listed;
use tokio::task::spawn_blocking;

impl Stores {
    /// Takes a snapshot of metrics, logs and traces, and gives its name. What was acknowledged before is in it; with
    /// `skip_head` only what was flushed before.
    pub async fn snapshot(&self, skip_head: bool) -> Result<String> {
        self.blocking(move |stores| {
            let name = name(stores.clock.now_ns());
            let taken = stores.snapshots.create(&name, |to| {
                let mut taken: Taken = stores.metrics.snapshot(to, skip_head)?;
                taken += stores.logs.snapshot(to, skip_head)?;
                taken += stores.traces.snapshot(to, skip_head)?;
                Ok(taken)
            });
            match taken {
                Ok(Taken {
                    files,
                    bytes,
                    copied_bytes,
                    ..
                }) => tracing::info!(name, files, bytes, copied_bytes, "a snapshot was taken"),
                Err(e) => return Err(e.within("no snapshot was taken")),
            }
            Ok(name)
        })
        .await
    }
    /// All snapshots, the oldest first.
    pub async fn snapshots(&self) -> Result<Vec<Listed>> {
        self.blocking(|stores| stores.snapshots.list()).await
    }
    /// Removes a snapshot.
    pub async fn remove_snapshot(&self, name: String) -> Result<()> {
        self.blocking(move |stores| {
            stores.snapshots.remove(&name)?;
            tracing::info!(name, "a snapshot was removed");
            Ok(())
        })
        .await
    }
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let stores = self.clone();
        let done = spawn_blocking(move || act(&stores)).await;
        done.map_err(|e| Error::internal(format!("work on snapshots ended in a bug: {e}")))?
    }
}

/// The time in UTC, and 16 digits so that two of one second differ: `20261121T171500Z-0123456789abcdef`.
fn name(now_ns: i64) -> String {
    let seconds = now_ns.div_euclid(model::time::NS_PER_S) * model::time::NS_PER_S;
    let time = wire::rfc3339::format_ns(seconds)
        .replace(".000000000", "")
        .replace(['-', ':'], "");
    format!("{time}-{:016x}", RandomState::new().hash_one(now_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_is_one() {
        let name = name(1_795_281_300_123_456_789);
        assert!(name.starts_with("20261121T171500Z-"), "{name}");
        assert!(storage::snapshot::is_name(&name), "{name}");
    }
}
