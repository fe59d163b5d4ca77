//! Lays a panel out and paints it on any backend of plotters.

use super::series::{Line, Prepared, prepare};
use super::theme::Colours;
use super::ticks::{self, TimeMark, ValueAxis};
use super::{MAX_SERIES, PanelSpec, clean, font};
use model::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Units of the drawing grid per pixel: plotters counts in whole units, and lines must not snap to pixels.
pub(crate) const FINE: u32 = 8;

/// Sizes in pixels.
const TITLE_PX: f32 = 15.0;
const TEXT_PX: f32 = 11.5;
const MARGIN: f32 = 12.0;
const LEGEND_ROW: f32 = 18.0;
/// Room for the times below the plot.
const TIMES: f32 = 28.0;
const SWATCH: f32 = 14.0;
const LINE_WIDTH: f32 = 1.7;

/// Draws a panel that was checked.
pub(crate) fn panel<B: DrawingBackend>(backend: B, spec: &PanelSpec) -> Result<()> {
    let area = backend.into_drawing_area();
    let painter = Painter {
        area: &area,
        colours: spec.theme.colours(),
    };
    paint(&painter, spec)
        .and_then(|()| area.present().map_err(|e| e.to_string()))
        .map_err(|e| Error::internal(format!("the panel could not be drawn: {e}")))
}

type Drawn = std::result::Result<(), String>;

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Frame {
    fn width(self) -> f32 {
        (self.right - self.left).max(1.0)
    }
    fn height(self) -> f32 {
        (self.bottom - self.top).max(1.0)
    }
}

/// Draws in pixels.
struct Painter<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    colours: &'static Colours,
}

fn fine((x, y): (f32, f32)) -> (i32, i32) {
    let grid = |v: f32| (v * FINE as f32).round() as i32;
    (grid(x), grid(y))
}

impl<B: DrawingBackend> Painter<'_, B> {
    fn line(&self, points: &[(f32, f32)], color: RGBColor, width: f32) -> Drawn {
        let style = color.stroke_width((width * FINE as f32).round() as u32);
        let path = PathElement::new(points.iter().copied().map(fine).collect::<Vec<_>>(), style);
        self.area.draw(&path).map_err(|e| e.to_string())
    }
    fn area(&self, corners: &[(f32, f32)], color: RGBAColor) -> Drawn {
        let shape = Polygon::new(
            corners.iter().copied().map(fine).collect::<Vec<_>>(),
            color.filled(),
        );
        self.area.draw(&shape).map_err(|e| e.to_string())
    }
    fn dot(&self, centre: (f32, f32), radius: f32, color: RGBColor) -> Drawn {
        let shape = Circle::new(fine(centre), (radius * FINE as f32) as i32, color.filled());
        self.area.draw(&shape).map_err(|e| e.to_string())
    }
    fn text(&self, text: &str, at: (f32, f32), look: Look) -> Drawn {
        let style = if look.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let size = f64::from(look.em_px * 1.24 * FINE as f32);
        let style = (font::FAMILY, size, style)
            .into_font()
            .color(&look.color)
            .pos(Pos::new(look.h, look.v));
        self.area
            .draw(&Text::new(text.to_owned(), fine(at), style))
            .map_err(|e| e.to_string())
    }
    fn look(&self, color: RGBColor, h: HPos) -> Look {
        Look {
            em_px: TEXT_PX,
            bold: false,
            color,
            h,
            v: VPos::Center,
        }
    }
}

/// How a text looks and hangs.
#[derive(Clone, Copy)]
struct Look {
    em_px: f32,
    bold: bool,
    color: RGBColor,
    h: HPos,
    v: VPos,
}

fn paint<B: DrawingBackend>(p: &Painter<'_, B>, spec: &PanelSpec) -> Drawn {
    p.area.fill(&p.colours.background).map_err(|e| e.to_string())?;
    let (width, height) = (spec.width as f32, spec.height as f32);
    let prepared = prepare(spec, spec.width);
    let notes = notes(spec, &prepared);
    let legend = Legend::lay_out(spec, &prepared, width - 2.0 * MARGIN, height);
    let top = heading(p, spec)?;
    let notes_height = if notes.is_empty() { 0.0 } else { LEGEND_ROW };
    let bottom = height - MARGIN * 0.6 - legend.height() - notes_height - TIMES;
    let axis = value_axis(spec, &prepared, bottom - top);
    let labels: Vec<String> = axis
        .marks
        .iter()
        .map(|v| spec.unit.format(*v, axis.step))
        .collect();
    let widest = labels
        .iter()
        .map(|l| font::width(l, TEXT_PX, false))
        .fold(24.0, f32::max);
    let frame = Frame {
        left: MARGIN + widest.min(width * 0.4) + 8.0,
        top,
        right: width - MARGIN - 4.0,
        bottom,
    };
    value_marks(p, frame, &axis, &labels)?;
    time_axis(p, frame, spec)?;
    if prepared.is_empty() {
        let look = Look {
            em_px: TITLE_PX,
            ..p.look(p.colours.muted, HPos::Center)
        };
        let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
        p.text("no data", middle, look)?;
    }
    let scale = Scale {
        frame,
        axis: &axis,
        spec,
    };
    // The first series are drawn last, so that the top of the legend is the top of the picture.
    for (n, line) in prepared.lines.iter().enumerate().rev() {
        plot(p, &scale, line, p.colours.line(n))?;
    }
    let below = frame.bottom + TIMES;
    legend.paint(p, (MARGIN, below))?;
    if !notes.is_empty() {
        let at = (MARGIN, below + legend.height() + LEGEND_ROW / 2.0);
        let shown = font::fit(&notes.join("; "), TEXT_PX, false, width - 2.0 * MARGIN);
        p.text(&shown, at, p.look(p.colours.muted, HPos::Left))?;
    }
    Ok(())
}

