//! What is taken and what is refused, before anything goes to the log.

use crate::metrics::reason;
use crate::options::Options;
use model::{IngestLimits, Labels, Series, WriteOutcome};

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

/// The first time inside the retention.
pub(crate) fn first_kept_ms(options: &Options, now_ms: i64) -> i64 {
    options
        .retention_ms
        .map_or(i64::MIN, |kept| now_ms.saturating_sub_unsigned(kept))
}

/// Takes out of a batch what breaks a rule, and says so in the outcome; the rest goes on.
pub(crate) fn retain_valid(
    series: &mut Vec<Series>,
    limits: &IngestLimits,
    window: Window,
    outcome: &mut WriteOutcome,
) {
    series.retain_mut(|s| {
        let count = (s.samples.len() + s.histograms.len()) as u64;
        if let Err((reason, message)) = check_labels(&s.labels, limits) {
            outcome.reject(reason, count, || message);
            return false;
        }
        let labels = &s.labels;
        let mut check_time = |time_ms: i64| check_time(time_ms, window, labels, outcome);
        s.samples.retain(|sample| check_time(sample.timestamp_ms));
        s.histograms.retain(|sample| check_time(sample.timestamp_ms));
        !s.samples.is_empty() || !s.histograms.is_empty()
    });
}

fn check_time(time_ms: i64, window: Window, labels: &Labels, outcome: &mut WriteOutcome) -> bool {
    if time_ms < window.first_ms {
        outcome.reject(reason::TOO_OLD, 1, || {
            format!(
                "{}: time {time_ms} ms is before the retention, which starts at {} ms",
                shown(labels),
                window.first_ms
            )
        });
    } else if time_ms > window.last_ms {
        outcome.reject(reason::TOO_NEW, 1, || {
            format!(
                "{}: time {time_ms} ms is too far in the future (limits.ingest.max_future_ms)",
                shown(labels)
            )
        });
    } else {
        return true;
    }
    false
}

fn check_labels(labels: &Labels, limits: &IngestLimits) -> Result<(), (&'static str, String)> {
    if labels.is_empty() {
        return Err((
            reason::NO_LABELS,
            "a series without labels cannot be found again".to_owned(),
        ));
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
    use model::Sample;

    fn limits() -> IngestLimits {
        IngestLimits {
            max_labels: 3,
            max_label_name_bytes: 5,
            max_label_value_bytes: 6,
            ..IngestLimits::default()
        }
    }

    #[test]
    fn each_rule_refuses_by_name_and_the_rest_goes_on() {
        let check = |pairs: &[(&str, &str)], time_ms: i64, expected: Option<(&str, &str)>| {
            let sample = |timestamp_ms| Sample {
                timestamp_ms,
                value: 1.0,
            };
            let good = Series {
                labels: Labels::from_pairs([("good", "1")]),
                samples: vec![sample(150)],
                ..Series::default()
            };
            let mut bad = good.clone();
            bad.labels = Labels::from_pairs(pairs.iter().copied());
            bad.samples = vec![sample(time_ms), sample(time_ms)];
            let mut batch = vec![bad, good];
            let mut outcome = WriteOutcome::default();
            let window = Window {
                first_ms: 100,
                last_ms: 200,
            };
            retain_valid(&mut batch, &limits(), window, &mut outcome);
            let Some((reason, says)) = expected else {
                assert_eq!((batch.len(), outcome), (2, WriteOutcome::default()));
                return;
            };
            assert_eq!((batch.len(), outcome.rejected.len()), (1, 1));
            let rejection = &outcome.rejected[0];
            assert_eq!((rejection.reason, rejection.count), (reason, 2));
            assert!(rejection.message.contains(says), "{}", rejection.message);
        };
        check(&[("a", "b")], 100, None);
        check(&[("ü.x", "b")], 200, None);
        check(&[], 150, Some(("no_labels", "without labels")));
        check(
            &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")],
            150,
            Some(("label_limit", "max_labels")),
        );
        check(&[("", "b")], 150, Some(("label_name", "not valid")));
        check(&[("a\nb", "b")], 150, Some(("label_name", "not valid")));
        check(
            &[("abcdef", "b")],
            150,
            Some(("label_name", "max_label_name_bytes")),
        );
        check(
            &[("a", "1234567")],
            150,
            Some(("label_value", "max_label_value_bytes")),
        );
        check(&[("a", "b")], 99, Some(("too_old", "retention")));
        check(&[("a", "b")], 201, Some(("too_far_in_future", "max_future_ms")));
    }
}
