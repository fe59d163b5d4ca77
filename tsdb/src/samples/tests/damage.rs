//! Files of samples with flipped bits, on disks that fail, after crashes.

use super::*;
use model::ErrorKind;
use std::io;
use storage::faulty_fs::Operation;

#[test]
fn every_flipped_bit_is_an_error_or_the_right_answer() {
    let mut disk = Disk::new();
    let store = everything();
    let part = disk.write(&store).unwrap();
    let path = layout::part_file(Path::new(DIR), part.entry.id);
    for bit in (0..part.entry.size_bytes).map(|byte| byte * 8 + byte % 8) {
        disk.fs.flip_bit(&path, bit);
        disk.cache = Arc::new(Cache::new(1 << 20));
        let damaged = disk.open(part.entry.clone());
        let mut errors = Vec::new();
        let ids: Vec<_> = store.keys().copied().collect();
        let got = read(&damaged, &ids, (0, i64::MAX), &mut |e| {
            errors.push(e);
            Ok(())
        });
        for (id, series) in &got {
            let expected = &store[id];
            let is_part = series.floats.iter().all(|(t, v)| {
                // A start may be lost with the sample kept.
                expected
                    .floats
                    .get(t)
                    .is_some_and(|e| e.0 == v.0 && (e.1 == v.1 || v.1 == 0))
            });
            assert!(
                is_part && series.exemplars.is_subset(&expected.exemplars),
                "bit {bit}, series {id}"
            );
            assert!(
                series
                    .histograms
                    .iter()
                    .all(|(t, h)| expected.histograms.get(t) == Some(h))
            );
        }
        assert_eq!(errors.is_empty(), got == store, "bit {bit}: {errors:?}");
        for e in &errors {
            assert_eq!(e.kind(), ErrorKind::Corrupt);
            assert!(e.message().contains(path.to_str().unwrap()), "{e}");
            let names_section = [DATA, COLUMNS, DIRECTORY, INDEX]
                .iter()
                .any(|s| e.message().contains(&format!("{s:?}")));
            assert!(names_section || damaged.unreadable().is_some(), "{e}");
        }
        if damaged.unreadable().is_none() && !errors.is_empty() {
            // Such a file is not merged, and it is known why.
            let target = Path::new("/d/x.part");
            let mut builder = Builder::create(Arc::new(disk.fs.clone()), target, Effort::Merge).unwrap();
            assert!(
                merge(std::slice::from_ref(&damaged), &mut builder, &KeepAll).is_err()
                    && damaged.is_damaged()
            );
        }
        disk.fs.flip_bit(&path, bit);
    }
}

#[test]
fn damage_costs_only_what_lies_in_the_page() {
    let mut disk = Disk::new();
    let store: Store = (1..2000)
        .map(|id| (id, noisy(id, (0..200).map(|i| i * 1000 + id as i64 / 700))))
        .collect();
    let part = disk.write(&store).unwrap();
    let path = layout::part_file(Path::new(DIR), part.entry.id);
    // In the middle of the values: the container's header is 16 bytes.
    disk.fs.flip_bit(&path, (16 + 5 * (16 << 10) + 77) * 8);
    let ids: Vec<_> = store.keys().copied().collect();
    let mut errors = 0;
    let got = read(&part, &ids, (0, i64::MAX), &mut |e| {
        assert!(e.message().contains("\"data\""), "{e}");
        errors += 1;
        Ok(())
    });
    let lost = got.iter().filter(|(id, s)| **s != store[id]).count();
    let per_page = (16 << 10) * store.len() / part.entry.size_bytes as usize;
    assert!(
        lost > 0 && lost == errors && lost <= per_page * 2 + 2,
        "{lost} lost, {per_page} in a page"
    );
    assert!(part.unreadable().is_none());
}

#[test]
fn an_unreadable_file_is_kept_as_such() {
    let mut disk = Disk::new();
    let part = disk.write(&everything()).unwrap();
    let path = layout::part_file(Path::new(DIR), part.entry.id);
    disk.fs.flip_bit(&path, (part.entry.size_bytes - 3) * 8);
    let broken = disk.open(part.entry.clone());
    assert_eq!(broken.unreadable().unwrap().kind(), ErrorKind::Corrupt);
    assert!(broken.ids().next().unwrap().is_err() && broken.verify().is_err());
    let mut met = 0;
    let found = broken.find(&[3], &mut |_| {
        met += 1;
        Ok(())
    });
    assert_eq!((found.unwrap().len(), met), (0, 1));
    let mut gone = part.entry.clone();
    gone.id = 99;
    assert_eq!(disk.open(gone).unreadable().unwrap().kind(), ErrorKind::NotFound);
    let mut elsewhere = part.entry.clone();
    disk.fs.flip_bit(&path, (part.entry.size_bytes - 3) * 8);
    elsewhere.meta.partition += 1;
    let elsewhere = disk.open(elsewhere);
    assert!(
        elsewhere
            .unreadable()
            .unwrap()
            .message()
            .contains("another partition")
    );
    // A disk that does not answer is another matter.
    disk.fs.fail_nth(Operation::Read, 0, io::ErrorKind::TimedOut);
    disk.fs.fail_nth(Operation::Read, 1, io::ErrorKind::TimedOut);
    assert!(Part::open(&disk.fs, Path::new(DIR), part.entry.clone(), &disk.cache).is_err());
}

#[test]
fn a_failing_disk_leaves_no_file() {
    let store = everything();
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Name,
    ] {
        let mut failures = 0;
        for nth in 0..6 {
            let disk = Disk::new();
            let path = layout::part_file(Path::new(DIR), 1);
            disk.fs.fail_nth(operation, nth, io::ErrorKind::StorageFull);
            let write = || {
                let mut builder = Builder::create(Arc::new(disk.fs.clone()), &path, Effort::Flush)?;
                store
                    .iter()
                    .try_for_each(|(id, s)| builder.add(*id, &s.to_run()))?;
                builder.finish(1)
            };
            match write() {
                Ok(done) => assert!(done.is_some()),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
                    failures += 1;
                    let left = disk.fs.read_dir(path.parent().unwrap()).unwrap();
                    // A rename whose directory could not be synced stands, and no manifest will name it.
                    assert!(
                        left.is_empty() || operation == Operation::SyncDir,
                        "{operation:?} {nth}: {left:?}"
                    );
                }
            }
        }
        assert!(failures > 0, "{operation:?}");
    }
}

#[test]
fn a_crash_after_the_end_loses_nothing() {
    let mut disk = Disk::new();
    let store = everything();
    let part = disk.write(&store).unwrap();
    disk.fs.crash();
    assert_eq!(read_all(&disk.open(part.entry.clone())), store);
}
