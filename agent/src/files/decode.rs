//! From the bytes of a range to log lines.

use wire::container_log::{Format, Joined, Joiner, Output, plain};

/// How a file's bytes are read.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// How its lines are written.
    pub format: Format,
    /// Bytes of one line; the rest of a longer one is dropped.
    pub max_line_bytes: usize,
    /// Whether the range begins inside a line that was cut, so that everything up to its end is dropped.
    pub skipping: bool,
}

/// One whole line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line's own time in nanoseconds, where it has one.
    pub timestamp_ns: Option<i64>,
    /// Which of the container's outputs.
    pub output: Option<Output>,
    /// The text.
    pub text: String,
}

/// What came out of a range.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// Bytes that these lines account for. What follows is the beginning of a line that is not whole yet.
    pub consumed: usize,
    /// Whether the range ended inside a line that was cut.
    pub skipping: bool,
    /// Lines that were cut.
    pub cut_lines: u64,
    /// Bytes dropped from cut lines.
    pub cut_bytes: u64,
    /// Lines that were not in the file's format.
    pub malformed: u64,
}

/// A raw line that is longer than this has no end that is worth waiting for. Container runtimes cut lines into
/// pieces of 16 KiB, which JSON may make six times as long.
pub fn max_raw_line_bytes(how: &How) -> usize {
    match how.format {
        Format::Plain => how.max_line_bytes,
        Format::Cri | Format::Docker => how.max_line_bytes.max(128 << 10) + 1024,
    }
}

/// Reads the lines of a range that may go on: stops at the last place where no line is half read. If there is no
/// such place in `full` buffer, pieces of lines are handed on as they are.
pub fn decode(bytes: &[u8], how: How, full: bool) -> Decoded {
    let mut run = Run::new(bytes, how);
    run.whole_lines();
    if full && run.clean.consumed == 0 {
        run.give_up_waiting();
    }
    let mut lines = run.lines;
    lines.truncate(run.clean_lines);
    Decoded { lines, ..run.clean }
}

/// Reads the lines of a range that ends here: the same lines as [`decode`] gave for the bytes that it consumed,
/// and at the end of a file what was left of it.
pub fn decode_all(bytes: &[u8], how: How) -> Decoded {
    let mut run = Run::new(bytes, how);
    run.whole_lines();
    run.unfinished_line();
    run.give_up_waiting();
    Decoded {
        lines: run.lines,
        consumed: bytes.len(),
        ..run.now
    }
}

struct Run<'a> {
    bytes: &'a [u8],
    how: How,
    joiner: Joiner,
    position: usize,
    lines: Vec<Line>,
    /// The counts so far, without lines.
    now: Decoded,
    /// The counts at the last place where no line was half read, and how many lines there were then.
    clean: Decoded,
    clean_lines: usize,
}

fn at_start(how: How) -> Decoded {
    Decoded {
        skipping: how.skipping,
        ..Decoded::default()
    }
}

impl<'a> Run<'a> {
    fn new(bytes: &'a [u8], how: How) -> Self {
        Self {
            bytes,
            how,
            joiner: Joiner::new(how.max_line_bytes),
            position: 0,
            lines: Vec::new(),
            now: at_start(how),
            clean: at_start(how),
            clean_lines: 0,
        }
    }

    fn whole_lines(&mut self) {
        loop {
            let rest = &self.bytes[self.position..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.too_long_a_line();
                return;
            };
            if self.now.skipping {
                self.now.cut_bytes += end as u64;
                self.now.skipping = false;
            } else {
                self.line(&rest[..end]);
            }
            self.position += end + 1;
            self.mark_if_clean();
        }
    }

    /// The rest has no end of line: drop it if its line was cut, cut it if it is too long already.
    fn too_long_a_line(&mut self) {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return;
        }
        if !self.now.skipping {
            if rest.len() <= max_raw_line_bytes(&self.how) {
                return;
            }
            self.line(rest);
            self.now.skipping = true;
        } else {
            self.now.cut_bytes += rest.len() as u64;
        }
        self.position = self.bytes.len();
        self.mark_if_clean();
    }

    fn unfinished_line(&mut self) {
        let rest = &self.bytes[self.position..];
        if !rest.is_empty() {
            self.line(rest);
            self.position = self.bytes.len();
        }
    }

    fn give_up_waiting(&mut self) {
        for joined in self.joiner.flush() {
            self.push(joined);
        }
        self.mark_if_clean();
    }

    fn line(&mut self, raw: &[u8]) {
        if raw.is_empty() && self.how.format == Format::Plain {
            return;
        }
        let piece = self.how.format.parse(raw).unwrap_or_else(|_| {
            self.now.malformed += 1;
            plain(raw)
        });
        if let Some(joined) = self.joiner.push(&piece, self.position as u64) {
            self.push(joined);
        }
    }

    fn push(&mut self, joined: Joined) {
        if joined.cut_bytes > 0 {
            self.now.cut_lines += 1;
            self.now.cut_bytes += joined.cut_bytes;
        }
        let timestamp_ns = joined.timestamp_ns.or_else(|| leading_time(&joined.line));
        self.lines.push(Line {
            timestamp_ns,
            output: joined.output,
            text: joined.line,
        });
    }

    fn mark_if_clean(&mut self) {
        if self.joiner.oldest_pending().is_none() {
            self.clean = Decoded {
                consumed: self.position,
                lines: Vec::new(),
                ..self.now
            };
            self.clean_lines = self.lines.len();
        }
    }
}

