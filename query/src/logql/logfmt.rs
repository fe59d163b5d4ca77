//! Reads `key=value key="quoted value" flag` lines.

/// All pairs in order, and the first problem. Strict reading stops there; otherwise the bad pair is skipped.
pub(super) fn pairs(line: &str, strict: bool) -> (Vec<(String, String)>, Option<String>) {
    let (mut pairs, mut problem) = (Vec::new(), None);
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(|c: char| c <= ' ');
        if rest.is_empty() {
            return (pairs, problem);
        }
        let at = line.len() - rest.len();
        match pair(rest) {
            Ok((key, value, after)) => {
                pairs.push((key, value));
                rest = after;
            }
            Err((what, after)) => {
                problem.get_or_insert_with(|| format!("{what} at byte {at}"));
                if strict {
                    return (pairs, problem);
                }
                rest = after;
            }
        }
    }
}

type Pair<'a> = Result<(String, String, &'a str), (&'static str, &'a str)>;

fn pair(text: &str) -> Pair<'_> {
    let skip_word = |text: &str| text.find(|c: char| c <= ' ').unwrap_or(text.len());
    let key_end = text
        .find(|c: char| c <= ' ' || c == '=' || c == '"')
        .unwrap_or(text.len());
    let (key, rest) = text.split_at(key_end);
    if key.is_empty() || rest.starts_with('"') {
        return Err((
            "a key is missing",
            &text[skip_word(text).max(1).min(text.len())..],
        ));
    }
    let Some(value) = rest.strip_prefix('=') else {
        return Ok((key.to_owned(), String::new(), rest));
    };
    if let Some(quoted) = value.strip_prefix('"') {
        return match unquote(quoted) {
            Some((value, rest)) => Ok((key.to_owned(), value, rest)),
            None => Err(("a quoted value without end", "")),
        };
    }
    let end = skip_word(value);
    let (value, after) = value.split_at(end);
    if value.contains(['=', '"']) {
        return Err(("a value with a quote or an equals sign", after));
    }
    Ok((key.to_owned(), value.to_owned(), after))
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[i + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_bad_ones_skipped() {
        let check = |line: &str, expected: &[(&str, &str)], is_clean: bool| {
            let (found, problem) = pairs(line, false);
            let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{line}");
            assert_eq!(problem.is_none(), is_clean, "{line}: {problem:?}");
        };
        check(
            "a=1 b=\"x y\" c= d",
            &[("a", "1"), ("b", "x y"), ("c", ""), ("d", "")],
            true,
        );
        check(r#"m="a \"q\" \n""#, &[("m", "a \"q\" \n")], true);
        check(r#"good=1 bad="open"#, &[("good", "1")], false);
        check("=1 a=2", &[("a", "2")], false);
        check("a=b=c d=1", &[("d", "1")], false);
        check("", &[], true);
    }

    #[test]
    fn strict_reading_stops_at_the_first_problem() {
        let (found, problem) = pairs("a=1 =2 b=3", true);
        assert_eq!(found.len(), 1);
        assert!(problem.unwrap().contains("byte 4"));
    }
}
