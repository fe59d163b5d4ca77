//! `receivers:`: who is told, and how.

use runtime::Secret;
use runtime::client::HttpConfig;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The kinds that Alertmanager has and that are not spoken yet.
const OTHER_KINDS: [&str; 18] = [
    "discord_configs",
    "email_configs",
    "incidentio_configs",
    "jira_configs",
    "mattermost_configs",
    "msteams_configs",
    "msteamsv2_configs",
    "opsgenie_configs",
    "pagerduty_configs",
    "pushover_configs",
    "rocketchat_configs",
    "slack_configs",
    "sns_configs",
    "telegram_configs",
    "victorops_configs",
    "webex_configs",
    "wechat_configs",
    "hipchat_configs",
];

/// A receiver: a name and its webhooks. One without webhooks tells nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receiver {
    /// What routes call it.
    pub name: String,
    /// All of them are told.
    pub webhook_configs: Vec<Webhook>,
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Whether the end of alerts is told.
    pub send_resolved: bool,
    /// Where to POST; may hold a token, so it is never printed.
    pub url: Option<Secret>,
    /// A file that holds the URL.
    pub url_file: Option<PathBuf>,
    /// TLS and credentials.
    pub http_config: Option<HttpConfig>,
    /// The most alerts of one notification; 0 is no limit.
    pub max_alerts: u64,
    /// For one attempt; 10 s when zero.
    #[serde(with = "model::duration::serde_text")]
    pub timeout: Duration,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            send_resolved: true,
            url: None,
            url_file: None,
            http_config: None,
            max_alerts: 0,
            timeout: Duration::ZERO,
        }
    }
}

impl<'de> Deserialize<'de> for Receiver {
    /// By hand, so that a kind that is not spoken yet is refused by its name.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Receiver;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a receiver with name and webhook_configs")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Receiver, A::Error> {
                let mut receiver = Receiver::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "name" => receiver.name = map.next_value()?,
                        "webhook_configs" => {
                            receiver.webhook_configs = map.next_value::<Option<_>>()?.unwrap_or_default();
                        }
                        other if OTHER_KINDS.contains(&other) => {
                            let list: Option<Vec<IgnoredAny>> = map.next_value()?;
                            if list.is_some_and(|l| !l.is_empty()) {
                                return Err(A::Error::custom(format!(
                                    "the receiver {:?} has {other}, which is not supported yet; use webhook_configs",
                                    receiver.name
                                )));
                            }
                        }
                        other => return Err(A::Error::unknown_field(other, &["name", "webhook_configs"])),
                    }
                }
                if receiver.name.is_empty() {
                    return Err(A::Error::custom("a receiver needs a name"));
                }
                Ok(receiver)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
