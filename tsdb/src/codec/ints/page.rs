//! A page of a column of integers: its head, how it is predicted and packed, and what follows.

use super::block::{Dense, Sparse};
use super::frame::Frame;
use super::predict::Order;
use super::steps::Steps;
use crate::bytes::{Cursor, bad, put_int};
use model::Result;

/// The head of a page that takes everything from the page before but its numbers.
const REPEATED: u8 = 0;
const STEPS: u8 = 1;
const FRAME: u8 = 2;
const DENSE: u8 = 3;
const SPARSE: u8 = 4;
const ORDER_SHIFT: u8 = 3;
/// Three bits are left for the packing.
const FLAGS_SHIFT: u8 = 5;

/// How the numbers of a page are predicted and their residuals packed. The first number stands elsewhere.
#[derive(Debug)]
pub(super) struct Page {
    pub order: Order,
    pub packing: Packing,
}

/// How residuals are packed.
#[derive(Debug)]
pub(super) enum Packing {
    Steps(Steps),
    Frame(Frame),
    Dense(Dense),
    Sparse(Sparse),
}

impl Page {
    /// Appends a page that says all of itself.
    pub(super) fn write(&self, into: &mut Vec<u8>, numbers: &[i64]) {
        let (tag, flags) = match &self.packing {
            Packing::Steps(_) => (STEPS, 0),
            Packing::Frame(_) => (FRAME, 0),
            Packing::Dense(packing) => (DENSE, packing.flags()),
            Packing::Sparse(packing) => (SPARSE, packing.flags()),
        };
        into.push(tag | (self.order as u8) << ORDER_SHIFT | flags << FLAGS_SHIFT);
        match &self.packing {
            Packing::Steps(packing) => packing.write(into),
            Packing::Frame(packing) => packing.write(into),
            Packing::Dense(packing) => packing.write(into),
            Packing::Sparse(packing) => packing.write(into),
        }
        self.write_numbers(into, numbers);
    }
    /// Appends a page that is like the one before.
    pub(super) fn write_again(&self, into: &mut Vec<u8>, numbers: &[i64]) {
        into.push(REPEATED);
        self.write_numbers(into, numbers);
    }
    fn write_numbers(&self, into: &mut Vec<u8>, numbers: &[i64]) {
        if self.order == Order::Slope {
            put_int(into, self.order.slope(numbers));
        }
        let residuals = self.order.residuals(numbers);
        match &self.packing {
            Packing::Steps(packing) => packing.pack(into, &residuals),
            Packing::Frame(packing) => packing.pack(into, &residuals),
            Packing::Dense(packing) => packing.pack(into, &residuals),
            Packing::Sparse(packing) => packing.pack(into, &residuals),
        }
    }
    /// Whether a page takes everything from the one before.
    pub(super) fn is_repeated(page: &[u8]) -> bool {
        page.first() == Some(&REPEATED)
    }
    /// Reads what is said of a page before its numbers.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let head = cursor.byte()?;
        let flags = head >> FLAGS_SHIFT;
        Ok(Self {
            order: Order::try_from(head >> ORDER_SHIFT & 3)?,
            packing: match head & 7 {
                STEPS => Packing::Steps(Steps::read(cursor)?),
                FRAME => Packing::Frame(Frame::read(cursor)?),
                DENSE => Packing::Dense(Dense::read(cursor, flags)?),
                SPARSE => Packing::Sparse(Sparse::read(cursor, flags)?),
                other => return Err(bad(&format!("integer packing {other} is not known"))),
            },
        })
    }
    /// Reads the numbers of a page after the first one, which is in its place.
    pub(super) fn unpack(&self, page: &[u8], numbers: &mut [i64]) -> Result<()> {
        let mut cursor = Cursor::new(page);
        let slope = match self.order {
            Order::Slope => cursor.int()?,
            Order::None | Order::Last => 0,
        };
        let (page, residuals) = (cursor.rest(), &mut numbers[1..]);
        if residuals.len() > super::PAGE && matches!(self.packing, Packing::Dense(_) | Packing::Sparse(_)) {
            return Err(bad("a page has more numbers than its packing can hold"));
        }
        match &self.packing {
            Packing::Steps(packing) => packing.unpack(page, residuals)?,
            Packing::Frame(packing) => packing.unpack(page, residuals)?,
            Packing::Dense(packing) => packing.unpack(page, residuals)?,
            Packing::Sparse(packing) => packing.unpack(page, residuals)?,
        }
        self.order.restore(slope, numbers);
        Ok(())
    }
    /// Bits that [`Self::write_again`] takes, roughly, if it can hold these numbers.
    pub(super) fn bits(&self, numbers: &[i64]) -> Option<f32> {
        let residuals = self.order.residuals(numbers);
        match &self.packing {
            Packing::Steps(packing) => packing
                .size(&residuals, residuals.len())
                .map(|bytes| bytes as f32 * 8.0),
            Packing::Frame(packing) => packing.bits(&residuals),
            Packing::Dense(packing) => packing.bits(&residuals),
            Packing::Sparse(packing) => packing.bits(&residuals),
        }
    }
}
