//! Reading: the next ranges of all files, each file in its turn.

use super::Tailer;
use super::tracked::{Part, modified_ns, read_at};
use crate::config::FileFormat;
use crate::files::decode::{self, How};
use crate::files::fingerprint::Fingerprint;
use crate::files::state::Range;
use wire::container_log::Format;

impl Tailer {
    pub(super) fn read_ranges(&mut self, now_ns: i64, monotonic_ns: u64) -> Vec<(Range, Part)> {
        let mut ranges = Vec::new();
        let mut room = self.options.config.max_batch_bytes;
        let count = self.tracked.len();
        let first = self.turn.checked_rem(count).unwrap_or(0);
        let mut looked_at = 0;
        for index in (first..count).chain(0..first) {
            if room == 0 {
                break;
            }
            looked_at += 1;
            if let Some((range, part)) = self.read_one(index, now_ns, monotonic_ns) {
                room = room.saturating_sub(usize::try_from(part.bytes).unwrap_or(usize::MAX));
                ranges.push((range, part));
            }
        }
        self.turn = first.wrapping_add(looked_at);
        self.tracked.retain(|t| !t.finished || t.print != t.acknowledged);
        ranges
    }

    fn read_one(&mut self, index: usize, now_ns: i64, monotonic_ns: u64) -> Option<(Range, Part)> {
        let t = &self.tracked[index];
        let metadata = t.file.metadata().ok()?;
        let look = (metadata.len(), modified_ns(&metadata));
        let linger_ns = u64::try_from(self.options.config.linger.as_nanos()).unwrap_or(u64::MAX);
        let ending = t
            .detached_since_ns
            .is_some_and(|since| monotonic_ns.saturating_sub(since) >= linger_ns);
        if t.exhausted == Some(look) && !ending {
            return None;
        }
        let format = self.format_of(index);
        let t = &mut self.tracked[index];
        let how = How {
            format,
            max_line_bytes: self.options.config.max_line_bytes,
            skipping: t.skipping,
        };
        // Room for one line that is too long and the beginning of what follows.
        let limit = 2 * decode::max_raw_line_bytes(&how) + 4096;
        let available = usize::try_from(metadata.len().saturating_sub(t.print.offset)).unwrap_or(usize::MAX);
        let bytes = read_at(&t.file, &mut self.buffer, t.print.offset, available.min(limit))?;
        let full = bytes.len() == limit;
        let mut decoded = decode::decode(bytes, how, full);
        let grew = t.exhausted.is_some_and(|last| last != look);
        if grew && t.detached_since_ns.is_some() {
            t.detached_since_ns = Some(monotonic_ns);
        }
        if decoded.consumed == 0 {
            t.exhausted = Some(look);
            if !ending || grew {
                return None;
            }
            // The writer has let go of the file: what it left unfinished is all that there will be.
            t.finished = true;
            self.dirty = true;
            if bytes.is_empty() {
                return None;
            }
            decoded = decode::decode_all(bytes, how);
        } else if decoded.consumed == available {
            t.exhausted = Some(look);
        }
        let end = Fingerprint::take(&t.file, t.print.offset + decoded.consumed as u64).ok()?;
        let read = end.offset - t.print.offset;
        t.print = end;
        t.skipping = decoded.skipping;
        let range = Range {
            id: t.id,
            end,
            skipping: decoded.skipping,
        };
        Some((range, Part::new(decoded, t, read, now_ns)))
    }

    /// How a file's lines are written: as configured, or as its first line looks.
    pub(super) fn format_of(&mut self, index: usize) -> Format {
        let t = &self.tracked[index];
        match self.patterns[t.pattern].format {
            FileFormat::Plain => return Format::Plain,
            FileFormat::Cri => return Format::Cri,
            FileFormat::Docker => return Format::Docker,
            FileFormat::Auto => {}
        }
        if let Some(format) = t.format {
            return format;
        }
        // Pieces of lines have at most 16 KiB of text.
        const FIRST_LINE_BYTES: usize = 128 << 10;
        let Some(bytes) = read_at(&t.file, &mut self.buffer, 0, FIRST_LINE_BYTES) else {
            return Format::Plain;
        };
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            return Format::Plain;
        };
        let format = Format::detect(&bytes[..end]);
        self.tracked[index].format = Some(format);
        format
    }
}
