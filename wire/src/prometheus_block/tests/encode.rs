//! Encoders of everything that the decoders read; slow and simple.

use super::super::crc32c;
use model::metric::{Histogram, is_stale};
use model::{Labels, Sample};
use std::collections::BTreeSet;

/// Bits, written one by one.
#[derive(Default)]
pub(super) struct BitWriter {
    bits: Vec<bool>,
}

impl BitWriter {
    pub(super) fn bits(&mut self, value: u64, width: u32) {
        self.bits.extend((0..width).rev().map(|i| value >> i & 1 == 1));
    }
    fn prefix(&mut self, ones: u32, most: u32) {
        self.bits((1 << ones) - 1, ones);
        if ones < most {
            self.bits(0, 1);
        }
    }
    pub(super) fn uvarint(&mut self, value: u64) {
        let mut bytes = Vec::new();
        uvarint(&mut bytes, value);
        bytes.iter().for_each(|b| self.bits(u64::from(*b), 8));
    }
    pub(super) fn varint(&mut self, value: i64) {
        self.uvarint(zigzag(value));
    }
    pub(super) fn varbit_uint(&mut self, value: u64) {
        let widths = [0, 3, 6, 9, 12, 18, 25, 56, 64];
        let ones = widths.iter().position(|w| *w == 64 || value >> w == 0).unwrap();
        self.prefix(ones as u32, 8);
        self.bits(value, widths[ones]);
    }
    pub(super) fn varbit_int(&mut self, value: i64) {
        let widths = [0, 3, 6, 9, 12, 18, 25, 56, 64];
        let fits = |w: u32| match w {
            0 => value == 0,
            64 => true,
            w => (-(1i64 << (w - 1)) < value) && value <= 1 << (w - 1),
        };
        let ones = widths.iter().position(|w| fits(*w)).unwrap();
        self.prefix(ones as u32, 8);
        self.bits(value.cast_unsigned(), widths[ones]);
    }
    pub(super) fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| (0..8).fold(0, |b, i| b << 1 | u8::from(bits.get(i) == Some(&true)));
        self.bits.chunks(8).map(byte).collect()
    }
}

pub(super) fn uvarint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The state of a float that is written as XOR.
#[derive(Clone, Copy, Default)]
pub(super) struct Xor {
    value: f64,
    window: Option<(u32, u32)>,
}

impl Xor {
    fn new(value: f64) -> Self {
        Self { value, window: None }
    }
    /// The window that a change needs, and whether it is a new one.
    fn window_for(&mut self, value: f64) -> (u64, u32, u32, bool) {
        let changed = self.value.to_bits() ^ value.to_bits();
        self.value = value;
        let needed = (changed.leading_zeros().min(31), changed.trailing_zeros());
        match self.window {
            Some((leading, trailing)) if needed.0 >= leading && needed.1 >= trailing => {
                (changed, leading, trailing, false)
            }
            _ => {
                self.window = Some(needed);
                (changed, needed.0, needed.1, true)
            }
        }
    }
    fn changed(&mut self, to: &mut BitWriter, value: f64, prefixes: [(u64, u32); 2]) {
        let (changed, leading, trailing, is_new) = self.window_for(value);
        let (prefix, prefix_width) = prefixes[usize::from(is_new)];
        to.bits(prefix, prefix_width);
        let width = 64 - leading - trailing;
        if is_new {
            to.bits(u64::from(leading), 5);
            to.bits(u64::from(width % 64), 6);
        }
        to.bits(changed >> trailing, width);
    }
    pub(super) fn write(&mut self, to: &mut BitWriter, value: f64) {
        if self.value.to_bits() == value.to_bits() {
            to.bits(0, 1);
        } else {
            self.changed(to, value, [(0b10, 2), (0b11, 2)]);
        }
    }
}

