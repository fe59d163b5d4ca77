//! Both text formats: no panic, and every series that parses has labels or an error for them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Quota;
use wire::exposition::{Format, parse};

fuzz_target!(|data: &[u8]| {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        if let Ok(metrics) = parse(format, data, 0, &Quota::new(1 << 24)) {
            assert!(metrics.series.iter().all(|s| s.labels.metric_name().is_some()));
        }
    }
});
