//! Cuts lines into tokens, and says which tokens a line must have to contain a text or match an expression.

/// Whether a byte belongs to a token. Bytes above ASCII all do, so tokens are never cut inside a character.
const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

const TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = if (b as u8).is_ascii_digit() {
            2
        } else {
            is_token_byte(b as u8) as u8
        };
        b += 1;
    }
    table
};

/// Words longer than this go to the bloom filter.
const MAX_WORD_BYTES: usize = 48;
/// Tokens with digits shorter than this are in nearly every block; they are neither stored nor looked up.
const MIN_ID_BYTES: usize = 4;
/// The same for words.
const MIN_WORD_BYTES: usize = 2;

/// A token worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Token<'a> {
    /// Without digits: for the dictionary.
    Word(&'a [u8]),
    /// With digits, or very long: for the bloom filter.
    Id(&'a [u8]),
}

/// Calls back for each run of token bytes: where it starts, where it ends, whether it holds a digit.
fn runs(text: &[u8], mut each: impl FnMut(usize, usize, bool)) {
    let mut at = 0;
    while at < text.len() {
        if TABLE[usize::from(text[at])] == 0 {
            at += 1;
            continue;
        }
        let start = at;
        let mut seen = 0;
        while at < text.len() && TABLE[usize::from(text[at])] != 0 {
            seen |= TABLE[usize::from(text[at])];
            at += 1;
        }
        each(start, at, seen & 2 != 0);
    }
}

fn classify(run: &[u8], has_digit: bool) -> Option<Token<'_>> {
    if has_digit || run.len() > MAX_WORD_BYTES {
        (run.len() >= MIN_ID_BYTES).then_some(Token::Id(run))
    } else {
        (run.len() >= MIN_WORD_BYTES).then_some(Token::Word(run))
    }
}

/// Calls back for each token of a line (or of many lines with line breaks between them).
pub(crate) fn tokens<'a>(text: &'a [u8], mut each: impl FnMut(Token<'a>)) {
    runs(text, |start, end, has_digit| {
        if let Some(token) = classify(&text[start..end], has_digit) {
            each(token);
        }
    });
}

/// The tokens that every line containing `needle` has. A run that touches an end of the needle may be a part of
/// a longer token, so it says nothing.
pub(crate) fn required_tokens(needle: &str) -> Vec<Token<'_>> {
    let bytes = needle.as_bytes();
    let mut found = Vec::new();
    runs(bytes, |start, end, has_digit| {
        if start > 0 && end < bytes.len() {
            found.extend(classify(&bytes[start..end], has_digit));
        }
    });
    found
}

/// Texts that every match of an expression contains, as far as they are easy to see: runs of plain characters
/// outside groups and classes. Empty means nothing is known.
pub(crate) fn required_literals(expression: &str) -> Vec<String> {
    // Flags such as (?i) change what plain characters mean, and with them all bets are off.
    if expression.contains("(?") {
        return Vec::new();
    }
    let mut literals = Vec::new();
    let mut run = String::new();
    let mut depth = 0_u32;
    let mut chars = expression.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '|' if depth == 0 => return Vec::new(),
            '[' => {
                skip_class(&mut chars);
                None
            }
            '(' => {
                depth += 1;
                None
            }
            ')' => {
                depth = depth.saturating_sub(1);
                None
            }
            '\\' => match chars.next() {
                Some(e) if e.is_ascii_punctuation() => Some(e),
                Some('p' | 'P' | 'x' | 'u' | 'U') => return Vec::new(),
                _ => None,
            },
            '*' | '?' | '{' => {
                // The character before is optional or repeated.
                run.pop();
                if c == '{' {
                    chars.by_ref().find(|c| *c == '}');
                }
                None
            }
            '+' | '.' | '^' | '$' => None,
            plain => Some(plain),
        };
        match literal {
            Some(c) if depth == 0 => run.push(c),
            _ => literals.push(std::mem::take(&mut run)),
        }
    }
    literals.push(run);
    literals.retain(|l| !l.is_empty());
    literals
}

