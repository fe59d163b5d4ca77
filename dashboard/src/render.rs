//! Panels drawn on the server: a query's result as an SVG or PNG line chart, with the font that ships with us.
//!
//! [`draw`] lays a panel out and paints it with plotters; the same drawing goes to plotters' SVG backend or to
//! the [`canvas`] of this crate, which smooths edges and places glyphs at sub-pixel positions.

mod canvas;
mod draw;
mod font;
mod series;
mod theme;
mod ticks;
mod units;

#[cfg(test)]
mod tests;

pub use theme::Theme;
pub use units::Unit;

use model::{Error, Result, SeriesData};

/// The widest and highest picture, in pixels.
pub const MAX_SIDE_PX: u32 = 4000;
/// The narrowest and lowest picture, in pixels.
pub const MIN_SIDE_PX: u32 = 100;
/// The most pixels of one picture.
pub const MAX_PIXELS: u32 = 8_000_000;
/// The most series that are drawn; a note in the picture says how many are not.
pub const MAX_SERIES: usize = 100;
/// The longest title or name that is kept, in characters.
const MAX_TEXT_CHARS: usize = 300;

/// One line of a panel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PanelSeries {
    /// What the legend says.
    pub name: String,
    /// Milliseconds since the epoch and value, in time order. NaN and staleness markers are gaps.
    pub points: Vec<(i64, f64)>,
}

impl PanelSeries {
    /// A series as a query engine answers it, under a name of the caller's choice.
    pub fn new(name: impl Into<String>, data: &SeriesData) -> Self {
        Self {
            name: name.into(),
            points: data
                .timestamps_ms
                .iter()
                .copied()
                .zip(data.values.iter().copied())
                .collect(),
        }
    }
}

/// What a panel shows and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelSpec {
    /// The heading; may be empty.
    pub title: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Dark or light.
    pub theme: Theme,
    /// How values are written.
    pub unit: Unit,
    /// The left end of the time axis, milliseconds since the epoch.
    pub start_ms: i64,
    /// The right end of the time axis, milliseconds since the epoch.
    pub end_ms: i64,
    /// The distance of the points; a hole of more than one and a half steps is a gap in the line. 0: not known,
    /// only NaN makes gaps.
    pub step_ms: i64,
    /// Whether the series are stacked as areas.
    pub stacked: bool,
    /// The lines, in the order of the legend.
    pub series: Vec<PanelSeries>,
}

impl Default for PanelSpec {
    fn default() -> Self {
        Self {
            title: String::new(),
            width: 1000,
            height: 400,
            theme: Theme::default(),
            unit: Unit::default(),
            start_ms: 0,
            end_ms: 3_600_000,
            step_ms: 0,
            stacked: false,
            series: Vec::new(),
        }
    }
}

impl PanelSpec {
    /// Checks the size and the time range.
    ///
    /// # Errors
    /// [`model::ErrorKind::BadData`] with the limit that is broken.
    pub fn check(&self) -> Result<()> {
        let side = |n: u32| (MIN_SIDE_PX..=MAX_SIDE_PX).contains(&n);
        if !side(self.width) || !side(self.height) || self.width * self.height > MAX_PIXELS {
            return Err(Error::bad_data(format!(
                "a picture of {} x {} pixels cannot be drawn: width and height go from {MIN_SIDE_PX} to {MAX_SIDE_PX}, \
                 and both together have at most {MAX_PIXELS} pixels",
                self.width, self.height
            )));
        }
        if self.end_ms <= self.start_ms {
            return Err(Error::bad_data(format!(
                "the end of the time range ({} ms) is not after its start ({} ms)",
                self.end_ms, self.start_ms
            )));
        }
        Ok(())
    }
}

/// Draws a panel as SVG text.
///
/// # Errors
/// As [`PanelSpec::check`].
pub fn svg(spec: &PanelSpec) -> Result<String> {
    spec.check()?;
    font::register();
    let (width, height) = (spec.width, spec.height);
    let fine = (width * draw::FINE, height * draw::FINE);
    let mut text = String::new();
    draw::panel(plotters::prelude::SVGBackend::with_string(&mut text, fine), spec)?;
    // Plotters counts in whole units, so the drawing is laid out on a finer grid; the view box scales it back.
    let drawn = format!(r#"<svg width="{}" height="{}" viewBox"#, fine.0, fine.1);
    let shown = format!(r#"<svg width="{width}" height="{height}" role="img" viewBox"#);
    Ok(text.replacen(&drawn, &shown, 1))
}

/// Draws a panel as a PNG file.
///
/// # Errors
/// As [`PanelSpec::check`].
pub fn png(spec: &PanelSpec) -> Result<Vec<u8>> {
    spec.check()?;
    font::register();
    let mut pixels = vec![0; spec.width as usize * spec.height as usize * 3];
    draw::panel(canvas::Canvas::new(&mut pixels, spec.width, spec.height), spec)?;
    encode(&pixels, spec.width, spec.height)
        .map_err(|e| Error::internal(format!("the picture could not be encoded as PNG: {e}")))
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Text from outside as it may stand in a picture: no control characters, not endless.
fn clean(text: &str) -> String {
    let mut kept: String = text
        .chars()
        .take(MAX_TEXT_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{FFFE}' | '\u{FFFF}'))
        .collect();
    if text.chars().nth(MAX_TEXT_CHARS).is_some() {
        kept.push('…');
    }
    kept
}
