//! The bytes of the log: segment header and record framing. `docs/formats/log.md` draws them.

use super::{Position, Record};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 32;
/// Bytes before a record's payload.
pub(super) const RECORD_HEADER: usize = 20;
/// The record kind with which a segment is closed in good order.
pub(super) const SEAL: u8 = 255;
/// The format version of segments and of the record framing.
pub(super) const VERSION: u8 = 1;
const MAGIC: &[u8; 7] = b"BNCLWAL";

/// What the first bytes of a segment say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The segment's own number.
    pub number: u64,
    /// The last segment before it that holds acknowledged records, and the end of these; zero when there is none.
    pub previous: Position,
}

/// Why a header could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Too short, or the checksum does not fit.
    Damaged,
    /// Sound, but of a version that this program does not know.
    Newer(u8),
}

impl SegmentHeader {
    /// The header's bytes.
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..7].copy_from_slice(MAGIC);
        bytes[7] = VERSION;
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.previous.segment.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.previous.offset.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
    /// Reads the header at the start of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER>() else {
            return Err(HeaderError::Damaged);
        };
        if &bytes[..7] != MAGIC || u32_at(bytes, 28) != crc32fast::hash(&bytes[..28]) {
            return Err(HeaderError::Damaged);
        }
        if bytes[7] != VERSION {
            return Err(HeaderError::Newer(bytes[7]));
        }
        Ok(Self {
            number: u64_at(bytes, 8),
            previous: Position {
                segment: u64_at(bytes, 16),
                offset: u32_at(bytes, 24),
            },
        })
    }
}

/// Appends a record that will stand at `place`, in the group that starts at offset `group`.
pub(super) fn encode_record(buffer: &mut Vec<u8>, place: Position, group: u32, record: &Record<'_>) {
    let length = u32::try_from(record.payload.len()).expect("the log limits payloads to 1 GiB");
    let mut header = [0; RECORD_HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&group.to_le_bytes());
    header[8] = record.kind;
    header[9] = record.version;
    header[12..16].copy_from_slice(&crc32fast::hash(record.payload).to_le_bytes());
    let crc = header_crc(&header, place);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(record.payload);
}

/// A record as it stands in a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framed<'a> {
    pub record: Record<'a>,
    /// Where its group starts.
    pub group: u32,
    /// The offset after it.
    pub end: usize,
}

/// The record at an offset of a segment whose bytes end at `end`; `None` when there is no sound one.
///
/// The header's checksum covers the place too, so that bytes which look like a record but were copied from
/// elsewhere (a payload may hold anything) are none.
pub(super) fn decode_record(bytes: &[u8], segment: u64, offset: usize, end: usize) -> Option<Framed<'_>> {
    let bytes = &bytes[..end.min(bytes.len())];
    let header = bytes.get(offset..)?.first_chunk::<RECORD_HEADER>()?;
    let length = u32_at(header, 0) as usize;
    let group = u32_at(header, 4);
    // Cheap conditions first: the search after damage comes here for every byte.
    if header[10..12] != [0, 0] || group as usize > offset || length > bytes.len() - offset - RECORD_HEADER {
        return None;
    }
    let place = Position {
        segment,
        offset: u32::try_from(offset).ok()?,
    };
    if header[8] == 0 || u32_at(header, 16) != header_crc(header, place) {
        return None;
    }
    let start = offset + RECORD_HEADER;
    let payload = &bytes[start..start + length];
    (crc32fast::hash(payload) == u32_at(header, 12)).then_some(Framed {
        record: Record {
            kind: header[8],
            version: header[9],
            payload,
        },
        group,
        end: start + length,
    })
}

fn header_crc(header: &[u8; RECORD_HEADER], place: Position) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..16]);
    hasher.update(&place.segment.to_le_bytes());
    hasher.update(&place.offset.to_le_bytes());
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("callers pass whole headers"))
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("callers pass whole headers"))
}
