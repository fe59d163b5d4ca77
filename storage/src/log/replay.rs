//! Reading a log back: what is sound is replayed, what was never acknowledged is cut, what is damaged is told.

use super::format::{self, Framed, HeaderError, RECORD_HEADER, SEGMENT_HEADER, SegmentHeader};
use super::{Closed, Log, Position, Record, Span, is_full_disk, segment_path};
use model::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Acknowledged bytes of a log that could not be read back.
#[derive(Debug, Clone)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// The first unreadable byte.
    pub offset: u64,
    /// How many bytes could not be read.
    pub len: u64,
    /// [`model::ErrorKind::Corrupt`], with file and offset.
    pub error: Error,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Records handed to `apply`.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Bytes of unfinished, never acknowledged writes.
    pub cut_bytes: u64,
    /// What was acknowledged and could not be read, in log order. Each is also counted and logged.
    pub damages: Vec<Damage>,
}

type Apply<'a> = &'a mut dyn FnMut(Span, Record<'_>) -> Result<()>;

/// What is known of a segment before its records are read.
struct Segment {
    number: u64,
    path: PathBuf,
    header: Option<SegmentHeader>,
    len: u64,
}

impl Log {
    pub(super) fn replay(&mut self, from: Position, apply: Apply<'_>) -> Result<Replay> {
        self.fs
            .create_dir_all(&self.dir)
            .map_err(|e| Error::from(e).within(self.dir.display()))?;
        let segments = self.list_segments(from)?;
        let mut replay = Replay::default();
        let ends = acknowledged_ends(&segments);
        for (i, segment) in segments.iter().enumerate() {
            let before = if i > 0 {
                place(segments[i - 1].number, u32::MAX)
            } else {
                from
            };
            replay.damages.extend(self.missing_before(segment, before));
            let start = if segment.number == from.segment {
                from.offset
            } else {
                0
            };
            let end = ends.get(&segment.number).copied();
            self.replay_segment(segment, start, end, &mut replay, apply)?;
        }
        self.finish_last()?;
        // What is not there now stays away: a segment of refused records was removed, perhaps only in the system's
        // memory.
        self.fs
            .sync_dir(&self.dir)
            .map_err(|e| Error::from(e).within(self.dir.display()))?;
        if segments.is_empty() && from.offset > 0 {
            let last = place(from.segment, from.offset);
            replay
                .damages
                .push(self.missing(last, "records after it, if there were any, are lost"));
        }
        let after_from = from.segment + u64::from(from.offset > 0);
        let after_last = segments.last().map_or(1, |s| s.number + 1);
        self.next_number = after_from.max(after_last).max(1);
        for damage in &replay.damages {
            tracing::error!(error = %damage.error, bytes = damage.len, "acknowledged records are lost");
        }
        self.metrics.damages.add(replay.damages.len() as u64);
        self.metrics.cut_bytes.add(replay.cut_bytes);
        Ok(replay)
    }

    /// The segments that matter, by number. Older ones count as closed.
    fn list_segments(&mut self, from: Position) -> Result<Vec<Segment>> {
        let within = |e: std::io::Error, path: &Path| Error::from(e).within(path.display());
        let mut segments = Vec::new();
        for entry in self.fs.read_dir(&self.dir).map_err(|e| within(e, &self.dir))? {
            if entry.name.ends_with(".wal.tmp") {
                // A start that was cut short left it; the segment itself is there.
                let _ = self.fs.remove_file(&self.dir.join(&entry.name));
                continue;
            }
            let number = entry
                .name
                .strip_suffix(".wal")
                .and_then(|n| n.parse::<u64>().ok());
            let Some(number) = number.filter(|_| !entry.is_dir) else {
                continue;
            };
            let path = segment_path(&self.dir, number);
            let file = self.fs.open(&path).map_err(|e| within(e, &path))?;
            let len = file.len();
            let head = file
                .read_vec(
                    0,
                    SEGMENT_HEADER.min(usize::try_from(len).unwrap_or(SEGMENT_HEADER)),
                )
                .map_err(|e| within(e, &path))?;
            let header = match SegmentHeader::decode(&head) {
                Ok(header) if header.number == number => Some(header),
                Ok(header) => {
                    return Err(Error::corrupt(format!(
                        "{} says that it is segment {}: it was renamed or copied here; put it back, nothing was \
                         touched",
                        path.display(),
                        header.number
                    )));
                }
                Err(HeaderError::Damaged) => None,
                Err(HeaderError::Newer(version)) => {
                    return Err(Error::corrupt(format!(
                        "{} was written by a newer version: log format {version}, this one knows {}; nothing was \
                         touched",
                        path.display(),
                        format::VERSION
                    )));
                }
            };
            segments.push(Segment {
                number,
                path,
                header,
                len,
            });
        }
        segments.sort_by_key(|s| s.number);
        let needed = segments.partition_point(|s| s.number < from.segment);
        let old = segments.drain(..needed);
        self.closed = old
            .map(|s| {
                (
                    s.number,
                    Closed {
                        len: s.len,
                        records_end: 0,
                        named_end: 0,
                        damaged: false,
                    },
                )
            })
            .collect();
        Ok(segments)
    }

    /// The gap when a segment names a predecessor with acknowledged records after `before`, and it is not there.
    fn missing_before(&self, segment: &Segment, before: Position) -> Option<Damage> {
        let previous = segment.header?.previous;
        (previous > before).then(|| self.missing(previous, "acknowledged records are lost"))
    }

    fn missing(&self, last: Position, consequence: &str) -> Damage {
        let path = segment_path(&self.dir, last.segment);
        Damage {
            error: Error::corrupt(format!(
                "{} is missing, it reached at least to offset {}: {consequence}",
                path.display(),
                last.offset
            )),
            path,
            offset: 0,
            len: u64::from(last.offset),
        }
    }

    fn replay_segment(
        &mut self,
        segment: &Segment,
        start: u32,
        acknowledged_end: Option<u32>,
        replay: &mut Replay,
        apply: Apply<'_>,
    ) -> Result<()> {
        let within = |e: std::io::Error| Error::from(e).within(segment.path.display());
        let file = self.fs.open(&segment.path).map_err(within)?;
        let len = usize::try_from(segment.len).unwrap_or(usize::MAX);
        let bytes = file.read_vec(0, len).map_err(within)?;
        drop(file);
        let mut scan = Scan {
            segment,
            bytes: &bytes,
            acknowledged_end: acknowledged_end.map(|e| e as usize),
            replay,
            records_end: start as usize,
            damaged: false,
        };
        let good = scan.run(start as usize, apply)?;
        let (records_end, damaged) = (scan.records_end, scan.damaged);
        replay.cut_bytes += (bytes.len() as u64).saturating_sub(good as u64);
        if good == 0 {
            // Nothing in it was acknowledged, and no later segment or position speaks of it.
            return self.fs.remove_file(&segment.path).map_err(within);
        }
        let offset =
            |at: usize| u32::try_from(at).map_err(|_| Error::corrupt("a log segment is larger than 4 GiB"));
        self.previous = place(segment.number, offset(good)?);
        let closed = Closed {
            len: segment.len,
            records_end: offset(records_end)?,
            named_end: acknowledged_end.map_or_else(|| offset(good), Ok)?,
            damaged,
        };
        self.closed.insert(segment.number, closed);
        Ok(())
    }

    /// Cuts the tail of the last segment, and makes sure that the rest is on the disk: the process may have died
    /// between a write and its fsync. It is written anew, because after a failed fsync the system may show bytes that
    /// the disk doesn't have, and call them synced. The names follow at the end of the replay.
    fn finish_last(&mut self) -> Result<()> {
        let Position { segment, offset } = self.previous;
        let Some(closed) = self.closed.get_mut(&segment) else {
            return Ok(());
        };
        closed.len = u64::from(offset);
        let path = segment_path(&self.dir, segment);
        let finish = || {
            let good = self.fs.open(&path)?.read_vec(0, offset as usize)?;
            match self.fs.replace(&path, &good) {
                // A full disk must not keep anybody from starting: what could be written there is synced in place.
                Err(e) if is_full_disk(&e) => {
                    let mut file = self.fs.open_append(&path)?;
                    if file.len() > u64::from(offset) {
                        file.truncate(u64::from(offset))?;
                    }
                    file.sync()
                }
                done => done,
            }
        };
        finish().map_err(|e| Error::from(e).within(path.display()))
    }
}

/// The ends of acknowledged records, as the headers of later segments tell them: a segment that a later one
/// passes over holds none.
fn acknowledged_ends(segments: &[Segment]) -> BTreeMap<u64, u32> {
    let mut ends = BTreeMap::new();
    for (i, segment) in segments.iter().enumerate() {
        let Some(header) = segment.header else { continue };
        for earlier in segments[..i].iter().rev() {
            if earlier.number <= header.previous.segment {
                if earlier.number == header.previous.segment {
                    ends.insert(earlier.number, header.previous.offset);
                }
                break;
            }
            ends.entry(earlier.number).or_insert(0);
        }
    }
    ends
}

fn place(segment: u64, offset: u32) -> Position {
    Position { segment, offset }
}

struct Scan<'a> {
    segment: &'a Segment,
    bytes: &'a [u8],
    acknowledged_end: Option<usize>,
    replay: &'a mut Replay,
    /// The end of the last record that was replayed.
    records_end: usize,
    damaged: bool,
}

