//! Which path gets which file.

use super::*;
use std::io::Read as _;

const FILES: &[Embedded] = &[
    file("index.html", "text/html; charset=utf-8"),
    file("favicon.svg", "image/svg+xml"),
    file("assets/index-1a2b.js", "text/javascript; charset=utf-8"),
];

const fn file(path: &'static str, content_type: &'static str) -> Embedded {
    Embedded {
        path,
        content_type,
        bytes: path.as_bytes(),
        gzip: None,
        etag: "\"1\"",
    }
}

#[test]
fn paths_find_their_files() {
    for (path, expected) in [
        ("/", Some("index.html")),
        ("", Some("index.html")),
        ("/index.html", Some("index.html")),
        ("/logs", Some("index.html")),
        ("/traces/0af7651916cd43dd8448eb211c80319c", Some("index.html")),
        ("/nowhere/at/all", Some("index.html")),
        ("/favicon.svg", Some("favicon.svg")),
        ("favicon.svg", Some("favicon.svg")),
        ("/assets/index-1a2b.js", Some("assets/index-1a2b.js")),
        ("/assets/index-0000.js", None),
        ("/assets/gone", None),
        ("/robots.txt", None),
        ("/api/v1/nothing", None),
        ("/loki/api/v1/nothing", None),
        ("/-/nothing", None),
        ("/metrics", None),
    ] {
        let found = find(FILES, path).map(|a| String::from_utf8_lossy(a.bytes).into_owned());
        assert_eq!(found.as_deref(), expected, "{path}");
    }
}

#[test]
fn only_names_with_a_hash_are_immutable() {
    assert!(find(FILES, "/assets/index-1a2b.js").unwrap().immutable);
    assert!(!find(FILES, "/").unwrap().immutable);
    assert!(!find(FILES, "/favicon.svg").unwrap().immutable);
}

#[test]
fn without_a_page_every_route_says_so() {
    for path in ["/", "/logs"] {
        assert_eq!(find(&[], path), Some(NOT_EMBEDDED));
    }
    assert_eq!(find(&[], "/api/v1/x"), None);
}

#[test]
fn what_is_embedded_is_whole() {
    for file in EMBEDDED {
        assert!(
            file.etag.starts_with('"') && file.etag.ends_with('"') && file.etag.len() > 30,
            "{file:?}"
        );
        assert!(!file.content_type.is_empty());
        if let Some(packed) = file.gzip {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(packed)
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(bytes, file.bytes, "{}", file.path);
        }
    }
    if is_embedded() {
        let page = String::from_utf8(asset("/").unwrap().bytes.to_vec()).unwrap();
        // The page refers to its own files only, and to each by a name that is embedded.
        let names: Vec<&str> = page
            .split(['"', '\''])
            .filter(|part| part.ends_with(".js") || part.ends_with(".css") || part.ends_with(".svg"))
            .collect();
        assert!(names.len() >= 2, "{page}");
        for name in names {
            assert!(name.starts_with('/') && asset(name).is_some(), "{name}");
        }
    }
}
