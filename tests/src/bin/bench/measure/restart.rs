//! kill -9 under load, again and again: what was acknowledged and is missing, and how long the start takes.

use super::{Bench, DataFolder, Measure, say};
use crate::api;
use crate::bodies::Encoded;
use crate::clock::{now, pause, seconds_since};
use crate::plan::Kills;
use crate::program::Program;
use crate::report::Figures;
use crate::sender::{Acknowledged, Sending, Sent, send};
use crate::server::{Memory, Server};
use crate::started;
use crate::target::INTERVAL_MS;
use crate::verify::{self, ReadBack};
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A server that was started on what a killed one left.
pub(crate) struct Restarted {
    pub(crate) server: Server,
    /// Seconds from the start until an answer was right; not a number when none was.
    pub(crate) right_s: f64,
    /// Processor seconds until then; not a number when there is no then.
    pub(crate) cpu_s: f64,
    /// The most memory until then.
    pub(crate) seen: Memory,
}

/// How long an answer may stay wrong before it counts as a loss.
const RIGHT_WITHIN_S: f64 = 30.0;

/// Starts a server and asks until the answer is as `expected`; then, or when the patience ends, it is what it is.
pub(crate) fn start(
    program: Program,
    folder: &DataFolder,
    expression: &str,
    time_s: i64,
    expected: f64,
) -> Result<Restarted> {
    let mut seen = Memory::default();
    let server = Server::start(program, folder.path(), |m| seen = seen.max(m))?;
    let (mut right_s, mut cpu_s) = (f64::NAN, f64::NAN);
    while seconds_since(server.started) < RIGHT_WITHIN_S.max(server.ready_s * 2.0) {
        started::check()?;
        // Programs that are not quite ready refuse; that is no right answer either.
        let value = api::value(&server, expression, time_s);
        seen = seen.max(server.memory()?);
        if value.is_ok_and(|v| v == expected) {
            (right_s, cpu_s) = (seconds_since(server.started), server.cpu_s()?);
            break;
        }
        pause(Duration::from_millis(10));
    }
    Ok(Restarted {
        server,
        right_s,
        cpu_s,
        seen,
    })
}

/// All of `restart`.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let kills = bench.plan.kills;
    ensure!(
        kills.shape.one_body_per_scrape(),
        "a request is to be one target's scrape"
    );
    say(&format!("restart: generating {} samples", kills.shape.samples()));
    let encoded = Encoded::generate(kills.shape, &bench.folder.join("bodies"))?;
    let title = format!(
        "{} kills, {} samples/s for {} s on {} samples of {} series",
        kills.rounds,
        kills.rate,
        kills.load_s,
        kills.shape.series() * kills.preload,
        kills.shape.series()
    );
    for program in bench.programs.clone() {
        let figures = rounds(bench, &kills, &encoded, program);
        bench.put(Measure::Restart, &title, program, figures)?;
    }
    bench.show_section(Measure::Restart, &title);
    Ok(())
}

fn rounds(bench: &Bench, kills: &Kills, encoded: &Encoded, program: Program) -> Result<Figures> {
    let (mut rounds, mut total, mut oldest_s) = (Vec::new(), ReadBack::default(), 0.0_f64);
    let mut with_loss = 0;
    for i in 0..kills.rounds {
        say(&format!(
            "restart: {}, kill {} of {}",
            program.name(),
            i + 1,
            kills.rounds
        ));
        let folder = DataFolder::new(&bench.folder, program);
        folder.clear();
        let round = one_round(kills, encoded, program, &folder)?;
        total += round.read;
        with_loss += usize::from(round.read.missing > 0);
        oldest_s = oldest_s.max(round.oldest_missing_s);
        rounds.push(round.figures);
    }
    let mut figures = Figures::default();
    figures.fact("kills", kills.rounds as f64);
    figures.fact("kills with a loss", with_loss as f64);
    figures.fact("acknowledged samples", total.expected as f64);
    figures.fact("acknowledged samples missing", total.missing as f64);
    figures.fact("oldest of them, s before the kill", oldest_s);
    figures.fact("values not bit-exact", total.changed as f64);
    figures.extend(Figures::median(&rounds));
    Ok(figures)
}

struct Round {
    figures: Figures,
    read: ReadBack,
    oldest_missing_s: f64,
}

