//! Tests of native histograms: tables from Prometheus' facts, and laws that hold for any.

mod arithmetic;
mod changes;
mod values;