/// Skips to behind the `]` that closes a class; classes nest.
fn skip_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut depth = 1;
    // A `]` that stands first (or after ^) is a plain character.
    chars.next_if_eq(&'^');
    chars.next_if_eq(&']');
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn lines_are_cut_into_words_and_ids() {
        let check = |line: &str, expected: &[&str]| {
            let mut found = Vec::new();
            tokens(line.as_bytes(), |t| {
                let (mark, bytes) = match t {
                    Token::Word(b) => ("w:", b),
                    Token::Id(b) => ("i:", b),
                };
                found.push(format!("{mark}{}", std::str::from_utf8(bytes).unwrap()));
            });
            assert_eq!(found, expected, "{line:?}");
        };
        check("", &[]);
        check("GET /api/v1/größe?x=y 200", &["w:GET", "w:api", "w:größe"]);
        check(
            "trace_id=4bf92f35 user-name",
            &["w:trace_id", "i:4bf92f35", "w:user", "w:name"],
        );
        check(&"x".repeat(49), &[&format!("i:{}", "x".repeat(49))]);
    }

    #[test]
    fn only_inner_tokens_are_required() {
        let check = |needle: &str, expected: &[&str]| {
            let found: Vec<_> = required_tokens(needle)
                .into_iter()
                .map(|(Token::Word(b) | Token::Id(b))| std::str::from_utf8(b).unwrap())
                .collect();
            assert_eq!(found, expected, "{needle:?}");
        };
        check("error", &[]);
        check(" error", &[]);
        check(" error ", &["error"]);
        check("level=error msg", &["error"]);
        check("\"4bf92f35\"", &["4bf92f35"]);
    }

    #[test]
    fn expressions_show_their_plain_parts() {
        let check = |expression: &str, expected: &[&str]| {
            assert_eq!(required_literals(expression), expected, "{expression:?}");
        };
        check("level=error", &["level=error"]);
        check("a b*c", &["a ", "c"]);
        check("ab?c", &["a", "c"]);
        check("ab+c", &["ab", "c"]);
        check("x{0,3}yz", &["yz"]);
        check("a|b", &[]);
        check("f(a|b)g", &["f", "g"]);
        check("f(a|b)*g", &["f", "g"]);
        check("f[a-z]]g", &["f", "]g"]);
        check("f[]a]g", &["f", "g"]);
        check("f[^]a]g", &["f", "g"]);
        check("f[[:alpha:]]g", &["f", "g"]);
        check(r"1\.2\d3", &["1.2", "3"]);
        check(r"a\x41b", &[]);
        check("(?i)abc", &[]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn a_line_has_all_required_tokens_of_its_parts(line in "[a-f0-9_ .ü]{0,40}", cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
            let borders: Vec<usize> = (0..=line.len()).filter(|i| line.is_char_boundary(*i)).collect();
            let (a, b) = (*cut.0.get(&borders), *cut.1.get(&borders));
            let needle = &line[a.min(b)..a.max(b)];
            let mut all = HashSet::new();
            tokens(line.as_bytes(), |t| { all.insert(t); });
            for token in required_tokens(needle) {
                prop_assert!(all.contains(&token), "{:?} of {:?} in {:?}", token, needle, line);
            }
        }

        #[test]
        fn every_match_contains_the_required_literals(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "a", "b", "c ", ".", "=", r"\.", r"\d", "a*", "b+", "c?", "a{0,2}", "(a|b)", "(ab)?", "[ab]", "[^a]*", "[]a]", "|", "^", "$",
            ]), 0..8),
            line in "[a-c1. =]{0,12}",
        ) {
            let expression = pieces.concat();
            if let Ok(regex) = regex::Regex::new(&expression)
                && regex.is_match(&line)
            {
                for literal in required_literals(&expression) {
                    prop_assert!(line.contains(&literal), "{:?} of {:?} in {:?}", literal, expression, line);
                }
            }
        }
    }
}
