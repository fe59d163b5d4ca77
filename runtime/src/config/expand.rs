//! `${NAME}` and `${NAME:default}` in the text of a YAML file.

/// A variable that cannot be expanded, and where it stands (both from 1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpandError {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// What kind of text the scanner is in. Only what matters for expansion is told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Plain,
    Single,
    Double,
    Comment,
}

/// Expands all variables. The result has as many lines as the input, so that line numbers stay right.
pub(super) fn expand(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut context = Context::Plain;
    for (i, line) in text.split_inclusive('\n').enumerate() {
        if context == Context::Comment {
            context = Context::Plain;
        }
        expand_line(line, environment, &mut context, &mut out).map_err(|(offset, message)| ExpandError {
            line: i + 1,
            column: line[..offset].chars().count() + 1,
            message,
        })?;
    }
    Ok(out)
}

fn expand_line(
    line: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    context: &mut Context,
    out: &mut String,
) -> Result<(), (usize, String)> {
    let mut at = 0;
    let mut before = '\n';
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        if *context != Context::Comment {
            if rest.starts_with("$${") {
                out.push_str("${");
                at += 3;
                before = '{';
                continue;
            }
            if let Some(variable) = Variable::at_start_of(rest) {
                let value = variable.value(environment).map_err(|message| (at, message))?;
                push_value(&value, *context, out);
                at += variable.length;
                before = '}';
                continue;
            }
        }
        // An escaped character inside double quotes cannot end them.
        if *context == Context::Double && c == '\\' {
            let escaped = rest.chars().take(2).map(char::len_utf8).sum();
            out.push_str(&rest[..escaped]);
            at += escaped;
            continue;
        }
        *context = next_context(*context, c, before, &line[..at]);
        out.push(c);
        before = c;
        at += c.len_utf8();
    }
    Ok(())
}

fn next_context(now: Context, c: char, before: char, line_so_far: &str) -> Context {
    // A quote opens a quoted scalar only where a value may begin.
    let value_may_begin = || {
        let last = line_so_far.trim_end().chars().next_back();
        matches!(last, None | Some(':' | '-' | '[' | '{' | ','))
    };
    match (now, c) {
        (Context::Plain, '"') if value_may_begin() => Context::Double,
        (Context::Plain, '\'') if value_may_begin() => Context::Single,
        (Context::Plain, '#') if before.is_whitespace() => Context::Comment,
        // A doubled single quote closes and opens again, which comes to the same.
        (Context::Double, '"') | (Context::Single, '\'') => Context::Plain,
        _ => now,
    }
}

fn push_value(value: &str, context: Context, out: &mut String) {
    for c in value.chars() {
        match (context, c) {
            (Context::Double, '"' | '\\') => out.extend(['\\', c]),
            (Context::Single, '\'') => out.push_str("''"),
            _ => out.push(c),
        }
    }
}

struct Variable<'a> {
    name: &'a str,
    default: Option<&'a str>,
    length: usize,
}

impl<'a> Variable<'a> {
    fn at_start_of(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix("${")?;
        let end = inner.find(['}', '\n'])?;
        if !inner[end..].starts_with('}') {
            return None;
        }
        let (name, default) = match inner[..end].split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let valid = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        valid.then_some(Self {
            name,
            default,
            length: 2 + end + 1,
        })
    }
    fn value(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        let name = self.name;
        let value = environment(name)
            .or_else(|| self.default.map(str::to_owned))
            .ok_or_else(|| {
                format!("the environment variable {name} is not set; set it or write ${{{name}:default}}")
            })?;
        if value.contains(['\n', '\r']) {
            return Err(format!(
                "the environment variable {name} holds a line break, which cannot stand in a configuration value"
            ));
        }
        Ok(value)
    }
}
