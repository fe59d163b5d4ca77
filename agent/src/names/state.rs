//! The runtimes' own state files.

use crate::host::{Host, Reader};
use crate::identity::Identity;
use serde::Deserialize;
use std::collections::HashMap;

/// The part of docker's `config.v2.json` that names a container.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerContainer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    config: DockerConfig,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct DockerConfig {
    image: String,
    labels: Option<HashMap<String, String>>,
}

/// Fills in docker's name, image and, under Kubernetes, pod; whether the file could be read.
pub(super) fn docker(host: &Host, reader: &mut Reader, id: &str, who: &mut Identity) -> bool {
    let path = host.path(&format!("/var/lib/docker/containers/{id}/config.v2.json"));
    let Some(found) = parse::<DockerContainer>(reader, &path) else {
        return false;
    };
    let name = found.name.trim_start_matches('/');
    if !name.is_empty() {
        name.clone_into(&mut who.name);
        name.clone_into(&mut who.container);
    }
    who.image = found.config.image;
    let labels = found.config.labels.unwrap_or_default();
    fill_from(
        &labels,
        who,
        &[
            ("io.kubernetes.pod.namespace", |w| &mut w.namespace),
            ("io.kubernetes.pod.name", |w| &mut w.pod),
            ("io.kubernetes.container.name", |w| &mut w.container),
        ],
    );
    who.is_sandbox = labels.get("io.kubernetes.docker.type").map(String::as_str) == Some("podsandbox");
    true
}

#[derive(Deserialize)]
struct OciSpec {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// Fills in what containerd's CRI plugin or CRI-O wrote into the bundle; whether a bundle could be read.
pub(super) fn oci(host: &Host, reader: &mut Reader, id: &str, who: &mut Identity) -> bool {
    const PLACES: [&str; 5] = [
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/<id>/config.json",
        "/run/containerd/io.containerd.runtime.v2.task/default/<id>/config.json",
        "/run/containerd/io.containerd.runtime.v2.task/moby/<id>/config.json",
        "/run/containers/storage/overlay-containers/<id>/userdata/config.json",
        "/var/lib/containers/storage/overlay-containers/<id>/userdata/config.json",
    ];
    let found = PLACES
        .iter()
        .find_map(|place| parse::<OciSpec>(reader, &host.path(&place.replace("<id>", id))));
    let Some(OciSpec { annotations }) = found else {
        return false;
    };
    fill_from(
        &annotations,
        who,
        &[
            ("io.kubernetes.cri.container-name", |w| &mut w.container),
            ("io.kubernetes.cri.sandbox-name", |w| &mut w.pod),
            ("io.kubernetes.cri.sandbox-namespace", |w| &mut w.namespace),
            ("io.kubernetes.cri.image-name", |w| &mut w.image),
            ("io.kubernetes.container.name", |w| &mut w.container),
            ("io.kubernetes.pod.name", |w| &mut w.pod),
            ("io.kubernetes.pod.namespace", |w| &mut w.namespace),
            ("io.kubernetes.cri-o.ImageName", |w| &mut w.image),
            ("nerdctl/name", |w| &mut w.name),
        ],
    );
    if let Some(name) = annotations.get("nerdctl/name") {
        name.clone_into(&mut who.container);
    }
    who.is_sandbox = [
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri-o.ContainerType",
    ]
    .iter()
    .any(|key| annotations.get(*key).map(String::as_str) == Some("sandbox"));
    true
}

/// One entry of podman's `containers.json`.
#[derive(Deserialize)]
struct PodmanContainer {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON in a string.
    #[serde(default)]
    metadata: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct PodmanMetadata {
    image_name: String,
}

/// Fills in podman's name and image; whether the container was found.
pub(super) fn podman(host: &Host, reader: &mut Reader, id: &str, who: &mut Identity) -> bool {
    let path = host.path("/var/lib/containers/storage/overlay-containers/containers.json");
    let found = parse::<Vec<PodmanContainer>>(reader, &path)
        .and_then(|all| all.into_iter().find(|container| container.id == id));
    let Some(found) = found else {
        return false;
    };
    if let Some(name) = found.names.into_iter().next() {
        name.clone_into(&mut who.container);
        who.name = name;
    }
    let metadata: PodmanMetadata = serde_json::from_str(&found.metadata).unwrap_or_default();
    who.image = metadata.image_name;
    true
}

type Field = for<'a> fn(&'a mut Identity) -> &'a mut String;

fn fill_from(labels: &HashMap<String, String>, who: &mut Identity, fields: &[(&str, Field)]) {
    for (key, field) in fields {
        if let Some(value) = labels.get(*key)
            && !value.is_empty()
        {
            value.clone_into(field(who));
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(reader: &mut Reader, path: &std::path::Path) -> Option<T> {
    serde_json::from_str(reader.read(path)?).ok()
}
