//! One attempt to tell a webhook.

use crate::config::{Config, Webhook};
use model::{Error, ErrorKind, Result};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use runtime::Secret;
use runtime::client::{Client, explain};
use runtime::secret::SecretSource;
use std::collections::BTreeMap;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer's body is kept for the log.
const MAX_ANSWER_BYTES: usize = 512;

/// A webhook, ready to call.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    client: Client,
    url: SecretSource,
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    Delivered,
    /// Another try may go well: 5xx, 429, no connection, no answer.
    Retry {
        why: String,
        after: Option<Duration>,
        /// Whether it may have arrived all the same.
        arrived: bool,
    },
    /// Any other answer: the same again would get the same.
    Refused {
        why: String,
    },
}

/// The webhooks of all receivers, by receiver and place.
pub(crate) type Hooks = BTreeMap<(String, usize), Hook>;

/// Builds the clients of all receivers.
pub(crate) fn clients(config: &Config) -> Result<Hooks> {
    let mut hooks = Hooks::new();
    for receiver in &config.receivers {
        for (i, webhook) in receiver.webhook_configs.iter().enumerate() {
            let hook = Hook::new(config, webhook)
                .map_err(|e| e.within(format!("the receiver {:?}", receiver.name)))?;
            hooks.insert((receiver.name.clone(), i), hook);
        }
    }
    Ok(hooks)
}

impl Hook {
    fn new(config: &Config, webhook: &Webhook) -> Result<Self> {
        let url = SecretSource::pick("url", webhook.url.as_ref(), webhook.url_file.as_ref())?
            .ok_or_else(|| Error::bad_data("a webhook needs url or url_file"))?;
        if let SecretSource::Inline(url) = &url {
            check_url(url)?;
        }
        let http = webhook
            .http_config
            .as_ref()
            .or(config.global.http_config.as_ref());
        let timeout = if webhook.timeout.is_zero() {
            DEFAULT_TIMEOUT
        } else {
            webhook.timeout
        };
        Ok(Self {
            client: Client::new(&http.cloned().unwrap_or_default(), timeout)?,
            url,
        })
    }

    /// Sends a body once.
    pub(crate) async fn attempt(&self, body: Vec<u8>) -> Attempt {
        // A file that is missing now may be there later.
        let retry = |e: &Error| Attempt::Retry {
            why: e.message().to_owned(),
            after: None,
            arrived: false,
        };
        let url = match self.url.read().and_then(|url| check_url(&url).map(|()| url)) {
            Ok(url) => url,
            Err(e) => return retry(&e),
        };
        let request = match self.client.post(url.expose()) {
            Ok(request) => request.header(CONTENT_TYPE, "application/json").body(body),
            Err(e) if e.kind() == ErrorKind::BadData => return retry(&e),
            Err(e) => {
                return Attempt::Refused {
                    why: e.message().to_owned(),
                };
            }
        };
        match request.send().await {
            Ok(response) => judge(response).await,
            Err(e) => Attempt::Retry {
                why: explain(&e),
                after: None,
                arrived: !e.is_connect(),
            },
        }
    }
}

fn check_url(url: &Secret) -> Result<()> {
    let known = ["http://", "https://"]
        .iter()
        .any(|s| url.expose().starts_with(s));
    if known && reqwest::Url::parse(url.expose()).is_ok() {
        Ok(())
    } else {
        Err(Error::bad_data(
            "the webhook's URL must start with http:// or https://",
        ))
    }
}

async fn judge(mut response: reqwest::Response) -> Attempt {
    let status = response.status();
    if status.is_success() {
        return Attempt::Delivered;
    }
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let mut answer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        answer.extend_from_slice(&chunk);
        if answer.len() >= MAX_ANSWER_BYTES {
            answer.truncate(MAX_ANSWER_BYTES);
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let why = format!("the answer was {status}: {:?}", answer.trim());
    // A gateway may say 504 although the server behind it took the notification.
    let arrived = status.is_server_error();
    if arrived || status == StatusCode::TOO_MANY_REQUESTS {
        Attempt::Retry { why, after, arrived }
    } else {
        Attempt::Refused { why }
    }
}
