//! The binary operators on two numbers.

use super::{ABSENT, Column, Element};
use model::metric::Histogram;
use std::sync::Arc;

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    /// `</`: the part of a histogram below a value.
    TrimUpper,
    /// `>/`: the part of a histogram above a value.
    TrimLower,
    And,
    Or,
    Unless,
}

/// Computes one operator from two numbers; PromQL and LogQL differ in some.
pub(crate) type Compute = fn(Operator, f64, f64) -> f64;

/// What an operator gives for two elements.
#[derive(Debug, Clone)]
pub(crate) enum Computed {
    /// They can't be put together: there is no result, and they have not met.
    Unfit,
    /// What a comparison says of them, and the left one, which stays when it is true.
    Compared(bool, Option<Arc<Histogram>>),
    Histogram(Arc<Histogram>),
}

/// Computes one operator from two elements of which at least one is a histogram, or for which numbers won't do.
pub(crate) type ComputeHistograms<'a> = &'a dyn Fn(Operator, Element<'_>, Element<'_>) -> Computed;

/// An operator of a language, for all that can stand on its sides.
#[derive(Clone, Copy)]
pub(crate) struct Computation<'a> {
    pub(crate) numbers: Compute,
    pub(crate) histograms: ComputeHistograms<'a>,
}

/// For languages without histograms.
pub(crate) fn only_numbers(numbers: Compute) -> Computation<'static> {
    Computation {
        numbers,
        histograms: &|_, _, _| Computed::Unfit,
    }
}

impl Operator {
    /// `== != > >= < <=`
    pub(crate) fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual
        )
    }
    /// `</ >/`
    pub(crate) fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }
    /// Whether the result is of another kind than the operands, so that their name does not hold for it.
    pub(crate) fn changes_meaning(self) -> bool {
        !self.is_comparison() && !self.is_trim() && !self.is_set()
    }
    /// `and or unless`
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
    /// Arithmetic gives a number; a comparison gives 1 or 0. Trims work on histograms, set operators on labels, not
    /// on numbers: NaN.
    pub(crate) fn number(self, l: f64, r: f64) -> f64 {
        match self {
            Self::Add => l + r,
            Self::Sub => l - r,
            Self::Mul => l * r,
            Self::Div => l / r,
            Self::Mod => l % r,
            Self::Pow => l.powf(r),
            Self::Atan2 => l.atan2(r),
            Self::TrimUpper | Self::TrimLower | Self::And | Self::Or | Self::Unless => f64::NAN,
            comparison => f64::from(u8::from(comparison.holds(l, r))),
        }
    }
    /// Whether a comparison is true; other operators never are.
    pub(crate) fn holds(self, l: f64, r: f64) -> bool {
        match self {
            Self::Equal => l == r,
            Self::NotEqual => l != r,
            Self::Greater => l > r,
            Self::GreaterEqual => l >= r,
            Self::Less => l < r,
            Self::LessEqual => l <= r,
            _ => false,
        }
    }
}

/// An operator between a vector and a scalar. A comparison without `bool` keeps the vector's values.
pub(crate) fn with_scalar(
    op: Operator,
    mut columns: Vec<Column>,
    scalar: &[f64],
    scalar_is_left: bool,
    return_bool: bool,
    computation: Computation<'_>,
) -> Vec<Column> {
    let filters = op.is_comparison() && !return_bool;
    for column in &mut columns {
        if !column.histograms.is_empty() || op.is_trim() {
            histograms_with_scalar(op, column, scalar, scalar_is_left, return_bool, computation);
        }
        if !op.is_trim() {
            column.map_steps(|i, v| {
                let (l, r) = if scalar_is_left {
                    (scalar[i], v)
                } else {
                    (v, scalar[i])
                };
                match (filters, op.holds(l, r)) {
                    (true, true) => v,
                    (true, false) => ABSENT,
                    (false, _) => (computation.numbers)(op, l, r),
                }
            });
        }
        column.drop_name |= return_bool || op.changes_meaning();
    }
    columns.retain(|c| !c.is_empty());
    columns
}

/// The part of [`with_scalar`] for histograms, and for trims, which have no numbers as a result.
fn histograms_with_scalar(
    op: Operator,
    column: &mut Column,
    scalar: &[f64],
    scalar_is_left: bool,
    return_bool: bool,
    computation: Computation<'_>,
) {
    for (step, scalar) in scalar.iter().enumerate() {
        let element = column.at(step);
        let is_meant = match element {
            Element::Absent => false,
            Element::Float(_) => op.is_trim(),
            Element::Histogram(_) => true,
        };
        if !is_meant {
            continue;
        }
        let scalar = Element::Float(*scalar);
        let computed = if scalar_is_left {
            (computation.histograms)(op, scalar, element)
        } else {
            (computation.histograms)(op, element, scalar)
        };
        match computed {
            Computed::Histogram(histogram) => column.set_histogram(step, histogram),
            Computed::Compared(holds, _) if return_bool => {
                column.clear(step);
                column.values[step] = f64::from(u8::from(holds));
            }
            Computed::Compared(true, _) => {}
            Computed::Compared(false, _) | Computed::Unfit => column.clear(step),
        }
    }
}
