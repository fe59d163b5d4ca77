//! The JSON form: `{"streams":[{"stream":{…},"values":[["<ns>","<line>",{…}], …]}]}`.

use super::add_stream;
use crate::Decoded;
use crate::quota::shorten;
use model::{Error, Labels, LogEntry, Logs, Result};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

// All fields are required, so that no element is shorter than its struct by more than a small factor; that is
// why this decoder needs no quota.
#[derive(Deserialize)]
struct Push {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    stream: Pairs,
    values: Vec<Entry>,
}

/// An object of strings.
struct Pairs(Vec<(String, String)>);

/// A list of a time, a line, and optionally an object of strings.
struct Entry(LogEntry);

/// Reads a push request. Streams without labels are refused each for itself.
///
/// # Errors
/// [`model::ErrorKind::BadData`] when the body is not such a request.
pub fn decode_json(body: &[u8]) -> Result<Decoded<Logs>> {
    let push: Push = serde_json::from_slice(body)
        .map_err(|e| Error::bad_data(shorten(format!("the body is not a push request in JSON: {e}"))))?;
    let mut decoded = Decoded::default();
    for stream in push.streams {
        let labels = match stream.stream.0.iter().find(|(name, _)| !is_label_name(name)) {
            Some((name, _)) => Err(Error::bad_data(format!("{name:?} is not a label name"))),
            None => Ok(Labels::from_pairs(stream.stream.0)),
        };
        add_stream(
            &mut decoded,
            labels,
            stream.values.into_iter().map(|e| e.0).collect(),
        );
    }
    Ok(decoded)
}

fn is_label_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of a time in nanoseconds (as a string), a line and optionally an object of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
                let Nanos(timestamp_ns) = seq
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let line = seq
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(1, &self))?;
                let mut metadata = seq
                    .next_element::<Pairs>()?
                    .map_or_else(Vec::new, |pairs| pairs.0);
                metadata.retain(|(name, value)| !name.is_empty() && !value.is_empty());
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::invalid_length(4, &self));
                }
                Ok(Entry(LogEntry {
                    timestamp_ns,
                    line,
                    metadata,
                }))
            }
        }
        deserializer.deserialize_seq(EntryVisitor)
    }
}

/// Nanoseconds as a string, or as a whole number.
struct Nanos(i64);

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NanosVisitor;
        impl Visitor<'_> for NanosVisitor {
            type Value = Nanos;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in nanoseconds since the epoch, as a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Nanos, E> {
                let ns = text
                    .parse()
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                Ok(Nanos(ns))
            }
            fn visit_i64<E>(self, ns: i64) -> Result<Nanos, E> {
                Ok(Nanos(ns))
            }
            fn visit_u64<E: serde::de::Error>(self, ns: u64) -> Result<Nanos, E> {
                let ns = i64::try_from(ns)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(ns), &self))?;
                Ok(Nanos(ns))
            }
        }
        deserializer.deserialize_any(NanosVisitor)
    }
}
