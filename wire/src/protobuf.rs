//! The protobuf wire format, walked by hand: fields one after the other, nothing copied.

use model::{Error, Result};

/// One field's value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(b) => Ok(b),
            _ => Err(wrong_type()),
        }
    }
    pub(crate) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| bad("a string is not valid UTF-8"))
    }
    pub(crate) fn uint(self) -> Result<u64> {
        match self {
            Self::Varint(n) => Ok(n),
            _ => Err(wrong_type()),
        }
    }
    /// `int64` and `int32`: two's complement in 64 bits.
    pub(crate) fn int(self) -> Result<i64> {
        Ok(self.uint()?.cast_signed())
    }
    /// `int32` and enums; more than 32 bits are cut off, as every implementation does.
    pub(crate) fn int32(self) -> Result<i32> {
        Ok(low_32(self.uint()?).cast_signed())
    }
    /// `sint32`: zigzag.
    pub(crate) fn sint32(self) -> Result<i32> {
        let n = low_32(self.uint()?);
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }
    pub(crate) fn double(self) -> Result<f64> {
        match self {
            Self::Fixed64(n) => Ok(f64::from_bits(n)),
            _ => Err(wrong_type()),
        }
    }
}

fn low_32(n: u64) -> u32 {
    u32::try_from(n & 0xffff_ffff).expect("masked to 32 bits")
}

/// `sint64`: zigzag.
pub(crate) fn zigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

/// Walks the fields of one message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }
    /// The next field's number and value, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| bad("a field number is too large"))?;
        if number == 0 {
            return Err(bad("a field number is zero"));
        }
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| cut_off())?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(bad(&format!("wire type {other} is not used by this protocol"))),
        };
        Ok(Some((number, value)))
    }
    /// One varint: also for the elements of packed fields.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        let mut n = 0u64;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if i == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(if self.rest.len() < 10 {
            cut_off()
        } else {
            bad("a varint is longer than 64 bits")
        })
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or_else(cut_off)?;
        self.rest = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("took exactly N bytes"))
    }
}

/// Elements of a packed `repeated double`, or the one element of an unpacked one.
pub(crate) fn doubles(field: Field<'_>, out: &mut Vec<f64>) -> Result<()> {
    match field {
        Field::Bytes(bytes) => {
            let (elements, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(cut_off());
            }
            out.extend(elements.iter().map(|e| f64::from_le_bytes(*e)));
            Ok(())
        }
        one => {
            out.push(one.double()?);
            Ok(())
        }
    }
}

/// Elements of a packed `repeated sint64`, or the one element of an unpacked one.
pub(crate) fn sint64s(field: Field<'_>, out: &mut Vec<i64>) -> Result<()> {
    match field {
        Field::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                out.push(zigzag(reader.varint()?));
            }
        }
        one => out.push(zigzag(one.uint()?)),
    }
    Ok(())
}

/// Elements of a packed `repeated uint32`, or the one element of an unpacked one. More than 32 bits are cut off.
pub(crate) fn uint32s(field: Field<'_>, out: &mut Vec<u32>) -> Result<()> {
    match field {
        Field::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                out.push(low_32(reader.varint()?));
            }
        }
        one => out.push(low_32(one.uint()?)),
    }
    Ok(())
}

fn bad(what: &str) -> Error {
    Error::bad_data(format!("the body is not valid protobuf: {what}"))
}
fn wrong_type() -> Error {
    bad("a field has the wrong type")
}
fn cut_off() -> Error {
    bad("it ends in the middle of a field")
}

