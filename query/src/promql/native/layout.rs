//! Sorted lists of buckets: putting them together, and moving them to other indexes.

use super::{MAX_BUCKETS, Refused};
use crate::columns::kahan;

/// A count, plain or with the correction of its rounding.
pub(super) trait Number: Copy {
    fn of(value: f64) -> Self;
    fn increase(&mut self, by: Self);
    fn value(self) -> f64;
    fn map(self, f: impl Fn(f64) -> f64) -> Self;
    fn is_zero(self) -> bool;
}

impl Number for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn increase(&mut self, by: Self) {
        *self += by;
    }
    fn value(self) -> f64 {
        self
    }
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        f(self)
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

impl Number for kahan::Sum {
    fn of(value: f64) -> Self {
        Self::of(value)
    }
    fn increase(&mut self, by: Self) {
        self.add_sum(by);
    }
    fn value(self) -> f64 {
        Self::value(&self)
    }
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self::map(self, f)
    }
    fn is_zero(self) -> bool {
        Self::value(&self) == 0.0
    }
}

/// Adds buckets whose indexes do not fall. Room is made only for those that are not there yet.
pub(super) fn merge<N: Number>(
    into: &mut Vec<(i32, N)>,
    from: impl Iterator<Item = (i32, N)> + Clone,
) -> Result<(), Refused> {
    let (known, mut at) = (into.len(), 0);
    for (index, _) in from.clone() {
        while at < known && into[at].0 < index {
            at += 1;
        }
        let is_known = at < known && into[at].0 == index;
        let is_new = into[known..].last().is_none_or(|(last, _)| *last != index);
        if !is_known && is_new {
            into.push((index, N::of(0.0)));
        }
    }
    if into.len() > MAX_BUCKETS {
        return Err(Refused::TooManyBuckets);
    }
    if into.len() > known {
        into.sort_by_key(|(index, _)| *index);
    }
    let mut at = 0;
    for (index, count) in from {
        while into.get(at).is_some_and(|(i, _)| *i < index) {
            at += 1;
        }
        if let Some((_, sum)) = into.get_mut(at) {
            sum.increase(count);
        }
    }
    Ok(())
}

/// Gives buckets other indexes, which do not fall; those that come to the same one are added up.
pub(super) fn remap<N: Number>(list: &mut Vec<(i32, N)>, map: impl Fn(i32) -> i32) {
    let mut kept = 0;
    for i in 0..list.len() {
        let (index, count) = list[i];
        let index = map(index);
        match list[..kept].last_mut() {
            Some((last, sum)) if *last == index => sum.increase(count),
            _ => {
                list[kept] = (index, count);
                kept += 1;
            }
        }
    }
    list.truncate(kept);
}

/// The bounds that both lists have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut b = b.iter().peekable();
    let is_common = |bound: &&f64| {
        while b.next_if(|other| *other < *bound).is_some() {}
        b.next_if(|other| *other == *bound).is_some()
    };
    a.iter().filter(is_common).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_put_together() {
        let check = |into: &[(i32, f64)], from: &[(i32, f64)], expected: &[(i32, f64)]| {
            let mut list = into.to_vec();
            merge(&mut list, from.iter().copied()).unwrap();
            assert_eq!(list, expected);
        };
        check(&[], &[], &[]);
        check(&[], &[(3, 1.0)], &[(3, 1.0)]);
        check(&[(3, 1.0)], &[], &[(3, 1.0)]);
        check(
            &[(1, 1.0), (2, 2.0)],
            &[(1, 3.0), (2, 4.0)],
            &[(1, 4.0), (2, 6.0)],
        );
        check(
            &[(1, 1.0), (5, 2.0)],
            &[(-2, 1.0), (3, 4.0), (5, 1.0), (9, 7.0)],
            &[(-2, 1.0), (1, 1.0), (3, 4.0), (5, 3.0), (9, 7.0)],
        );
        check(
            &[(1, 1.0)],
            &[(0, 1.0), (0, 2.0), (1, 3.0), (1, 4.0)],
            &[(0, 3.0), (1, 8.0)],
        );
    }
}
