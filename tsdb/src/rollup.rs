//! Rolled-up samples: windows of 5 minutes or an hour that stand for the samples in them.
//!
//! `docs/formats/rollups.md` describes them. [`roll_up`] makes windows of a series' samples, [`Plan`] says which stretch of
//! time is answered from which resolution, [`Pieces`] joins what was read of a series into one answer. Building and
//! retention are in `tenant/rollup`.

mod answer;
mod fallback;
mod histograms;
mod mend;
mod plan;
mod windows;

pub(crate) use answer::{Asked, Pieces};
pub(crate) use fallback::{Places, Plans};
pub(crate) use histograms::kept as kept_histograms;
pub(crate) use mend::Before;
pub(crate) use plan::Kept;
pub(crate) use windows::roll_up;

use crate::samples::{COLUMNS_PER_SERIES, SeriesId};
use model::{Error, Result};

/// What a window says of its samples. The id of a series in a file of windows is its own × 8 + this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// How many, staleness markers not counted.
    Count = 0,
    /// Their sum.
    Sum = 1,
    /// The smallest; NaN only where there is nothing else.
    Min = 2,
    /// The largest; NaN only where there is nothing else.
    Max = 3,
    /// The last value.
    Last = 4,
    /// By how much a counter grew since the last sample before the window.
    Increase = 5,
    /// 1 where a staleness marker came after the last value; other windows are not in this column.
    Ended = 6,
    /// Native histograms, at their own times.
    Histograms = 7,
}

impl Column {
    const ALL: [Self; 8] = [
        Self::Count,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Last,
        Self::Increase,
        Self::Ended,
        Self::Histograms,
    ];
    /// Those that every window with samples has, in the order of their numbers.
    const OF_SAMPLES: [Self; 6] = [
        Self::Count,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Last,
        Self::Increase,
    ];
}

/// The id of a series' column in a file of windows.
pub(crate) fn id_in_file(series: SeriesId, column: Column) -> Result<SeriesId> {
    series
        .checked_mul(COLUMNS_PER_SERIES)
        .map(|id| id + column as u64)
        .ok_or_else(|| Error::internal(format!("series {series} has a number too large to be rolled up")))
}

/// The number of the column behind an id in a file of windows.
fn column_in_file(id: SeriesId) -> u64 {
    id % COLUMNS_PER_SERIES
}

/// The time under which a window stands in a file: its last millisecond but one. So the window that ends at midnight lies
/// in the day of its samples.
fn stored_ms(end_ms: i64) -> i64 {
    end_ms - 1
}

/// The end of the window that stands under a time in a file.
fn end_ms(stored_ms: i64) -> i64 {
    stored_ms.saturating_add(1)
}