/// Writes one message, field by field. Default values are left out, as proto3 says.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }
    /// What was written after the first so many bytes.
    pub(crate) fn since(&self, len: usize) -> &[u8] {
        &self.out[len..]
    }
    #[cfg(test)]
    pub(crate) fn raw(&mut self, byte: u8) {
        self.out.push(byte);
    }
    pub(crate) fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.out.push(n as u8);
    }
    fn key(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }
    pub(crate) fn uint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.key(number, 0);
            self.varint(value);
        }
    }
    pub(crate) fn int(&mut self, number: u32, value: i64) {
        self.uint(number, value.cast_unsigned());
    }
    pub(crate) fn sint32(&mut self, number: u32, value: i32) {
        self.uint(number, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
    }
    /// Written even when it is zero: for members of a oneof, and -0.0 is not the default.
    pub(crate) fn double_always(&mut self, number: u32, value: f64) {
        self.key(number, 1);
        self.out.extend(value.to_bits().to_le_bytes());
    }
    pub(crate) fn double(&mut self, number: u32, value: f64) {
        if value.to_bits() != 0 {
            self.double_always(number, value);
        }
    }
    pub(crate) fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.bytes_always(number, value);
        }
    }
    /// Written even when they are empty: for elements of repeated fields.
    pub(crate) fn bytes_always(&mut self, number: u32, value: &[u8]) {
        self.key(number, 2);
        self.varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }
    pub(crate) fn text(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }
    /// A length-delimited field, written even when it is empty.
    pub(crate) fn message(&mut self, number: u32, body: impl FnOnce(&mut Self)) {
        self.key(number, 2);
        let start = self.out.len();
        body(self);
        let len = self.out.len() - start;
        // The length stands before the body but is known only after it: append it, then turn it to the front.
        self.varint(len as u64);
        self.out[start..].rotate_left(len);
    }
    /// A packed `repeated uint32`.
    pub(crate) fn uint32s(&mut self, number: u32, values: &[u32]) {
        if !values.is_empty() {
            self.message(number, |w| values.iter().for_each(|v| w.varint(u64::from(*v))));
        }
    }
    /// Puts what another writer wrote behind this.
    pub(crate) fn append(&mut self, other: &Self) {
        self.out.extend_from_slice(&other.out);
    }
    pub(crate) fn doubles(&mut self, number: u32, values: impl ExactSizeIterator<Item = f64>) {
        if values.len() > 0 {
            self.message(number, |w| {
                values.for_each(|v| w.out.extend(v.to_bits().to_le_bytes()));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn damage_is_refused() {
        let check = |bytes: &[u8], says: &str| {
            let e = Reader::new(bytes).next().unwrap_err();
            assert!(e.message().contains(says), "{bytes:x?}: {e}");
        };
        check(&[0x80], "ends in the middle");
        check(&[0x00, 0x00], "number is zero");
        check(&[0x0b], "wire type 3");
        check(&[0x0a, 0x05, 1, 2], "ends in the middle");
        check(
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            "ends in the middle",
        );
        check(
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            "longer than 64 bits",
        );
        check(&[0x09, 1, 2, 3], "ends in the middle");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(n: u64, i: i64, s: i32, d: f64, text: String) {
            let mut w = Writer::default();
            w.message(1, |w| {
                w.uint(1, n);
                w.int(2, i);
                w.sint32(3, s);
                w.double_always(4, d);
                w.text(5, &text);
            });
            let bytes = w.finish();
            let mut outer = Reader::new(&bytes);
            let (1, body) = outer.next().unwrap().unwrap() else { panic!() };
            prop_assert!(outer.next().unwrap().is_none());
            let (mut inner, mut back) = (Reader::new(body.bytes().unwrap()), (0, 0, 0, 0, String::new()));
            while let Some((number, f)) = inner.next().unwrap() {
                match number {
                    1 => back.0 = f.uint().unwrap(),
                    2 => back.1 = f.int().unwrap(),
                    3 => back.2 = f.sint32().unwrap(),
                    4 => back.3 = f.double().unwrap().to_bits(),
                    _ => back.4 = f.text().unwrap().to_owned(),
                }
            }
            prop_assert_eq!(back, (n, i, s, d.to_bits(), text));
        }
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let mut r = Reader::new(&bytes);
            while let Ok(Some((_, f))) = r.next() {
                let _ = (f.bytes(), f.text(), f.int32(), f.sint32(), f.double());
                let _ = doubles(f, &mut Vec::new());
                let _ = sint64s(f, &mut Vec::new());
                let _ = uint32s(f, &mut Vec::new());
            }
        }
    }
}
