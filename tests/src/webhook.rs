//! A receiver of alert webhooks that keeps what it gets.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// A webhook receiver on a free port of loopback.
pub struct Webhook {
    /// Where it listens.
    pub url: String,
    state: Arc<Received>,
}

#[derive(Default)]
struct Received {
    bodies: Mutex<Vec<Value>>,
    refusals: Mutex<usize>,
}

async fn take(State(state): State<Arc<Received>>, Json(body): Json<Value>) -> StatusCode {
    let mut refusals = state.refusals.lock().unwrap_or_else(PoisonError::into_inner);
    if *refusals > 0 {
        *refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    state
        .bodies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(body);
    StatusCode::OK
}

impl Webhook {
    /// Starts it.
    pub async fn start() -> anyhow::Result<Self> {
        let state = Arc::new(Received::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let router = axum::Router::new()
            .route("/hook", post(take))
            .with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, state })
    }
    /// Answers the next `n` requests with 503.
    pub fn refuse_next(&self, n: usize) {
        *self.state.refusals.lock().unwrap_or_else(PoisonError::into_inner) = n;
    }
    /// The payloads taken so far.
    pub fn payloads(&self) -> Vec<Value> {
        self.state
            .bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    /// The alerts of one name in all payloads, in order of arrival.
    pub fn alerts(&self, name: &str) -> Vec<Value> {
        let payloads = self.payloads();
        let alerts = payloads.iter().filter_map(|p| p["alerts"].as_array()).flatten();
        alerts
            .filter(|a| a["labels"]["alertname"] == name)
            .cloned()
            .collect()
    }
}
