//! Upkeep by hand: `POST /-/compact`.

use super::Api;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;

/// The routes.
pub fn routes() -> axum::Router<Api> {
    axum::Router::new().route("/-/compact", post(compact))
}

/// Seals and merges everything in all stores; answers when nothing is left to do.
async fn compact(State(api): State<Api>) -> Response {
    match api.stores.compact().await {
        Ok(()) => "compacted\n".into_response(),
        Err(e) => runtime::http::plain_error(&e),
    }
}
