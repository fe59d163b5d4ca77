//! How errors look over HTTP and gRPC: one table, one plain answer, and who the tenant is.

use ::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::body::Body;
use model::{Error, ErrorKind, Result, Tenant};

/// The header that names the tenant, as Loki, Mimir and Tempo have it.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// The HTTP status and the gRPC code of a kind of error. OTLP clients resend after `ABORTED`, `OUT_OF_RANGE`
/// and `DATA_LOSS`, so that nothing which will fail again may map to those.
const fn table(kind: ErrorKind) -> (u16, u8) {
    match kind {
        ErrorKind::BadData => (400, 3),
        ErrorKind::Unauthenticated => (401, 16),
        ErrorKind::Forbidden => (403, 7),
        ErrorKind::NotFound => (404, 5),
        ErrorKind::TooLarge => (413, 3),
        ErrorKind::Unsupported => (415, 12),
        ErrorKind::Execution => (422, 9),
        ErrorKind::LimitReached => (429, 8),
        ErrorKind::Cancelled => (499, 1),
        ErrorKind::Unavailable => (503, 14),
        ErrorKind::Timeout => (504, 4),
        ErrorKind::Corrupt | ErrorKind::Internal => (500, 13),
    }
}

/// The HTTP status of an error.
pub fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(table(error.kind()).0).expect("the table holds valid statuses")
}

/// The HTTP status of an error of a query: as [`status_of`], but a limit that a query hits is 422, because
/// sending the same query again does not help.
pub fn query_status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::LimitReached => StatusCode::UNPROCESSABLE_ENTITY,
        _ => status_of(error),
    }
}

/// The gRPC code of an error, as a number.
pub fn grpc_code_of(error: &Error) -> i32 {
    i32::from(table(error.kind()).1)
}

/// `Retry-After` in whole seconds, rounded up, when the error knows when to come back.
pub fn retry_after(error: &Error) -> Option<HeaderValue> {
    let wait = error.retry_after()?;
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Some(HeaderValue::from(seconds.max(1)))
}

/// An error as a plain-text answer with its status, `Retry-After` and, for 401, `WWW-Authenticate`.
pub fn plain_error(error: &Error) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", error.message())));
    *response.status_mut() = status_of(error);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(value) = retry_after(error) {
        headers.insert(header::RETRY_AFTER, value);
    }
    if error.kind() == ErrorKind::Unauthenticated {
        // Two challenges in two fields, because browsers look at the first of a field only.
        headers.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"binnacle\", charset=\"UTF-8\""),
        );
        headers.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"binnacle\""),
        );
    }
    response
}

/// An error in the form that the request asks for: trailers only for gRPC, plain text otherwise.
pub fn error_for(request_headers: &HeaderMap, error: &Error) -> Response<Body> {
    if is_grpc(request_headers) {
        return grpc_error(error);
    }
    let mut response = plain_error(error);
    // A page's own request: a browser would open its dialog for user and password over the page, which has a field
    // for a token instead.
    let by_script = request_headers
        .get("sec-fetch-dest")
        .is_some_and(|v| v == "empty");
    if by_script && error.kind() == ErrorKind::Unauthenticated {
        let challenge = HeaderValue::from_static("Bearer realm=\"binnacle\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Whether a request or an answer is gRPC, by its content type.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"))
}

fn grpc_error(error: &Error) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(grpc_code_of(error)));
    let message = HeaderValue::from_str(&percent_encode(error.message()));
    headers.insert(
        "grpc-message",
        message.expect("percent-encoding leaves visible ASCII only"),
    );
    response
}

/// gRPC's encoding of `grpc-message`: everything outside 0x20..=0x7e and `%` itself as `%XX`.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The tenant that a request names in `X-Scope-OrgID`, or the default one.
pub fn tenant_of(headers: &HeaderMap) -> Result<Tenant> {
    let Some(value) = headers.get(TENANT_HEADER) else {
        return Ok(Tenant::default());
    };
    let name = value
        .to_str()
        .map_err(|_| Error::bad_data("the header X-Scope-OrgID must be plain ASCII"))?;
    Tenant::new(name).map_err(|e| e.within("header X-Scope-OrgID"))
}

#[cfg(test)]
mod tests;
