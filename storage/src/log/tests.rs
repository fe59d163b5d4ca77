//! Tests of the log: framing, damage, failures, group commit, and a seeded simulation of crashes.

use super::*;
use crate::faulty_fs::Operation;
use crate::{FaultyFs, Manifest, Rng};
use model::ErrorKind;
use proptest::prelude::*;
use std::sync::mpsc::sync_channel;

const DIR: &str = "/d/wal/t/metrics";

fn options(segment_bytes: u32) -> LogOptions {
    LogOptions {
        segment_bytes,
        ..LogOptions::default()
    }
}

type Seen = Vec<(u8, u8, Vec<u8>)>;

fn open_with(fs: &FaultyFs, options: LogOptions, from: Position) -> Result<(Log, Replay, Seen)> {
    let mut seen = Vec::new();
    let (log, replay) = Log::open(
        Arc::new(fs.clone()),
        Path::new(DIR),
        options,
        LogMetrics::default(),
        from,
        &mut |_, r| {
            seen.push((r.kind, r.version, r.payload.to_vec()));
            Ok(())
        },
    )?;
    Ok((log, replay, seen))
}

fn open(fs: &FaultyFs) -> (Log, Replay, Vec<String>) {
    let (log, replay, seen) = open_with(fs, options(1 << 20), Position::default()).unwrap();
    let texts = seen
        .into_iter()
        .map(|(_, _, p)| String::from_utf8(p).unwrap())
        .collect();
    (log, replay, texts)
}

fn record(payload: &str) -> Record<'_> {
    Record {
        kind: 1,
        version: 1,
        payload: payload.as_bytes(),
    }
}

fn append(log: &mut Log, payload: &str) -> Result<Span> {
    log.append_sync(record(payload))
}

fn segment(number: u64) -> PathBuf {
    segment_path(Path::new(DIR), number)
}

#[test]
fn what_was_appended_is_replayed_in_order_from_any_position() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open_with(&fs, options(100), Position::default()).unwrap();
    let texts: Vec<String> = (0..20).map(|i| format!("record {i}")).collect();
    let spans: Vec<Span> = texts.iter().map(|t| append(&mut log, t).unwrap()).collect();
    assert!(log.position().segment > 5, "segments rotate by size");
    assert_eq!(log.position(), spans[19].end);
    drop(log);
    for (i, span) in spans.iter().enumerate() {
        let fs = fs.clone();
        let (_, replay, seen) = open_with(&fs, options(100), span.start).unwrap();
        let expected: Seen = texts[i..]
            .iter()
            .map(|t| (1, 1, t.clone().into_bytes()))
            .collect();
        assert_eq!((seen, replay.damages.len()), (expected, 0), "from {}", span.start);
    }
}

#[test]
fn old_segments_go_and_numbers_are_not_used_twice() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open_with(&fs, options(40), Position::default()).unwrap();
    (0..5).for_each(|i| {
        append(&mut log, &format!("{i}")).unwrap();
    });
    log.seal().unwrap();
    let end = log.position();
    assert_eq!(end.offset, 0);
    assert_eq!(log.remove_below(end).unwrap(), 5);
    assert_eq!(log.size_bytes(), 0);
    drop(log);
    fs.crash();
    let (mut log, replay, seen) = open_with(&fs, options(40), end).unwrap();
    assert!(seen.is_empty() && replay.damages.is_empty());
    assert_eq!(append(&mut log, "x").unwrap().start.segment, end.segment);
}

fn segments(fs: &FaultyFs) -> Vec<String> {
    let entries = fs.read_dir(Path::new(DIR)).unwrap();
    entries
        .into_iter()
        .map(|e| e.name.trim_start_matches('0').to_owned())
        .collect()
}

