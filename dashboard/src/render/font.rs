//! The font that ships with us, and how wide text is in it.

use ab_glyph::{Font as _, FontRef, ScaleFont as _};
use plotters::style::FontStyle;
use std::sync::LazyLock;

/// The family as the SVG names it: ours first, then what a machine without it has. Plotters looks the font up by
/// the whole text.
pub(crate) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

static REGULAR_BYTES: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
static BOLD_BYTES: &[u8] = include_bytes!("../../assets/DejaVuSans-Bold.ttf");
static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| read(REGULAR_BYTES));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| read(BOLD_BYTES));

fn read(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the font is linked in and a test reads it")
}

/// Makes the font known to plotters; again is harmless.
pub(crate) fn register() {
    for (style, bytes) in [(FontStyle::Normal, REGULAR_BYTES), (FontStyle::Bold, BOLD_BYTES)] {
        let known = plotters::style::register_font(FAMILY, style, bytes).is_ok();
        debug_assert!(known, "the font is linked in and a test reads it");
    }
}

pub(crate) fn face(bold: bool) -> &'static FontRef<'static> {
    if bold { &BOLD } else { &REGULAR }
}

/// ab_glyph scales by the height from descender to ascender; the em is what sizes are given in.
pub(crate) fn scale(font: &FontRef<'static>, em_px: f32) -> f32 {
    let em = font.units_per_em().unwrap_or(2048.0);
    em_px * font.height_unscaled() / em
}

/// The width of a text in pixels at a font size in pixels per em.
pub(crate) fn width(text: &str, em_px: f32, bold: bool) -> f32 {
    let font = face(bold);
    let scaled = font.as_scaled(scale(font, em_px));
    text.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum()
}

/// The text, cut with an ellipsis so that it is at most `max_px` wide.
pub(crate) fn fit(text: &str, em_px: f32, bold: bool, max_px: f32) -> String {
    if width(text, em_px, bold) <= max_px {
        return text.to_owned();
    }
    let room = max_px - width("…", em_px, bold);
    let mut used = 0.0;
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            used += width(c.encode_utf8(&mut [0; 4]), em_px, bold);
            used <= room
        })
        .collect();
    kept.push('…');
    kept
}
