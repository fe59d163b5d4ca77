//! Puts pieces of lines together again, each output for itself, within a limit.

use super::{Output, Piece};

/// A whole line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The time of the line's first piece, in nanoseconds since the epoch; `None` for plain lines.
    pub timestamp_ns: Option<i64>,
    /// Where it was written; `None` for plain lines.
    pub output: Option<Output>,
    /// The text. Bytes that are no UTF-8 became U+FFFD.
    pub line: String,
    /// How many bytes were cut off at the end because the line was over the limit.
    pub cut_bytes: u64,
}

/// The state of one file: at most one unfinished line per output.
#[derive(Debug)]
pub struct Joiner {
    max_bytes: usize,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    output: Option<Output>,
    timestamp_ns: Option<i64>,
    position: u64,
    text: Vec<u8>,
    cut_bytes: u64,
}

impl Joiner {
    /// Lines longer than `max_bytes` are cut there.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            pending: Vec::new(),
        }
    }

    /// Takes the next piece of the file and gives back a line when it is whole. `position` says where the piece
    /// starts in the file; see [`Joiner::oldest_pending`].
    pub fn push(&mut self, piece: &Piece<'_>, position: u64) -> Option<Joined> {
        let index = self.pending.iter().position(|p| p.output == piece.output);
        let mut line = match index {
            Some(index) => self.pending.swap_remove(index),
            None => Pending {
                output: piece.output,
                timestamp_ns: piece.timestamp_ns,
                position,
                text: Vec::new(),
                cut_bytes: 0,
            },
        };
        let room = self.max_bytes.saturating_sub(line.text.len());
        let kept = piece.text.len().min(room);
        line.text.extend_from_slice(&piece.text[..kept]);
        line.cut_bytes += (piece.text.len() - kept) as u64;
        if piece.partial {
            self.pending.push(line);
            return None;
        }
        Some(line.finish())
    }

    /// Where the oldest unfinished line starts. A reader that has handed on everything before may set its
    /// checkpoint there, so that after a restart no piece is missing.
    pub fn oldest_pending(&self) -> Option<u64> {
        self.pending.iter().map(|p| p.position).min()
    }

    /// Gives up waiting, for instance because the file has ended for good: the unfinished lines as they are,
    /// the oldest first.
    pub fn flush(&mut self) -> Vec<Joined> {
        self.pending.sort_by_key(|p| p.position);
        self.pending.drain(..).map(Pending::finish).collect()
    }
}

impl Pending {
    fn finish(mut self) -> Joined {
        if self.cut_bytes > 0 {
            // The cut may have gone through a character; its first bytes alone say nothing.
            let whole = match std::str::from_utf8(&self.text) {
                Err(e) if e.error_len().is_none() => e.valid_up_to(),
                _ => self.text.len(),
            };
            self.cut_bytes += (self.text.len() - whole) as u64;
            self.text.truncate(whole);
        }
        let line = String::from_utf8(self.text)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Joined {
            timestamp_ns: self.timestamp_ns,
            output: self.output,
            line,
            cut_bytes: self.cut_bytes,
        }
    }
}
