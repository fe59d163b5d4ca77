//! What a control group's path says about the container in it.
//!
//! Runtimes name control groups in two ways. The cgroupfs driver makes plain directories
//! (`/docker/<id>`, `/kubepods/burstable/pod<uid>/<id>`), the systemd driver makes units
//! (`/system.slice/docker-<id>.scope`, `/kubepods.slice/…-pod<uid>.slice/cri-containerd-<id>.scope`).

/// What runs a container, where the path tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, alone or under Kubernetes.
    Containerd,
    /// CRI-O.
    Crio,
    /// Podman.
    Podman,
    /// runc, or another runtime that leaves no mark in the path.
    Other,
}

/// A container that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// The container's id.
    pub id: &'a str,
    /// What runs it.
    pub runtime: Runtime,
    /// The uid of its pod, with dashes.
    pub pod_uid: Option<String>,
}

/// The container that a control group belongs to, when the path is one that a known runtime writes.
pub fn named(path: &str) -> Option<Named<'_>> {
    let last = path.rsplit('/').next()?;
    let (id, runtime) = scope(last).or_else(|| bare(path, last))?;
    Some(Named {
        id,
        runtime,
        pod_uid: pod_uid(path),
    })
}

/// `<prefix>-<id>.scope` of the systemd driver, and `<slice>:<prefix>:<id>` where a runtime with the cgroupfs
/// driver was handed a systemd path.
fn scope(last: &str) -> Option<(&str, Runtime)> {
    if let Some((rest, id)) = last.rsplit_once(':') {
        let prefix = rest.rsplit(':').next()?;
        return Some((id, runtime_of_prefix(prefix)?)).filter(|(id, _)| !id.is_empty());
    }
    let name = last.strip_suffix(".scope")?;
    for prefix in ["cri-containerd", "docker", "crio", "libpod", "nerdctl", "runc"] {
        let Some(id) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) else {
            continue;
        };
        // The monitor beside a container has a scope of its own.
        if id.is_empty() || id.starts_with("conmon-") {
            return None;
        }
        return Some((id, runtime_of_prefix(prefix)?));
    }
    None
}

fn runtime_of_prefix(prefix: &str) -> Option<Runtime> {
    Some(match prefix {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::Crio,
        "libpod" => Runtime::Podman,
        "runc" => Runtime::Other,
        _ => return None,
    })
}

/// Plain directories: 64 hexadecimal digits, with or without a prefix.
fn bare<'a>(path: &str, last: &'a str) -> Option<(&'a str, Runtime)> {
    for (prefix, runtime) in [("libpod-", Runtime::Podman), ("crio-", Runtime::Crio)] {
        if let Some(id) = last.strip_prefix(prefix)
            && is_long_id(id)
        {
            return Some((id, runtime));
        }
    }
    if !is_long_id(last) {
        return None;
    }
    let runtime = if path.split('/').any(|segment| segment == "docker") {
        Runtime::Docker
    } else {
        Runtime::Containerd
    };
    Some((last, runtime))
}

fn is_long_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The uid of the pod in a path: `pod<uid>`, or `…-pod<uid>.slice` with underscores for dashes.
pub fn pod_uid(path: &str) -> Option<String> {
    path.split('/').rev().find_map(|segment| {
        let inner = segment.split(':').next()?;
        let inner = inner.strip_suffix(".slice").unwrap_or(inner);
        let uid = match inner.rsplit_once("-pod") {
            Some((before, uid)) if before.starts_with("kubepods") => uid,
            _ => inner.strip_prefix("pod")?,
        };
        let uid = uid.replace('_', "-");
        let plausible = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        plausible.then_some(uid)
    })
}

/// The path of the pod's own control group, which is the one above the container's.
pub fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((above, _)) => above,
    }
}

/// Whether the last segment is a unit of systemd, which alone is no container.
pub fn is_unit(path: &str) -> bool {
    const KINDS: [&str; 7] = [
        ".service",
        ".scope",
        ".slice",
        ".mount",
        ".socket",
        ".swap",
        ".automount",
    ];
    let last = path.rsplit('/').next().unwrap_or_default();
    KINDS.iter().any(|kind| last.ends_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "6f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

    #[test]
    fn paths_name_their_containers() {
        let check = |path: &str, expected: Option<(&str, Runtime, Option<&str>)>| {
            let path = path
                .replace("<id>", ID)
                .replace("<uid>", UID)
                .replace("<_uid>", &UID.replace('-', "_"));
            let found = named(&path);
            let found = found.as_ref().map(|n| (n.id, n.runtime, n.pod_uid.as_deref()));
            assert_eq!(found, expected, "{path}");
        };
        check("/docker/<id>", Some((ID, Runtime::Docker, None)));
        check(
            "/system.slice/docker-<id>.scope",
            Some((ID, Runtime::Docker, None)),
        );
        check(
            "/kubepods/burstable/pod<uid>/<id>",
            Some((ID, Runtime::Containerd, Some(UID))),
        );
        check(
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<_uid>.slice/cri-containerd-<id>.scope",
            Some((ID, Runtime::Containerd, Some(UID))),
        );
        check(
            "/kubepods.slice/kubepods-pod<_uid>.slice/crio-<id>.scope",
            Some((ID, Runtime::Crio, Some(UID))),
        );
        check(
            "/kubepods.slice/kubepods-pod<_uid>.slice/crio-conmon-<id>.scope",
            None,
        );
        check(
            "/system.slice/containerd.service/kubepods-burstable-pod<_uid>.slice:cri-containerd:<id>",
            Some((ID, Runtime::Containerd, Some(UID))),
        );
        check("/default/<id>", Some((ID, Runtime::Containerd, None)));
        check(
            "/machine.slice/libpod-<id>.scope",
            Some((ID, Runtime::Podman, None)),
        );
        check("/libpod_parent/libpod-<id>", Some((ID, Runtime::Podman, None)));
        check("/machine.slice/libpod-conmon-<id>.scope", None);
        check(
            "/system.slice/runc-web.scope",
            Some(("web", Runtime::Other, None)),
        );
        check("/system.slice/sshd.service", None);
        check("/user.slice/user-1000.slice/session-1.scope", None);
        check("/web", None);
        check("/", None);
    }

    #[test]
    fn units_and_parents() {
        assert!(is_unit("/system.slice/cron.service") && !is_unit("/web"));
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "/");
    }
}
