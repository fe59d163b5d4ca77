//! Puts the agent together: telemetry, ports, spool, collection, senders, listeners; then waits, then drains.

use super::config::Config;
use crate::counters::Counters;
use crate::id::AgentId;
use crate::spool::sender::Sender;
use crate::spool::{Spool, SpoolOptions};
use crate::{Agent, AgentHandle, Environment};
use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use model::{Clock, Fs, Resource, Tenant};
use runtime::auth::{Access, Auth};
use runtime::client::Client;
use runtime::health::Health;
use runtime::listen::{self, Bound};
use runtime::telemetry::{self, Telemetry};
use runtime::{Registry, SystemClock};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::{CommitOptions, DataDir, RealFs};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

/// How long a clean end waits for the collector to take what is in the spool. What it does not take stays there.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The job under which the agent's own metrics are found.
const OWN_JOB: &str = "binnacle-agent";

/// What all parts share.
#[derive(Clone)]
struct Shared {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    registry: Registry,
    counters: Arc<Counters>,
    shutdown: CancellationToken,
}

/// Ports that are taken but not served yet, so that everything else can still fail first.
struct Ports {
    own: Bound,
    otlp_grpc: Bound,
    otlp_http: Bound,
}

/// Runs until SIGTERM or Ctrl-C, then drains.
pub async fn run(config: Config) -> Result<()> {
    let registry = Registry::new("binnacle-agent", env!("CARGO_PKG_VERSION"));
    let shared = Shared {
        config: Arc::new(config),
        clock: Arc::new(SystemClock::new()),
        counters: Arc::new(Counters::new(Arc::new(registry.clone()))),
        registry,
        shutdown: runtime::shutdown::on_signals()?,
    };
    let telemetry = start_telemetry(&shared)?;
    raise_file_limit();
    let auth = Auth::new(&shared.config.auth)?;
    let ports = bind(&shared.config, &auth).await?;
    let (data, spool) = open_spool(&shared).await?;
    let tenant = Tenant::new(&shared.config.agent.tenant)?;
    telemetry.attach(&spool.relay_sinks(), tenant.clone());

    let stop_sending = CancellationToken::new();
    let senders = start_senders(&shared, &spool, &stop_sending)?;
    let agent = start_agent(&shared, &spool)?;
    let scrapes = start_scraping(&shared, &spool, &ports, tenant)?;
    let banner = banner(&shared.config, &ports, &agent);
    let servers = serve(&shared, &spool, ports, &auth)?;
    show(&banner);

    shared.shutdown.cancelled().await;
    servers.join_all().await;
    agent.shutdown().await;
    drop(scrapes);
    telemetry.shutdown().await;
    drain(senders, &stop_sending).await;
    spawn_blocking(move || spool.close()).await??;
    drop(data);
    Ok(())
}

fn start_telemetry(shared: &Shared) -> Result<Telemetry> {
    let config = &shared.config;
    let node = match config.agent.node_name.as_str() {
        "" => config.agent.host().name(),
        given => given.to_owned(),
    };
    let mut resource = Resource::default();
    resource.set("service.name", "binnacle-agent");
    resource.set("service.version", env!("CARGO_PKG_VERSION"));
    resource.set("host.name", node);
    let options = telemetry::Options {
        filter: std::env::var("RUST_LOG").unwrap_or_else(|_| config.telemetry.log.clone()),
        format: if config.telemetry.json {
            telemetry::Format::Json
        } else {
            telemetry::Format::Human
        },
        resource,
    };
    Ok(telemetry::init(options, &shared.registry, shared.clock.clone())?)
}

/// Each followed log file is held open: take what the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(e) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(error = %e, "the limit of open files stays at {:?}", limit.current);
    }
}

async fn bind(config: &Config, auth: &Auth) -> Result<Ports> {
    let bind = async |address: SocketAddr, flag: &str| {
        listen::check_exposure(address, flag, auth, config.tls.as_ref(), config.insecure)?;
        listen::bind(address, flag).await
    };
    Ok(Ports {
        own: bind(config.listen, "--listen").await?,
        otlp_grpc: bind(config.otlp_grpc, "--otlp-grpc").await?,
        otlp_http: bind(config.otlp_http, "--otlp-http").await?,
    })
}

async fn open_spool(shared: &Shared) -> Result<(DataDir, Spool)> {
    let shared = shared.clone();
    let open = move || -> Result<_> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let data = DataDir::open(fs.clone(), &shared.config.data_dir)?;
        let dir = shared.config.data_dir.join("agent");
        let agent = AgentId::open(fs.clone(), &dir)?;
        let options = SpoolOptions {
            max_bytes: shared.config.spool.max_bytes,
            commit: CommitOptions::default(),
        };
        let spool = Spool::open(&fs, &dir, &options, &agent, &shared.counters)?;
        Ok((data, spool))
    };
    spawn_blocking(open).await?
}

