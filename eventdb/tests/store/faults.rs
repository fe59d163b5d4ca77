//! A full disk, failing disks, and bytes that change by themselves.

use crate::support::*;
use model::*;
use std::io::ErrorKind as Io;
use std::sync::Arc;
use storage::faulty_fs::Operation;
use storage::{FaultyFs, StoreName};

fn setup() -> (Arc<FaultyFs>, Arc<ManualClock>) {
    (Arc::new(FaultyFs::new(1)), Arc::new(ManualClock::default()))
}

fn write(store: &eventdb::LogStore, from: i64, to: i64) -> Result<WriteOutcome> {
    let entries = (from..to)
        .map(|t| entry(t, &format!("line number {t} of the test")))
        .collect();
    now(Write::write(
        store,
        Batch::new(Tenant::default(), logs(stream(1), entries)),
    ))
}

fn count(store: &eventdb::LogStore) -> usize {
    log_rows(store, &request(Predicate::all(), TimeRange::ALL))
        .unwrap()
        .len()
}

#[test]
fn a_full_disk_refuses_writes_reads_on_and_recovers() {
    let (fs, clock) = setup();
    let store = open_logs(&fs, small(), &clock).unwrap();
    write(&store, 0, 100).unwrap();
    store.flush().unwrap();
    write(&store, 100, 200).unwrap();
    fs.set_capacity(Some(fs.used_bytes() + 100));
    let e = write(&store, 200, 300).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.retry_after().is_some(), "{e}");
    let used = fs.used_bytes();
    for _ in 0..3 {
        assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(count(&store), 200);
    }
    assert_eq!(fs.used_bytes(), used, "failed flushes leave nothing behind");
    fs.set_capacity(None);
    write(&store, 200, 300).unwrap();
    store.flush().unwrap();
    store.compact().unwrap();
    assert_eq!(count(&store), 300);
    drop(store);
    assert_eq!(count(&open_logs(&fs, small(), &clock).unwrap()), 300);
}

#[test]
fn a_disk_that_fills_up_at_any_byte_loses_nothing() {
    for room in (0..6000).step_by(217) {
        let (fs, clock) = setup();
        let store = open_logs(&fs, small(), &clock).unwrap();
        write(&store, 0, 100).unwrap();
        store.flush().unwrap();
        write(&store, 50, 150).unwrap();
        fs.set_capacity(Some(fs.used_bytes() + room));
        let _ = store.flush();
        let _ = store.compact();
        assert_eq!(count(&store), 150, "room {room}");
        fs.set_capacity(None);
        store.compact().unwrap();
        assert_eq!(count(&store), 150, "room {room}");
        drop(store);
        fs.crash();
        assert_eq!(
            count(&open_logs(&fs, small(), &clock).unwrap()),
            150,
            "room {room}"
        );
    }
}

#[test]
fn any_failing_operation_of_a_flush_or_merge_loses_nothing() {
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Name,
    ] {
        for nth in 1..25 {
            let (fs, clock) = setup();
            let store = open_logs(&fs, small(), &clock).unwrap();
            write(&store, 0, 100).unwrap();
            store.flush().unwrap();
            write(&store, 50, 150).unwrap();
            fs.fail_nth(operation, nth, Io::Other);
            let _ = store.flush();
            let _ = store.compact();
            assert_eq!(count(&store), 150, "{operation:?} {nth}");
            fs.heal();
            store.compact().unwrap();
            assert_eq!(count(&store), 150, "{operation:?} {nth}");
            write(&store, 150, 160).unwrap();
            drop(store);
            fs.crash();
            assert_eq!(
                count(&open_logs(&fs, small(), &clock).unwrap()),
                160,
                "{operation:?} {nth}"
            );
        }
    }
}

#[test]
fn too_much_in_memory_refuses_writes_until_a_flush() {
    let (fs, clock) = setup();
    let options = eventdb::Options {
        max_head_bytes: 10_000,
        ..small()
    };
    let store = open_logs(&fs, options, &clock).unwrap();
    let mut written = 0;
    let e = loop {
        match write(&store, written, written + 50) {
            Ok(_) => written += 50,
            Err(e) => break e,
        }
        assert!(written < 10_000);
    };
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    store.flush().unwrap();
    write(&store, written, written + 50).unwrap();
}

