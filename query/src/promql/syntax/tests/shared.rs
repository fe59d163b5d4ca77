//! Expressions of others: the reference's own cases, and dashboards.

use crate::promql::syntax::parse;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of the data that lies beside the project; `None`, and a line that says so, where it is missing.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("BINNACLE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let found = root.join(folder);
    if !found.is_dir() {
        println!("skipped: {} is missing", found.display());
        return None;
    }
    Some(found)
}

fn files(folder: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no .{extension}", folder.display());
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(&path).expect("a text"));
    paths.into_iter().map(read).collect()
}

/// The expression of an `eval` line: what comes behind the times.
fn expression(line: &str) -> Option<&str> {
    let mut rest = line.trim().strip_prefix("eval")?;
    let words = if rest.contains("range from") { 8 } else { 4 };
    for _ in 0..words {
        rest = rest.split_once(char::is_whitespace)?.1.trim_start();
    }
    Some(rest)
}

#[test]
fn cases_of_the_reference_parse_unless_they_must_fail() {
    let Some(folder) = shared("conformance/promql") else {
        return;
    };
    let mut parsed = 0;
    for (path, text) in files(&folder, "test") {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let Some(expr) = expression(line) else {
                continue;
            };
            let expectations = lines[i + 1..].iter().take_while(|l| !l.trim().is_empty());
            let fails = line.starts_with("eval_fail")
                || expectations.clone().any(|l| l.trim().starts_with("expect fail"));
            match parse(expr) {
                Ok(_) => parsed += 1,
                Err(e) => assert!(fails, "{}:{}: {expr}: {e}", path.display(), i + 1),
            }
        }
    }
    assert!(parsed > 1000, "only {parsed}");
}

/// The texts of all members `"expr"` of a JSON text.
fn expressions(json: &str) -> Vec<String> {
    let member = "\"expr\":";
    let values = json
        .match_indices(member)
        .map(|(at, _)| json[at + member.len()..].trim_start());
    values
        .filter_map(|value| {
            let value = value.strip_prefix('"')?;
            let mut escaped = false;
            let end = value.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            let unescaped = value[..end]
                .replace(r"\n", "\n")
                .replace(r"\t", "\t")
                .replace(r"\r", "\r");
            Some(unescaped.replace("\\\"", "\"").replace(r"\\", r"\"))
        })
        .collect()
}

/// Puts values for the variables of a dashboard.
fn substituted(expr: &str) -> String {
    let mut out = String::new();
    let mut rest = expr;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = match behind.strip_prefix('{') {
            Some(name) => name.split_once('}').unwrap_or((name, "")),
            None => {
                let end = behind.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                behind.split_at(end.unwrap_or(behind.len()))
            }
        };
        out.push_str(match name {
            "__rate_interval" | "__interval" | "interval" | "resolution" => "5m",
            "__range" => "1h",
            "" => "$",
            _ => ".*",
        });
        rest = after;
    }
    out + rest
}

#[test]
fn expressions_of_dashboards_parse() {
    let Some(folder) = shared("dashboards") else {
        return;
    };
    let mut parsed = 0;
    for (path, text) in files(&folder, "json") {
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("loki-"))
        {
            continue;
        }
        for expr in expressions(&text).iter().filter(|e| !e.is_empty()) {
            let expr = substituted(expr);
            let tree = parse(&expr).unwrap_or_else(|e| panic!("{}: {expr}: {e}", path.display()));
            let printed = tree.to_string();
            assert_eq!(parse(&printed).map(|t| t.to_string()).ok(), Some(printed));
            parsed += 1;
        }
    }
    assert!(parsed > 700, "only {parsed}");
}
