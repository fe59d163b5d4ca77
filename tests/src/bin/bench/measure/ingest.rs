//! Remote write as fast as it is taken and at a fixed rate: processor time, latency, memory, disk, and whether all is
//! there.

use super::{Bench, DataFolder, Measure, query, say};
use crate::bodies::Encoded;
use crate::http::TENANT;
use crate::plan::Named;
use crate::program::Program;
use crate::report::Figures;
use crate::sender::{Sending, Sent, send};
use crate::server::{Memory, Server, bytes_below};
use crate::target::Shape;
use crate::verify::{self, ReadBack};
use anyhow::{Result, ensure};

/// Seconds before the end that are read back and compared bit for bit, and of how many targets.
const READ_BACK_S: i64 = 1800;
const READ_BACK_TARGETS: usize = 3;

/// What one run of one program gave.
#[derive(Default)]
struct Run {
    ingest: Figures,
    disk: Figures,
}

/// All of `ingest`, the disk figures of the same runs, and the queries on the data that they leave.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    if bench.wants(&[Measure::Ingest, Measure::Disk, Measure::Query]) {
        for (i, data) in bench.plan.ingest.clone().into_iter().enumerate() {
            one_size(bench, &data, i == 0)?;
        }
    }
    if bench.wants(&[Measure::Disk]) {
        for data in bench.plan.jitter.clone() {
            jitter(bench, &data)?;
        }
    }
    Ok(())
}

fn title(data: &Named, samples: u64) -> String {
    let series = data.shape.series();
    format!("{}: {series} series, {samples} samples", data.name)
}

fn generate(bench: &Bench, data: &Named) -> Result<Encoded> {
    say(&format!(
        "{}: generating {} samples",
        data.name,
        data.shape.samples()
    ));
    Encoded::generate(data.shape, &bench.folder.join("bodies"))
}

fn one_size(bench: &mut Bench, data: &Named, with_fixed_rate: bool) -> Result<()> {
    let encoded = generate(bench, data)?;
    let title = title(data, encoded.samples());
    let mut outcomes = Vec::new();
    for program in bench.programs.clone() {
        let folder = DataFolder::new(&bench.folder, program);
        let runs = runs(bench, data, &encoded, program, &folder);
        let median = |of: fn(&Run) -> &Figures| match &runs {
            Ok(runs) => Ok(Figures::median(
                &runs.iter().map(|r| of(r).clone()).collect::<Vec<_>>(),
            )),
            Err(e) => Err(anyhow::anyhow!("{e:#}")),
        };
        bench.put(Measure::Ingest, &title, program, median(|r| &r.ingest))?;
        bench.put(Measure::Disk, &title, program, median(|r| &r.disk))?;
        if runs.is_ok() && bench.wants(&[Measure::Query]) {
            outcomes.push((program, query::run(bench, data, program, folder.path())));
        }
    }
    bench.show_section(Measure::Ingest, &title);
    bench.show_section(Measure::Disk, &title);
    if !outcomes.is_empty() {
        query::put(bench, &title, &outcomes)?;
    }
    if with_fixed_rate && bench.wants(&[Measure::Ingest]) {
        fixed_rate(bench, data, &encoded)?;
    }
    Ok(())
}

/// As many runs as the plan says, each with a new server; the last one's data stays.
fn runs(
    bench: &Bench,
    data: &Named,
    encoded: &Encoded,
    program: Program,
    folder: &DataFolder,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for i in 0..data.runs {
        say(&format!(
            "{}: {}, run {} of {}",
            data.name,
            program.name(),
            i + 1,
            data.runs
        ));
        folder.clear();
        let server = Server::start(program, folder.path(), |_| ())?;
        runs.push(one_run(bench, data.shape, encoded, &server, i + 1 == data.runs)?);
        server.stop()?;
    }
    Ok(runs)
}

