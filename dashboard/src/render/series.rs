//! From points as they come to lines that can be drawn: clean numbers, gaps, no more points than pixels, stacks.

use super::PanelSpec;
use std::collections::BTreeMap;

/// Larger numbers are cut here, so that the length of an axis stays finite.
const LARGEST: f64 = 1e300;
/// Points of one line per pixel column: the first, the lowest, the highest and the last keep its shape.
const POINTS_PER_COLUMN: usize = 4;

/// One line, ready to draw: pieces without gaps.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line {
    pub(crate) pieces: Vec<Vec<(i64, f64)>>,
    /// The lower edge of a stacked area, piece by piece; empty when not stacked.
    pub(crate) floors: Vec<Vec<(i64, f64)>>,
    /// The last value as it came, for the legend.
    pub(crate) last: Option<f64>,
}

/// All lines of a panel, and what could not be drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Prepared {
    pub(crate) lines: Vec<Line>,
    pub(crate) infinite: usize,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Prepared {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(|l| l.pieces.is_empty())
    }
}

/// Prepares the first [`super::MAX_SERIES`] series for a plot of `columns` pixels.
pub(crate) fn prepare(spec: &PanelSpec, columns: u32) -> Prepared {
    let mut infinite = 0;
    let mut lines: Vec<Line> = spec
        .series
        .iter()
        .take(super::MAX_SERIES)
        .map(|s| {
            let in_range = |t: i64| (spec.start_ms..=spec.end_ms).contains(&t);
            infinite += s
                .points
                .iter()
                .filter(|(t, v)| v.is_infinite() && in_range(*t))
                .count();
            Line {
                pieces: pieces(&s.points, spec),
                floors: Vec::new(),
                last: s.points.iter().rev().map(|(_, v)| *v).find(|v| !v.is_nan()),
            }
        })
        .collect();
    if spec.stacked {
        stack(&mut lines);
    }
    for line in &mut lines {
        for piece in line.pieces.iter_mut().chain(&mut line.floors) {
            thin(piece, spec.start_ms, spec.end_ms, columns);
        }
    }
    let values = || {
        lines
            .iter()
            .flat_map(|l| l.pieces.iter().chain(&l.floors))
            .flatten()
    };
    Prepared {
        infinite,
        low: values().map(|(_, v)| *v).fold(f64::INFINITY, f64::min),
        high: values().map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max),
        lines,
    }
}

/// Runs of finite values inside the time range, broken at NaN, infinities and missing steps.
fn pieces(points: &[(i64, f64)], spec: &PanelSpec) -> Vec<Vec<(i64, f64)>> {
    let longest_ms = if spec.step_ms > 0 {
        spec.step_ms.saturating_add(spec.step_ms / 2)
    } else {
        i64::MAX
    };
    let mut pieces: Vec<Vec<(i64, f64)>> = Vec::new();
    let mut last: Option<i64> = None;
    for &(t, v) in points {
        if !v.is_finite() {
            last = None;
            continue;
        }
        if t < spec.start_ms || t > spec.end_ms || last.is_some_and(|l| t <= l) {
            continue;
        }
        let point = (t, v.clamp(-LARGEST, LARGEST));
        match pieces.last_mut() {
            Some(piece) if last.is_some_and(|l| t.saturating_sub(l) <= longest_ms) => piece.push(point),
            _ => pieces.push(vec![point]),
        }
        last = Some(t);
    }
    pieces
}

/// Puts each line on top of the ones before it. A series without a value at a time adds nothing there.
fn stack(lines: &mut [Line]) {
    let mut heights: BTreeMap<i64, f64> = BTreeMap::new();
    for (t, _) in lines.iter().flat_map(|l| &l.pieces).flatten() {
        heights.insert(*t, 0.0);
    }
    for line in lines {
        line.floors = line.pieces.clone();
        for (piece, floor) in line.pieces.iter_mut().zip(&mut line.floors) {
            for ((t, v), (_, below)) in piece.iter_mut().zip(floor) {
                let height = heights.entry(*t).or_default();
                *below = *height;
                *height = (*height + *v).clamp(-LARGEST, LARGEST);
                *v = *height;
            }
        }
    }
}

