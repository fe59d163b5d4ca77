//! What a metric of OpenTelemetry is called in Prometheus.
//!
//! The rules are those of OpenTelemetry's "Prometheus and OpenMetrics compatibility" as Prometheus' own OTLP
//! receiver applies them: tokens joined by underscores, the unit as a word at the end, `_total` for counters and
//! `_ratio` for gauges of unit 1.

/// What the name's suffix depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Other,
}

/// The metric's name; empty when nothing usable is in it.
pub(super) fn metric_name(name: &str, unit: &str, kind: Kind) -> String {
    let usable = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut tokens: Vec<&str> = name.split(|c| !usable(c)).filter(|t| !t.is_empty()).collect();
    if tokens.is_empty() {
        return String::new();
    }
    let (main, per) = unit_words(unit);
    if !main.is_empty() && !tokens.contains(&main.as_str()) {
        tokens.push(&main);
    }
    if !per.is_empty() && !tokens.contains(&per.as_str()) {
        tokens.extend(["per", &per]);
    }
    if kind == Kind::Counter {
        tokens.retain(|t| *t != "total");
        tokens.push("total");
    }
    if kind == Kind::Gauge && unit == "1" {
        tokens.retain(|t| *t != "ratio");
        tokens.push("ratio");
    }
    let mut joined = tokens.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        joined.insert(0, '_');
    }
    joined
}

/// The words of `main/per`; annotations in braces count as no unit.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |part: &str, known: fn(&str) -> Option<&'static str>| match part.trim() {
        part if part.contains(['{', '}']) => String::new(),
        part => known(part).map_or_else(|| clean(part), str::to_owned),
    };
    (word(main, main_unit), word(per, per_unit))
}

/// A unit that no table knows, as a part of a name.
fn clean(unit: &str) -> String {
    let usable = |c: char| c.is_ascii_alphanumeric() || c == ':';
    unit.split(|c| !usable(c))
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

fn main_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        _ => return None,
    })
}

fn per_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus() {
        let check = |name: &str, unit: &str, kind: Kind, expected: &str| {
            assert_eq!(metric_name(name, unit, kind), expected, "{name} [{unit}]");
        };
        check(
            "http.server.duration",
            "ms",
            Kind::Other,
            "http_server_duration_milliseconds",
        );
        check(
            "http.server.request.duration",
            "s",
            Kind::Other,
            "http_server_request_duration_seconds",
        );
        check(
            "system.io",
            "foo/bar",
            Kind::Counter,
            "system_io_foo_per_bar_total",
        );
        check(
            "system.network.io",
            "By",
            Kind::Counter,
            "system_network_io_bytes_total",
        );
        check(
            "system.network.io_bytes.total",
            "By",
            Kind::Counter,
            "system_network_io_bytes_total",
        );
        check("requests", "1", Kind::Counter, "requests_total");
        check("memory.usage.ratio", "1", Kind::Gauge, "memory_usage_ratio");
        check("memory.usage", "1", Kind::Gauge, "memory_usage_ratio");
        check("disk.io", "By/s", Kind::Gauge, "disk_io_bytes_per_second");
        check("hertz", "Hz", Kind::Gauge, "hertz");
        check("active", "{connection}", Kind::Gauge, "active");
        check("active", "{packet}/s", Kind::Gauge, "active_per_second");
        check("cpu", "%", Kind::Gauge, "cpu_percent");
        check("1st.metric", "", Kind::Other, "_1st_metric");
        check("a..b__c", "", Kind::Other, "a_b_c");
        check("job:rate5m", "", Kind::Gauge, "job:rate5m");
        check("öl.temperatur", "Cel", Kind::Gauge, "l_temperatur_celsius");
        check("--", "s", Kind::Gauge, "");
        check("", "", Kind::Gauge, "");
    }
}
