//! The web page: its files, and `index.html` for every path that the page itself knows.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use dashboard::ui;

/// The routes: whatever no other route answers.
pub fn routes<S: Clone + Send + Sync + 'static>() -> axum::Router<S> {
    axum::Router::new().fallback(page)
}

async fn page(request: Request) -> Response {
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = format!(
            "{} {path}: there is nothing here that takes this method\n",
            request.method()
        );
        return (StatusCode::NOT_FOUND, message).into_response();
    }
    let Some(asset) = ui::asset(path) else {
        return (StatusCode::NOT_FOUND, format!("{path}: not found\n")).into_response();
    };
    let known = request.headers().get(header::IF_NONE_MATCH);
    let unchanged = known.is_some_and(|v| v.as_bytes() == asset.etag.as_bytes());
    let accepted = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let zipped = asset
        .gzip
        .filter(|_| accepted.split(',').any(|e| e.trim().starts_with("gzip")));
    let mut response = match (unchanged, zipped) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, Some(bytes)) => ([(header::CONTENT_ENCODING, "gzip")], bytes).into_response(),
        (false, None) => asset.bytes.into_response(),
    };
    let age = if asset.immutable {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::ETAG, asset.etag),
        (header::CACHE_CONTROL, age),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, ui::CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
