//! Good and bad configurations, each with what it means or with its exact error.

use super::*;
use crate::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    name: String,
    port: u16,
    #[serde(with = "model::duration::serde_text")]
    wait: std::time::Duration,
    password: Option<Secret>,
    labels: BTreeMap<String, String>,
    list: Vec<String>,
    inner: Inner,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Inner {
    on: bool,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            name: "x".into(),
            port: 1,
            wait: std::time::Duration::ZERO,
            password: None,
            labels: BTreeMap::new(),
            list: Vec::new(),
            inner: Inner::default(),
        }
    }
}

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".to_owned()),
        "TRICKY" => Some(r#"a"b\c'd # e"#.to_owned()),
        "EMPTY" => Some(String::new()),
        "LINES" => Some("a\nb: c".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Sample, ConfigError> {
    parse_with(text, "f.yml", &environment)
}

#[test]
fn good_files() {
    let check = |text: &str, change: &dyn Fn(&mut Sample)| {
        let mut expected = Sample::default();
        change(&mut expected);
        assert_eq!(read(text).map_err(|e| e.to_string()), Ok(expected), "{text}");
    };
    check("", &|_| ());
    check("# nothing\n---\n\n", &|_| ());
    check("name: a\nport: 7", &|s| {
        s.name = "a".into();
        s.port = 7;
    });
    check("wait: 1m30s", &|s| s.wait = std::time::Duration::from_secs(90));
    check("inner: {on: true}", &|s| s.inner.on = true);
    check("port: ${PORT}", &|s| s.port = 8080);
    check("port: ${NOPORT:99}", &|s| s.port = 99);
    check("name: http://h:${PORT}/x", &|s| s.name = "http://h:8080/x".into());
    check("name: \"${TRICKY}\"", &|s| s.name = r#"a"b\c'd # e"#.into());
    check("name: '${TRICKY}'", &|s| s.name = r#"a"b\c'd # e"#.into());
    check("list: [\"${TRICKY}\", '${PORT}']", &|s| {
        s.list = vec![r#"a"b\c'd # e"#.into(), "8080".into()];
    });
    check("name: \"say \\\"${PORT}\\\"\"", &|s| {
        s.name = "say \"8080\"".into();
    });
    check("name: it's ${PORT}", &|s| s.name = "it's 8080".into());
    check("name: 'a$${PORT}'", &|s| s.name = "a${PORT}".into());
    check("name: \"${EMPTY}\"", &|s| s.name = String::new());
    check("name: a # ${UNSET} in a comment\n#${UNSET}\nport: 2", &|s| {
        s.name = "a".into();
        s.port = 2;
    });
    // Prometheus' own uses of the dollar sign pass.
    check("list: ['${1}', '$1:${port}', '${', '$', '${Mixed}']", &|s| {
        s.list = ["${1}", "$1:${port}", "${", "$", "${Mixed}"]
            .map(str::to_owned)
            .to_vec();
    });
    check("password: hunter2", &|s| {
        s.password = Some(Secret::new("hunter2"));
    });
    check("labels: {é: \"ü${PORT}\"}", &|s| {
        s.labels.insert("é".into(), "ü8080".into());
    });
}

#[test]
fn bad_files_say_where_and_what() {
    let check = |text: &str, error: &str| {
        assert_eq!(read(text).unwrap_err().to_string(), error, "for {text}");
    };
    check(
        "name: a\nprot: 7\n",
        "f.yml:2:1: unknown field `prot`, expected one of name, port, wait, password, labels, list, inner\n  2 | prot: 7",
    );
    check(
        "inner:\n  # why\n  of: true\n",
        "f.yml:3:3: unknown field `of`, expected one of on\n  3 |   of: true",
    );
    check("port: many", "f.yml:1:7: invalid u16\n  1 | port: many");
    check(
        "wait: 5 apples",
        "f.yml:1:7: \"5 apples\" is not a duration: write for instance 15s, 1h30m or 250ms (units y w d h m s ms)\n  1 | wait: 5 apples",
    );
    check(
        "name: a\nname: b\n",
        "f.yml:2:1: the key `name` stands here twice\n  2 | name: b",
    );
    check(
        "port: ${UNSET}",
        "f.yml:1:7: the environment variable UNSET is not set; set it or write ${UNSET:default}\n  1 | port: ${UNSET}",
    );
    check(
        "name: é\nlist: [é, ${LINES}]",
        "f.yml:2:11: the environment variable LINES holds a line break, which cannot stand in a configuration value\n  2 | list: [é, ${LINES}]",
    );
    // The line shown is the file's, not the expanded one, and holds no secret.
    check(
        "port: \"${TRICKY}\"",
        "f.yml:1:7: invalid u16\n  1 | port: \"${TRICKY}\"",
    );
    check(
        "password: [hunter2]",
        "f.yml:1:11: expected string scalar\n  1 | password: <secret>",
    );
    check(
        "name: [a\nport: 3",
        "f.yml:1:7: expected string scalar\n  1 | name: [a",
    );
    check(
        "list: [a\nport: 3",
        "f.yml:2:5: illegal placement of ':' indicator\n  2 | port: 3",
    );
    check(
        "name: a\n  port: 3\n",
        "f.yml:2:7: mapping values are not allowed in this context\n  2 |   port: 3",
    );
    check(
        "list:\n\t- a\n",
        "f.yml:2:2: tabs disallowed within this context (block indentation)\n  2 | \t- a",
    );
    check("- a\n", "f.yml:1:1: expected mapping start\n  1 | - a");
}

#[test]
fn a_missing_file_is_named() {
    let error = load::<Sample>(Path::new("/nonexistent/b.yml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/b.yml: cannot read the file: No such file or directory (os error 2)"
    );
    assert_eq!(Error::from(error).kind(), model::ErrorKind::BadData);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.yml");
    std::fs::write(&file, "port: 9\n").unwrap();
    assert_eq!(load::<Sample>(&file).unwrap().port, 9);
}

#[test]
fn lines_with_secrets_are_cut() {
    let check = |line: &str, shown: &str| assert_eq!(redact(line), shown);
    check("  - token: abc", "  - token: <secret>");
    check("  bearer_token: \"abc\"", "  bearer_token: <secret>");
    check("password:", "password:");
    check("password_file: /run/x", "password_file: /run/x");
    check("basic_auth: {username: u, password: p}", "basic_auth: <secret>");
    check("url: http://x", "url: http://x");
}

proptest::proptest! {
    #[test]
    fn expansion_keeps_lines_and_text_without_variables(text in "[a-z:'\" \n${}é-]{0,60}") {
        // Lower-case names are no variables, so that only `$${` may change.
        if let Ok(expanded) = expand::expand(&text, &environment) {
            proptest::prop_assert_eq!(expanded, text.replace("$${", "${"));
        }
    }
    #[test]
    fn a_quoted_value_comes_out_as_it_is_in_the_environment(value in "[ -~é]{0,30}") {
        for quote in ["\"", "'"] {
            let text = format!("name: {quote}${{V}}{quote} # x\nport: 5");
            let sample: Sample = parse_with(&text, "f", &|_| Some(value.clone())).unwrap();
            proptest::prop_assert_eq!((&sample.name, sample.port), (&value, 5));
        }
    }
}