#[test]
fn a_flipped_bit_in_logs_is_named_and_costs_its_part_at_most() {
    let (fs, clock) = setup();
    let store = open_logs(&fs, small(), &clock).unwrap();
    for part in 0..3 {
        write(&store, part * 10_000, part * 10_000 + 4000).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let files = part_files(&fs, StoreName::Logs);
    let bits = fs.open(&files[1]).unwrap().len() * 8;
    let (mut partial, mut whole) = (0, 0);
    for bit in (0..bits).step_by(bits as usize / 70) {
        fs.flip_bit(&files[1], bit);
        let store = open_logs(&fs, small(), &clock).unwrap();
        let needle = Predicate::Line(predicate::LineFilter::Contains(" 11500 of the ".into()));
        let found = log_rows(&store, &request(needle, TimeRange::ALL)).unwrap().len();
        let seen = count(&store);
        assert!(seen >= 8000 && found <= 1, "bit {bit}: {seen} entries");
        let damaged = store.stats().damaged;
        if seen == 12_000 {
            assert_eq!(
                found, 1,
                "bit {bit}: damage to an index must not hide anything: {damaged:?}"
            );
        } else {
            assert!(
                damaged
                    .iter()
                    .any(|d| d.contains(&files[1].display().to_string())),
                "bit {bit}: {damaged:?}"
            );
            if seen > 8000 {
                partial += 1;
            } else {
                whole += 1;
            }
            // A merge leaves the damaged part alone and loses nothing more.
            store.compact().unwrap();
            assert_eq!(count(&store), seen, "bit {bit}");
            assert!(fs.exists(&files[1]).unwrap(), "bit {bit}: a damaged part is kept");
        }
        drop(store);
        fs.flip_bit(&files[1], bit);
    }
    assert!(
        partial > 0 && whole > 0,
        "{partial} cost blocks, {whole} the part"
    );
}

#[test]
fn a_flipped_bit_in_traces_costs_its_part_at_most() {
    let (fs, clock) = setup();
    let store = open_traces(&fs, small(), &clock).unwrap();
    for part in 0..3_u64 {
        let span = |n: u64| Span {
            trace_id: TraceId([n as u8 + 1; 16]),
            span_id: SpanId((part * 1000 + n + 1).to_be_bytes()),
            start_ns: (part * 1000 + n) as i64,
            name: format!("op{}", n % 7),
            ..Span::default()
        };
        let group = ResourceSpans {
            spans: (0..200).map(span).collect(),
            ..ResourceSpans::default()
        };
        now(Write::write(
            &store,
            Batch::new(Tenant::default(), Spans { groups: vec![group] }),
        ))
        .unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let file = &part_files(&fs, StoreName::Traces)[1];
    let bits = fs.open(file).unwrap().len() * 8;
    for bit in (0..bits).step_by(bits as usize / 150) {
        fs.flip_bit(file, bit);
        let store = open_traces(&fs, small(), &clock).unwrap();
        let count = |p: Predicate| span_rows(&store, &request(p, TimeRange::ALL)).unwrap().len();
        let (all, named) = (
            count(Predicate::all()),
            count(Predicate::Field(Matcher::equal("name", "op3"))),
        );
        assert!(all >= 400, "bit {bit}: {all}");
        let one = count(Predicate::Trace(TraceId([8; 16])));
        assert!((2..=3).contains(&one), "bit {bit}: {one}");
        if all < 600 {
            assert!(
                store
                    .stats()
                    .damaged
                    .iter()
                    .any(|d| d.contains(&file.display().to_string())),
                "bit {bit}"
            );
        } else {
            assert_eq!(named, 87, "bit {bit}: damage to an index must not hide anything");
        }
        drop(store);
        fs.flip_bit(file, bit);
    }
}

#[test]
fn a_closed_store_refuses_writes_and_reads_on() {
    let (fs, clock) = setup();
    let store = open_logs(&fs, small(), &clock).unwrap();
    write(&store, 0, 10).unwrap();
    store.close().unwrap();
    assert_eq!(write(&store, 10, 20).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(count(&store), 10);
    assert_eq!((store.stats().head_rows, store.stats().part_rows), (0, 10));
}

#[test]
fn what_came_in_after_a_failed_flush_survives_the_next_failure() {
    for operation in [Operation::Write, Operation::Sync, Operation::Name] {
        for nth in 1..20 {
            let (fs, clock) = setup();
            let store = open_logs(&fs, small(), &clock).unwrap();
            write(&store, 0, 50).unwrap();
            fs.fail_nth(Operation::Name, 1, Io::Other);
            store.flush().unwrap_err();
            write(&store, 50, 60).unwrap();
            // The next flush writes both heads one after the other and is struck somewhere.
            fs.fail_nth(operation, nth, Io::Other);
            let _ = store.flush();
            drop(store);
            fs.crash();
            assert_eq!(
                count(&open_logs(&fs, small(), &clock).unwrap()),
                60,
                "{operation:?} {nth}"
            );
        }
    }
}
