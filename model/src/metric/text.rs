//! Native histograms as Prometheus writes them in texts.

use super::{Bucket, Histogram};
use std::fmt::{Display, Formatter, Result};

impl Display for Histogram {
    /// `{count:10, sum:3.5, [-2,-1):3, [-0.001,0.001]:1, (1,2]:6}`: buckets in ascending order, without empty ones.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{{count:{}, sum:{}", Number(self.count), Number(self.sum))?;
        let negative = self
            .negative
            .iter()
            .rev()
            .map(|(i, n)| self.negative_bucket(*i, *n));
        let negative = negative.filter(|_| !self.has_custom_bounds());
        let positive = self.positive.iter().map(|(i, n)| self.positive_bucket(*i, *n));
        for bucket in negative.chain(self.zero_bucket()).chain(positive) {
            if bucket.count != 0.0 {
                write!(f, ", {bucket}")?;
            }
        }
        f.write_str("}")
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let from = if self.includes_lower { '[' } else { '(' };
        let to = if self.includes_upper { ']' } else { ')' };
        let (lower, upper, count) = (Number(self.lower), Number(self.upper), Number(self.count));
        write!(f, "{from}{lower},{upper}{to}:{count}")
    }
}

/// A number as Go's `%g` writes it: the shortest text that reads back, with an exponent from a million on and below
/// 0.0001.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
            return write!(f, "{value}");
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        write!(f, "{mantissa}e{sign}{digits:0>2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::bounds::CUSTOM_SCHEMA;

    #[test]
    fn texts_are_those_of_prometheus() {
        let check = |histogram: Histogram, expected: &str| assert_eq!(histogram.to_string(), expected);
        check(Histogram::default(), "{count:0, sum:0}");
        check(
            Histogram {
                count: 3493.3,
                sum: 2_349_209.324,
                zero_threshold: 0.01,
                zero_count: 5.5,
                positive: vec![(-2, 1.0), (1, 3.3), (2, 4.2), (3, 0.0)],
                negative: vec![(3, 3.1), (4, 3.0), (8, 1.234e5), (9, 1e-7)],
                ..Histogram::default()
            },
            "{count:3493.3, sum:2.349209324e+06, [-512,-256):1e-07, [-256,-128):123400, [-16,-8):3, [-8,-4):3.1, \
             [-0.01,0.01]:5.5, (0.125,0.25]:1, (1,2]:3.3, (2,4]:4.2}",
        );
        check(
            Histogram {
                schema: CUSTOM_SCHEMA,
                count: 1.0,
                sum: f64::NAN,
                custom_bounds: vec![5.0, 1e21],
                positive: vec![(0, 1.0), (1, 2.5), (2, f64::INFINITY)],
                ..Histogram::default()
            },
            "{count:1, sum:NaN, [-Inf,5]:1, (5,1e+21]:2.5, (1e+21,+Inf]:+Inf}",
        );
    }

    #[test]
    fn numbers_are_those_of_go() {
        let check = |value: f64, expected: &str| assert_eq!(Number(value).to_string(), expected);
        check(-0.0, "-0");
        check(999_999.5, "999999.5");
        check(1e6, "1e+06");
        check(-1_234_567.0, "-1.234567e+06");
        check(0.0001, "0.0001");
        check(0.00001, "1e-05");
        check(1e100, "1e+100");
        check(f64::NEG_INFINITY, "-Inf");
    }
}