fn one_run(
    bench: &Bench,
    shape: Shape,
    encoded: &Encoded,
    server: &Server,
    look_closely: bool,
) -> Result<Run> {
    let patience = &bench.plan.patience;
    let mut run = Run::default();
    let empty = server.steady(patience.steady_s.min(4.0))?;
    let cpu_empty_s = server.cpu_s()?;
    let (sent, mut seen) = send_all(server, encoded, 0..shape.scrapes, None)?;
    let cpu_acknowledged_s = server.cpu_s()? - cpu_empty_s;
    seen = seen.max(server.wait_idle(patience)?);
    let cpu_settled_s = server.cpu_s()? - cpu_empty_s;
    let steady = server.steady(patience.steady_s)?;
    let left = bytes_below(server.data())?;
    let (flushed, refusals) = server.flush(patience)?;
    let cpu_flushed_s = server.cpu_s()? - cpu_empty_s;

    let samples = sent.samples() as f64;
    let million = samples / 1e6;
    let figures = &mut run.ingest;
    figures.fact("samples/s", samples / sent.wall_s);
    figures.cost("CPU s per 1M samples, acknowledged", cpu_acknowledged_s / million);
    figures.cost("CPU s per 1M samples, settled", cpu_settled_s / million);
    figures.cost("CPU s per 1M samples, compacted", cpu_flushed_s / million);
    figures.cost("acknowledgement p50 ms", sent.latency_ms(0.5));
    figures.cost("acknowledgement p99 ms", sent.latency_ms(0.99));
    figures.fact("RSS empty MB", empty.rss as f64 / 1e6);
    figures.cost("RSS peak MB", seen.peak as f64 / 1e6);
    figures.cost("RSS steady MB", steady.rss as f64 / 1e6);
    figures.cost("RssAnon steady MB", steady.anon as f64 / 1e6);
    let active = shape.series() as f64;
    figures.cost(
        "RSS bytes per active series, less empty",
        growth(steady.rss, empty.rss) / active,
    );
    figures.cost(
        "RssAnon bytes per active series, less empty",
        growth(steady.anon, empty.anon) / active,
    );
    figures.fact("attempts repeated", sent.retries as f64);
    run.disk = disk(samples, left, flushed, server.written_bytes(), &refusals);
    if look_closely {
        let missing = verify::count(server, encoded, figures)?;
        figures.fact("samples missing", missing as f64);
        let mut read = ReadBack::default();
        let window_s = READ_BACK_S.min(shape.window_s());
        for target in (0..shape.targets).step_by(shape.targets.div_ceil(READ_BACK_TARGETS)) {
            read += verify::read_back(server, shape, target, window_s, |_| true)?;
        }
        ensure!(read.expected > 0, "nothing was read back");
        figures.fact("values read back", read.expected as f64);
        figures.fact("values missing", read.missing as f64);
        figures.fact("values not bit-exact", read.changed as f64);
    }
    Ok(run)
}

fn growth(now: u64, before: u64) -> f64 {
    now as f64 - before as f64
}

/// Sends the requests of some scrapes; what was sent, and the server's memory meanwhile.
pub(crate) fn send_all(
    server: &Server,
    encoded: &Encoded,
    scrapes: std::ops::Range<usize>,
    rate: Option<f64>,
) -> Result<(Sent, Memory)> {
    let mut seen = Memory::default();
    let sending = Sending {
        port: server.port,
        rate,
        stop: None,
    };
    let sent = send(&sending, encoded.open(scrapes)?, || {
        seen = seen.max(server.memory()?);
        Ok(())
    })?;
    Ok((sent, seen))
}

/// The disk figures of one run.
pub(crate) fn disk(
    samples: f64,
    left: u64,
    flushed: u64,
    written: Option<u64>,
    refusals: &[String],
) -> Figures {
    let mut figures = Figures::default();
    figures.cost("bytes per sample, compacted", flushed as f64 / samples);
    figures.fact("bytes per sample, as left", left as f64 / samples);
    if let Some(written) = written {
        figures.cost("bytes written per sample", written as f64 / samples);
    }
    for refusal in refusals {
        figures.note(format!("compaction was refused: {refusal}"));
    }
    figures
}

