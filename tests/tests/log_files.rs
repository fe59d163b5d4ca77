//! Log files: written, rotated, cut, with the program killed in between; each line is found once.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use tests::binnacle::{Binnacle, Options};
use tests::wait;

fn append(file: &Path, lines: impl IntoIterator<Item = String>) {
    let mut open = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    for line in lines {
        open.write_all(line.as_bytes()).unwrap();
    }
}

async fn counts(binnacle: &Binnacle, query: &str) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for (_, _, line) in binnacle.logql(query).await? {
        *found.entry(line).or_default() += 1;
    }
    Ok(found)
}

async fn each_once(binnacle: &Binnacle, query: &str, expected: &[String]) {
    wait::until("each line once", || async {
        let found = counts(binnacle, query).await?;
        let missing: Vec<_> = expected.iter().filter(|l| !found.contains_key(*l)).collect();
        ensure!(missing.is_empty(), "missing {missing:?}");
        let doubled: Vec<_> = found.iter().filter(|(_, n)| **n > 1).collect();
        // A line that shows twice never shows once again: this does not need patience, it fails at once below.
        assert!(doubled.is_empty(), "shown more than once: {doubled:?}");
        Ok(())
    })
    .await;
    let found = counts(binnacle, query).await.unwrap();
    assert_eq!(found.len(), expected.len(), "lines that nobody wrote: {found:?}");
}

#[tokio::test]
async fn lines_are_found_once_across_rotation_and_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (log, rotated) = (folder.path().join("app.log"), folder.path().join("app.log.1"));
    let data = folder.path().join("data");
    let config = format!(
        "agent:\n  node: false\n  containers: false\n  logs:\n    poll_interval: 50ms\n    discovery_interval: 100ms\n    \
         files: [{{ glob: '{}/app.log*', labels: {{ app: rotating }} }}]\n",
        folder.path().display()
    );
    let options = Options::default().with_config(config);
    let query = r#"{app="rotating"}"#;
    let line = |n: usize| format!("line {n} of the rotating file\n");
    let expected = |n: usize| (0..n).map(|n| line(n).trim_end().to_owned()).collect::<Vec<_>>();

    append(&log, (0..100).map(line));
    let mut binnacle = Binnacle::start(&data, &options).await.unwrap();
    each_once(&binnacle, query, &expected(100)).await;

    // Rotation by rename, with lines on both sides of it.
    append(&log, (100..150).map(line));
    std::fs::rename(&log, &rotated).unwrap();
    append(&log, (150..200).map(line));
    each_once(&binnacle, query, &expected(200)).await;

    // Killed while lines come; the next start goes on where the acknowledgement was.
    append(&log, (200..260).map(line));
    binnacle.process.kill().await.unwrap();
    append(&log, (260..300).map(line));
    binnacle = Binnacle::start(&data, &options).await.unwrap();
    each_once(&binnacle, query, &expected(300)).await;

    // Copied and cut (copytruncate), then a clean restart.
    std::fs::write(&log, "").unwrap();
    append(&log, (300..310).map(line));
    each_once(&binnacle, query, &expected(310)).await;
    assert_eq!(binnacle.process.terminate().await.unwrap().code(), Some(0));
    append(&log, (310..320).map(line));
    binnacle = Binnacle::start(&data, &options).await.unwrap();
    each_once(&binnacle, query, &expected(320)).await;
}

#[tokio::test]
async fn cri_and_docker_files_give_their_lines_whole() {
    let folder = tempfile::tempdir().unwrap();
    let pod = folder
        .path()
        .join("var/log/pods/shop_web-1_0af76519-16cd-43dd-8448-eb211c80319c/nginx");
    std::fs::create_dir_all(&pod).unwrap();
    let now = "2026-01-01T00:00:00";
    let _ = now;
    let stamp = |n: u32| {
        let out = std::process::Command::new("date")
            .args(["-u", "+%Y-%m-%dT%H:%M:%S"])
            .output()
            .unwrap();
        format!("{}.{n:09}Z", String::from_utf8(out.stdout).unwrap().trim())
    };
    let cri = [
        format!("{} stdout F whole line\n", stamp(1)),
        format!("{} stdout P first half, \n", stamp(2)),
        format!("{} stderr F from stderr\n", stamp(3)),
        format!("{} stdout F second half\n", stamp(4)),
    ];
    std::fs::write(pod.join("0.log"), cri.concat()).unwrap();
    let id = "a".repeat(64);
    let docker = folder.path().join("var/lib/docker/containers").join(&id);
    std::fs::create_dir_all(&docker).unwrap();
    let entry = serde_json::json!({ "log": "docker \"line\"\n", "stream": "stdout", "time": stamp(5) });
    std::fs::write(docker.join(format!("{id}-json.log")), format!("{entry}\n")).unwrap();
    let config = format!(
        "agent:\n  node: false\n  containers: false\n  host_root: '{}'\n  logs: {{ poll_interval: 50ms }}\n",
        folder.path().display()
    );
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::default().with_config(config),
    )
    .await
    .unwrap();
    let in_pod = r#"{namespace="shop", pod="web-1", container="nginx"}"#;
    let lines = ["whole line", "first half, second half", "from stderr"].map(str::to_owned);
    each_once(&binnacle, in_pod, &lines).await;
    each_once(
        &binnacle,
        r#"{namespace="shop", stream="stderr"}"#,
        &["from stderr".to_owned()],
    )
    .await;
    each_once(
        &binnacle,
        &format!(r#"{{container_id="{id}"}}"#),
        &["docker \"line\"".to_owned()],
    )
    .await;
}
