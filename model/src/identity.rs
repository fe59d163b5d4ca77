//! One container, one key, three signals: the table of `docs/identity.md`.
//!
//! OpenTelemetry says who made a signal with resource attributes; Prometheus and Loki say it with labels. This
//! table is the only place that knows both, so that metrics, logs and spans of one container meet.

use crate::log::Metadata;
use crate::{Labels, LabelsBuilder, Resource, Value};

/// One row: an attribute of OpenTelemetry, and what it is called as a label.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// OpenTelemetry's resource attribute.
    pub attribute: &'static str,
    /// The label of a metric.
    pub metric_label: Option<&'static str>,
    /// The label of a log stream.
    pub stream_label: Option<&'static str>,
}

const fn row(attribute: &'static str, metric: &'static str, stream: &'static str) -> Row {
    Row {
        attribute,
        metric_label: Some(metric),
        stream_label: Some(stream),
    }
}

/// The table. Where two attributes share a label, the earlier row wins.
pub const TABLE: &[Row] = &[
    row("service.name", "job", "service_name"),
    row("service.namespace", "service_namespace", "service_namespace"),
    Row {
        attribute: "service.instance.id",
        metric_label: Some("instance"),
        stream_label: None,
    },
    row(
        "deployment.environment.name",
        "deployment_environment",
        "deployment_environment",
    ),
    row("k8s.cluster.name", "cluster", "cluster"),
    row("k8s.namespace.name", "namespace", "namespace"),
    row("k8s.pod.name", "pod", "pod"),
    row("k8s.container.name", "container", "container"),
    row("container.name", "container", "container"),
    row("container.id", "container_id", "container_id"),
    row("container.image.name", "image", "image"),
    row("k8s.node.name", "node", "node"),
    row("host.name", "node", "node"),
    Row {
        attribute: "log.file.path",
        metric_label: None,
        stream_label: Some("filename"),
    },
    Row {
        attribute: "log.iostream",
        metric_label: None,
        stream_label: Some("stream"),
    },
];

/// The labels that every series of a resource carries. Attributes outside the table are left to the caller.
pub fn metric_labels(resource: &Resource) -> Labels {
    labels(resource, |row| row.metric_label)
}

/// The labels of a resource's log stream, and the attributes outside the table as structured metadata with
/// Loki's names (dots become underscores). A stream always has a `service_name`.
pub fn stream_labels(resource: &Resource) -> (Labels, Metadata) {
    let mut builder = labels(resource, |row| row.stream_label).to_builder();
    if builder.get("service_name").is_none() {
        let fallback = builder.get("container").unwrap_or("unknown_service").to_owned();
        builder.set("service_name", fallback);
    }
    let metadata = resource
        .attributes
        .iter()
        .filter(|(key, value)| {
            !matches!(value, Value::Empty)
                && !TABLE
                    .iter()
                    .any(|row| row.attribute == key && row.stream_label.is_some())
        })
        .map(|(key, value)| (label_name(key), value.to_string()))
        .collect();
    (builder.build(), metadata)
}

/// The resource that a log stream's labels stand for: the inverse of [`stream_labels`] for labels of the table;
/// other labels keep their names. Used to send streams of our own over OTLP.
pub fn resource_of_stream(labels: &Labels) -> Resource {
    let attribute = |label: &str| {
        TABLE
            .iter()
            .find(|row| row.stream_label == Some(label))
            .map_or_else(|| label.to_owned(), |row| row.attribute.to_owned())
    };
    Resource {
        attributes: labels
            .iter()
            .map(|(n, v)| (attribute(n), Value::from(v)))
            .collect(),
    }
}

/// The names under which a stream label of the table is known as a metric label; for links between signals.
pub fn metric_label_of_stream_label(label: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|row| row.stream_label == Some(label))
        .and_then(|row| row.metric_label)
}

fn labels(resource: &Resource, column: impl Fn(&Row) -> Option<&'static str>) -> Labels {
    let mut builder = LabelsBuilder::default();
    for row in TABLE {
        let (Some(label), Some(value)) = (column(row), resource.get(row.attribute)) else {
            continue;
        };
        if builder.get(label).is_none() {
            builder.set(label, value.to_string());
        }
    }
    builder.build()
}

/// An attribute's name as a label's: what is not a letter, a digit or an underscore becomes an underscore, and a
/// leading digit gets one before it.
pub fn label_name(attribute: &str) -> String {
    let mut name: String = attribute
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_container_has_one_key() {
        let mut resource = Resource::default();
        for (k, v) in [
            ("service.name", "shop"),
            ("k8s.pod.name", "shop-1"),
            ("container.id", "abc"),
            ("host.name", "h1"),
            ("k8s.node.name", "n1"),
            ("telemetry.sdk.name", "otel"),
        ] {
            resource.set(k, v);
        }
        assert_eq!(
            metric_labels(&resource).to_string(),
            r#"{container_id="abc", job="shop", node="n1", pod="shop-1"}"#
        );
        let (stream, metadata) = stream_labels(&resource);
        assert_eq!(
            stream.to_string(),
            r#"{container_id="abc", node="n1", pod="shop-1", service_name="shop"}"#
        );
        assert_eq!(metadata, [("telemetry_sdk_name".to_owned(), "otel".to_owned())]);
        assert_eq!(stream_labels(&resource_of_stream(&stream)).0, stream);
    }

    #[test]
    fn a_stream_always_has_a_service_name() {
        assert_eq!(
            stream_labels(&Resource::default()).0.get("service_name"),
            Some("unknown_service")
        );
        let mut resource = Resource::default();
        resource.set("container.name", "nginx");
        assert_eq!(stream_labels(&resource).0.get("service_name"), Some("nginx"));
    }

    #[test]
    fn names_become_label_names() {
        for (from, to) in [("a.b-c", "a_b_c"), ("1x", "_1x"), ("", "_"), ("é", "_")] {
            assert_eq!(label_name(from), to);
        }
    }
}
