//! The first so many series of a memory part, as a source.

use super::{Inner, MemoryPart};
use crate::bytes::bad;
use crate::catalog::SeriesId;
use crate::catalog::ids::Ids;
use crate::catalog::source::{Damage, Name, Pair, PairText, SeriesRef, Source};
use model::Result;
use std::ops::Range;
use std::sync::Arc;

/// How many series or values are copied in one go; meanwhile nobody inserts.
const PIECE: usize = 256;

/// A consistent look at a memory part: what came later is not in it.
#[derive(Clone)]
pub(in crate::catalog) struct MemoryView {
    part: Arc<MemoryPart>,
    /// Positions in view are below.
    bound: u32,
    base: SeriesId,
    order: Order,
}

/// How positions and ids go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Each id is one more than the one before.
    Dense,
    /// Each id is above the one before.
    Ascending,
    Mixed,
}

impl MemoryView {
    /// `None` when the part is empty.
    pub(in crate::catalog) fn of(part: &Arc<MemoryPart>) -> Option<Self> {
        let inner = part.read();
        let (low, high) = inner.span?;
        let order = match inner.is_ascending {
            true if high - low + 1 == inner.ids.len() as u64 => Order::Dense,
            true => Order::Ascending,
            false => Order::Mixed,
        };
        Some(Self {
            part: part.clone(),
            bound: inner.ids.len() as u32,
            base: low,
            order,
        })
    }

    fn ids(&self, inner: &Inner, positions: impl Iterator<Item = Range<u32>>) -> Ids {
        let offset = |position: u32| (inner.ids[position as usize] - self.base) as u32;
        match self.order {
            Order::Dense => {
                let mut ids = Ids::default();
                positions.for_each(|run| ids.push(run));
                ids
            }
            Order::Ascending => Ids::from_sorted(positions.flatten().map(offset)),
            Order::Mixed => Ids::from_unsorted(positions.flatten().map(offset).map(|o| o..o + 1).collect()),
        }
    }
    fn position(&self, inner: &Inner, offset: u32) -> Option<u32> {
        let position = match self.order {
            Order::Dense => Some(offset),
            _ => inner.position(self.part.seed, self.base + u64::from(offset)),
        };
        position.filter(|p| *p < self.bound)
    }
    /// A pair, unless it came after the view was taken.
    fn visible(&self, inner: &Inner, number: u32) -> Option<Pair> {
        let postings = &inner.pairs.get(number as usize)?.postings;
        let is_visible = postings.first().is_some_and(|first| first < self.bound);
        is_visible.then(|| Pair {
            number,
            series: u64::from(postings.len().min(self.bound)),
            list_at: 0,
            list_bytes: postings.list_bytes(),
        })
    }
}

