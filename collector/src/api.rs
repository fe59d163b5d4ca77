//! The HTTP APIs of the main port: one route table, each route with the access that it needs.

pub mod admin;
pub mod cardinality;
pub mod jaeger;
pub mod jaeger_json;
pub mod loki;
pub mod loki_json;
pub mod page;
pub mod params;
pub mod prometheus;
pub mod prometheus_exemplars;
pub mod prometheus_explain;
pub mod prometheus_json;
pub mod prometheus_metadata;
pub mod prometheus_params;
pub mod prometheus_series;
pub mod prometheus_stats;
pub mod render;
pub mod snapshots;
pub mod status;

use crate::queries::Queries;
use crate::stores::Stores;
use model::{LogBatch, Read, SeriesData, SpanBatch};
use runtime::auth::{Access, Auth};
use runtime::metrics::Registry;
use std::sync::Arc;

/// What handlers work with. Cloning shares everything.
#[derive(Clone)]
pub struct Api {
    /// Runs queries.
    pub queries: Queries,
    /// PromQL.
    pub promql: query::promql::Engine,
    /// LogQL.
    pub logql: query::logql::Engine,
    /// Reads metrics.
    pub metrics: Arc<dyn Read<SeriesData>>,
    /// Reads logs.
    pub logs: Arc<dyn Read<LogBatch>>,
    /// Reads spans.
    pub traces: Arc<dyn Read<SpanBatch>>,
    /// The stores, for upkeep.
    pub stores: Stores,
    /// Alert states.
    pub alerts: Arc<alert::Manager>,
    /// Targets of scraping.
    pub scrapes: scrape::Manager,
    /// Our own metrics.
    pub registry: Registry,
    /// What there is to say about this run.
    pub about: Arc<status::About>,
}

/// All routes of the main port, behind their access. `receivers` takes data in.
pub fn router(api: Api, receivers: axum::Router, auth: &Auth) -> axum::Router {
    let read: axum::Router = axum::Router::new()
        .merge(prometheus::routes())
        .merge(prometheus_series::routes())
        .merge(prometheus_exemplars::routes())
        .merge(prometheus_metadata::routes())
        .merge(loki::routes())
        .merge(jaeger::routes())
        .merge(cardinality::routes())
        .merge(status::routes())
        .merge(render::routes())
        .route_layer(auth.require(Access::Read))
        .with_state(api.clone())
        .layer(tower_http::compression::CompressionLayer::new());
    let admin = admin::routes()
        .merge(snapshots::routes())
        .route_layer(auth.require(Access::Admin))
        .with_state(api);
    // The page itself holds no data and shows a field for a token; its requests go through the routes above.
    read.merge(receivers.route_layer(auth.require(Access::Write)))
        .merge(admin)
        .merge(page::routes())
}
