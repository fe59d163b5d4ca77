//! Health: whether the process lives, and whether it is ready to serve.

use ::http::StatusCode;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the program waits for before it is ready. Clones share it. A health without parts is ready.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, String>>>);

/// One thing that must be there before the program is ready.
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: String,
}

impl Health {
    /// Adds a thing to wait for; `reason` says what is missing until [`Part::ready`] is called.
    pub fn part(&self, name: &str, reason: &str) -> Part {
        let part = Part {
            health: self.clone(),
            name: name.to_owned(),
        };
        part.not_ready(reason);
        part
    }
    /// What is missing, by name; empty when ready.
    pub fn missing(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(n, r)| (n.clone(), r.clone())).collect()
    }
    /// `GET /-/healthy` and `GET /-/ready`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/-/healthy", get(|| async { "binnacle is healthy.\n" }))
            .route("/-/ready", get(ready))
            .with_state(self.clone())
    }
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// It is there.
    pub fn ready(&self) {
        self.health.lock().remove(&self.name);
    }
    /// It is missing, for instance because the program shuts down.
    pub fn not_ready(&self, reason: &str) {
        self.health.lock().insert(self.name.clone(), reason.to_owned());
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let missing = health.missing();
    if missing.is_empty() {
        return "binnacle is ready.\n".into_response();
    }
    let lines: String = missing.iter().map(|(n, r)| format!("{n}: {r}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready yet\n{lines}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    async fn get(health: &Health, path: &str) -> (u16, String) {
        let request = ::http::Request::get(path).body(Body::empty()).unwrap();
        let response = health.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_only_when_nothing_is_missing() {
        let health = Health::default();
        assert_eq!(get(&health, "/-/ready").await.0, 200);
        let stores = health.part("stores", "replaying the log");
        let agent = health.part("agent", "starting");
        assert_eq!(get(&health, "/-/healthy").await.0, 200);
        assert_eq!(
            get(&health, "/-/ready").await,
            (
                503,
                "not ready yet\nagent: starting\nstores: replaying the log\n".to_owned()
            )
        );
        stores.ready();
        agent.ready();
        assert_eq!(
            get(&health, "/-/ready").await,
            (200, "binnacle is ready.\n".to_owned())
        );
        stores.not_ready("shutting down");
        assert_eq!(get(&health, "/-/ready").await.0, 503);
    }
}
