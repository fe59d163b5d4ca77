//! Figures of all programs side by side: a table for people, JSON for machines.

use crate::program::Program;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One program's figures of one measurement, in the order in which they are shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    rows: Vec<(String, f64, bool)>,
    /// What a number cannot say.
    pub(crate) notes: Vec<String>,
}

impl Figures {
    /// A figure of which less is better; ours is set into relation to the peers'.
    pub(crate) fn cost(&mut self, name: impl Into<String>, value: f64) {
        self.rows.push((name.into(), value, true));
    }
    /// A figure that stands for itself.
    pub(crate) fn fact(&mut self, name: impl Into<String>, value: f64) {
        self.rows.push((name.into(), value, false));
    }
    /// A line beside the figures.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
    /// Puts others' rows and notes behind these.
    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.notes.extend(other.notes);
    }
    /// The median of each figure over those runs that have it, and all notes.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let mut all = Self::default();
        for (name, _, is_cost) in runs.iter().flat_map(|r| &r.rows) {
            if all.value(name).is_none() {
                let mut values: Vec<f64> = runs.iter().filter_map(|r| r.value(name)).collect();
                values.sort_by(f64::total_cmp);
                all.rows.push((name.clone(), middle(&values), *is_cost));
            }
        }
        for note in runs.iter().flat_map(|r| &r.notes) {
            if !all.notes.contains(note) {
                all.notes.push(note.clone());
            }
        }
        all
    }
    fn value(&self, name: &str) -> Option<f64> {
        Some(self.rows.iter().find(|r| r.0 == name)?.1)
    }
}

/// Of sorted values, of which there is one at least.
fn middle(values: &[f64]) -> f64 {
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        (values[half - 1] + values[half]) / 2.0
    }
}

/// One measurement.
struct Section {
    measure: &'static str,
    title: String,
    by_program: Vec<(Program, Result<Figures, String>)>,
}

/// All measurements of a run.
pub(crate) struct Report {
    machine: Value,
    programs: Vec<Program>,
    sections: Vec<Section>,
}

impl Report {
    pub(crate) fn new(machine: Value, programs: &[Program]) -> Self {
        Self {
            machine,
            programs: programs.to_owned(),
            sections: Vec::new(),
        }
    }
    /// Puts a program's figures, or why there are none, into a section.
    pub(crate) fn put(
        &mut self,
        measure: &'static str,
        title: &str,
        program: Program,
        figures: Result<Figures, String>,
    ) {
        let is_it = |s: &&mut Section| s.measure == measure && s.title == title;
        if let Some(section) = self.sections.iter_mut().find(is_it) {
            section.by_program.push((program, figures));
            return;
        }
        let by_program = vec![(program, figures)];
        self.sections.push(Section {
            measure,
            title: title.to_owned(),
            by_program,
        });
    }
    /// The failures of one program.
    pub(crate) fn failures(&self, program: Program) -> Vec<String> {
        let all = self
            .sections
            .iter()
            .flat_map(|s| s.by_program.iter().map(move |p| (s, p)));
        let failed = all.filter(|(_, (p, _))| *p == program);
        failed
            .filter_map(|(s, (_, figures))| {
                Some(format!("{} {}: {}", s.measure, s.title, figures.as_ref().err()?))
            })
            .collect()
    }
    /// A section as a table.
    pub(crate) fn table(&self, measure: &str, title: &str) -> Option<String> {
        let section = self
            .sections
            .iter()
            .find(|s| s.measure == measure && s.title == title)?;
        Some(section.table(&self.programs))
    }
    /// Everything as JSON.
    pub(crate) fn json(&self) -> Value {
        let sections: Vec<Value> = self.sections.iter().map(Section::json).collect();
        json!({ "machine": self.machine, "measurements": sections })
    }
}

