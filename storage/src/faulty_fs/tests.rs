//! Tests of the faulty file system.

use super::*;

fn put(fs: &FaultyFs, path: &str, bytes: &[u8]) -> Box<dyn AppendFile> {
    let mut file = fs.create(Path::new(path)).unwrap();
    file.append(bytes).unwrap();
    file
}

#[test]
fn only_what_was_synced_is_sure_to_survive() {
    let (mut names_lost, mut tails_lost, mut torn, mut whole) = (0, 0, 0, 0);
    for seed in 0..200 {
        let fs = FaultyFs::new(seed);
        put(&fs, "/named", b"x");
        fs.sync_dir(Path::new("/")).unwrap();
        let mut file = put(&fs, "/file", b"synced");
        file.sync().unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        file.append(b" and not synced").unwrap();
        put(&fs, "/unnamed", b"").sync().unwrap();
        fs.crash();
        assert!(file.append(b"!").is_err(), "handles die with the process");
        let seen = fs.snapshot();
        let content = &seen[Path::new("/file")];
        assert!(content.starts_with(b"synced"));
        assert!(seen.contains_key(Path::new("/named")));
        names_lost += u32::from(!seen.contains_key(Path::new("/unnamed")));
        tails_lost += u32::from(content.len() == 6);
        torn += u32::from(content.len() > 6 && content.len() < 21);
        whole += u32::from(content == b"synced and not synced");
    }
    for (what, n) in [
        ("names", names_lost),
        ("tails", tails_lost),
        ("torn", torn),
        ("whole", whole),
    ] {
        assert!(n > 20, "{what}: {n}");
    }
}

#[test]
fn a_failed_fsync_may_lose_pages_although_a_later_one_succeeds() {
    let lost = (0..100).filter(|seed| {
        let fs = FaultyFs::new(*seed);
        let mut file = put(&fs, "/f", b"abc");
        fs.sync_dir(Path::new("/")).unwrap();
        fs.fail_nth(Operation::Sync, 1, ErrorKind::Other);
        file.sync().unwrap_err();
        file.sync().unwrap();
        fs.crash();
        fs.snapshot()[Path::new("/f")] == [0, 0, 0]
    });
    assert!((20..80).contains(&lost.count()));
}

#[test]
fn a_full_disk_is_full_until_there_is_room() {
    let fs = FaultyFs::new(1);
    fs.set_capacity(Some(5));
    let mut a = put(&fs, "/a", b"123");
    let e = a.append(b"456").unwrap_err();
    assert_eq!((e.kind(), a.len()), (ErrorKind::StorageFull, 5));
    assert_eq!(
        fs.create(Path::new("/b")).err().unwrap().kind(),
        ErrorKind::StorageFull
    );
    a.truncate(1).unwrap();
    a.append(b"45").unwrap();
    fs.remove_file(Path::new("/a")).unwrap();
    assert_eq!(
        (fs.used_bytes(), fs.space(Path::new("/")).unwrap().free_bytes),
        (0, 5)
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let fs = FaultyFs::new(seed);
        fs.set_error_rate(Operation::Write, 0.2);
        for i in 0..50 {
            let mut file = fs.create(Path::new(&format!("/{i}"))).unwrap();
            let _ = file.append(&[7; 100]);
        }
        fs.crash();
        fs.snapshot()
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

#[test]
fn after_a_power_failure_nothing_works_until_the_start() {
    let fs = FaultyFs::new(3);
    let mut file = put(&fs, "/f", b"");
    fs.fail_power_after(1);
    file.append(b"a").unwrap();
    file.append(b"b").unwrap_err();
    assert!(fs.is_powerless() && fs.open(Path::new("/f")).is_err());
    fs.crash();
    assert!(!fs.is_powerless());
    fs.create(Path::new("/g")).unwrap();
}

#[test]
fn a_link_is_a_second_name_of_the_same_bytes() {
    let (a, b, root) = (Path::new("/a"), Path::new("/b"), Path::new("/"));
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..50 {
        let fs = FaultyFs::new(seed);
        put(&fs, "/a", b"bytes").sync().unwrap();
        fs.sync_dir(root).unwrap();
        fs.link(a, b).unwrap();
        assert_eq!(fs.link(a, b).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs.used_bytes(), 5);
        if seed % 2 == 0 {
            fs.sync_dir(root).unwrap();
        }
        fs.crash();
        match fs.exists(b).unwrap() {
            true => kept += 1,
            false => {
                lost += 1;
                assert!(seed % 2 == 1);
                fs.link(a, b).unwrap();
            }
        }
        fs.remove_file(a).unwrap();
        assert_eq!((fs.read(b, 9).unwrap(), fs.used_bytes()), (b"bytes".to_vec(), 5));
        fs.remove_file(b).unwrap();
        assert_eq!(fs.used_bytes(), 0);
    }
    assert!(kept > 25 && lost > 5, "{kept}, {lost}");
}

#[test]
fn a_folder_is_renamed_as_a_whole() {
    let (from, to, root) = (Path::new("/x/from"), Path::new("/x/to"), Path::new("/x"));
    let (mut old, mut new) = (0, 0);
    for seed in 0..60 {
        let fs = FaultyFs::new(seed);
        fs.create_dir_all(&from.join("deep")).unwrap();
        put(&fs, "/x/from/deep/file", b"bytes").sync().unwrap();
        fs.rename(from, to).unwrap_err();
        fs.sync_dir(&from.join("deep")).unwrap();
        fs.rename(from, to).unwrap();
        assert!(!fs.exists(from).unwrap() && fs.exists(&to.join("deep/file")).unwrap());
        match seed % 3 {
            0 => fs.sync_dir(root).unwrap(),
            1 => fs.remove_dir_all(to).unwrap(),
            _ => {}
        }
        fs.crash();
        let (is_old, is_new) = (fs.exists(from).unwrap(), fs.exists(to).unwrap());
        assert_eq!(fs.snapshot().len(), usize::from(seed % 3 != 1));
        if seed % 3 != 1 {
            assert!(is_old != is_new && (is_new || seed % 3 == 2));
            let kept = if is_new { to } else { from };
            assert_eq!(fs.read(&kept.join("deep/file"), 9).unwrap(), b"bytes");
            *(if is_new { &mut new } else { &mut old }) += 1;
        }
    }
    assert!(old > 2 && new > 20, "{old}, {new}");
}
