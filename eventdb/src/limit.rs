//! Stops a scan once it gave as many rows as wanted and nothing later can be better.

use std::collections::BinaryHeap;

/// Remembers the best rows that were given out. Keys rise in the scan's direction: small is good.
pub(crate) struct Limit {
    pub(crate) rows: usize,
    /// The keys of the best rows so far, the worst on top.
    best: BinaryHeap<i64>,
}

impl Limit {
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            rows,
            best: BinaryHeap::new(),
        }
    }
    pub(crate) fn note(&mut self, key: i64) {
        self.best.push(key);
        if self.best.len() > self.rows {
            self.best.pop();
        }
    }
    /// Whether rows from this key on cannot matter any more. A row as good as the worst may still be wanted.
    pub(crate) fn is_over(&self, next_key: i64) -> bool {
        self.rows == 0
            || self.best.len() >= self.rows && self.best.peek().is_some_and(|worst| next_key > *worst)
    }
}
