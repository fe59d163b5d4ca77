//! Getting an exposition: over HTTP, or from a function of this process.

use crate::config::{Exposition, ScrapeConfig};
use crate::target::Target;
use model::{Error, ErrorKind, Result};
use runtime::client::{Client, explain};
use std::time::Duration;
use wire::compression::{Encoding, decompress};
use wire::exposition::{ACCEPT, Format};

/// An exposition, unpacked.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) format: Format,
    pub(crate) bytes: Vec<u8>,
}

/// How the expositions of a job are fetched. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) enum Fetcher {
    Http {
        client: Client,
        headers: Vec<(String, String)>,
        compression: bool,
        max_bytes: u64,
    },
    InProcess(Exposition),
}

impl Fetcher {
    pub(crate) fn new(config: &ScrapeConfig) -> Result<Self> {
        if let Some(exposition) = &config.in_process {
            return Ok(Self::InProcess(exposition.clone()));
        }
        // Each scrape sets its own, shorter timeout.
        let client = Client::new(&config.http, Duration::from_secs(3600))
            .map_err(|e| e.within(format!("scrape_configs: job {:?}", config.job_name)))?;
        Ok(Self::Http {
            client,
            headers: config.headers.clone().into_iter().collect(),
            compression: config.enable_compression,
            max_bytes: config.limits.body_bytes(),
        })
    }

    /// Fetches one exposition within the target's timeout.
    pub(crate) async fn fetch(&self, target: &Target) -> Result<Body> {
        match self {
            Self::InProcess(exposition) => Ok(Body {
                format: Format::Prometheus,
                bytes: (exposition.0)().into_bytes(),
            }),
            Self::Http {
                client,
                headers,
                compression,
                max_bytes,
            } => {
                let mut request = client
                    .get(target.url.as_str())?
                    .header("accept", ACCEPT)
                    .header("accept-encoding", if *compression { "gzip" } else { "identity" })
                    .header(
                        "x-prometheus-scrape-timeout-seconds",
                        target.timeout.as_secs_f64().to_string(),
                    );
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let answer = tokio::time::timeout(target.timeout, http(request, *max_bytes)).await;
                answer.unwrap_or_else(|_| {
                    Err(failed(format!(
                        "no answer within the scrape_timeout of {}",
                        model::duration::format(target.timeout)
                    )))
                })
            }
        }
    }
}

async fn http(request: reqwest::RequestBuilder, max_bytes: u64) -> Result<Body> {
    let mut response = request.send().await.map_err(|e| failed(explain(&e)))?;
    let status = response.status();
    if status != reqwest::StatusCode::OK {
        return Err(failed(format!("server returned HTTP status {status}")));
    }
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
    // Exporters that name no type, or a strange one, speak the old text format.
    let format = header("content-type")
        .and_then(Format::from_content_type)
        .unwrap_or(Format::Prometheus);
    let encoding = Encoding::from_header(header("content-encoding"))?;
    let mut packed = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(explain(&e)))? {
        if (packed.len() + chunk.len()) as u64 > max_bytes {
            return Err(too_large(max_bytes));
        }
        packed.extend_from_slice(&chunk);
    }
    let bytes = decompress(encoding, &packed, max_bytes).map_err(|e| match e.kind() {
        ErrorKind::TooLarge => too_large(max_bytes),
        _ => e,
    })?;
    Ok(Body {
        format,
        bytes: bytes.into_owned(),
    })
}

fn too_large(max_bytes: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("the body is larger than the body_size_limit of {max_bytes} bytes"),
    )
}

fn failed(message: String) -> Error {
    Error::unavailable(message, Duration::from_secs(1))
}
