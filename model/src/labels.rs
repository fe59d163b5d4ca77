//! Label sets: sorted by name, unique, immutable, one shared allocation, hashed once.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A sorted set of label pairs. Names are unique and no value is empty: a label with an empty value is the
/// same as no label. Cloning is cheap; equality compares the hash first.
#[derive(Clone)]
pub struct Labels(Arc<Inner>);

struct Inner {
    hash: u64,
    /// All names and values, one after the other.
    text: Box<str>,
    /// The end of each name and each value in `text`, alternating.
    ends: Box<[u32]>,
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        LabelsBuilder::default().build()
    }
    /// From pairs in any order; the later of two pairs with one name wins, empty values vanish.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        LabelsBuilder {
            pairs: pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        }
        .build()
    }
    /// The pairs, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.len()).map(|i| self.pair(i))
    }
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            let (n, v) = self.pair(middle);
            match n.cmp(name) {
                Ordering::Equal => return Some(v),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }
    /// The value of `__name__`.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }
    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }
    /// XXH3-64 over `name 0xFE value 0xFF` of each pair in order. Stable: it stands in files.
    pub fn hash(&self) -> u64 {
        self.0.hash
    }
    /// The bytes that the set takes in memory, roughly.
    pub fn size_bytes(&self) -> usize {
        self.0.text.len() + self.0.ends.len() * 4 + 48
    }
    /// A builder that starts with these pairs.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder {
            pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        }
    }
    /// This set without its metric name.
    #[must_use]
    pub fn without_metric_name(&self) -> Self {
        if self.metric_name().is_none() {
            return self.clone();
        }
        Self::from_pairs(self.iter().filter(|(n, _)| *n != METRIC_NAME))
    }
    /// Only the labels with these names.
    #[must_use]
    pub fn keep<S: AsRef<str>>(&self, names: &[S]) -> Self {
        Self::from_pairs(
            self.iter()
                .filter(|(n, _)| names.iter().any(|k| k.as_ref() == *n)),
        )
    }
    /// All labels but the ones with these names.
    #[must_use]
    pub fn drop<S: AsRef<str>>(&self, names: &[S]) -> Self {
        Self::from_pairs(
            self.iter()
                .filter(|(n, _)| names.iter().all(|k| k.as_ref() != *n)),
        )
    }

    fn pair(&self, i: usize) -> (&str, &str) {
        let end = |k: usize| self.0.ends[k] as usize;
        let start = if i == 0 { 0 } else { end(2 * i - 1) };
        let text = &*self.0.text;
        (&text[start..end(2 * i)], &text[end(2 * i)..end(2 * i + 1)])
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.ends == other.0.ends && self.0.text == other.0.text)
    }
}
impl Eq for Labels {}
impl std::hash::Hash for Labels {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}
impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Labels {
    /// Pair by pair, names before values, as Prometheus sorts its results.
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    /// As in the exposition format: `name{a="b"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        f.write_str(name.unwrap_or_default())?;
        let mut rest = self.iter().filter(|(n, _)| *n != METRIC_NAME).peekable();
        if rest.peek().is_none() && name.is_some() {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, (n, v)) in rest.enumerate() {
            write!(f, "{}{n}={v:?}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}
impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
impl<'de> serde::Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_pairs(
            std::collections::BTreeMap::<String, String>::deserialize(deserializer)?,
        ))
    }
}

/// Collects and changes label pairs until [`LabelsBuilder::build`] sorts them.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        match self.pairs.iter_mut().find(|(n, _)| *n == name) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((name, value)),
        }
        self
    }
    /// Adds a pair without looking for an earlier one; `build` lets the later one win.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.pairs.push((name.into(), value.into()));
        self
    }
    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }
    /// The value that a label has now.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(n, v)| n == name && !v.is_empty())
            .map(|(_, v)| v.as_str())
    }
    /// The pairs as they stand, unsorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
    /// A name that was pushed more than once.
    pub fn repeated(&self) -> Option<&str> {
        if self.pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return None;
        }
        let mut names: Vec<&str> = self.pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).find(|w| w[0] == w[1]).map(|w| w[0])
    }
    /// Sorts, lets the later of equal names win, drops empty values.
    pub fn build(mut self) -> Labels {
        // A stable sort keeps the order of equal names, so the last of a run is the one that was set last.
        self.pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = String::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len()).sum());
        let mut ends = Vec::with_capacity(self.pairs.len() * 2);
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        let mut pairs = self.pairs.iter().peekable();
        while let Some((name, value)) = pairs.next() {
            let superseded = pairs.peek().is_some_and(|next| next.0 == *name);
            if superseded || value.is_empty() {
                continue;
            }
            for (part, separator) in [(name, 0xFE), (value, 0xFF)] {
                text.push_str(part);
                ends.push(u32::try_from(text.len()).expect("label sets are limited far below 4 GiB"));
                hasher.update(part.as_bytes());
                hasher.update(&[separator]);
            }
        }
        Labels(Arc::new(Inner {
            hash: hasher.digest(),
            text: text.into(),
            ends: ends.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn shows_as_prometheus_writes() {
        let check = |pairs: &[(&str, &str)], shown: &str| {
            assert_eq!(Labels::from_pairs(pairs.iter().copied()).to_string(), shown);
        };
        check(&[], "{}");
        check(&[("__name__", "up")], "up");
        check(
            &[("b", "2"), ("__name__", "up"), ("a", "\"1\"")],
            r#"up{a="\"1\"", b="2"}"#,
        );
        check(&[("a", "1"), ("a", "2")], r#"{a="2"}"#);
        check(&[("a", "1"), ("a", "")], "{}");
    }

    proptest! {
        #[test]
        fn a_label_set_is_a_map_without_empty_values(pairs in prop::collection::vec(("[a-d]{1,2}", "[xyü]{0,2}"), 0..12)) {
            let labels = Labels::from_pairs(pairs.clone());
            let mut map: BTreeMap<String, String> = pairs.into_iter().collect();
            map.retain(|_, v| !v.is_empty());
            prop_assert_eq!(labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>(), map.clone());
            prop_assert_eq!(labels.len(), map.len());
            for name in ["a", "b", "aa", "zz"] {
                prop_assert_eq!(labels.get(name), map.get(name).map(String::as_str));
            }
            let again = Labels::from_pairs(map);
            prop_assert_eq!(labels.hash(), again.hash());
            prop_assert_eq!(labels, again);
        }
    }
}