/// Encoding 1.
pub(super) fn xor(samples: &[Sample]) -> Vec<u8> {
    let mut to = BitWriter::default();
    let mut value = Xor::default();
    let (mut time, mut delta) = (0i64, 0i64);
    for (i, sample) in samples.iter().enumerate() {
        let new_delta = sample.timestamp_ms.wrapping_sub(time);
        match i {
            0 => {
                to.varint(sample.timestamp_ms);
                to.bits(sample.value.to_bits(), 64);
                value = Xor::new(sample.value);
            }
            _ => {
                let change = new_delta.wrapping_sub(delta);
                let width = [14, 17, 20]
                    .into_iter()
                    .position(|w| (-(1i64 << (w - 1)) < change) && change <= 1 << (w - 1));
                match (i, change, width) {
                    (1, _, _) => to.uvarint(new_delta.cast_unsigned()),
                    (_, 0, _) => to.bits(0, 1),
                    (_, _, Some(class)) => {
                        to.prefix(class as u32 + 1, 4);
                        to.bits(change.cast_unsigned(), [14, 17, 20][class]);
                    }
                    _ => {
                        to.prefix(4, 4);
                        to.bits(change.cast_unsigned(), 64);
                    }
                }
                delta = new_delta;
                value.write(&mut to, sample.value);
            }
        }
        time = sample.timestamp_ms;
    }
    let mut bytes = (samples.len() as u16).to_be_bytes().to_vec();
    bytes.extend(to.bytes());
    bytes
}

/// Start timestamps as they follow the samples: the header, and what to write after sample `i`.
pub(super) struct StartWriter {
    pub header: u8,
    starts: Vec<i64>,
    from: usize,
    difference: i64,
}

impl StartWriter {
    pub(super) fn new(starts: &[i64]) -> Self {
        let changes = starts.windows(2).position(|w| w[0] != w[1]).map(|i| i + 1);
        let from = match changes {
            None if starts.len() <= 127 => 0,
            None => 127,
            Some(from) => from.min(127),
        };
        let first = starts.first().is_some_and(|s| *s != 0);
        Self {
            header: from as u8 | if first { 0x80 } else { 0 },
            starts: starts.to_vec(),
            from,
            difference: 0,
        }
    }
    fn write(&mut self, to: &mut BitWriter, i: usize, time: i64, before: i64) {
        if i == 0 && self.header & 0x80 != 0 {
            to.varint(time.wrapping_sub(self.starts[0]));
        } else if i > 0 && self.from > 0 && i >= self.from {
            let difference = before.wrapping_sub(self.starts[i]);
            let number = if i == self.from {
                difference
            } else {
                difference.wrapping_sub(self.difference)
            };
            to.varbit_int(number);
            self.difference = difference;
        }
    }
}

/// Encoding 4.
pub(super) fn xor_with_start(samples: &[Sample], starts: &[i64]) -> Vec<u8> {
    let mut to = BitWriter::default();
    let mut starts = StartWriter::new(starts);
    let mut value = Xor::default();
    let (mut time, mut delta) = (0i64, 0i64);
    for (i, sample) in samples.iter().enumerate() {
        let new_delta = sample.timestamp_ms.wrapping_sub(time);
        let change = new_delta.wrapping_sub(delta);
        let same = value.value.to_bits() == sample.value.to_bits();
        match i {
            0 => {
                to.varint(sample.timestamp_ms);
                to.bits(sample.value.to_bits(), 64);
                if !is_stale(sample.value) {
                    value = Xor::new(sample.value);
                }
            }
            1 => {
                to.uvarint(new_delta.cast_unsigned());
                value_after_time(&mut to, &mut value, sample.value);
            }
            _ if change == 0 && is_stale(sample.value) => to.bits(0b11111, 5),
            _ if change == 0 && same => to.bits(0, 1),
            _ if change == 0 => value.changed(&mut to, sample.value, [(0b100, 3), (0b101, 3)]),
            _ => {
                match change {
                    -4096..=4095 => {
                        to.bits(0b110, 3);
                        to.bits(change.cast_unsigned(), 13);
                    }
                    -524_288..=524_287 => {
                        to.bits(0b1110, 4);
                        to.bits(change.cast_unsigned(), 20);
                    }
                    _ => {
                        to.bits(0b11110, 5);
                        to.bits(change.cast_unsigned(), 64);
                    }
                }
                value_after_time(&mut to, &mut value, sample.value);
            }
        }
        delta = if i == 0 { 0 } else { new_delta };
        starts.write(&mut to, i, sample.timestamp_ms, time);
        time = sample.timestamp_ms;
    }
    let mut bytes = (samples.len() as u16).to_be_bytes().to_vec();
    bytes.push(starts.header);
    bytes.extend(to.bytes());
    bytes
}

