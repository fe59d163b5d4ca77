//! `binnacle tsdb`: Prometheus' blocks and OpenMetrics text in, text out, checks of what is on disk.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tests::answers::{RangeQuery, ensure_alike};
use tests::binnacle::{self, Binnacle, Options};
use tests::peers;
use tests::process::Process;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Exit code, standard output, standard error.
async fn tsdb(arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(arguments);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binnacle::program());
    command
        .arg("tsdb")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for variable in ["BINNACLE_DATA_DIR", "BINNACLE_CONFIG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// What must go well, and its answer.
async fn succeeds(arguments: &[&str]) -> String {
    let (code, out, err) = tsdb(arguments).await;
    assert_eq!(code, 0, "{arguments:?}:\n{out}{err}");
    out
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn now_s() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Three families at 15 s for three hours from a time on: a counter with a reset, a gauge that jitters, buckets.
fn openmetrics(from_s: i64) -> String {
    let mut text = String::new();
    let times = || (0..720).map(move |i| (i, from_s + i * 15));
    text += "# TYPE requests counter\n# HELP requests Answered requests.\n";
    for code in ["200", "500"] {
        for (i, time) in times() {
            let value = if i < 400 { i * 3 } else { i - 400 };
            let _ = writeln!(
                text,
                "requests_total{{code=\"{code}\",path=\"/a \\\"b\\\"\"}} {value} {time}"
            );
        }
    }
    text += "# TYPE temperature gauge\n";
    for (i, time) in times() {
        let value = [21.5, 21.25, 0.1, -3.0, 1e-9, f64::INFINITY][(i % 6) as usize];
        let value = if value.is_infinite() {
            "+Inf".to_owned()
        } else {
            value.to_string()
        };
        let _ = writeln!(
            text,
            "temperature{{room=\"ü\"}} {value} {time}.{:03}",
            i * 37 % 1000
        );
    }
    text += "# TYPE latency histogram\n";
    for bound in ["0.1", "1.0", "+Inf"] {
        for (i, time) in times() {
            let _ = writeln!(
                text,
                "latency_bucket{{le=\"{bound}\"}} {} {time}",
                i * bound.len() as i64
            );
        }
    }
    text + "# EOF\n"
}

/// A file, and the blocks that promtool makes of it.
async fn blocks(folder: &Path, from_s: i64) -> (PathBuf, PathBuf) {
    let (file, blocks) = (folder.join("history.om"), folder.join("blocks"));
    std::fs::write(&file, openmetrics(from_s)).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &blocks]);
    peers::run(promtool).await.unwrap();
    (file, blocks)
}

/// Debian's Prometheus over a folder of blocks; gives its address.
async fn prometheus_over(blocks: &Path, folder: &Path) -> (Process, String) {
    let address = format!("127.0.0.1:{}", peers::free_port().unwrap());
    std::fs::write(folder.join("nothing.yml"), "global: {}\n").unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", folder.join("nothing.yml").display()))
        .arg(format!("--storage.tsdb.path={}", blocks.display()))
        .arg(format!("--web.listen-address={address}"));
    let mut process = Process::start("prometheus", command).unwrap();
    let ready = |line: &str| line.contains("Server is ready").then_some(());
    process.wait_for_line("ready", ready).await.unwrap();
    (process, format!("http://{address}"))
}

