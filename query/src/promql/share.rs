//! Parts of a query that occur more than once, evaluated once.

use super::ast::{Expr, Node};
use super::eval::Evaluator;
use super::notes::Notes;
use crate::columns::{Column, Steps, charge, charge_histograms};
use model::Result;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// What is known of repeated parts.
#[derive(Default)]
pub(crate) struct Shared<'a> {
    /// The texts of the largest parts that occur more than once.
    repeated: HashSet<Key<'a>>,
    done: RefCell<HashMap<(Key<'a>, Steps), Done>>,
}

/// Text, and whether a selector in it finds resets, which is up to what is around it.
type Key<'a> = (&'a str, bool);

fn key<'a>(expr: &Expr, query: &'a str) -> Key<'a> {
    (expr.text(query), finds_resets(expr))
}

fn finds_resets(expr: &Expr) -> bool {
    match &expr.node {
        Node::Selector(s) => s.finds_resets,
        Node::Range(r) => r.selector.finds_resets,
        _ => expr.children().into_iter().any(finds_resets),
    }
}

/// A part that was evaluated.
struct Done {
    columns: Vec<Column>,
    /// What came up, with places as of the occurrence that was evaluated.
    notes: Notes,
    place: usize,
}

impl<'a> Shared<'a> {
    /// Looks for repeated parts. Equal texts mean equal things: all names and times of a query are the same everywhere
    /// in it but for the steps of subqueries, which are part of the key.
    pub(crate) fn of(expr: &Expr, query: &'a str) -> Self {
        let mut counts = HashMap::new();
        count(expr, query, &mut counts);
        let mut repeated = HashSet::new();
        if counts.values().any(|n| *n > 1) {
            mark(expr, query, 1, &counts, &mut repeated);
        }
        Self {
            repeated,
            done: RefCell::default(),
        }
    }
}

/// Whether it pays to keep the value of a part: it reads from the store.
fn reads(expr: &Expr) -> bool {
    matches!(
        expr.node,
        Node::Selector(_) | Node::Aggregate(_) | Node::Call(_) | Node::Binary(_)
    )
}

fn count<'a>(expr: &Expr, query: &'a str, counts: &mut HashMap<Key<'a>, usize>) {
    if reads(expr) {
        *counts.entry(key(expr, query)).or_default() += 1;
    }
    for child in expr.children() {
        count(child, query, counts);
    }
}

fn mark<'a>(
    expr: &Expr,
    query: &'a str,
    of_parent: usize,
    counts: &HashMap<Key<'a>, usize>,
    repeated: &mut HashSet<Key<'a>>,
) {
    let key = key(expr, query);
    let own = match reads(expr) {
        true => counts.get(&key).copied().unwrap_or(1),
        false => of_parent,
    };
    // What occurs as often as what it is part of is evaluated with it.
    if reads(expr) && own > of_parent {
        repeated.insert(key);
    }
    for child in expr.children() {
        mark(child, query, own, counts, repeated);
    }
}

impl Evaluator<'_> {
    /// Whether a part occurs more than once.
    pub(crate) fn is_repeated(&self, expr: &Expr) -> bool {
        !self.shared.repeated.is_empty() && self.shared.repeated.contains(&key(expr, self.query))
    }
    /// Evaluates a vector once for all its occurrences.
    pub(crate) fn once(
        &self,
        expr: &Expr,
        steps: Steps,
        evaluate: impl FnOnce() -> Result<Vec<Column>>,
    ) -> Result<Vec<Column>> {
        if !self.is_repeated(expr) {
            return evaluate();
        }
        let key = (key(expr, self.query), steps);
        if let Some(done) = self.shared.done.borrow().get(&key) {
            self.notes
                .borrow_mut()
                .take_over(&done.notes, done.place, expr.place);
            self.charge_copy(&done.columns, steps)?;
            if let Some(explaining) = &self.explaining {
                explaining.borrow_mut().is_repeated();
            }
            return Ok(done.columns.clone());
        }
        let others = self.notes.take();
        let evaluated = evaluate();
        let notes = self.notes.replace(others);
        self.notes.borrow_mut().take_over(&notes, expr.place, expr.place);
        let columns = evaluated?;
        self.charge_copy(&columns, steps)?;
        let done = Done {
            columns: columns.clone(),
            notes,
            place: expr.place,
        };
        self.shared.done.borrow_mut().insert(key, done);
        Ok(columns)
    }

    fn charge_copy(&self, columns: &[Column], steps: Steps) -> Result<()> {
        charge(self.budget, columns.len(), steps)?;
        columns.iter().try_for_each(|c| charge_histograms(self.budget, c))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Times, plan};
    use super::*;

    #[test]
    fn the_largest_repeated_parts_are_found() {
        let check = |query: &str, expected: &[&str]| {
            let expr = plan(query, Times::at(0)).unwrap();
            let repeated = Shared::of(&expr, query).repeated.into_iter();
            let mut found: Vec<&str> = repeated.map(|(text, _)| text).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{query}");
        };
        check("a + b", &[]);
        check("a / (a + b)", &["a"]);
        check("sum(rate(a[5m])) / sum(rate(a[5m]))", &["sum(rate(a[5m]))"]);
        check(
            "rate(a[5m]) + sum(rate(a[5m])) + sum(rate(a[5m]))",
            &["rate(a[5m])", "sum(rate(a[5m]))"],
        );
        check("histogram_count(a) / histogram_quantile(0.5, a)", &[]);
        check("1 + 1", &[]);
    }
}
