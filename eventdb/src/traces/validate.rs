//! What a batch of spans must satisfy; the rest is refused span by span.

use super::spans::{MAX_DEPTH, group_size, span_size};
use crate::engine::Context;
use model::{Spans, WriteOutcome};

pub(super) fn validate(context: &Context, spans: &mut Spans) -> WriteOutcome {
    let limits = &context.options.limits;
    let now = context.clock.now_ns();
    let (oldest, newest) = (context.oldest_kept_ns(now), context.newest_taken_ns(now));
    let mut outcome = WriteOutcome::default();
    spans.groups.retain_mut(|group| {
        let (group_depth, group_bytes) = group_size(group);
        let service = group.resource.service_name().chars().take(64).collect::<String>();
        group.spans.retain(|span| {
            if span.trace_id.is_zero() || span.span_id.is_zero() {
                outcome.reject("invalid_id", 1, || {
                    format!("a span of {service} has an id of all zeros")
                });
                return false;
            }
            let (depth, bytes) = span_size(span);
            if depth.max(group_depth) > MAX_DEPTH || bytes + group_bytes > limits.max_span_bytes {
                outcome.reject("span_limit", 1, || {
                    format!(
                        "a span of {service} takes {} bytes and nests {} deep: {} bytes \
                         (limits.ingest.max_span_bytes) and {MAX_DEPTH} levels are allowed",
                        bytes + group_bytes,
                        depth.max(group_depth),
                        limits.max_span_bytes
                    )
                });
                return false;
            }
            if span.start_ns < oldest {
                outcome.reject("too_old", 1, || {
                    format!("a span of {service} is older than the retention")
                });
                return false;
            }
            if span.start_ns > newest {
                outcome.reject("too_far_in_future", 1, || {
                    format!("a span of {service} is too far in the future (limits.ingest.max_future_ms)")
                });
                return false;
            }
            true
        });
        !group.spans.is_empty()
    });
    outcome
}