fn value_after_time(to: &mut BitWriter, state: &mut Xor, value: f64) {
    if is_stale(value) {
        to.bits(0b111, 3);
    } else if state.value.to_bits() == value.to_bits() {
        to.bits(0, 1);
    } else {
        state.changed(to, value, [(0b10, 2), (0b110, 3)]);
    }
}

/// A number that is written as the change of its difference.
#[derive(Clone, Copy, Default)]
struct Delta(i64, i64);

impl Delta {
    fn write(&mut self, to: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.0);
        to.varbit_int(delta.wrapping_sub(self.1));
        *self = Self(value, delta);
    }
}

/// Encodings 2 and 3, with starts 5 and 6. All histograms have the buckets of the first one.
pub(super) fn histograms(samples: &[(i64, Histogram)], is_float: bool, starts: Option<&[i64]>) -> Vec<u8> {
    let first = &samples[0].1;
    let mut to = BitWriter::default();
    layout(&mut to, first);
    let mut starts = starts.map(StartWriter::new);
    let (mut time, mut before) = (Delta::default(), 0);
    let mut integers: Vec<Delta> = Vec::new();
    let mut floats: Vec<Xor> = Vec::new();
    let mut sum = Xor::default();
    for (i, (time_ms, h)) in samples.iter().enumerate() {
        if i == 0 {
            to.varbit_int(*time_ms);
            time = Delta(*time_ms, 0);
        } else {
            time.write(&mut to, *time_ms);
        }
        let heads = [h.count, h.zero_count];
        let sides = [&h.positive, &h.negative];
        // The sum stands between the counts of all and those of the buckets.
        if is_float {
            let buckets = sides.into_iter().flatten().map(|(_, c)| *c);
            let numbers: Vec<f64> = heads.into_iter().chain([h.sum]).chain(buckets).collect();
            for (n, number) in numbers.iter().enumerate() {
                if i == 0 {
                    to.bits(number.to_bits(), 64);
                    floats.push(Xor::new(*number));
                } else {
                    floats[n].write(&mut to, *number);
                }
            }
        } else {
            let mut numbers: Vec<i64> = heads.iter().map(|c| *c as i64).collect();
            for side in sides {
                let counts = side.iter().map(|(_, c)| *c as i64);
                let before = std::iter::once(0).chain(counts.clone());
                numbers.extend(counts.zip(before).map(|(c, b)| c - b));
            }
            for (n, number) in numbers.iter().enumerate() {
                if n == 2 {
                    write_sum(&mut to, &mut sum, h.sum, i == 0);
                }
                match (i, n) {
                    (0, 0 | 1) => to.varbit_uint(number.cast_unsigned()),
                    (0, _) => to.varbit_int(*number),
                    _ => integers[n].write(&mut to, *number),
                }
                if i == 0 {
                    integers.push(Delta(*number, 0));
                }
            }
            if numbers.len() == 2 {
                write_sum(&mut to, &mut sum, h.sum, i == 0);
            }
        }
        if let Some(starts) = &mut starts {
            starts.write(&mut to, i, *time_ms, before);
        }
        before = *time_ms;
    }
    let flags = if first.is_gauge() { 0b1100_0000 } else { 0 };
    let [high, low] = (samples.len() as u16).to_be_bytes();
    let mut bytes = match starts {
        Some(starts) => vec![high | flags, low, starts.header],
        None => vec![high, low, flags],
    };
    bytes.extend(to.bytes());
    bytes
}

fn write_sum(to: &mut BitWriter, state: &mut Xor, sum: f64, is_first: bool) {
    if is_first {
        to.bits(sum.to_bits(), 64);
        *state = Xor::new(sum);
    } else {
        state.write(to, sum);
    }
}

