//! The functions that templates may call: Go's own and Prometheus'.

use super::eval::Value;
use super::go_format::{float_g, sprintf};
use super::{Data, TemplateError};
use crate::timestamp;
use regex::Regex;
use std::cmp::Ordering;

type Result<T> = std::result::Result<T, TemplateError>;

/// What a template may call.
pub(super) const NAMES: &[&str] = &[
    "and",
    "eq",
    "externalURL",
    "ge",
    "graphLink",
    "gt",
    "html",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "index",
    "le",
    "len",
    "lt",
    "match",
    "ne",
    "not",
    "or",
    "parseDuration",
    "pathPrefix",
    "print",
    "printf",
    "println",
    "reReplaceAll",
    "safeHtml",
    "stripDomain",
    "stripPort",
    "tableLink",
    "title",
    "toLower",
    "toUpper",
    "urlQueryEscape",
    "urlquery",
];

/// What Prometheus and Go have besides; named, so that the error can say so.
pub(super) const UNSUPPORTED: &[&str] = &[
    "args",
    "call",
    "first",
    "js",
    "label",
    "now",
    "query",
    "slice",
    "sortByLabel",
    "strvalue",
    "tmpl",
    "toTime",
    "toDuration",
    "toJson",
    "value",
];

fn error<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError(message.into()))
}

/// Calls a function of [`NAMES`].
pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>], data: &Data<'_>) -> Result<Value<'a>> {
    let string = |text: String| Ok(Value::Str(text));
    match (name, arguments) {
        // What decides earlier never comes here, so the last argument is the result.
        ("and" | "or", [.., last]) => Ok(last.clone()),
        ("not", [v]) => Ok(Value::Bool(!v.truth())),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if compare(first, other)? == Some(Ordering::Equal) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        ("ne", [a, b]) => Ok(Value::Bool(compare(a, b)? != Some(Ordering::Equal))),
        ("lt", [a, b]) => Ok(Value::Bool(compare(a, b)? == Some(Ordering::Less))),
        ("le", [a, b]) => Ok(Value::Bool(compare(a, b)?.is_some_and(Ordering::is_le))),
        ("gt", [a, b]) => Ok(Value::Bool(compare(a, b)? == Some(Ordering::Greater))),
        ("ge", [a, b]) => Ok(Value::Bool(compare(a, b)?.is_some_and(Ordering::is_ge))),
        ("len", [Value::Str(s)]) => length(s.len()),
        ("len", [Value::Map(labels)]) => length(labels.len()),
        ("index", [Value::Map(labels), Value::Str(key)]) => {
            string(labels.get(key).unwrap_or_default().to_owned())
        }
        ("print", values) => string(print(values)),
        ("println", values) => {
            let texts: Vec<_> = values.iter().map(Value::text).collect();
            string(texts.join(" ") + "\n")
        }
        ("printf", [Value::Str(format), values @ ..]) => string(sprintf(format, values)?),
        ("html", [v]) => string(escape_html(&v.text())),
        ("urlquery" | "urlQueryEscape", [v]) => string(escape_query(&v.text())),
        ("safeHtml", [Value::Str(s)]) => string(s.clone()),
        ("title", [Value::Str(s)]) => string(title(s)),
        ("toUpper", [Value::Str(s)]) => string(s.to_uppercase()),
        ("toLower", [Value::Str(s)]) => string(s.to_lowercase()),
        ("match", [Value::Str(pattern), Value::Str(text)]) => {
            Ok(Value::Bool(regex(pattern, |r| r.is_match(text))?))
        }
        ("reReplaceAll", [Value::Str(pattern), Value::Str(with), Value::Str(text)]) => {
            string(regex(pattern, |r| {
                r.replace_all(text, with.as_str()).into_owned()
            })?)
        }
        ("stripPort", [Value::Str(s)]) => string(strip_port(s).to_owned()),
        ("stripDomain", [Value::Str(s)]) => string(strip_domain(s)),
        ("graphLink", [Value::Str(expr)]) => string(graph_path(expr, 0)),
        ("tableLink", [Value::Str(expr)]) => string(graph_path(expr, 1)),
        ("externalURL", []) => string(data.external_url.to_owned()),
        ("pathPrefix", []) => string(path_of(data.external_url).to_owned()),
        ("parseDuration", [Value::Str(s)]) => match model::duration::parse(s) {
            Ok(duration) => Ok(Value::Float(duration.as_secs_f64())),
            Err(e) => error(e.message()),
        },
        ("humanize", [v]) => string(humanize(to_float(v)?)),
        ("humanize1024", [v]) => string(humanize1024(to_float(v)?)),
        ("humanizeDuration", [v]) => string(humanize_duration(to_float(v)?)),
        ("humanizePercentage", [v]) => string(format!("{}%", float_g(to_float(v)? * 100.0, Some(4)))),
        ("humanizeTimestamp", [v]) => string(humanize_timestamp(to_float(v)?)?),
        (name, values) => {
            let kinds: Vec<_> = values.iter().map(Value::kind).collect();
            error(format!("{name} does not take ({})", kinds.join(", ")))
        }
    }
}

