//! Tests of the suites: what passes, what fails and how that is said, and what cannot be run at all.

use super::{FileReport, Suite, failing, hold};
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn run(suite: &str, files: &[(&str, &str)]) -> anyhow::Result<Vec<FileReport>> {
    let folder = folder(files);
    Suite::find(suite)?.run(&[folder.path().to_owned()])
}

const LOAD: &str = "load 1m
  a{x=\"1\"} 0+1x10
  a{x=\"2\"} 0+2x10
  stale_later 1 2 stale
  a_total 0+60x10
";

/// The failure of the only eval over some series; empty when it passes.
fn failure(eval: &str) -> String {
    let reports = run("promql", &[("one.test", &format!("{LOAD}\n{eval}\n"))]).unwrap();
    assert_eq!(reports[0].cases.len(), 1, "{eval}");
    let case = &reports[0].cases[0];
    assert_eq!(case.line, 7);
    case.failure.clone().unwrap_or_default()
}

#[test]
fn right_expectations_pass() {
    let check = |eval: &str| assert_eq!(failure(eval), "", "{eval}");
    check("eval instant at 5m a\n a{x=\"2\"} 10\n a{x=\"1\"} 5");
    check("eval instant at 5m sum(a)\n {} 15");
    check("eval instant at 5m sort_desc(a)\n expect ordered\n a{x=\"2\"} 10\n a{x=\"1\"} 5");
    check("eval instant at 5m rate(a_total[2m])\n {} 1");
    check("eval instant at 5m 1 + 1\n 2");
    check("eval instant at 5m time()\n 300");
    check("eval instant at 5m \"text\"\n expect string 'text'");
    check("eval instant at 5m nothing");
    check("eval instant at 2m stale_later");
    check("eval instant at 5m a{x=\"1\"}[2m]\n expect range vector from 4m to 5m step 1m\n a{x=\"1\"} 4 5");
    check("eval range from 0 to 2m step 1m a\n a{x=\"1\"} 0 1 2\n a{x=\"2\"} 0 2 4");
    check("eval range from 0 to 3m step 1m stale_later\n stale_later 1 2 _ _");
    check("eval instant at 5m a + ignoring(x) a_total\n expect fail");
    check("eval_fail instant at 5m a + ignoring(x) a_total");
    check(
        "eval instant at 5m rate(a[2m])\n expect info\n expect no_warn\n {x=\"1\"} 0.0166667\n {x=\"2\"} 0.0333333",
    );
}

#[test]
fn wrong_expectations_fail_and_say_what_came() {
    let check = |eval: &str, says: &[&str]| {
        let failure = failure(eval);
        for part in says {
            assert!(failure.contains(part), "{eval}: {failure:?} lacks {part:?}");
        }
        assert!(!failure.is_empty(), "{eval} passes");
    };
    check(
        "eval instant at 5m a\n a{x=\"1\"} 5\n a{x=\"2\"} 11",
        &[
            "a{x=\"2\"} differs",
            "expected: series of 2",
            "got: vector of 2",
            "a{x=\"2\"} 10.0",
        ],
    );
    check("eval instant at 5m a\n a{x=\"1\"} 5", &["unexpected a{x=\"2\"}"]);
    check("eval instant at 5m nothing\n nothing 1", &["nothing is missing"]);
    check(
        "eval instant at 5m sort_desc(a)\n expect ordered\n a{x=\"1\"} 5\n a{x=\"2\"} 10",
        &["at place 1 instead of 2"],
    );
    check(
        "eval instant at 5m 1 + 1\n 3",
        &["expected: scalar 3.0\ngot: scalar 2.0"],
    );
    check("eval instant at 5m 1 + 1\n {} 2", &["got: scalar 2.0"]);
    check("eval instant at 5m a{x=\"1\"}\n 5", &["got: vector of 1"]);
    check(
        "eval instant at 5m \"text\"\n expect string 'other'",
        &["got: string \"text\""],
    );
    check(
        "eval instant at 5m a\n expect fail",
        &["no error\ngot: vector of 2"],
    );
    check("eval instant at 5m a{\n", &["error: "]);
    check(
        "eval instant at 5m a + ignoring(x) a_total\n expect fail msg: no way",
        &["another error\nexpected: \"no way\"\ngot: error: "],
    );
    check(
        "eval instant at 5m sum(a)\n expect warn\n {} 15",
        &["a warning is missing"],
    );
    check("eval_warn instant at 5m sum(a)\n {} 15", &["no warning"]);
    check(
        "eval instant at 5m sum(rate(a[2m]))\n expect no_info\n {} 0.05",
        &["unexpected info", "might not be a counter"],
    );
    check(
        "eval instant at 5m sum(rate(a[2m]))\n expect info msg: other\n {} 0.05",
        &["a info is missing", "\"other\""],
    );
    let range = "eval range from 0 to 2m step 1m a{x=\"1\"}\n a{x=\"1\"}";
    check(&format!("{range} 0 1 3"), &["differs at 120000 ms", "2.0@120000"]);
    check(&format!("{range} 0 1 _"), &["differs at 120000 ms"]);
    check(&format!("{range} 0 1"), &["differs at 120000 ms"]);
    check(&format!("{range} 0 1 2 3"), &["4 values", "fewer times"]);
    check(
        "eval range from 0 to 2m step 1m stale_later\n stale_later 1 2 3",
        &["1 points less"],
    );
    check(
        "eval instant at 5m a{x=\"1\"}[2m]\n expect range vector from 4m to 5m step 1m\n a{x=\"1\"} 4 6",
        &["differs at 300000 ms"],
    );
}

#[test]
fn an_eval_that_is_right_only_as_written_fails() {
    // The step of an instant query is 0.
    let in_range = failure("eval instant at 5m a{x=\"1\"} offset STEP()\n a{x=\"1\"} 5");
    assert!(
        in_range.starts_with("as a range query: a{x=\"1\"} differs"),
        "{in_range}"
    );
    let in_range = failure("eval instant at 5m a{x=\"1\"}[2m]\n");
    assert!(in_range.contains("unexpected a{x=\"1\"}"), "{in_range}");
}

#[test]
fn the_store_takes_histograms() {
    let text = "load 1m\n  h {{count:1 buckets:[1]}}+{{count:1 buckets:[1]}}x3\n\neval instant at 3m h\n  h {{count:4 buckets:[0 4] offset:-1}}\n";
    let reports = run("promql", &[("h.test", text)]).unwrap();
    // The load would be a second case if it failed.
    assert_eq!(reports[0].cases.len(), 1);
}

#[test]
fn what_the_store_refuses_is_a_failure_of_its_own() {
    let text = "load 1m\n  {a=\"b\"} 1\n\neval instant at 0 1\n 1\n";
    let reports = run("promql", &[("one.test", text)]).unwrap();
    let failures: Vec<_> = reports[0].failures().collect();
    assert_eq!((reports[0].cases.len(), failures.len()), (2, 1));
    assert_eq!(failures[0].0.line, 1);
    assert!(failures[0].1.contains("the store refuses"), "{}", failures[0].1);
}

#[test]
fn clear_forgets_and_loads_add_up() {
    let text = "load 1m\n a 1 2\n\nload 1m\n b 5\n\neval instant at 1m sum({__name__=~\"a|b\"})\n {} 7\n\nclear\n\neval instant at 1m a\n";
    let reports = run("promql", &[("one.test", text)]).unwrap();
    assert_eq!(reports[0].passed(), 2, "{:?}", reports[0].cases);
}

const PASSES: &str = "eval instant at 0 1\n 1\n";
const FAILS: &str = "eval instant at 0 1\n 2\n";

#[test]
fn what_cannot_be_run_is_an_error() {
    let check = |suite: &str, files: &[(&str, &str)], says: &str| {
        let problem = run(suite, files).unwrap_err();
        assert!(format!("{problem:#}").contains(says), "{problem:#}");
    };
    check("logql", &[], "suite logql is not there yet; there is: promql");
    check("promql", &[], "has no .test file");
    check("promql", &[("a.txt", PASSES)], "has no .test file");
    check("promql", &[("a.test", "")], "a.test is empty");
    check("promql", &[("a.test", "# nothing\n")], "a.test is empty");
    check("promql", &[("a.test", "clear\n")], "no case of suite promql");
    check(
        "promql",
        &[("a.test", PASSES), ("b.test", "eval now 1")],
        "b.test:1: neither",
    );
    check("dashboards", &[("a.json", "{}")], "no case of suite dashboards");
    check("dashboards", &[("a.json", "{\n \"expr\": 5\n}")], "a.json:2");
    let run = |path: &str| {
        Suite::find("promql")
            .unwrap()
            .run(&[PathBuf::from(path)])
            .unwrap_err()
    };
    assert!(format!("{:#}", run("/nowhere/at/all.test")).contains("/nowhere/at/all.test"));
    assert!(run("/dev/null").to_string().contains("is no .test file"));
}

#[test]
fn failures_are_listed_by_file_and_line() {
    let many = format!("{PASSES}\n") + &format!("{FAILS}\n").repeat(4);
    let files = [
        ("b.test", FAILS),
        ("in/a.test", many.as_str()),
        ("c.test", PASSES),
    ];
    let reports = run("promql", &files).unwrap();
    let expected = [
        "b.test:1",
        "in/a.test:4",
        "in/a.test:7",
        "in/a.test:10",
        "in/a.test:13",
    ];
    assert_eq!(failing(&reports), expected);
}

#[test]
fn the_list_holds_what_fails() {
    let reports = run("promql", &[("a.test", FAILS), ("b.test", PASSES)]).unwrap();
    let check = |list: &str, says: &[&str]| {
        let folder = folder(&[("list", list)]);
        let held = hold("promql", folder.path(), &reports, &folder.path().join("list"));
        match held {
            Ok(()) => assert!(says.is_empty(), "{list}"),
            Err(problem) => {
                let problem = problem.to_string();
                assert!(!says.is_empty(), "{problem}");
                says.iter()
                    .for_each(|part| assert!(problem.contains(part), "{problem}"));
            }
        }
    };
    check("a.test:1\n", &[]);
    check(
        "",
        &["FAILS NOW a.test:1: 1", "got: scalar 1.0", "--list-failing"],
    );
    check("a.test:1\nb.test:1\n", &["PASSES NOW b.test:1"]);
    check("a.test:2\n", &["FAILS NOW a.test:1", "PASSES NOW a.test:2"]);
    assert!(hold("promql", &PathBuf::new(), &reports, &PathBuf::from("/nowhere")).is_err());
}

#[test]
fn dashboards_are_read_line_by_line() {
    let text = r#"{
  "expr": "sum(rate(a{x=\"$x\", y=~\"$y|${z:regex}\"}[$__rate_interval])) by (b)",
  "expr": "sum(rate(a{x=\"$x\", y=~\"$y|${z:regex}\"}[$__rate_interval])) by (b)",
  "expr": "{a=\"b\"} |= \"text\"",
  "expr": "increase(a[$__range])",
  "expr": "increase(a[",
  "title": "none"
}"#;
    let reports = run("dashboards", &[("d.json", text)]).unwrap();
    let names: Vec<_> = reports[0].cases.iter().map(|c| c.name.as_str()).collect();
    let first = "sum(rate(a{x=\"value\", y=~\".*|.*\"}[5m])) by (b)";
    assert_eq!(names, [first, "increase(a[1h])", "increase(a["]);
    assert_eq!(failing(&reports), ["d.json:6"]);
}