#[test]
fn a_log_whose_records_are_all_in_parts_is_empty() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    let first = append(&mut log, "first").unwrap();
    let second = append(&mut log, "second").unwrap();
    assert_eq!(log.remove_below(first.end).unwrap(), 0);
    assert_eq!(
        segments(&fs),
        ["1.wal"],
        "what comes after the position is needed"
    );
    assert_eq!(log.remove_below(second.end).unwrap(), 1);
    let (operations, size) = (fs.operations(), log.size_bytes());
    assert_eq!((segments(&fs), size), (vec!["2.wal".to_owned()], 32));
    for position in [second.end, log.position()] {
        assert_eq!(log.remove_below(position).unwrap(), 0);
    }
    assert_eq!(
        fs.operations(),
        operations,
        "nothing is done where nothing is new"
    );
    drop(log);
    // The position is the end of a segment that is gone, at this start and at the next ones.
    for _ in 0..2 {
        fs.crash();
        let (mut log, replay, seen) = open_with(&fs, options(1 << 20), second.end).unwrap();
        assert!(seen.is_empty() && replay.damages.is_empty(), "{replay:?}");
        assert_eq!(log.remove_below(second.end).unwrap(), 0);
        assert_eq!(segments(&fs), ["2.wal"]);
    }
    let (mut log, _, _) = open_with(&fs, options(1 << 20), second.end).unwrap();
    let third = append(&mut log, "third").unwrap();
    assert_eq!(third.start.segment, 3);
    log.seal().unwrap();
    drop(log);
    let (mut log, replay, seen) = open_with(&fs, options(1 << 20), second.end).unwrap();
    assert_eq!((seen.len(), replay.damages.len()), (1, 0));
    assert_eq!(log.remove_below(third.end).unwrap(), 2, "a seal is no record");
    assert_eq!((segments(&fs), log.size_bytes()), (vec!["4.wal".to_owned()], 32));
    drop(log);
    let (_, replay, _) = open_with(&fs, options(1 << 20), third.end).unwrap();
    assert!(replay.damages.is_empty(), "{replay:?}");
}

#[test]
fn a_segment_that_the_next_one_names_further_than_the_position_stays() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    let end = append(&mut log, "flushed").unwrap().end;
    log.seal().unwrap();
    append(&mut log, "more").unwrap();
    drop(log);
    for _ in 0..3 {
        let (_, replay, seen) = open_with(&fs, options(1 << 20), end).unwrap();
        assert_eq!((seen.len(), replay.damages.len()), (1, 0), "{replay:?}");
    }
}

#[test]
fn a_full_disk_is_freed_by_what_is_removed() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open_with(&fs, options(40), Position::default()).unwrap();
    let ends = ["a", "b", "c"].map(|text| append(&mut log, text).unwrap().end);
    fs.set_capacity(Some(fs.used_bytes()));
    assert_eq!(log.remove_below(ends[2]).unwrap(), 3);
    assert_eq!(fs.used_bytes(), 32);
    // And where that makes no room, the next time does.
    let end = append(&mut log, "d").unwrap().end;
    fs.set_capacity(Some(0));
    assert_eq!(log.remove_below(end).unwrap_err().kind(), ErrorKind::Unavailable);
    fs.set_capacity(None);
    assert_eq!(log.remove_below(end).unwrap(), 1);
    assert_eq!((fs.used_bytes(), log.size_bytes()), (32, 32));
}

#[test]
fn a_start_tidies_up_after_a_rotation_that_was_cut_short() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    let end = append(&mut log, "x").unwrap().end;
    fs.fail_nth(Operation::Name, 2, std::io::ErrorKind::Other);
    log.remove_below(end).unwrap_err();
    assert_eq!(segments(&fs), ["1.wal", "2.wal"]);
    drop(log);
    fs.crash();
    let (log, replay, seen) = open_with(&fs, options(1 << 20), end).unwrap();
    assert!(seen.is_empty() && replay.damages.is_empty());
    assert_eq!((segments(&fs), log.size_bytes()), (vec!["2.wal".to_owned()], 32));
}

