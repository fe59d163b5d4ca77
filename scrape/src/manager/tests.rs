//! Targets that come, stay, change and go.

use super::*;
use crate::config::Exposition;
use crate::target::Health;
use crate::testing::Harness;
use model::NoMeter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A job whose target counts how often it was asked.
fn job(name: &str, instances: &[&str], calls: &Arc<AtomicUsize>) -> ScrapeConfig {
    let calls = calls.clone();
    let exposition = Exposition(Arc::new(move || {
        format!("n {}\n", calls.fetch_add(1, Ordering::SeqCst) + 1)
    }));
    same_job(name, instances, &exposition)
}

fn same_job(name: &str, instances: &[&str], exposition: &Exposition) -> ScrapeConfig {
    let mut config = ScrapeConfig::new(name);
    config.in_process = Some(exposition.clone());
    for instance in instances {
        config = config.with_target(instance);
    }
    config
}

fn run(harness: &Harness, configs: Vec<ScrapeConfig>) -> Manager {
    Manager::run_with(
        configs,
        Defaults::default(),
        harness.options(),
        harness.time.clone(),
        &NoMeter,
    )
    .unwrap()
}

fn instances(manager: &Manager) -> Vec<String> {
    let of = |t: &TargetStatus| t.labels.get("instance").unwrap().to_owned();
    manager.targets().iter().map(of).collect()
}

async fn stop(harness: &Harness, manager: &Manager) {
    harness.shutdown.cancel();
    manager.stopped().await;
}

#[tokio::test]
async fn targets_are_shown() {
    let harness = Harness::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let mut config = job("b", &["y", "x", "no"], &calls);
    let rule = "[{source_labels: [__address__], regex: no, action: drop}]";
    config.relabel_configs = runtime::config::parse(rule, "f").unwrap();
    let manager = run(&harness, vec![config, job("a", &["z"], &calls)]);
    assert_eq!(instances(&manager), ["z", "x", "y"]);
    assert_eq!(manager.targets()[0].health, Health::Unknown);
    assert_eq!(manager.dropped_targets().len(), 1);
    assert_eq!(manager.dropped_targets()[0].scrape_pool, "b");
    harness.wait_for(3).await;
    assert!(manager.targets().iter().all(|t| t.health == Health::Up));
    stop(&harness, &manager).await;
}