fn start_senders(shared: &Shared, spool: &Spool, stop: &CancellationToken) -> Result<JoinSet<()>> {
    let collector = &shared.config.collector;
    let client = Client::new(&collector.http(), collector.timeout).context("collector")?;
    let mut senders = JoinSet::new();
    for queue in spool.queues() {
        let sender = Sender {
            queue,
            client: client.clone(),
            addresses: collector.addresses()?,
            counters: shared.counters.clone(),
        };
        senders.spawn(sender.run(stop.clone()));
    }
    Ok(senders)
}

fn start_agent(shared: &Shared, spool: &Spool) -> Result<AgentHandle> {
    let environment = Environment {
        sinks: spool.own_sinks(),
        fs: Arc::new(RealFs),
        data_dir: shared.config.data_dir.clone(),
        clock: shared.clock.clone(),
        meter: Arc::new(shared.registry.clone()),
        shutdown: shared.shutdown.clone(),
    };
    Ok(Agent::start(shared.config.agent.clone(), environment)?)
}

/// Targets of the configuration, and the agent's own metrics.
fn start_scraping(shared: &Shared, spool: &Spool, ports: &Ports, tenant: Tenant) -> Result<scrape::Manager> {
    let mut jobs = shared.config.scrape_configs.clone();
    if !jobs.iter().any(|job| job.job_name == OWN_JOB) {
        let registry = shared.registry.clone();
        let exposition = scrape::Exposition(Arc::new(move || registry.gather_text()));
        let instance = ports.own.address().to_string();
        jobs.push(scrape::ScrapeConfig::in_process(OWN_JOB, &instance, exposition));
    }
    let options = scrape::Options {
        sink: spool.own_sinks().metrics,
        tenant,
        clock: shared.clock.clone(),
        shutdown: shared.shutdown.clone(),
    };
    let defaults = scrape::Defaults::default();
    Ok(scrape::Manager::run(jobs, defaults, options, &shared.registry)?)
}

fn serve(shared: &Shared, spool: &Spool, ports: Ports, auth: &Auth) -> Result<JoinSet<()>> {
    let limits = shared.config.limits.ingest.clone();
    let intake = receive::Options::new(limits, shared.clock.clone(), Arc::new(shared.registry.clone()));
    let sinks = spool.relay_sinks();
    let health = Health::default();
    let registry = shared.registry.clone();
    let metrics = get(move || {
        let text = registry.gather_text();
        async move {
            let content_type = axum::http::header::CONTENT_TYPE;
            ([(content_type, runtime::metrics::CONTENT_TYPE)], text)
        }
    });
    let write = |router: Router| {
        router
            .route_layer(auth.require(Access::Write))
            .merge(health.router())
    };
    let pushed = receive::remote_write(intake.clone(), sinks.clone())
        .merge(receive::loki_push(intake.clone(), sinks.clone()));
    let own = Router::new()
        .route("/metrics", metrics)
        .route_layer(auth.require(Access::Read));
    let routers = [
        ("main", ports.own, write(pushed).merge(own)),
        (
            "otlp_grpc",
            ports.otlp_grpc,
            write(receive::otlp_grpc(intake.clone(), sinks.clone()))
                .merge(receive::grpc_health(shared.shutdown.clone())),
        ),
        (
            "otlp_http",
            ports.otlp_http,
            write(receive::otlp_http(intake, sinks)),
        ),
    ];
    let tls = shared
        .config
        .tls
        .as_ref()
        .map(runtime::tls::server_config)
        .transpose()?;
    let mut servers = JoinSet::new();
    for (name, bound, router) in routers {
        let shared = shared.clone();
        let observed = runtime::metrics::observe::layer(router, &shared.registry, shared.clock.clone());
        let options = listen::Options {
            tls: tls.clone(),
            ..listen::Options::new(name)
        };
        servers.spawn(async move {
            listen::serve(
                bound,
                observed,
                options,
                &shared.registry,
                shared.shutdown.clone(),
            )
            .await;
        });
    }
    Ok(servers)
}

/// Lets the senders empty the spool for a moment.
async fn drain(mut senders: JoinSet<()>, stop: &CancellationToken) {
    stop.cancel();
    let ended = async { while senders.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, ended).await.is_err() {
        tracing::info!("the collector did not take everything in time; the rest waits in the spool");
        senders.shutdown().await;
    }
}

fn banner(config: &Config, ports: &Ports, agent: &AgentHandle) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let data = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let mut out = format!("binnacle-agent {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "  {key:<9} {value}");
    };
    line("collector", &config.collector.url);
    line(
        "otlp",
        &format!(
            "grpc {}, http {scheme}://{}",
            ports.otlp_grpc.address(),
            ports.otlp_http.address()
        ),
    );
    line("metrics", &format!("{scheme}://{}/metrics", ports.own.address()));
    line("data", &data.display().to_string());
    for what in agent.describe() {
        line("collects", &what);
    }
    let jobs = config.scrape_configs.len();
    if jobs > 0 {
        line("collects", &format!("{jobs} scrape jobs of the configuration"));
    }
    out.push_str("ready\n");
    out
}

#[expect(
    clippy::print_stdout,
    reason = "the banner is for whoever started the program"
)]
fn show(banner: &str) {
    print!("{banner}");
}
