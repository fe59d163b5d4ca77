//! The web page's files, embedded by `build.rs`, and which of them answers which path.

/// A file of the web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The file as it is.
    pub bytes: &'static [u8],
    /// The same file in gzip, where that makes it smaller: for clients whose `Accept-Encoding` names gzip.
    pub gzip: Option<&'static [u8]>,
    /// The value of `ETag`, with its quotes. Belongs to [`Asset::bytes`]; send `Vary: Accept-Encoding` with it.
    pub etag: &'static str,
    /// Whether the name changes with the content: `Cache-Control: public, max-age=31536000, immutable` is right
    /// then, and `no-cache` (ask again by the `ETag`) otherwise.
    pub immutable: bool,
}

/// The value of `Content-Security-Policy` to send with every [`Asset`]: the page uses only its own files and asks
/// only its own origin, and the browser holds it to that.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether the page was built into the program. If not, every page is one that says so.
pub fn is_embedded() -> bool {
    !EMBEDDED.is_empty()
}

#[derive(Debug)]
struct Embedded {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    gzip: Option<&'static [u8]>,
    etag: &'static str,
}

static EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The folder of files whose names carry a hash of their content.
const HASHED: &str = "assets/";

/// First parts of paths that belong to interfaces. One that is not there is a plain 404 to programs, not a page.
const INTERFACES: [&str; 14] = [
    "-",
    "api",
    "assets",
    "debug",
    "elasticsearch",
    "federate",
    "jaeger",
    "loki",
    "metrics",
    "otlp",
    "render",
    "tempo",
    "v1",
    "zipkin",
];

/// Served in place of the page by a program that was built without it.
const NOT_EMBEDDED: Asset = Asset {
    content_type: "text/html; charset=utf-8",
    bytes: br#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Binnacle</title>
<h1>Binnacle was built without its web page</h1>
<p>It collects, stores and answers all the same: /api/v1, /loki/api/v1 and /jaeger/api are there.
<p>To have the page, install Node.js 20.19 or newer with npm and build the program again with <code>cargo build --release</code>,
with neither BINNACLE_UI_SKIP nor BINNACLE_UI_DIST set; or set BINNACLE_UI_DIST to a folder that holds the built page.
"#,
    gzip: None,
    etag: "\"built-without-the-page\"",
    immutable: false,
};

/// The file for a request's path, with or without its leading slash and without its query. `None` is a 404.
///
/// The page has routes of its own (`/logs`, `/traces/<id>`, …), so a path that names no file gets the page, which
/// says itself when it does not know one. Exceptions are paths of interfaces and names of files.
pub fn asset(path: &str) -> Option<Asset> {
    find(EMBEDDED, path)
}

fn find(embedded: &'static [Embedded], path: &str) -> Option<Asset> {
    let path = path.trim_start_matches('/');
    if let Some(file) = embedded.iter().find(|file| file.path == path) {
        return Some(file.asset());
    }
    let first = path.split('/').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    if INTERFACES.contains(&first) || last.contains('.') {
        return None;
    }
    let page = embedded.iter().find(|file| file.path == "index.html");
    Some(page.map_or(NOT_EMBEDDED, Embedded::asset))
}

impl Embedded {
    fn asset(&self) -> Asset {
        Asset {
            content_type: self.content_type,
            bytes: self.bytes,
            gzip: self.gzip,
            etag: self.etag,
            immutable: self.path.starts_with(HASHED),
        }
    }
}

#[cfg(test)]
mod tests;