impl<'a> Scan<'a> {
    /// Replays from an offset; returns the end of what counts, 0 when nothing does.
    fn run(&mut self, start: usize, apply: Apply<'_>) -> Result<usize> {
        let end = self
            .acknowledged_end
            .unwrap_or(self.bytes.len())
            .min(self.bytes.len());
        let mut offset = start;
        if offset < SEGMENT_HEADER {
            offset = match self.start_of_records(end) {
                Some(offset) => offset,
                None => return Ok(0),
            };
        }
        while offset < end {
            if let Some(framed) = self.record_at(offset, end) {
                self.visit(offset, &framed, apply)?;
                offset = framed.end;
                continue;
            }
            let (next, is_acknowledged) = self.search(offset, end);
            if !is_acknowledged {
                return Ok(offset);
            }
            let resume = next.unwrap_or(end);
            self.tell(offset, resume - offset, "the bytes do not fit their checksum");
            offset = resume;
        }
        let have = self.bytes.len().max(start);
        if let Some(expected) = self.acknowledged_end.filter(|e| *e > have) {
            self.tell(have, expected - have, "the file is shorter than it was");
        }
        Ok(offset.min(self.bytes.len()))
    }

    /// The offset of the first record; `None` when the segment holds nothing that was acknowledged.
    fn start_of_records(&mut self, end: usize) -> Option<usize> {
        if self.segment.header.is_some() && end >= SEGMENT_HEADER {
            return Some(SEGMENT_HEADER);
        }
        let (next, is_acknowledged) = self.search(0, end);
        if !is_acknowledged {
            return None;
        }
        let resume = next.unwrap_or(end);
        self.tell(0, resume, "the segment header does not fit its checksum");
        Some(resume)
    }

