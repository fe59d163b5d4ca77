//! A stream's labels as text: `{job="nginx", level="info"}`.

use model::{Error, Labels, LabelsBuilder, Result};

/// Reads `{name="value", …}`. Values are quoted as in Go: escapes in double quotes, raw text in backquotes.
///
/// # Errors
/// [`model::ErrorKind::BadData`] with the place, also for a name that occurs twice.
pub fn parse_labels(text: &str) -> Result<Labels> {
    let mut at = Place { text, pos: 0 };
    let mut builder = LabelsBuilder::default();
    let mut names = Vec::new();
    at.blanks();
    at.expect("{")?;
    loop {
        at.blanks();
        if at.eat("}") {
            break;
        }
        let name = at.name()?;
        at.blanks();
        at.expect("=")?;
        at.blanks();
        builder.push(name, at.value()?);
        names.push(name);
        at.blanks();
        if !at.eat(",") && !at.rest().starts_with('}') {
            return Err(at.error("\",\" or \"}\" is expected"));
        }
    }
    at.blanks();
    if !at.rest().is_empty() {
        return Err(at.error("nothing is expected after \"}\""));
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::bad_data(format!(
            "the labels {} hold {:?} twice",
            excerpt(text),
            pair[0]
        ))),
        None => Ok(builder.build()),
    }
}

struct Place<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Place<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }
    fn blanks(&mut self) {
        self.pos = self.text.len() - self.rest().trim_start().len();
    }
    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.pos += if found { token.len() } else { 0 };
        found
    }
    fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.error(&format!("{token:?} is expected")))
        }
    }
    fn name(&mut self) -> Result<&'a str> {
        let rest = self.rest();
        let len = rest
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
            .count();
        if len == 0 || rest.as_bytes()[0].is_ascii_digit() {
            return Err(self.error("a label name is expected"));
        }
        self.pos += len;
        Ok(&rest[..len])
    }
    fn value(&mut self) -> Result<String> {
        if self.eat("`") {
            let rest = self.rest();
            let len = rest
                .find('`')
                .ok_or_else(|| self.error("a closing backquote is missing"))?;
            self.pos += len + 1;
            return Ok(rest[..len].to_owned());
        }
        self.expect("\"")?;
        let mut value = Vec::new();
        loop {
            let mut chars = self.rest().chars();
            let c = chars
                .next()
                .ok_or_else(|| self.error("a closing quote is missing"))?;
            match c {
                '"' => {
                    self.pos += 1;
                    // Octal and hexadecimal escapes may write any byte.
                    return String::from_utf8(value).map_err(|_| self.error("a value is not valid UTF-8"));
                }
                '\\' => self.escape(&mut value)?,
                '\n' => return Err(self.error("a line break in a value must be written as \\n")),
                c => {
                    self.pos += c.len_utf8();
                    value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }
    fn escape(&mut self, value: &mut Vec<u8>) -> Result<()> {
        let unknown = self.error("an escape is not known");
        let Some(kind) = self.rest().as_bytes().get(1).copied() else {
            return Err(unknown);
        };
        let simple = match kind {
            b'a' => Some(0x07),
            b'b' => Some(0x08),
            b'f' => Some(0x0c),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'v' => Some(0x0b),
            b'\\' | b'"' => Some(kind),
            _ => None,
        };
        if let Some(byte) = simple {
            value.push(byte);
            self.pos += 2;
            return Ok(());
        }
        let (start, len, radix) = match kind {
            b'x' => (2, 2, 16),
            b'u' => (2, 4, 16),
            b'U' => (2, 8, 16),
            b'0'..=b'7' => (1, 3, 8),
            _ => return Err(unknown),
        };
        let digits = self
            .rest()
            .get(start..start + len)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|d| u32::from_str_radix(d, radix).ok());
        let Some(code) = code else { return Err(unknown) };
        if matches!(kind, b'u' | b'U') {
            let c = char::from_u32(code).ok_or(unknown)?;
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            value.push(u8::try_from(code).map_err(|_| unknown)?);
        }
        self.pos += start + len;
        Ok(())
    }
    fn error(&self, what: &str) -> Error {
        let column = self.text[..self.pos].chars().count() + 1;
        Error::bad_data(format!(
            "the labels {} can't be read: {what} at column {column}",
            excerpt(self.text)
        ))
    }
}

fn excerpt(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}
