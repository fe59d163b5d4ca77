//! The three listeners of `binnacle` and what answers on each.

use crate::api::{self, Api};
use crate::config::Config;
use crate::run::Environment;
use model::{IngestLimits, Result};
use runtime::auth::{Access, Auth};
use runtime::health::Health;
use runtime::listen::{self, Bound, Options};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Ports that are taken but not served yet, so that everything else can still fail first.
pub struct Ports {
    /// Page, query APIs, remote write, Loki push.
    pub main: Bound,
    /// OTLP over gRPC.
    pub otlp_grpc: Bound,
    /// OTLP over HTTP.
    pub otlp_http: Bound,
}

impl Ports {
    /// Takes all three, after a look at who could reach them.
    pub async fn bind(config: &Config, auth: &Auth) -> Result<Self> {
        let bind = async |address: SocketAddr, flag: &str| {
            listen::check_exposure(address, flag, auth, config.tls.as_ref(), config.insecure)?;
            listen::bind(address, flag).await
        };
        Ok(Self {
            main: bind(config.listen, "--listen").await?,
            otlp_grpc: bind(config.otlp_grpc, "--otlp-grpc").await?,
            otlp_http: bind(config.otlp_http, "--otlp-http").await?,
        })
    }
}

/// The listeners at work.
pub struct Servers(JoinSet<()>);

impl Servers {
    /// Starts to serve on all ports.
    pub fn start(env: &Environment, api: Api, ports: Ports, auth: &Auth, health: &Health) -> Result<Self> {
        let limits: IngestLimits = env.config.limits.ingest.clone();
        let intake = receive::Options::new(limits, env.clock.clone(), Arc::new(env.registry.clone()));
        let sinks = api.stores.sinks();
        let pushed = receive::remote_write(intake.clone(), sinks.clone())
            .merge(receive::loki_push(intake.clone(), sinks.clone()))
            .merge(receive::otlp_http(intake.clone(), sinks.clone()));
        let main = api::router(api, pushed, auth).merge(health.router());
        let write = |router: axum::Router| {
            router
                .route_layer(auth.require(Access::Write))
                .merge(health.router())
        };
        let grpc = write(receive::otlp_grpc(intake.clone(), sinks.clone()))
            .merge(receive::grpc_health(env.shutdown.clone()));
        let http = write(receive::otlp_http(intake, sinks));
        let tls = env
            .config
            .tls
            .as_ref()
            .map(runtime::tls::server_config)
            .transpose()?;
        let mut servers = JoinSet::new();
        for (name, bound, router) in [
            ("main", ports.main, main),
            ("otlp_grpc", ports.otlp_grpc, grpc),
            ("otlp_http", ports.otlp_http, http),
        ] {
            let env = env.clone();
            let observed = runtime::metrics::observe::layer(router, &env.registry, env.clock.clone());
            let options = Options {
                tls: tls.clone(),
                ..Options::new(name)
            };
            servers.spawn(async move {
                listen::serve(bound, observed, options, &env.registry, env.shutdown.clone()).await;
            });
        }
        Ok(Self(servers))
    }
    /// Waits until all listeners have drained.
    pub async fn ended(self) {
        self.0.join_all().await;
    }
}
