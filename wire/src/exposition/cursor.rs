//! The lexer's hands: small steps over the text that know where they are.

use crate::quota::shorten;
use model::{Error, Result};
use std::borrow::Cow;

/// A place in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    pos: usize,
}

/// A name or a value as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    pub(super) fn plain(raw: &'a str) -> Self {
        Self { raw, escaped: false }
    }
    pub(super) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
    /// With `\\`, `\n` and `\"` resolved; a backslash before anything else stays.
    pub(super) fn unescape(self) -> Cow<'a, str> {
        if self.escaped {
            unescape(self.raw, true)
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// Resolves `\\` and `\n`, and `\"` too where quotes are escaped.
pub(super) fn unescape(raw: &str, quotes: bool) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, pos: 0 }
    }
    pub(super) fn pos(&self) -> usize {
        self.pos
    }
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.pos]
    }
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }
    pub(super) fn at_end(&self) -> bool {
        self.pos == self.text.len()
    }
    /// Steps over this byte if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }
    /// Steps over this text if it is next.
    pub(super) fn eat_str(&mut self, text: &str) -> bool {
        let found = self.text.as_bytes()[self.pos..].starts_with(text.as_bytes());
        self.pos += if found { text.len() } else { 0 };
        found
    }
    /// Steps over bytes for as long as they fit; only ASCII may fit, so that the place stays between characters.
    fn eat_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let start = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii() && fits(b)) {
            self.pos += 1;
        }
        self.since(start)
    }
    /// Steps over spaces and tabs; how many.
    pub(super) fn blanks(&mut self) -> usize {
        self.eat_while(|b| b == b' ' || b == b'\t').len()
    }
    /// Everything up to one of these bytes or the end.
    pub(super) fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let start = self.pos;
        let rest = &self.text.as_bytes()[start..];
        // The ends are ASCII, so this is between characters.
        self.pos += rest
            .iter()
            .position(|b| b.is_ascii() && ends(*b))
            .unwrap_or(rest.len());
        self.since(start)
    }
    /// The rest of the line, without its break.
    pub(super) fn line(&mut self) -> &'a str {
        let start = self.pos;
        let rest = &self.text.as_bytes()[start..];
        self.pos += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.since(start)
    }
    /// A metric's name: letters, digits, `_` and `:`, not starting with a digit.
    pub(super) fn metric_name(&mut self) -> Option<&'a str> {
        self.name(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
    }
    /// A label's name: letters, digits and `_`, not starting with a digit.
    pub(super) fn label_name(&mut self) -> Option<&'a str> {
        self.name(|b| b.is_ascii_alphabetic() || b == b'_')
    }
    fn name(&mut self, letter: impl Fn(u8) -> bool) -> Option<&'a str> {
        self.peek().filter(|b| letter(*b))?;
        Some(self.eat_while(|b| letter(b) || b.is_ascii_digit()))
    }
    /// A text in double quotes, with its escapes still in it.
    pub(super) fn quoted(&mut self, line_breaks: bool) -> Result<Text<'a>> {
        if !self.eat(b'"') {
            return Err(self.expected("a quoted text"));
        }
        let start = self.pos;
        let (bytes, mut escaped, mut at) = (self.text.as_bytes(), false, start);
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(b'\n') if !line_breaks => return Err(self.error("a quoted text ends with its line")),
                Some(_) => at += 1,
                None => return Err(self.error("a quoted text has no end")),
            }
        }
        // A quote is ASCII, so both ends are between characters.
        let raw = &self.text[start..at];
        self.pos = at + 1;
        Ok(Text { raw, escaped })
    }
    /// An error at this place: `line N: …`.
    pub(super) fn error(&self, what: &str) -> Error {
        let before = &self.text.as_bytes()[..self.pos];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        Error::bad_data(shorten(format!("line {line}: {what}")))
    }
    /// An error that says what should be here and what is.
    pub(super) fn expected(&self, what: &str) -> Error {
        let rest = &self.text[self.pos..];
        let found = match rest.split('\n').next().unwrap_or_default() {
            _ if rest.is_empty() => "the end of the text".to_owned(),
            "" => "the end of the line".to_owned(),
            line => format!("{:?}", line.chars().take(40).collect::<String>()),
        };
        self.error(&format!("expected {what}, found {found}"))
    }
}
