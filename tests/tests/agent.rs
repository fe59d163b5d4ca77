//! The small program: collects, spools and relays to a collector with a token, across restarts of both.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use tests::binnacle::{Binnacle, Options, agent_program};
use tests::peers;
use tests::process::Process;
use tests::wait;
use tokio::process::Command;

const AUTH: &str = "auth:\n  bearer:\n    - { token: w-token, access: [write] }\n    - { token: r-token, access: [read, write, admin] }\n";

fn agent(folder: &std::path::Path, collector: &str, log: &std::path::Path) -> Process {
    let config = format!(
        "collector: {{ url: '{collector}', bearer_token: w-token }}\nagent:\n  interval: 500ms\n  logs: {{ poll_interval: 50ms, \
         discovery_interval: 100ms, files: [{{ glob: '{}', labels: {{ app: relayed }} }}] }}\n",
        log.display()
    );
    let file = folder.join("agent.yml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(agent_program());
    command
        .arg("--config")
        .arg(file)
        .arg("--data-dir")
        .arg(folder.join("agent-data"));
    for flag in ["--listen", "--otlp-grpc", "--otlp-http"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    Process::start("binnacle-agent", command).unwrap()
}

async fn otlp_http(agent: &mut Process) -> String {
    let find = |line: &str| {
        let rest = line.trim().strip_prefix("otlp ")?;
        rest.split_whitespace()
            .nth(3)
            .map(|w| w.trim_end_matches('/').to_owned())
    };
    agent.wait_for_line("its OTLP address", find).await.unwrap()
}

#[tokio::test]
async fn the_agent_relays_all_three_signals_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = folder.path().join("relayed.log");
    std::fs::write(&log, "line 0\n").unwrap();
    // The collector keeps its ports over the restart, so that the agent finds it again.
    let ports: Vec<String> = (0..3)
        .map(|_| format!("127.0.0.1:{}", peers::free_port().unwrap()))
        .collect();
    let mut options = Options::no_agent().with_config(AUTH);
    for (flag, address) in ["--listen", "--otlp-grpc", "--otlp-http"].iter().zip(&ports) {
        options = options.with_argument(*flag).with_argument(address);
    }
    let mut binnacle = Binnacle::start(&data, &options).await.unwrap();
    let mut agent_process = agent(folder.path(), &binnacle.url, &log);
    let otlp = otlp_http(&mut agent_process).await;

    let lines = |binnacle: &Binnacle| {
        let request = binnacle
            .client()
            .get(format!("{}/loki/api/v1/query_range", binnacle.url))
            .query(&[("query", r#"{app="relayed"}"#), ("limit", "1000")])
            .bearer_auth("r-token");
        async move {
            let answer: serde_json::Value = request
                .send()
                .await
                .map_err(|e| e.to_string())?
                .json()
                .await
                .map_err(|e| e.to_string())?;
            let streams = answer["data"]["result"].as_array().cloned().unwrap_or_default();
            let mut lines: Vec<String> = streams
                .iter()
                .flat_map(|s| {
                    s["values"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|v| v[1].as_str().unwrap_or_default().to_owned())
                })
                .collect();
            lines.sort();
            Ok::<_, String>(lines)
        }
    };
    let expect = |wanted: Vec<String>| {
        move |found: Result<Vec<String>, String>| match found {
            Ok(found) if found == wanted => Ok(()),
            other => Err(format!("{other:?} instead of {wanted:?}")),
        }
    };
    let first = expect(vec!["line 0".into()]);
    wait::until("the first line", || async { first(lines(&binnacle).await) }).await;
    wait::until("node metrics by relay", || async {
        let request = binnacle
            .client()
            .get(format!("{}/api/v1/query", binnacle.url))
            .query(&[("query", "node_load1")]);
        let answer: serde_json::Value = request
            .bearer_auth("r-token")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if answer["data"]["result"].as_array().is_some_and(|r| !r.is_empty()) {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;

    // The collector is away: what comes meanwhile waits in the spool, also through a kill of the agent.
    binnacle.process.kill().await.unwrap();
    let mut sdk = Command::new(peers::python());
    sdk.args([
        "-c",
        include_str!("send_with_sdk.py"),
        "http",
        &otlp,
        "relayed-sdk",
        "c1",
    ]);
    assert!(
        peers::run(sdk).await.unwrap().contains("sent"),
        "the agent takes data while the collector is away"
    );
    std::fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .map(|mut f| std::io::Write::write_all(&mut f, b"line 1\n").unwrap())
        .unwrap();
    agent_process.kill().await.unwrap();
    let mut agent_process = agent(folder.path(), &binnacle.url, &log);
    binnacle = Binnacle::start(&data, &options).await.unwrap();
    let both = expect(vec!["line 0".into(), "line 1".into()]);
    wait::until("each line once", || async { both(lines(&binnacle).await) }).await;
    wait::until("the SDK's trace by relay", || async {
        let request = binnacle
            .client()
            .get(format!("{}/jaeger/api/services", binnacle.url))
            .bearer_auth("r-token");
        let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        if answer["data"]
            .as_array()
            .is_some_and(|s| s.iter().any(|n| n == "relayed-sdk"))
        {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    assert_eq!(
        agent_process.terminate().await.unwrap().code(),
        Some(0),
        "{}",
        agent_process.output()
    );
}

#[tokio::test]
async fn a_wrong_token_is_said_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(
        &folder.path().join("data"),
        &Options::no_agent().with_config(AUTH.replace("w-token", "other")),
    )
    .await
    .unwrap();
    let log = folder.path().join("x.log");
    let mut agent_process = agent(folder.path(), &binnacle.url, &log);
    agent_process
        .wait_for_line("a clear word about the token", |l| {
            (l.contains("401") || l.contains("token is not known")).then_some(())
        })
        .await
        .unwrap();
    assert_eq!(
        agent_process.terminate().await.unwrap().code(),
        Some(0),
        "{}",
        agent_process.output()
    );
}