fn one_round(kills: &Kills, encoded: &Encoded, program: Program, folder: &DataFolder) -> Result<Round> {
    let shape = kills.shape;
    let server = Server::start(program, folder.path(), |_| ())?;
    let (mut sent, _) = super::ingest::send_all(&server, encoded, 0..kills.preload, None)?;
    let (live, killed, before) = load_and_kill(kills, encoded, &server)?;
    let reached = live.samples() as f64 / kills.load_s;
    drop(server);
    sent.acknowledged.extend(live.acknowledged);

    // Asked for what was acknowledged long before the kill: one metric of the nodes, counted.
    let time_s = shape.base_ms / 1000 + kills.preload as i64 * INTERVAL_MS / 1000;
    let old = sent
        .acknowledged
        .iter()
        .filter(|a| a.content.time_ms <= time_s * 1000)
        .count();
    let window_s = time_s - shape.base_ms / 1000 + 60;
    let expression = format!("sum(count_over_time(node_load1[{window_s}s]))");
    let restarted = start(program, folder, &expression, time_s, old as f64)?;

    let mut figures = Figures::default();
    restarted.report(&mut figures, before);
    figures.fact("samples/s reached before the kill", reached);
    let (mut read, mut oldest_missing_s) = read_all(kills, &restarted.server, &sent, killed)?;
    if read.missing > 0 {
        // What is only not visible yet is not missing.
        pause(Duration::from_secs(5));
        (read, oldest_missing_s) = read_all(kills, &restarted.server, &sent, killed)?;
    }
    let taken = writes_after(kills, encoded, &restarted.server, &sent)?;
    figures.fact("samples taken after the start", taken as f64);
    restarted.server.stop()?;
    Ok(Round {
        figures,
        read,
        oldest_missing_s,
    })
}

/// Sends at the plan's rate and kills the server in the middle of it.
fn load_and_kill(kills: &Kills, encoded: &Encoded, server: &Server) -> Result<(Sent, Instant, Memory)> {
    let stop = AtomicBool::new(false);
    let sending = Sending {
        port: server.port,
        rate: Some(kills.rate),
        stop: Some(&stop),
    };
    let sources = encoded.open(kills.preload..kills.shape.scrapes)?;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| send(&sending, sources, || Ok(())));
        let start = now();
        while seconds_since(start) < kills.load_s && !load.is_finished() {
            pause(Duration::from_millis(10));
        }
        let in_time = !load.is_finished();
        let before = server.memory();
        stop.store(true, Ordering::Relaxed);
        let killed = now();
        server.kill();
        let sent = load.join().expect("a sender does not panic")?;
        ensure!(in_time, "the load ended before the kill");
        Ok((sent, killed, before?))
    })
}

/// Reads every target back; besides, the age at the kill of the oldest acknowledgement that was not kept.
fn read_all(kills: &Kills, server: &Server, sent: &Sent, killed: Instant) -> Result<(ReadBack, f64)> {
    let mut by_target: BTreeMap<usize, Vec<&Acknowledged>> = BTreeMap::new();
    for one in &sent.acknowledged {
        by_target.entry(one.content.target).or_default().push(one);
    }
    let (mut total, mut oldest_s) = (ReadBack::default(), 0.0_f64);
    for (target, acknowledged) in by_target {
        started::check()?;
        let times: BTreeSet<i64> = acknowledged.iter().map(|a| a.content.time_ms).collect();
        let read = verify::read_back(server, kills.shape, target, kills.shape.window_s(), |t| {
            times.contains(&t)
        })?;
        let lost = acknowledged
            .iter()
            .find(|a| Some(a.content.time_ms) == read.first_missing_ms);
        if let Some(lost) = lost {
            oldest_s = oldest_s.max(killed.saturating_duration_since(lost.at).as_secs_f64());
        }
        total += read;
    }
    Ok((total, oldest_s))
}

/// Samples of the next scrapes that the server takes.
fn writes_after(kills: &Kills, encoded: &Encoded, server: &Server, sent: &Sent) -> Result<u64> {
    let last = sent
        .acknowledged
        .iter()
        .map(|a| a.content.scrape)
        .max()
        .unwrap_or(0);
    let next = (last + 2).min(kills.shape.scrapes.saturating_sub(1));
    let (after, _) = super::ingest::send_all(server, encoded, next..next + 1, None)?;
    Ok(after.samples())
}
