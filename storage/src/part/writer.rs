//! Writing a part file.

use super::format::{self, PAGE, PartKind, Section, Trailer};
use model::fs::{AppendFile, temporary_name};
use model::{Error, Fs, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes gathered before they go to the file.
const BUFFER: usize = 256 << 10;

/// Writes one part file, section by section. Nothing is visible under the final name before
/// [`PartWriter::finish`]; a writer that is dropped before removes what it wrote.
pub struct PartWriter {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    temporary: PathBuf,
    file: Option<Box<dyn AppendFile>>,
    buffer: Vec<u8>,
    /// Bytes written, the buffer included.
    len: u64,
    header: [u8; format::HEADER],
    sections: Vec<Section>,
    /// The checksum of the section's unfinished page, and how many bytes it covers.
    page: (crc32fast::Hasher, usize),
    in_section: bool,
}

impl PartWriter {
    /// Starts a part file; the directory must exist. A temporary file left by a crash is replaced.
    pub fn create(fs: Arc<dyn Fs>, path: &Path, kind: PartKind) -> Result<Self> {
        let temporary = temporary_name(path);
        let start = || {
            if fs.exists(&temporary)? {
                fs.remove_file(&temporary)?;
            }
            fs.create(&temporary)
        };
        let file = start().map_err(|e| Error::from(e).within(temporary.display()))?;
        let header = format::encode_header(kind);
        Ok(Self {
            fs,
            path: path.to_owned(),
            temporary,
            file: Some(file),
            buffer: header.to_vec(),
            len: header.len() as u64,
            header,
            sections: Vec::new(),
            page: (crc32fast::Hasher::new(), 0),
            in_section: false,
        })
    }

    /// Writes a whole section.
    pub fn section(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.begin(name)?;
        self.write(bytes)?;
        self.end();
        Ok(())
    }
    /// Starts a section whose bytes follow with [`PartWriter::write`]. Names are unique.
    pub fn begin(&mut self, name: &str) -> Result<()> {
        self.end();
        if name.len() > format::MAX_NAME || self.sections.iter().any(|s| s.name == name) {
            return Err(Error::internal(format!(
                "{}: section name {name:?} is not usable",
                self.path.display()
            )));
        }
        self.sections.push(Section {
            name: name.to_owned(),
            offset: self.len,
            len: 0,
            page_crcs: Vec::new(),
        });
        self.in_section = true;
        Ok(())
    }
    /// Appends bytes to the section that was begun, and says at which offset of the section they start.
    pub fn write(&mut self, bytes: &[u8]) -> Result<u64> {
        let Some(section) = self.sections.last_mut().filter(|_| self.in_section) else {
            return Err(Error::internal(format!(
                "{}: bytes outside of a section",
                self.path.display()
            )));
        };
        let offset = section.len;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(PAGE - self.page.1));
            self.page.0.update(piece);
            self.page.1 += piece.len();
            if self.page.1 == PAGE {
                section
                    .page_crcs
                    .push(std::mem::take(&mut self.page.0).finalize());
                self.page.1 = 0;
            }
            rest = later;
        }
        section.len += bytes.len() as u64;
        self.put(bytes)?;
        Ok(offset)
    }
    /// Ends the section; a no-op when none was begun.
    pub fn end(&mut self) {
        let (hasher, covered) = std::mem::take(&mut self.page);
        if covered > 0
            && let Some(section) = self.sections.last_mut()
        {
            section.page_crcs.push(hasher.finalize());
        }
        self.in_section = false;
    }
    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether no section has been written.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }
    /// Writes the directory, syncs, renames and syncs the directory above. Returns the file's size. The part is
    /// durable then; it counts once a manifest names it.
    pub fn finish(mut self) -> Result<u64> {
        self.end();
        let directory = format::encode_directory(&self.sections);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.header);
        crc.update(&directory);
        let trailer = Trailer {
            directory_offset: self.len,
            directory_len: u32::try_from(directory.len()).map_err(|_| {
                Error::internal(format!("{}: the directory is too large", self.path.display()))
            })?,
            directory_crc: crc.finalize(),
        };
        self.put(&directory)?;
        self.put(&trailer.encode())?;
        self.flush_buffer()?;
        let publish = || {
            if let Some(file) = &mut self.file {
                file.sync()?;
            }
            self.fs.rename(&self.temporary, &self.path)?;
            self.fs.sync_dir(self.path.parent().unwrap_or(Path::new("/")))
        };
        let done = { publish }();
        done.map_err(|e| Error::from(e).within(self.path.display()))?;
        self.file = None;
        Ok(self.len)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush_buffer()
        } else {
            Ok(())
        }
    }
    fn flush_buffer(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.append(&self.buffer)
                .map_err(|e| Error::from(e).within(self.temporary.display()))?;
        }
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Left behind it is harmless: the next start removes temporary files.
            let _ = self.fs.remove_file(&self.temporary);
        }
    }
}
