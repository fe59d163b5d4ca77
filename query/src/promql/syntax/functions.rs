//! The table of functions: names, kinds of arguments and results.

use super::Kind::{self, Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// The name.
    pub name: &'static str,
    /// The kinds of the arguments; the last is that of all further ones too.
    pub args: &'static [Kind],
    /// 0: as many arguments as `args` has kinds. More: the last kind may be missing, or come up to so many times.
    /// Less: the last kind may be missing or come any number of times.
    pub variadic: i8,
    /// The kind of the result.
    pub returns: Kind,
}

/// The function of a name.
pub fn function(name: &str) -> Option<&'static Function> {
    let i = FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok()?;
    Some(&FUNCTIONS[i])
}

/// All functions, stable and experimental, sorted by name.
pub fn functions() -> &'static [Function] {
    &FUNCTIONS
}

const fn row(name: &'static str, args: &'static [Kind], variadic: i8, returns: Kind) -> Function {
    Function {
        name,
        args,
        variadic,
        returns,
    }
}

#[rustfmt::skip]
static FUNCTIONS: [Function; 90] = [
    row("abs", &[Vector], 0, Vector),
    row("absent", &[Vector], 0, Vector),
    row("absent_over_time", &[Matrix], 0, Vector),
    row("acos", &[Vector], 0, Vector),
    row("acosh", &[Vector], 0, Vector),
    row("asin", &[Vector], 0, Vector),
    row("asinh", &[Vector], 0, Vector),
    row("atan", &[Vector], 0, Vector),
    row("atanh", &[Vector], 0, Vector),
    row("avg_over_time", &[Matrix], 0, Vector),
    row("ceil", &[Vector], 0, Vector),
    row("changes", &[Matrix], 0, Vector),
    row("clamp", &[Vector, Scalar, Scalar], 0, Vector),
    row("clamp_max", &[Vector, Scalar], 0, Vector),
    row("clamp_min", &[Vector, Scalar], 0, Vector),
    row("cos", &[Vector], 0, Vector),
    row("cosh", &[Vector], 0, Vector),
    row("count_over_time", &[Matrix], 0, Vector),
    row("day_of_month", &[Vector], 1, Vector),
    row("day_of_week", &[Vector], 1, Vector),
    row("day_of_year", &[Vector], 1, Vector),
    row("days_in_month", &[Vector], 1, Vector),
    row("deg", &[Vector], 0, Vector),
    row("delta", &[Matrix], 0, Vector),
    row("deriv", &[Matrix], 0, Vector),
    row("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector),
    row("end", &[], 0, Scalar),
    row("exp", &[Vector], 0, Vector),
    row("first_over_time", &[Matrix], 0, Vector),
    row("floor", &[Vector], 0, Vector),
    row("histogram_avg", &[Vector], 0, Vector),
    row("histogram_count", &[Vector], 0, Vector),
    row("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector),
    row("histogram_quantile", &[Scalar, Vector], 0, Vector),
    row("histogram_quantiles", &[Vector, String, Scalar, Scalar], 9, Vector),
    row("histogram_stddev", &[Vector], 0, Vector),
    row("histogram_stdvar", &[Vector], 0, Vector),
    row("histogram_sum", &[Vector], 0, Vector),
    row("hour", &[Vector], 1, Vector),
    row("idelta", &[Matrix], 0, Vector),
    row("increase", &[Matrix], 0, Vector),
    row("info", &[Vector, Vector], 1, Vector),
    row("irate", &[Matrix], 0, Vector),
    row("label_join", &[Vector, String, String, String], -1, Vector),
    row("label_replace", &[Vector, String, String, String, String], 0, Vector),
    row("last_over_time", &[Matrix], 0, Vector),
    row("ln", &[Vector], 0, Vector),
    row("log10", &[Vector], 0, Vector),
    row("log2", &[Vector], 0, Vector),
    row("mad_over_time", &[Matrix], 0, Vector),
    row("max_of", &[Scalar, Scalar], 0, Scalar),
    row("max_over_time", &[Matrix], 0, Vector),
    row("min_of", &[Scalar, Scalar], 0, Scalar),
    row("min_over_time", &[Matrix], 0, Vector),
    row("minute", &[Vector], 1, Vector),
    row("month", &[Vector], 1, Vector),
    row("pi", &[], 0, Scalar),
    row("predict_linear", &[Matrix, Scalar], 0, Vector),
    row("present_over_time", &[Matrix], 0, Vector),
    row("quantile_over_time", &[Scalar, Matrix], 0, Vector),
    row("rad", &[Vector], 0, Vector),
    row("range", &[], 0, Scalar),
    row("rate", &[Matrix], 0, Vector),
    row("resets", &[Matrix], 0, Vector),
    row("round", &[Vector, Scalar], 1, Vector),
    row("scalar", &[Vector], 0, Scalar),
    row("sgn", &[Vector], 0, Vector),
    row("sin", &[Vector], 0, Vector),
    row("sinh", &[Vector], 0, Vector),
    row("sort", &[Vector], 0, Vector),
    row("sort_by_label", &[Vector, String], -1, Vector),
    row("sort_by_label_desc", &[Vector, String], -1, Vector),
    row("sort_desc", &[Vector], 0, Vector),
    row("sqrt", &[Vector], 0, Vector),
    row("start", &[], 0, Scalar),
    row("start_timestamp", &[Vector], 0, Vector),
    row("stddev_over_time", &[Matrix], 0, Vector),
    row("stdvar_over_time", &[Matrix], 0, Vector),
    row("step", &[], 0, Scalar),
    row("sum_over_time", &[Matrix], 0, Vector),
    row("tan", &[Vector], 0, Vector),
    row("tanh", &[Vector], 0, Vector),
    row("time", &[], 0, Scalar),
    row("timestamp", &[Vector], 0, Vector),
    row("ts_of_first_over_time", &[Matrix], 0, Vector),
    row("ts_of_last_over_time", &[Matrix], 0, Vector),
    row("ts_of_max_over_time", &[Matrix], 0, Vector),
    row("ts_of_min_over_time", &[Matrix], 0, Vector),
    row("vector", &[Scalar], 0, Vector),
    row("year", &[Vector], 1, Vector),
];
