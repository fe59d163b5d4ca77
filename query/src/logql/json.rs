//! Reads a JSON object and hands out each scalar with its path; keeps the text of numbers as it is.

use super::ast::PathPart;

/// The deepest nesting that is followed; deeper documents are an error.
const MAX_DEPTH: usize = 64;

/// Calls `found` for every text, number and truth value of an object. Nulls are left out.
///
/// # Errors
/// What is wrong, and at which byte, when the text is not one JSON object.
pub(super) fn flatten(text: &str, found: &mut dyn FnMut(&[PathPart], String)) -> Result<(), String> {
    let mut reader = Reader {
        text,
        at: 0,
        path: Vec::new(),
        found,
    };
    reader.blank();
    if !text[reader.at..].starts_with('{') {
        return Err(reader.problem("expected an object"));
    }
    reader.value()?;
    reader.blank();
    if reader.at < text.len() {
        return Err(reader.problem("expected the end"));
    }
    Ok(())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<PathPart>,
    found: &'a mut dyn FnMut(&[PathPart], String),
}

impl Reader<'_> {
    fn problem(&self, what: &str) -> String {
        format!("{what} at byte {}", self.at)
    }
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }
    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }
    fn take(&mut self, c: char) -> bool {
        self.blank();
        let there = self.rest().starts_with(c);
        self.at += usize::from(there);
        there
    }
    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) {
            Ok(())
        } else {
            Err(self.problem(&format!("expected {c:?}")))
        }
    }

    fn value(&mut self) -> Result<(), String> {
        self.blank();
        if self.path.len() > MAX_DEPTH {
            return Err(self.problem("nested too deep"));
        }
        match self.rest().bytes().next() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => {
                let text = self.string()?;
                (self.found)(&self.path, text);
                Ok(())
            }
            Some(_) => self.scalar(),
            None => Err(self.problem("expected a value")),
        }
    }

    fn object(&mut self) -> Result<(), String> {
        self.expect('{')?;
        if self.take('}') {
            return Ok(());
        }
        loop {
            self.blank();
            let key = self.string()?;
            self.expect(':')?;
            self.path.push(PathPart::Key(key));
            self.value()?;
            self.path.pop();
            if !self.take(',') {
                return self.expect('}');
            }
        }
    }

    fn array(&mut self) -> Result<(), String> {
        self.expect('[')?;
        if self.take(']') {
            return Ok(());
        }
        for index in 0.. {
            self.path.push(PathPart::Index(index));
            self.value()?;
            self.path.pop();
            if !self.take(',') {
                break;
            }
        }
        self.expect(']')
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let end = rest
            .find([',', '}', ']', ' ', '\t', '\n', '\r', ':', '"'])
            .unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        let is_number =
            word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && word.parse::<f64>().is_ok();
        match word.as_str() {
            "null" => {}
            "true" | "false" => (self.found)(&self.path, word),
            _ if is_number => (self.found)(&self.path, word),
            _ => return Err(self.problem("expected a value")),
        }
        self.at += end;
        Ok(())
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.rest().starts_with('"') {
            return Err(self.problem("expected a text"));
        }
        self.at += 1;
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\']) else {
                return Err(self.problem("a text without end"));
            };
            value.push_str(&rest[..end]);
            let is_end = rest.as_bytes()[end] == b'"';
            self.at += end + 1;
            if is_end {
                return Ok(value);
            }
            value.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let c = self
            .rest()
            .chars()
            .next()
            .ok_or_else(|| self.problem("a text without end"))?;
        self.at += c.len_utf8();
        Ok(match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '"' | '\\' | '/' => c,
            'u' => {
                let high = self.hex()?;
                let is_pair = (0xD800..0xDC00).contains(&high) && self.rest().starts_with("\\u");
                if !is_pair {
                    return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                self.at += 2;
                let low = self.hex()?;
                let code = 0x10000 + ((high - 0xD800) << 10) + low.wrapping_sub(0xDC00);
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.problem("an escape that is not JSON")),
        })
    }
    fn hex(&mut self) -> Result<u32, String> {
        let digits = self
            .rest()
            .get(..4)
            .ok_or_else(|| self.problem("expected four hexadecimal digits"))?;
        let code =
            u32::from_str_radix(digits, 16).map_err(|_| self.problem("expected hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_come_with_their_paths() {
        let check = |text: &str, expected: Result<&[(&str, &str)], ()>| {
            let mut found = Vec::new();
            let result = flatten(text, &mut |path, value| {
                let path: Vec<String> = path
                    .iter()
                    .map(|p| match p {
                        PathPart::Key(k) => k.clone(),
                        PathPart::Index(i) => i.to_string(),
                    })
                    .collect();
                found.push((path.join("."), value));
            });
            match expected {
                Err(()) => assert!(result.is_err(), "{text}"),
                Ok(expected) => {
                    result.unwrap();
                    let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                    assert_eq!(found, expected, "{text}");
                }
            }
        };
        check(
            r#"{"a":1.50,"b":{"c":"x\n\u00e4\ud83d\ude00"},"d":[true,null,{"e":-1e3}]}"#,
            Ok(&[
                ("a", "1.50"),
                ("b.c", "x\nä😀"),
                ("d.0", "true"),
                ("d.2.e", "-1e3"),
            ]),
        );
        check("{}", Ok(&[]));
        for bad in [
            "",
            "1",
            "[1]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1} x"#,
            r#"{"a":"b"#,
            r#"{"a":nope}"#,
        ] {
            check(bad, Err(()));
        }
        check(
            &format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100)),
            Err(()),
        );
    }
}
