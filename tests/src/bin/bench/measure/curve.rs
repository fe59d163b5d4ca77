//! Processor time per sample over the number of series: new series apart from samples of series that stand.

use super::{Bench, DataFolder, Measure, ingest, say};
use crate::bodies::Encoded;
use crate::plan::Named;
use crate::program::Program;
use crate::report::Figures;
use crate::server::Server;
use anyhow::Result;

/// All of `curve`.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    for data in bench.plan.curve.clone() {
        let title = format!(
            "{}: {} series, {} scrapes",
            data.name,
            data.shape.series(),
            data.shape.scrapes
        );
        say(&format!("{title}: generating"));
        let encoded = Encoded::generate(data.shape, &bench.folder.join("bodies"))?;
        for program in bench.programs.clone() {
            say(&format!("{title}: {}", program.name()));
            let folder = DataFolder::new(&bench.folder, program);
            let figures = point(bench, &data, &encoded, program, &folder);
            bench.put(Measure::Curve, &title, program, figures)?;
        }
        bench.show_section(Measure::Curve, &title);
    }
    Ok(())
}

fn point(
    bench: &Bench,
    data: &Named,
    encoded: &Encoded,
    program: Program,
    folder: &DataFolder,
) -> Result<Figures> {
    folder.clear();
    let server = Server::start(program, folder.path(), |_| ())?;
    let empty = server.memory()?;
    let start_s = server.cpu_s()?;
    let (first, _) = ingest::send_all(&server, encoded, 0..1, None)?;
    server.wait_idle(&bench.plan.patience)?;
    let known_s = server.cpu_s()?;
    let (rest, _) = ingest::send_all(&server, encoded, 1..data.shape.scrapes, None)?;
    let acknowledged_s = server.cpu_s()?;
    server.wait_idle(&bench.plan.patience)?;
    let settled_s = server.cpu_s()?;
    let memory = server.memory()?;
    let (new, million) = (first.samples() as f64 / 1e6, rest.samples() as f64 / 1e6);
    let mut figures = Figures::default();
    figures.cost("CPU s per 1M new series", (known_s - start_s) / new);
    figures.cost(
        "CPU s per 1M samples, acknowledged",
        (acknowledged_s - known_s) / million,
    );
    figures.cost("CPU s per 1M samples, settled", (settled_s - known_s) / million);
    figures.fact("samples/s", rest.samples() as f64 / rest.wall_s);
    figures.cost("acknowledgement p99 ms", rest.latency_ms(0.99));
    let growth = memory.anon as f64 - empty.anon as f64;
    figures.cost(
        "RssAnon bytes per series, less empty",
        growth / data.shape.series() as f64,
    );
    server.stop()?;
    Ok(figures)
}
