//! A recorded node, and the exact samples that come out of it.

use super::*;
use std::path::Path;

#[test]
fn a_recorded_node() {
    let host = Host::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/node"));
    let mut node = Node::new(host, "n1");
    let mut g = Gatherer::default();
    g.begin(1_800_000_000_000);
    node.collect(&mut g, 1_800_000_000_500_000_000);
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let mut lines: Vec<String> = g
        .finish()
        .series
        .iter()
        .map(|s| format!("{} {}", s.labels, s.samples[0].value))
        .map(|line| {
            line.replace(r#"instance="n1", job="node", "#, "")
                .replace(r#", node="n1""#, "")
                .replace(&format!("machine={machine:?}"), "machine=…")
        })
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_empty_host_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::new(Host::at(dir.path()), "n1");
    let mut g = Gatherer::default();
    g.begin(0);
    node.collect(&mut g, 0);
    assert_eq!(g.finish().series.len(), 2);
}
