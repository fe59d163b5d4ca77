//! Choosing series by predicate, the same way in the head and in parts.

use model::{Labels, MatchOp, Matcher, Predicate, Result};

/// What an index of series can say. Ids count from 0 and stand for series in the index's own order.
pub(crate) trait Index {
    /// How many series there are.
    fn len(&self) -> u32;
    /// The ids of the series with a label's value, ascending; empty when there are none.
    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>>;
    /// Hands each value of a label to `wanted`, and gives back the ids of the series with a value for which it
    /// said yes, in any order.
    fn postings_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>>;
    /// The labels of a series.
    fn labels(&self, id: u32) -> Result<Labels>;
    /// Hands a series' value of a label to `visit`, if it has one.
    fn with_value(&self, id: u32, name: &str, visit: &mut dyn FnMut(&str)) -> Result<()>;
    /// The names of all labels, sorted.
    fn names(&self) -> Result<Vec<String>>;
    /// The values of a label, sorted.
    fn values(&self, name: &str) -> Result<Vec<String>>;
}

/// The ids of the series that satisfy a predicate, ascending. Leaves that are not about labels are undecided,
/// and a series whose predicate stays undecided is not selected.
pub(crate) fn select(index: &dyn Index, predicate: &Predicate) -> Result<Vec<u32>> {
    let mut matchers = predicate.required_matchers();
    // Equality first: it is one look-up, and what it leaves bounds the rest.
    matchers.sort_by_key(|m| (m.op() != MatchOp::Equal || m.matches_empty(), m.matches_empty()));
    let mut selected: Option<Vec<u32>> = None;
    for matcher in matchers {
        if selected.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        selected = Some(narrow(index, selected, matcher)?);
    }
    let mut selected = selected.unwrap_or_else(|| (0..index.len()).collect());
    if !is_conjunction(predicate) {
        let mut failed = None;
        selected.retain(|id| match index.labels(*id) {
            Ok(labels) => predicate.on_labels(&labels) == Some(true),
            Err(e) => {
                failed = Some(e);
                false
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
    }
    Ok(selected)
}

/// Whether the required matchers say all that the predicate says.
pub(crate) fn is_conjunction(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Label(_) => true,
        Predicate::And(parts) => parts.iter().all(is_conjunction),
        _ => false,
    }
}

fn narrow(index: &dyn Index, selected: Option<Vec<u32>>, matcher: &Matcher) -> Result<Vec<u32>> {
    if matcher.matches_empty() {
        // Series without the label match too, so it is easier to say which ones do not.
        let mut out = index.postings_where(matcher.name(), &mut |value| !matcher.matches(value))?;
        out.sort_unstable();
        return Ok(match selected {
            Some(ids) => subtract(&ids, &out),
            None => subtract(&(0..index.len()).collect::<Vec<_>>(), &out),
        });
    }
    let found = if matcher.op() == MatchOp::Equal {
        index.postings(matcher.name(), matcher.value())?
    } else {
        let mut found = index.postings_where(matcher.name(), &mut |value| matcher.matches(value))?;
        found.sort_unstable();
        found
    };
    Ok(match selected {
        Some(ids) => intersect(&ids, &found),
        None => found,
    })
}

/// The ids that are in both, by galloping through the longer one.
fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, mut long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut both = Vec::with_capacity(short.len());
    for id in short {
        long = skip_to(long, *id);
        if long.first() == Some(id) {
            both.push(*id);
        }
    }
    both
}

fn subtract(from: &[u32], mut out: &[u32]) -> Vec<u32> {
    let stays = |id: &&u32| {
        out = skip_to(out, **id);
        out.first() != Some(*id)
    };
    from.iter().filter(stays).copied().collect()
}

/// The rest of an ascending list from the first id that is not below `id`.
fn skip_to(list: &[u32], id: u32) -> &[u32] {
    let mut step = 1;
    while step < list.len() && list[step] < id {
        step *= 2;
    }
    let window = &list[..list.len().min(step + 1)];
    &list[window.partition_point(|other| *other < id)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn lists_are_sets(a in prop::collection::btree_set(0u32..300, 0..120), b in prop::collection::btree_set(0u32..300, 0..40)) {
            let list = |s: &BTreeSet<u32>| s.iter().copied().collect::<Vec<_>>();
            let (la, lb) = (list(&a), list(&b));
            prop_assert_eq!(intersect(&la, &lb), list(&a.intersection(&b).copied().collect()));
            prop_assert_eq!(subtract(&la, &lb), list(&a.difference(&b).copied().collect()));
            prop_assert_eq!(subtract(&lb, &la), list(&b.difference(&a).copied().collect()));
        }
    }
}
