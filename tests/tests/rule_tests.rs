//! `binnacle test rules` over files of unit tests: exit codes, what fails, and that promtool says the same.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::{binnacle, skipped, workspace_root};

fn folder() -> PathBuf {
    workspace_root().join("tests/rules")
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder())
        .output()
        .unwrap()
}

fn ours(arguments: &[&str]) -> Output {
    run(
        &binnacle::program(),
        &[&["test", "rules"][..], arguments].concat(),
    )
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

/// What both programs call a failure in the same words: expressions and alerts with their times, rules, and files.
fn failures(output: &str) -> BTreeSet<String> {
    let lines = output.lines().map(str::trim);
    let failed = lines.filter_map(|l| {
        let is_case = ["expr: ", "alertname: ", "rule: "]
            .iter()
            .any(|s| l.starts_with(s));
        let (what, rest) = l.split_once(", time: ").filter(|_| is_case)?;
        let time = rest.split([',', ' ']).next()?;
        Some(format!("{what} at {time}"))
    });
    failed.collect()
}

/// A file, what fails in it, and the exit code.
struct Expected {
    file: &'static str,
    fails: &'static [&'static str],
    code: i32,
    /// Whether promtool 2.42 knows all of what the file uses.
    is_old: bool,
}

const FILES: &[Expected] = &[
    passing("passing_test.yml", true),
    passing("long_interval_test.yml", true),
    passing("no_tests_test.yml", true),
    passing("order_test.yml", true),
    passing("reversed_order_test.yml", true),
    passing("future_test.yml", true),
    passing("unevaluated_tail_test.yml", true),
    passing("no_interval_test.yml", false),
    passing("start_test.yml", false),
    failing(
        "failing_test.yml",
        &[
            "alertname: Always at 6m",
            "alertname: Down at 5m",
            "alertname: Lasting at 7m",
            "alertname: Nobody at 0s",
            "expr: \"input * 2\" at 0s",
            "expr: \"input * NaN\" at 0s",
            "expr: \"input + 2\" at 0s",
            "expr: \"input + 3\" at 0s",
            "expr: \"input + 4 > 9\" at 0s",
            "expr: \"input +\" at 0s",
            "expr: \"input[5m]\" at 0s",
            "expr: \"input\" at 0s",
        ],
        true,
    ),
    failing("run_test.yml", &["expr: \"input\" at 0s"], true),
    failing("exact_test.yml", &["expr: \"low\" at 0s"], true),
    failing("fuzzy_test.yml", &["expr: \"low\" at 0s"], false),
    failing("many_to_many_rule_test.yml", &["rule: joined at 0s"], true),
    failing(
        "many_to_many_expr_test.yml",
        &["expr: \"left_side + on (a) right_side\" at 0s"],
        true,
    ),
    failing(
        "histogram_test.yml",
        &[
            "expr: \"same\" at 1m",
            "expr: \"same\" at 2m",
            "expr: \"same\" at 3m",
        ],
        false,
    ),
    failing("bad_series_test.yml", &[], true),
    failing("bad_values_test.yml", &[], true),
    failing("bad_syntax_test.yml", &[], true),
    failing("extra_fields_test.yml", &[], true),
    failing("repeated_order_test.yml", &[], true),
    failing("nameless_alert_test.yml", &[], true),
    failing("unknown_key_test.yml", &[], true),
    failing("not_yaml_test.yml", &[], true),
    failing("no-such-file.yml", &[], true),
];

const fn passing(file: &'static str, is_old: bool) -> Expected {
    Expected {
        file,
        fails: &[],
        code: 0,
        is_old,
    }
}

const fn failing(file: &'static str, fails: &'static [&'static str], is_old: bool) -> Expected {
    Expected {
        file,
        fails,
        code: 1,
        is_old,
    }
}

#[test]
fn files_end_with_the_right_code_and_name_what_fails() {
    for expected in FILES {
        let output = ours(&[expected.file]);
        let said = text(&output);
        assert_eq!(
            output.status.code(),
            Some(expected.code),
            "{}:\n{said}",
            expected.file
        );
        let fails: BTreeSet<String> = expected.fails.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(failures(&said), fails, "{}:\n{said}", expected.file);
        assert!(!said.contains("panicked"), "{}:\n{said}", expected.file);
    }
    let listed: BTreeSet<&str> = FILES.iter().map(|f| f.file).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            !name.ends_with("_test.yml") || listed.contains(&*name),
            "{name} is not listed"
        );
    }
}

