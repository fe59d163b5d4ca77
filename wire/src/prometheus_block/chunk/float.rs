//! Chunks of floats: times as differences of differences, values as XOR with the one before.

use super::super::bits::{Bits, XorFloat};
use super::{MAKES_NO_SENSE, Samples, Starts};
use model::Sample;
use model::metric::{is_stale, stale_nan};

/// Encoding 1.
pub(super) fn xor(bytes: &[u8]) -> Result<Samples, &'static str> {
    let (count, body) = bytes.split_first_chunk::<2>().ok_or(MAKES_NO_SENSE)?;
    let mut bits = Bits::new(body);
    let mut floats = Vec::with_capacity(usize::from(u16::from_be_bytes(*count)));
    let (mut time, mut delta, mut value) = (0i64, 0i64, XorFloat::default());
    let mut next = |i: usize| {
        match i {
            0 => {
                time = bits.varint()?;
                value = XorFloat::new(bits.float()?);
            }
            _ => {
                delta = match i {
                    1 => bits.uvarint()?.cast_signed(),
                    _ => delta.wrapping_add(change_of_delta(&mut bits)?),
                };
                time = time.wrapping_add(delta);
                value.read(&mut bits)?;
            }
        }
        Some(Sample {
            timestamp_ms: time,
            value: value.value,
        })
    };
    for i in 0..floats.capacity() {
        floats.push(next(i).ok_or(MAKES_NO_SENSE)?);
    }
    Ok(Samples {
        floats,
        ..Samples::default()
    })
}

fn change_of_delta(bits: &mut Bits<'_>) -> Option<i64> {
    match bits.ones(4)? {
        0 => Some(0),
        1 => bits.shifted(14),
        2 => bits.shifted(17),
        3 => bits.shifted(20),
        _ => bits.bits(64).map(u64::cast_signed),
    }
}

/// Encoding 4 ("XOR2"): one prefix says how the time and whether the value changes; staleness markers take no value
/// of their own; start timestamps may follow.
pub(super) fn xor_with_start(bytes: &[u8]) -> Result<Samples, &'static str> {
    let (&[high, low, header], body) = bytes.split_first_chunk::<3>().ok_or(MAKES_NO_SENSE)?;
    let mut decoder = JointDecoder {
        bits: Bits::new(body),
        time: 0,
        delta: 0,
        value: XorFloat::default(),
    };
    let mut starts = Starts::new(header);
    let mut samples = Samples::default();
    for i in 0..usize::from(u16::from_be_bytes([high, low])) {
        let before = decoder.time;
        let value = decoder.next(i).ok_or(MAKES_NO_SENSE)?;
        let start = starts.read(&mut decoder.bits, i, decoder.time, before);
        samples.starts.push(start.ok_or(MAKES_NO_SENSE)?);
        samples.floats.push(Sample {
            timestamp_ms: decoder.time,
            value,
        });
    }
    Ok(samples)
}

struct JointDecoder<'a> {
    bits: Bits<'a>,
    time: i64,
    delta: i64,
    /// The last value that was no staleness marker.
    value: XorFloat,
}

impl JointDecoder<'_> {
    fn next(&mut self, i: usize) -> Option<f64> {
        match i {
            0 => {
                self.time = self.bits.varint()?;
                let value = self.bits.float()?;
                if !is_stale(value) {
                    self.value.value = value;
                }
                Some(value)
            }
            1 => {
                self.delta = self.bits.uvarint()?.cast_signed();
                self.time = self.time.wrapping_add(self.delta);
                self.value_after_time()
            }
            _ => self.joint(),
        }
    }
    fn joint(&mut self) -> Option<f64> {
        let prefix = self.bits.ones(5)?;
        let change = match prefix {
            2 => self.bits.signed(13)?,
            3 => self.bits.signed(20)?,
            4 => self.bits.bits(64)?.cast_signed(),
            _ => 0,
        };
        self.delta = self.delta.wrapping_add(change);
        self.time = self.time.wrapping_add(self.delta);
        match prefix {
            0 => Some(self.value.value),
            1 => {
                let is_new_window = self.bits.bit()?;
                self.value.changed(&mut self.bits, is_new_window)?;
                Some(self.value.value)
            }
            5 => Some(stale_nan()),
            _ => self.value_after_time(),
        }
    }
    fn value_after_time(&mut self) -> Option<f64> {
        match self.bits.ones(3)? {
            0 => {}
            1 => self.value.changed(&mut self.bits, false)?,
            2 => self.value.changed(&mut self.bits, true)?,
            _ => return Some(stale_nan()),
        }
        Some(self.value.value)
    }
}
