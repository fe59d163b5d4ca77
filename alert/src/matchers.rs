//! Matchers as Alertmanager's routes write them: `severity="page"`, `team=~"a|b"`, `{a="b", c!="d"}`, values with
//! or without quotes.

use model::{Error, MatchOp, Matcher, Result};

/// Reads one or more matchers, separated by commas, with or without braces.
///
/// # Errors
/// `BadData` with the text that does not fit.
pub(crate) fn parse(text: &str) -> Result<Vec<Matcher>> {
    let mut inside = text.trim();
    if let Some(rest) = inside.strip_prefix('{') {
        inside = rest
            .strip_suffix('}')
            .ok_or_else(|| bad(text, "a brace is not closed"))?;
    }
    let mut matchers = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (matcher, after) = one(rest).map_err(|e| bad(text, e.message()))?;
        matchers.push(matcher);
        rest = match after.trim_start().strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.trim().is_empty() => "",
            None => return Err(bad(text, "a comma is missing")),
        };
    }
    if matchers.is_empty() {
        return Err(bad(text, "it is empty"));
    }
    Ok(matchers)
}

fn bad(text: &str, why: &str) -> Error {
    Error::bad_data(format!("the matcher {text:?} does not parse: {why}"))
}

fn one(text: &str) -> Result<(Matcher, &str)> {
    let (name, rest) = if text.starts_with('"') {
        quoted(text)?
    } else {
        let end = text
            .find(|c: char| c.is_whitespace() || "=!~,".contains(c))
            .unwrap_or(text.len());
        (text[..end].to_owned(), &text[end..])
    };
    if name.is_empty() {
        return Err(Error::bad_data("a label's name is missing"));
    }
    let rest = rest.trim_start();
    let ops = [
        ("=~", MatchOp::Regex),
        ("!~", MatchOp::NotRegex),
        ("!=", MatchOp::NotEqual),
        ("=", MatchOp::Equal),
    ];
    let (op, rest) = ops
        .into_iter()
        .find_map(|(sign, op)| rest.strip_prefix(sign).map(|rest| (op, rest.trim_start())))
        .ok_or_else(|| Error::bad_data(format!("after {name:?} one of = != =~ !~ is expected")))?;
    let (value, rest) = if rest.starts_with('"') {
        quoted(rest)?
    } else {
        let end = rest.find(',').unwrap_or(rest.len());
        (rest[..end].trim_end().to_owned(), &rest[end..])
    };
    Ok((Matcher::new(name, op, value)?, rest))
}

/// A text in double quotes with `\"`, `\\` and `\n`, and what follows it.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                // Alertmanager keeps a backslash that escapes nothing, so that \d needs no second one.
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(Error::bad_data("a quote is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_alertmanager_reads() {
        let check = |text: &str, expected: &str| {
            let shown = match parse(text) {
                Ok(matchers) => matchers
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(e) => e.message().to_owned(),
            };
            assert_eq!(shown, expected, "{text}");
        };
        check("severity=page", r#"severity="page""#);
        check(r#" severity = "page" "#, r#"severity="page""#);
        check(
            r#"{a="b", c!="d", e=~"f|g", h!~i}"#,
            r#"a="b" c!="d" e=~"f|g" h!~"i""#,
        );
        check(
            r#"a="x,\"y\"",b=two words,"c"=d"#,
            r#"a="x,\"y\"" b="two words" c="d""#,
        );
        check(r#"a=~"\d+""#, r#"a=~"\\d+""#);
        check("a=", r#"a="""#);
        check("", r#"the matcher "" does not parse: it is empty"#);
        check(
            "{a=b",
            r#"the matcher "{a=b" does not parse: a brace is not closed"#,
        );
        check(
            "a",
            r#"the matcher "a" does not parse: after "a" one of = != =~ !~ is expected"#,
        );
        check(
            "=b",
            r#"the matcher "=b" does not parse: a label's name is missing"#,
        );
        check(
            r#"a="b"#,
            r#"the matcher "a=\"b" does not parse: a quote is not closed"#,
        );
        check(
            r#"a="b" c=d"#,
            r#"the matcher "a=\"b\" c=d" does not parse: a comma is missing"#,
        );
        assert!(parse("a=~(").unwrap_err().message().contains("parsing regexp"));
    }
}
