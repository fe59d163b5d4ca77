//! From the regular expressions of RE2, as Go has them, to those of the regex crate.
//!
//! The two differ in what is an error, and in the meaning of `\d`, `\s`, `\w`, `\b`, `\<`, `\Q…\E`, octal escapes,
//! braces that are no repetition, and some signs inside of `[ ]`. What comes out has none of these in it.

mod class;

use std::fmt::Write;

/// The most copies that counted repetitions, one within the other, may ask for.
const MAX_COPIES: u32 = 1000;
/// The deepest nesting of groups.
const MAX_NESTING: usize = 1000;
/// What matches nothing.
const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

/// Whether an expression is that of a matcher, or of a search in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dot {
    /// `.` matches line breaks.
    Everything,
    /// `.` stops at line breaks.
    InLine,
}

/// Rewrites an expression.
///
/// # Errors
/// The texts of Go: what is wrong, and the part in which it is.
pub(super) fn translate(expression: &str, dot: Dot) -> Result<String, String> {
    let flags = Flags {
        dot_newline: dot == Dot::Everything,
        ..Flags::default()
    };
    let mut translator = Translator {
        whole: expression,
        rest: expression,
        out: String::with_capacity(expression.len() + 8),
        flags,
        written: flags,
        groups: Vec::new(),
        copies: 1,
        last: None,
        repeated: None,
    };
    translator.run()?;
    Ok(translator.out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    ungreedy: bool,
}

/// Something that a repetition may follow.
#[derive(Debug, Clone, Copy)]
struct Atom {
    /// Where it starts in the result.
    start: usize,
    /// The product of the counts of the repetitions in it.
    copies: u32,
    /// Whether it ends with a repetition.
    repeated: bool,
}

/// An open group.
struct Group {
    start: usize,
    flags: Flags,
    written: Flags,
    copies: u32,
}

struct Translator<'a> {
    whole: &'a str,
    rest: &'a str,
    out: String,
    /// The flags at this place.
    flags: Flags,
    /// The flags that the result has at this place.
    written: Flags,
    groups: Vec<Group>,
    /// The most copies of anything in the group at hand.
    copies: u32,
    last: Option<Atom>,
    /// The expression from the repetition on that has just been read.
    repeated: Option<&'a str>,
}

fn wrong<T>(what: &str, part: &str) -> Result<T, String> {
    Err(format!("{what}: `{part}`"))
}

