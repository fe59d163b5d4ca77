//! A scan's conditions on spans, prepared: what they say about a block, a span.

use super::part::{OpenPart, fingerprint};
use super::terms::{pair_hash, span_hash};
use crate::bloom;
use crate::words::{Kind, WordsReader, pair_term};
use model::{Direction, MatchOp, Matcher, Predicate, Result, TimeRange, TraceId};

/// Prepared conditions of one scan.
pub(super) struct Query {
    pub(super) range: TimeRange,
    pub(super) direction: Direction,
    /// Boxed, so that its leaves keep their addresses.
    pub(super) predicate: Box<Predicate>,
    /// The address of each leaf that the index can answer.
    leaves: Vec<usize>,
    needs_bloom: bool,
}

fn address(leaf: &Predicate) -> usize {
    std::ptr::from_ref(leaf) as usize
}

/// A matcher that only spans with a known text satisfy.
fn wanted_text(leaf: &Predicate) -> Option<&Matcher> {
    match leaf {
        Predicate::Field(m) | Predicate::Label(m) if m.op() == MatchOp::Equal && !m.value().is_empty() => {
            Some(m)
        }
        _ => None,
    }
}

/// What the index of a part says about one leaf.
pub(super) struct LeafHits {
    /// Blocks that have it for sure, or by the dictionary; rising.
    blocks: Vec<u32>,
    /// Blocks that may have it when their bloom filter says so too; rising.
    maybe: Vec<u32>,
}

impl Query {
    pub(super) fn new(predicate: &Predicate, range: TimeRange, direction: Direction) -> Self {
        let predicate = Box::new(predicate.clone());
        let leaves = predicate.leaves();
        let is_looked_up =
            |leaf: &&&Predicate| wanted_text(leaf).is_some() || matches!(leaf, Predicate::Trace(_));
        Self {
            range,
            direction,
            leaves: leaves
                .iter()
                .filter(is_looked_up)
                .map(|leaf| address(leaf))
                .collect(),
            needs_bloom: leaves.iter().any(|leaf| matches!(leaf, Predicate::Span(_))),
            predicate,
        }
    }
    /// A time as a number that rises in the scan's direction.
    pub(super) fn key(&self, time_ns: i64) -> i64 {
        match self.direction {
            Direction::Forward => time_ns,
            Direction::Backward => !time_ns,
        }
    }
    /// The key of the first span that may come from a range.
    pub(super) fn first_key(&self, range: &TimeRange) -> i64 {
        match self.direction {
            Direction::Forward => range.start_ns.max(self.range.start_ns),
            Direction::Backward => !range.end_ns.min(self.range.end_ns),
        }
    }
    /// The trace that every span must belong to, if there is one.
    pub(super) fn required_trace(&self) -> Option<TraceId> {
        fn find(predicate: &Predicate) -> Option<TraceId> {
            match predicate {
                Predicate::Trace(id) => Some(*id),
                Predicate::And(parts) => parts.iter().find_map(find),
                _ => None,
            }
        }
        find(&self.predicate)
    }
    /// Whether the word index is of any use.
    pub(super) fn uses_words(&self) -> bool {
        self.predicate
            .leaves()
            .into_iter()
            .any(|leaf| wanted_text(leaf).is_some())
    }
    /// What the indexes of a part say about each leaf in `leaves`; `None` where they could not be read.
    pub(super) fn look_up(
        &self,
        part: &OpenPart,
        words: Option<&WordsReader>,
        mut on_damage: impl FnMut(model::Error) -> Result<()>,
    ) -> Result<Vec<Option<LeafHits>>> {
        let mut hits = Vec::with_capacity(self.leaves.len());
        for leaf in self.predicate.leaves() {
            if !self.leaves.contains(&address(leaf)) {
                continue;
            }
            let found = match (leaf, wanted_text(leaf), words) {
                (Predicate::Trace(id), _, _) => part.blocks_of(&[fingerprint(id)]).map(|blocks| {
                    Some(LeafHits {
                        blocks,
                        maybe: Vec::new(),
                    })
                }),
                (_, Some(m), Some(words)) => words
                    .blocks(Kind::Pair, &pair_term(m.name(), m.value()))
                    .and_then(|blocks| {
                        Ok(Some(LeafHits {
                            blocks,
                            maybe: words.blocks(Kind::Word, m.name().as_bytes())?,
                        }))
                    }),
                _ => Ok(None),
            };
            hits.push(match found {
                Ok(found) => found,
                Err(e) => {
                    on_damage(e)?;
                    None
                }
            });
        }
        Ok(hits)
    }
    /// Whether a block may hold a matching span. Errors only when its bloom filter cannot be read.
    pub(super) fn may_match(&self, part: &OpenPart, block: u32, hits: &[Option<LeafHits>]) -> Result<bool> {
        let info = &part.index.blocks[block as usize];
        let needs_bloom = self.needs_bloom
            || hits
                .iter()
                .flatten()
                .any(|h| h.maybe.binary_search(&block).is_ok() && h.blocks.binary_search(&block).is_err());
        let bits = if needs_bloom {
            part.read_bloom(block)?
        } else {
            Vec::new()
        };
        let verdict = self.predicate.evaluate(&mut |leaf| {
            let is_out = match leaf {
                Predicate::Span(id) => !bloom::may_contain(&bits, span_hash(id)),
                Predicate::Duration { min_ns, max_ns } => {
                    *min_ns > info.max_duration_ns || *max_ns < info.min_duration_ns
                }
                Predicate::Line(_) | Predicate::Metadata(_) => true,
                _ => {
                    let place = self.leaves.iter().position(|a| *a == address(leaf));
                    match place.and_then(|i| hits[i].as_ref()) {
                        None => false,
                        Some(hits) if hits.blocks.binary_search(&block).is_ok() => false,
                        Some(hits) if hits.maybe.binary_search(&block).is_ok() => match wanted_text(leaf) {
                            Some(m) => !bloom::may_contain(&bits, pair_hash(m.name(), m.value())),
                            None => false,
                        },
                        Some(_) => true,
                    }
                }
            };
            is_out.then_some(false)
        });
        Ok(verdict != Some(false))
    }
    /// Whether a span is wanted.
    pub(super) fn matches(&self, row: &super::spans::Row) -> bool {
        self.range.contains(row.span.start_ns) && self.predicate.on_span(&row.group, &row.span)
    }
}
