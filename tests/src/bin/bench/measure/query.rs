//! Dashboard queries on data that stands: wall and processor time of each, and answers beside Prometheus'.

use super::{Bench, Measure, say};
use crate::answers::{Answer, Verdict};
use crate::api;
use crate::clock::{now, seconds_since};
use crate::http::Connection;
use crate::plan::{Named, Patience};
use crate::program::Program;
use crate::queries::{QUERIES, Query};
use crate::report::Figures;
use crate::server::Server;
use crate::started;
use anyhow::Result;
use std::path::Path;

/// What one query cost and gave.
pub(crate) struct Timed {
    wall_ms: f64,
    cpu_ms: f64,
    answer: Answer,
}

/// A program's queries, each with its name.
pub(crate) type Outcome = Result<Vec<(&'static str, Result<Timed>)>>;

/// Runs the list with a server that starts on a data directory that stands.
pub(crate) fn run(bench: &Bench, data: &Named, program: Program, folder: &Path) -> Outcome {
    say(&format!("{}: queries, {}", data.name, program.name()));
    let server = Server::start(program, folder, |_| ())?;
    server.wait_idle(&bench.plan.patience)?;
    let outcome = ask_all(&server, &bench.plan.patience, data, QUERIES)?;
    server.stop()?;
    Ok(outcome)
}

/// Asks those queries for which there is data enough.
pub(crate) fn ask_all(server: &Server, patience: &Patience, data: &Named, queries: &[Query]) -> Outcome {
    let span_s = data.shape.end_s() - data.shape.base_ms / 1000;
    let mut all = Vec::new();
    for query in queries.iter().filter(|q| q.span_s() <= span_s) {
        started::check()?;
        all.push((query.name, ask(server, patience, data, *query)));
    }
    Ok(all)
}

fn ask(server: &Server, patience: &Patience, data: &Named, query: Query) -> Result<Timed> {
    let (address, mut connection) = (query.address(server, data), Connection::new(server.port));
    // The first time warms up, and its answer is the one that is compared.
    let body = api::fetch(&mut connection, &address)?;
    let answer = if query.is_list() {
        Answer::of_list(&body)?
    } else {
        Answer::of_query(&body)?
    };
    let (mut wall_ms, start, cpu_s) = (Vec::new(), now(), server.cpu_s()?);
    let enough = |n: usize| {
        let runs = patience.query_runs;
        let spent_s = seconds_since(start);
        n >= runs * 5 || (n >= runs && spent_s > patience.query_s) || (n >= 2 && spent_s > 60.0)
    };
    while !enough(wall_ms.len()) {
        let start = now();
        api::fetch(&mut connection, &address)?;
        wall_ms.push(seconds_since(start) * 1e3);
    }
    let cpu_ms = (server.cpu_s()? - cpu_s) * 1e3 / wall_ms.len() as f64;
    wall_ms.sort_by(f64::total_cmp);
    Ok(Timed {
        wall_ms: wall_ms[wall_ms.len() / 2],
        cpu_ms,
        answer,
    })
}

/// Puts the outcomes of all programs into the report, compared with Prometheus' answers where it took part.
pub(crate) fn put(bench: &mut Bench, title: &str, outcomes: &[(Program, Outcome)]) -> Result<()> {
    let mut lines: Vec<(Program, Result<Figures>)> = Vec::new();
    for (program, outcome) in outcomes {
        let reference = outcomes
            .iter()
            .find(|(p, _)| *p == Program::Prometheus && p != program);
        let reference = reference.and_then(|(_, outcome)| outcome.as_ref().ok());
        lines.push((
            *program,
            match outcome {
                Ok(asked) => Ok(figures(asked, reference.map(Vec::as_slice))),
                Err(e) => Err(anyhow::anyhow!("{e:#}")),
            },
        ));
    }
    for (program, figures) in lines {
        bench.put(Measure::Query, title, program, figures)?;
    }
    bench.show_section(Measure::Query, title);
    Ok(())
}

type Asked = [(&'static str, Result<Timed>)];

fn figures(asked: &Asked, reference: Option<&Asked>) -> Figures {
    let mut figures = Figures::default();
    let good: Vec<(&str, &Timed)> = asked
        .iter()
        .filter_map(|(n, t)| Some((*n, t.as_ref().ok()?)))
        .collect();
    figures.cost("sum of medians, ms", good.iter().map(|(_, t)| t.wall_ms).sum());
    figures.cost("sum of CPU ms", good.iter().map(|(_, t)| t.cpu_ms).sum());
    figures.fact("asked", asked.len() as f64);
    figures.fact("answered", good.len() as f64);
    for (name, error) in asked.iter().filter_map(|(n, t)| Some((n, t.as_ref().err()?))) {
        figures.note(format!("{name}: {error:#}"));
    }
    if let Some(reference) = reference {
        compare(&mut figures, &good, reference);
    }
    for (name, timed) in good {
        figures.cost(format!("{name}: ms"), timed.wall_ms);
        figures.cost(format!("{name}: CPU ms"), timed.cpu_ms);
    }
    figures
}

fn compare(figures: &mut Figures, good: &[(&str, &Timed)], reference: &Asked) {
    let (mut same, mut close, mut differ, mut notes) = (0.0, 0.0, 0.0, Vec::new());
    for (name, timed) in good {
        let Some(Ok(theirs)) = reference.iter().find(|(n, _)| n == name).map(|(_, t)| t) else {
            continue;
        };
        match theirs.answer.compare(&timed.answer) {
            Verdict::Same => same += 1.0,
            Verdict::Close(how) => {
                close += 1.0;
                notes.push(format!("{name}: close to Prometheus: {how}"));
            }
            Verdict::Differs(how) => {
                differ += 1.0;
                notes.push(format!("{name}: differs from Prometheus: {how}"));
            }
        }
    }
    figures.fact("answers as Prometheus'", same);
    figures.fact("answers close to them", close);
    figures.fact("answers that differ", differ);
    figures.notes.extend(notes);
}
