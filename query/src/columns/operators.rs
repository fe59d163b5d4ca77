//! The binary operators on two numbers.

use super::{ABSENT, Column};

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
    And,
    Or,
    Unless,
}

/// Computes one operator from its operands; PromQL and LogQL differ in some.
pub(crate) type Compute = fn(Operator, f64, f64) -> f64;

impl Operator {
    /// `== != > >= < <=`
    pub(crate) fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual
        )
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
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
    /// Arithmetic gives a number; a comparison gives 1 or 0. Set operators work on labels, not on numbers: NaN.
    pub(crate) fn number(self, l: f64, r: f64) -> f64 {
        match self {
            Self::Add => l + r,
            Self::Sub => l - r,
            Self::Mul => l * r,
            Self::Div => l / r,
            Self::Mod => l % r,
            Self::Pow => l.powf(r),
            Self::Atan2 => l.atan2(r),
            Self::And | Self::Or | Self::Unless => f64::NAN,
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
    compute: Compute,
) -> Vec<Column> {
    let filters = op.is_comparison() && !return_bool;
    for column in &mut columns {
        column.map_steps(|i, v| {
            let (l, r) = if scalar_is_left {
                (scalar[i], v)
            } else {
                (v, scalar[i])
            };
            match (filters, op.holds(l, r)) {
                (true, true) => v,
                (true, false) => ABSENT,
                (false, _) => compute(op, l, r),
            }
        });
        column.drop_name |= !filters;
    }
    columns.retain(|c| !c.is_empty());
    columns
}
