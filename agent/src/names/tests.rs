//! Names from recorded directories.

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "6f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn names(root: &Path) -> Names {
    let names = Names::new(Host::at(root));
    names.refresh();
    names
}

#[test]
fn docker_containers_have_their_name_and_image() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"{"ID":"x","Name":"/web","Config":{"Image":"nginx:1.27","Labels":null}}"#;
    write(
        dir.path(),
        &format!("var/lib/docker/containers/{ID}/config.v2.json"),
        config,
    );
    let names = names(dir.path());
    let (who, complete) = names.identify(ID, Runtime::Docker, None, false);
    assert!(complete);
    assert_eq!(
        (who.name.as_str(), who.container.as_str(), who.image.as_str()),
        ("web", "web", "nginx:1.27")
    );
    let file = format!("/var/lib/docker/containers/{ID}/{ID}-json.log");
    assert_eq!(names.of_log_file(&file), Some(who));
    let (unknown, complete) = names.identify("other", Runtime::Docker, None, false);
    assert!(!complete && unknown == Identity::of_id("other"));
}

#[test]
fn pods_are_known_by_the_kubelets_directories() {
    let dir = tempfile::tempdir().unwrap();
    let log = format!("/var/log/pods/shop_cart-1_{UID}/cart/0.log");
    write(dir.path(), &log[1..], "");
    write(
        dir.path(),
        &format!("var/log/pods/shop_cart-1_{UID}/sidecar/0.log"),
        "",
    );
    std::fs::create_dir_all(dir.path().join("var/log/containers")).unwrap();
    let link = dir
        .path()
        .join(format!("var/log/containers/cart-1_shop_cart-{ID}.log"));
    std::os::unix::fs::symlink(&log, link).unwrap();
    let names = names(dir.path());
    let (who, complete) = names.identify(ID, Runtime::Containerd, Some(UID), false);
    assert!(complete);
    assert_eq!(
        (who.namespace.as_str(), who.pod.as_str(), who.container.as_str()),
        ("shop", "cart-1", "cart")
    );
    assert_eq!(names.of_log_file(&log), Some(who));
    // A second container has no link yet: its pod is known, its name is not.
    let (other, complete) = names.identify("f00", Runtime::Containerd, Some(UID), false);
    assert!(!complete);
    assert_eq!((other.pod.as_str(), other.container.as_str()), ("cart-1", "f00"));
    // With a single directory it would be that one, unless it only holds the pod's namespaces.
    std::fs::remove_dir_all(dir.path().join(format!("var/log/pods/shop_cart-1_{UID}/sidecar"))).unwrap();
    names.refresh();
    let (pause, _) = names.identify("f00", Runtime::Containerd, Some(UID), true);
    assert_eq!((pause.is_sandbox, pause.container.as_str()), (true, "f00"));
    let (single, complete) = names.identify("f00", Runtime::Containerd, Some(UID), false);
    assert_eq!((complete, single.container.as_str()), (true, "cart"));
}

#[test]
fn bundles_name_containers_and_sandboxes() {
    let dir = tempfile::tempdir().unwrap();
    let spec = r#"{"annotations":{"io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.container-name":"cart","io.kubernetes.cri.sandbox-name":"cart-1",
        "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.image-name":"cart:2"}}"#;
    write(
        dir.path(),
        "run/containerd/io.containerd.runtime.v2.task/k8s.io/a/config.json",
        spec,
    );
    write(
        dir.path(),
        "run/containers/storage/overlay-containers/b/userdata/config.json",
        r#"{"annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox","io.kubernetes.pod.name":"p"}}"#,
    );
    write(
        dir.path(),
        "var/lib/containers/storage/overlay-containers/containers.json",
        r#"[{"id":"c","names":["db"],"metadata":"{\"image-name\":\"postgres:17\"}"}]"#,
    );
    let names = names(dir.path());
    let (a, complete) = names.identify("a", Runtime::Containerd, Some(UID), false);
    assert!(complete && !a.is_sandbox);
    assert_eq!((a.container.as_str(), a.image.as_str()), ("cart", "cart:2"));
    let (b, _) = names.identify("b", Runtime::Crio, Some(UID), false);
    assert!(b.is_sandbox && b.pod == "p");
    let (c, _) = names.identify("c", Runtime::Podman, None, false);
    assert_eq!((c.name.as_str(), c.image.as_str()), ("db", "postgres:17"));
}
