//! The bytes of a part file: header, pages, directory, trailer.

/// Bytes of the header.
pub(super) const HEADER: usize = 16;
/// Bytes of the trailer.
pub(super) const TRAILER: usize = 24;
/// A section's bytes are checked in pages of this size; the last page of a section may be shorter.
pub(super) const PAGE: usize = 16 << 10;
/// The version of the container format.
pub(super) const VERSION: u8 = 1;
/// The most sections of a part, and bytes of a section's name.
pub(super) const MAX_NAME: usize = 255;
const MAGIC: &[u8; 7] = b"BNCLPRT";
const END_MAGIC: &[u8; 4] = b"BEND";

/// What a part holds: four characters for the store, and the version of the encodings inside the sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartKind {
    /// For instance `*b"METR"`.
    pub tag: [u8; 4],
    /// The version of what stands in the sections. A reader that is given a newer one refuses.
    pub version: u16,
}

impl PartKind {
    pub(super) fn shown(self) -> String {
        String::from_utf8_lossy(&self.tag).into_owned()
    }
}

/// Where a section lies, and the checksums of its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub name: String,
    pub offset: u64,
    pub len: u64,
    pub page_crcs: Vec<u32>,
}

pub(super) fn encode_header(kind: PartKind) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..7].copy_from_slice(MAGIC);
    bytes[7] = VERSION;
    bytes[8..12].copy_from_slice(&kind.tag);
    bytes[12..14].copy_from_slice(&kind.version.to_le_bytes());
    bytes
}

/// The container's version and what it holds; `None` when this is no part file.
pub(super) fn decode_header(bytes: &[u8; HEADER]) -> Option<(u8, PartKind)> {
    let tag = *bytes[8..].first_chunk().expect("the array is long enough");
    let version = u16::from_le_bytes([bytes[12], bytes[13]]);
    (&bytes[..7] == MAGIC).then_some((bytes[7], PartKind { tag, version }))
}

pub(super) fn encode_directory(sections: &[Section]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    for section in sections {
        bytes.push(u8::try_from(section.name.len()).expect("the writer limits names to 255 bytes"));
        bytes.extend_from_slice(section.name.as_bytes());
        bytes.extend_from_slice(&section.offset.to_le_bytes());
        bytes.extend_from_slice(&section.len.to_le_bytes());
        for crc in &section.page_crcs {
            bytes.extend_from_slice(&crc.to_le_bytes());
        }
    }
    bytes
}

/// Reads a directory; `None` when it does not add up. `end` is where the sections must end.
pub(super) fn decode_directory(mut bytes: &[u8], end: u64) -> Option<Vec<Section>> {
    let bytes = &mut bytes;
    let count = u32::from_le_bytes(take(bytes)?);
    let mut sections = Vec::new();
    for _ in 0..count {
        let [name_len] = take::<1>(bytes)?;
        let (name, rest) = bytes.split_at_checked(usize::from(name_len))?;
        *bytes = rest;
        let offset = u64::from_le_bytes(take(bytes)?);
        let len = u64::from_le_bytes(take(bytes)?);
        let pages = len.div_ceil(PAGE as u64);
        if offset < HEADER as u64 || offset.checked_add(len)? > end || pages * 4 > bytes.len() as u64 {
            return None;
        }
        let page_crcs = (0..pages)
            .map(|_| take(bytes).map(u32::from_le_bytes))
            .collect::<Option<_>>()?;
        sections.push(Section {
            name: String::from_utf8(name.to_vec()).ok()?,
            offset,
            len,
            page_crcs,
        });
    }
    bytes.is_empty().then_some(sections)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Where the directory lies. Its checksum covers header and directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub directory_offset: u64,
    pub directory_len: u32,
    pub directory_crc: u32,
}

impl Trailer {
    pub(super) fn encode(&self) -> [u8; TRAILER] {
        let mut bytes = [0; TRAILER];
        bytes[..8].copy_from_slice(&self.directory_offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.directory_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.directory_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes[20..].copy_from_slice(END_MAGIC);
        bytes
    }
    pub(super) fn decode(bytes: &[u8; TRAILER]) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[20..] != END_MAGIC || u32_at(16) != crc32fast::hash(&bytes[..16]) {
            return None;
        }
        Some(Self {
            directory_offset: u64::from(u32_at(0)) | u64::from(u32_at(4)) << 32,
            directory_len: u32_at(8),
            directory_crc: u32_at(12),
        })
    }
}
