//! Which series of a query have no samples any more on days on which others have theirs.

use super::Tenant;
use super::scan::{Look, Wanted};
use crate::directory::SeriesId;
use crate::rollup::{Asked, Places};
use model::{Budget, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

impl Tenant {
    /// Gives each series the plan that it needs. What memory has is known already.
    pub(super) fn wanted<'a>(
        &self,
        look: &mut Look,
        ids: &'a [SeriesId],
        budget: &Budget,
    ) -> Result<Vec<Wanted<'a>>> {
        if look.plans.days.is_empty() {
            let all = Wanted {
                plan: 0,
                ids: Cow::Borrowed(ids),
                places: None,
                in_windows: None,
            };
            return Ok(vec![all]);
        }
        let mut days = std::mem::take(&mut look.plans.days);
        for day in &mut days {
            self.find_samples(look, day.partition, ids, &mut day.has_samples, budget)?;
            let gone: Vec<usize> = (0..ids.len()).filter(|p| !day.has_samples.contains(*p)).collect();
            let ids: Vec<SeriesId> = gone.iter().map(|place| ids[*place]).collect();
            self.find_windows(
                look,
                day.partition,
                &ids,
                &mut |at| day.has_windows.insert(gone[at]),
                budget,
            )?;
        }
        look.plans.days = days;
        let mut by_plan: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for place in 0..ids.len() {
            by_plan.entry(look.plans.of(place)).or_default().push(place);
        }
        let wanted = by_plan.into_iter().map(|(plan, places)| Wanted {
            plan,
            ids: places.iter().map(|place| ids[*place]).collect(),
            places: Some(places),
            in_windows: None,
        });
        Ok(wanted.collect())
    }

    /// Notes the series that parts of a day have samples of.
    fn find_samples(
        &self,
        look: &Look,
        partition: i64,
        ids: &[SeriesId],
        places: &mut Places,
        budget: &Budget,
    ) -> Result<()> {
        for (number, part) in look.parts.iter().enumerate() {
            let meta = &part.entry.meta;
            if (meta.partition, meta.resolution_ms) != (partition, 0) {
                continue;
            }
            budget.check()?;
            let mut found = part.find(ids, &mut |e| self.context.damaged(part, budget, e))?;
            found.retain(|located| located.samples() > 0);
            for located in self.not_deleted(look, number, found, &[ALL], budget)? {
                places.insert(ids.partition_point(|id| *id < located.id));
            }
        }
        Ok(())
    }

    /// Tells the series that have windows of a day.
    fn find_windows(
        &self,
        look: &Look,
        partition: i64,
        ids: &[SeriesId],
        found: &mut dyn FnMut(usize),
        budget: &Budget,
    ) -> Result<()> {
        // Every window has a last value, an end or histograms.
        let in_file = Asked::Instant.ids_in_file(ids)?;
        for (number, part) in look.parts.iter().enumerate() {
            let meta = &part.entry.meta;
            if meta.partition != partition || meta.resolution_ms == 0 {
                continue;
            }
            budget.check()?;
            let located = part.find(&in_file, &mut |e| self.context.damaged(part, budget, e))?;
            for located in self.not_deleted(look, number, located, &[ALL], budget)? {
                found(ids.partition_point(|id| *id < meta.series_of(located.id)));
            }
        }
        Ok(())
    }
}