#[tokio::test]
async fn blocks_of_promtool_answer_as_in_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let from_s = now_s() - 2 * 86_400;
    let (_, blocks) = blocks(folder.path(), from_s).await;
    let data = folder.path().join("data");
    let arguments = ["import", shown(&blocks), "--data-dir", shown(&data)];
    let said = succeeds(&arguments).await;
    assert!(said.contains("imported 4,320 samples of 6 series"), "{said}");

    let (_prometheus, theirs) = prometheus_over(&blocks, folder.path()).await;
    let ours = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    for query in [
        "requests_total",
        "rate(requests_total[5m])",
        "sum by (code) (increase(requests_total[10m]))",
        "temperature",
        "histogram_quantile(0.5, rate(latency_bucket[5m]))",
        "timestamp(temperature)",
        "count({__name__=~\".+\",job=\"\"} offset 1m)",
    ] {
        // Never on a sample: whether the left edge of a window counts differs between their version 2 and 3.
        let (from, to) = (from_s - 593, from_s + 3 * 3600 + 607);
        let asked = RangeQuery {
            query: query.to_owned(),
            start: from.to_string(),
            end: to.to_string(),
            step: "60".to_owned(),
        };
        let a = asked.ask(ours.client(), &ours.url).await.unwrap();
        let b = asked.ask(ours.client(), &theirs).await.unwrap();
        ensure_alike(&a, &b).unwrap_or_else(|e| panic!("{query}: {e}"));
    }

    // While binnacle runs the directory is locked against a second writer, and open for a look.
    let (code, _, err) = tsdb(&arguments).await;
    assert!(
        code == 1 && err.contains("is in use: another binnacle runs there"),
        "{code}: {err}"
    );
    let (code, _, err) = tsdb(&["dump", "--data-dir", shown(&data)]).await;
    assert!(
        code == 1 && err.contains("is in use: another binnacle runs there"),
        "{code}: {err}"
    );
    let said = succeeds(&["verify", "--data-dir", shown(&data)]).await;
    assert!(
        said.contains("is sound") && said.contains("metrics, tenant default"),
        "{said}"
    );
    let said = succeeds(&["inspect", "--data-dir", shown(&data)]).await;
    assert!(said.contains("SMPL") && said.contains("B/sample"), "{said}");
}

#[tokio::test]
async fn what_is_dumped_and_imported_again_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let from_s = now_s() - 3 * 86_400;
    let (file, blocks) = blocks(folder.path(), from_s).await;
    let at = |name: &str| shown(&folder.path().join(name)).to_owned();
    let (of_text, of_blocks, second, dumped) = (at("of_text"), at("of_blocks"), at("second"), at("dump.om"));

    succeeds(&["import", shown(&file), "--data-dir", &of_text]).await;
    let dump = |data: String, more: &'static [&'static str]| async move {
        let arguments = [&["dump", "--data-dir", data.as_str()][..], more].concat();
        succeeds(&arguments).await
    };
    let text = dump(of_text.clone(), &[]).await;
    assert_eq!(text.lines().count(), 4320 + 1);
    assert!(text.ends_with("# EOF\n"));
    assert!(
        text.contains("requests_total{code=\"200\",path=\"/a \\\"b\\\"\"} 3 "),
        "{text}"
    );
    let json = dump(of_text.clone(), &["--format", "json"]).await;
    assert_eq!(json.lines().count(), 6);

    // Blocks and text hold the same; importing again, from the other form, changes nothing.
    succeeds(&["import", shown(&blocks), "--data-dir", &of_blocks]).await;
    assert_eq!(dump(of_blocks.clone(), &[]).await, text);
    succeeds(&["import", shown(&blocks), shown(&file), "--data-dir", &of_text]).await;
    assert_eq!(dump(of_text.clone(), &["--format", "json"]).await, json);

    std::fs::write(&dumped, &text).unwrap();
    succeeds(&["import", &dumped, "--data-dir", &second]).await;
    assert_eq!(dump(second.clone(), &[]).await, text);
    assert_eq!(dump(second.clone(), &["--format", "json"]).await, json);

    // promtool reads what was dumped.
    let mut promtool = Command::new("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics", &dumped, &at("again")]);
    peers::run(promtool).await.unwrap();
    succeeds(&["import", &at("again"), "--data-dir", &at("third")]).await;
    assert_eq!(dump(at("third"), &[]).await, text);

    // Pieces of it.
    let some = dump(
        second.clone(),
        &["--match", "temperature", "--match", "latency_bucket{le=\"+Inf\"}"],
    )
    .await;
    assert_eq!(some.lines().count(), 2 * 720 + 1);
    let (start, end) = ((from_s + 15).to_string(), (from_s + 30).to_string());
    let arguments = [
        "dump",
        "--data-dir",
        &second,
        "--match",
        "requests_total",
        "--start",
        &start,
        "--end",
        &end,
    ];
    assert_eq!(succeeds(&arguments).await.lines().count(), 2 * 2 + 1);
    let arguments = [
        "import",
        shown(&blocks),
        "--data-dir",
        &at("some"),
        "--match",
        "{code=\"500\"}",
    ];
    assert!(
        succeeds(&arguments)
            .await
            .contains("imported 720 samples of 1 series")
    );
    let arguments = [
        "import",
        shown(&file),
        "--data-dir",
        &at("team"),
        "--match",
        "{code=\"500\"}",
        "--tenant",
        "a",
    ];
    succeeds(&arguments).await;
    assert_eq!(succeeds(&["dump", "--data-dir", &at("team")]).await, "# EOF\n");
    let of_a = succeeds(&["dump", "--data-dir", &at("team"), "--tenant", "a"]).await;
    assert_eq!(of_a.lines().count(), 720 + 1);
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.om");
    std::fs::write(&file, openmetrics(now_s() - 86_400)).unwrap();
    let data = folder.path().join("data");
    succeeds(&["import", shown(&file), "--data-dir", shown(&data)]).await;
    let mut command = command(&["dump", "--data-dir", shown(&data)]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().is_some());
    drop(lines);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.is_empty(),
        "{}: {said}",
        output.status
    );
}

