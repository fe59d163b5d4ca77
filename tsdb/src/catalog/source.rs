//! What the memory part and a segment have in common: the look-ups of which selecting, merging and counting are made.

use super::SeriesId;
use super::ids::Ids;
use model::{Budget, Error, ErrorKind, Labels, LabelsBuilder, Result};

/// Milliseconds of an hour; times of creation are kept by hours since the epoch.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// A label name with one value, as one source knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// Its number in the source.
    pub number: u32,
    /// How many series have it; in memory perhaps some more than the view may see.
    pub series: u64,
    /// Where its list lies; of no meaning to others than the source.
    pub list_at: u64,
    /// How many bytes its list has: what decoding it costs.
    pub list_bytes: u32,
}

/// A label name, as one source knows it: its pairs are those with a key in this range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub start: u32,
    pub end: u32,
}

impl Name {
    pub(super) fn values(self) -> u64 {
        u64::from(self.end - self.start)
    }
}

/// Takes a copy of a pair's text, so that no lock is held while somebody looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PairText {
    pub name: String,
    pub value: String,
}

impl PairText {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.name.clear();
        self.name.push_str(name);
        self.value.clear();
        self.value.push_str(value);
    }
}

/// One series, as one source knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesRef<'a> {
    /// Its id minus the source's base.
    pub offset: u32,
    /// When it was created, in hours since the epoch.
    pub hour: i64,
    /// The numbers of its pairs, by label name.
    pub pairs: &'a [u32],
}

/// Says what becomes of damage: an error, or a warning and an answer without what can't be read.
#[derive(Clone, Copy, Default)]
pub(super) struct Damage<'a>(pub Option<&'a Budget>);

impl Damage<'_> {
    /// Ok when the damage was noted and the caller goes on without.
    pub(super) fn note(self, error: Error) -> Result<()> {
        match self.0 {
            Some(budget) if error.kind() == ErrorKind::Corrupt => {
                // Once for each query: one page may be met again and again.
                if !budget.warnings().iter().any(|known| known == error.message()) {
                    tracing::error!(%error, "an answer goes without damaged series");
                    budget.warn(error.message());
                }
                Ok(())
            }
            _ => Err(error),
        }
    }
    /// Fails when the query was stopped.
    pub(super) fn check(self) -> Result<()> {
        self.0.map_or(Ok(()), Budget::check)
    }
}

/// A set of series with their labels. Callbacks are called without any lock held.
pub(super) trait Source: Send + Sync {
    /// Offsets count from this id.
    fn base(&self) -> SeriesId;
    /// Which series there are.
    fn all(&self) -> Result<Ids>;
    /// How many pairs; their numbers are below.
    fn pairs(&self) -> u32;
    /// The numbers of the pairs by name and value; `None` when that is the order of the numbers.
    fn sorted_pairs(&self) -> Option<Vec<u32>>;
    /// A pair and its text, by number.
    fn pair(&self, number: u32, text: &mut PairText) -> Result<Pair>;
    /// A pair by its text.
    fn find_pair(&self, name: &str, value: &str) -> Result<Option<Pair>>;
    /// A label name.
    fn name(&self, name: &str) -> Result<Option<Name>>;
    /// All label names, sorted.
    fn names(&self, damage: Damage<'_>) -> Result<Vec<(String, Name)>>;
    /// Hands out the values of a label that start with a prefix, in any order.
    fn scan(
        &self,
        name: &str,
        prefix: &str,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(&str, Pair) -> Result<()>,
    ) -> Result<()>;
    /// Which of a series' pairs has this name.
    fn pair_of(&self, pairs: &[u32], name: Name) -> Option<u32>;
    /// The series that have a pair.
    fn list(&self, pair: &Pair) -> Result<Ids>;
    /// Hands out series in the order of their ids: those of a set that are here, or all that can be read.
    fn series(
        &self,
        ids: Option<&Ids>,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(SeriesRef<'_>) -> Result<()>,
    ) -> Result<()>;
}

/// Series whose labels are made at a time.
const PIECE: usize = 1024;

/// Hands out series with their labels, in the order of their ids. The pairs of many series are read at once, in their
/// own order: pages of values are met one after the other, however the series lie.
pub(super) fn read_labels(
    source: &dyn Source,
    ids: Option<&Ids>,
    damage: Damage<'_>,
    visit: &mut dyn FnMut(u32, Labels) -> Result<()>,
) -> Result<()> {
    let mut piece = Piece::default();
    source.series(ids, damage, &mut |series| {
        piece.pairs.extend_from_slice(series.pairs);
        piece.series.push((series.offset, piece.pairs.len()));
        match piece.series.len() {
            PIECE => piece.finish(source, damage, visit),
            _ => Ok(()),
        }
    })?;
    piece.finish(source, damage, visit)
}

#[derive(Default)]
struct Piece {
    /// Offsets, each with the end of its pairs.
    series: Vec<(u32, usize)>,
    pairs: Vec<u32>,
}

impl Piece {
    fn finish(
        &mut self,
        source: &dyn Source,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(u32, Labels) -> Result<()>,
    ) -> Result<()> {
        let texts = Texts::read(source, &self.pairs, damage)?;
        let mut start = 0;
        for (offset, end) in self.series.drain(..) {
            let mut builder = LabelsBuilder::default();
            let readable = self.pairs[start..end].iter().all(|pair| match texts.get(*pair) {
                Some((name, value)) => {
                    builder.push(name, value);
                    true
                }
                // A series with a label that can't be read can't be shown.
                None => false,
            });
            start = end;
            if readable {
                visit(offset, builder.build())?;
            }
        }
        self.pairs.clear();
        Ok(())
    }
}

/// The texts of some pairs.
struct Texts {
    /// Sorted.
    pairs: Vec<u32>,
    text: String,
    /// For each pair where its name starts, where its value starts, and where that ends; `None` when it can't be read.
    places: Vec<Option<(usize, usize, usize)>>,
}

impl Texts {
    fn read(source: &dyn Source, pairs: &[u32], damage: Damage<'_>) -> Result<Self> {
        let mut pairs = pairs.to_vec();
        pairs.sort_unstable();
        pairs.dedup();
        let (mut text, mut pair_text) = (String::new(), PairText::default());
        let mut places = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            match source.pair(*pair, &mut pair_text) {
                Ok(_) => {
                    let start = text.len();
                    text.push_str(&pair_text.name);
                    let middle = text.len();
                    text.push_str(&pair_text.value);
                    places.push(Some((start, middle, text.len())));
                }
                Err(e) => {
                    damage.note(e)?;
                    places.push(None);
                }
            }
        }
        Ok(Self { pairs, text, places })
    }
    fn get(&self, pair: u32) -> Option<(&str, &str)> {
        let at = self.pairs.binary_search(&pair).ok()?;
        let (start, middle, end) = self.places[at]?;
        Some((&self.text[start..middle], &self.text[middle..end]))
    }
}