/// What the picture does not show, in words.
fn notes(spec: &PanelSpec, prepared: &Prepared) -> Vec<String> {
    let mut notes = Vec::new();
    let hidden = spec.series.len().saturating_sub(MAX_SERIES);
    if hidden > 0 {
        notes.push(format!(
            "{hidden} more series are not drawn (at most {MAX_SERIES} of {})",
            spec.series.len()
        ));
    }
    if prepared.infinite > 0 {
        notes.push(format!("{} infinite values are not drawn", prepared.infinite));
    }
    notes
}

/// Title on the left, time range on the right; gives the top of the plot.
fn heading<B: DrawingBackend>(p: &Painter<'_, B>, spec: &PanelSpec) -> std::result::Result<f32, String> {
    let width = spec.width as f32 - 2.0 * MARGIN;
    let range = ticks::range_text(spec.start_ms, spec.end_ms);
    let range_width = font::width(&range, TEXT_PX, false);
    let title = clean(&spec.title);
    let y = MARGIN + TITLE_PX / 2.0;
    // A narrow picture shows its title rather than the range, which the axis says too.
    let show_range = title.is_empty() || range_width < width * 0.5;
    if show_range {
        let shown = font::fit(&range, TEXT_PX, false, width);
        let right = spec.width as f32 - MARGIN - 4.0;
        p.text(&shown, (right, y), p.look(p.colours.muted, HPos::Right))?;
    }
    let room = if show_range {
        width - range_width - 16.0
    } else {
        width
    };
    let look = Look {
        em_px: TITLE_PX,
        bold: true,
        ..p.look(p.colours.text, HPos::Left)
    };
    if !title.is_empty() {
        p.text(&font::fit(&title, TITLE_PX, true, room), (MARGIN, y), look)?;
    }
    Ok(MARGIN + TITLE_PX + 16.0)
}

fn value_axis(spec: &PanelSpec, prepared: &Prepared, height: f32) -> ValueAxis {
    let (mut low, mut high) = (prepared.low, prepared.high);
    if prepared.is_empty() {
        (low, high) = (0.0, 1.0);
    }
    if spec.stacked {
        (low, high) = (low.min(0.0), high.max(0.0));
    }
    ticks::value_axis(low, high, spec.unit, ((height / 45.0) as usize).clamp(2, 10))
}

/// Horizontal grid lines with their values.
fn value_marks<B: DrawingBackend>(
    p: &Painter<'_, B>,
    frame: Frame,
    axis: &ValueAxis,
    labels: &[String],
) -> Drawn {
    for (value, label) in axis.marks.iter().zip(labels) {
        let share = ((value - axis.low) / (axis.high - axis.low)) as f32;
        let y = (frame.bottom - share * frame.height()).round() + 0.5;
        p.line(&[(frame.left, y), (frame.right, y)], p.colours.grid, 1.0)?;
        let shown = font::fit(label, TEXT_PX, false, frame.left - MARGIN - 4.0);
        p.text(
            &shown,
            (frame.left - 8.0, y),
            p.look(p.colours.muted, HPos::Right),
        )?;
    }
    Ok(())
}

/// The base line and the times below it.
fn time_axis<B: DrawingBackend>(p: &Painter<'_, B>, frame: Frame, spec: &PanelSpec) -> Drawn {
    let base = frame.bottom.round() + 0.5;
    let marks = ticks::time_marks(
        spec.start_ms,
        spec.end_ms,
        ((frame.width() / 90.0) as usize).max(1),
    );
    let x_of = |m: &TimeMark| {
        let share = (m.at_ms as f64 - spec.start_ms as f64) / (spec.end_ms as f64 - spec.start_ms as f64);
        frame.left + share as f32 * frame.width()
    };
    let mut free_from = 0.0;
    for mark in &marks {
        let x = x_of(mark).round() + 0.5;
        p.line(&[(x, frame.top), (x, frame.bottom)], p.colours.grid, 1.0)?;
        p.line(&[(x, base), (x, base + 4.0)], p.colours.axis, 1.0)?;
        let half = font::width(&mark.label, TEXT_PX, mark.strong) / 2.0;
        let centre = x.min(spec.width as f32 - half - 4.0);
        // Labels that would touch their neighbour are left out; the mark stays.
        if centre - half < free_from {
            continue;
        }
        free_from = centre + half + 10.0;
        let color = if mark.strong {
            p.colours.text
        } else {
            p.colours.muted
        };
        let look = Look {
            bold: mark.strong,
            ..p.look(color, HPos::Center)
        };
        p.text(&mark.label, (centre, base + 13.0), look)?;
    }
    p.line(&[(frame.left, base), (frame.right, base)], p.colours.axis, 1.0)
}

