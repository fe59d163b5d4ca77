//! From text to tokens.

use super::ParseError;
use super::operators::BinaryOp;
use super::token::{Token, TokenKind, keyword};
use crate::go;

/// Which characters may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Expression,
    /// Inside `{ }`: words are names.
    Braces,
    /// After `[`, up to the first number or the end of it.
    Duration,
}

/// Cuts a text into tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the token at hand starts.
    start: usize,
    /// Up to where the text has been read.
    at: usize,
    mode: Mode,
    open_parens: usize,
    in_brackets: bool,
    seen_colon: bool,
    seen_number: bool,
}

type Scan<T> = Result<T, ParseError>;

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            start: 0,
            at: 0,
            mode: Mode::Expression,
            open_parens: 0,
            in_brackets: false,
            seen_colon: false,
            seen_number: false,
        }
    }

    /// The next token; the end of the text is given again and again.
    pub(super) fn next(&mut self) -> Scan<Token<'a>> {
        self.skip_blanks();
        self.start = self.at;
        let kind = match self.mode {
            Mode::Expression => self.in_expression(),
            Mode::Braces => self.in_braces(),
            Mode::Duration => self.in_duration(),
        }?;
        Ok(Token {
            kind,
            start: self.start,
            text: &self.text[self.start..self.at],
        })
    }

    /// Skips spaces, and comments where they are known.
    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
            if self.mode == Mode::Duration || self.byte() != Some(b'#') {
                return;
            }
            self.skip_while(|b| !matches!(b, b'\n' | b'\r'));
        }
    }
    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| wanted(**b)).count();
    }
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn next_char(&mut self) -> Option<char> {
        let c = self.text[self.at..].chars().next();
        self.at += c.map_or(0, char::len_utf8);
        c
    }
    /// Reads the next character if it is one of some ASCII characters.
    fn accept(&mut self, wanted: &[u8]) -> bool {
        let found = self.sees(wanted);
        self.at += usize::from(found);
        found
    }
    fn sees(&self, wanted: &[u8]) -> bool {
        self.byte().is_some_and(|b| wanted.contains(&b))
    }
    fn sees_word(&self) -> bool {
        self.byte().is_some_and(is_word)
    }
    fn error<T>(&self, message: impl Into<String>) -> Scan<T> {
        Err(ParseError::new(self.start, message))
    }
    fn unexpected<T>(&self, what: &str, c: Option<char>) -> Scan<T> {
        self.error(format!("unexpected {what} {}", go::quote_char(c)))
    }

    fn in_expression(&mut self) -> Scan<TokenKind> {
        let Some(c) = self.next_char() else {
            return match (self.open_parens, self.in_brackets) {
                (0, false) => Ok(TokenKind::Eof),
                (0, true) => self.error("unclosed left bracket"),
                _ => self.error("unclosed left parenthesis"),
            };
        };
        if let Some(kind) = self.sign(c) {
            return kind;
        }
        match c {
            '=' if self.accept(b"=") => Ok(TokenKind::Operator(BinaryOp::Equal)),
            '=' if self.sees(b"~") => self.unexpected("character after '=':", Some('~')),
            '=' => Ok(TokenKind::Assign),
            '!' => match self.next_char() {
                Some('=') => Ok(TokenKind::Operator(BinaryOp::NotEqual)),
                other => self.unexpected("character after '!':", other),
            },
            '<' if self.accept(b"=") => Ok(TokenKind::Operator(BinaryOp::LessEqual)),
            '<' if self.accept(b"/") => Ok(TokenKind::Operator(BinaryOp::TrimUpper)),
            '<' => Ok(TokenKind::Operator(BinaryOp::Less)),
            '>' if self.accept(b"=") => Ok(TokenKind::Operator(BinaryOp::GreaterEqual)),
            '>' if self.accept(b"/") => Ok(TokenKind::Operator(BinaryOp::TrimLower)),
            '>' => Ok(TokenKind::Operator(BinaryOp::Greater)),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            ':' if self.in_brackets => self.colon(),
            c if self.in_brackets && (c == '_' || c.is_ascii_alphabetic()) => match self.duration_word(c) {
                Some(kind) => Ok(kind),
                None => self.error(format!(
                    "unexpected character: {}, expected ':'",
                    go::quote_char(Some(c))
                )),
            },
            ':' | '_' | 'a'..='z' | 'A'..='Z' => Ok(self.word()),
            '{' => {
                self.mode = Mode::Braces;
                Ok(TokenKind::LeftBrace)
            }
            '[' if self.in_brackets => self.unexpected("left bracket", Some(c)),
            '[' => {
                self.in_brackets = true;
                self.seen_colon = false;
                self.mode = Mode::Duration;
                Ok(TokenKind::LeftBracket)
            }
            ']' if !self.in_brackets => self.unexpected("right bracket", Some(c)),
            '@' => Ok(TokenKind::At),
            c => self.unexpected("character:", Some(c)),
        }
    }

    /// What means the same in an expression and in the duration of a range.
    fn sign(&mut self, c: char) -> Option<Scan<TokenKind>> {
        let kind = match c {
            ',' => TokenKind::Comma,
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            '(' => {
                self.open_parens += 1;
                TokenKind::LeftParen
            }
            ')' if self.open_parens == 0 => {
                self.start = self.at;
                return Some(self.unexpected("right parenthesis", Some(c)));
            }
            ')' => {
                self.open_parens -= 1;
                TokenKind::RightParen
            }
            ']' if self.in_brackets => {
                self.in_brackets = false;
                self.mode = Mode::Expression;
                TokenKind::RightBracket
            }
            '0'..='9' => return Some(self.number_or_duration(c)),
            '.' if self.byte().is_some_and(|b| b.is_ascii_digit()) => {
                return Some(self.number_or_duration(c));
            }
            _ => return None,
        };
        Some(Ok(kind))
    }

    fn colon(&mut self) -> Scan<TokenKind> {
        if self.seen_colon {
            return self.unexpected("colon", Some(':'));
        }
        self.seen_colon = true;
        Ok(TokenKind::Colon)
    }

    fn in_duration(&mut self) -> Scan<TokenKind> {
        let Some(c) = self.next_char() else {
            return self.error("unexpected end of input in duration expression");
        };
        if let Some(kind) = self.sign(c) {
            return kind;
        }
        if c == ':' {
            let problem = match (self.seen_number, self.seen_colon) {
                (false, _) => "unexpected colon before duration in duration expression",
                (true, true) => "unexpected repeated colon in duration expression",
                (true, false) => {
                    self.seen_colon = true;
                    return Ok(TokenKind::Colon);
                }
            };
            self.start = self.at;
            return self.error(problem);
        }
        match self.duration_word(c) {
            Some(kind) => Ok(kind),
            None => self.unexpected("character in duration expression:", Some(c)),
        }
    }

    /// The rest of `step`, `range`, `max_of` or `min_of`.
    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip_while(|b| b == b'_' || b.is_ascii_alphabetic());
        keyword(&self.text[self.start..self.at]).filter(|kind| {
            matches!(
                kind,
                TokenKind::Step | TokenKind::Range | TokenKind::MaxOf | TokenKind::MinOf
            )
        })
    }

    fn in_braces(&mut self) -> Scan<TokenKind> {
        let Some(c) = self.next_char() else {
            return self.error("unexpected end of input inside braces");
        };
        match c {
            '_' | 'a'..='z' | 'A'..='Z' => {
                self.skip_while(is_word);
                Ok(TokenKind::Identifier)
            }
            ',' => Ok(TokenKind::Comma),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            '=' if self.accept(b"~") => Ok(TokenKind::RegexMatch),
            '=' => Ok(TokenKind::Assign),
            '!' => match self.next_char() {
                Some('~') => Ok(TokenKind::RegexNoMatch),
                Some('=') => Ok(TokenKind::Operator(BinaryOp::NotEqual)),
                other => self.unexpected("character after '!' inside braces:", other),
            },
            '{' => self.unexpected("left brace", Some(c)),
            '}' => {
                self.mode = Mode::Expression;
                Ok(TokenKind::RightBrace)
            }
            c => self.unexpected("character inside braces:", Some(c)),
        }
    }

    /// The rest of a word.
    fn word(&mut self) -> TokenKind {
        self.skip_while(|b| is_word(b) || b == b':');
        let word = &self.text[self.start..self.at];
        match keyword(word) {
            // These came late to the language: they stay names wherever they can be.
            Some(TokenKind::Fill | TokenKind::FillLeft | TokenKind::FillRight)
                if !self.text[self.at..].trim_start_matches(is_blank).starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        }
    }

    fn string(&mut self, quote: char) -> Scan<TokenKind> {
        loop {
            match self.next_char() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune"),
                None | Some('\n') => return self.error("unterminated quoted string"),
                Some(c) if c == quote => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Scan<TokenKind> {
        loop {
            match self.next_char() {
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune"),
                None => return self.error("unterminated raw string"),
                Some('`') => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// Checks what comes after a backslash.
    fn escape(&mut self, quote: char) -> Scan<()> {
        let not_terminated = "escape sequence not terminated";
        let Some(first) = self.next_char() else {
            return self.error(not_terminated);
        };
        let (digits, radix, max) = match first {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => {
                self.at -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            c => return self.error(format!("unknown escape sequence {}", go::code_point(c))),
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let Some(c) = self.next_char() else {
                return self.error(not_terminated);
            };
            let Some(digit) = c.to_digit(radix) else {
                return self.error(format!(
                    "illegal character {} in escape sequence",
                    go::code_point(c)
                ));
            };
            code = code * radix + digit;
        }
        if code > max || (0xd800..0xe000).contains(&code) {
            return self.error("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }

    fn number_or_duration(&mut self, first: char) -> Scan<TokenKind> {
        self.at -= first.len_utf8();
        if self.mode == Mode::Duration {
            self.seen_number = true;
            self.mode = Mode::Expression;
        }
        if self.number() {
            return Ok(TokenKind::Number);
        }
        if self.units() {
            return Ok(TokenKind::Duration);
        }
        let read = &self.text[self.start..self.at];
        self.error(format!("bad number or duration syntax: {}", go::quote(read)))
    }

    /// Reads a number as far as it may be one; whether it is one is known when its value is parsed.
    fn number(&mut self) -> bool {
        let hex = self.accept(b"0") && self.accept(b"xX");
        if hex {
            self.accept(b"_");
        }
        let is_digit = |b: u8| b.is_ascii_digit() || hex && b.is_ascii_hexdigit();
        self.accept(b".");
        if self.byte().is_some_and(is_digit) {
            self.at += 1;
        }
        let (mut seen_dot, mut seen_exponent) = (false, false);
        while let Some(next) = self.byte() {
            match next {
                b'.' => {
                    self.at += 1;
                    if seen_dot || self.accept(b"_.") || hex {
                        return false;
                    }
                    seen_dot = true;
                }
                b'e' | b'E' => {
                    self.at += 1;
                    if seen_exponent {
                        return false;
                    }
                    seen_exponent = true;
                    self.accept(b"+-");
                    if self.accept(b"._eE") || self.byte().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.at += 1;
                    if self.accept(b"._eE") || self.byte().is_none() {
                        return false;
                    }
                }
                b if is_digit(b) => self.skip_while(is_digit),
                _ => break,
            }
        }
        !self.sees_word()
    }

    /// Reads the rest of a duration after its first digits.
    fn units(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.skip_while(|b| b.is_ascii_digit());
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        let more = self.sees_word();
        // It belongs to what the error shows.
        self.at += usize::from(more);
        !more
    }
}

fn is_word(b: u8) -> bool {
    b == b'_' || b.is_ascii_alphanumeric()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