#[tokio::test]
async fn old_samples_are_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (_, blocks) = blocks(folder.path(), now_s() - 40 * 86_400).await;
    let data = folder.path().join("data");
    let import = |more: &[&str]| {
        let all = [&["import", shown(&blocks), "--data-dir", shown(&data)][..], more].concat();
        let all: Vec<String> = all.iter().map(|a| (*a).to_owned()).collect();
        async move { tsdb(&all.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let (code, _, err) = import(&[]).await;
    assert!(
        code == 1 && err.contains("--retention 42d") && err.contains("retention.metrics"),
        "{code}: {err}"
    );
    assert!(!data.exists());

    let (code, out, err) = import(&["--skip-old"]).await;
    assert!(
        code == 0 && out.contains("imported 0 samples") && out.contains("too_old"),
        "{code}: {out}{err}"
    );

    let (code, out, err) = import(&["--retention", "60d"]).await;
    assert!(
        code == 0 && out.contains("imported 4,320 samples"),
        "{code}: {out}{err}"
    );
    assert!(err.contains("are removed when binnacle runs"), "{err}");
    let dumped = succeeds(&["dump", "--data-dir", shown(&data)]).await;
    assert_eq!(dumped.lines().count(), 4320 + 1);

    let config = folder.path().join("binnacle.yml");
    let text = format!(
        "data_dir: {}\nretention: {{ metrics: 60d }}\n",
        folder.path().join("other").display()
    );
    std::fs::write(&config, text).unwrap();
    let said = tsdb(&["import", shown(&blocks), "--config", shown(&config)]).await;
    assert!(said.0 == 0 && !said.2.contains("are removed"), "{said:?}");
    assert!(folder.path().join("other/metrics").exists());
}

/// The part files of metrics, by name.
fn parts(data: &Path) -> Vec<PathBuf> {
    let folder = data.join("metrics/default/parts");
    let mut parts: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    parts.sort();
    parts
}

#[tokio::test]
async fn a_flipped_byte_is_named_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let now = now_s();
    let (first, second) = (now - 5 * 86_400, now - 2 * 86_400);
    // One after the other, so that the days lie in files of their own.
    for from_s in [first, second] {
        let file = folder.path().join(format!("{from_s}.om"));
        std::fs::write(&file, openmetrics(from_s)).unwrap();
        succeeds(&["import", shown(&file), "--data-dir", shown(&data)]).await;
    }
    let said = succeeds(&["verify", "--data-dir", shown(&data)]).await;
    assert!(said.contains("is sound"), "{said}");

    // Parts of samples, not those of names, know their partition.
    let inspected = succeeds(&["inspect", "--data-dir", shown(&data), "--output", "json"]).await;
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let store = inspected["stores"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["store"] == "metrics")
        .unwrap();
    let of_samples: Vec<&Value> = store["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["meta"]["partition"].is_i64())
        .collect();
    let samples: i64 = of_samples
        .iter()
        .map(|p| p["meta"]["samples"].as_i64().unwrap())
        .sum();
    assert_eq!(samples, 2 * 4320, "{inspected}");
    let oldest = of_samples
        .iter()
        .min_by_key(|p| p["meta"]["partition"].as_i64())
        .unwrap();
    let damaged = PathBuf::from(oldest["file"].as_str().unwrap());
    assert!(parts(&data).contains(&damaged));
    let said = succeeds(&["inspect", shown(&damaged)]).await;
    assert!(
        said.contains("SMPL") && said.contains("section") && said.contains("partition"),
        "{said}"
    );

    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();
    let (code, out, err) = tsdb(&["verify", "--data-dir", shown(&data)]).await;
    assert_eq!(code, 1, "{out}{err}");
    let problem = out.lines().find(|l| l.starts_with("problem: ")).unwrap();
    assert!(
        problem.contains(shown(&damaged)) && problem.contains("section") && problem.contains("offset 16"),
        "{problem}"
    );
    assert!(out.contains("1 problem"), "{out}");
    assert_eq!(
        std::fs::read(&damaged).unwrap(),
        bytes,
        "nothing is repaired by a check"
    );

    let binnacle = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    let at = format!(
        "count_over_time(requests_total{{code=\"200\"}}[4h] @ {})",
        second + 4 * 3600 - 60
    );
    assert_eq!(binnacle.promql_value(&at).await.unwrap(), 720.0);
}

#[tokio::test]
async fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| shown(&folder.path().join(name)).to_owned();
    let data = at("data");
    let check = |arguments: &[&str], says: &str| {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let (says, data) = (says.to_owned(), data.clone());
        async move {
            let mut all: Vec<&str> = arguments.iter().map(String::as_str).collect();
            all.extend(["--data-dir", data.as_str()]);
            let (code, out, err) = tsdb(&all).await;
            assert!(
                code == 1 && err.contains(&says),
                "{arguments:?}: {code}: {out}{err}"
            );
            assert!(!Path::new(&data).exists());
        }
    };
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("bad.om"), "a 1 1\nb one 1\n# EOF\n").unwrap();
    std::fs::write(at("timeless.om"), "a 1 1\nb 1\n# EOF\n").unwrap();
    check(&["import", &at("none")], "No such file").await;
    check(
        &["import", &at("empty")],
        "neither a block nor a folder of blocks",
    )
    .await;
    check(&["import", &at("bad.om")], "bad.om: line 2: expected a value").await;
    check(
        &["import", &at("timeless.om")],
        "timeless.om: line 2: b has no time",
    )
    .await;
    check(&["import", &at("bad.om"), "--match", "rate(x[5m])"], "--match").await;
    check(&["dump"], "is not a data directory").await;
    check(&["verify"], "is not a data directory").await;
    check(&["inspect"], "is not a data directory").await;
}

#[tokio::test]
async fn a_damaged_block_is_named_and_its_rest_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let (_, blocks) = blocks(folder.path(), now_s() - 86_400).await;
    let block = std::fs::read_dir(&blocks)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let chunks = block.join("chunks/000001");
    let mut bytes = std::fs::read(&chunks).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&chunks, bytes).unwrap();
    let data = folder.path().join("data");
    let (code, out, err) = tsdb(&["import", shown(&blocks), "--data-dir", shown(&data)]).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        err.contains("not imported: ") && err.contains("chunks/000001 is damaged at offset 8"),
        "{err}"
    );
    let dumped = succeeds(&["dump", "--data-dir", shown(&data)]).await;
    let lines = dumped.lines().count();
    assert!((4320 - 300..4320).contains(&(lines - 1)), "{lines}");
}
