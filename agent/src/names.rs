//! Names for containers, from what runtimes and the kubelet leave on the node's disk. No API is asked.

mod state;

use crate::containers::path::Runtime;
use crate::host::{Host, Reader};
use crate::identity::Identity;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Containers remembered; when there are more, everything is looked up anew.
const REMEMBERED: usize = 20_000;
/// Directory entries looked at in one listing.
const ENTRIES: usize = 50_000;

/// Looks up who a container is. Shared by the collector of containers and the reader of log files.
#[derive(Debug)]
pub struct Names {
    host: Host,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Complete answers by container id.
    known: HashMap<String, Identity>,
    kubernetes: Kubernetes,
    reader: Reader,
}

/// What the kubelet's log directories say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kubernetes {
    /// From `/var/log/containers`: container id to pod, namespace and container.
    by_id: HashMap<String, InPod>,
    /// From `/var/log/containers`: the log file that a link leads to, to the container's id.
    by_log_file: HashMap<PathBuf, String>,
    /// From `/var/log/pods`: uid to namespace, pod and the containers in it.
    pods: HashMap<String, Pod>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InPod {
    namespace: String,
    pod: String,
    container: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pod {
    namespace: String,
    pod: String,
    containers: Vec<String>,
}

impl Names {
    /// Names on a node.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            state: Mutex::default(),
        }
    }

    /// Reads the kubelet's directories again. Done once per round in which somebody is not known yet.
    pub fn refresh(&self) {
        let kubernetes = Kubernetes::read(&self.host);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.kubernetes = kubernetes;
        if state.known.len() > REMEMBERED {
            state.known.clear();
        }
    }

    /// Who a container is, and whether everything is known that there is to know. If not, ask again after
    /// [`Names::refresh`]. `is_pause` says that its process is known to hold only a pod's namespaces.
    pub fn identify(
        &self,
        id: &str,
        runtime: Runtime,
        pod_uid: Option<&str>,
        is_pause: bool,
    ) -> (Identity, bool) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if let Some(known) = state.known.get(id) {
            return (known.clone(), true);
        }
        let mut who = Identity::of_id(id);
        let mut named = match runtime {
            Runtime::Docker => state::docker(&self.host, &mut state.reader, id, &mut who),
            Runtime::Podman => state::podman(&self.host, &mut state.reader, id, &mut who),
            Runtime::Containerd | Runtime::Crio => state::oci(&self.host, &mut state.reader, id, &mut who),
            // Nothing more is written anywhere.
            Runtime::Other => true,
        };
        // Kubernetes over docker (cri-dockerd) has docker's paths and the kubelet's directories.
        if let Some(uid) = pod_uid {
            uid.clone_into(&mut who.pod_uid);
            who.is_sandbox |= is_pause;
            let by_runtime = named && !who.pod.is_empty();
            named = state.kubernetes.fill(&mut who, uid) || by_runtime;
        }
        if named {
            state.known.insert(id.to_owned(), who.clone());
        }
        (who, named)
    }

    /// Who wrote a log file, by its path on the node. `None` when the path says nothing of a container.
    pub fn of_log_file(&self, path_on_the_node: &str) -> Option<Identity> {
        if let Some(rest) = path_on_the_node.strip_prefix("/var/log/pods/") {
            return self.of_pod_log(path_on_the_node, rest);
        }
        let rest = path_on_the_node.strip_prefix("/var/lib/docker/containers/")?;
        let id = rest.split('/').next()?;
        Some(self.identify(id, Runtime::Docker, None, false).0)
    }

    /// `<namespace>_<pod>_<uid>/<container>/<n>.log`.
    fn of_pod_log(&self, path_on_the_node: &str, rest: &str) -> Option<Identity> {
        let mut segments = rest.split('/');
        let (namespace, pod, uid) = pod_directory(segments.next()?)?;
        let container = segments.next()?;
        let id = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state
                .kubernetes
                .by_log_file
                .get(Path::new(path_on_the_node))
                .cloned()
        };
        let mut who = match id {
            Some(id) => self.identify(&id, Runtime::Containerd, Some(uid), false).0,
            None => Identity::default(),
        };
        who.namespace = namespace.to_owned();
        who.pod = pod.to_owned();
        who.pod_uid = uid.to_owned();
        who.container = container.to_owned();
        Some(who)
    }
}

impl Kubernetes {
    fn read(host: &Host) -> Self {
        let mut found = Self::default();
        for path in entries(&host.path("/var/log/containers")) {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let Some((id, in_pod)) = container_link(name) else {
                continue;
            };
            if let Ok(target) = std::fs::read_link(&path) {
                found.by_log_file.insert(target, id.to_owned());
            }
            found.by_id.insert(id.to_owned(), in_pod);
        }
        for path in entries(&host.path("/var/log/pods")) {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let Some((namespace, pod, uid)) = pod_directory(name) else {
                continue;
            };
            let containers = entries(&path)
                .filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()))
                .collect();
            let pod = Pod {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                containers,
            };
            found.pods.insert(uid.to_owned(), pod);
        }
        found
    }

    /// Adds what is known of a container in a pod; whether its own name is known now.
    fn fill(&self, who: &mut Identity, uid: &str) -> bool {
        if let Some(found) = self.by_id.get(&who.container_id) {
            found.namespace.clone_into(&mut who.namespace);
            found.pod.clone_into(&mut who.pod);
            found.container.clone_into(&mut who.container);
            return true;
        }
        let Some(found) = self.pods.get(uid) else {
            return false;
        };
        found.namespace.clone_into(&mut who.namespace);
        found.pod.clone_into(&mut who.pod);
        // Without links, only a pod's single container can be told by its directory. The runtime's own state
        // may have named it already.
        if who.container != who.container_id {
            return true;
        }
        match found.containers.as_slice() {
            [only] if !who.is_sandbox => {
                only.clone_into(&mut who.container);
                true
            }
            _ => false,
        }
    }
}

/// `<pod>_<namespace>_<container>-<id>.log`. Neither pods nor namespaces nor containers may have underscores.
fn container_link(name: &str) -> Option<(&str, InPod)> {
    let (left, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = left.splitn(3, '_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    let in_pod = InPod {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
    };
    Some((id, in_pod))
}

/// `<namespace>_<pod>_<uid>`.
fn pod_directory(name: &str) -> Option<(&str, &str, &str)> {
    let (left, uid) = name.rsplit_once('_')?;
    let (namespace, pod) = left.split_once('_')?;
    Some((namespace, pod, uid))
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .take(ENTRIES)
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests;
