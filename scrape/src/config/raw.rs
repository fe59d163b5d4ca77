//! A scrape configuration as it stands in the file: all keys of Prometheus, known, harmless or refused.

use super::{FileDiscovery, ScrapeConfig, ScrapeLimits, TargetGroup};
use crate::relabel::Relabel;
use model::{Error, Result};
use runtime::Secret;
use runtime::client::{Authorization, BasicAuth, HttpConfig};
use runtime::tls::ClientTls;
use serde::de::{self, IgnoredAny};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Declares the file's keys: what we use, what may stand there without effect, and what is refused.
macro_rules! raw_config {
    (uses { $($used:ident: $type:ty,)* } ignores { $($ignored:ident,)* } refuses { $($refused:ident,)* }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawScrapeConfig {
            job_name: String,
            $(#[serde(default)] $used: Option<$type>,)*
            $(#[serde(default)] #[expect(dead_code, reason = "accepted and without effect")] $ignored: Option<IgnoredAny>,)*
            $(#[serde(default)] $refused: Option<IgnoredAny>,)*
        }

        impl RawScrapeConfig {
            /// The first key that is there although it cannot be honoured.
            fn refused_key(&self) -> Option<&'static str> {
                $(if self.$refused.is_some() { return Some(stringify!($refused)); })*
                None
            }
        }
    };
}

raw_config! {
    uses {
        scrape_interval: Time,
        scrape_timeout: Time,
        metrics_path: String,
        scheme: Scheme,
        params: BTreeMap<String, Vec<String>>,
        honor_labels: bool,
        honor_timestamps: bool,
        track_timestamps_staleness: bool,
        enable_compression: bool,
        basic_auth: BasicAuth,
        authorization: Authorization,
        bearer_token: Secret,
        bearer_token_file: PathBuf,
        tls_config: ClientTls,
        follow_redirects: bool,
        enable_http2: bool,
        http_headers: BTreeMap<String, HeaderValues>,
        static_configs: Vec<TargetGroup>,
        file_sd_configs: Vec<FileDiscovery>,
        relabel_configs: Vec<Relabel>,
        metric_relabel_configs: Vec<Relabel>,
        sample_limit: usize,
        label_limit: usize,
        label_name_length_limit: usize,
        label_value_length_limit: usize,
        body_size_limit: Size,
        target_limit: usize,
    }
    ignores {
        // Native histograms travel in protobuf only, which is not asked for.
        scrape_protocols,
        fallback_scrape_protocol,
        scrape_classic_histograms,
        always_scrape_classic_histograms,
        scrape_native_histograms,
        native_histogram_bucket_limit,
        native_histogram_min_bucket_factor,
        keep_dropped_targets,
        metric_name_validation_scheme,
        metric_name_escaping_scheme,
        scrape_failure_log_file,
    }
    refuses {
        convert_classic_histograms_to_nhcb,
        extra_scrape_metrics,
        oauth2,
        proxy_url,
        no_proxy,
        proxy_from_environment,
        proxy_connect_header,
        azure_sd_configs,
        consul_sd_configs,
        digitalocean_sd_configs,
        dns_sd_configs,
        docker_sd_configs,
        dockerswarm_sd_configs,
        ec2_sd_configs,
        eureka_sd_configs,
        gce_sd_configs,
        hetzner_sd_configs,
        http_sd_configs,
        ionos_sd_configs,
        kubernetes_sd_configs,
        kuma_sd_configs,
        lightsail_sd_configs,
        linode_sd_configs,
        marathon_sd_configs,
        nerve_sd_configs,
        nomad_sd_configs,
        openstack_sd_configs,
        ovhcloud_sd_configs,
        puppetdb_sd_configs,
        scaleway_sd_configs,
        serverset_sd_configs,
        stackit_sd_configs,
        triton_sd_configs,
        uyuni_sd_configs,
        vultr_sd_configs,
    }
}

/// A duration as text.
#[derive(Deserialize)]
struct Time(#[serde(with = "model::duration::serde_text")] Duration);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    Http,
    Https,
}

/// `http_headers:`. Secrets and files of headers are not read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderValues {
    values: Vec<String>,
}

/// Bytes: a number, or a number with a unit. Units are powers of 1024, as in Prometheus.
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 10MB")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                size(text).map(Size).ok_or_else(|| {
                    E::custom(format!(
                        "{text:?} is not a size: write for instance 512KB or 10MB"
                    ))
                })
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let exponent = match text[digits..].trim() {
        "" | "B" => 0,
        "KB" | "KiB" => 1,
        "MB" | "MiB" => 2,
        "GB" | "GiB" => 3,
        "TB" | "TiB" => 4,
        _ => return None,
    };
    number.checked_mul(1024_u64.checked_pow(exponent)?)
}

