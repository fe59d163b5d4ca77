//! One group of rules, evaluated at its interval.

use super::Shared;
use crate::rules::Group;
use model::{Batch, Budget, Clock, Error, Metrics, Result, Series};
use query::promql::QueryValue;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Evaluates a group at times that are multiples of its interval, plus an offset that spreads the groups, until the
/// generation ends.
pub(super) async fn run_group(shared: Arc<Shared>, index: usize, generation: CancellationToken) {
    let (group, interval) = {
        let core = shared.core();
        // A reload may have come between the start of this task and now.
        if generation.is_cancelled() {
            return;
        }
        let state = &core.groups[index];
        (Arc::clone(&state.group), state.interval)
    };
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4).max(1);
    let offset_ms = offset_of(&group, interval_ms);
    let mut last_ms = None;
    loop {
        let now_ms = shared.now_ms();
        let this_slot = now_ms - (now_ms - offset_ms).rem_euclid(interval_ms);
        let mut at_ms = this_slot + interval_ms;
        if let Some(last_ms) = last_ms {
            // The timer may wake a little early by the wall clock; the same time is not evaluated twice.
            if at_ms == last_ms {
                at_ms += interval_ms;
            }
            let missed = (at_ms - last_ms) / interval_ms - 1;
            shared.metrics.missed.add(u64::try_from(missed).unwrap_or(0));
        }
        let pause = Duration::from_millis(u64::try_from(at_ms - now_ms).unwrap_or(0));
        tokio::select! {
            () = generation.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        // After a jump of the wall clock the planned time is far off; then it is now.
        let now_ms = shared.now_ms();
        if (now_ms - at_ms).abs() > interval_ms {
            at_ms = now_ms - (now_ms - offset_ms).rem_euclid(interval_ms);
        }
        if !evaluate(&shared, index, &group, at_ms, &generation).await {
            return;
        }
        last_ms = Some(at_ms);
    }
}

fn offset_of(group: &Group, interval_ms: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    (&group.file, &group.name).hash(&mut hasher);
    i64::try_from(hasher.finish() % interval_ms.unsigned_abs()).unwrap_or(0)
}

/// Evaluates the rules in order, so that each sees what the ones before it wrote. Gives false when a reload or the
/// shutdown came in between.
async fn evaluate(
    shared: &Arc<Shared>,
    index: usize,
    group: &Group,
    at_ms: i64,
    generation: &CancellationToken,
) -> bool {
    let clock: &dyn Clock = shared.options.clock.as_ref();
    let started_ns = clock.monotonic_ns();
    let since = |from_ns: u64| Duration::from_nanos(clock.monotonic_ns().saturating_sub(from_ns));
    let asked_at_ms = group.asks_at_ms(at_ms);
    for (number, rule) in group.rules.iter().enumerate() {
        let rule_started_ns = clock.monotonic_ns();
        let answer = ask(shared, &rule.expr, asked_at_ms, generation).await;
        let series = {
            let mut core = shared.core();
            if generation.is_cancelled() {
                return false;
            }
            shared.metrics.evaluations.inc();
            if let Err(e) = &answer {
                shared.metrics.evaluation_failures.inc();
                tracing::warn!(rule = rule.name, group = group.name, error = %e, "a rule could not be evaluated");
            }
            core.apply(index, number, answer, since(rule_started_ns), at_ms)
        };
        if !series.is_empty()
            && let Err(e) = write(shared, series).await
        {
            let mut core = shared.core();
            if generation.is_cancelled() {
                return false;
            }
            shared.metrics.evaluation_failures.inc();
            core.write_failed(index, number, &e);
        }
    }
    let mut core = shared.core();
    if generation.is_cancelled() {
        return false;
    }
    core.group_done(index, since(started_ns), at_ms);
    let (pending, firing) = core.counts();
    shared.metrics.pending.set(pending);
    shared.metrics.firing.set(firing);
    let dropped = std::mem::take(&mut core.dropped);
    shared.metrics.dropped.add(dropped);
    let abandoned = std::mem::take(&mut core.dispatcher.abandoned);
    shared.metrics.abandoned.add(abandoned);
    shared.wake.notify_one();
    true
}

/// Asks the engine where blocking is allowed; a cancelled generation cancels the query.
async fn ask(
    shared: &Arc<Shared>,
    expr: &str,
    at_ms: i64,
    generation: &CancellationToken,
) -> Result<QueryValue> {
    let budget = Budget::new(shared.options.query_limits, Arc::clone(&shared.options.clock));
    let cancel = budget.cancel_token();
    let (on_pool, expr) = (Arc::clone(shared), expr.to_owned());
    let mut query = tokio::task::spawn_blocking(move || {
        let options = &on_pool.options;
        options.engine.instant(&options.tenant, &expr, at_ms, &budget)
    });
    let joined = tokio::select! {
        joined = &mut query => joined,
        () = generation.cancelled() => {
            cancel.cancel();
            query.await
        }
    };
    match joined {
        Ok(result) => result.map(|r| r.value),
        Err(e) => Err(Error::internal(format!("the evaluation broke off: {e}"))),
    }
}

/// Writes series through the front door; what the store refuses is an error of the rule.
pub(super) async fn write(shared: &Shared, series: Vec<Series>) -> Result<()> {
    let payload = Metrics {
        series,
        metadata: Vec::new(),
    };
    let batch = Batch::new(shared.options.tenant.clone(), payload);
    let written = shared.options.writer.write(batch).await.and_then(|outcome| {
        let refused = outcome.rejected_count();
        if refused == 0 {
            return Ok(());
        }
        shared.metrics.samples_rejected.add(refused);
        Err(Error::limit(format!(
            "the store refused {refused} samples of the rule: {}",
            outcome.rejection_message()
        )))
    });
    if let Err(e) = &written {
        tracing::warn!(error = %e, "the series of a rule could not be written");
    }
    written
}
