//! A flipped byte in a file of samples: it is found and named, costs what lies around it, and all else is exact.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tests::binnacle::{self, Binnacle, Options};
use tests::remote_write::{self, Series};
use tokio::process::Command;

const SERIES: usize = 300;
/// Six hours of a scrape every 15 s.
const SAMPLES: i64 = 1440;
const DAY_MS: i64 = 86_400_000;
/// What the container checks at once.
const PAGE: usize = 16 << 10;

/// The values of each series, by number.
type Stored = BTreeMap<usize, Vec<(i64, f64)>>;

/// Exit code and all output of `binnacle tsdb`.
async fn tsdb(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(binnacle::program());
    command.arg("tsdb").args(arguments).stdin(Stdio::null());
    for variable in ["BINNACLE_DATA_DIR", "BINNACLE_CONFIG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

/// Values that no packing makes tiny, so that a page holds a few series only.
fn samples(series: usize, from_ms: i64) -> Vec<(i64, f64)> {
    let noise = |i: i64| (i * 7919 + series as i64 * 104_729) * 48_271 % 65_537;
    (0..SAMPLES)
        .map(|i| (from_ms + i * 15_000, noise(i) as f64 / 100.0))
        .collect()
}

fn day(from_ms: i64) -> Stored {
    (0..SERIES).map(|n| (n, samples(n, from_ms))).collect()
}

async fn write(binnacle: &Binnacle, from_ms: i64) {
    for numbers in (0..SERIES).collect::<Vec<_>>().chunks(50) {
        let series: Vec<Series<'_>> = numbers
            .iter()
            .map(|n| {
                let labels = vec![("__name__", "damage".to_owned()), ("n", n.to_string())];
                (labels, samples(*n, from_ms))
            })
            .collect();
        let body = remote_write::body(&series).unwrap();
        let (status, text) = remote_write::send(binnacle.client(), &binnacle.url, body)
            .await
            .unwrap();
        assert!(status < 300, "{status} {text}");
    }
}

/// What is there of some series since a time, and the warnings.
async fn stored(binnacle: &Binnacle, selector: &str, from_ms: i64) -> (Stored, Vec<String>) {
    let end = ((from_ms + SAMPLES * 15_000) / 1000).to_string();
    let query = format!("{selector}[7h]");
    let parameters = [("query", query.as_str()), ("time", end.as_str())];
    let answer = binnacle.json("/api/v1/query", &parameters).await.unwrap();
    let of_series = |s: &Value| {
        let values = s["values"].as_array().unwrap().iter();
        let values = values.map(|v| {
            let at_ms = (v[0].as_f64().unwrap() * 1000.0).round() as i64;
            (at_ms, v[1].as_str().unwrap().parse().unwrap())
        });
        let n: usize = s["metric"]["n"].as_str().unwrap().parse().unwrap();
        (n, values.collect())
    };
    let found = answer["data"]["result"].as_array().unwrap();
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.map(|w| w.as_str().unwrap().to_owned()).collect();
    (found.iter().map(of_series).collect(), warnings)
}

/// The files of samples by their day.
async fn parts(data: &str) -> BTreeMap<i64, PathBuf> {
    let (code, said) = tsdb(&["inspect", "--data-dir", data, "--output", "json"]).await;
    assert_eq!(code, 0, "{said}");
    let inspected: Value = serde_json::from_str(&said).unwrap();
    let stores = inspected["stores"].as_array().unwrap().iter();
    let parts = stores.filter(|s| s["store"] == "metrics");
    let parts = parts.flat_map(|s| s["parts"].as_array().unwrap());
    parts
        .filter_map(|p| {
            let day = p["meta"]["partition"].as_i64()?;
            Some((day, PathBuf::from(p["file"].as_str().unwrap())))
        })
        .collect()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// How often damage was met, or how many files are unreadable.
async fn counted(binnacle: &Binnacle) -> (u64, u64) {
    let page = binnacle.get("/metrics").await.unwrap().1;
    let figure = |name: &str| {
        let value = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    };
    (
        figure("binnacle_tsdb_unreadable_total"),
        figure("binnacle_tsdb_unreadable_parts"),
    )
}

#[tokio::test]
async fn a_flipped_byte_costs_what_lies_around_it_and_comes_back_when_mended() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    // The morning of two days, so that each day is a file.
    let damaged_from = now / DAY_MS * DAY_MS - 3 * DAY_MS + 1000;
    let other_from = damaged_from + DAY_MS;
    let mut binnacle = Binnacle::start(&data_dir, &Options::no_agent()).await.unwrap();
    for from_ms in [damaged_from, other_from] {
        write(&binnacle, from_ms).await;
    }
    let compact = async |binnacle: &Binnacle| {
        let request = binnacle.client().post(format!("{}/-/compact", binnacle.url));
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    compact(&binnacle).await;
    assert_eq!(
        stored(&binnacle, "damage", damaged_from).await,
        (day(damaged_from), vec![])
    );
    binnacle.process.terminate().await.unwrap();

    let file = parts(data).await[&(damaged_from / DAY_MS)].clone();
    let name = file.file_name().unwrap().to_str().unwrap();
    let len = std::fs::metadata(&file).unwrap().len() as usize;
    let per_page = PAGE * SERIES / len + 2;
    // Where; the most series that it may cost; what `verify` says besides the file.
    for (at, most, says) in [
        (len / 2, per_page, "section \"data\""),
        (len / 5, per_page, "section \"data\""),
        (3, SERIES, ""),
        (len - 3, SERIES, ""),
    ] {
        flip(&file, at);
        let (code, said) = tsdb(&["verify", "--data-dir", data]).await;
        let problem = said.lines().find(|l| l.starts_with("problem: "));
        let problem = problem.unwrap_or_else(|| panic!("{at}: {said}"));
        assert!(
            code == 1 && problem.contains(name) && problem.contains(says) && said.contains("1 problem"),
            "{at}: {code}: {said}"
        );
        if most < SERIES {
            let page = 16 + (at - 16) / PAGE * PAGE;
            assert!(problem.contains(&format!("offset {page}")), "{at}: {problem}");
        }

        let mut binnacle = Binnacle::start(&data_dir, &Options::no_agent()).await.unwrap();
        let (left, warnings) = stored(&binnacle, "damage", damaged_from).await;
        let whole = day(damaged_from);
        let lost: Vec<usize> = (0..SERIES).filter(|n| !left.contains_key(n)).collect();
        assert!(left.iter().all(|(n, values)| whole[n] == *values), "{at}");
        assert!(!lost.is_empty() && lost.len() <= most, "{at}: {lost:?}");
        assert_eq!(
            lost.len(),
            lost[lost.len() - 1] - lost[0] + 1,
            "{at}: neighbours: {lost:?}"
        );
        assert!(
            !warnings.is_empty() && warnings.iter().all(|w| w.contains(name)),
            "{at}: {warnings:?}"
        );
        let (met, unreadable) = counted(&binnacle).await;
        assert!(
            met > 0 && unreadable == u64::from(most == SERIES),
            "{at}: {met} {unreadable}"
        );
        // Whoever asks for something else never hears of it.
        assert_eq!(
            stored(&binnacle, "damage", other_from).await,
            (day(other_from), vec![])
        );
        if let Some(sound) = left.keys().next() {
            let selector = format!("damage{{n=\"{sound}\"}}");
            let found = stored(&binnacle, &selector, damaged_from).await;
            assert_eq!(found, ([(*sound, whole[sound].clone())].into(), vec![]));
        }
        // It is left as it is, so that it can be mended from a copy.
        compact(&binnacle).await;
        assert_eq!(binnacle.process.terminate().await.unwrap().code(), Some(0));
        flip(&file, at);
        let (code, said) = tsdb(&["verify", "--data-dir", data]).await;
        assert!(code == 0 && said.contains("is sound"), "{at}: {said}");
        let mut binnacle = Binnacle::start(&data_dir, &Options::no_agent()).await.unwrap();
        assert_eq!(stored(&binnacle, "damage", damaged_from).await, (whole, vec![]));
        assert_eq!(counted(&binnacle).await, (0, 0), "{at}");
        binnacle.process.terminate().await.unwrap();
    }
}
