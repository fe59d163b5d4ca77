//! A bitmap that plotters draws on, with smooth edges.
//!
//! Plotters' own bitmap backend rounds everything to whole pixels and places glyphs by whole advances. This one
//! takes coordinates on the finer grid of [`super::draw::FINE`] and fills shapes by the share of each pixel that
//! they cover.

use super::draw::FINE;
use super::font;
use ab_glyph::{Font as _, ScaleFont as _};
use ab_glyph_rasterizer::{Point, Rasterizer, point};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
};
use std::convert::Infallible;

type Done = Result<(), DrawingErrorKind<Infallible>>;

/// The bitmap: RGB, row by row.
pub(crate) struct Canvas<'a> {
    pixels: &'a mut [u8],
    width: u32,
    height: u32,
}

impl<'a> Canvas<'a> {
    /// `pixels` holds three bytes for each of `width * height` pixels.
    pub(crate) fn new(pixels: &'a mut [u8], width: u32, height: u32) -> Self {
        Self {
            pixels,
            width,
            height,
        }
    }

    fn blend(&mut self, x: i32, y: i32, color: BackendColor, coverage: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        let alpha = coverage.clamp(0.0, 1.0) * color.alpha as f32;
        let mix =
            |old: u8, new: u8| (f32::from(old) + (f32::from(new) - f32::from(old)) * alpha).round() as u8;
        let (r, g, b) = color.rgb;
        for (old, new) in self.pixels[at..at + 3].iter_mut().zip([r, g, b]) {
            *old = mix(*old, new);
        }
    }

    /// Fills closed outlines, given in pixels; where they overlap with one direction they count once.
    fn fill(&mut self, outlines: &[Vec<Point>], color: BackendColor) {
        let points = || outlines.iter().flatten();
        let low = |f: fn(&Point) -> f32| points().map(f).fold(f32::INFINITY, f32::min).floor();
        let high = |f: fn(&Point) -> f32| points().map(f).fold(f32::NEG_INFINITY, f32::max).ceil();
        let (left, top) = (low(|p| p.x).max(0.0), low(|p| p.y).max(0.0));
        let (right, bottom) = (
            high(|p| p.x).min(self.width as f32),
            high(|p| p.y).min(self.height as f32),
        );
        // Also false when there is no point at all.
        if !(right > left && bottom > top) {
            return;
        }
        let mut raster = Rasterizer::new((right - left) as usize, (bottom - top) as usize);
        let inside = |p: &Point| point(p.x.clamp(left, right) - left, p.y.clamp(top, bottom) - top);
        for outline in outlines {
            for (a, b) in outline.iter().zip(outline.iter().cycle().skip(1)) {
                raster.draw_line(inside(a), inside(b));
            }
        }
        raster.for_each_pixel_2d(|x, y, coverage| {
            if coverage > 0.002 {
                self.blend(x as i32 + left as i32, y as i32 + top as i32, color, coverage);
            }
        });
    }

    /// A line of points with round joints and ends.
    fn stroke(&mut self, points: &[Point], width_px: f32, color: BackendColor) {
        let half = width_px / 2.0;
        let mut outlines = Vec::with_capacity(points.len() * 2);
        for (a, b) in points.iter().zip(points.iter().skip(1)) {
            let (dx, dy) = (b.x - a.x, b.y - a.y);
            let length = dx.hypot(dy);
            if length < 1e-3 {
                continue;
            }
            let (nx, ny) = (-dy / length * half, dx / length * half);
            outlines.push(vec![
                point(a.x + nx, a.y + ny),
                point(a.x - nx, a.y - ny),
                point(b.x - nx, b.y - ny),
                point(b.x + nx, b.y + ny),
            ]);
        }
        // Thin lines need no joints: the gaps would be smaller than a pixel.
        if half > 0.6 {
            outlines.extend(points.iter().map(|p| disc(*p, half)));
        }
        self.fill(&outlines, color);
    }

    fn glyphs(&mut self, text: &str, em_px: f32, bold: bool, color: BackendColor, start: Point) {
        let face = font::face(bold);
        let scale = font::scale(face, em_px);
        let scaled = face.as_scaled(scale);
        let mut x = start.x;
        for c in text.chars() {
            let id = scaled.glyph_id(c);
            let glyph = id.with_scale_and_position(scale, point(x, start.y));
            if let Some(outline) = face.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                outline.draw(|dx, dy, coverage| {
                    self.blend(
                        corner.x as i32 + dx as i32,
                        corner.y as i32 + dy as i32,
                        color,
                        coverage,
                    );
                });
            }
            x += scaled.h_advance(id);
        }
    }
}

/// A circle as a polygon, in the same direction as the pieces of a stroke.
fn disc(centre: Point, radius: f32) -> Vec<Point> {
    const CORNERS: u8 = 12;
    (0..CORNERS)
        .map(|i| {
            let angle = std::f32::consts::TAU * f32::from(i) / f32::from(CORNERS);
            point(centre.x + radius * angle.cos(), centre.y + radius * angle.sin())
        })
        .collect()
}

fn to_px((x, y): BackendCoord) -> Point {
    point(x as f32 / FINE as f32, y as f32 / FINE as f32)
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width * FINE, self.height * FINE)
    }
    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }
    fn present(&mut self) -> Done {
        Ok(())
    }
    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Done {
        let p = to_px(at);
        self.blend(p.x as i32, p.y as i32, color, 1.0);
        Ok(())
    }
    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Done {
        self.draw_path([from, to], style)
    }
    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Done {
        let (left, top, right, bottom) = (upper_left.0, upper_left.1, bottom_right.0, bottom_right.1);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        if fill {
            // The lower right corner belongs to a filled rectangle.
            self.fill_polygon(
                corners.map(|(x, y)| (x + i32::from(x == right), y + i32::from(y == bottom))),
                style,
            )
        } else {
            self.draw_path(corners.into_iter().chain([(left, top)]), style)
        }
    }
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Done {
        let points: Vec<Point> = path.into_iter().map(to_px).collect();
        self.stroke(&points, style.stroke_width() as f32 / FINE as f32, style.color());
        Ok(())
    }
    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Done {
        self.fill(&[disc(to_px(center), radius as f32 / FINE as f32)], style.color());
        Ok(())
    }
    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Done {
        self.fill(&[corners.into_iter().map(to_px).collect()], style.color());
        Ok(())
    }
    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, at: BackendCoord) -> Done {
        // Plotters' SVG backend takes a size for the height of a line, 1.24 em, and hangs the text by these shares
        // of the em, so both pictures come out alike.
        let em_px = style.size() as f32 / 1.24 / FINE as f32;
        let bold = matches!(style.style(), FontStyle::Bold);
        let place = to_px(at);
        let width = font::width(text, em_px, bold);
        let x = match style.anchor().h_pos {
            HPos::Left => place.x,
            HPos::Center => place.x - width / 2.0,
            HPos::Right => place.x - width,
        };
        let y = match style.anchor().v_pos {
            VPos::Top => place.y + 0.76 * em_px,
            VPos::Center => place.y + 0.27 * em_px,
            VPos::Bottom => place.y - 0.27 * em_px,
        };
        self.glyphs(text, em_px, bold, style.color(), point(x, y.round()));
        Ok(())
    }
}
