//! A short version of the fuzzing, for the tests of the crates that targets are about: every target over its kept seeds
//! and over damaged copies of them, with a cap on memory. `BINNACLE_FUZZ_TIMES` multiplies the copies.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use storage::Rng;

/// No copy is longer.
const MAX_INPUT_BYTES: usize = 32 << 10;

/// A target's name, which is that of its folder in `corpus` too, and what it does.
type Target = (&'static str, fn(&[u8]));

/// What is run, and how much of it.
pub(crate) struct Short {
    pub targets: &'static [Target],
    /// The folder `fuzz`.
    pub folder: PathBuf,
    /// Which names in that folder are about this crate.
    pub is_ours: fn(&str) -> bool,
    /// Damaged copies per target.
    pub copies: u64,
    /// What one input may take.
    pub max_memory_bytes: usize,
}

/// Counts what is allocated now, and the most that ever was.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(
    unsafe_code,
    reason = "an allocator is unsafe by nature; this one hands everything on"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE_BYTES.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(live, Relaxed);
        // SAFETY: the caller's promise is the one that is asked of us.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

/// A place in something so long.
fn below(rng: &mut Rng, end: usize) -> usize {
    usize::try_from(rng.below(end as u64)).unwrap()
}

/// A piece of `bytes`, which may be empty.
fn piece<'b>(rng: &mut Rng, bytes: &'b [u8]) -> &'b [u8] {
    let from = below(rng, bytes.len() + 1);
    let length = below(rng, bytes.len() - from + 1);
    &bytes[from..from + length]
}

/// One of the seeds with up to four changes; most have few, or little would still be read to its end.
fn damaged(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    let most = below(rng, 4);
    for _ in 0..=below(rng, most + 1) {
        let at = below(rng, bytes.len());
        match below(rng, 8) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << below(rng, 8),
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n'][below(rng, 7)],
            3 => bytes.truncate(at),
            4 => {
                let other = &seeds[below(rng, seeds.len())];
                let stranger = piece(rng, other);
                bytes.splice(at..at, stranger.iter().copied());
            }
            5 => {
                let gone = piece(rng, &bytes).len();
                bytes.drain(at..bytes.len().min(at + gone));
            }
            6 => {
                let many = piece(rng, &bytes).repeat(1 << below(rng, 8));
                bytes.splice(at..at, many);
            }
            // Two protobuf messages in a row are one with the items of both, and many small items are what takes
            // memory.
            _ => bytes = bytes.repeat(1 << below(rng, 10)),
        }
        bytes.truncate(MAX_INPUT_BYTES);
    }
    bytes
}

/// Runs a target on an input; panics and too much memory name the target and the input.
fn run((name, target): Target, input: &[u8], max_memory_bytes: usize, which: &str) {
    let before = LIVE_BYTES.load(Relaxed);
    PEAK_BYTES.store(before, Relaxed);
    let done = catch_unwind(AssertUnwindSafe(|| target(input)));
    let taken = PEAK_BYTES.load(Relaxed).saturating_sub(before);
    assert!(done.is_ok(), "{name} panics on {which}: {}", input.escape_ascii());
    assert!(
        taken <= max_memory_bytes,
        "{name} takes {taken} bytes for the {} bytes of {which}: {}",
        input.len(),
        input.escape_ascii()
    );
}

fn names_in(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    all
}

impl Short {
    /// Runs all of it. Have it in one test of its own program, because memory is counted for the whole process.
    pub(crate) fn run(&self) {
        let stems = |folder: &str| -> Vec<String> {
            let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
            let all = names_in(&self.folder.join(folder));
            all.iter().map(stem).filter(|name| (self.is_ours)(name)).collect()
        };
        let names: Vec<_> = self.targets.iter().map(|(name, _)| *name).collect();
        assert_eq!(stems("fuzz_targets"), names);
        assert_eq!(stems("corpus"), names);
        let times = std::env::var("BINNACLE_FUZZ_TIMES")
            .ok()
            .and_then(|s| s.parse().ok());
        let copies = self.copies * times.unwrap_or(1_u64);
        for (number, target) in self.targets.iter().enumerate() {
            let mut seeds = Vec::new();
            for path in names_in(&self.folder.join("corpus").join(target.0)) {
                // What a run of the fuzzer left on this machine is not for everybody's tests.
                if path.file_name().unwrap().to_str().unwrap().starts_with("seed-") {
                    seeds.push(std::fs::read(&path).unwrap());
                    let which = path.display().to_string();
                    run(*target, seeds.last().unwrap(), self.max_memory_bytes, &which);
                }
            }
            assert!(!seeds.is_empty(), "{} has no seed", target.0);
            for copy in 0..copies {
                let input = damaged(&seeds, &mut Rng::new((number as u64) << 48 | copy));
                run(*target, &input, self.max_memory_bytes, &format!("copy {copy}"));
            }
        }
    }
}