fn length<'a>(n: usize) -> Result<Value<'a>> {
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

/// Go's `fmt.Sprint`: a space between two operands when neither is a string.
fn print(values: &[Value<'_>]) -> String {
    let mut text = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |v: &Value<'_>| matches!(v, Value::Str(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            text.push(' ');
        }
        text.push_str(&value.text());
    }
    text
}

fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Float(b)) => Ok((*a as f64).partial_cmp(b)),
        (Value::Float(a), Value::Int(b)) => Ok(a.partial_cmp(&(*b as f64))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (a, b) => error(format!("cannot compare {} with {}", a.kind(), b.kind())),
    }
}

fn to_float(value: &Value<'_>) -> Result<f64> {
    match value {
        Value::Float(f) => Ok(*f),
        Value::Int(n) => Ok(*n as f64),
        Value::Str(s) => s
            .parse()
            .map_err(|_| TemplateError(format!("{s:?} is not a number"))),
        v => error(format!("a value of type {} is not a number", v.kind())),
    }
}

fn regex<T>(pattern: &str, then: impl FnOnce(&Regex) -> T) -> Result<T> {
    match model::matcher::search_regex(pattern) {
        Ok(regex) => Ok(then(&regex)),
        Err(e) => error(e.message()),
    }
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn humanize(mut v: f64) -> String {
    let mut prefix = "";
    if v != 0.0 && v.is_finite() {
        if v.abs() >= 1.0 {
            for p in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
                if v.abs() < 1000.0 {
                    break;
                }
                (prefix, v) = (p, v / 1000.0);
            }
        } else {
            (v, prefix) = small(v);
        }
    }
    format!("{}{prefix}", float_g(v, Some(4)))
}

fn small(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for p in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        (prefix, v) = (p, v * 1000.0);
    }
    (v, prefix)
}

fn humanize1024(mut v: f64) -> String {
    let mut prefix = "";
    if v.abs() > 1.0 && v.is_finite() {
        for p in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
            if v.abs() < 1024.0 {
                break;
            }
            (prefix, v) = (p, v / 1024.0);
        }
    }
    format!("{}{prefix}", float_g(v, Some(4)))
}

/// Seconds as `1d 2h 3m 4s`.
pub(super) fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return float_g(v, Some(4));
    }
    if v == 0.0 {
        return "0s".to_owned();
    }
    if v.abs() < 1.0 {
        let (v, prefix) = small(v);
        return format!("{}{prefix}s", float_g(v, Some(4)));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let whole = v.abs() as u64;
    let (s, m, h, d) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match () {
        () if d > 0 => format!("{sign}{d}d {h}h {m}m {s}s"),
        () if h > 0 => format!("{sign}{h}h {m}m {s}s"),
        () if m > 0 => format!("{sign}{m}m {s}s"),
        () => format!("{sign}{}s", float_g(v.abs(), Some(4))),
    }
}

fn humanize_timestamp(v: f64) -> Result<String> {
    if !v.is_finite() {
        return Ok(float_g(v, Some(4)));
    }
    let ms = v * 1000.0;
    // What nanoseconds in 64 bits can say, the range of Go's conversion.
    if ms.abs() > 9_223_372_036_854.0 {
        return error(format!("{} cannot be represented as a time", float_g(v, None)));
    }
    Ok(timestamp::go_text(ms.round() as i64))
}

/// Each word with a capital, as Go's `strings.Title`.
fn title(text: &str) -> String {
    let mut starts = true;
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        if starts {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        starts = if c.is_ascii() {
            !(c.is_ascii_alphanumeric() || c == '_')
        } else {
            c.is_whitespace()
        };
    }
    titled
}

fn strip_port(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(text);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && !port.is_empty() => host,
        _ => text,
    }
}

fn strip_domain(text: &str) -> String {
    let host = strip_port(text);
    let port = &text[text.find(host).unwrap_or(0) + host.len()..];
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    format!("{}{port}", host.split('.').next().unwrap_or(host))
}

/// The page that shows an expression, below the external URL; tab 0 is the graph, 1 the table.
pub(crate) fn graph_path(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape_query(expr))
}

/// Go's `url.QueryEscape`.
fn escape_query(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            b' ' => "+".to_owned(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

fn escape_html(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            '"' => "&#34;".to_owned(),
            '\'' => "&#39;".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// The path of a URL, without its last slash.
fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme
        .find('/')
        .map_or("", |at| after_scheme[at..].trim_end_matches('/'))
}
