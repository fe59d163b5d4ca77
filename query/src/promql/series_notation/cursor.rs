//! A line read from left to right: words, numbers and quoted texts as the reference writes them.

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
    /// What is left.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }
    /// Passes over a text if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
    /// Passes over blanks; whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        !self
            .take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'))
            .is_empty()
    }
    pub(super) fn take_while(&mut self, mut is_wanted: impl FnMut(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }
    /// Letters, digits, underscores, and colons if they may be in it.
    pub(super) fn word(&mut self, with_colons: bool) -> &'a str {
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return "";
        }
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || (with_colons && c == ':'))
    }
    /// A number with or without a sign: decimal digits, or `Inf` and `NaN`.
    pub(super) fn signed_number(&mut self) -> Result<f64, String> {
        let sign = if self.eat("-") {
            -1.0
        } else {
            self.eat("+");
            1.0
        };
        self.number().map(|value| sign * value)
    }
    fn number(&mut self) -> Result<f64, String> {
        if self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            let word = self.word(false);
            return match word.to_ascii_lowercase().as_str() {
                "inf" => Ok(f64::INFINITY),
                "nan" => Ok(f64::NAN),
                _ => Err(format!("{word:?} is not a number")),
            };
        }
        let mut before = ' ';
        let digits = self.take_while(|c| {
            let is_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
            before = c;
            is_sign || c.is_ascii_digit() || matches!(c, '.' | '_' | 'e' | 'E')
        });
        number(digits).ok_or_else(|| format!("{digits:?} is not a number"))
    }
    /// A count without a sign.
    pub(super) fn count(&mut self) -> Result<usize, String> {
        let digits = self.take_while(|c| c.is_ascii_digit());
        digits
            .parse()
            .map_err(|_| format!("{digits:?} is not a number of repetitions"))
    }
    /// A quoted text in one of Go's three quotes.
    pub(super) fn quoted(&mut self) -> Result<String, String> {
        let unended = || "a quoted text without an end".to_owned();
        let quote = self
            .peek()
            .filter(|c| matches!(c, '"' | '\'' | '`'))
            .ok_or("a quoted text is missing")?;
        self.take(1);
        if quote == '`' {
            let text = self.take_while(|c| c != '`').to_owned();
            return self.eat("`").then_some(text).ok_or_else(unended);
        }
        let mut bytes = Vec::new();
        loop {
            let plain = self.take_while(|c| c != quote && c != '\\');
            bytes.extend_from_slice(plain.as_bytes());
            if self.eat("\\") {
                self.escape(&mut bytes)?;
            } else if self.eat(quote.encode_utf8(&mut [0; 4])) {
                return String::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_owned());
            } else {
                return Err(unended());
            }
        }
    }
    /// What follows a backslash.
    fn escape(&mut self, into: &mut Vec<u8>) -> Result<(), String> {
        let letter = self.peek().ok_or("a backslash at the end")?;
        let plain = match letter {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '"' | '\'' => letter as u8,
            '0'..='7' => {
                let value = self.digits(3, 8)?;
                into.push(u8::try_from(value).map_err(|e| e.to_string())?);
                return Ok(());
            }
            'x' | 'u' | 'U' => {
                self.take(1);
                let length = if letter == 'x' {
                    2
                } else if letter == 'u' {
                    4
                } else {
                    8
                };
                let value = self.digits(length, 16)?;
                if letter == 'x' {
                    into.push(u8::try_from(value).map_err(|e| e.to_string())?);
                } else {
                    let c = char::from_u32(value).ok_or("an escape that is no character")?;
                    into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                return Ok(());
            }
            _ => return Err(format!("unknown escape \\{letter}")),
        };
        into.push(plain);
        self.take(1);
        Ok(())
    }
    fn digits(&mut self, length: usize, radix: u32) -> Result<u32, String> {
        let digits = self.rest.get(..length).ok_or("an escape that ends early")?;
        self.take(length);
        u32::from_str_radix(digits, radix).map_err(|_| format!("bad digits {digits:?} in an escape"))
    }
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }
}

/// A number as Go reads one: first as a whole number whose prefix says the base, then as a float; `None` when it is none.
pub fn number(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 {
        return None;
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let whole = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => from_base(&digits[2..], 16),
        Some("0o") => from_base(&digits[2..], 8),
        Some("0b") => from_base(&digits[2..], 2),
        Some(two) if two.starts_with('0') => from_base(&digits[1..], 8),
        _ => from_base(digits, 10),
    };
    let float = || digits.replace('_', "").parse::<f64>().ok();
    whole.or_else(float).map(|value| sign * value)
}

fn from_base(digits: &str, base: u32) -> Option<f64> {
    // A sign here would be the second one.
    let digits = digits.strip_prefix(['+', '-']).map_or(digits, |_| "");
    i64::from_str_radix(&digits.replace('_', ""), base)
        .ok()
        .map(|n| n as f64)
}
