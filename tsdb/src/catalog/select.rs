//! Choosing the series of one source by predicate.
//!
//! What costs little and leaves little comes first: equality, then regular expressions, then what is to be left out.
//! A condition whose postings would cost more to read than the labels of the series that are left is checked on those
//! labels instead. The costs are rough, in nanoseconds.

use super::ids::Ids;
use super::matching::{Condition, Values};
use super::source::{Damage, Name, Pair, PairText, Source, read_labels};
use model::{Budget, Labels, Matcher, Predicate, Result};
use std::collections::HashMap;

/// Reading a byte of a list.
const LIST_BYTE: u64 = 2;
/// Looking at a value, the expression included.
const VALUE: u64 = 80;
/// Decoding the labels of a series, …
const SERIES: u64 = 60;
/// … and of those before it in its block, for the first of neighbours.
const NEIGHBOURS: u64 = 800;

/// What checking series on their labels costs.
fn check_cost(ids: &Ids) -> u64 {
    ids.runs().len() as u64 * NEIGHBOURS + ids.len() * SERIES
}

/// A predicate, prepared for all sources.
pub(super) struct Plan<'a> {
    predicate: &'a Predicate,
    conditions: Vec<Condition<'a>>,
    /// Whether the conditions say all that the predicate says.
    is_conjunction: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn of(predicate: &'a Predicate) -> Self {
        Self {
            predicate,
            conditions: predicate
                .required_matchers()
                .into_iter()
                .map(Condition::of)
                .collect(),
            is_conjunction: is_conjunction(predicate),
        }
    }
    /// The offsets of the series that satisfy the predicate; a series whose labels alone do not decide is not selected.
    /// Damage is always an error here: an index that lacks something can't be trusted.
    pub(super) fn select(&self, source: &dyn Source, budget: &Budget) -> Result<Ids> {
        let mut narrowing = Narrowing {
            source,
            budget,
            candidates: None,
            deferred: Vec::new(),
        };
        let (positive, negative): (Vec<_>, Vec<_>) = self.conditions.iter().partition(|c| c.is_positive);
        for conditions in [positive, negative] {
            if !narrowing.by_exact_values(&conditions)? || !narrowing.by_scans(&conditions)? {
                return Ok(Ids::default());
            }
        }
        let Narrowing {
            candidates, deferred, ..
        } = narrowing;
        let candidates = match candidates {
            Some(candidates) => candidates,
            None => source.all()?,
        };
        if self.is_conjunction && deferred.is_empty() {
            return Ok(candidates);
        }
        let mut check = Check::new(source);
        let mut selected = Ids::default();
        source.series(Some(&candidates), Damage::default(), &mut |series| {
            if series.offset.is_multiple_of(1024) {
                budget.check()?;
            }
            for condition in &deferred {
                if !check.matches(condition.matcher, series.pairs)? {
                    return Ok(());
                }
            }
            if self.is_conjunction || check.satisfies(self.predicate, series.pairs)? {
                selected.push(series.offset..series.offset + 1);
            }
            Ok(())
        })?;
        Ok(selected)
    }
    /// The same without the index: by the labels of all series that can be read.
    pub(super) fn select_by_labels(&self, source: &dyn Source, damage: Damage<'_>) -> Result<Ids> {
        let mut selected = Ids::default();
        read_labels(source, None, damage, &mut |offset, labels| {
            if self.predicate.on_labels(&labels) == Some(true) {
                selected.push(offset..offset + 1);
            }
            Ok(())
        })?;
        Ok(selected)
    }
}

fn is_conjunction(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Label(_) => true,
        Predicate::And(parts) => parts.iter().all(is_conjunction),
        _ => false,
    }
}

struct Narrowing<'s, 'c> {
    source: &'s dyn Source,
    budget: &'s Budget,
    /// `None`: nothing has been said yet.
    candidates: Option<Ids>,
    /// What is to be checked on the labels.
    deferred: Vec<&'c Condition<'c>>,
}