    fn record_at(&self, offset: usize, end: usize) -> Option<Framed<'a>> {
        format::decode_record(self.bytes, self.segment.number, offset, end)
    }

    /// After something unreadable at `bad`: the next sound record, and whether the bytes at `bad` had been
    /// acknowledged. They had when a later segment says so, or when a record of a later group follows: it was
    /// written only after everything before its group was synced.
    fn search(&self, bad: usize, end: usize) -> (Option<usize>, bool) {
        let told = self.acknowledged_end.is_some_and(|e| e > bad);
        let mut next = None;
        let mut offset = bad + 1;
        while offset + RECORD_HEADER <= end {
            let Some(framed) = self.record_at(offset, end) else {
                offset += 1;
                continue;
            };
            next = next.or(Some(offset));
            if told || framed.group as usize > bad {
                return (next, true);
            }
            offset = framed.end;
        }
        (next, told)
    }

    fn visit(&mut self, offset: usize, framed: &Framed<'_>, apply: Apply<'_>) -> Result<()> {
        if framed.record.kind == format::SEAL {
            return Ok(());
        }
        let at = |offset: usize| {
            let offset = u32::try_from(offset).expect("records are found by 32-bit offsets");
            place(self.segment.number, offset)
        };
        let span = Span {
            start: at(offset),
            end: at(framed.end),
        };
        self.records_end = framed.end;
        self.replay.records += 1;
        self.replay.bytes += framed.record.payload.len() as u64;
        apply(span, framed.record)
            .map_err(|e| e.within(format_args!("{} at offset {offset}", self.segment.path.display())))
    }

    fn tell(&mut self, offset: usize, len: usize, why: &str) {
        self.damaged = true;
        let path = self.segment.path.clone();
        self.replay.damages.push(Damage {
            error: Error::corrupt(format!(
                "{} is damaged at offset {offset}: {why}; {len} bytes of acknowledged records are lost",
                path.display()
            )),
            path,
            offset: offset as u64,
            len: len as u64,
        });
    }
}
