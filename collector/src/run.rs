//! `binnacle run`: telemetry, ports, stores, parts, servers; then wait, then drain.

use crate::api::Api;
use crate::api::status::About;
use crate::banner::Banner;
use crate::config::Config;
use crate::parts::Parts;
use crate::queries::Queries;
use crate::servers::{Ports, Servers};
use crate::stores::Stores;
use anyhow::Result;
use model::{Clock, Resource, Tenant};
use runtime::auth::Auth;
use runtime::clock::SystemClock;
use runtime::health::Health;
use runtime::metrics::Registry;
use runtime::telemetry::{self, Telemetry};
use std::sync::Arc;
use storage::{DataDir, RealFs};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// What every part of the program lives in.
#[derive(Clone)]
pub struct Environment {
    /// The configuration.
    pub config: Arc<Config>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Our own metrics.
    pub registry: Registry,
    /// Cancelled when the program is to end.
    pub shutdown: CancellationToken,
}

/// Runs until SIGTERM or Ctrl-C, then drains.
pub async fn run(config: Config) -> Result<()> {
    let env = Environment {
        config: Arc::new(config),
        clock: Arc::new(SystemClock::new()),
        registry: Registry::new("binnacle", env!("CARGO_PKG_VERSION")),
        shutdown: runtime::shutdown::on_signals()?,
    };
    let telemetry = start_telemetry(&env)?;
    let auth = Auth::new(&env.config.auth)?;
    let ports = Ports::bind(&env.config, &auth).await?;
    let stores = open_stores(&env).await?;
    telemetry.attach(&stores.sinks(), Tenant::default());
    let parts = Parts::start(&env, &stores, &ports)?;
    let health = Health::default();
    let banner = banner(&env.config, &ports, &parts);
    let servers = Servers::start(&env, api(&env, &stores, &parts), ports, &auth, &health)?;
    show(&banner);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "binnacle is ready");

    env.shutdown.cancelled().await;
    drain(servers, parts, telemetry, stores).await
}

fn start_telemetry(env: &Environment) -> Result<Telemetry> {
    let said = &env.config.telemetry;
    let mut resource = Resource::default();
    resource.set("service.name", "binnacle");
    resource.set("service.version", env!("CARGO_PKG_VERSION"));
    resource.set("host.name", agent_node_name(&env.config));
    let options = telemetry::Options {
        filter: std::env::var("RUST_LOG").unwrap_or_else(|_| said.log.clone()),
        format: if said.json {
            telemetry::Format::Json
        } else {
            telemetry::Format::Human
        },
        resource,
    };
    Ok(telemetry::init(options, &env.registry, env.clock.clone())?)
}

fn agent_node_name(config: &Config) -> String {
    let given = &config.agent.node_name;
    if given.is_empty() {
        config.agent.host().name()
    } else {
        given.clone()
    }
}

async fn open_stores(env: &Environment) -> Result<Stores> {
    let env = env.clone();
    let open = move || {
        let data = DataDir::open(Arc::new(RealFs), &env.config.data_dir)?;
        Stores::open(&env.config, data, &env.clock, &env.registry)
    };
    Ok(spawn_blocking(open).await??)
}

fn api(env: &Environment, stores: &Stores, parts: &Parts) -> Api {
    let limits = env.config.limits.query.clone();
    Api {
        queries: Queries::new(limits.clone(), env.clock.clone(), Arc::new(env.registry.clone())),
        promql: parts.promql.clone(),
        logql: query::logql::Engine::with_limits(stores.logs.clone(), limits),
        metrics: stores.metrics.clone(),
        logs: stores.logs.clone(),
        traces: stores.traces.clone(),
        stores: stores.clone(),
        alerts: parts.alerts.clone(),
        scrapes: parts.scrapes.clone(),
        registry: env.registry.clone(),
        about: Arc::new(About {
            started_ms: env.clock.now_ms(),
            hostname: env.config.agent.host().name(),
            retention: env.config.retention.of_metrics(),
        }),
    }
}

fn banner(config: &Config, ports: &Ports, parts: &Parts) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let data = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    Banner {
        data: data.display().to_string(),
        page: config.page_url(ports.main.address()),
        otlp_grpc: ports.otlp_grpc.address(),
        otlp_http: format!("{scheme}://{}", ports.otlp_http.address()),
        collects: parts.describe(),
        alerts: parts.describe_alerts().to_owned(),
    }
    .text()
}

#[expect(
    clippy::print_stdout,
    reason = "the banner is for whoever started the program"
)]
fn show(banner: &str) {
    print!("{banner}");
}

/// First what brings data in, then what writes about it, then the stores.
async fn drain(servers: Servers, parts: Parts, telemetry: Telemetry, stores: Stores) -> Result<()> {
    servers.ended().await;
    parts.ended().await;
    telemetry.shutdown().await;
    spawn_blocking(move || stores.close()).await??;
    Ok(())
}
