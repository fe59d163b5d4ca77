//! Numbers, texts, bytes and ids of OTLP's JSON.

use super::Field;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

impl<'de, A: MapAccess<'de>> Field<'_, A> {
    /// A text that is absent when it is null.
    pub(super) fn optional_text(self) -> Result<Option<String>, A::Error> {
        self.map.next_value()
    }
    pub(super) fn text(self) -> Result<String, A::Error> {
        Ok(self.map.next_value::<Option<String>>()?.unwrap_or_default())
    }
    pub(super) fn texts(self) -> Result<Vec<String>, A::Error> {
        Ok(self.map.next_value::<Option<Vec<String>>>()?.unwrap_or_default())
    }
    pub(super) fn optional_bool(self) -> Result<Option<bool>, A::Error> {
        self.map.next_value()
    }
    pub(super) fn bool(self) -> Result<bool, A::Error> {
        Ok(self.map.next_value::<Option<bool>>()?.unwrap_or_default())
    }
    /// A whole number of any width, as a number or as a string.
    pub(super) fn optional_int<T: TryFrom<i128>>(self) -> Result<Option<T>, A::Error> {
        Ok(self.map.next_value::<Option<Int<T>>>()?.map(|i| i.0))
    }
    pub(super) fn int<T: TryFrom<i128> + Default>(self) -> Result<T, A::Error> {
        Ok(self.optional_int()?.unwrap_or_default())
    }
    pub(super) fn ints<T: TryFrom<i128>>(self) -> Result<Vec<T>, A::Error> {
        let list = self.map.next_value::<Option<Vec<Int<T>>>>()?.unwrap_or_default();
        Ok(list.into_iter().map(|i| i.0).collect())
    }
    /// An enum: its number, never its name.
    pub(super) fn number_of_enum(self) -> Result<i32, A::Error> {
        Ok(self.map.next_value::<Option<i32>>()?.unwrap_or_default())
    }
    pub(super) fn optional_double(self) -> Result<Option<f64>, A::Error> {
        Ok(self.map.next_value::<Option<Double>>()?.map(|d| d.0))
    }
    pub(super) fn double(self) -> Result<f64, A::Error> {
        Ok(self.optional_double()?.unwrap_or_default())
    }
    pub(super) fn doubles(self) -> Result<Vec<f64>, A::Error> {
        let list = self.map.next_value::<Option<Vec<Double>>>()?.unwrap_or_default();
        Ok(list.into_iter().map(|d| d.0).collect())
    }
    /// An id in hexadecimal of exactly so many bytes, or none.
    pub(super) fn id(self, size_bytes: usize) -> Result<Vec<u8>, A::Error> {
        let text = self.map.next_value::<Option<String>>()?.unwrap_or_default();
        let id = hex::decode(&text)
            .ok()
            .filter(|id| id.is_empty() || id.len() == size_bytes);
        id.ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            A::Error::custom(format_args!(
                "{shown:?} is not an id of {size_bytes} bytes in hexadecimal"
            ))
        })
    }
    /// Bytes in base64, of either alphabet.
    pub(super) fn optional_bytes(self) -> Result<Option<Vec<u8>>, A::Error> {
        use base64::Engine as _;
        use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
        const LENIENT: GeneralPurposeConfig =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        const ENGINE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
        let Some(text) = self.map.next_value::<Option<String>>()? else {
            return Ok(None);
        };
        let standard = text.replace('-', "+").replace('_', "/");
        ENGINE
            .decode(standard)
            .map(Some)
            .map_err(|e| A::Error::custom(format_args!("bytes are not base64: {e}")))
    }
}

/// A whole number, also when it stands in quotes or is written with a fraction of zero.
struct Int<T>(T);

struct IntVisitor<T>(PhantomData<T>);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Int<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntVisitor(PhantomData))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for IntVisitor<T> {
    type Value = Int<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of {} bits", size_of::<T>() * 8)
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        T::try_from(i128::from(n))
            .map(Int)
            .map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        T::try_from(i128::from(n))
            .map(Int)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(n), &self))
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<Self::Value, E> {
        let whole = (n.fract() == 0.0).then_some(n as i128);
        whole
            .and_then(|whole| T::try_from(whole).ok())
            .map(Int)
            .ok_or_else(|| E::invalid_value(Unexpected::Float(n), &self))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let n = i128::from_str(text).ok().and_then(|n| T::try_from(n).ok());
        n.map(Int)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A floating-point number; what JSON has no number for stands in quotes.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DoubleVisitor;
        impl Visitor<'_> for DoubleVisitor {
            type Value = Double;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
            }
            fn visit_f64<E>(self, n: f64) -> Result<Double, E> {
                Ok(Double(n))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Double, E> {
                Ok(Double(n as f64))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Double, E> {
                Ok(Double(n as f64))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
                match text {
                    "NaN" => Ok(Double(f64::NAN)),
                    "Infinity" => Ok(Double(f64::INFINITY)),
                    "-Infinity" => Ok(Double(f64::NEG_INFINITY)),
                    _ => {
                        let n = f64::from_str(text).ok().filter(|n| n.is_finite());
                        n.map(Double)
                            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
                    }
                }
            }
        }
        deserializer.deserialize_any(DoubleVisitor)
    }
}
