//! Writes a part of log entries: cuts blocks, gathers their words and ids.

use super::columns::Columns;
use super::part::{BLOCKS, BLOOMS, BlockInfo, INDEX, LogIndex};
use crate::Options;
use crate::bloom;
use crate::codec::{Compressor, checksum};
use crate::engine::PartFactory;
use crate::tokens::{Token, tokens};
use crate::words::{WordsWriter, pair_term};
use model::{Labels, Result, TimeRange};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher, RandomState};
use std::ops::Range;
use storage::PartWriter;

/// Rows after which a block is cut however short its lines are.
const MAX_ROWS: usize = 128 << 10;

/// Takes a hash for what it is.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = checksum(bytes);
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// The distinct words and ids of a block.
struct TokenSet {
    /// Differs from run to run, so that nobody can make words that all fall together.
    seed: u64,
    /// All words, one after the other.
    text: Vec<u8>,
    words: Vec<Range<u32>>,
    by_hash: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    ids: Vec<u64>,
}

impl TokenSet {
    fn new() -> Self {
        Self {
            seed: std::hash::BuildHasher::hash_one(&RandomState::new(), 0),
            text: Vec::new(),
            words: Vec::new(),
            by_hash: HashMap::default(),
            ids: Vec::new(),
        }
    }
    fn word(&self, place: u32) -> &[u8] {
        let range = &self.words[place as usize];
        &self.text[range.start as usize..range.end as usize]
    }
    fn add_line(&mut self, line: &str) {
        tokens(line.as_bytes(), |token| match token {
            Token::Word(word) => self.add_word(word),
            Token::Id(id) => self.ids.push(checksum(id)),
        });
    }
    fn add_word(&mut self, word: &[u8]) {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(word, self.seed);
        if let Some(place) = self.by_hash.get(&hash)
            && self.word(*place) == word
        {
            return;
        }
        // Of two words with one hash both are kept, the later one perhaps more than once: that is harmless.
        let start = self.text.len() as u32;
        self.text.extend_from_slice(word);
        self.by_hash.entry(hash).or_insert(self.words.len() as u32);
        self.words.push(start..self.text.len() as u32);
    }
    fn clear(&mut self) {
        self.text.clear();
        self.words.clear();
        self.by_hash.clear();
        self.ids.clear();
    }
}

/// Writes one part, stream by stream, each stream's rows by time.
pub(super) struct LogPartWriter {
    part: PartWriter,
    words: WordsWriter,
    compressor: Compressor,
    block_bytes: usize,
    block_words: usize,
    index: LogIndex,
    blooms: Vec<u8>,
    pairs: Vec<Vec<u8>>,
    current: Columns,
    tokens: TokenSet,
    range: Option<TimeRange>,
    rows: u64,
    raw_bytes: u64,
}

impl LogPartWriter {
    pub(super) fn new(mut part: PartWriter, options: &Options, level: i32) -> Result<Self> {
        part.begin(BLOCKS)?;
        Ok(Self {
            part,
            words: WordsWriter::new()?,
            compressor: Compressor::new(level)?,
            block_bytes: options.block_bytes,
            block_words: options.block_words,
            index: LogIndex::default(),
            blooms: Vec::new(),
            pairs: Vec::new(),
            current: Columns::default(),
            tokens: TokenSet::new(),
            range: None,
            rows: 0,
            raw_bytes: 0,
        })
    }
    /// Starts the next stream; each stream comes once.
    pub(super) fn begin_stream(&mut self, labels: &Labels) -> Result<()> {
        self.end_block()?;
        self.pairs = labels
            .iter()
            .map(|(name, value)| pair_term(name, value))
            .collect();
        self.index.streams.push(labels.clone());
        Ok(())
    }
    /// Appends a row to the stream that was begun.
    pub(super) fn push(&mut self, from: &Columns, row: usize) -> Result<()> {
        let line = from.line(row);
        self.current
            .push(from.time(row), line, from.metadata(row), from.is_kept(row));
        self.tokens.add_line(line);
        let is_full = self.current.text_bytes() >= self.block_bytes
            || self.tokens.words.len() >= self.block_words
            || self.current.len() >= MAX_ROWS;
        if is_full { self.end_block() } else { Ok(()) }
    }
    fn end_block(&mut self) -> Result<()> {
        if self.current.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.current);
        let bytes = block.encode(&mut self.compressor)?;
        let offset = self.part.write(&bytes)?;
        self.tokens.ids.sort_unstable();
        self.tokens.ids.dedup();
        let bloom = bloom::build(&self.tokens.ids);
        let tokens = &self.tokens;
        let range = block.range();
        self.words.add_block(
            self.pairs.iter().map(Vec::as_slice),
            (0..tokens.words.len() as u32).map(|i| tokens.word(i)),
            range,
        )?;
        self.index.blocks.push(BlockInfo {
            stream: self.index.streams.len() as u32 - 1,
            rows: block.len() as u32,
            text_bytes: block.text_bytes() as u32,
            range,
            offset,
            len: bytes.len() as u32,
            bloom_offset: self.blooms.len() as u64,
            bloom_len: bloom.len() as u32,
        });
        self.blooms.extend_from_slice(&bloom);
        self.range = Some(self.range.map_or(range, |r| r.union(&range)));
        self.rows += block.len() as u64;
        self.raw_bytes += block.text_bytes() as u64;
        self.tokens.clear();
        Ok(())
    }
    /// Writes the rest of the part.
    pub(super) fn finish(mut self, factory: &mut PartFactory) -> Result<()> {
        self.end_block()?;
        let Some(range) = self.range else {
            // Nothing was pushed; the unfinished file goes with the writer.
            return Ok(());
        };
        self.part.section(BLOOMS, &self.blooms)?;
        self.part.section(INDEX, &self.index.encode()?)?;
        self.words.finish()?.write(&mut self.part)?;
        factory.finish(self.part, range, self.rows, self.raw_bytes)
    }
}
