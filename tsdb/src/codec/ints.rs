//! Columns of integers: what the other columns become in the end.
//!
//! A column stands in pages, each predicted and packed in its own way, so that a part of a column is read without
//! the rest and each stretch gets what suits it. Long columns that hardly ever change stand in one page.

mod bits;
mod block;
mod frame;
mod page;
mod plan;
mod predict;
mod prefix;
mod steps;

use super::Effort;
use crate::bytes::{Cursor, bad, put_int, put_uint};
use model::Result;
use page::Page;
use std::ops::Range;

/// Numbers in a page. A reader unpacks whole pages.
pub(super) const PAGE: usize = 512;

const DIVIDED: u8 = 1;
const ONE_PAGE: u8 = 2;

/// Appends a column of at least one number.
pub(super) fn encode(into: &mut Vec<u8>, numbers: &[i64], effort: Effort) {
    let (divisor, quotients) = divide(numbers);
    let one_page = (quotients.len() > PAGE)
        .then(|| plan::whole(&quotients))
        .flatten();
    into.push(if divisor == 1 { 0 } else { DIVIDED } | if one_page.is_some() { ONE_PAGE } else { 0 });
    put_int(into, numbers[0]);
    if divisor != 1 {
        put_uint(into, divisor);
    }
    match one_page {
        Some(page) => page.write(into, &quotients),
        None => put_pages(into, &quotients, effort),
    }
}

/// The largest divisor of all differences, and the differences to the first number divided by it.
fn divide(numbers: &[i64]) -> (u64, Vec<i64>) {
    let first = numbers[0];
    let mut quotients: Vec<i64> = numbers.iter().map(|n| n.wrapping_sub(first)).collect();
    let union = quotients.iter().fold(0, |union, quotient| union | quotient);
    if union == 0 {
        return (1, quotients);
    }
    // A difference that does not fit wraps around, is divided as what it became, and wraps back.
    let shift = union.trailing_zeros();
    quotients.iter_mut().for_each(|quotient| *quotient >>= shift);
    let mut odd = 0u64;
    for quotient in quotients.iter().map(|quotient| quotient.unsigned_abs()) {
        if odd == 1 {
            break;
        }
        if quotient != 0 && (odd == 0 || quotient % odd != 0) {
            odd = gcd(quotient, odd);
        }
    }
    // Most divisors are powers of two, which the shift was.
    if odd > 1 {
        quotients.iter_mut().for_each(|quotient| *quotient /= odd as i64);
    }
    (odd << shift, quotients)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Per page but the first: a uint of the length of the page before, and an int of the difference of the first numbers.
/// Then the pages.
fn put_pages(into: &mut Vec<u8>, quotients: &[i64], effort: Effort) {
    let mut body = Vec::with_capacity(quotients.len());
    let mut kept: Option<Page> = None;
    let (mut start, mut first) = (0, 0i64);
    for numbers in quotients.chunks(PAGE) {
        if kept.is_some() {
            put_uint(into, (body.len() - start) as u64);
            put_int(into, numbers[0].wrapping_sub(first));
            first = numbers[0];
        }
        start = body.len();
        let own = plan::page(numbers, effort);
        match &kept {
            Some(kept) if kept.bits(numbers).is_some_and(|bits| bits <= own.bits) => {
                kept.write_again(&mut body, numbers);
            }
            _ => {
                own.page.write(&mut body, numbers);
                kept = Some(own.page);
            }
        }
    }
    into.extend_from_slice(&body);
}

/// Appends the numbers of `range` out of a column of `count`, from exactly the column's bytes.
pub(super) fn decode(bytes: &[u8], count: usize, range: Range<usize>, into: &mut Vec<i64>) -> Result<()> {
    if range.start > range.end || range.end > count {
        return Err(bad("a range lies outside of its column"));
    }
    let mut cursor = Cursor::new(bytes);
    let head = cursor.byte()?;
    if head > DIVIDED | ONE_PAGE {
        return Err(bad("an integer column of this kind is not known"));
    }
    let first = cursor.int()?;
    let divisor = if head & DIVIDED == 0 {
        1
    } else {
        cursor.uint()? as i64
    };
    let done = into.len();
    if !range.is_empty() {
        let page_len = if head & ONE_PAGE == 0 { PAGE } else { count };
        let mut pages = Pages::read(&mut cursor, count.div_ceil(page_len))?;
        for index in range.start / page_len..=(range.end - 1) / page_len {
            let start = into.len();
            let from = index * page_len;
            into.resize(start + page_len.min(count - from), 0);
            pages.unpack(index, &mut into[start..])?;
            into.truncate(start + page_len.min(range.end - from));
            if from < range.start {
                into.drain(start..start + range.start - from);
            }
        }
    }
    for number in &mut into[done..] {
        *number = first.wrapping_add(number.wrapping_mul(divisor));
    }
    Ok(())
}

/// The pages of a column, to be unpacked in any order.
struct Pages<'a> {
    /// The first number and the bytes of each.
    pages: Vec<(i64, &'a [u8])>,
    /// The page that was read last and is not a repetition.
    kept: Option<Kept>,
}

struct Kept {
    index: usize,
    page: Page,
    /// Where its numbers begin.
    body: usize,
}

impl<'a> Pages<'a> {
    fn read(cursor: &mut Cursor<'a>, count: usize) -> Result<Self> {
        let mut starts = Vec::with_capacity(count);
        let mut first = 0i64;
        for _ in 1..count {
            let length = usize::try_from(cursor.uint()?).map_err(|_| bad("a page is too long"))?;
            starts.push((first, length));
            first = first.wrapping_add(cursor.int()?);
        }
        let mut pages = Vec::with_capacity(count);
        for (first, length) in starts {
            pages.push((first, cursor.take(length)?));
        }
        pages.push((first, cursor.rest()));
        Ok(Self { pages, kept: None })
    }
    fn unpack(&mut self, index: usize, into: &mut [i64]) -> Result<()> {
        let origin = (0..=index)
            .rev()
            .find(|index| !Page::is_repeated(self.pages[*index].1))
            .ok_or_else(|| bad("there is no page to repeat"))?;
        let (first, bytes) = self.pages[index];
        if self.kept.as_ref().is_none_or(|kept| kept.index != origin) {
            let mut cursor = Cursor::new(self.pages[origin].1);
            let page = Page::read(&mut cursor)?;
            let body = self.pages[origin].1.len() - cursor.rest().len();
            self.kept = Some(Kept {
                index: origin,
                page,
                body,
            });
        }
        let kept = self.kept.as_ref().expect("it was just set");
        let body = if origin == index { kept.body } else { 1 };
        into[0] = first;
        kept.page.unpack(&bytes[body..], into)
    }
}

#[cfg(test)]
mod tests;