/// The power fails, or an operation does, at each step of a rotation.
#[test]
fn a_rotation_loses_nothing_wherever_it_stops() {
    use std::io::ErrorKind::{Other, StorageFull};
    let steps = 12;
    let faults = (0..steps).flat_map(|step| {
        let operations = [
            Operation::Name,
            Operation::Write,
            Operation::Sync,
            Operation::SyncDir,
        ];
        let failing = operations.map(|o| [(step, Some((o, Other))), (step, Some((o, StorageFull)))]);
        failing.into_iter().flatten().chain([(step, None)])
    });
    for (step, fault) in faults.collect::<Vec<_>>() {
        for seed in 0..20 {
            let fs = FaultyFs::new(seed);
            let (mut log, _, _) = open(&fs);
            let end = append(&mut log, "flushed").unwrap().end;
            match fault {
                Some((operation, kind)) => fs.fail_nth(operation, step + 1, kind),
                None => fs.fail_power_after(step),
            }
            let rotated = log.remove_below(end);
            let mut expected = Vec::new();
            let appended = append(&mut log, "acknowledged");
            if appended.is_ok() {
                expected.push("acknowledged");
            }
            drop(log);
            fs.crash();
            let context = format!("step {step}, {fault:?}, seed {seed}: {rotated:?}, {appended:?}");
            let (mut log, replay, seen) = open_with(&fs, options(1 << 20), end).unwrap();
            let seen: Vec<_> = seen
                .iter()
                .map(|(_, _, p)| std::str::from_utf8(p).unwrap())
                .collect();
            assert!(replay.damages.is_empty(), "{context}: {replay:?}");
            // Of a write that failed for lack of power the disk may hold all.
            let is_kept = appended.is_err() && seen == ["acknowledged"];
            assert!(seen == expected || is_kept, "{context}: {seen:?}");
            let place = append(&mut log, "later").unwrap().start;
            assert!(place > appended.map_or(end, |span| span.start), "{context}");
        }
    }
}

#[test]
fn an_unfinished_tail_is_cut_and_the_log_goes_on() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    append(&mut log, "kept").unwrap();
    drop(log);
    for garbage in [
        vec![0; 700],
        vec![255; 3],
        fs.snapshot()[&segment(1)][32..50].to_vec(),
    ] {
        let mut file = fs.open_append(&segment(1)).unwrap();
        file.append(&garbage).unwrap();
        let (_, replay, seen) = open(&fs);
        assert_eq!(seen, ["kept"]);
        assert_eq!(
            (replay.cut_bytes, replay.damages.len()),
            (garbage.len() as u64, 0)
        );
    }
    let (mut log, _, _) = open(&fs);
    append(&mut log, "more").unwrap();
    assert_eq!(open(&fs).2, ["kept", "more"]);
}

