//! The word index of a part: one tantivy document for each block, in one segment, without threads.
//!
//! A block's document has the pairs (labels, attributes) and words that occur in the block, and its time range.
//! tantivy writes into memory; its files become sections of the part, and are read again through a `Directory`
//! of our own over the part, which checks every byte.

mod packed;

pub(crate) use packed::PackedFiles;

use model::{Error, Result, TimeRange};
use packed::{PackedDirectory, pack};
use std::borrow::Cow;
use std::sync::Arc;
use storage::PartReader;
use tantivy::directory::RamDirectory;
use tantivy::indexer::SingleSegmentIndexWriter;
use tantivy::schema::{BytesOptions, FAST, Field, IndexRecordOption, NumericOptions, Schema};
use tantivy::{DocSet, Index, IndexSettings, SegmentReader, TERMINATED, TantivyDocument, Term};

/// What a term stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A name and a value; see [`pair_term`].
    Pair,
    /// A word of a line, or in traces the name of an attribute whose values went to the bloom filter.
    Word,
}

/// Longer terms are replaced by their hash, so that a dictionary stays small and tantivy's own limit far.
const MAX_TERM_BYTES: usize = 512;

/// The term of a name and a value.
pub(crate) fn pair_term(name: &str, value: &str) -> Vec<u8> {
    let mut term = Vec::with_capacity(name.len() + 1 + value.len());
    term.extend_from_slice(name.as_bytes());
    term.push(0);
    term.extend_from_slice(value.as_bytes());
    term
}

fn stored_term(term: &[u8]) -> Cow<'_, [u8]> {
    if term.len() <= MAX_TERM_BYTES {
        return Cow::Borrowed(term);
    }
    let mut hashed = vec![0xFF];
    hashed.extend_from_slice(&xxhash_rust::xxh3::xxh3_128(term).to_le_bytes());
    Cow::Owned(hashed)
}

fn schema() -> (Schema, [Field; 4]) {
    let mut builder = Schema::builder();
    let bytes = || BytesOptions::default().set_indexed();
    let fields = [
        builder.add_bytes_field("pair", bytes()),
        builder.add_bytes_field("word", bytes()),
        builder.add_i64_field("from", NumericOptions::from(FAST)),
        builder.add_i64_field("to", NumericOptions::from(FAST)),
    ];
    (builder.build(), fields)
}

/// The size that tantivy's term table starts with follows from this; it grows as needed.
const START_MEMORY_BYTES: usize = 15 << 20;

/// Collects the documents of a part.
pub(crate) struct WordsWriter {
    directory: RamDirectory,
    writer: SingleSegmentIndexWriter<TantivyDocument>,
    fields: [Field; 4],
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::internal(format!("the word index could not be written: {e}"))
}

impl WordsWriter {
    pub(crate) fn new() -> Result<Self> {
        let directory = RamDirectory::create();
        let (schema, fields) = schema();
        let settings = IndexSettings {
            docstore_compression: tantivy::store::Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let writer = Index::builder()
            .schema(schema)
            .settings(settings)
            .single_segment_index_writer(directory.clone(), START_MEMORY_BYTES)
            .map_err(internal)?;
        Ok(Self {
            directory,
            writer,
            fields,
        })
    }
    /// Adds the document of the next block: its number is the count of blocks before it.
    pub(crate) fn add_block<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = &'a [u8]>,
        words: impl IntoIterator<Item = &'a [u8]>,
        range: TimeRange,
    ) -> Result<()> {
        let [pair, word, from, to] = self.fields;
        let mut document = TantivyDocument::default();
        for term in pairs {
            document.add_bytes(pair, &stored_term(term));
        }
        for term in words {
            document.add_bytes(word, &stored_term(term));
        }
        document.add_i64(from, range.start_ns);
        document.add_i64(to, range.end_ns);
        self.writer.add_document(document).map_err(internal)
    }
    /// The files of the index, packed.
    pub(crate) fn finish(self) -> Result<PackedFiles> {
        let index = self.writer.finalize().map_err(internal)?;
        pack(&index, &self.directory)
    }
}

/// Looks up terms in the word index of one part.
pub(crate) struct WordsReader {
    segment: SegmentReader,
    fields: [Field; 4],
    place: String,
    memory_bytes: usize,
}

impl WordsReader {
    /// Opens the files in a part; `blocks` is how many documents there must be.
    pub(crate) fn open(part: Arc<PartReader>, blocks: usize) -> Result<Self> {
        let place = part.path().display().to_string();
        let memory_bytes = packed::size_bytes(&part);
        let bad = |e: &dyn std::fmt::Display| Error::corrupt(format!("{place}: word index: {e}"));
        let index = Index::open(PackedDirectory::new(part)).map_err(|e| bad(&e))?;
        let segments = index.searchable_segments().map_err(|e| bad(&e))?;
        let [segment] = segments.as_slice() else {
            return Err(bad(&"there must be exactly one segment"));
        };
        let segment = SegmentReader::open(segment).map_err(|e| bad(&e))?;
        if segment.max_doc() as usize != blocks {
            return Err(bad(&format!(
                "{} documents for {blocks} blocks",
                segment.max_doc()
            )));
        }
        Ok(Self {
            segment,
            fields: schema().1,
            place,
            memory_bytes,
        })
    }
    /// Bytes that it may take in memory: tantivy reads dictionaries whole.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
    fn bad(&self, e: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{}: word index: {e}", self.place))
    }
    fn field(&self, kind: Kind) -> Field {
        match kind {
            Kind::Pair => self.fields[0],
            Kind::Word => self.fields[1],
        }
    }
    /// The numbers of the blocks that have a term, rising.
    pub(crate) fn blocks(&self, kind: Kind, term: &[u8]) -> Result<Vec<u32>> {
        let field = self.field(kind);
        let index = self.segment.inverted_index(field).map_err(|e| self.bad(e))?;
        let term = Term::from_field_bytes(field, &stored_term(term));
        let postings = index
            .read_postings(&term, IndexRecordOption::Basic)
            .map_err(|e| self.bad(e))?;
        let mut found = Vec::new();
        if let Some(mut postings) = postings {
            let mut block = postings.doc();
            while block != TERMINATED {
                found.push(block);
                block = postings.advance();
            }
        }
        Ok(found)
    }
    /// All terms that start with a prefix, without it. Terms that were too long to store are missing, and
    /// `false` says so.
    pub(crate) fn terms_with_prefix(&self, kind: Kind, prefix: &[u8]) -> Result<(Vec<Vec<u8>>, bool)> {
        let index = self
            .segment
            .inverted_index(self.field(kind))
            .map_err(|e| self.bad(e))?;
        let collect = |prefix: &[u8]| -> Result<Vec<Vec<u8>>> {
            let mut stream = index
                .terms()
                .range()
                .ge(prefix)
                .into_stream()
                .map_err(|e| self.bad(e))?;
            let mut found = Vec::new();
            while stream.advance() && stream.key().starts_with(prefix) {
                found.push(stream.key()[prefix.len()..].to_vec());
            }
            Ok(found)
        };
        Ok((collect(prefix)?, collect(&[0xFF])?.is_empty()))
    }
}

#[cfg(test)]
mod tests;
