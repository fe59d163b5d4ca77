//! Removing what a log does not need any more, down to an empty segment.

use super::format::SEGMENT_HEADER;
use super::{Closed, Log, Position, segment_path};
use model::{Error, Result};

impl Log {
    /// Removes the segments that lie wholly before a position that a manifest on disk names; a damaged one is kept
    /// as `<name>.damaged`. Returns how many.
    ///
    /// The newest segment too: an empty one takes its place first, so that a replay from the position finds the log
    /// complete. A log that has nothing new since is left alone.
    pub fn remove_below(&mut self, position: Position) -> Result<usize> {
        // On a full disk this makes the room that the new segment takes.
        let mut removed = self.remove_closed_below(position)?;
        if self.rotate_below(position)? {
            removed += self.remove_closed_below(position)?;
        }
        Ok(removed)
    }

    /// Starts a new segment when the newest one holds records, all of them before the position.
    fn rotate_below(&mut self, position: Position) -> Result<bool> {
        let newest = match &self.current {
            Some(current) => Some((current.number, current.good)),
            None => self.closed.last_key_value().map(|(n, c)| (*n, c.records_end)),
        };
        // A position in a later segment says by itself that the numbers go on there.
        let Some((number, _)) = newest.filter(|(number, end)| {
            *number == position.segment && *end <= position.offset && *end > SEGMENT_HEADER as u32
        }) else {
            return Ok(false);
        };
        self.sync()?;
        self.close_current();
        // There is no record after the position, only a seal perhaps: the next segment need not name more.
        self.previous = position;
        if let Some(closed) = self.closed.get_mut(&number) {
            closed.named_end = position.offset;
        }
        self.stage_into_current(&[])?;
        self.sync()?;
        Ok(true)
    }

    pub(super) fn remove_closed_below(&mut self, position: Position) -> Result<usize> {
        // Known to be on the disk: a replay finds by it that nothing is missing.
        let has_current = self.current.as_ref().is_some_and(|c| c.is_named);
        let has_later = |number: u64| has_current || self.closed.range(number + 1..).next().is_some();
        let is_below = |number: u64, closed: &Closed| {
            number < position.segment
                || (number == position.segment && closed.named_end <= position.offset && has_later(number))
        };
        let numbers: Vec<u64> = self
            .closed
            .range(..=position.segment)
            .filter(|(number, closed)| is_below(**number, closed))
            .map(|(number, _)| *number)
            .collect();
        for number in &numbers {
            let path = segment_path(&self.dir, *number);
            let closed = self.closed[number];
            let done = if closed.damaged {
                self.fs.rename(&path, &path.with_extension("wal.damaged"))
            } else {
                self.fs.remove_file(&path)
            };
            done.or_else(not_found_is_fine)
                .map_err(|e| Error::from(e).within(path.display()))?;
            self.closed.remove(number);
            self.count_bytes(-(closed.len as i64));
        }
        if !numbers.is_empty() {
            self.fs
                .sync_dir(&self.dir)
                .map_err(|e| Error::from(e).within(self.dir.display()))?;
        }
        Ok(numbers.len())
    }
}

fn not_found_is_fine(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(e)
    }
}
