//! Reading a part file; every byte that is handed out was checked.

use super::format::{self, HEADER, PAGE, PartKind, Section, TRAILER, Trailer};
use model::fs::ReadFile;
use model::{Error, Fs, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open part file. Cheap to share behind an `Arc`; reads need no lock.
pub struct PartReader {
    path: PathBuf,
    file: Arc<dyn ReadFile>,
    kind: PartKind,
    sections: Vec<Section>,
}

impl PartReader {
    /// Opens a part and checks its header and directory, not yet its sections.
    ///
    /// `kind` is what the caller understands: its tag must be the file's, its version at least the file's.
    /// Errors: [`model::ErrorKind::Corrupt`] for damage, another kind or a newer version.
    pub fn open(fs: &dyn Fs, path: &Path, kind: PartKind) -> Result<Self> {
        let file = fs.open(path).map_err(|e| Error::from(e).within(path.display()))?;
        let damaged = |why: &str| Error::corrupt(format!("{} is damaged: {why}", path.display()));
        let io = |e: std::io::Error| Error::from(e).within(path.display());
        if file.len() < (HEADER + TRAILER) as u64 {
            return Err(damaged("it is too short for a part file"));
        }
        let mut header = [0; HEADER];
        file.read_exact_at(0, &mut header).map_err(io)?;
        let (container, found) =
            format::decode_header(&header).ok_or_else(|| damaged("it is no part file"))?;
        let mut trailer = [0; TRAILER];
        let trailer_offset = file.len() - TRAILER as u64;
        file.read_exact_at(trailer_offset, &mut trailer).map_err(io)?;
        let trailer = Trailer::decode(&trailer);
        if container != format::VERSION && trailer.is_some() {
            return Err(newer(
                path,
                "part format",
                u16::from(container),
                u16::from(format::VERSION),
            ));
        }
        let trailer = trailer.ok_or_else(|| damaged("the end does not fit its checksum"))?;
        let len = usize::try_from(trailer.directory_len).unwrap_or(usize::MAX);
        if trailer.directory_offset.checked_add(len as u64) != Some(trailer_offset) {
            return Err(damaged("the directory is not where the end says"));
        }
        let directory = file.read_vec(trailer.directory_offset, len).map_err(io)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header);
        crc.update(&directory);
        if crc.finalize() != trailer.directory_crc {
            return Err(damaged("header or directory do not fit their checksum"));
        }
        if found.tag != kind.tag {
            let (found, wanted) = (found.shown(), kind.shown());
            return Err(Error::corrupt(format!(
                "{} is a {found} part, not {wanted}",
                path.display()
            )));
        }
        if found.version > kind.version {
            return Err(newer(
                path,
                &format!("{} encoding", kind.shown()),
                found.version,
                kind.version,
            ));
        }
        let sections = format::decode_directory(&directory, trailer.directory_offset)
            .ok_or_else(|| damaged("the directory does not add up"))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            kind: found,
            sections,
        })
    }

    /// The version of what stands in the sections.
    pub fn version(&self) -> u16 {
        self.kind.version
    }
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The file's size.
    pub fn size_bytes(&self) -> u64 {
        self.file.len()
    }
    /// The names of the sections, in file order.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|s| s.name.as_str())
    }
    /// A section's length; `None` when the part has no such section.
    pub fn section_len(&self, name: &str) -> Option<u64> {
        self.sections.iter().find(|s| s.name == name).map(|s| s.len)
    }
    /// A whole section, verified.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let section = self.find(name)?;
        self.read_checked(section, 0, section.len)
    }
    /// A piece of a section, verified: the pages that it touches are read and checked.
    pub fn read_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let section = self.find(name)?;
        self.read_checked(section, offset, len)
    }
    /// Reads and checks every section.
    pub fn verify(&self) -> Result<()> {
        for section in &self.sections {
            // In pieces, so that a large section needs little memory.
            const PIECE: u64 = 64 * PAGE as u64;
            let mut offset = 0;
            while offset < section.len {
                let len = PIECE.min(section.len - offset);
                self.read_checked(section, offset, len)?;
                offset += len;
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&Section> {
        self.sections
            .iter()
            .find(|s| s.name == name)
            .ok_or_else(|| Error::corrupt(format!("{} has no section {name:?}", self.path.display())))
    }

    fn read_checked(&self, section: &Section, offset: u64, len: u64) -> Result<Vec<u8>> {
        let outside = || {
            Error::corrupt(format!(
                "{}: section {:?} has {} bytes, {len} at offset {offset} were asked for",
                self.path.display(),
                section.name,
                section.len
            ))
        };
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= section.len)
            .ok_or_else(outside)?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let page = PAGE as u64;
        let first_page = offset / page;
        let (from, to) = (first_page * page, (end.div_ceil(page) * page).min(section.len));
        let size = usize::try_from(to - from).map_err(|_| outside())?;
        let mut bytes = self.file.read_vec(section.offset + from, size).map_err(|e| {
            Error::from(e).within(format_args!(
                "{}: section {:?}",
                self.path.display(),
                section.name
            ))
        })?;
        let crcs = &section.page_crcs[usize::try_from(first_page).map_err(|_| outside())?..];
        for (i, (piece, crc)) in bytes.chunks(PAGE).zip(crcs).enumerate() {
            if crc32fast::hash(piece) != *crc {
                return Err(Error::corrupt(format!(
                    "{}: section {:?} is damaged at file offset {}: the bytes do not fit their checksum",
                    self.path.display(),
                    section.name,
                    section.offset + from + (i * PAGE) as u64
                )));
            }
        }
        bytes.truncate(usize::try_from(end - from).map_err(|_| outside())?);
        bytes.drain(..usize::try_from(offset - from).map_err(|_| outside())?);
        Ok(bytes)
    }
}

fn newer(path: &Path, what: &str, found: u16, known: u16) -> Error {
    Error::corrupt(format!(
        "{} was written by a newer version: {what} {found}, this one knows {known}; nothing was touched",
        path.display()
    ))
}
