//! Values as people read them: bytes, percent, seconds, plain numbers with a prefix.

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A plain number: `1.5 k`, `20 M`.
    #[default]
    Short,
    /// Bytes with binary prefixes: `1.5 MiB`.
    Bytes,
    /// Bytes per second with binary prefixes.
    BytesPerSecond,
    /// A share where 100 is all of it.
    Percent,
    /// A share where 1 is all of it, shown as percent.
    PercentUnit,
    /// Seconds: `20 ms`, `1.5 s`, `3 min`, `2 h`, `5 d`.
    Seconds,
}

const DECIMAL: [(f64, &str); 9] = [
    (1e18, " E"),
    (1e15, " P"),
    (1e12, " T"),
    (1e9, " G"),
    (1e6, " M"),
    (1e3, " k"),
    (1.0, ""),
    (1e-3, " m"),
    (1e-6, " µ"),
];
const BINARY: [(f64, &str); 7] = [
    (1_152_921_504_606_846_976.0, " EiB"),
    (1_125_899_906_842_624.0, " PiB"),
    (1_099_511_627_776.0, " TiB"),
    (1_073_741_824.0, " GiB"),
    (1_048_576.0, " MiB"),
    (1024.0, " KiB"),
    (1.0, " B"),
];
const TIME: [(f64, &str); 8] = [
    (86_400.0, " d"),
    (3600.0, " h"),
    (60.0, " min"),
    (1.0, " s"),
    (1e-3, " ms"),
    (1e-6, " µs"),
    (1e-9, " ns"),
    (1e-12, " ps"),
];

impl Unit {
    /// Reads a name as dashboards and addresses have it; Grafana's names are known too.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "short" | "none" | "" => Self::Short,
            "bytes" | "decbytes" => Self::Bytes,
            "Bps" | "binBps" | "bytes_per_second" => Self::BytesPerSecond,
            "percent" => Self::Percent,
            "percentunit" | "percent_unit" => Self::PercentUnit,
            "s" | "seconds" => Self::Seconds,
            _ => return None,
        })
    }

    /// Writes a value so that values `resolution` apart look different; 0 asks for three digits.
    pub fn format(self, value: f64, resolution: f64) -> String {
        if value.is_nan() {
            return "–".to_owned();
        }
        if value.is_infinite() {
            return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
        }
        match self {
            Self::Short => scaled(value, resolution, &DECIMAL, ""),
            Self::Bytes => scaled(value, resolution, &BINARY, ""),
            Self::BytesPerSecond => scaled(value, resolution, &BINARY, "/s"),
            Self::Percent => format!("{}%", number(value, resolution)),
            Self::PercentUnit => format!("{}%", number(value * 100.0, resolution * 100.0)),
            Self::Seconds => scaled(value, resolution, &TIME, ""),
        }
    }
}

fn scaled(value: f64, resolution: f64, prefixes: &[(f64, &str)], suffix: &str) -> String {
    // Zero has no prefix of its own; the smallest one above it would look odd, so it takes the base unit.
    let base = prefixes
        .iter()
        .find(|(size, _)| *size == 1.0)
        .expect("each table has its base");
    let smallest = prefixes.last().expect("tables are not empty");
    // A rounding error below the resolution must not turn 1 Ki into 1024 B.
    let magnitude = value.abs() * (1.0 + 1e-9);
    let (size, prefix) = if value == 0.0 {
        base
    } else {
        prefixes
            .iter()
            .find(|(size, _)| magnitude >= *size)
            .unwrap_or(smallest)
    };
    format!("{}{prefix}{suffix}", number(value / size, resolution / size))
}

/// A plain number with as many digits as the resolution needs, without trailing zeros.
fn number(value: f64, resolution: f64) -> String {
    let digits = if resolution > 0.0 && resolution.is_finite() {
        (-resolution.log10() - 1e-9).ceil().clamp(0.0, 12.0)
    } else {
        (2.0 - value.abs().max(1e-12).log10().floor()).clamp(0.0, 12.0)
    };
    if value.abs() >= 1e15 {
        return format!("{value:.2e}");
    }
    // A step such as 2.5 or 1/3 needs more digits than its size says; three more are enough for any tick.
    let exact = |d: usize| (value - format!("{value:.d$}").parse::<f64>().unwrap_or(value)).abs();
    let mut decimals = digits as usize;
    while resolution > 0.0 && decimals < digits as usize + 2 && exact(decimals) > resolution * 0.01 {
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well() {
        let check = |unit: Unit, value: f64, resolution: f64, text: &str| {
            assert_eq!(
                unit.format(value, resolution),
                text,
                "{unit:?} {value} {resolution}"
            );
        };
        check(Unit::Short, 0.0, 0.0, "0");
        check(Unit::Short, 1500.0, 500.0, "1.5 k");
        check(Unit::Short, 20e6, 0.0, "20 M");
        check(Unit::Short, 0.25, 0.05, "250 m");
        check(Unit::Short, -3.0, 1.0, "-3");
        check(Unit::Short, 1e300, 0.0, "1.00e282 E");
        check(Unit::Bytes, 512.0, 0.0, "512 B");
        check(Unit::Bytes, 1_610_612_736.0, 0.0, "1.5 GiB");
        check(Unit::Bytes, 1024.0, 1024.0, "1 KiB");
        check(Unit::Bytes, 0.0, 1024.0, "0 B");
        check(Unit::BytesPerSecond, 2048.0, 1024.0, "2 KiB/s");
        check(Unit::Percent, 12.5, 2.5, "12.5%");
        check(Unit::PercentUnit, 0.2, 0.1, "20%");
        check(Unit::PercentUnit, 1.0, 0.0, "100%");
        check(Unit::Seconds, 0.02, 0.01, "20 ms");
        check(Unit::Seconds, 90.0, 30.0, "1.5 min");
        check(Unit::Seconds, 86_400.0, 3600.0, "1 d");
        check(Unit::Short, f64::NAN, 0.0, "–");
        check(Unit::Short, f64::NEG_INFINITY, 0.0, "-∞");
        check(Unit::Short, 1e-300, 0.0, "0 µ");
    }
}
