//! Prometheus' text format, as far as samples go: names, labels, values. Comments and timestamps are passed over.

use anyhow::{Context as _, Result, bail, ensure};

/// Splits a line into the text of its series and its value; `None` for comments and empty lines.
pub(crate) fn split(line: &str) -> Result<Option<(&str, f64)>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = match line.find('{') {
        Some(brace) => end_of_labels(line, brace)?,
        None => line
            .find([' ', '\t'])
            .with_context(|| format!("no value: {line:?}"))?,
    };
    let value = line[end..]
        .split_whitespace()
        .next()
        .with_context(|| format!("no value: {line:?}"))?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().with_context(|| format!("not a value: {line:?}"))?,
    };
    Ok(Some((&line[..end], value)))
}

/// Behind the closing brace, which may stand in a label's value too.
fn end_of_labels(line: &str, brace: usize) -> Result<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (i, byte) in line.bytes().enumerate().skip(brace) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Ok(i + 1),
            _ => {}
        }
    }
    bail!("labels without an end: {line:?}")
}

/// The label pairs of a series' text, `__name__` first.
pub(crate) fn labels(series: &str) -> Result<Vec<(String, String)>> {
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut pairs = vec![("__name__".to_owned(), name.trim().to_owned())];
    let mut rest = rest.trim_start();
    while !rest.starts_with('}') {
        let (label, after) = rest
            .split_once('=')
            .with_context(|| format!("no value of a label: {series:?}"))?;
        let after = after.trim_start();
        ensure!(
            after.starts_with('"'),
            "a label's value without quotes: {series:?}"
        );
        let (value, after) =
            quoted(&after[1..]).with_context(|| format!("a value without an end: {series:?}"))?;
        pairs.push((label.trim().to_owned(), value));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Ok(pairs)
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[i + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{labels, split};
    use anyhow::Result;

    type Sample = (Vec<(String, String)>, f64);

    fn samples(text: &str) -> Result<Vec<Sample>> {
        let mut all = Vec::new();
        for line in text.lines() {
            if let Some((series, value)) = split(line)? {
                all.push((labels(series)?, value));
            }
        }
        Ok(all)
    }

    #[test]
    fn lines_of_every_form() {
        let check = |text: &str, expected: &[(&[(&str, &str)], f64)]| {
            let found = samples(text).unwrap();
            let expected: Vec<_> = expected
                .iter()
                .map(|(labels, value)| {
                    let owned = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
                    (owned.collect::<Vec<_>>(), *value)
                })
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("# HELP a b\n\nup 1\n", &[(&[("__name__", "up")], 1.0)]);
        check("a{} 2 1795132800000", &[(&[("__name__", "a")], 2.0)]);
        check(
            r#"a{b="c",d="}\"\\\n,",} +Inf"#,
            &[(&[("__name__", "a"), ("b", "c"), ("d", "}\"\\\n,")], f64::INFINITY)],
        );
        check(
            r#"a { b = "c" , d="" } 1.5e-3"#,
            &[(&[("__name__", "a"), ("b", "c"), ("d", "")], 0.0015)],
        );
    }

    #[test]
    fn what_is_no_exposition_is_an_error() {
        for text in ["up", "up x", "a{b=\"c} 1", "a{b} 1", "a{b=c} 1"] {
            assert!(samples(text).is_err(), "{text:?}");
        }
    }
}