/// Flips every bit of a log of two segments, the second sealed or not. Whatever the bit: the records that can be
/// read are replayed, and acknowledged ones that cannot are told with file and offset.
fn check_flips(is_sealed: bool) {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open_with(&fs, options(120), Position::default()).unwrap();
    let texts: Vec<String> = (0..6).map(|i| format!("record-{i}")).collect();
    texts.iter().for_each(|t| {
        append(&mut log, t).unwrap();
    });
    if is_sealed {
        log.seal().unwrap();
    }
    drop(log);
    for (path, bytes) in fs.snapshot() {
        for bit in 0..bytes.len() as u64 * 8 {
            let copy = FaultyFs::new(1);
            copy.create_dir_all(Path::new(DIR)).unwrap();
            fs.snapshot()
                .iter()
                .for_each(|(p, b)| copy.replace(p, b).unwrap());
            copy.flip_bit(&path, bit);
            let (_, replay, seen) = open(&copy);
            let is_subsequence = seen.iter().try_fold(0, |from, s| {
                texts[from..].iter().position(|t| t == s).map(|at| from + at + 1)
            });
            assert!(is_subsequence.is_some(), "{seen:?}");
            let in_last_group = path == segment(2) && bit / 8 >= bytes.len() as u64 - 28;
            if is_sealed || !in_last_group {
                let in_seal = is_sealed && path == segment(2) && bit / 8 >= bytes.len() as u64 - 20;
                assert!(
                    !replay.damages.is_empty() || in_seal,
                    "{} bit {bit}: {seen:?}",
                    path.display()
                );
                assert!(
                    seen.len() + 1 >= texts.len(),
                    "at most one record is lost: {seen:?}"
                );
            }
            for damage in &replay.damages {
                assert_eq!(damage.error.kind(), ErrorKind::Corrupt);
                assert!(
                    damage.error.message().contains(&path.display().to_string()),
                    "{}",
                    damage.error
                );
                assert!(damage.error.message().contains("at offset"), "{}", damage.error);
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_told_and_costs_one_record() {
    check_flips(false);
    check_flips(true);
}

#[test]
fn a_damaged_segment_is_kept_aside() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open_with(&fs, options(40), Position::default()).unwrap();
    ["a", "b", "c"].iter().for_each(|t| {
        append(&mut log, t).unwrap();
    });
    drop(log);
    fs.flip_bit(&segment(1), 8 * 52);
    let (mut log, replay, seen) = open(&fs);
    assert_eq!(
        (replay.damages.len(), seen),
        (1, vec!["b".to_owned(), "c".to_owned()])
    );
    log.remove_below(log.position()).unwrap();
    let names: Vec<_> = fs
        .read_dir(Path::new(DIR))
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["00000000000000000001.wal.damaged"]);
}

#[test]
fn a_missing_segment_is_told() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open_with(&fs, options(40), Position::default()).unwrap();
    let spans: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|t| append(&mut log, t).unwrap())
        .collect();
    drop(log);
    let check = |gone: u64, from: Position, damages: usize, says: &str| {
        let copy = FaultyFs::new(1);
        copy.create_dir_all(Path::new(DIR)).unwrap();
        for (path, bytes) in fs.snapshot() {
            if path != segment(gone) {
                copy.replace(&path, &bytes).unwrap();
            }
        }
        let (_, replay, _) = open_with(&copy, options(40), from).unwrap();
        let told: Vec<_> = replay.damages.iter().map(|d| d.error.to_string()).collect();
        assert_eq!(told.len(), damages, "{told:?}");
        assert!(told.iter().all(|t| t.contains(says)), "{told:?}");
    };
    check(2, Position::default(), 1, "0002.wal is missing");
    check(1, Position::default(), 1, "0001.wal is missing");
    check(1, spans[0].end, 0, "");
    check(3, spans[2].end, 1, "0003.wal is missing");
}

#[test]
fn a_newer_or_misplaced_segment_is_left_alone() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    append(&mut log, "x").unwrap();
    drop(log);
    let bytes = fs.snapshot()[&segment(1)].clone();
    let check = |number: u64, version: u8, says: &str| {
        let copy = FaultyFs::new(1);
        copy.create_dir_all(Path::new(DIR)).unwrap();
        let mut bytes = bytes.clone();
        bytes[7] = version;
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        copy.replace(&segment(number), &bytes).unwrap();
        let before = copy.snapshot();
        let e = open_with(&copy, options(1 << 20), Position::default())
            .err()
            .unwrap();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.message().contains(says), "{e}");
        assert_eq!(copy.snapshot(), before);
    };
    check(
        1,
        2,
        "newer version: log format 2, this one knows 1; nothing was touched",
    );
    check(7, 1, "says that it is segment 1");
}

#[test]
fn a_kept_segment_of_format_1_is_readable() {
    let fs = FaultyFs::new(1);
    fs.create_dir_all(Path::new(DIR)).unwrap();
    fs.replace(&segment(1), include_bytes!("../../testdata/log-v1.wal"))
        .unwrap();
    let (_, replay, seen) = open_with(&fs, options(1 << 20), Position::default()).unwrap();
    let expected = [(1, 1, "first"), (1, 1, "second"), (2, 7, "third")];
    assert_eq!(seen, expected.map(|(k, v, p)| (k, v, p.as_bytes().to_vec())));
    assert_eq!((replay.damages.len(), replay.cut_bytes, replay.bytes), (0, 0, 16));
}

#[test]
fn bytes_that_look_like_a_record_are_none_elsewhere() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    append(&mut log, "inner").unwrap();
    drop(log);
    // A payload that holds a whole record, and damage right before it.
    let inner = fs.snapshot()[&segment(1)][32..].to_vec();
    let (mut log, _, _) = open(&fs);
    let trap = Record {
        kind: 1,
        version: 1,
        payload: &inner,
    };
    let span = log.append_sync(trap).unwrap();
    append(&mut log, "after").unwrap();
    drop(log);
    fs.flip_bit(&segment(2), u64::from(span.start.offset) * 8);
    let (_, replay, seen) = open(&fs);
    assert_eq!(seen, ["inner", "after"]);
    assert_eq!(replay.damages.len(), 1);
}

