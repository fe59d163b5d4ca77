//! Log files that are written, rotated, truncated and lost, against a plain model; crashes at every step.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use storage::FaultyFs;

const STATE_DIR: &str = "/data/agent";

/// A node with one log directory, a sink that remembers, and a tailer that may die.
struct World {
    dir: tempfile::TempDir,
    fs: Arc<FaultyFs>,
    tailer: Option<Tailer>,
    sink: Sink,
    now_ns: u64,
    config: LogsConfig,
    epochs: u64,
}

/// A store as the tailer sees it: takes each sequence once.
#[derive(Default)]
struct Sink {
    last: BTreeMap<u64, u64>,
    lines: Vec<String>,
}

impl Sink {
    fn take(&mut self, outgoing: &Outgoing) -> WriteOutcome {
        let origin = outgoing.batch.origin.as_ref().unwrap();
        let last = self.last.entry(origin.epoch).or_default();
        if origin.sequence > *last {
            *last = origin.sequence;
            for stream in &outgoing.batch.payload.streams {
                self.lines.extend(stream.entries.iter().map(|e| e.line.clone()));
            }
        }
        WriteOutcome::default()
    }
}

impl World {
    fn new(glob: &str, change: impl FnOnce(&mut LogsConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/log")).unwrap();
        let fs = Arc::new(FaultyFs::new(7));
        model::Fs::create_dir_all(&*fs, Path::new(STATE_DIR)).unwrap();
        let mut config = LogsConfig {
            files: vec![crate::config::FilePattern {
                glob: glob.to_owned(),
                ..Default::default()
            }],
            discovery_interval: std::time::Duration::ZERO,
            ..LogsConfig::default()
        };
        change(&mut config);
        let mut world = Self {
            dir,
            fs,
            tailer: None,
            sink: Sink::default(),
            now_ns: 1,
            config,
            epochs: 0,
        };
        world.start();
        world
    }
    fn start(&mut self) {
        let host = Host::at(self.dir.path());
        let options = Options {
            config: self.config.clone(),
            names: Arc::new(Names::new(host.clone())),
            host,
            node: "n1".into(),
            tenant: Tenant::default(),
            agent: "a".into(),
            counters: Arc::new(Counters::new(Arc::new(model::NoMeter))),
        };
        let epochs = &mut self.epochs;
        let tailer = Tailer::open(options, self.fs.clone(), Path::new(STATE_DIR), || {
            *epochs += 1;
            Ok(*epochs)
        });
        self.tailer = Some(tailer.unwrap());
    }
    fn crash(&mut self) {
        self.tailer = None;
        self.start();
    }
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("var/log").join(name)
    }
    fn append(&self, name: &str, text: &str) {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    fn poll(&mut self) -> Option<Arc<Outgoing>> {
        self.now_ns += 1;
        let tailer = self.tailer.as_mut().unwrap();
        tailer
            .poll(i64::try_from(self.now_ns).unwrap(), self.now_ns)
            .unwrap()
    }
    /// One whole step; false when there was nothing to do.
    fn step(&mut self) -> bool {
        let Some(outgoing) = self.poll() else { return false };
        let outcome = self.sink.take(&outgoing);
        self.tailer.as_mut().unwrap().acknowledged(&outcome);
        true
    }
    fn drain(&mut self) {
        for _ in 0..1000 {
            if !self.step() {
                return;
            }
        }
        panic!("the tailer never ends");
    }
    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sink.lines)
    }
    fn wait(&mut self, seconds: u64) {
        self.now_ns += seconds * 1_000_000_000;
    }
}