/// The start of a text, up to where another that ends with it starts.
fn before<'a>(text: &'a str, rest: &str) -> &'a str {
    &text[..text.len() - rest.len()]
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.chars().next() {
            let repetition = self.rest;
            match c {
                '(' if self.rest.starts_with("(?") => self.perl_group()?,
                '(' => {
                    self.open("(")?;
                    self.rest = &self.rest[1..];
                }
                ')' => self.close()?,
                '|' => {
                    self.rest = &self.rest[1..];
                    self.out.push('|');
                    self.finish_atom();
                }
                '^' | '$' | '.' => {
                    self.rest = &self.rest[1..];
                    self.atom(|out| out.push(c));
                }
                '[' => {
                    let (class, rest) = class::bracketed(self.rest)?;
                    self.rest = rest;
                    self.atom(|out| out.push_str(&class));
                }
                '*' | '+' | '?' => {
                    self.rest = &self.rest[1..];
                    self.repeat(repetition, None)?;
                    self.repeated = Some(repetition);
                    continue;
                }
                '{' => match counts(self.rest) {
                    Some((counts, rest)) => {
                        self.rest = rest;
                        self.counted(repetition, counts)?;
                        self.repeated = Some(repetition);
                        continue;
                    }
                    None => self.literal('{'),
                },
                '\\' => self.backslash()?,
                c => self.literal(c),
            }
            self.repeated = None;
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        wrong("missing closing )", self.whole)
    }

    /// Writes the flags where they have changed.
    fn sync_flags(&mut self) {
        if self.written == self.flags {
            return;
        }
        self.written = self.flags;
        let Flags {
            fold_case,
            multi_line,
            dot_newline,
            ungreedy,
        } = self.flags;
        let all = [
            (fold_case, 'i'),
            (multi_line, 'm'),
            (dot_newline, 's'),
            (ungreedy, 'U'),
        ];
        let named = |wanted: bool| {
            all.iter()
                .filter(move |(on, _)| *on == wanted)
                .map(|(_, name)| *name)
        };
        let (on, off): (String, String) = (named(true).collect(), named(false).collect());
        let minus = if off.is_empty() { "" } else { "-" };
        write!(self.out, "(?{on}{minus}{off})").expect("a string takes all that is written to it");
    }

    /// Counts the copies of the last atom, which nothing repeats any more.
    fn finish_atom(&mut self) {
        if let Some(atom) = self.last.take() {
            self.copies = self.copies.max(atom.copies);
        }
    }
    fn atom(&mut self, write: impl FnOnce(&mut String)) {
        self.finish_atom();
        self.sync_flags();
        let start = self.out.len();
        write(&mut self.out);
        self.last = Some(Atom {
            start,
            copies: 1,
            repeated: false,
        });
    }
    /// Reads a character that stands for itself.
    fn literal(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        self.atom(|out| class::push_char(out, c));
    }

    fn open(&mut self, how: &str) -> Result<(), String> {
        if self.groups.len() >= MAX_NESTING {
            return wrong("expression nests too deeply", self.whole);
        }
        self.finish_atom();
        self.sync_flags();
        self.groups.push(Group {
            start: self.out.len(),
            flags: self.flags,
            written: self.written,
            copies: std::mem::replace(&mut self.copies, 1),
        });
        self.out.push_str(how);
        Ok(())
    }
    fn close(&mut self) -> Result<(), String> {
        let Some(group) = self.groups.pop() else {
            return wrong("unexpected )", self.whole);
        };
        self.finish_atom();
        self.rest = &self.rest[1..];
        self.out.push(')');
        self.flags = group.flags;
        self.written = group.written;
        self.last = Some(Atom {
            start: group.start,
            copies: self.copies,
            repeated: false,
        });
        self.copies = group.copies;
        Ok(())
    }

    /// A group with a name, one that captures nothing, or flags.
    fn perl_group(&mut self) -> Result<(), String> {
        let group = self.rest;
        let name = group.strip_prefix("(?P<").or_else(|| group.strip_prefix("(?<"));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            let Some(end) = name.find('>') else {
                return wrong("invalid named capture", group);
            };
            let (name, rest) = (&name[..end], &name[end + 1..]);
            let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(is_name) {
                return wrong("invalid named capture", before(group, rest));
            }
            // The regex crate has no names twice and none that start with a digit: such groups have just a number.
            let named = format!("(?P<{name}>");
            let numbered = name.starts_with(|c: char| c.is_ascii_digit()) || self.out.contains(&named);
            self.open(if numbered { "(" } else { &named })?;
            self.rest = rest;
            return Ok(());
        }
        let mut flags = self.flags;
        let (mut value, mut seen) = (true, false);
        let mut chars = group[2..].chars();
        while let Some(c) = chars.next() {
            match c {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.ungreedy = value,
                '-' if value => {
                    (value, seen) = (false, false);
                    continue;
                }
                ':' | ')' if value || seen => {
                    if c == ':' {
                        self.open("(?:")?;
                    }
                    self.flags = flags;
                    self.rest = chars.as_str();
                    return Ok(());
                }
                _ => break,
            }
            seen = true;
        }
        wrong(
            "invalid or unsupported Perl syntax",
            before(group, chars.as_str()),
        )
    }

    /// A repetition with counts.
    fn counted(&mut self, repetition: &'a str, counts: Counts) -> Result<(), String> {
        let invalid = wrong("invalid repeat count", before(repetition, self.rest));
        let Counts { min, max } = counts;
        let fits = |count: u32| count <= MAX_COPIES;
        if !fits(min) || max.is_some_and(|max| !fits(max) || min > max) {
            return invalid;
        }
        self.repeat(repetition, Some(counts))
    }

    /// Repeats the last atom.
    fn repeat(&mut self, repetition: &'a str, counts: Option<Counts>) -> Result<(), String> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        let shown = before(repetition, self.rest);
        if let Some(first) = self.repeated {
            return wrong("invalid nested repetition operator", before(first, self.rest));
        }
        let Some(atom) = &mut self.last else {
            return wrong("missing argument to repetition operator", shown);
        };
        if atom.repeated {
            // Flags stood between the two, which the result does not have: a second sign would mean something else.
            self.out.insert_str(atom.start, "(?:");
            self.out.push(')');
        }
        if let Some(Counts { min, max }) = counts {
            let copies = max.unwrap_or(min);
            let product = copies.max(1) * atom.copies;
            if copies >= 2 && product > MAX_COPIES {
                return wrong("invalid repeat count", shown);
            }
            atom.copies = if max == Some(0) { 1 } else { product };
        }
        atom.repeated = true;
        self.out.push_str(shown);
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), String> {
        let text = self.rest;
        let assertion = match text.as_bytes().get(1) {
            Some(b'A') => r"\A",
            Some(b'z') => r"\z",
            Some(b'b') => r"(?-u:\b)",
            Some(b'B') => r"(?-u:\B)",
            Some(b'C') => return wrong("invalid escape sequence", r"\C"),
            Some(b'Q') => {
                let quoted = &text[2..];
                let (quoted, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                for c in quoted.chars() {
                    self.atom(|out| class::push_char(out, c));
                }
                self.rest = rest;
                return Ok(());
            }
            _ => {
                if let Some((class, rest)) = class::named(text)? {
                    self.rest = rest;
                    self.atom(|out| out.push_str(&class));
                    return Ok(());
                }
                let (code, rest) = class::escape(text)?;
                self.rest = rest;
                // Half of a surrogate pair is a character in Go's expressions, but in no text.
                self.atom(|out| match char::from_u32(code) {
                    Some(c) => class::push_char(out, c),
                    None => out.push_str(NOTHING),
                });
                return Ok(());
            }
        };
        self.rest = &text[2..];
        self.atom(|out| out.push_str(assertion));
        Ok(())
    }
}

/// The counts of `{2}`, `{2,}` and `{2,3}`. Those too large for a number are the largest.
#[derive(Debug, Clone, Copy)]
struct Counts {
    min: u32,
    /// `None`: any number.
    max: Option<u32>,
}

/// Reads counts in braces; `None` when it is something else.
fn counts(text: &str) -> Option<(Counts, &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = count(rest)?;
            (Some(max), rest)
        }
    };
    Some((Counts { min, max }, rest.strip_prefix('}')?))
}

fn count(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(digits);
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
