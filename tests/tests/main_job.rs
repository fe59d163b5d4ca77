//! The main job: one command, and this machine's own metrics, logs and traces can be asked.

#![allow(clippy::unwrap_used, reason = "these files hold tests and their helpers")]

use tests::binnacle::{Binnacle, Options, command};
use tests::process::Process;
use tests::wait;

#[tokio::test]
async fn one_command_shows_this_node_and_itself() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    std::fs::write(&log, "hello from a file\n").unwrap();
    let config = format!(
        "agent:\n  interval: 1s\n  logs:\n    files: [{{ glob: '{}' }}]\nglobal: {{ scrape_interval: 1s }}\n",
        log.display()
    );
    let options = Options::default().with_config(config);
    let mut binnacle = Binnacle::start(&folder.path().join("data"), &options)
        .await
        .unwrap();

    // The banner says what is collected and where things are.
    let banner = binnacle.process.output();
    for word in ["page", "otlp", "collects", "node", "data"] {
        assert!(banner.contains(word), "the banner lacks {word:?}:\n{banner}");
    }

    let positive = |e: &'static str| {
        let binnacle = &binnacle;
        move || async move {
            binnacle.promql_value(e).await.and_then(|v| {
                if v > 0.0 {
                    Ok(v)
                } else {
                    anyhow::bail!("{e} = {v}")
                }
            })
        }
    };
    wait::until("node memory", positive("max(node_memory_MemTotal_bytes)")).await;
    wait::until("node load exists", || binnacle.promql_value("count(node_load1)")).await;
    wait::until("node cpu", positive("sum(rate(node_cpu_seconds_total[1m]))")).await;
    wait::until("itself is a target", positive("max(up)")).await;
    wait::until("its own counters", positive("sum(binnacle_build_info)")).await;

    // A figure that the kernel gives in another way.
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: f64 = info.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(
        binnacle
            .promql_value("max(node_memory_MemTotal_bytes)")
            .await
            .unwrap(),
        kilobytes * 1024.0
    );

    let lines = wait::until("the log file", || async {
        let lines = binnacle
            .logql(&format!("{{filename=\"{}\"}}", log.display()))
            .await?;
        anyhow::ensure!(!lines.is_empty(), "no lines");
        Ok(lines)
    })
    .await;
    assert_eq!(lines[0].2, "hello from a file");
    wait::until("its own log", || async {
        let lines = binnacle.logql(r#"{service_name="binnacle"}"#).await?;
        anyhow::ensure!(!lines.is_empty(), "no lines");
        Ok(())
    })
    .await;

    // Traces are there without any other program: its own requests.
    wait::until("its own traces", || async {
        let services = binnacle.json("/jaeger/api/services", &[]).await?;
        let found = services["data"]
            .as_array()
            .is_some_and(|s| s.iter().any(|n| n == "binnacle"));
        anyhow::ensure!(found, "{services}");
        let traces = binnacle
            .json("/jaeger/api/traces", &[("service", "binnacle"), ("limit", "5")])
            .await?;
        anyhow::ensure!(
            traces["data"].as_array().is_some_and(|t| !t.is_empty()),
            "{traces}"
        );
        Ok(())
    })
    .await;

    let (status, page) = binnacle.get("/").await.unwrap();
    assert_eq!(status, 200);
    assert!(page.to_lowercase().contains("<!doctype html>"), "{page}");

    let end = binnacle.process.terminate().await.unwrap();
    assert_eq!(end.code(), Some(0), "{}", binnacle.process.output());
}

#[tokio::test]
async fn ctrl_c_drains_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let mut binnacle = Binnacle::start(&folder.path().join("data"), &Options::no_agent())
        .await
        .unwrap();
    binnacle.process.signal(rustix::process::Signal::INT).unwrap();
    assert_eq!(
        binnacle.process.wait().await.unwrap().code(),
        Some(0),
        "{}",
        binnacle.process.output()
    );
}

