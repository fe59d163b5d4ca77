//! Colours. The lines use the palette of Okabe and Ito, which people with the common kinds of colour blindness
//! can tell apart, adjusted so that every colour keeps its contrast on its background.

use plotters::style::RGBColor;

/// Dark or light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// Dark text on white.
    #[default]
    Light,
    /// Light text on near black.
    Dark,
}

/// The colours of one theme.
pub(crate) struct Colours {
    pub(crate) background: RGBColor,
    pub(crate) text: RGBColor,
    pub(crate) muted: RGBColor,
    pub(crate) grid: RGBColor,
    pub(crate) axis: RGBColor,
    lines: [RGBColor; 8],
}

impl Theme {
    pub(crate) fn colours(self) -> &'static Colours {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}

impl Colours {
    /// The colour of the n-th line. After eight the palette starts again, mixed half with the muted colour, so
    /// that neighbours in the legend still differ.
    pub(crate) fn line(&self, n: usize) -> RGBColor {
        let base = self.lines[n % self.lines.len()];
        if (n / self.lines.len()).is_multiple_of(2) {
            return base;
        }
        let mix = |a: u8, b: u8| u8::midpoint(a, b);
        RGBColor(
            mix(base.0, self.muted.0),
            mix(base.1, self.muted.1),
            mix(base.2, self.muted.2),
        )
    }
}

static LIGHT: Colours = Colours {
    background: RGBColor(255, 255, 255),
    text: RGBColor(31, 35, 40),
    muted: RGBColor(101, 109, 118),
    grid: RGBColor(232, 235, 238),
    axis: RGBColor(175, 184, 193),
    lines: [
        RGBColor(0, 114, 178),
        RGBColor(213, 94, 0),
        RGBColor(0, 140, 105),
        RGBColor(190, 95, 150),
        RGBColor(214, 148, 0),
        RGBColor(64, 160, 214),
        RGBColor(88, 86, 160),
        RGBColor(140, 125, 30),
    ],
};

static DARK: Colours = Colours {
    background: RGBColor(22, 27, 34),
    text: RGBColor(230, 237, 243),
    muted: RGBColor(139, 148, 158),
    grid: RGBColor(38, 44, 54),
    axis: RGBColor(72, 80, 92),
    lines: [
        RGBColor(86, 180, 233),
        RGBColor(230, 159, 0),
        RGBColor(38, 188, 144),
        RGBColor(221, 143, 188),
        RGBColor(240, 228, 100),
        RGBColor(240, 120, 60),
        RGBColor(150, 150, 230),
        RGBColor(190, 196, 204),
    ],
};
