//! The word index on its own: what was put in is found, damage is noticed.

use super::*;
use model::Fs;
use std::path::Path;
use storage::{FaultyFs, PartKind, PartWriter};

const KIND: PartKind = PartKind {
    tag: *b"TEST",
    version: 1,
};
const PATH: &str = "/x.part";

fn range(start_ns: i64, end_ns: i64) -> TimeRange {
    TimeRange { start_ns, end_ns }
}

fn write_sample(fs: &Arc<FaultyFs>) {
    let mut writer = WordsWriter::new().unwrap();
    let long = pair_term("k", &"v".repeat(5000));
    for block in 0..300_u32 {
        let own = pair_term("block", &block.to_string());
        let words: Vec<&[u8]> = if block % 3 == 0 {
            vec![b"third", b"all"]
        } else {
            vec![b"all"]
        };
        writer
            .add_block(
                [own.as_slice(), long.as_slice()],
                words,
                range(0, i64::from(block)),
            )
            .unwrap();
    }
    let mut part = PartWriter::create(fs.clone(), Path::new(PATH), KIND).unwrap();
    writer.finish().unwrap().write(&mut part).unwrap();
    part.finish().unwrap();
}

fn open(fs: &FaultyFs) -> Result<WordsReader> {
    let part = PartReader::open(fs, Path::new(PATH), KIND)?;
    WordsReader::open(Arc::new(part), 300)
}

#[test]
fn blocks_are_found_by_pair_and_word() {
    let fs = Arc::new(FaultyFs::new(1));
    write_sample(&fs);
    let reader = open(&fs).unwrap();
    let pair = |n: &str, v: &str| reader.blocks(Kind::Pair, &pair_term(n, v)).unwrap();
    assert_eq!(pair("block", "17"), [17]);
    assert!(pair("block", "300").is_empty());
    assert_eq!(pair("k", &"v".repeat(5000)).len(), 300);
    assert_eq!(reader.blocks(Kind::Word, b"third").unwrap().len(), 100);
    assert_eq!(reader.blocks(Kind::Word, b"all").unwrap().len(), 300);
    assert!(reader.blocks(Kind::Word, b"thir").unwrap().is_empty());
    let (values, complete) = reader.terms_with_prefix(Kind::Pair, b"block\0").unwrap();
    assert_eq!((values.len(), complete), (300, false));
}

#[test]
fn the_same_blocks_give_the_same_bytes() {
    let bytes = || {
        let fs = Arc::new(FaultyFs::new(1));
        write_sample(&fs);
        fs.read(Path::new(PATH), 1 << 30).unwrap()
    };
    assert!(bytes() == bytes());
}

#[test]
fn a_flipped_bit_is_an_error_that_names_the_file() {
    let fs = Arc::new(FaultyFs::new(1));
    write_sample(&fs);
    let bits = fs.open(Path::new(PATH)).unwrap().len() * 8;
    let look = || open(&fs).and_then(|r| r.blocks(Kind::Word, b"all"));
    let mut noticed = 0;
    for bit in (0..bits).step_by(997) {
        fs.flip_bit(Path::new(PATH), bit);
        match look() {
            Ok(blocks) => assert_eq!(blocks.len(), 300, "a bit that was not read"),
            Err(e) => {
                assert!(e.message().contains(PATH), "{e}");
                noticed += 1;
            }
        }
        fs.flip_bit(Path::new(PATH), bit);
    }
    assert!(noticed > 10);
}