fn layout(to: &mut BitWriter, h: &Histogram) {
    let power = (1..=254).find(|e| 2f64.powi(e - 244).to_bits() == h.zero_threshold.to_bits());
    match power {
        _ if h.zero_threshold == 0.0 => to.bits(0, 8),
        Some(e) => to.bits(e as u64, 8),
        None => {
            to.bits(255, 8);
            to.bits(h.zero_threshold.to_bits(), 64);
        }
    }
    to.varbit_int(i64::from(h.schema));
    for side in [&h.positive, &h.negative] {
        // A run for each bucket is allowed too.
        to.varbit_uint(side.len() as u64);
        let mut next = 0;
        for (index, _) in side {
            to.varbit_uint(1);
            to.varbit_int(i64::from(index - next));
            next = index + 1;
        }
    }
    if h.schema == -53 {
        to.varbit_uint(h.custom_bounds.len() as u64);
        for bound in &h.custom_bounds {
            let thousandths = bound * 1000.0;
            if (0.0..=33_554_430.0).contains(&thousandths) && thousandths.round() / 1000.0 == *bound {
                to.varbit_uint(thousandths.round() as u64 + 1);
            } else {
                to.bits(0, 1);
                to.bits(bound.to_bits(), 64);
            }
        }
    }
}

/// A series of a block to be made: labels, and chunks as first time, last time, encoding and bytes.
pub(super) type NewSeries = (Labels, Vec<(i64, i64, u8, Vec<u8>)>);

/// The files of a block.
pub(super) struct Files {
    pub index: Vec<u8>,
    pub chunks: Vec<Vec<u8>>,
}

fn with_crc(into: &mut Vec<u8>, body: &[u8]) {
    into.extend_from_slice(body);
    into.extend(crc32c::checksum(body).to_be_bytes());
}

/// Makes a block, with at most `per_file` chunks in a file.
pub(super) fn block(version: u8, series: &[NewSeries], per_file: usize) -> Files {
    let mut index = 0xBAAA_D700u32.to_be_bytes().to_vec();
    index.push(version);
    let symbols_at = index.len();
    let texts: BTreeSet<&str> = series
        .iter()
        .flat_map(|(l, _)| l.iter())
        .flat_map(|(n, v)| [n, v])
        .collect();
    let mut table = (texts.len() as u32).to_be_bytes().to_vec();
    let mut references = std::collections::HashMap::new();
    for (number, text) in texts.iter().enumerate() {
        let place = (index.len() + 4 + table.len()) as u64;
        references.insert(*text, if version == 1 { place } else { number as u64 });
        uvarint(&mut table, text.len() as u64);
        table.extend_from_slice(text.as_bytes());
    }
    index.extend((table.len() as u32).to_be_bytes());
    with_crc(&mut index, &table);
    let header = [&0x85BD_40DDu32.to_be_bytes()[..], &[1, 0, 0, 0]].concat();
    let (mut chunks, mut written) = (vec![header.clone()], 0);
    if version > 1 {
        index.resize(index.len().next_multiple_of(16), 0);
    }
    let series_at = index.len();
    for (labels, of_series) in series {
        if version > 1 {
            index.resize(index.len().next_multiple_of(16), 0);
        }
        let mut body = Vec::new();
        uvarint(&mut body, labels.iter().count() as u64);
        for (name, value) in labels.iter() {
            uvarint(&mut body, references[name]);
            uvarint(&mut body, references[value]);
        }
        uvarint(&mut body, of_series.len() as u64);
        let mut last: Option<(i64, u64)> = None;
        for (min, max, encoding, bytes) in of_series {
            if written == per_file {
                chunks.push(header.clone());
                written = 0;
            }
            written += 1;
            let number = chunks.len() as u64 - 1;
            let file = chunks.last_mut().unwrap();
            let reference = number << 32 | file.len() as u64;
            uvarint(file, bytes.len() as u64);
            with_crc(file, &[&[*encoding], &bytes[..]].concat());
            match last {
                None => uvarint(&mut body, zigzag(*min)),
                Some((before, _)) => uvarint(&mut body, (min - before).cast_unsigned()),
            }
            uvarint(&mut body, (max - min).cast_unsigned());
            match last {
                None => uvarint(&mut body, reference),
                Some((_, before)) => uvarint(&mut body, zigzag((reference - before).cast_signed())),
            }
            last = Some((*max, reference));
        }
        uvarint(&mut index, body.len() as u64);
        with_crc(&mut index, &body);
    }
    let toc = [symbols_at, series_at, 0, 0, index.len(), index.len()];
    let toc: Vec<u8> = toc.iter().flat_map(|at| (*at as u64).to_be_bytes()).collect();
    // What stands where the postings should be does not matter.
    index.extend([0; 8]);
    with_crc(&mut index, &toc);
    Files { index, chunks }
}