#[tokio::test]
async fn a_reload_leaves_what_stays_the_same_alone() {
    let harness = Harness::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let config = job("j", &["stays", "goes"], &calls);
    let exposition = config.in_process.clone().unwrap();
    let manager = run(&harness, vec![config]);
    harness.wait_for(4).await;
    let stays = r#"n{instance="stays", job="j"}"#;
    let goes = r#"n{instance="goes", job="j"}"#;
    let (stayed, gone) = (harness.values(stays).len(), harness.values(goes).len());

    manager
        .reload(
            vec![same_job("j", &["stays", "new"], &exposition)],
            Defaults::default(),
        )
        .unwrap();
    assert_eq!(instances(&manager), ["new", "stays"]);
    // The status of what stays stays, too.
    assert_eq!(manager.targets()[1].health, Health::Up);
    harness.wait_for(9).await;
    let after = harness.values(goes);
    assert_eq!(after.len(), gone + 1);
    assert_eq!(after.last().unwrap().1, "stale");
    let up = harness.values(r#"up{instance="goes", job="j"}"#);
    assert_eq!(up.last().unwrap().1, "stale");
    let kept = harness.values(stays);
    assert!(
        kept.len() > stayed && kept.iter().all(|(_, v)| v != "stale"),
        "{kept:?}"
    );
    // Still in its rhythm.
    assert!(kept.windows(2).all(|w| w[1].0 - w[0].0 == 15_000), "{kept:?}");

    // A configuration that cannot be used changes nothing.
    let twice = vec![ScrapeConfig::new("j"), ScrapeConfig::new("j")];
    assert!(manager.reload(twice, Defaults::default()).is_err());
    assert_eq!(instances(&manager), ["new", "stays"]);
    stop(&harness, &manager).await;
}

#[tokio::test]
async fn other_settings_replace_the_loop_and_its_series_go_on() {
    let harness = Harness::new();
    let manager = run(
        &harness,
        vec![same_job(
            "j",
            &["h"],
            &Exposition(Arc::new(|| "a 1\nb 1\n".into())),
        )],
    );
    harness.wait_for(2).await;
    // The new loop drops `b`: it must be marked although another loop showed it.
    let mut config = same_job("j", &["h"], &Exposition(Arc::new(|| "a 2\nb 2\n".into())));
    let rule = "[{source_labels: [__name__], regex: b, action: drop}]";
    config.metric_relabel_configs = runtime::config::parse(rule, "f").unwrap();
    manager.reload(vec![config], Defaults::default()).unwrap();
    harness.wait_for(4).await;
    let values = |name: &str| -> Vec<String> {
        let all = harness.values(&format!(r#"{name}{{instance="h", job="j"}}"#));
        all.into_iter().map(|(_, v)| v).collect()
    };
    assert_eq!(values("a"), ["1", "1", "2", "2"]);
    assert_eq!(values("b"), ["1", "1", "stale"]);
    assert_eq!(values("up"), ["1"; 4]);
    // A job that is gone ends.
    manager.reload(Vec::new(), Defaults::default()).unwrap();
    harness.wait_for(5).await;
    assert_eq!(values("a").last().unwrap(), "stale");
    assert!(manager.targets().is_empty());
    stop(&harness, &manager).await;
}

fn write_targets(path: &Path, targets: &str) {
    std::fs::write(
        path,
        format!("[{{\"targets\": [{targets}], \"labels\": {{\"from\": \"file\"}}}}]"),
    )
    .unwrap();
}

#[tokio::test]
async fn files_of_targets_are_followed() {
    let harness = Harness::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("targets.json");
    write_targets(&file, "\"a:1\"");
    let mut config = job("j", &["static:1"], &Arc::default());
    let sd = format!("[{{files: ['{}/*.json']}}]", dir.path().display());
    config.file_sd_configs = runtime::config::parse(&sd, "f").unwrap();
    let manager = run(&harness, vec![config]);
    assert_eq!(instances(&manager), ["a:1", "static:1"]);
    assert_eq!(manager.targets()[0].labels.get("from"), Some("file"));
    let meta = manager.targets()[0]
        .discovered_labels
        .get("__meta_filepath")
        .map(str::to_owned);
    assert_eq!(meta, Some(file.display().to_string()));

    write_targets(&file, "\"a:1\", \"bb:2\"");
    manager.0.look_at_files();
    assert_eq!(instances(&manager), ["a:1", "bb:2", "static:1"]);
    // Half a file keeps what was there.
    std::fs::write(&file, "[{\"targets\": [").unwrap();
    manager.0.look_at_files();
    assert_eq!(instances(&manager), ["a:1", "bb:2", "static:1"]);
    assert_eq!(manager.0.target_errors.get(), 1);
    std::fs::remove_file(&file).unwrap();
    manager.0.look_at_files();
    assert_eq!(instances(&manager), ["static:1"]);
    assert_eq!((manager.0.targets.get(), manager.0.target_errors.get()), (1, 0));
    stop(&harness, &manager).await;
}

#[tokio::test]
async fn a_shutdown_ends_everything_without_markers() {
    let harness = Harness::new();
    let manager = run(&harness, vec![job("j", &["x", "y"], &Arc::default())]);
    harness.wait_for(4).await;
    stop(&harness, &manager).await;
    for instance in ["x", "y"] {
        let values = harness.values(&format!(r#"up{{instance="{instance}", job="j"}}"#));
        assert!(!values.is_empty() && values.iter().all(|(_, v)| v == "1"));
    }
}
