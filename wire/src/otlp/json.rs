//! OTLP's JSON, read field by field into the protobuf types: 64-bit numbers as strings or numbers, ids in
//! hexadecimal, enums as numbers only, null like absence, unknown fields skipped.

mod common;
mod logs;
mod metrics;
mod scalars;
mod traces;

use crate::Quota;
use crate::quota::shorten;
use model::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A message whose fields are set one by one.
pub(super) trait Object: Default {
    /// Sets the field `name`, or skips a field that is not known.
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error>;
}

/// Reads a whole request.
pub(super) fn decode<T: Object>(body: &[u8], quota: &Quota) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Seed::<T>::new(quota)
        .deserialize(&mut deserializer)
        .and_then(|request| deserializer.end().map(|()| request))
        .map_err(|e| {
            quota
                .ran_out()
                .unwrap_or_else(|| Error::bad_data(shorten(format!("the body is not valid OTLP JSON: {e}"))))
        })
}

/// The value of a field that is about to be read.
pub(super) struct Field<'q, A> {
    map: &'q mut A,
    quota: &'q Quota,
}

impl<'de, A: MapAccess<'de>> Field<'_, A> {
    fn skip(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(|_| ())
    }
    /// A message, absent when it is null.
    fn optional<T: Object>(self) -> Result<Option<T>, A::Error> {
        self.map.next_value_seed(OptionalSeed(Seed::new(self.quota)))
    }
    fn list<T: Object>(self) -> Result<Vec<T>, A::Error> {
        self.map.next_value_seed(ListSeed(self.quota, PhantomData))
    }
}

/// Reads one message; null is the empty one.
struct Seed<'q, T>(&'q Quota, PhantomData<T>);

impl<'q, T> Seed<'q, T> {
    fn new(quota: &'q Quota) -> Self {
        Self(quota, PhantomData)
    }
}

impl<'de, T: Object> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object> Visitor<'de> for Seed<'_, T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        use serde::de::Error as _;
        self.0.take_one::<T>().map_err(A::Error::custom)?;
        let mut object = T::default();
        while let Some(Name(name)) = map.next_key()? {
            object.set(
                &name,
                Field {
                    map: &mut map,
                    quota: self.0,
                },
            )?;
        }
        Ok(object)
    }
}

struct OptionalSeed<'q, T>(Seed<'q, T>);

impl<'de, T: Object> DeserializeSeed<'de> for OptionalSeed<'_, T> {
    type Value = Option<T>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, T: Object> Visitor<'de> for OptionalSeed<'_, T> {
    type Value = Option<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// Reads a list of messages; null is the empty one.
struct ListSeed<'q, T>(&'q Quota, PhantomData<T>);

impl<'de, T: Object> DeserializeSeed<'de> for ListSeed<'_, T> {
    type Value = Vec<T>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object> Visitor<'de> for ListSeed<'_, T> {
    type Value = Vec<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }
    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Seed::new(self.0))? {
            list.push(item);
        }
        Ok(list)
    }
}

/// A field's name, borrowed from the body where it holds no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}
