//! Embeds the web page of `ui/` into the program, and has npm build it first where that is needed.
//!
//! Which of three things happens:
//!
//! * `BINNACLE_UI_DIST=/path` takes an already built folder, and `BINNACLE_UI_SKIP=1` embeds nothing; the
//!   program then serves a plain page that says so.
//! * Commands that only look at the code (`check`, `clippy`, `doc`, `fix`, `metadata`, and with them every editor
//!   that runs `cargo check`) never start npm. They embed what `ui/dist` holds if it is up to date, else nothing.
//! * All others (`build`, `run`, `test`, `bench`, `install`, …) bring `ui/dist` up to date and embed it. "Up to
//!   date" means that `ui/dist/.sources-hash` holds the hash of the sources' content, so that a touched
//!   time stamp, a fresh clone next to a kept `dist` or a switched branch and back costs no npm run.
//!
//! Cargo tells a build script neither its subcommand nor whether the result will be linked, and runs it once for
//! `check` and `build` together. So the subcommand is read off the parent process, and an embed that was left
//! empty only because of it watches a file that does not exist: cargo takes that for "changed", and the
//! next command runs this script again.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything in `ui/` that the built page depends on.
const SOURCES: [&str; 7] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
];

/// Where the page's own build notes from which sources it was made; not embedded.
const HASH_FILE: &str = ".sources-hash";

/// The oldest Node.js that the page's build tool runs on.
const OLDEST_NODE: (u32, u32) = (20, 19);

const WAYS_OUT: &str = "Install Node.js 20.19 or newer with npm (Debian 13: apt-get install nodejs npm; others: https://nodejs.org), \
     or set BINNACLE_UI_DIST=/path/to/a/built/ui/dist to embed a page that was built elsewhere, \
     or set BINNACLE_UI_SKIP=1 to build the program without its web page.";

type Outcome<T> = Result<T, String>;

fn main() {
    for name in ["BINNACLE_UI_DIST", "BINNACLE_UI_SKIP"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(message) = run() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Outcome<()> {
    let ui = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("ui");
    let out = PathBuf::from(variable("OUT_DIR")?);
    if std::env::var_os("BINNACLE_UI_SKIP").is_some_and(|v| !v.is_empty() && v != "0") {
        return embed(None, &out);
    }
    if let Some(dist) = std::env::var_os("BINNACLE_UI_DIST").filter(|v| !v.is_empty()) {
        let dist = PathBuf::from(dist);
        if !dist.is_absolute() {
            return Err(format!(
                "BINNACLE_UI_DIST={} has to be an absolute path",
                dist.display()
            ));
        }
        if !dist.join("index.html").is_file() {
            return Err(format!("BINNACLE_UI_DIST={} holds no index.html", dist.display()));
        }
        println!("cargo::rerun-if-changed={}", dist.display());
        return embed(Some(&dist), &out);
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", ui.join(source).display());
    }
    let dist = ui.join("dist");
    let hash = hash_of_sources(&ui)?;
    if is_built(&dist, &hash) {
        return embed(Some(&dist), &out);
    }
    if only_looks_at_code(&parent_command()) {
        println!(
            "cargo::rerun-if-changed={}",
            out.join("run-again-for-a-real-build").display()
        );
        return embed(None, &out);
    }
    build_page(&ui, &dist, &hash)?;
    embed(Some(&dist), &out)
}

fn variable(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|e| format!("cargo sets {name} for build scripts: {e}"))
}

fn is_built(dist: &Path, hash: &str) -> bool {
    fs::read_to_string(dist.join(HASH_FILE)).is_ok_and(|text| text.trim() == hash)
}

// ---- Which cargo command is this? ----

/// The command line of the cargo that runs this script; empty where it can't be known, which counts as a build.
#[cfg(target_os = "linux")]
fn parent_command() -> Vec<String> {
    let path = format!("/proc/{}/cmdline", std::os::unix::process::parent_id());
    let bytes = fs::read(path).unwrap_or_default();
    bytes
        .split(|b| *b == 0)
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect()
}

/// As on Linux, except that arguments with spaces come apart, which hurts nobody here.
#[cfg(all(unix, not(target_os = "linux")))]
fn parent_command() -> Vec<String> {
    let parent = std::os::unix::process::parent_id().to_string();
    let output = Command::new("ps")
        .args(["-o", "command=", "-p", &parent])
        .output();
    let bytes = output.map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[cfg(not(unix))]
fn parent_command() -> Vec<String> {
    Vec::new()
}

/// Whether the subcommand, the first argument that is neither an option nor an option's value, makes no
/// program. What is unknown makes one: a needless npm run is better than a program without its page.
fn only_looks_at_code(command: &[String]) -> bool {
    let mut args = command.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--color" | "--config" | "-C" | "-Z" => {
                args.next();
            }
            option if option.starts_with(['-', '+']) => {}
            subcommand => {
                let looking = ["check", "c", "clippy", "doc", "d", "rustdoc", "fix", "metadata"];
                return looking.contains(&subcommand);
            }
        }
    }
    false
}

// ---- npm ----

