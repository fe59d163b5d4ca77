//! What the agent collects, as it stands in the configuration under `agent:`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the agent collects. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The node's name in every series and stream; the host's own name when empty.
    pub node_name: String,
    /// The tenant that everything collected here belongs to.
    pub tenant: String,
    /// Where the node's root directory is seen from here; `/host` in a DaemonSet.
    pub host_root: PathBuf,
    /// Where the node's `/proc` is, if not under `host_root`.
    pub procfs: Option<PathBuf>,
    /// Where the node's `/sys` is, if not under `host_root`.
    pub sysfs: Option<PathBuf>,
    /// Time between two collections of metrics, for instance `15s`. The first is made at once.
    #[serde(with = "model::duration::serde_text")]
    pub interval: Duration,
    /// Whether to collect containers.
    pub containers: bool,
    /// Whether to collect the node.
    pub node: bool,
    /// Whether to look for OOM kills in the kernel's log.
    pub kernel_log: bool,
    /// Which log files to follow.
    pub logs: LogsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: String::new(),
            tenant: model::Tenant::DEFAULT.to_owned(),
            host_root: PathBuf::from("/"),
            procfs: None,
            sysfs: None,
            interval: Duration::from_secs(15),
            containers: true,
            node: true,
            kernel_log: true,
            logs: LogsConfig::default(),
        }
    }
}

impl Config {
    /// Where the node's files are.
    pub fn host(&self) -> crate::host::Host {
        crate::host::Host::at(&self.host_root)
            .with_proc(self.procfs.as_deref())
            .with_sys(self.sysfs.as_deref())
    }
    /// What the types do not say: positive times and limits, a valid tenant.
    pub fn check(&self) -> model::Result<model::Tenant> {
        let tenant = model::Tenant::new(&self.tenant).map_err(|e| e.within("agent.tenant"))?;
        let logs = &self.logs;
        let positive = [
            ("agent.interval", self.interval.as_millis() > 0),
            ("agent.logs.poll_interval", logs.poll_interval.as_millis() > 0),
            ("agent.logs.max_line_bytes", logs.max_line_bytes > 0),
            ("agent.logs.max_batch_bytes", logs.max_batch_bytes > 0),
            ("agent.logs.max_files", logs.max_files > 0),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, ok)| !ok) {
            return Err(model::Error::bad_data(format!("{key} must be more than zero")));
        }
        for file in &logs.files {
            let bad = |why: String| model::Error::bad_data(format!("agent.logs.files: {why}"));
            glob::Pattern::new(&file.glob)
                .map_err(|e| bad(format!("glob {:?} cannot be read: {e}", file.glob)))?;
            if let Some(name) = file.labels.keys().find(|name| !is_label_name(name)) {
                return Err(bad(format!(
                    "{name:?} is not a label name: use a-z A-Z 0-9 and _, and start with a letter"
                )));
            }
        }
        Ok(tenant)
    }
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("__") && model::identity::label_name(name) == name
}

/// Which log files to follow, and how much at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsConfig {
    /// Whether to follow log files at all.
    pub enabled: bool,
    /// The files. Patterns are paths on the node; a file that several match belongs to the first.
    pub files: Vec<FilePattern>,
    /// Time between two looks at the files.
    #[serde(with = "model::duration::serde_text")]
    pub poll_interval: Duration,
    /// Time between two looks for new files.
    #[serde(with = "model::duration::serde_text")]
    pub discovery_interval: Duration,
    /// Bytes of one line; of a longer one the rest is dropped and the line counted as cut.
    pub max_line_bytes: usize,
    /// Bytes of files that go into one batch.
    pub max_batch_bytes: usize,
    /// Files followed at once; more are left until others are done.
    pub max_files: usize,
    /// How long a file that was rotated away or deleted is read on before it is let go.
    #[serde(with = "model::duration::serde_text")]
    pub linger: Duration,
}

impl Default for LogsConfig {
    fn default() -> Self {
        let pattern = |glob: &str| FilePattern {
            glob: glob.to_owned(),
            ..FilePattern::default()
        };
        Self {
            enabled: true,
            files: vec![
                pattern("/var/log/pods/*/*/*.log"),
                pattern("/var/lib/docker/containers/*/*-json.log"),
                pattern("/var/log/syslog"),
                pattern("/var/log/messages"),
                pattern("/var/log/*.log"),
            ],
            poll_interval: Duration::from_millis(250),
            discovery_interval: Duration::from_secs(2),
            max_line_bytes: 256 << 10,
            max_batch_bytes: 1 << 20,
            max_files: 1024,
            linger: Duration::from_secs(5),
        }
    }
}

/// Log files by pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePattern {
    /// A path on the node with `*`, `?`, `[…]` and `**`.
    pub glob: String,
    /// How lines are written.
    #[serde(default)]
    pub format: FileFormat,
    /// Labels for every stream of these files.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// How the lines of a log file are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// CRI under `/var/log/pods`, docker's json-file for `*-json.log`, plain otherwise.
    #[default]
    Auto,
    /// Each line as it stands.
    Plain,
    /// `time stream P|F message`, as the kubelet's runtimes write it.
    Cri,
    /// A JSON object per line with `log`, `stream` and `time`, as docker's json-file driver writes it.
    Docker,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Config, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_config_is_the_default_and_unknown_keys_are_refused() {
        assert_eq!(read("{}").unwrap(), Config::default());
        let config = read("interval: 1s\nlogs:\n  files:\n  - {glob: /var/log/x, format: cri}\n").unwrap();
        assert_eq!(config.interval, Duration::from_secs(1));
        assert_eq!(config.logs.files[0].format, FileFormat::Cri);
        assert!(config.check().is_ok());
        for (bad, says) in [
            ("intervall: 1s", "intervall"),
            ("logs: {fils: []}", "fils"),
            ("interval: 5", "duration"),
        ] {
            let e = read(bad).unwrap_err();
            assert!(e.contains(says), "{bad}: {e}");
        }
        for (bad, says) in [
            ("logs: {files: [{glob: '[a'}]}", "glob"),
            ("logs: {files: [{glob: a, labels: {a-b: c}}]}", "a-b"),
            ("logs: {files: [{glob: a, labels: {__bad: c}}]}", "__bad"),
        ] {
            let e = read(bad).unwrap().check().unwrap_err();
            assert!(e.message().contains(says), "{bad}: {e}");
        }
        let zero = Config {
            interval: Duration::ZERO,
            ..Config::default()
        };
        assert!(zero.check().unwrap_err().message().contains("agent.interval"));
    }
}
