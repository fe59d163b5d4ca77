//! A scan's conditions, prepared: what they say about a stream, a block, a row.

use super::columns::Columns;
use super::part::OpenPart;
use crate::bloom;
use crate::codec::checksum;
use crate::tokens::{Token, required_literals, required_tokens};
use crate::words::{Kind, WordsReader};
use memchr::memmem::Finder;
use model::predicate::LineFilter;
use model::{Direction, Labels, Predicate, Result, TimeRange};

/// What every line that satisfies a line filter has.
#[derive(Default)]
struct LineNeeds {
    words: Vec<Vec<u8>>,
    ids: Vec<u64>,
}

impl LineNeeds {
    fn of(filter: &LineFilter) -> Self {
        let mut needs = Self::default();
        match filter {
            LineFilter::Contains(text) => needs.add(text),
            LineFilter::Matches(regex) => required_literals(regex.as_str())
                .iter()
                .for_each(|l| needs.add(l)),
        }
        needs
    }
    fn add(&mut self, text: &str) {
        for token in required_tokens(text) {
            match token {
                Token::Word(word) => self.words.push(word.to_vec()),
                Token::Id(id) => self.ids.push(checksum(id)),
            }
        }
    }
}

/// Prepared conditions of one scan.
pub(super) struct Query {
    pub(super) range: TimeRange,
    pub(super) direction: Direction,
    /// Boxed, so that its leaves keep their addresses.
    predicate: Box<Predicate>,
    /// The address of each line filter in `predicate`, and what it needs.
    lines: Vec<(usize, LineNeeds)>,
    /// A text that every row has, searched in whole blocks at once.
    needle: Option<Finder<'static>>,
    has_metadata: bool,
}

fn address(leaf: &Predicate) -> usize {
    std::ptr::from_ref(leaf) as usize
}

/// The longest text that every matching line contains.
fn longest_needle(predicate: &Predicate) -> Option<&str> {
    match predicate {
        Predicate::Line(LineFilter::Contains(text)) if !text.is_empty() => Some(text),
        Predicate::And(parts) => parts.iter().filter_map(longest_needle).max_by_key(|t| t.len()),
        _ => None,
    }
}