impl Source for MemoryView {
    fn base(&self) -> SeriesId {
        self.base
    }
    fn all(&self) -> Result<Ids> {
        Ok(self.ids(&self.part.read(), std::iter::once(0..self.bound)))
    }
    fn pairs(&self) -> u32 {
        self.part.read().pairs.len() as u32
    }
    fn sorted_pairs(&self) -> Option<Vec<u32>> {
        let inner = self.part.read();
        let mut names: Vec<u32> = (0..inner.names.len() as u32).collect();
        names.sort_unstable_by_key(|n| inner.name_text(*n));
        let mut sorted = Vec::with_capacity(inner.pairs.len());
        for name in names {
            let start = sorted.len();
            let pairs = inner.names[name as usize].pairs.iter().copied();
            sorted.extend(pairs.filter(|p| self.visible(&inner, *p).is_some()));
            sorted[start..].sort_unstable_by_key(|p| inner.value_text(*p));
        }
        Some(sorted)
    }
    fn pair(&self, number: u32, text: &mut PairText) -> Result<Pair> {
        let inner = self.part.read();
        let pair = self
            .visible(&inner, number)
            .ok_or_else(|| bad("there is no such pair"))?;
        let name = inner.pairs[number as usize].name;
        text.set(inner.name_text(name), inner.value_text(number));
        Ok(pair)
    }
    fn find_pair(&self, name: &str, value: &str) -> Result<Option<Pair>> {
        let inner = self.part.read();
        let seed = self.part.seed;
        let number = inner
            .find_name(seed, name)
            .and_then(|name| inner.find_value(seed, name, value));
        Ok(number.and_then(|number| self.visible(&inner, number)))
    }
    fn name(&self, name: &str) -> Result<Option<Name>> {
        let inner = self.part.read();
        Ok(inner.find_name(self.part.seed, name).map(|start| Name {
            start,
            end: start.saturating_add(inner.names[start as usize].pairs.len() as u32),
        }))
    }
    fn names(&self, _: Damage<'_>) -> Result<Vec<(String, Name)>> {
        let mut names: Vec<String> = {
            let inner = self.part.read();
            // The first pair of a name came with the name.
            let seen = |name: &u32| {
                let first = inner.names[*name as usize].pairs.first();
                first.is_some_and(|pair| self.visible(&inner, *pair).is_some())
            };
            let names = (0..inner.names.len() as u32).filter(seen);
            names.map(|n| inner.name_text(n).to_owned()).collect()
        };
        names.sort_unstable();
        let with_place = |name: String| Ok(self.name(&name)?.map(|place| (name, place)));
        names
            .into_iter()
            .filter_map(|name| with_place(name).transpose())
            .collect()
    }
    fn scan(
        &self,
        name: &str,
        prefix: &str,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(&str, Pair) -> Result<()>,
    ) -> Result<()> {
        let Some(name) = self.name(name)? else {
            return Ok(());
        };
        let (mut text, mut found) = (String::new(), Vec::new());
        for from in (0..).step_by(PIECE) {
            damage.check()?;
            text.clear();
            found.clear();
            {
                let inner = self.part.read();
                let pairs = &inner.names[name.start as usize].pairs;
                let Some(rest) = pairs.get(from..).filter(|rest| !rest.is_empty()) else {
                    return Ok(());
                };
                for number in &rest[..rest.len().min(PIECE)] {
                    let value = inner.value_text(*number);
                    if let Some(pair) = self
                        .visible(&inner, *number)
                        .filter(|_| value.starts_with(prefix))
                    {
                        text.push_str(value);
                        found.push((text.len(), pair));
                    }
                }
            }
            let mut start = 0;
            for (end, pair) in &found {
                visit(&text[start..*end], *pair)?;
                start = *end;
            }
        }
        Ok(())
    }
    fn pair_of(&self, pairs: &[u32], name: Name) -> Option<u32> {
        let inner = self.part.read();
        pairs
            .iter()
            .copied()
            .find(|pair| inner.pairs[*pair as usize].name == name.start)
    }
    fn list(&self, pair: &Pair) -> Result<Ids> {
        let inner = self.part.read();
        let postings = &inner
            .pairs
            .get(pair.number as usize)
            .ok_or_else(|| bad("there is no such pair"))?
            .postings;
        Ok(self.ids(&inner, postings.runs(self.bound)))
    }
    fn series(
        &self,
        ids: Option<&Ids>,
        damage: Damage<'_>,
        visit: &mut dyn FnMut(SeriesRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let all;
        let ids = match ids {
            Some(ids) => ids,
            None => {
                all = self.all()?;
                &all
            }
        };
        let mut offsets = ids.iter().peekable();
        let (mut found, mut refs) = (Vec::with_capacity(PIECE), Vec::new());
        while offsets.peek().is_some() {
            damage.check()?;
            found.clear();
            refs.clear();
            {
                let inner = self.part.read();
                for offset in offsets.by_ref().take(PIECE) {
                    if let Some(position) = self.position(&inner, offset) {
                        refs.extend_from_slice(inner.refs_of(position));
                        found.push((offset, inner.hour(position), refs.len()));
                    }
                }
            }
            let mut start = 0;
            for (offset, hour, end) in &found {
                visit(SeriesRef {
                    offset: *offset,
                    hour: *hour,
                    pairs: &refs[start..*end],
                })?;
                start = *end;
            }
        }
        Ok(())
    }
}