#[test]
fn lines_come_when_they_are_whole() {
    let mut w = World::new("/var/log/*.log", |_| {});
    w.append("x.log", "one\ntw");
    w.drain();
    assert_eq!(w.lines(), ["one"]);
    w.append("x.log", "o\nthree\n");
    w.drain();
    assert_eq!(w.lines(), ["two", "three"]);
    w.drain();
    assert!(w.lines().is_empty());
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_let_go() {
    let mut w = World::new("/var/log/x.log", |_| {});
    w.append("x.log", "one\n");
    w.drain();
    w.append("x.log", "two\n");
    std::fs::rename(w.path("x.log"), w.path("x.log.1")).unwrap();
    w.append("x.log", "three\n");
    w.drain();
    let mut lines = w.lines();
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
    // Its writer goes on for a while, and leaves a line unfinished.
    w.append("x.log.1", "four\nfi");
    w.drain();
    assert_eq!(w.lines(), ["four"]);
    w.wait(60);
    w.drain();
    w.wait(60);
    w.drain();
    assert_eq!(w.lines(), ["fi"]);
    assert_eq!(w.tailer.as_ref().unwrap().files(), 1);
}

#[test]
fn a_renamed_file_is_found_again_after_a_restart() {
    let mut w = World::new("/var/log/x.log", |_| {});
    w.append("x.log", "one\n");
    w.drain();
    w.append("x.log", "two\n");
    w.tailer = None;
    std::fs::rename(w.path("x.log"), w.path("x.log.1")).unwrap();
    w.append("x.log", "three\n");
    w.start();
    w.drain();
    let mut lines = w.lines();
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    let mut w = World::new("/var/log/x.log", |_| {});
    w.append("x.log", "one\n");
    w.drain();
    w.append("x.log", "two\nlast");
    std::fs::remove_file(w.path("x.log")).unwrap();
    w.drain();
    w.wait(60);
    w.drain();
    assert_eq!(w.lines(), ["one", "two", "last"]);
    assert_eq!(w.tailer.as_ref().unwrap().files(), 0);
}

#[test]
fn a_batch_is_the_same_after_a_crash_wherever_it_was() {
    let crash_at = |step: usize| {
        let mut w = World::new("/var/log/*.log", |_| {});
        w.append("x.log", "one\ntwo\n");
        w.append("y.log", "three\n");
        let outgoing = w.poll().unwrap();
        let outcome = match step {
            0 => None,
            _ => Some(w.sink.take(&outgoing)),
        };
        if let (2, Some(outcome)) = (step, outcome) {
            w.tailer.as_mut().unwrap().acknowledged(&outcome);
        }
        w.append("x.log", "four\n");
        w.tailer = None;
        w.start();
        if step < 2 {
            let again = w.poll().unwrap();
            assert_eq!(again.batch.origin, outgoing.batch.origin);
            let text = |o: &Outgoing| {
                let mut lines: Vec<String> = Vec::new();
                for s in &o.batch.payload.streams {
                    lines.extend(
                        s.entries
                            .iter()
                            .map(|e| format!("{} {} {}", s.labels, e.timestamp_ns, e.line)),
                    );
                }
                lines.sort();
                lines
            };
            assert_eq!(text(&again), text(&outgoing));
        }
        w.drain();
        let mut lines = w.lines();
        lines.sort();
        assert_eq!(lines, ["four", "one", "three", "two"], "crash at {step}");
    };
    crash_at(0);
    crash_at(1);
    crash_at(2);
}

#[test]
fn what_was_not_acknowledged_is_found_in_the_copy() {
    let mut w = World::new("/var/log/x.log", |_| {});
    w.append("x.log", "one\ntwo\n");
    w.poll().unwrap();
    w.tailer = None;
    std::fs::copy(w.path("x.log"), w.path("x.log.1")).unwrap();
    std::fs::write(w.path("x.log"), "three\n").unwrap();
    w.start();
    w.drain();
    let mut lines = w.lines();
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn a_copy_beside_a_living_file_says_nothing_new() {
    let mut w = World::new("/var/log/x.log*", |_| {});
    w.append("x.log", "one\ntwo\n");
    w.drain();
    std::fs::copy(w.path("x.log"), w.path("x.log.bak")).unwrap();
    w.drain();
    w.append("x.log", "three\n");
    w.drain();
    assert_eq!(w.lines(), ["one", "two", "three"]);
    // Not even when the original is gone.
    w.wait(60);
    w.drain();
    std::fs::remove_file(w.path("x.log")).unwrap();
    w.append("x.log.bak", "four\n");
    w.crash();
    w.drain();
    assert_eq!(w.lines(), ["four"]);
}

#[test]
fn a_sink_that_fails_gets_the_same_batch_again() {
    let mut w = World::new("/var/log/x.log", |_| {});
    w.append("x.log", "one\n");
    let first = w.poll().unwrap();
    w.append("x.log", "two\n");
    let second = w.poll().unwrap();
    assert_eq!(first.batch, second.batch);
    w.drain();
    assert_eq!(w.lines(), ["one", "two"]);
}

#[test]
fn a_full_disk_stops_reading_and_loses_nothing() {
    let mut w = World::new("/var/log/x.log", |_| {});
    w.append("x.log", "one\n");
    w.fs.set_capacity(Some(0));
    let failed = w.tailer.as_mut().unwrap().poll(1, 1).unwrap_err();
    assert_eq!(failed.kind(), model::ErrorKind::Unavailable, "{failed}");
    w.fs.set_capacity(None);
    w.drain();
    assert_eq!(w.lines(), ["one"]);
}

#[test]
fn long_lines_are_cut_across_steps() {
    let mut w = World::new("/var/log/x.log", |c| {
        c.max_line_bytes = 10;
        c.max_batch_bytes = 1;
    });
    let long = "x".repeat(100_000);
    w.append("x.log", &format!("a\n{long}\nb\n"));
    w.drain();
    assert_eq!(w.lines(), ["a", "xxxxxxxxxx", "b"]);
}

#[test]
fn files_are_shared_out_fairly_and_within_limits() {
    let mut w = World::new("/var/log/*.log", |c| {
        c.max_line_bytes = 10;
        c.max_batch_bytes = 100;
    });
    for i in 0..5 {
        w.append(&format!("{i}.log"), &format!("{i}\n").repeat(10_000));
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        w.step();
        seen.extend(w.lines());
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    let mut few = World::new("/var/log/*.log", |c| c.max_files = 2);
    for i in 0..5 {
        few.append(&format!("{i}.log"), "x\n");
    }
    few.drain();
    assert_eq!((few.tailer.as_ref().unwrap().files(), few.lines().len()), (2, 2));
}

#[test]
fn streams_carry_the_containers_labels() {
    let mut w = World::new("/var/log/pods/*/*/*.log", |_| {});
    let uid = "6f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    let log = format!("/var/log/pods/shop_cart-1_{uid}/cart/0.log");
    let on_disk = w.dir.path().join(&log[1..]);
    std::fs::create_dir_all(on_disk.parent().unwrap()).unwrap();
    std::fs::create_dir_all(w.path("containers")).unwrap();
    std::os::unix::fs::symlink(&log, w.path("containers/cart-1_shop_cart-abc.log")).unwrap();
    std::fs::write(
        on_disk,
        "2026-01-01T00:00:00Z stdout P level=wa\n2026-01-01T00:00:01Z stdout F rn x\n2026-01-01T00:00:02Z stderr F y\n",
    )
    .unwrap();
    let outgoing = w.poll().unwrap();
    let shown: Vec<String> = outgoing
        .batch
        .payload
        .streams
        .iter()
        .map(|s| {
            let e = &s.entries[0];
            format!("{} {} {} {:?}", s.labels, e.timestamp_ns, e.line, e.metadata)
        })
        .collect();
    let common = format!(
        r#"container="cart", container_id="abc", filename="{log}", namespace="shop", node="n1", pod="cart-1", service_name="cart""#
    );
    assert_eq!(
        shown,
        [
            format!(r#"{{{common}, stream="stdout"}} 1767225600000000000 level=warn x [("level", "warn")]"#),
            format!(r#"{{{common}, stream="stderr"}} 1767225602000000000 y []"#),
        ]
    );
}

#[derive(Debug, Clone)]
enum Action {
    /// Whole lines, and whether the last one is left open.
    Write(usize, bool),
    Rename,
    CopyTruncate,
    Poll,
    /// Poll and die: before the sink, after the sink, after the acknowledgement.
    Crash(usize),
    SinkFails,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (0..4usize, any::<bool>()).prop_map(|(n, open)| Action::Write(n, open)),
        1 => Just(Action::Rename),
        1 => Just(Action::CopyTruncate),
        3 => Just(Action::Poll),
        2 => (0..3usize).prop_map(Action::Crash),
        1 => Just(Action::SinkFails),
    ];
    prop::collection::vec(action, 1..40)
}

/// Writes numbered lines and rotates like logrotate: the file, and up to three old ones.
struct Writer {
    next: u32,
    open: bool,
}

impl Writer {
    fn write(&mut self, w: &World, lines: usize, leave_open: bool) {
        let mut text = String::new();
        for i in 0..lines {
            if !self.open {
                text.push_str(&format!("line {}", self.next));
                self.next += 1;
            }
            self.open = leave_open && i + 1 == lines;
            if !self.open {
                text.push('\n');
            }
        }
        w.append("x.log", &text);
    }
    /// A rotation ends the open line, as programs do that close their file.
    fn close_line(&mut self, w: &World) {
        if self.open {
            w.append("x.log", "\n");
            self.open = false;
        }
    }
    fn shift(&self, w: &World) {
        for n in (1..200).rev() {
            let from = w.path(&format!("x.log.{n}"));
            if from.exists() {
                std::fs::rename(from, w.path(&format!("x.log.{}", n + 1))).unwrap();
            }
        }
    }
}

fn run(glob: &str, actions: &[Action]) -> (Vec<String>, Vec<String>) {
    let mut w = World::new(glob, |_| {});
    let mut writer = Writer { next: 0, open: false };
    for action in actions {
        match action {
            Action::Write(n, open) => {
                // What is copied away before any of it was read is not known again.
                let empty = std::fs::metadata(w.path("x.log")).map_or(0, |m| m.len()) == 0;
                if glob.ends_with(".log") && empty {
                    writer.write(&w, 1, false);
                    w.drain();
                }
                writer.write(&w, *n, *open);
            }
            Action::Rename => {
                writer.close_line(&w);
                writer.shift(&w);
                if w.path("x.log").exists() {
                    std::fs::rename(w.path("x.log"), w.path("x.log.1")).unwrap();
                }
                // Without the pattern's help a file must have been seen before it is moved away.
                if glob.ends_with(".log") {
                    w.append("x.log", "");
                    w.step();
                }
            }
            Action::CopyTruncate => {
                writer.close_line(&w);
                if w.path("x.log").exists() {
                    writer.shift(&w);
                    std::fs::copy(w.path("x.log"), w.path("x.log.1")).unwrap();
                    std::fs::write(w.path("x.log"), "").unwrap();
                }
            }
            Action::Poll => {
                w.step();
            }
            Action::SinkFails => {
                w.poll();
            }
            Action::Crash(at) => {
                if let Some(outgoing) = w.poll()
                    && *at > 0
                {
                    let outcome = w.sink.take(&outgoing);
                    if *at > 1 {
                        w.tailer.as_mut().unwrap().acknowledged(&outcome);
                    }
                }
                w.crash();
            }
        }
    }
    writer.close_line(&w);
    w.drain();
    let expected = (0..writer.next).map(|n| format!("line {n}")).collect();
    let mut got = w.lines();
    got.sort_by_key(|line| {
        line.trim_start_matches("line ")
            .parse::<u32>()
            .unwrap_or(u32::MAX)
    });
    (got, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn each_line_comes_once_whatever_happens(actions in actions()) {
        let (got, expected) = run("/var/log/x.log*", &actions);
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn rotated_files_need_not_match_the_pattern(actions in actions()) {
        // Renamed away before it was ever seen, or copied away unread, a file cannot be known.
        let mut seen = Vec::new();
        for action in actions {
            match action {
                Action::CopyTruncate | Action::Rename => seen.extend([Action::Poll, action]),
                other => seen.push(other),
            }
        }
        let (got, expected) = run("/var/log/x.log", &seen);
        prop_assert_eq!(got, expected);
    }
}