/// Runs npm, one process at a time: two cargos with different target folders share `ui/`.
fn build_page(ui: &Path, dist: &Path, hash: &str) -> Outcome<()> {
    let lock = fs::File::create(ui.join(".build.lock")).map_err(|e| said(&ui.join(".build.lock"), &e))?;
    lock.lock().map_err(|e| said(ui, &e))?;
    if is_built(dist, hash) {
        return Ok(());
    }
    check_node()?;
    // `npm ci` starts from nothing each time and needs the network; it runs only when the lock file is not the
    // one that node_modules was made from.
    let lock_file = ui.join("package-lock.json");
    let wanted = hash_of_files(ui, std::slice::from_ref(&lock_file))?;
    let installed = ui.join("node_modules/.lock-hash");
    if fs::read_to_string(&installed).ok().as_deref() != Some(wanted.as_str()) {
        npm(ui, &["ci", "--include=dev", "--prefer-offline"])?;
        fs::write(&installed, &wanted).map_err(|e| said(&installed, &e))?;
    }
    npm(ui, &["run", "build"])?;
    if !dist.join("index.html").is_file() {
        return Err(format!(
            "`npm run build` made no {}",
            dist.join("index.html").display()
        ));
    }
    // Last, so that a build that was cut short is not taken for a finished one.
    fs::write(dist.join(HASH_FILE), hash).map_err(|e| said(dist, &e))
}

fn npm(ui: &Path, args: &[&str]) -> Outcome<()> {
    let output = tool("npm")
        .args(args)
        .current_dir(ui)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("npm could not be started ({e}). {WAYS_OUT}"))?;
    if output.status.success() {
        return Ok(());
    }
    let mut message = format!(
        "`npm {}` failed in {} ({}):\n",
        args.join(" "),
        ui.display(),
        output.status
    );
    message.push_str(&String::from_utf8_lossy(&output.stdout));
    message.push_str(&String::from_utf8_lossy(&output.stderr));
    message.push_str("\nBINNACLE_UI_SKIP=1 builds the program without its web page.");
    Err(message)
}

fn check_node() -> Outcome<()> {
    let output = tool("node").arg("--version").output().map_err(|e| {
        format!("The web page has to be built, and node could not be started ({e}). {WAYS_OUT}")
    })?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = text.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST_NODE => Ok(()),
        _ => Err(format!(
            "The web page has to be built, and node says it is {text:?}. {WAYS_OUT}"
        )),
    }
}

fn tool(name: &str) -> Command {
    Command::new(if cfg!(windows) && name == "npm" {
        "npm.cmd".to_owned()
    } else {
        name.to_owned()
    })
}

// ---- Files ----

fn said(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// All files below a folder, or the file itself, sorted by path. Names with a leading dot are left out.
fn files(path: &Path) -> Outcome<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(if path.exists() {
            vec![path.to_owned()]
        } else {
            Vec::new()
        });
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| said(path, &e))? {
        let entry = entry.map_err(|e| said(path, &e))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.extend(files(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

fn hash_of_sources(ui: &Path) -> Outcome<String> {
    let mut all = Vec::new();
    for source in SOURCES {
        all.extend(files(&ui.join(source))?);
    }
    hash_of_files(ui, &all)
}

/// Over names and contents, each with its length, so that no two sets of files look alike.
fn hash_of_files(root: &Path, paths: &[PathBuf]) -> Outcome<String> {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for path in paths {
        let content = fs::read(path).map_err(|e| said(path, &e))?;
        let name = slashed(path.strip_prefix(root).unwrap_or(path));
        hash.update(&name.len().to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&content.len().to_le_bytes());
        hash.update(&content);
    }
    Ok(format!("{:032x}", hash.digest128()))
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|c| c.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

// ---- The table ----

/// Writes `assets.rs`, an expression of type `&[Embedded]` that `src/ui.rs` includes, and beside it a copy of every
/// file, so that compiling never depends on `ui/dist` staying as it is.
fn embed(dist: Option<&Path>, out: &Path) -> Outcome<()> {
    let mut table = String::from("&[\n");
    let paths = dist.map(files).transpose()?.unwrap_or_default();
    for (number, path) in paths.iter().enumerate() {
        let name = slashed(path.strip_prefix(dist.unwrap_or(path)).unwrap_or(path));
        let bytes = fs::read(path).map_err(|e| said(path, &e))?;
        let plain = format!("ui-{number}");
        fs::write(out.join(&plain), &bytes).map_err(|e| said(out, &e))?;
        let packed = gzip(&bytes).map_err(|e| said(path, &e))?;
        // What hardly shrinks, such as images, is served as it is.
        let gzip = if packed.len() * 10 < bytes.len() * 9 {
            fs::write(out.join(format!("{plain}.gz")), &packed).map_err(|e| said(out, &e))?;
            format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{plain}.gz\")))")
        } else {
            "None".to_owned()
        };
        let etag = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes));
        writeln!(
            table,
            "    Embedded {{ path: {name:?}, content_type: {:?}, \
             bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{plain}\")), gzip: {gzip}, etag: \"\\\"{etag}\\\"\" }},",
            content_type(path)
        )
        .map_err(|e| e.to_string())?;
    }
    table.push_str("]\n");
    fs::write(out.join("assets.rs"), table).map_err(|e| said(out, &e))
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(OsStr::to_str) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
