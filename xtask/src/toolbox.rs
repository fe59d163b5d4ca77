//! What the tests need from outside: Debian packages of real peers, a Python environment, Node packages.

use crate::shell::{Step, output, root, say, succeeds, target_dir};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Debian packages: peers and clients that the end-to-end tests start on loopback.
const DEBIAN: &[&str] = &[
    "busybox-static",
    "chromium",
    "prometheus",
    "prometheus-node-exporter",
    "runc",
];

/// Debian packages: what `cargo xtask bench` measures beside our program.
const PEERS: &[&str] = &["prometheus", "victoria-metrics"];

/// Installs the programs that a benchmark compares with, where that goes; one that is missing is left out there.
pub(crate) fn install_peers() {
    if let Err(e) = debian_packages(PEERS) {
        say(&format!("{e:#}"));
    }
}

/// Whether Node.js and npm are there.
pub(crate) fn has_node() -> bool {
    succeeds("node", &["--version"]) && succeeds("npm", &["--version"])
}

/// Installs what is missing and gives the variables that tell the tests where it is.
pub(crate) fn install() -> Result<Vec<(&'static str, String)>> {
    if !has_node() {
        bail!("Node.js 20 or newer with npm is missing; on Debian: apt-get install nodejs npm");
    }
    debian_packages(DEBIAN)?;
    let python = python_environment()?;
    node_packages()?;
    Ok(vec![("BINNACLE_TEST_PYTHON", python)])
}

fn debian_packages(wanted: &[&'static str]) -> Result<()> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|p| !is_installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if output("id", &["-u"], &root())?.trim() != "0" {
        bail!("Debian packages are not installed; as root run: {line}");
    }
    // The packages of servers would start them as services; the tests start their own on free ports.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists();
    if ours {
        std::fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        Step::program(
            "keep services from starting",
            "chmod",
            &["755", "/usr/sbin/policy-rc.d"],
        )
        .run()?;
    }
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(&missing);
    let installed = Step::program("Debian package lists", "apt-get", &["update", "--quiet"])
        .run()
        .and_then(|()| {
            Step::program(&line, "apt-get", &arguments)
                .env("DEBIAN_FRONTEND", "noninteractive".into())
                .run()
        });
    if ours {
        std::fs::remove_file(policy)?;
    }
    installed
}

fn is_installed(package: &str) -> bool {
    let query = ["--show", "--showformat=${db:Status-Status}", package];
    output("dpkg-query", &query, &root()).is_ok_and(|status| status == "installed")
}

/// A virtual environment beside the build's output, made anew when its requirements change.
fn python_environment() -> Result<String> {
    let requirements = root().join("tests/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).context("tests/requirements.txt")?;
    let folder = target_dir()?.join("test-python");
    let stamp = folder.join("requirements.txt");
    let python = folder.join("bin/python").display().to_string();
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    let path = folder.display().to_string();
    Step::program("Python environment", "python3", &["-m", "venv", "--clear", &path])
        .run()
        .context("python3 with venv is missing; on Debian: apt-get install python3-venv")?;
    let file = requirements.display().to_string();
    let arguments = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        &file,
    ];
    Step::program("Python packages", &python, &arguments).run()?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}

/// What the browser tests import; installed when their lock file changed.
fn node_packages() -> Result<()> {
    let folder = root().join("tests/browser");
    let lock = std::fs::read_to_string(folder.join("package-lock.json"))
        .context("tests/browser/package-lock.json")?;
    let stamp = folder.join("node_modules/.installed-lock");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == lock) {
        return Ok(());
    }
    Step::program("Node packages", "npm", &["ci", "--no-audit", "--no-fund"])
        .folder(folder)
        .run()?;
    std::fs::write(stamp, lock)?;
    say("tools are ready");
    Ok(())
}