#[test]
fn promtool_says_the_same() {
    let promtool = Path::new("/usr/bin/promtool");
    if !promtool.exists() {
        return skipped("Debian's prometheus, which has promtool, is not installed");
    }
    for expected in FILES.iter().filter(|f| f.is_old) {
        let theirs = run(promtool, &["test", "rules", expected.file]);
        let said = text(&theirs);
        assert_eq!(
            theirs.status.code(),
            Some(expected.code),
            "{}:\n{said}",
            expected.file
        );
        let fails: BTreeSet<String> = expected.fails.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(failures(&said), fails, "{}:\n{said}", expected.file);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let check = |arguments: &[&str], code: i32, says: &[&str]| {
        let output = ours(arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{said}");
        for word in says {
            assert!(said.contains(word), "{arguments:?} lacks {word:?}:\n{said}");
        }
    };
    check(
        &["passing_test.yml"],
        0,
        &["Unit Testing:  passing_test.yml", "  SUCCESS"],
    );
    check(
        &["failing_test.yml"],
        1,
        &[
            "  FAILED:",
            "name: another value,\n    expr: \"input\", time: 0s,\n        exp: input 1E+00\n        got: input 0E+00",
            "exp: {a=\"b\"} 2E+00\n        got: {} 2E+00",
            "exp: nil\n        got: {} 3E+00",
            "exp: {} 4E+00\n        got: nil",
            "NaN equals nothing",
            "err: rule result is not a vector or scalar",
            "unexpected end of input",
            "labels \"{{\"",
            "name: unexpected alerts,\n    alertname: Down, time: 5m,\n        exp: []\n        got: [",
            "Labels:{alertname=\"Down\", host=\"h\", instance=\"h:1\", job=\"a\", severity=\"page\"}",
            "Annotations:{summary=\"h:1 is down\", value=\"0 of  at \"}",
        ],
    );
    check(
        &["--diff", "failing_test.yml"],
        1,
        &[
            "        diff:\n            - input 1E+00\n            + input 0E+00",
            "            -     Annotations:{summary=\"none\"}\n            +     Annotations:{}",
        ],
    );
    check(
        &["no_tests_test.yml"],
        0,
        &["WARNING: no file matches no-such-file.yml"],
    );
    check(&["not_yaml_test.yml"], 1, &["not_yaml_test.yml: "]);
    check(&["unknown_key_test.yml"], 1, &["inputs", "line 2"]);
    check(
        &["nameless_alert_test.yml"],
        1,
        &["misses required attribute alertname at eval_time 1m"],
    );
    check(
        &["repeated_order_test.yml"],
        1,
        &["repeated in evaluation order: a"],
    );
    check(&["bad_syntax_test.yml"], 1, &["bad_syntax.yml:5", "unnamed#0"]);
    check(&["bad_series_test.yml"], 1, &["up{job=\"a\""]);
    check(
        &["no-such-file.yml", "passing_test.yml"],
        1,
        &["there is no file no-such-file.yml"],
    );
    check(&["passing_test.yml", "exact_test.yml"], 1, &["SUCCESS", "FAILED"]);
    check(&["--run", "right", "run_test.yml"], 0, &[]);
    check(&["--run", "^wrong", "run_test.yml"], 1, &[]);
    check(&["--run", "right", "--run", "wr.ng", "run_test.yml"], 1, &[]);
    check(&["--run", "neither", "run_test.yml"], 0, &[]);
    check(&["--run", "(", "run_test.yml"], 2, &["parsing regexp"]);
    check(&["--run", "near", "fuzzy_test.yml"], 0, &[]);
    check(&["--ignore-unknown-fields", "extra_fields_test.yml"], 0, &[]);
    check(&["extra_fields_test.yml"], 1, &["with_owners.yml:3", "owner"]);
    check(
        &["--debug", "order_test.yml"],
        0,
        &["DEBUG: ", "doubled_again 4E+00@0"],
    );
    check(&[], 2, &["Usage"]);
}

#[test]
fn junit_names_every_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.xml");
    let output = ours(&[
        "--junit",
        file.to_str().unwrap(),
        "passing_test.yml",
        "failing_test.yml",
        "not_yaml_test.yml",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let xml = std::fs::read_to_string(&file).unwrap();
    for part in [
        "<testsuite name=\"passing_test.yml\" tests=\"4\" failures=\"0\" errors=\"0\" skipped=\"0\" timestamp=\"20",
        "<testcase name=\"notation\"></testcase>",
        "<testcase name=\"unnamed#1\"></testcase>",
        "<testsuite name=\"failing_test.yml\" tests=\"2\" failures=\"12\" errors=\"0\"",
        "<testcase name=\"another value\"><failure>",
        "expr: &quot;input&quot;, time: 0s,&#xA;",
        "<testsuite name=\"not_yaml_test.yml\" tests=\"1\" failures=\"0\" errors=\"1\"",
        "<testcase name=\"unknown\"><error>not_yaml_test.yml: ",
    ] {
        assert!(xml.contains(part), "lacks {part}:\n{xml}");
    }
    assert_eq!(xml.matches("<failure>").count(), 12);
}
