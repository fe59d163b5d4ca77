//! Memory per active series after two hours' worth of churn, then selectors over all of it, then a kill and a start.

use super::restart::{self, Restarted};
use super::{Bench, DataFolder, Measure, query, say};
use crate::bodies::Live;
use crate::plan::Named;
use crate::program::Program;
use crate::queries::SELECTORS;
use crate::report::Figures;
use crate::sender::{Sending, send};
use crate::server::{Memory, Server};
use crate::target::INTERVAL_MS;
use anyhow::Result;

/// A series is active for so long after its last sample, in scrapes: five minutes.
const ACTIVE_SCRAPES: usize = (300_000 / INTERVAL_MS) as usize;

/// What one program gave.
struct Run {
    memory: Figures,
    restart: Figures,
    selectors: query::Outcome,
}

/// All of `memory`; the selectors and the start after a kill belong to other measures and are taken on the way.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    for data in bench.plan.memory.clone() {
        let shape = data.shape;
        let title = format!(
            "{}: {} series, {:.0}% churn an hour, {} scrapes",
            data.name,
            shape.series(),
            shape.churn_per_hour * 100.0,
            shape.scrapes
        );
        let mut outcomes = Vec::new();
        for program in bench.programs.clone() {
            say(&format!("{title}: {}", program.name()));
            let folder = DataFolder::new(&bench.folder, program);
            match one_program(bench, &data, program, &folder) {
                Ok(run) => {
                    bench.put(Measure::Memory, &title, program, Ok(run.memory))?;
                    bench.put(Measure::Restart, &title, program, Ok(run.restart))?;
                    if !run.selectors.as_ref().is_ok_and(Vec::is_empty) {
                        outcomes.push((program, run.selectors));
                    }
                }
                Err(e) => bench.put(Measure::Memory, &title, program, Err(e))?,
            }
        }
        bench.show_section(Measure::Memory, &title);
        bench.show_section(Measure::Restart, &title);
        if !outcomes.is_empty() {
            query::put(bench, &title, &outcomes)?;
        }
    }
    Ok(())
}

fn one_program(bench: &Bench, data: &Named, program: Program, folder: &DataFolder) -> Result<Run> {
    let (shape, patience) = (data.shape, &bench.plan.patience);
    folder.clear();
    let server = Server::start(program, folder.path(), |_| ())?;
    let empty = server.steady(patience.steady_s.min(4.0))?;
    let mut seen = Memory::default();
    let sending = Sending {
        port: server.port,
        rate: None,
        stop: None,
    };
    // Made while they are sent: requests for this much data would fill a disk, and no time is measured here.
    let sent = send(&sending, Live::open(shape), || {
        seen = seen.max(server.memory()?);
        Ok(())
    })?;
    seen = seen.max(server.wait_idle(patience)?);
    let steady = server.steady(patience.steady_s)?;

    let ever = shape.series() as u64 + sent.ended(0..shape.scrapes);
    let active =
        shape.series() as u64 + sent.ended(shape.scrapes.saturating_sub(ACTIVE_SCRAPES)..shape.scrapes);
    let mut memory = Figures::default();
    memory.fact("active series", active as f64);
    memory.fact("series ever", ever as f64);
    memory.fact("samples", sent.samples() as f64);
    memory.fact("RssAnon empty MB", empty.anon as f64 / 1e6);
    memory.cost("RssAnon peak MB", seen.anon as f64 / 1e6);
    memory.cost("RssAnon steady MB", steady.anon as f64 / 1e6);
    memory.cost("RSS steady MB", steady.rss as f64 / 1e6);
    memory.cost(
        "RssAnon bytes per active series, all in",
        steady.anon as f64 / active as f64,
    );
    memory.cost(
        "RssAnon peak bytes per active series",
        seen.anon as f64 / active as f64,
    );
    memory.cost(
        "RSS bytes per active series, all in",
        steady.rss as f64 / active as f64,
    );

    let selectors = if bench.wants(&[Measure::Query]) {
        query::ask_all(&server, patience, data, SELECTORS)
    } else {
        Ok(Vec::new())
    };
    let mut figures = Figures::default();
    if bench.wants(&[Measure::Restart]) {
        server.kill();
        drop(server);
        // One series of each node, which churn leaves alone, at the end of the data.
        let restarted = restart::start(
            program,
            folder,
            "count(node_load1)",
            shape.end_s() - 60,
            shape.targets as f64,
        )?;
        restarted.report(&mut figures, steady);
        restarted.server.stop()?;
    } else {
        server.stop()?;
    }
    Ok(Run {
        memory,
        restart: figures,
        selectors,
    })
}

impl Restarted {
    /// Times and memory beside those before the kill.
    pub(crate) fn report(&self, figures: &mut Figures, before: Memory) {
        figures.cost("ready, s", self.server.ready_s);
        figures.cost("first right answer, s", self.right_s);
        figures.cost("CPU s until then", self.cpu_s);
        figures.cost("RssAnon peak until then, MB", self.seen.anon as f64 / 1e6);
        figures.cost("RSS peak until then, MB", self.seen.peak as f64 / 1e6);
        figures.fact("RssAnon before the kill, MB", before.anon as f64 / 1e6);
        figures.fact(
            "RssAnon until then / before",
            self.seen.anon as f64 / before.anon.max(1) as f64,
        );
        figures.fact(
            "RSS until then / before",
            self.seen.peak as f64 / before.rss.max(1) as f64,
        );
    }
}