impl Query {
    pub(super) fn new(predicate: &Predicate, range: TimeRange, direction: Direction) -> Self {
        let predicate = Box::new(predicate.clone());
        let leaves = predicate.leaves();
        let lines = leaves.iter().filter_map(|leaf| match leaf {
            Predicate::Line(filter) => Some((address(leaf), LineNeeds::of(filter))),
            _ => None,
        });
        Self {
            range,
            direction,
            lines: lines.collect(),
            needle: longest_needle(&predicate).map(|text| Finder::new(text).into_owned()),
            has_metadata: leaves.iter().any(|leaf| matches!(leaf, Predicate::Metadata(_))),
            predicate,
        }
    }
    /// A time as a number that rises in the scan's direction.
    pub(super) fn key(&self, time_ns: i64) -> i64 {
        match self.direction {
            Direction::Forward => time_ns,
            Direction::Backward => !time_ns,
        }
    }
    /// The key of the first row that may come from a range.
    pub(super) fn first_key(&self, range: &TimeRange) -> i64 {
        match self.direction {
            Direction::Forward => range.start_ns.max(self.range.start_ns),
            Direction::Backward => !range.end_ns.min(self.range.end_ns),
        }
    }
    /// What the labels alone say.
    pub(super) fn on_labels(&self, labels: &Labels) -> Option<bool> {
        self.evaluate(labels, |_| None)
    }
    /// Pairs of label and value that every row's stream has.
    pub(super) fn required_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let matchers = self.predicate.required_matchers().into_iter();
        matchers
            .filter(|m| m.op() == model::MatchOp::Equal && !m.value().is_empty())
            .map(|m| (m.name(), m.value()))
    }
    fn evaluate(&self, labels: &Labels, mut line: impl FnMut(&Predicate) -> Option<bool>) -> Option<bool> {
        self.predicate.evaluate(&mut |leaf| match leaf {
            Predicate::Label(m) => Some(m.matches_labels(labels)),
            Predicate::Line(_) => line(leaf),
            // Of equal lines the first to arrive is shown, with its metadata. So metadata is looked at last.
            Predicate::Metadata(_) => None,
            _ => Some(false),
        })
    }
    /// Whether any line filter says something about blocks.
    pub(super) fn can_skip_blocks(&self) -> bool {
        self.lines
            .iter()
            .any(|(_, needs)| !needs.words.is_empty() || !needs.ids.is_empty())
    }
    /// For each line filter the blocks that have all its words; `None` when it has none.
    pub(super) fn look_up(&self, words: &WordsReader) -> Result<Vec<Option<Vec<u32>>>> {
        let blocks = |needs: &LineNeeds| {
            let mut found: Option<Vec<u32>> = None;
            for word in &needs.words {
                let with_word = words.blocks(Kind::Word, word)?;
                found = Some(match found {
                    None => with_word,
                    Some(mut found) => {
                        found.retain(|b| with_word.binary_search(b).is_ok());
                        found
                    }
                });
            }
            Ok(found)
        };
        self.lines.iter().map(|(_, needs)| blocks(needs)).collect()
    }
    /// Whether a block may hold a matching row, by its words and its bloom filter. Errors only when the bloom
    /// filter cannot be read.
    pub(super) fn may_match(
        &self,
        part: &OpenPart,
        block: u32,
        with_words: Option<&Vec<Option<Vec<u32>>>>,
    ) -> Result<bool> {
        let mut bits = None;
        let mut verdicts = Vec::with_capacity(self.lines.len());
        for (i, (_, needs)) in self.lines.iter().enumerate() {
            let mut may = match with_words.map(|w| &w[i]) {
                Some(Some(blocks)) => blocks.binary_search(&block).is_ok(),
                _ => true,
            };
            if may && !needs.ids.is_empty() {
                if bits.is_none() {
                    bits = Some(part.read_bloom(block)?);
                }
                let bits = bits.as_deref().unwrap_or_default();
                may = needs.ids.iter().all(|id| bloom::may_contain(bits, *id));
            }
            verdicts.push(may);
        }
        let labels = &part.index.streams[part.index.blocks[block as usize].stream as usize];
        let verdict = self.evaluate(labels, |leaf| {
            let place = self.lines.iter().position(|(a, _)| *a == address(leaf));
            place.filter(|i| !verdicts[*i]).map(|_| false)
        });
        Ok(verdict != Some(false))
    }
    /// The rows that satisfy time and lines, in the scan's order. Metadata is left to [`Query::on_metadata`].
    pub(super) fn rows(&self, labels: &Labels, columns: &Columns) -> Vec<u32> {
        let range = columns.range();
        let mut rows: Vec<u32> = match (&self.needle, self.on_labels(labels)) {
            (_, Some(false)) => Vec::new(),
            (_, Some(true)) => (0..columns.len() as u32).collect(),
            (None, None) => {
                let matches = |row: &u32| self.on_line(labels, columns.line(*row as usize));
                (0..columns.len() as u32).filter(matches).collect()
            }
            (Some(needle), None) => {
                let mut rows = rows_with(needle, columns);
                rows.retain(|row| self.on_line(labels, columns.line(*row as usize)));
                rows
            }
        };
        if range.start_ns < self.range.start_ns || range.end_ns > self.range.end_ns {
            rows.retain(|row| self.range.contains(columns.time(*row as usize)));
        }
        if !columns.times().is_sorted() {
            rows.sort_by_key(|row| columns.time(*row as usize));
        }
        if self.direction == Direction::Backward {
            rows.reverse();
        }
        rows
    }
    fn on_line(&self, labels: &Labels, line: &str) -> bool {
        let verdict = self.evaluate(labels, |leaf| match leaf {
            Predicate::Line(filter) => Some(filter.matches(line)),
            _ => None,
        });
        verdict != Some(false)
    }
    /// The whole predicate for a row that passed [`Query::rows`].
    pub(super) fn on_metadata(&self, labels: &Labels, columns: &Columns, row: usize) -> bool {
        if !self.has_metadata {
            return true;
        }
        let metadata = columns.metadata(row).map(|m| m.as_slice()).unwrap_or_default();
        self.predicate.on_line(labels, columns.line(row), metadata)
    }
}

/// The rows whose line contains a text, found by one search through all lines.
fn rows_with(needle: &Finder<'_>, columns: &Columns) -> Vec<u32> {
    let (text, len) = (columns.text().as_bytes(), needle.needle().len());
    let mut rows = Vec::new();
    let mut from = 0;
    while let Some(at) = needle.find(&text[from..]) {
        let at = from + at;
        let (row, end) = columns.row_at(at);
        if at + len <= end {
            rows.push(row as u32);
            from = end;
        } else {
            // It begins in one line and ends in the next.
            from = at + 1;
        }
    }
    rows
}