impl Section {
    fn ours(&self) -> Option<&Figures> {
        self.of(Program::Binnacle)
    }
    fn of(&self, program: Program) -> Option<&Figures> {
        self.by_program
            .iter()
            .find(|(p, _)| *p == program)?
            .1
            .as_ref()
            .ok()
    }
    /// Names of figures in the order of their first appearance.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for row in self
            .by_program
            .iter()
            .filter_map(|(_, f)| f.as_ref().ok())
            .flat_map(|f| &f.rows)
        {
            if !names.contains(&row.0.as_str()) {
                names.push(&row.0);
            }
        }
        names
    }
    fn value(&self, program: Program, name: &str) -> Option<f64> {
        self.of(program)?.value(name)
    }
    /// Ours through theirs, where less is better.
    fn ratio(&self, peer: Program, name: &str) -> Option<f64> {
        let is_cost = self.ours()?.rows.iter().find(|r| r.0 == name)?.2;
        let (ours, theirs) = (self.value(Program::Binnacle, name)?, self.value(peer, name)?);
        (is_cost && theirs > 0.0 && ours.is_finite()).then(|| ours / theirs)
    }
    fn table(&self, programs: &[Program]) -> String {
        let names = self.names();
        let width = names.iter().map(|n| n.len()).max().unwrap_or(0).max(12);
        let peers = programs.iter().copied().filter(|p| *p != Program::Binnacle);
        let mut out = format!("\n{}: {}\n{:<width$}", self.measure, self.title, "");
        for program in programs {
            let _ = write!(out, " {:>16}", program.name());
        }
        for peer in peers.clone() {
            let _ = write!(out, " {:>23}", format!("ours/{}", peer.name()));
        }
        for name in names {
            let _ = write!(out, "\n{name:<width$}");
            for program in programs {
                let shown = self.value(*program, name).map_or("-".to_owned(), number);
                let _ = write!(out, " {shown:>16}");
            }
            for peer in peers.clone() {
                let shown = self
                    .ratio(peer, name)
                    .map_or(String::new(), |r| format!("{r:.2}"));
                let _ = write!(out, " {shown:>23}");
            }
        }
        out.push('\n');
        for (program, figures) in &self.by_program {
            let failed = figures.as_ref().err().map(|e| format!("FAILED: {e}"));
            let notes = figures.iter().flat_map(|f| &f.notes);
            for note in failed.iter().chain(notes) {
                let _ = writeln!(out, "  {}: {note}", program.name());
            }
        }
        out
    }
    fn json(&self) -> Value {
        let mut programs = Map::new();
        for (program, figures) in &self.by_program {
            let value = match figures {
                Ok(f) => {
                    let rows: Map<String, Value> = f.rows.iter().map(|r| (r.0.clone(), json!(r.1))).collect();
                    json!({ "figures": rows, "notes": f.notes })
                }
                Err(e) => json!({ "failed": e }),
            };
            programs.insert(program.name().to_owned(), value);
        }
        let mut ratios: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
        for (peer, _) in self.by_program.iter().filter(|(p, _)| *p != Program::Binnacle) {
            for name in self.names() {
                if let Some(ratio) = self.ratio(*peer, name) {
                    ratios.entry(peer.name()).or_default().insert(name, ratio);
                }
            }
        }
        json!({ "measure": self.measure, "data": self.title, "programs": programs, "ours_to_theirs": ratios })
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "never".to_owned(),
        v if v >= 1000.0 || v.fract() == 0.0 => grouped(value),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// With a comma after each three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Figures, Report, grouped, number};
    use crate::program::Program;
    use serde_json::json;

    #[test]
    fn numbers_are_short() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.0, "0");
        check(0.12345, "0.1235");
        check(f64::NAN, "never");
        check(12.345, "12.35");
        check(1_234_567.8, "1,234,568");
        check(-1000.0, "-1,000");
        assert_eq!(grouped(999.0), "999");
    }

    #[test]
    fn a_median_has_the_rows_of_every_run() {
        let run = |rows: &[(&str, f64)]| {
            let mut figures = Figures::default();
            rows.iter().for_each(|(name, value)| figures.fact(*name, *value));
            figures
        };
        let check = |runs: &[Figures], expected: &[(&str, f64)]| {
            let median = Figures::median(runs);
            let found: Vec<_> = median.rows.iter().map(|r| (r.0.as_str(), r.1)).collect();
            assert_eq!(found, expected);
        };
        let (first, second) = (run(&[("a", 1.0)]), run(&[("a", 2.0), ("b", 7.0)]));
        check(&[], &[]);
        check(&[first.clone(), second.clone()], &[("a", 1.5), ("b", 7.0)]);
        check(&[first, second, run(&[("a", 9.0)])], &[("a", 2.0), ("b", 7.0)]);
    }

    #[test]
    fn a_report_sets_ours_into_relation() {
        let figures = |cpu: f64| {
            let mut f = Figures::default();
            f.cost("cpu", cpu);
            f.fact("samples", 7.0);
            f
        };
        let mut report = Report::new(json!({}), &[Program::Binnacle, Program::Prometheus]);
        report.put(
            "ingest",
            "10k",
            Program::Binnacle,
            Ok(Figures::median(&[figures(1.0), figures(9.0), figures(2.0)])),
        );
        report.put("ingest", "10k", Program::Prometheus, Ok(figures(8.0)));
        let json = report.json();
        assert_eq!(
            json["measurements"][0]["ours_to_theirs"],
            json!({ "prometheus": { "cpu": 0.25 } })
        );
        let table = report.table("ingest", "10k").unwrap();
        assert!(
            table.contains("ours/prometheus") && table.contains("0.25"),
            "{table}"
        );
        report.put("disk", "10k", Program::Binnacle, Err("no room".into()));
        assert_eq!(report.failures(Program::Binnacle), ["disk 10k: no room"]);
        assert!(report.table("disk", "10k").unwrap().contains("FAILED: no room"));
    }
}
