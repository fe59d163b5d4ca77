//! Parameters of the query APIs: from the address or a form, with times and durations as Prometheus and Loki write them.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use model::time::{NS_PER_MS, NS_PER_S};
use model::{Error, Result};
use std::time::Duration;

/// All parameters of a request: those of the address, and for POST those of a form body.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let of_address = parse_pairs(request.uri().query().unwrap_or_default().as_bytes());
        let mut pairs = Vec::new();
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let is_form =
            content_type.is_some_and(|v| v.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        if request.method() == Method::POST && is_form {
            // axum's default limit of 2 MiB holds here.
            let body = Bytes::from_request(request, state)
                .await
                .map_err(IntoResponse::into_response)?;
            pairs.extend(parse_pairs(&body));
        }
        // Those of the body count first, as in Go.
        pairs.extend(of_address);
        Ok(Self(pairs))
    }
}

fn parse_pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded)
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect()
}

impl Params {
    /// Parameters that no request has, for tests.
    #[cfg(test)]
    pub(crate) fn from_pairs<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    }
    /// The first value of a parameter, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, v)| k == name && !v.is_empty())
            .map(|(_, v)| v.as_str())
    }
    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }
    /// A parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.get(name)
            .ok_or_else(|| Error::bad_data(format!("parameter {name:?} is missing")))
    }
    /// A parameter parsed by a function; the parameter's name is put before its error.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
        self.get(name)
            .map(parse)
            .transpose()
            .map_err(|e| e.within(format!("parameter {name:?}")))
    }
    /// A whole number.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        self.parsed(name, |text| {
            text.parse()
                .map_err(|_| Error::bad_data(format!("{text:?} is not a whole number")))
        })
    }
    /// A duration: seconds or `5m`.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>> {
        self.parsed(name, duration)
    }
}

/// Seconds since the epoch with fractions, or RFC 3339, as milliseconds. Prometheus' form.
pub fn time_ms(text: &str) -> Result<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        if !ms.is_finite() || ms.abs() > 9.0e15 {
            return Err(bad_time(text));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        return Ok(ms as i64);
    }
    Ok(rfc3339_ns(text)?.div_euclid(NS_PER_MS))
}

/// Nanoseconds since the epoch, seconds (up to ten digits or with fractions), or RFC 3339. Loki's form.
pub fn time_ns(text: &str) -> Result<i64> {
    if let Ok(number) = text.parse::<i64>() {
        let seconds = text.trim_start_matches('-').len() <= 10;
        return number
            .checked_mul(if seconds { NS_PER_S } else { 1 })
            .ok_or_else(|| bad_time(text));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * 1e9;
        if !ns.is_finite() || ns.abs() > 9.2e18 {
            return Err(bad_time(text));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        return Ok(ns as i64);
    }
    rfc3339_ns(text)
}

fn rfc3339_ns(text: &str) -> Result<i64> {
    wire::rfc3339::parse_ns(text.as_bytes()).ok_or_else(|| bad_time(text))
}

fn bad_time(text: &str) -> Error {
    Error::bad_data(format!(
        "{text:?} is not a time: write seconds since the epoch or RFC 3339 (2026-01-31T12:00:00Z)"
    ))
}

/// Seconds with fractions, or `5m`; never negative.
pub fn duration(text: &str) -> Result<Duration> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| Error::bad_data(format!("{text:?} is not a duration that makes sense"))),
        Err(_) => model::duration::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_many_forms() {
        let check = |text: &str, ms: Option<i64>, ns: Option<i64>| {
            assert_eq!(time_ms(text).ok(), ms, "{text} in ms");
            assert_eq!(time_ns(text).ok(), ns, "{text} in ns");
        };
        check(
            "1700000000",
            Some(1_700_000_000_000),
            Some(1_700_000_000_000_000_000),
        );
        check(
            "1700000000.5",
            Some(1_700_000_000_500),
            Some(1_700_000_000_500_000_000),
        );
        check("1700000000000000001", None, Some(1_700_000_000_000_000_001));
        check("1970-01-01T00:00:01Z", Some(1000), Some(1_000_000_000));
        check("yesterday", None, None);
        check("NaN", None, None);
    }

    #[test]
    fn durations_come_in_two_forms() {
        assert_eq!(duration("1.5").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("5m").unwrap(), Duration::from_secs(300));
        for bad in ["-1", "x", "NaN", "inf"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
