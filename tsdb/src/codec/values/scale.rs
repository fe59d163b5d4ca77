//! Floats as integers and back: decimals, exactly as a program makes them of integers, or the bits of a float in the order of their values.

use super::odd::Odd;
use crate::bytes::bad;
use model::{Error, Result};
use std::f64::consts::LOG2_10;
use std::ops::Range;

/// Powers of ten that a float holds exactly, as far as they are used.
const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
];
/// Their inverses, rounded.
const FRACTIONS: [f64; 19] = [
    1e-0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15,
    1e-16, 1e-17, 1e-18,
];
/// Below this, a float has a bit for halves, so that adding one rounds. Above, a float's bits are as good as its digits.
const MAX_EXACT: f64 = (1u64 << 52) as f64;
const BITS_CODE: u8 = 31;
const EXPONENT_MASK: u8 = 31;
const WAY_SHIFT: u8 = 6;
/// As many values are looked at to guess the scale.
const SAMPLE: usize = 24;

/// How a program made a decimal fraction of an integer. The last bit of the result depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Divided by the power of ten, as reading a decimal number does.
    Quotient,
    /// Multiplied by the fraction: `ticks * 0.001`.
    Product,
    /// Divided by a thousand again and again: `micros / 1000.0 / 1000.0`.
    Thousands,
}

/// What the integers of a column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Integers times 10 to minus this.
    Decimal(Way, u8),
    /// The bits of floats, with those of negative ones turned over so that they ascend as the values do.
    Bits,
}

impl Scale {
    /// Bits 0 to 4 exponent, 6 and 7 way. Bit 5 is not used.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Decimal(way, exponent) => exponent | (way as u8) << WAY_SHIFT,
            Self::Bits => BITS_CODE,
        }
    }
    /// Appends the floats of integers.
    pub(super) fn restore(self, numbers: &[i64], into: &mut Vec<f64>) {
        match self {
            Self::Decimal(_, 0) => into.extend(numbers.iter().map(|n| *n as f64)),
            Self::Decimal(way, exponent) => {
                let unit = Unit::new(way, exponent);
                match way {
                    Way::Quotient => into.extend(numbers.iter().map(|n| *n as f64 / unit.power)),
                    Way::Product | Way::Thousands => into.extend(numbers.iter().map(|n| unit.float(*n))),
                }
            }
            Self::Bits => into.extend(numbers.iter().map(|n| f64::from_bits(ordered(*n) as u64))),
        }
    }
}

impl TryFrom<u8> for Scale {
    type Error = Error;
    fn try_from(code: u8) -> Result<Self> {
        let exponent = code & EXPONENT_MASK;
        let way = match code >> WAY_SHIFT {
            0 => Way::Quotient,
            1 => Way::Product,
            2 => Way::Thousands,
            _ => return Err(bad(&format!("scale {code} is not known"))),
        };
        match exponent {
            BITS_CODE => Ok(Self::Bits),
            exponent if usize::from(exponent) < POWERS.len() => Ok(Self::Decimal(way, exponent)),
            _ => Err(bad(&format!("scale {code} is not known"))),
        }
    }
}

/// A decimal scale, ready for use.
#[derive(Debug, Clone, Copy)]
struct Unit {
    way: Way,
    exponent: u8,
    power: f64,
    fraction: f64,
}

impl Unit {
    fn new(way: Way, exponent: u8) -> Self {
        Self {
            way,
            exponent,
            power: POWERS[usize::from(exponent)],
            fraction: FRACTIONS[usize::from(exponent)],
        }
    }
    #[inline]
    fn float(self, number: i64) -> f64 {
        let number = number as f64;
        match self.way {
            Way::Quotient => number / self.power,
            Way::Product => number * self.fraction,
            Way::Thousands => (0..self.exponent / 3).fold(number, |number, _| number / 1000.0),
        }
    }
    /// The integer of a float, if that is exact.
    #[inline]
    fn integer(self, value: f64) -> Option<i64> {
        let product = value * self.power;
        if product.abs() >= MAX_EXACT {
            return None;
        }
        let rounded = (product + 0.5f64.copysign(product)) as i64;
        (self.float(rounded).to_bits() == value.to_bits()).then_some(rounded)
    }
}

