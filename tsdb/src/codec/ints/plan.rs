//! How a page is best predicted and packed.

use super::Effort;
use super::block::{Block, Dense, GAP_DETAIL, Shift, Sparse, split};
use super::frame::Frame;
use super::page::{Packing, Page};
use super::predict::Order;
use super::prefix::{Code, MAX_DETAIL, Tokens};
use super::steps::Steps;
use std::borrow::Cow;

/// Up to this many residuals, codes are not worth their description.
const MIN_CODED: usize = 24;
/// How many residuals are looked at for the middle one.
const SAMPLE: usize = 63;
/// So small that nothing else is tried.
const FEW_BITS: f32 = 100.0;
/// An order of prediction that leaves this part more over than the best is tried too.
const NEAR: u32 = 16;

/// A page's plan and the bits that it takes, roughly.
#[derive(Debug)]
pub(super) struct Plan {
    pub bits: f32,
    pub page: Page,
}

/// What is offered, not yet worked out.
enum Offer {
    Steps(Steps),
    Frame(Frame),
    Dense(Shift, Tokens),
    Sparse(Shift, Tokens, Tokens),
}

/// The best plan for up to a page of numbers.
pub(super) fn page(numbers: &[i64], effort: Effort) -> Plan {
    let mut best = (f32::INFINITY, Order::Last, Offer::Steps(Steps { usual: 0 }));
    match effort {
        Effort::Flush => {
            for order in [Order::Last, Order::None] {
                Candidate::of(order, numbers, 7).offer_plain(&mut best);
                if best.0 < FEW_BITS {
                    break;
                }
            }
        }
        Effort::Merge => {
            let mut candidates = [Order::Last, Order::None, Order::Slope].map(|order| {
                let candidate = Candidate::of(order, numbers, SAMPLE);
                (candidate.spread(), candidate)
            });
            candidates.sort_by_key(|(spread, _)| *spread);
            let least = candidates[0].0;
            for (spread, candidate) in candidates {
                if spread <= least + least / NEAR && best.0 >= FEW_BITS {
                    candidate.offer_plain(&mut best);
                    candidate.offer_coded(&mut best);
                }
            }
        }
    }
    let (bits, order, offer) = best;
    let packing = match offer {
        Offer::Steps(steps) => Packing::Steps(steps),
        Offer::Frame(frame) => Packing::Frame(frame),
        Offer::Dense(shift, tokens) => Packing::Dense(Dense {
            shift,
            block: Block::new(Code::of(&tokens)),
        }),
        Offer::Sparse(shift, gaps, others) => Packing::Sparse(Sparse {
            shift,
            gaps: Block::new(Code::of(&gaps)),
            others: Block::new(Code::of(&others)),
        }),
    };
    Plan {
        bits,
        page: Page { order, packing },
    }
}

/// One page for a whole column, if that is a constant, a straight line, or changes so rarely that pages cost more.
pub(super) fn whole(numbers: &[i64]) -> Option<Page> {
    let limit = numbers.len() / 64;
    [Order::Last, Order::None].into_iter().find_map(|order| {
        let residuals = order.residuals(numbers);
        let steps = Steps {
            usual: middle(&residuals, SAMPLE),
        };
        steps.size(&residuals, limit).map(|_| Page {
            order,
            packing: Packing::Steps(steps),
        })
    })
}

/// The best so far.
type Best = (f32, Order, Offer);

/// What an order of prediction leaves over.
struct Candidate<'a> {
    order: Order,
    residuals: Cow<'a, [i64]>,
    /// The middle one of the residuals.
    usual: i64,
}

impl<'a> Candidate<'a> {
    fn of(order: Order, numbers: &'a [i64], sample: usize) -> Self {
        let residuals = order.residuals(numbers);
        Self {
            order,
            usual: middle(&residuals, sample),
            residuals,
        }
    }

    /// The bits of all distances from the middle together.
    fn spread(&self) -> u32 {
        let bits = |r: &i64| 64 - (r.wrapping_sub(self.usual).unsigned_abs()).leading_zeros();
        self.residuals.iter().map(bits).sum()
    }

    fn offer(&self, bits: f32, offer: Offer, best: &mut Best) {
        if bits < best.0 {
            *best = (bits, self.order, offer);
        }
    }

    /// Packings without codes.
    fn offer_plain(&self, best: &mut Best) {
        let (Some(smallest), Some(largest)) = (self.residuals.iter().min(), self.residuals.iter().max())
        else {
            return;
        };
        let frame = Frame::around(*smallest, *largest);
        let bits = frame.width as usize * self.residuals.len() + 16;
        let limit = bits.min(best.0 as usize) / 8;
        self.offer(bits as f32, Offer::Frame(frame), best);
        let steps = Steps { usual: self.usual };
        if let Some(size) = steps.size(&self.residuals, limit) {
            self.offer((size * 8) as f32, Offer::Steps(steps), best);
        }
    }

    /// Packings with codes.
    fn offer_coded(&self, best: &mut Best) {
        if self.residuals.len() < MIN_CODED || best.0 < FEW_BITS {
            return;
        }
        let smallest = *self.residuals.iter().min().expect("there are at least MIN_CODED");
        self.offer_shifted(smallest, false, best);
        if self.usual != smallest {
            self.offer_shifted(self.usual, true, best);
        }
    }

    fn offer_shifted(&self, reference: i64, folded: bool, best: &mut Best) {
        let shift = Shift { reference, folded };
        let residuals = &self.residuals[..];
        let same = residuals
            .iter()
            .filter(|residual| **residual == reference)
            .count();
        if same * 3 > residuals.len() && same < residuals.len() {
            let (gaps, others) = split(residuals, shift);
            let gaps = Tokens::of(gaps.into_iter(), GAP_DETAIL);
            let (bits, others) = Tokens::of(others.into_iter(), MAX_DETAIL).best();
            let bits = bits + gaps.estimate() + 12.0;
            self.offer(bits, Offer::Sparse(shift, gaps, others), best);
        }
        let (bits, tokens) = Tokens::of(residuals.iter().map(|r| shift.apply(*r)), MAX_DETAIL).best();
        self.offer(bits, Offer::Dense(shift, tokens), best);
    }
}

/// About the median, which is the most frequent number too where one is more frequent than all others together.
fn middle(numbers: &[i64], sample: usize) -> i64 {
    let mut sample: Vec<i64> = numbers
        .iter()
        .step_by(numbers.len().div_ceil(sample).max(1))
        .copied()
        .collect();
    let middle = sample.len() / 2;
    sample.sort_unstable();
    sample.get(middle).copied().unwrap_or(0)
}
