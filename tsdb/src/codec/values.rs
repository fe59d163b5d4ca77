//! Float columns, bit by bit: as decimal integers where that is exact, as the integers of their bits otherwise.

mod odd;
mod scale;

use super::{Effort, ints};
use crate::bytes::{Cursor, bad};
use model::Result;
use odd::Odd;
use scale::Scale;
use std::ops::Range;

const HAS_ODD: u8 = 1 << 5;

/// Appends a column of at least one value; every pattern of bits comes back.
pub(crate) fn encode(into: &mut Vec<u8>, values: &[f64], effort: Effort) {
    let scaled = scale::scale(values);
    let start = into.len();
    put(into, &scaled, effort);
    // Many odd values cost more than none of them being decimal: see which is less.
    if scaled.odd.plain() > values.len() / 64 {
        let mut other = Vec::with_capacity(into.len() - start);
        put(&mut other, &scale::bits(values), effort);
        if other.len() < into.len() - start {
            into.truncate(start);
            into.extend_from_slice(&other);
        }
    }
}

fn put(into: &mut Vec<u8>, scaled: &scale::Scaled, effort: Effort) {
    into.push(scaled.scale.code() | if scaled.odd.is_empty() { 0 } else { HAS_ODD });
    if !scaled.odd.is_empty() {
        scaled.odd.write(into);
    }
    ints::encode(into, &scaled.numbers, effort);
}

/// Appends the values of `range` out of a column of `count`, from exactly the column's bytes.
pub(crate) fn decode(bytes: &[u8], count: usize, range: Range<usize>, into: &mut Vec<f64>) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    let head = cursor.byte()?;
    let scale = Scale::try_from(head & !HAS_ODD)?;
    let odd = if head & HAS_ODD == 0 {
        Odd::default()
    } else {
        Odd::read(&mut cursor, count)?
    };
    let mut numbers = Vec::with_capacity(range.len().min(count) + ints::PAGE);
    ints::decode(cursor.rest(), count, range.clone(), &mut numbers)?;
    let start = into.len();
    scale.restore(&numbers, into);
    if into.len() - start != range.len() {
        return Err(bad("a column has another number of values"));
    }
    odd.restore(range, &mut into[start..]);
    Ok(())
}