impl TryFrom<RawScrapeConfig> for ScrapeConfig {
    type Error = Error;

    fn try_from(raw: RawScrapeConfig) -> Result<Self> {
        let job = raw.job_name.clone();
        checked(raw).map_err(|e| e.within(format!("job {job:?}")))
    }
}

fn checked(raw: RawScrapeConfig) -> Result<ScrapeConfig> {
    if let Some(key) = raw.refused_key() {
        return Err(Error::bad_data(format!("not supported yet: {key}")));
    }
    if raw.job_name.is_empty() {
        return Err(Error::bad_data("job_name is empty"));
    }
    let defaults = ScrapeConfig::new(&raw.job_name);
    let static_configs = raw.static_configs.unwrap_or_default();
    for address in static_configs.iter().flat_map(|g| &g.targets) {
        check_address(address)?;
    }
    let (interval, timeout) = (raw.scrape_interval.map(|t| t.0), raw.scrape_timeout.map(|t| t.0));
    if let (Some(interval), Some(timeout)) = (interval, timeout) {
        super::check_timing(interval, timeout)?;
    }
    let headers = headers(raw.http_headers.unwrap_or_default())?;
    let http = HttpConfig {
        basic_auth: raw.basic_auth,
        authorization: raw.authorization,
        bearer_token: raw.bearer_token,
        bearer_token_file: raw.bearer_token_file,
        tls_config: raw.tls_config.unwrap_or_default(),
        follow_redirects: raw.follow_redirects.unwrap_or(true),
        enable_http2: raw.enable_http2.unwrap_or(true),
    };
    Ok(ScrapeConfig {
        scrape_interval: interval,
        scrape_timeout: timeout,
        metrics_path: raw.metrics_path.unwrap_or(defaults.metrics_path),
        scheme: match raw.scheme {
            Some(Scheme::Https) => "https".to_owned(),
            Some(Scheme::Http) | None => defaults.scheme,
        },
        params: raw.params.unwrap_or_default(),
        honor_labels: raw.honor_labels.unwrap_or(false),
        honor_timestamps: raw.honor_timestamps.unwrap_or(true),
        track_timestamps_staleness: raw.track_timestamps_staleness.unwrap_or(false),
        enable_compression: raw.enable_compression.unwrap_or(true),
        http,
        headers,
        static_configs,
        file_sd_configs: raw.file_sd_configs.unwrap_or_default(),
        relabel_configs: raw.relabel_configs.unwrap_or_default(),
        metric_relabel_configs: raw.metric_relabel_configs.unwrap_or_default(),
        limits: ScrapeLimits {
            sample_limit: raw.sample_limit.unwrap_or(0),
            label_limit: raw.label_limit.unwrap_or(0),
            label_name_length_limit: raw.label_name_length_limit.unwrap_or(0),
            label_value_length_limit: raw.label_value_length_limit.unwrap_or(0),
            body_size_limit: raw.body_size_limit.map_or(0, |s| s.0),
            target_limit: raw.target_limit.unwrap_or(0),
        },
        ..defaults
    })
}

fn check_address(address: &str) -> Result<()> {
    if address.is_empty() || address.contains('/') {
        return Err(Error::bad_data(format!(
            "target {address:?} is not host:port; the scheme and the path have keys of their own"
        )));
    }
    Ok(())
}

/// Headers that the scrape itself sets cannot be set here.
fn headers(given: BTreeMap<String, HeaderValues>) -> Result<BTreeMap<String, String>> {
    const OURS: [&str; 6] = [
        "accept",
        "accept-encoding",
        "authorization",
        "host",
        "user-agent",
        "x-prometheus-scrape-timeout-seconds",
    ];
    let mut headers = BTreeMap::new();
    for (name, values) in given {
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Error::bad_data(format!(
                "http_headers: {name} cannot be set here"
            )));
        }
        headers.insert(name, values.values.join(", "));
    }
    Ok(headers)
}
