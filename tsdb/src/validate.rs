//! What is taken and what is refused, before anything goes to the log.

use crate::metrics::reason;
use crate::options::Options;
use crate::samples::PartMeta;
use model::{IngestLimits, Labels, WriteOutcome};

/// The longest excerpt of foreign text in a message.
const SHOWN: usize = 80;

/// The times that a store takes, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Window {
    /// The window at a time.
    pub(crate) fn new(options: &Options, now_ms: i64) -> Self {
        Self {
            first_ms: first_kept_ms(options, now_ms),
            last_ms: now_ms.saturating_add_unsigned(options.limits.max_future_ms),
        }
    }
}

/// The first time inside the retention of any series.
pub(crate) fn first_kept_ms(options: &Options, now_ms: i64) -> i64 {
    let of_rules = options.retention_rules.iter().map(|rule| rule.keep_ms);
    options.retention_ms.map_or(i64::MIN, |kept| {
        now_ms.saturating_sub_unsigned(of_rules.fold(kept, u64::max))
    })
}

/// The first time that is kept in files like this one. Days that are rolled up go as a whole, when that is done.
pub(crate) fn first_kept_of(options: &Options, meta: &PartMeta, now_ms: i64) -> i64 {
    match meta.resolution_ms {
        0 if options.rollups.is_empty() => first_kept_ms(options, now_ms),
        _ => i64::MIN,
    }
}

impl Window {
    /// Notes that a point is refused for its time, which is outside; false.
    pub(crate) fn refuse(
        &self,
        time_ms: i64,
        outcome: &mut WriteOutcome,
        shown: impl FnOnce() -> String,
    ) -> bool {
        if time_ms < self.first_ms {
            outcome.reject(reason::TOO_OLD, 1, || {
                format!(
                    "{}: time {time_ms} ms is before the retention, which starts at {} ms",
                    shown(),
                    self.first_ms
                )
            });
        } else {
            outcome.reject(reason::TOO_NEW, 1, || {
                format!(
                    "{}: time {time_ms} ms is too far in the future (limits.ingest.max_future_ms)",
                    shown()
                )
            });
        }
        false
    }
}

/// Checks a label set; an error is the word for the counter and a sentence.
pub(crate) fn check_labels(labels: &Labels, limits: &IngestLimits) -> Result<(), (&'static str, String)> {
    if labels.is_empty() {
        return Err((
            reason::NO_LABELS,
            "a series without labels cannot be found again".to_owned(),
        ));
    }
    if labels.get("__name__").is_none() {
        let message = format!(
            "{}: a series without a metric name (label __name__)",
            shown(labels)
        );
        return Err((reason::NO_NAME, message));
    }
    if labels.len() > limits.max_labels {
        let message = format!(
            "{}: {} labels, more than {} (limits.ingest.max_labels)",
            shown(labels),
            labels.len(),
            limits.max_labels
        );
        return Err((reason::LABEL_LIMIT, message));
    }
    for (name, value) in labels.iter() {
        if name.is_empty() || name.chars().any(char::is_control) {
            let message = format!("{}: label name {:?} is not valid", shown(labels), cut(name));
            return Err((reason::LABEL_NAME, message));
        }
        if name.len() > limits.max_label_name_bytes {
            let message = format!(
                "{}: label name {:?} is longer than {} bytes (limits.ingest.max_label_name_bytes)",
                shown(labels),
                cut(name),
                limits.max_label_name_bytes
            );
            return Err((reason::LABEL_NAME, message));
        }
        if value.len() > limits.max_label_value_bytes {
            let message = format!(
                "{}: the value of label {:?} is longer than {} bytes (limits.ingest.max_label_value_bytes)",
                shown(labels),
                cut(name),
                limits.max_label_value_bytes
            );
            return Err((reason::LABEL_VALUE, message));
        }
    }
    Ok(())
}

/// A series as far as a message needs it.
pub(crate) fn shown(labels: &Labels) -> String {
    cut(&labels.to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> IngestLimits {
        IngestLimits {
            max_labels: 3,
            max_label_name_bytes: 8,
            max_label_value_bytes: 6,
            ..IngestLimits::default()
        }
    }

    #[test]
    fn each_rule_refuses_by_name() {
        let check = |pairs: &[(&str, &str)], expected: Option<(&str, &str)>| {
            let named = pairs.iter().copied().chain([("__name__", "up")]);
            let labels = Labels::from_pairs(named);
            match (check_labels(&labels, &limits()), expected) {
                (Ok(()), None) => {}
                (Err((reason, message)), Some((expected, says))) => {
                    assert_eq!(reason, expected);
                    assert!(message.contains(says), "{message}");
                }
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        };
        check(&[("a", "b")], None);
        check(&[("ü.x", "b")], None);
        check(
            &[("a", "1"), ("b", "1"), ("c", "1")],
            Some(("label_limit", "max_labels")),
        );
        check(&[("", "b")], Some(("label_name", "not valid")));
        check(&[("a\nb", "b")], Some(("label_name", "not valid")));
        check(
            &[("abcdefghi", "b")],
            Some(("label_name", "max_label_name_bytes")),
        );
        check(
            &[("a", "1234567")],
            Some(("label_value", "max_label_value_bytes")),
        );
        let refused = |pairs: &[(&str, &str)]| {
            check_labels(&Labels::from_pairs(pairs.iter().copied()), &limits())
                .unwrap_err()
                .0
        };
        assert_eq!(refused(&[]), "no_labels");
        assert_eq!(refused(&[("job", "a")]), "no_metric_name");
        assert_eq!(refused(&[("__name__", ""), ("job", "a")]), "no_metric_name");
    }

    #[test]
    fn times_outside_are_refused_by_name() {
        let window = Window {
            first_ms: 100,
            last_ms: 200,
        };
        let check = |time_ms: i64, reason: &str, says: &str| {
            let mut outcome = WriteOutcome::default();
            window.refuse(time_ms, &mut outcome, || "up".to_owned());
            assert_eq!(
                (outcome.rejected[0].reason, outcome.rejected[0].count),
                (reason, 1)
            );
            assert!(outcome.rejected[0].message.contains(says));
        };
        check(99, "too_old", "up: time 99 ms is before the retention");
        check(201, "too_far_in_future", "max_future_ms");
    }
}