/// The time that a plain line begins with, as syslog daemons write it today.
fn leading_time(line: &str) -> Option<i64> {
    let word = line.split(' ').next()?.as_bytes();
    let shaped = word.len() >= 20 && word[0].is_ascii_digit() && word[10] == b'T';
    shaped.then(|| wire::rfc3339::parse_ns(word))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOW: How = How {
        format: Format::Plain,
        max_line_bytes: 1000,
        skipping: false,
    };

    fn texts(decoded: &Decoded) -> Vec<&str> {
        decoded.lines.iter().map(|l| l.text.as_str()).collect()
    }

    #[test]
    fn only_whole_lines_are_taken_until_the_end() {
        let check = |bytes: &str, format: Format, lines: &[&str], consumed: usize, at_end: &[&str]| {
            let how = How { format, ..HOW };
            let decoded = decode(bytes.as_bytes(), how, false);
            assert_eq!(
                (texts(&decoded).as_slice(), decoded.consumed),
                (lines, consumed),
                "{bytes:?}"
            );
            assert_eq!(texts(&decode_all(bytes.as_bytes(), how)), at_end, "{bytes:?}");
        };
        check("a\nb\nc", Format::Plain, &["a", "b"], 4, &["a", "b", "c"]);
        check("a\r\n\nb\n", Format::Plain, &["a", "b"], 6, &["a", "b"]);
        check("", Format::Plain, &[], 0, &[]);
        let t = "2026-01-01T00:00:00Z";
        // The whole error line in between waits with the unfinished output line.
        check(
            &format!("{t} stdout F x\n{t} stdout P y\n{t} stderr F e\n"),
            Format::Cri,
            &["x"],
            t.len() + 12,
            &["x", "e", "y"],
        );
        check(
            &format!("{t} stdout P y\n{t} stderr F e\n{t} stdout F z\n"),
            Format::Cri,
            &["e", "yz"],
            3 * (t.len() + 12),
            &["e", "yz"],
        );
        check("not cri\n", Format::Cri, &["not cri"], 8, &["not cri"]);
    }

    #[test]
    fn lines_that_are_too_long_are_cut_and_their_rest_is_dropped() {
        let long = "x".repeat(max_raw_line_bytes(&HOW) + 1);
        let first = decode(long.as_bytes(), HOW, true);
        assert_eq!((first.lines.len(), first.lines[0].text.len()), (1, 1000));
        assert_eq!(
            (first.consumed, first.skipping, first.cut_lines),
            (long.len(), true, 1)
        );
        let how = How {
            skipping: true,
            ..HOW
        };
        let second = decode(b"yyy\nnext\n", how, false);
        assert_eq!(
            (texts(&second), second.skipping, second.cut_bytes),
            (vec!["next"], false, 3)
        );
        let short = decode_all(&[b'x'; 1500], HOW);
        assert_eq!((short.lines[0].text.len(), short.cut_bytes), (1000, 500));
    }

    #[test]
    fn plain_lines_may_begin_with_their_time() {
        assert_eq!(
            leading_time("1970-01-01T00:00:01Z host x: y"),
            Some(1_000_000_000)
        );
        assert_eq!(leading_time("2026-01-01 is a date"), None);
        assert_eq!(leading_time(""), None);
    }

    proptest! {
        /// However a file is cut into buffers, the lines are those of the whole file; and what was consumed gives
        /// the same lines when it is read again.
        #[test]
        fn any_cut_gives_the_same_lines(
            pieces in prop::collection::vec(("[a-c]{0,6}", 0..4u8), 0..20),
            cuts in prop::collection::vec(1..40usize, 1..60),
        ) {
            let mut file = String::new();
            for (text, kind) in &pieces {
                let (output, tag) = [("stdout", "F"), ("stdout", "P"), ("stderr", "F"), ("stderr", "P")][usize::from(*kind)];
                file.push_str(&format!("2026-01-01T00:00:00Z {output} {tag} {text}\n"));
            }
            let how = How { format: Format::Cri, ..HOW };
            let whole = decode_all(file.as_bytes(), how).lines;
            let (mut got, mut start, mut end) = (Vec::new(), 0, 0);
            for cut in cuts.iter().cycle().take(200) {
                end = (end + cut).min(file.len());
                let piece = &file.as_bytes()[start..end];
                let decoded = decode(piece, how, false);
                let again = decode_all(&piece[..decoded.consumed], how);
                prop_assert_eq!(&again.lines, &decoded.lines);
                start += decoded.consumed;
                got.extend(decoded.lines);
            }
            got.extend(decode_all(&file.as_bytes()[start..], how).lines);
            prop_assert_eq!(got, whole);
        }
    }
}
