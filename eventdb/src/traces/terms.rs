//! What is indexed of a span: fields and attributes as pairs of name and text.

use super::spans::Row;
use crate::codec::checksum;
use crate::words::pair_term;
use model::predicate::{field, status_name};
use model::{SpanId, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The pair that holds a service and an operation of it, so that the operations of one service can be listed.
pub(super) const OPERATION: &str = "\u{1}operation";
/// Names of one block with more values than this have them in the bloom filter instead of the dictionary.
const MAX_VALUES: usize = 64;
/// Longer values go to the bloom filter.
const MAX_VALUE_BYTES: usize = 128;

/// The value of [`OPERATION`].
pub(super) fn operation(service: &str, name: &str) -> String {
    format!("{service}\0{name}")
}

fn is_reserved(key: &str) -> bool {
    matches!(key, field::SERVICE | field::NAME | field::KIND | field::STATUS)
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The text of a field or attribute of a row, as [`model::Predicate::Field`] compares it; empty when absent.
pub(super) fn value_of<'a>(row: &'a Row, name: &str) -> Cow<'a, str> {
    match name {
        field::SERVICE => Cow::Borrowed(row.group.resource.service_name()),
        field::NAME => Cow::Borrowed(&row.span.name),
        field::KIND => Cow::Borrowed(row.span.kind.as_str()),
        field::STATUS => Cow::Borrowed(status_name(row.span.status)),
        key => {
            let own = row.span.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v);
            own.or_else(|| row.group.resource.get(key))
                .map_or(Cow::Borrowed(""), text)
        }
    }
}

/// Names of a row's attributes, those of its resource included.
pub(super) fn keys_of(row: &Row) -> impl Iterator<Item = &str> {
    let of_resource = row.group.resource.attributes.iter();
    of_resource
        .chain(&row.span.attributes)
        .map(|(key, _)| key.as_str())
}

/// The hash by which a bloom filter knows a pair.
pub(super) fn pair_hash(name: &str, value: &str) -> u64 {
    checksum(&pair_term(name, value))
}

/// The hash by which a bloom filter knows a span's id.
pub(super) fn span_hash(id: &SpanId) -> u64 {
    checksum(&id.0)
}

/// The terms of one block.
#[derive(Default)]
pub(super) struct BlockTerms {
    values: BTreeMap<String, Values>,
    /// What goes to the bloom filter.
    pub(super) hashes: Vec<u64>,
    /// Groups whose resource was looked at, by address.
    known: HashSet<(usize, String)>,
}

#[derive(Default)]
struct Values {
    texts: BTreeSet<String>,
    is_wide: bool,
}

impl BlockTerms {
    pub(super) fn add(&mut self, row: &Row) {
        self.hashes.push(span_hash(&row.span.span_id));
        for name in [field::SERVICE, field::NAME, field::KIND, field::STATUS] {
            self.add_pair(name, &value_of(row, name));
        }
        let service = row.group.resource.service_name();
        self.add_pair(OPERATION, &operation(service, &row.span.name));
        // Of several attributes with one key the first counts, and the span's before the resource's.
        for (i, (key, value)) in row.span.attributes.iter().enumerate() {
            if !is_reserved(key) && row.span.attributes[..i].iter().all(|(k, _)| k != key) {
                self.add_pair(key, &text(value));
            }
        }
        let group = std::sync::Arc::as_ptr(&row.group) as usize;
        for (i, (key, value)) in row.group.resource.attributes.iter().enumerate() {
            let is_own = row.span.attributes.iter().any(|(k, _)| k == key);
            let is_first = row.group.resource.attributes[..i].iter().all(|(k, _)| k != key);
            if !is_own && is_first && !is_reserved(key) && self.known.insert((group, key.clone())) {
                self.add_pair(key, &text(value));
            }
        }
    }
    fn add_pair(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !self.values.contains_key(name) {
            self.values.insert(name.to_owned(), Values::default());
        }
        let Some(values) = self.values.get_mut(name) else {
            return;
        };
        if values.texts.contains(value) {
            return;
        }
        // A name with the separator in it would look like another name and its value.
        if value.len() > MAX_VALUE_BYTES || values.texts.len() >= MAX_VALUES || name.contains('\0') {
            values.is_wide = true;
            self.hashes.push(pair_hash(name, value));
        } else {
            values.texts.insert(value.to_owned());
        }
    }
    /// The pairs for the dictionary.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Vec<u8>> {
        self.values
            .iter()
            .flat_map(|(name, values)| values.texts.iter().map(move |value| pair_term(name, value)))
    }
    /// Names with values in the bloom filter.
    pub(super) fn wide(&self) -> impl Iterator<Item = &[u8]> {
        self.values
            .iter()
            .filter(|(_, v)| v.is_wide)
            .map(|(name, _)| name.as_bytes())
    }
}