/// Turns time and value into a place.
struct Scale<'a> {
    frame: Frame,
    axis: &'a ValueAxis,
    spec: &'a PanelSpec,
}

impl Scale<'_> {
    fn place(&self, (t, v): (i64, f64)) -> (f32, f32) {
        let (start, end) = (self.spec.start_ms as f64, self.spec.end_ms as f64);
        let x = (t as f64 - start) / (end - start);
        let y = (v - self.axis.low) / (self.axis.high - self.axis.low);
        (
            self.frame.left + x as f32 * self.frame.width(),
            self.frame.bottom - y as f32 * self.frame.height(),
        )
    }
}

fn plot<B: DrawingBackend>(p: &Painter<'_, B>, scale: &Scale<'_>, line: &Line, color: RGBColor) -> Drawn {
    let places =
        |piece: &[(i64, f64)]| -> Vec<(f32, f32)> { piece.iter().map(|point| scale.place(*point)).collect() };
    for (i, piece) in line.pieces.iter().enumerate() {
        let top = places(piece);
        if let Some(floor) = line.floors.get(i) {
            let mut corners = top.clone();
            corners.extend(places(floor).into_iter().rev());
            p.area(&corners, color.mix(0.45))?;
        }
        match top.as_slice() {
            [only] => p.dot(*only, LINE_WIDTH * 1.4, color)?,
            _ => p.line(&top, color, LINE_WIDTH)?,
        }
    }
    Ok(())
}

/// The legend: swatch, name and last value, in columns of one width.
struct Legend {
    /// Line number, name, last value.
    entries: Vec<(usize, String, String)>,
    more: usize,
    columns: usize,
    column_width: f32,
}

impl Legend {
    fn lay_out(spec: &PanelSpec, prepared: &Prepared, width: f32, height: f32) -> Self {
        let named = |(n, line): (usize, &Line)| {
            let last = line.last.map(|v| spec.unit.format(v, 0.0)).unwrap_or_default();
            (n, clean(&spec.series[n].name), last)
        };
        let mut entries: Vec<_> = prepared.lines.iter().enumerate().map(named).collect();
        entries.retain(|(_, name, _)| !name.is_empty());
        let entry_width = |(_, name, last): &(usize, String, String)| {
            SWATCH + 6.0 + font::width(name, TEXT_PX, false) + 8.0 + font::width(last, TEXT_PX, false) + 22.0
        };
        let widest = entries.iter().map(entry_width).fold(60.0, f32::max).min(width);
        let columns = ((width / widest) as usize).clamp(1, entries.len().max(1));
        // The legend takes a third of the picture at most.
        let rows = ((height / 3.0 / LEGEND_ROW) as usize).max(1);
        let shown = if entries.len() > rows * columns {
            (rows * columns).saturating_sub(1)
        } else {
            entries.len()
        };
        let more = entries.len() - shown;
        entries.truncate(shown);
        Self {
            entries,
            more,
            columns,
            column_width: (width / columns as f32).min(widest),
        }
    }
    fn cells(&self) -> usize {
        self.entries.len() + usize::from(self.more > 0)
    }
    fn height(&self) -> f32 {
        self.cells().div_ceil(self.columns) as f32 * LEGEND_ROW
    }
    fn cell(&self, i: usize, (left, top): (f32, f32)) -> (f32, f32) {
        let (column, row) = (i % self.columns, i / self.columns);
        (
            left + column as f32 * self.column_width,
            top + (row as f32 + 0.5) * LEGEND_ROW,
        )
    }
    fn paint<B: DrawingBackend>(&self, p: &Painter<'_, B>, origin: (f32, f32)) -> Drawn {
        for (i, (n, name, last)) in self.entries.iter().enumerate() {
            let (x, y) = self.cell(i, origin);
            p.line(&[(x + 1.5, y), (x + SWATCH - 1.5, y)], p.colours.line(*n), 3.0)?;
            let last_width = font::width(last, TEXT_PX, false);
            let room = self.column_width - SWATCH - 6.0 - 8.0 - last_width - 14.0;
            let name = font::fit(name, TEXT_PX, false, room.max(20.0));
            let at = x + SWATCH + 6.0;
            p.text(&name, (at, y), p.look(p.colours.text, HPos::Left))?;
            let after = at + font::width(&name, TEXT_PX, false) + 8.0;
            p.text(last, (after, y), p.look(p.colours.muted, HPos::Left))?;
        }
        if self.more > 0 {
            let (x, y) = self.cell(self.entries.len(), origin);
            let text = format!("and {} more", self.more);
            p.text(&text, (x, y), p.look(p.colours.muted, HPos::Left))?;
        }
        Ok(())
    }
}