#[test]
fn a_full_disk_is_unavailable_and_recovers_by_itself() {
    let fs = FaultyFs::new(1);
    let (mut log, _, _) = open(&fs);
    append(&mut log, "before").unwrap();
    fs.set_capacity(Some(fs.used_bytes() + 30));
    for _ in 0..3 {
        let e = append(&mut log, "this does not fit any more").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        assert!(
            e.retry_after().is_some() && e.message().contains("the disk is full"),
            "{e}"
        );
    }
    fs.set_capacity(None);
    append(&mut log, "after").unwrap();
    assert_eq!(
        log.position().segment,
        1,
        "a full disk does not need a new segment"
    );
    drop(log);
    fs.crash();
    let (_, replay, seen) = open(&fs);
    assert_eq!(seen, ["before", "after"]);
    assert_eq!((replay.damages.len(), replay.cut_bytes), (0, 0));
}

#[test]
fn after_a_failed_fsync_the_log_goes_on_in_a_new_segment() {
    use std::io::ErrorKind::{Other, StorageFull};
    for (first, kind) in [
        (true, Other),
        (false, Other),
        (true, StorageFull),
        (false, StorageFull),
    ] {
        let fs = FaultyFs::new(7);
        let (mut log, _, _) = open(&fs);
        let mut expected = vec!["after"];
        if !first {
            append(&mut log, "before").unwrap();
            expected.insert(0, "before");
        }
        fs.fail_nth(Operation::Sync, 1, kind);
        let e = append(&mut log, "lost").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        append(&mut log, "after").unwrap();
        assert_eq!(log.position().segment, 2);
        drop(log);
        fs.crash();
        let (_, replay, seen) = open(&fs);
        assert_eq!(seen, expected);
        assert!(replay.damages.is_empty());
    }
}