/// A column as integers. Where an odd value stands, the integer before it is repeated.
#[derive(Debug)]
pub(super) struct Scaled {
    pub scale: Scale,
    pub numbers: Vec<i64>,
    pub odd: Odd,
}

/// Turns the bits of negative floats over, and back.
fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Decimal integers of a column, or its bits if too few are decimal.
pub(super) fn scale(values: &[f64]) -> Scaled {
    let Some(mut unit) = guess(&sample(values.iter(), values.len())) else {
        return bits(values);
    };
    let mut scaled = decimal(values, unit);
    // The guess saw few values: guess again with those that did not fit. Digits that only some have cost all;
    // odd values cost about ten bytes each.
    for _ in 0..3 {
        if scaled.odd.plain() == 0 {
            break;
        }
        let is_odd = |value: &&f64| value.is_finite() && unit.integer(**value).is_none();
        let mut seen = sample(values.iter().filter(is_odd), scaled.odd.plain());
        seen.extend(sample(values.iter(), values.len()));
        let Some(other) = guess(&seen) else { break };
        let other_scaled = decimal(values, other);
        let saved = scaled.odd.plain().saturating_sub(other_scaled.odd.plain()) as f64 * 80.0;
        let digits = f64::from(other.exponent) - f64::from(unit.exponent);
        if saved <= digits * LOG2_10 * values.len() as f64 || saved == 0.0 {
            break;
        }
        (unit, scaled) = (other, other_scaled);
    }
    if scaled.odd.plain() * 4 > values.len() {
        return bits(values);
    }
    scaled
}

/// Some of the finite values of an iterator with about `len` items.
fn sample<'a>(values: impl Iterator<Item = &'a f64>, len: usize) -> Vec<f64> {
    let every = len.div_ceil(SAMPLE).max(1);
    values
        .step_by(every)
        .filter(|value| value.is_finite())
        .copied()
        .collect()
}

/// Units in the order in which they are tried. With very many digits nearly every large value is decimal.
fn guesses() -> impl Iterator<Item = Unit> {
    let quotients = |exponents: Range<u8>| exponents.map(|exponent| Unit::new(Way::Quotient, exponent));
    let products = (2..10).map(|exponent| Unit::new(Way::Product, exponent));
    let thousands = [6, 9].map(|exponent| Unit::new(Way::Thousands, exponent));
    quotients(0..10)
        .chain(products)
        .chain(thousands)
        .chain(quotients(10..POWERS.len() as u8))
}

/// The unit that suits most of a sample, if there is one.
fn guess(sample: &[f64]) -> Option<Unit> {
    let mut best: Option<(usize, Unit)> = None;
    for unit in guesses() {
        let fitting = sample
            .iter()
            .filter(|value| unit.integer(**value).is_some())
            .count();
        if fitting == sample.len() {
            return Some(unit);
        }
        // More digits fit a stray value more; another way must do clearly better.
        if best.is_none_or(|(most, _)| fitting > most + most / 8) {
            best = Some((fitting, unit));
        }
    }
    best.filter(|(fitting, _)| fitting * 2 >= sample.len())
        .map(|(_, unit)| unit)
}

fn decimal(values: &[f64], unit: Unit) -> Scaled {
    let scale = Scale::Decimal(unit.way, unit.exponent);
    fill(values, scale, |value| unit.integer(value))
}

/// The bits of a column.
pub(super) fn bits(values: &[f64]) -> Scaled {
    let negative_zero = (-0.0f64).to_bits();
    fill(values, Scale::Bits, |value| {
        (value.is_finite() && value.to_bits() != negative_zero).then_some(ordered(value.to_bits() as i64))
    })
}

fn fill(values: &[f64], scale: Scale, integer: impl Fn(f64) -> Option<i64>) -> Scaled {
    let mut odd = Odd::default();
    let mut previous = None;
    let mut numbers = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let number = integer(*value).or_else(|| {
            odd.push(at, *value);
            previous
        });
        numbers.extend(number);
        previous = number;
    }
    // Odd values in front had nothing before them.
    let missing = values.len() - numbers.len();
    let first = numbers.first().copied().unwrap_or(0);
    numbers.splice(0..0, std::iter::repeat_n(first, missing));
    Scaled { scale, numbers, odd }
}