#[tokio::test]
async fn pictures_of_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(&folder.path().join("data"), &Options::no_agent())
        .await
        .unwrap();
    let (status, svg) = binnacle
        .get("/render/panel.svg?query=vector(1)&title=A%20%3Ctitle%3E&step=60")
        .await
        .unwrap();
    assert_eq!(status, 200, "{svg}");
    assert!(svg.contains("<svg") && svg.contains("A &lt;title&gt;"), "{svg}");
    let png = binnacle
        .client()
        .get(format!(
            "{}/render/panel.png?query=vector(1)&theme=dark",
            binnacle.url
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(png.status(), 200);
    assert_eq!(&png.bytes().await.unwrap()[..8], b"\x89PNG\r\n\x1a\n");
    let (status, text) = binnacle
        .get("/render/panel.svg?query=up%20%3D%3D%3D")
        .await
        .unwrap();
    assert_eq!(status, 400, "{text}");
}

#[tokio::test]
async fn the_shell_can_ask_and_check() {
    let folder = tempfile::tempdir().unwrap();
    let binnacle = Binnacle::start(&folder.path().join("data"), &Options::no_agent())
        .await
        .unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(tests::binnacle::program());
        command
            .arg("query")
            .args(["--url", &binnacle.url])
            .args(arguments);
        tests::peers::run(command)
    };
    assert_eq!(ask(&["vector(42)"]).await.unwrap().trim(), "{}  42");
    assert!(
        ask(&["--output", "json", "vector(42)"])
            .await
            .unwrap()
            .contains(r#""resultType":"vector""#)
    );
    assert!(ask(&["{a=\"b\"} |= \"x\""]).await.unwrap().contains("no data"));
    let error = ask(&["up ==="]).await.unwrap_err().to_string();
    assert!(error.contains("400"), "{error}");
    let error = ask(&["0af7651916cd43dd8448eb211c80319c"])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("404"), "{error}");

    let good = folder.path().join("good.yml");
    std::fs::write(
        &good,
        "groups:\n- name: g\n  rules: [{ alert: A, expr: up == 0 }]\n",
    )
    .unwrap();
    let bad = folder.path().join("bad.yml");
    std::fs::write(&bad, "listen: 127.0.0.1:1\nlissten: x\n").unwrap();
    let check = |file: std::path::PathBuf| {
        let mut command = tokio::process::Command::new(tests::binnacle::program());
        command.arg("check").arg(file);
        tests::peers::run(command)
    };
    assert!(check(good).await.unwrap().contains("rules are right"));
    let error = check(bad).await.unwrap_err().to_string();
    assert!(
        error.contains("bad.yml:2") && error.contains("lissten"),
        "{error}"
    );
    for subcommand in ["run", "query", "check"] {
        let mut command = tokio::process::Command::new(tests::binnacle::program());
        command.args([subcommand, "--help"]);
        assert!(
            tests::peers::run(command).await.unwrap().contains("Examples:"),
            "{subcommand}"
        );
    }
}

#[tokio::test]
async fn two_programs_do_not_share_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _first = Binnacle::start(&data, &Options::no_agent()).await.unwrap();
    let mut second = Process::start("second", command(&data, &Options::no_agent()).unwrap()).unwrap();
    assert_ne!(second.wait().await.unwrap().code(), Some(0));
    let said = second.output();
    assert!(said.contains("in use") && said.contains("data"), "{said}");
}

#[tokio::test]
async fn flags_win_over_the_environment_which_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let free = || format!("127.0.0.1:{}", tests::peers::free_port().unwrap());
    let (by_flag, by_environment) = (free(), free());
    let config = format!("listen: {0}\notlp_grpc: {0}\nno_agent: true\n", "127.0.0.1:1");
    let file = folder.path().join("b.yml");
    std::fs::write(&file, config).unwrap();
    let mut command = tokio::process::Command::new(tests::binnacle::program());
    command.args(["--listen", &by_flag, "--otlp-http", "127.0.0.1:0"]);
    command
        .env("BINNACLE_CONFIG", &file)
        .env("BINNACLE_DATA_DIR", folder.path().join("from-env"));
    command
        .env("BINNACLE_LISTEN", "127.0.0.1:1")
        .env("BINNACLE_OTLP_GRPC", &by_environment);
    let mut process = Process::start("binnacle", command).unwrap();
    process
        .wait_for_line("ready", |l| (l.trim() == "ready").then_some(()))
        .await
        .unwrap();
    let banner = process.output();
    assert!(banner.contains(&format!("http://{by_flag}/")), "{banner}");
    assert!(banner.contains(&format!("grpc {by_environment}")), "{banner}");
    assert!(
        !banner.contains("of this node"),
        "no agent, by the file: {banner}"
    );
    assert!(folder.path().join("from-env/FORMAT").is_file());
    assert_eq!(process.terminate().await.unwrap().code(), Some(0));
}