#[test]
fn what_a_start_does_not_show_never_comes_to_light() {
    for seed in 0..100 {
        let fs = FaultyFs::new(seed);
        let (mut log, _, _) = open(&fs);
        // The name is on the disk, then it fails: the log removes the segment, and the disk may not have heard.
        fs.fail_nth(Operation::SyncDir, 1, std::io::ErrorKind::Other);
        append(&mut log, "refused").unwrap_err();
        drop(log);
        fs.kill();
        assert!(open(&fs).2.is_empty());
        fs.crash();
        assert!(open(&fs).2.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_record_over_the_limit_is_refused_and_the_rest_goes_on() {
    let fs = FaultyFs::new(1);
    let small = LogOptions {
        max_record_bytes: 10,
        ..LogOptions::default()
    };
    let (log, _, _) = open_with(&fs, small, Position::default()).unwrap();
    let commit = GroupCommit::start(log, "t", CommitOptions::inline(), |_, v: u32| v).unwrap();
    let e = commit.submit(1, 1, vec![0; 11], 1).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    assert_eq!(commit.submit(1, 1, vec![0; 10], 2).wait().unwrap(), 2);
}

/// A committer whose `apply` stops at each record until it is let go.
fn stepped(
    fs: &FaultyFs,
    options: CommitOptions,
) -> (GroupCommit<u32, u32>, std::sync::mpsc::SyncSender<()>) {
    let (log, _, _) = open(fs);
    let (go, gate) = sync_channel(100);
    let apply = move |_: Span, v: u32| {
        gate.recv().unwrap();
        v * 10
    };
    (GroupCommit::start(log, "t", options, apply).unwrap(), go)
}

#[test]
fn writes_that_queue_up_share_an_fsync_and_keep_their_order() {
    let fs = FaultyFs::new(1);
    let (commit, go) = stepped(&fs, CommitOptions::default());
    let metrics = commit.metrics().clone();
    let writes: Vec<_> = (0..50)
        .map(|i| commit.submit(1, 1, format!("{i}").into_bytes(), i))
        .collect();
    (0..50).for_each(|_| go.send(()).unwrap());
    for (i, write) in writes.into_iter().enumerate() {
        assert_eq!(write.wait().unwrap(), i as u32 * 10);
    }
    assert!(metrics.fsyncs() < 50, "{}", metrics.fsyncs());
    commit.close().unwrap();
    let refused = commit.submit(1, 1, vec![], 1).wait().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    drop(commit);
    let expected: Vec<_> = (0..50).map(|i| i.to_string()).collect();
    assert_eq!(open(&fs).2, expected);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let check = |options: CommitOptions, payload: usize| {
        let fs = FaultyFs::new(1);
        let (commit, go) = stepped(&fs, options);
        let writes: Vec<_> = (0..20)
            .map(|i| commit.submit(1, 1, vec![0; payload], i))
            .collect();
        // Two may be with the committer or in the queue each; the others find it full.
        (0..20).for_each(|_| go.send(()).unwrap());
        let answers: Vec<_> = writes.into_iter().map(Commit::wait).collect();
        let refused: Vec<_> = answers.iter().filter_map(|a| a.as_ref().err()).collect();
        assert!(refused.len() >= 10, "{}", refused.len());
        assert!(
            refused
                .iter()
                .all(|e| e.kind() == ErrorKind::Unavailable && e.retry_after().is_some())
        );
        assert_eq!(commit.metrics().queue_full.get(), refused.len() as u64);
        assert!(answers.iter().any(std::result::Result::is_ok));
    };
    let few = CommitOptions {
        queue_writes: 2,
        group_bytes: 1,
        ..CommitOptions::default()
    };
    check(few, 1);
    let small = CommitOptions {
        queue_bytes: 2000,
        group_bytes: 1,
        ..CommitOptions::default()
    };
    check(small, 1000);
}

#[test]
fn memory_durability_acknowledges_before_the_fsync() {
    let fs = FaultyFs::new(1);
    let memory = LogOptions {
        durability: Durability::Memory,
        ..LogOptions::default()
    };
    let (mut log, _, _) = open_with(&fs, memory, Position::default()).unwrap();
    fs.fail_nth(Operation::Sync, 1, std::io::ErrorKind::Other);
    append(&mut log, "acknowledged").unwrap();
    log.sync().unwrap_err();
    append(&mut log, "again").unwrap();
    log.sync().unwrap();
    drop(log);
    fs.kill();
    assert_eq!(open(&fs).2, ["acknowledged", "again"]);
}

/// How many seeds a simulation runs: `BINNACLE_SEEDS`, or the default.
fn seeds(default: u64) -> u64 {
    std::env::var("BINNACLE_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(default)
}

/// A store of the simplest kind: its state is the list of what was applied; a flush puts the list into the
/// manifest.
struct Sim {
    fs: FaultyFs,
    rng: Rng,
    next_id: u64,
    acknowledged: Vec<u64>,
    attempted: Vec<u64>,
}

impl Sim {
    fn open(&mut self) -> Result<(Log, Manifest<(), Vec<u64>>)> {
        let mut manifest = Manifest::<(), Vec<u64>>::load(&self.fs, Path::new("/d/metrics/t"))?;
        let mut state = manifest.state.clone();
        let (log, replay) = Log::open(
            Arc::new(self.fs.clone()),
            Path::new(DIR),
            options(200),
            LogMetrics::default(),
            manifest.log_position,
            &mut |_, r| {
                state.push(u64::from_le_bytes(r.payload[..8].try_into().unwrap()));
                Ok(())
            },
        )?;
        assert!(replay.damages.is_empty(), "{:?}", replay.damages);
        manifest.state = state;
        Ok((log, manifest))
    }
    fn check(&self, state: &[u64]) {
        assert!(
            state.is_sorted_by(|a, b| a < b),
            "in order and nothing twice: {state:?}"
        );
        for id in &self.acknowledged {
            assert!(
                state.binary_search(id).is_ok(),
                "{id} was acknowledged and is gone: {state:?}"
            );
        }
        assert!(state.iter().all(|id| self.attempted.binary_search(id).is_ok()));
    }
    fn append_some(&mut self, log: &mut Log, state: &mut Vec<u64>) {
        let ids: Vec<u64> = (0..=self.rng.below(3)).map(|i| self.next_id + i).collect();
        self.next_id += ids.len() as u64;
        self.attempted.extend(&ids);
        let payloads: Vec<Vec<u8>> = ids
            .iter()
            .map(|id| {
                let mut payload = id.to_le_bytes().to_vec();
                payload.resize(8 + self.rng.below(60) as usize, 7);
                payload
            })
            .collect();
        let records: Vec<_> = payloads
            .iter()
            .map(|payload| Record {
                kind: 1,
                version: 1,
                payload,
            })
            .collect();
        if log.append(&records).is_ok() {
            self.acknowledged.extend(&ids);
            state.extend(&ids);
        }
    }
    fn flush(&mut self, log: &mut Log, manifest: &mut Manifest<(), Vec<u64>>) {
        manifest.log_position = log.position();
        if manifest.store(&self.fs, Path::new("/d/metrics/t")).is_ok() {
            // Failing to remove is harmless; the next flush tries again.
            let _ = log.remove_below(manifest.log_position);
        }
    }
    fn life(&mut self) {
        let (mut log, mut manifest) = loop {
            match self.open() {
                Ok(opened) => break opened,
                Err(e) => assert_ne!(e.kind(), ErrorKind::Corrupt, "{e}"),
            }
            self.fs.heal();
            if self.fs.is_powerless() {
                self.fs.crash();
            }
        };
        self.check(&manifest.state);
        // What a start does not show never comes to light again.
        self.attempted.clone_from(&manifest.state);
        if self.rng.one_in(2) {
            self.fs.fail_power_after(self.rng.below(60));
        }
        for _ in 0..self.rng.below(30) {
            match self.rng.below(20) {
                0 => self
                    .fs
                    .set_capacity(Some(self.fs.used_bytes() + self.rng.below(100))),
                1 => self.fs.set_error_rate(Operation::Sync, 0.3),
                2 => self.fs.set_error_rate(Operation::Write, 0.3),
                3 => self.fs.set_error_rate(Operation::SyncDir, 0.3),
                4 | 5 => self.fs.heal(),
                6 | 7 => self.flush(&mut log, &mut manifest),
                8 if self.rng.one_in(3) => drop(log.seal()),
                _ => self.append_some(&mut log, &mut manifest.state),
            }
        }
        drop(log);
        if self.rng.one_in(3) && !self.fs.is_powerless() {
            self.fs.kill();
        } else {
            self.fs.crash();
        }
        self.fs.heal();
    }
}

#[test]
fn simulated_lives_lose_nothing_acknowledged_and_double_nothing() {
    let mut acknowledged = 0;
    for seed in 0..seeds(400) {
        let outcome = std::panic::catch_unwind(|| {
            let mut sim = Sim {
                fs: FaultyFs::new(seed),
                rng: Rng::new(!seed),
                next_id: 1,
                acknowledged: Vec::new(),
                attempted: Vec::new(),
            };
            (0..8).for_each(|_| sim.life());
            sim.acknowledged.len()
        });
        match outcome {
            Ok(n) => acknowledged += n,
            Err(cause) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(cause);
            }
        }
    }
    assert!(acknowledged > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_log_is_a_list(groups in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 1..4), 0..12), segment_bytes in 1u32..400) {
        let fs = FaultyFs::new(1);
        let mut model: Vec<Vec<u8>> = Vec::new();
        for group in groups {
            let (mut log, replay, seen) = open_with(&fs, options(segment_bytes), Position::default()).unwrap();
            prop_assert_eq!(replay.damages.len(), 0);
            prop_assert_eq!(seen.into_iter().map(|(_, _, p)| p).collect::<Vec<_>>(), model.clone());
            let records: Vec<_> = group.iter().map(|payload| Record { kind: 3, version: 0, payload }).collect();
            log.append(&records).unwrap();
            model.extend(group);
        }
    }
}
