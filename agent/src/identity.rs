//! Who a container is: one description, from which metrics, logs and OOM lines take the same labels.

use model::{Labels, Resource, identity};

/// What is known of a container. Empty where it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The runtime's id.
    pub container_id: String,
    /// The runtime's name for it; the id where there is none.
    pub name: String,
    /// The image, as it was asked for.
    pub image: String,
    /// Kubernetes' namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub pod_uid: String,
    /// The container's name: in its pod, or the runtime's.
    pub container: String,
    /// Whether it only holds a pod's network namespace.
    pub is_sandbox: bool,
}

impl Identity {
    /// A container of which only the id is known.
    pub fn of_id(id: &str) -> Self {
        Self {
            container_id: id.to_owned(),
            name: id.to_owned(),
            container: id.to_owned(),
            ..Self::default()
        }
    }
    /// The resource in OpenTelemetry's terms; `docs/identity.md` says what becomes a label.
    pub fn resource(&self, node: &str) -> Resource {
        let mut resource = Resource::default();
        let container = if self.pod.is_empty() {
            "container.name"
        } else {
            "k8s.container.name"
        };
        for (key, value) in [
            ("k8s.namespace.name", &self.namespace),
            ("k8s.pod.name", &self.pod),
            (container, &self.container),
            ("container.id", &self.container_id),
            ("container.image.name", &self.image),
        ] {
            if !value.is_empty() {
                resource.set(key, value.as_str());
            }
        }
        resource.set("host.name", node);
        resource
    }
    /// The labels of the container's metrics: the shared ones, and cAdvisor's `id` and `name`.
    pub fn metric_labels(&self, cgroup: &str, node: &str) -> Labels {
        let mut builder = identity::metric_labels(&self.resource(node)).to_builder();
        builder.set("id", cgroup);
        builder.set("name", self.name.as_str());
        builder.set("job", JOB);
        builder.set("instance", node);
        builder.build()
    }
    /// The labels of the pod's own metrics, which belong to no container of it.
    pub fn pod_metric_labels(&self, cgroup: &str, node: &str) -> Labels {
        let pod = Self {
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            ..Self::default()
        };
        pod.metric_labels(cgroup, node)
    }
    /// The labels of one of the container's log streams: `stdout`, `stderr`, or of our own making.
    pub fn stream_labels(&self, node: &str, file: Option<&str>, stream: Option<&str>) -> Labels {
        let mut resource = self.resource(node);
        if let Some(file) = file {
            resource.set("log.file.path", file);
        }
        if let Some(stream) = stream {
            resource.set("log.iostream", stream);
        }
        identity::stream_labels(&resource).0
    }
}

/// The `job` under which dashboards expect container metrics.
const JOB: &str = "cadvisor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_the_same_key_in_metrics_and_logs() {
        let check = |who: Identity, metric: &str, stream: &str| {
            assert_eq!(who.metric_labels("/c", "n1").to_string(), metric);
            assert_eq!(who.stream_labels("n1", None, Some("stdout")).to_string(), stream);
        };
        check(
            Identity::of_id("web"),
            r#"{container="web", container_id="web", id="/c", instance="n1", job="cadvisor", name="web", node="n1"}"#,
            r#"{container="web", container_id="web", node="n1", service_name="web", stream="stdout"}"#,
        );
        let mut pod = Identity::of_id("abc");
        pod.namespace = "shop".into();
        pod.pod = "cart-1".into();
        pod.container = "cart".into();
        pod.image = "cart:2".into();
        check(
            pod,
            r#"{container="cart", container_id="abc", id="/c", image="cart:2", instance="n1", job="cadvisor", name="abc", namespace="shop", node="n1", pod="cart-1"}"#,
            r#"{container="cart", container_id="abc", image="cart:2", namespace="shop", node="n1", pod="cart-1", service_name="cart", stream="stdout"}"#,
        );
    }
}
