//! `meta.json`: what a block says of itself.

use model::{Error, Result};
use serde::Deserialize;

/// What a block says of itself. Unknown keys are left alone: Prometheus adds some now and then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The block's name, which is that of its folder too.
    pub ulid: String,
    /// Every sample is at this time or later, in milliseconds since the epoch.
    pub min_time: i64,
    /// Every sample is before this time, in milliseconds since the epoch.
    pub max_time: i64,
    /// What is in the block.
    #[serde(default)]
    pub stats: Stats,
    version: u32,
}

/// Counts of what is in a block; deleted samples are counted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples and histograms.
    pub num_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
}

impl Meta {
    /// Reads the file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`model::ErrorKind::Corrupt`] for text that is not a `meta.json`, and for a version other than 1.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self> {
        let meta: Self = serde_json::from_slice(text)
            .map_err(|e| Error::corrupt(format!("{name} is not the meta.json of a block: {e}")))?;
        if meta.version != 1 {
            return Err(Error::corrupt(format!(
                "{name}: version {} is not known to this version",
                meta.version
            )));
        }
        Ok(meta)
    }
}
