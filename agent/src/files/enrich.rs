//! What can be told from a line's text without knowing its program: level and trace.

use model::log::Metadata;

/// Bytes of a line that are looked at.
const LOOKED_AT: usize = 1024;

/// A line's structured metadata: `level` and `trace_id` where they can be told.
pub(super) fn metadata(line: &str) -> Metadata {
    let mut end = line.len().min(LOOKED_AT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let start = &line[..end];
    let mut metadata = Vec::new();
    if let Some(level) = level(start) {
        metadata.push(("level".to_owned(), level.to_owned()));
    }
    if let Some(trace) = trace_id(start) {
        metadata.push(("trace_id".to_owned(), trace.to_owned()));
    }
    metadata
}

const LEVELS: [(&str, &str); 14] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("dbg", "debug"),
    ("info", "info"),
    ("information", "info"),
    ("notice", "info"),
    ("warn", "warn"),
    ("warning", "warn"),
    ("error", "error"),
    ("err", "error"),
    ("critical", "fatal"),
    ("fatal", "fatal"),
    ("panic", "fatal"),
    ("emerg", "fatal"),
];

/// The value of a key `level` or `severity` wherever it stands; else the first word that is a level, if it stands
/// among the first and is written as a level (`ERROR`, `[error]`, `error:`).
fn level(text: &str) -> Option<&'static str> {
    for key in ["level", "severity", "lvl"] {
        if let Some(found) = value_of(text, key).and_then(known) {
            return Some(found);
        }
    }
    text.split_ascii_whitespace().take(8).find_map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        let marked = bare.len() != word.len() || bare.bytes().all(|b| b.is_ascii_uppercase());
        if marked { known(bare) } else { None }
    })
}

fn known(word: &str) -> Option<&'static str> {
    LEVELS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, level)| *level)
}

/// 32 hexadecimal digits after a key that is used for them, or in a `traceparent`.
fn trace_id(text: &str) -> Option<&str> {
    let is_id = |id: &&str| {
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
    };
    for key in ["trace_id", "traceId", "traceID", "trace.id", "TraceId"] {
        if let Some(id) = value_of(text, key).filter(is_id) {
            return Some(id);
        }
    }
    let parent = value_of(text, "traceparent")?;
    parent.split('-').nth(1).filter(is_id)
}

/// The value after `key=`, `key: ` or `"key":"`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.match_indices(key).find_map(|(at, _)| {
        let before = text[..at].bytes().next_back();
        if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let rest = text[at + key.len()..].trim_start_matches('"');
        let rest = rest.strip_prefix(['=', ':'])?.trim_start_matches([' ', '"']);
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .unwrap_or(rest.len());
        Some(&rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_traces_are_told() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let check = |line: &str, level: Option<&str>, trace: Option<&str>| {
            let line = line.replace("<id>", id);
            let metadata = metadata(&line);
            let get = |key: &str| metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
            assert_eq!((get("level"), get("trace_id")), (level, trace), "{line}");
        };
        check("level=warn msg=x trace_id=<id>", Some("warn"), Some(id));
        check(r#"{"level":"ERROR","traceId":"<id>"}"#, Some("error"), Some(id));
        check(r#"{"severity": "Information"}"#, Some("info"), None);
        check("2026-01-01 10:00:00 [error] it broke", Some("error"), None);
        check("2026-01-01 10:00:00,123 WARNING it may break", Some("warn"), None);
        check("I made an error in this info text", None, None);
        check("traceparent: 00-<id>-b7ad6b7169203331-01", None, Some(id));
        check("trace_id=00000000000000000000000000000000", None, None);
        check("my_trace_id=<id>", None, None);
        check("sealevel=info", None, None);
        check("", None, None);
        check(&"é".repeat(600), None, None);
    }
}
