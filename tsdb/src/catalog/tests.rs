//! Tests of the catalog: against a plain model, with damage and crashes, and a kept sample.

mod damage;
mod model_based;
mod sample;
mod sizes;
mod workload;

use super::*;
use ::model::{Budget, MatchOp, Matcher, Predicate};
use std::path::Path;
use storage::{FaultyFs, layout};

const STORE: &str = "/m/t";

/// A catalog on a faulty disk, with a manifest that is kept by hand.
struct World {
    fs: Arc<FaultyFs>,
    cache: Arc<Cache>,
    catalog: Catalog,
    manifest: Vec<SegmentEntry>,
    next_file: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let fs = Arc::new(FaultyFs::new(seed));
        fs.create_dir_all(&layout::parts_dir(Path::new(STORE))).unwrap();
        let cache = Arc::new(Cache::new(8 << 20));
        let catalog = Catalog::open(fs.clone(), STORE.into(), &[], cache.clone()).unwrap();
        Self {
            fs,
            cache,
            catalog,
            manifest: Vec::new(),
            next_file: 1,
        }
    }
    fn file(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }
    /// Stores the manifest and tells the catalog.
    fn replace(&mut self, gone: &[u64], added: Option<SegmentEntry>) {
        let added: Vec<_> = added.into_iter().collect();
        self.manifest.retain(|entry| !gone.contains(&entry.id));
        self.manifest.extend(added.iter().cloned());
        self.catalog.replace(gone, &added).unwrap();
        for id in gone {
            self.fs.remove_file(&path_of(*id)).unwrap();
        }
    }
    fn persist(&mut self) {
        let file = self.file();
        let entry = self.catalog.write_memory(file).unwrap();
        self.replace(&[], entry);
    }
    fn merge(&mut self, ids: &[u64], is_alive: &dyn Fn(SeriesId) -> bool) {
        let file = self.file();
        let entry = self.catalog.merge(ids, file, is_alive).unwrap();
        self.replace(ids, entry);
    }
    fn reopen(&mut self) {
        self.catalog =
            Catalog::open(self.fs.clone(), STORE.into(), &self.manifest, self.cache.clone()).unwrap();
    }
    fn segment_ids(&self) -> Vec<u64> {
        self.manifest.iter().map(|entry| entry.id).collect()
    }
}

fn path_of(id: u64) -> PathBuf {
    layout::part_file(Path::new(STORE), id)
}
fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}
fn select(view: &View, predicate: &Predicate) -> Vec<SeriesId> {
    view.select(predicate, &Budget::unlimited()).unwrap()
}
fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}
fn all_labels(view: &View, ids: &[SeriesId]) -> Vec<(SeriesId, Labels)> {
    let mut found = Vec::new();
    let mut take = |id, labels: &Labels| {
        found.push((id, labels.clone()));
        Ok(())
    };
    view.labels(ids, &mut take).unwrap();
    found
}