/// Keeps of each pixel column what shows.
fn thin(piece: &mut Vec<(i64, f64)>, start_ms: i64, end_ms: i64, columns: u32) {
    let most = columns.max(1) as usize * POINTS_PER_COLUMN;
    if piece.len() <= most {
        return;
    }
    let column = |t: i64| {
        let share = (t as f64 - start_ms as f64) / (end_ms as f64 - start_ms as f64);
        (share * f64::from(columns)) as i64
    };
    let mut kept = Vec::with_capacity(most);
    for group in piece.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let by_value = |a: &&(i64, f64), b: &&(i64, f64)| a.1.total_cmp(&b.1);
        let ends = [group.first(), group.last()];
        let extremes = [group.iter().min_by(by_value), group.iter().max_by(by_value)];
        let mut points: Vec<_> = ends.into_iter().chain(extremes).flatten().copied().collect();
        points.sort_by_key(|(t, _)| *t);
        points.dedup_by_key(|(t, _)| *t);
        kept.extend(points);
    }
    *piece = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::PanelSeries;

    fn spec(points: &[&[(i64, f64)]]) -> PanelSpec {
        PanelSpec {
            start_ms: 0,
            end_ms: 1_000_000,
            step_ms: 10,
            series: points
                .iter()
                .map(|p| PanelSeries {
                    name: String::new(),
                    points: p.to_vec(),
                })
                .collect(),
            ..PanelSpec::default()
        }
    }

    #[test]
    fn gaps_break_a_line() {
        let nan = f64::NAN;
        let check = |points: &[(i64, f64)], pieces: &[&[(i64, f64)]]| {
            assert_eq!(prepare(&spec(&[points]), 100).lines[0].pieces, pieces);
        };
        check(&[], &[]);
        check(&[(0, 1.0), (10, 2.0)], &[&[(0, 1.0), (10, 2.0)]]);
        check(&[(0, 1.0), (10, nan), (20, 2.0)], &[&[(0, 1.0)], &[(20, 2.0)]]);
        check(&[(0, 1.0), (20, 2.0)], &[&[(0, 1.0)], &[(20, 2.0)]]);
        check(&[(0, f64::INFINITY), (10, 2.0)], &[&[(10, 2.0)]]);
        check(&[(10, 1.0), (10, 2.0), (5, 3.0)], &[&[(10, 1.0)]]);
        check(&[(-10, 1.0), (2_000_000, 1.0)], &[]);
        check(&[(0, f64::MAX)], &[&[(0, LARGEST)]]);
    }

    #[test]
    fn stacks_add_up_where_both_have_values() {
        let mut spec = spec(&[&[(0, 1.0), (10, 2.0)], &[(10, 3.0), (20, 4.0)]]);
        spec.stacked = true;
        let prepared = prepare(&spec, 100);
        assert_eq!(prepared.lines[1].pieces, [[(10, 5.0), (20, 4.0)]]);
        assert_eq!(prepared.lines[1].floors, [[(10, 2.0), (20, 0.0)]]);
        assert_eq!((prepared.low, prepared.high), (0.0, 5.0));
    }

    #[test]
    fn many_points_keep_their_extremes() {
        let mut points: Vec<(i64, f64)> = (0..100_000).map(|i| (i * 10, 1.0)).collect();
        points[54_321].1 = 99.0;
        points[54_322].1 = -99.0;
        let prepared = prepare(&spec(&[&points]), 200);
        let piece = &prepared.lines[0].pieces[0];
        assert!(piece.len() <= 201 * POINTS_PER_COLUMN, "{}", piece.len());
        assert_eq!((prepared.low, prepared.high), (-99.0, 99.0));
        assert!(piece.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(piece.last(), points.last());
    }
}
