//! What works beside the listeners: upkeep of the stores, the agent, scraping, alerts.

use crate::run::Environment;
use crate::servers::Ports;
use crate::stores::Stores;
use agent::{Agent, AgentHandle};
use anyhow::{Context as _, Result};
use model::Tenant;
use scrape::{Exposition, ScrapeConfig};
use std::path::Path;
use std::sync::Arc;
use storage::RealFs;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running parts.
pub struct Parts {
    /// PromQL, shared by rules and APIs.
    pub promql: query::promql::Engine,
    /// Alert states.
    pub alerts: Arc<alert::Manager>,
    /// Targets.
    pub scrapes: scrape::Manager,
    agent: Option<AgentHandle>,
    upkeep: JoinHandle<()>,
    described: Vec<String>,
    described_alerts: String,
}

/// The job under which binnacle's own metrics are found.
const OWN_JOB: &str = "binnacle";

impl Parts {
    /// Starts all of them.
    pub fn start(env: &Environment, stores: &Stores, ports: &Ports) -> Result<Self> {
        let config = &env.config;
        let options = query::promql::Options::from(&config.limits.query);
        let promql = query::promql::Engine::with_options(stores.metrics.clone(), options);
        let agent = (!config.no_agent).then(|| start_agent(env, stores)).transpose()?;
        let mut described = agent.as_ref().map(AgentHandle::describe).unwrap_or_default();
        let jobs = config.scrape_configs.len();
        if jobs > 0 {
            described.push(format!("{jobs} scrape jobs of the configuration"));
        }
        described.push("itself: metrics, logs and traces of binnacle".to_owned());
        let (alerts, described_alerts) = start_alerts(env, &promql, stores, ports)?;
        Ok(Self {
            scrapes: start_scraping(env, stores, ports)?,
            alerts: Arc::new(alerts),
            promql,
            agent,
            upkeep: tokio::spawn(upkeep(stores.clone(), env.shutdown.clone())),
            described,
            described_alerts,
        })
    }
    /// What is collected, one line each.
    pub fn describe(&self) -> &[String] {
        &self.described
    }
    /// What is watched and who is told.
    pub fn describe_alerts(&self) -> &str {
        &self.described_alerts
    }
    /// Waits until everything has ended after the shutdown began.
    pub async fn ended(self) {
        if let Some(agent) = self.agent {
            agent.shutdown().await;
        }
        self.scrapes.stopped().await;
        self.alerts.stopped().await;
        if let Err(e) = self.upkeep.await {
            tracing::error!("upkeep ended in a bug: {e}");
        }
    }
}

/// What the stores need from time to time, until the shutdown.
async fn upkeep(stores: Stores, shutdown: CancellationToken) {
    tokio::join!(stores.clone().maintain(shutdown.clone()), stores.merge(shutdown));
}

fn start_agent(env: &Environment, stores: &Stores) -> Result<AgentHandle> {
    let environment = agent::Environment {
        sinks: stores.sinks(),
        fs: Arc::new(RealFs),
        data_dir: env.config.data_dir.clone(),
        clock: env.clock.clone(),
        meter: Arc::new(env.registry.clone()),
        shutdown: env.shutdown.clone(),
    };
    Agent::start(env.config.agent.clone(), environment).context("the agent does not start")
}

fn start_scraping(env: &Environment, stores: &Stores, ports: &Ports) -> Result<scrape::Manager> {
    let mut jobs = env.config.scrape_configs.clone();
    if !jobs.iter().any(|job| job.job_name == OWN_JOB) {
        let registry = env.registry.clone();
        let exposition = Exposition(Arc::new(move || registry.gather_text()));
        // In the process, so that neither TLS nor tokens stand between binnacle and itself.
        jobs.push(ScrapeConfig::in_process(
            OWN_JOB,
            &ports.main.address().to_string(),
            exposition,
        ));
    }
    let options = scrape::Options {
        sink: stores.metrics.clone(),
        tenant: Tenant::default(),
        clock: env.clock.clone(),
        shutdown: env.shutdown.clone(),
    };
    Ok(scrape::Manager::run(
        jobs,
        env.config.scrape_defaults(),
        options,
        &env.registry,
    )?)
}

fn start_alerts(
    env: &Environment,
    promql: &query::promql::Engine,
    stores: &Stores,
    ports: &Ports,
) -> Result<(alert::Manager, String)> {
    let config = env.config.alert();
    // Patterns were made absolute when the configuration was read.
    let rules = config.load_rules(Path::new("."))?;
    let options = alert::Options {
        tenant: Tenant::default(),
        engine: promql.clone(),
        writer: stores.metrics.clone(),
        fs: Arc::new(RealFs),
        data_dir: env.config.data_dir.clone(),
        clock: env.clock.clone(),
        meter: Arc::new(env.registry.clone()),
        query_limits: env.config.limits.query.budget(),
        external_url: env.config.page_url(ports.main.address()),
        shutdown: env.shutdown.clone(),
    };
    let count: usize = rules
        .iter()
        .flat_map(|file| &file.groups)
        .map(|group| group.rules.len())
        .sum();
    let told = match config.receivers.len() {
        0 => "nobody is told: set route and receivers".to_owned(),
        n => format!("{n} receivers"),
    };
    Ok((
        alert::Manager::start(options, &config, &rules)?,
        format!("{count} rules, {told}"),
    ))
}
