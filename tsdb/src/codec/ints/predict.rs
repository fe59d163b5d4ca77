//! Predictions of a page's next number, and what they miss.

use crate::bytes::bad;
use model::{Error, Result};
use std::borrow::Cow;

/// What a number is predicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing: the residual is the number.
    None,
    /// The number before.
    Last,
    /// The number before and the step that led to it.
    Slope,
}

impl TryFrom<u8> for Order {
    type Error = Error;
    fn try_from(code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Last),
            2 => Ok(Self::Slope),
            _ => Err(bad("an order of prediction is not known")),
        }
    }
}

impl Order {
    /// The step that the first prediction by slope takes, which makes the first residual 0.
    pub(super) fn slope(self, numbers: &[i64]) -> i64 {
        numbers.get(1).map_or(0, |second| second.wrapping_sub(numbers[0]))
    }
    /// What the prediction of each number but the first misses.
    pub(super) fn residuals(self, numbers: &[i64]) -> Cow<'_, [i64]> {
        let steps = || numbers.windows(2).map(|w| w[1].wrapping_sub(w[0]));
        match self {
            Self::None => Cow::Borrowed(&numbers[1..]),
            Self::Last => steps().collect(),
            Self::Slope => {
                let mut previous = self.slope(numbers);
                let mut miss = |step| {
                    let miss = i64::wrapping_sub(step, previous);
                    previous = step;
                    miss
                };
                steps().map(&mut miss).collect()
            }
        }
    }
    /// Turns residuals into numbers in place, behind the first number.
    pub(super) fn restore(self, mut slope: i64, numbers: &mut [i64]) {
        let mut number = numbers[0];
        match self {
            Self::None => {}
            Self::Last => {
                for place in &mut numbers[1..] {
                    number = number.wrapping_add(*place);
                    *place = number;
                }
            }
            Self::Slope => {
                for place in &mut numbers[1..] {
                    slope = slope.wrapping_add(*place);
                    number = number.wrapping_add(slope);
                    *place = number;
                }
            }
        }
    }
}