fn fixed_rate(bench: &mut Bench, data: &Named, encoded: &Encoded) -> Result<()> {
    let (rate, scrapes) = bench.plan.fixed_rate;
    let scrapes = scrapes.min(data.shape.scrapes);
    let title = format!("{} at {rate} samples/s, {scrapes} scrapes", data.name);
    for program in bench.programs.clone() {
        say(&format!("{title}: {}", program.name()));
        let folder = DataFolder::new(&bench.folder, program);
        let figures = at_rate(bench, encoded, program, &folder, rate, scrapes);
        bench.put(Measure::Ingest, &title, program, figures)?;
    }
    bench.show_section(Measure::Ingest, &title);
    Ok(())
}

fn at_rate(
    bench: &Bench,
    encoded: &Encoded,
    program: Program,
    folder: &DataFolder,
    rate: f64,
    scrapes: usize,
) -> Result<Figures> {
    folder.clear();
    let server = Server::start(program, folder.path(), |_| ())?;
    let before_s = server.cpu_s()?;
    let (sent, _) = send_all(&server, encoded, 0..scrapes, Some(rate))?;
    let acknowledged_s = server.cpu_s()? - before_s;
    server.wait_idle(&bench.plan.patience)?;
    let million = sent.samples() as f64 / 1e6;
    let mut figures = Figures::default();
    figures.fact("samples/s", sent.samples() as f64 / sent.wall_s);
    figures.cost("CPU s per 1M samples, acknowledged", acknowledged_s / million);
    figures.cost(
        "CPU s per 1M samples, settled",
        (server.cpu_s()? - before_s) / million,
    );
    figures.cost("acknowledgement p50 ms", sent.latency_ms(0.5));
    figures.cost("acknowledgement p99 ms", sent.latency_ms(0.99));
    server.stop()?;
    Ok(figures)
}

/// What a few milliseconds cost on disk.
fn jitter(bench: &mut Bench, data: &Named) -> Result<()> {
    let encoded = generate(bench, data)?;
    let title = title(data, encoded.samples());
    for program in bench.programs.clone() {
        say(&format!("{title}: {}", program.name()));
        let folder = DataFolder::new(&bench.folder, program);
        let figures = bytes_of(bench, &encoded, program, &folder, data.shape.scrapes);
        bench.put(Measure::Disk, &title, program, figures)?;
    }
    bench.show_section(Measure::Disk, &title);
    Ok(())
}

/// Sends everything to a new server and gives the bytes that it takes.
pub(crate) fn bytes_of(
    bench: &Bench,
    encoded: &Encoded,
    program: Program,
    folder: &DataFolder,
    scrapes: usize,
) -> Result<Figures> {
    folder.clear();
    let server = Server::start(program, folder.path(), |_| ())?;
    let (sent, _) = send_all(&server, encoded, 0..scrapes, None)?;
    server.wait_idle(&bench.plan.patience)?;
    let left = bytes_below(server.data())?;
    let (flushed, refusals) = server.flush(&bench.plan.patience)?;
    let mut figures = disk(
        sent.samples() as f64,
        left,
        flushed,
        server.written_bytes(),
        &refusals,
    );
    let of_tenant = ["metrics", "wal"].map(|store| bytes_below(&server.data().join(store).join(TENANT)));
    let of_tenant = of_tenant.into_iter().sum::<Result<u64>>()?;
    if of_tenant > 0 {
        let each = of_tenant as f64 / sent.samples() as f64;
        figures.fact("bytes per sample, without what it says of itself", each);
    }
    let missing = verify::count(&server, encoded, &mut figures)?;
    figures.fact("samples missing", missing as f64);
    server.stop()?;
    Ok(figures)
}