impl<'c> Narrowing<'_, 'c> {
    /// The conditions whose deciding values are known. False: nothing is left.
    fn by_exact_values(&mut self, conditions: &[&'c Condition<'c>]) -> Result<bool> {
        let mut found = Vec::new();
        for condition in conditions {
            let Values::Exactly(values) = &condition.values else {
                continue;
            };
            let mut pairs = Vec::new();
            for value in values {
                pairs.extend(self.source.find_pair(condition.matcher.name(), value)?);
            }
            if pairs.is_empty() && condition.is_positive {
                return Ok(false);
            }
            found.push((*condition, pairs));
        }
        found.sort_by_key(|(_, pairs)| pairs.iter().map(|p| p.series).sum::<u64>());
        for (condition, pairs) in found {
            if !self.apply(condition, &pairs)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
    /// The conditions for which values have to be looked at. False: nothing is left.
    fn by_scans(&mut self, conditions: &[&'c Condition<'c>]) -> Result<bool> {
        let mut found = Vec::new();
        for condition in conditions {
            if !matches!(condition.values, Values::Exactly(_)) {
                let name = self.source.name(condition.matcher.name())?;
                found.push((*condition, name.map_or(0, Name::values)));
            }
        }
        // To take a label that exists selects much: last.
        found.sort_by_key(|(condition, values)| (condition.values == Values::Any, *values));
        for (condition, values) in found {
            let cost = values * VALUE;
            if self.candidates.as_ref().is_some_and(|ids| check_cost(ids) < cost) {
                self.deferred.push(condition);
                continue;
            }
            let prefix = match &condition.values {
                Values::Tested { prefix } => prefix.as_str(),
                _ => "",
            };
            let is_any = condition.values == Values::Any;
            let mut pairs = Vec::new();
            let mut looked_at = 0u32;
            let name = condition.matcher.name();
            self.source
                .scan(name, prefix, Damage::default(), &mut |value, pair| {
                    looked_at += 1;
                    if looked_at.is_multiple_of(1024) {
                        self.budget.check()?;
                    }
                    if is_any || condition.decides(value) {
                        pairs.push(pair);
                    }
                    Ok(())
                })?;
            if !self.apply(condition, &pairs)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
    /// Takes what has one of the pairs, or what has none. False: nothing is left.
    fn apply(&mut self, condition: &'c Condition<'c>, pairs: &[Pair]) -> Result<bool> {
        if !condition.is_positive && pairs.is_empty() {
            return Ok(true);
        }
        let cost = pairs.iter().map(|p| u64::from(p.list_bytes)).sum::<u64>() * LIST_BYTE;
        if let Some(ids) = &self.candidates
            && check_cost(ids) < cost
        {
            self.deferred.push(condition);
            return Ok(true);
        }
        let listed = self.union(pairs)?;
        let left = match (condition.is_positive, &self.candidates) {
            (true, None) => listed,
            (true, Some(ids)) => ids.intersect(&listed),
            (false, None) => self.source.all()?.subtract(&listed),
            (false, Some(ids)) => ids.subtract(&listed),
        };
        let is_left = !left.is_empty();
        self.candidates = Some(left);
        Ok(is_left)
    }
    fn union(&self, pairs: &[Pair]) -> Result<Ids> {
        if let [pair] = pairs {
            return self.source.list(pair);
        }
        let mut runs = Vec::new();
        for (at, pair) in pairs.iter().enumerate() {
            if at % 256 == 255 {
                self.budget.check()?;
            }
            runs.extend_from_slice(self.source.list(pair)?.runs());
        }
        Ok(Ids::from_unsorted(runs))
    }
}

/// Evaluates matchers on the pairs of series; each pair is looked at once.
struct Check<'s> {
    source: &'s dyn Source,
    /// By the place of the matcher, which does not move while the predicate is borrowed.
    matchers: HashMap<usize, Memo>,
    text: PairText,
}

struct Memo {
    name: Option<Name>,
    on_empty: bool,
    on_pair: HashMap<u32, bool>,
}

impl<'s> Check<'s> {
    fn new(source: &'s dyn Source) -> Self {
        Self {
            source,
            matchers: HashMap::new(),
            text: PairText::default(),
        }
    }
    fn matches(&mut self, matcher: &Matcher, pairs: &[u32]) -> Result<bool> {
        let key = std::ptr::from_ref(matcher) as usize;
        let memo = match self.matchers.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Memo {
                name: self.source.name(matcher.name())?,
                on_empty: matcher.matches_empty(),
                on_pair: HashMap::new(),
            }),
        };
        let Some(pair) = memo.name.and_then(|name| self.source.pair_of(pairs, name)) else {
            return Ok(memo.on_empty);
        };
        if let Some(known) = memo.on_pair.get(&pair) {
            return Ok(*known);
        }
        self.source.pair(pair, &mut self.text)?;
        let matches = matcher.matches(&self.text.value);
        memo.on_pair.insert(pair, matches);
        Ok(matches)
    }
    fn satisfies(&mut self, predicate: &Predicate, pairs: &[u32]) -> Result<bool> {
        let mut failed = None;
        let decided = predicate.evaluate(&mut |leaf| match leaf {
            Predicate::Label(matcher) => match self.matches(matcher, pairs) {
                Ok(matches) => Some(matches),
                Err(e) => {
                    failed = Some(e);
                    None
                }
            },
            _ => None,
        });
        failed.map_or(Ok(decided == Some(true)), Err)
    }
}

/// The series with exactly these labels, by the postings of its rarest pairs.
pub(super) fn find(source: &dyn Source, labels: &Labels) -> Result<Option<u32>> {
    let mut wanted: Vec<(&str, &str)> = labels.iter().collect();
    // A long value is most likely one of few series, or not here at all.
    wanted.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    let mut pairs = Vec::with_capacity(wanted.len());
    for (name, value) in wanted {
        match source.find_pair(name, value)? {
            Some(pair) => pairs.push(pair),
            None => return Ok(None),
        }
    }
    pairs.sort_unstable_by_key(|p| p.series);
    let mut candidates = match pairs.first() {
        Some(rarest) => source.list(rarest)?,
        None => source.all()?,
    };
    for pair in pairs.iter().skip(1) {
        if candidates.is_empty() {
            return Ok(None);
        }
        if u64::from(pair.list_bytes) * LIST_BYTE > check_cost(&candidates) {
            break;
        }
        candidates = candidates.intersect(&source.list(pair)?);
    }
    let mut numbers: Vec<u32> = pairs.iter().map(|p| p.number).collect();
    numbers.sort_unstable();
    let mut found = None;
    source.series(Some(&candidates), Damage::default(), &mut |series| {
        // The numbers are unique in both, and as many.
        let same = series.pairs.len() == numbers.len()
            && series
                .pairs
                .iter()
                .all(|pair| numbers.binary_search(pair).is_ok());
        if same && found.is_none() {
            found = Some(series.offset);
        }
        Ok(())
    })?;
    Ok(found)
}
