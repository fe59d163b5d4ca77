//! Prometheus remote write 1.0: protobuf of `prometheus.WriteRequest`, walked by hand. The body is packed with
//! snappy's block format; see [`crate::compression`].

mod decode;
mod encode;
mod histogram;

pub use decode::decode;
pub use encode::encode;

use model::{Error, ErrorKind, Result};

/// Looks at the `Content-Type` of a request: none, `application/x-protobuf`, or that with the name of the 1.0
/// message.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for anything else. Senders of 2.0 fall back to 1.0 when they are told so.
pub fn check_content_type(header: Option<&str>) -> Result<()> {
    let mut parts = header
        .unwrap_or("application/x-protobuf")
        .split(';')
        .map(str::trim);
    let protobuf = parts
        .next()
        .is_some_and(|t| t.eq_ignore_ascii_case("application/x-protobuf"));
    let mut message = parts
        .filter_map(|p| p.split_once('='))
        .filter(|(k, _)| k.eq_ignore_ascii_case("proto"));
    if protobuf && message.all(|(_, name)| name.trim_matches('"') == "prometheus.WriteRequest") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "content type {:?} is not supported; send remote write 1.0 as application/x-protobuf",
            header.unwrap_or_default()
        ),
    ))
}

#[cfg(test)]
mod tests;
