//! The node's own files: where `/proc`, `/sys` and the rest are found, and reading them without waste.

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The most that is read of one file under `/proc`, `/sys` or a runtime's state directory.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// Where the node's files are seen from here. In a DaemonSet the node's root is mounted under `/host`.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    proc: PathBuf,
    sys: PathBuf,
}

impl Host {
    /// Everything under one root.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            proc: root.join("proc"),
            sys: root.join("sys"),
        }
    }
    /// Another place for `/proc`.
    #[must_use]
    pub fn with_proc(mut self, path: Option<&Path>) -> Self {
        if let Some(path) = path {
            path.clone_into(&mut self.proc);
        }
        self
    }
    /// Another place for `/sys`.
    #[must_use]
    pub fn with_sys(mut self, path: Option<&Path>) -> Self {
        if let Some(path) = path {
            path.clone_into(&mut self.sys);
        }
        self
    }
    /// A path of the node as seen from here: `/var/log` becomes `/host/var/log`.
    pub fn path(&self, on_the_node: &str) -> PathBuf {
        self.root.join(on_the_node.trim_start_matches('/'))
    }
    /// A path seen from here as the node itself would write it.
    pub fn on_the_node<'a>(&self, path: &'a Path) -> std::borrow::Cow<'a, str> {
        match path.strip_prefix(&self.root) {
            Ok(rest) => format!("/{}", rest.display()).into(),
            Err(_) => path.to_string_lossy(),
        }
    }
    /// A path under the node's `/proc`.
    pub fn proc(&self, rest: &str) -> PathBuf {
        self.proc.join(rest)
    }
    /// A path under the node's `/sys`.
    pub fn sys(&self, rest: &str) -> PathBuf {
        self.sys.join(rest)
    }
    /// Whether this is the node that the process itself runs on, seen directly.
    pub fn is_direct(&self) -> bool {
        self.root == Path::new("/") && self.proc == Path::new("/proc")
    }
    /// The node's name for itself.
    pub fn name(&self) -> String {
        let mut reader = Reader::default();
        let from_file = |reader: &mut Reader, path: PathBuf| {
            reader
                .read(&path)
                .map(|text| text.trim().to_owned())
                .filter(|name| !name.is_empty())
        };
        from_file(&mut reader, self.proc("sys/kernel/hostname"))
            .or_else(|| from_file(&mut reader, self.path("/etc/hostname")))
            .unwrap_or_else(|| "localhost".to_owned())
    }
}

/// Reads small files into one buffer that is used again and again.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    path: PathBuf,
}

impl Reader {
    /// A file's text, or `None` when it cannot be read; of a file over 4 MiB the beginning. What is not UTF-8
    /// ends the text.
    pub fn read(&mut self, path: &Path) -> Option<&str> {
        self.buffer.clear();
        let file = std::fs::File::open(path).ok()?;
        file.take(FILE_LIMIT_BYTES).read_to_end(&mut self.buffer).ok()?;
        Some(match std::str::from_utf8(&self.buffer) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&self.buffer[..e.valid_up_to()]).expect("checked up to here"),
        })
    }
    /// The text of a file in a directory.
    pub fn read_in(&mut self, dir: &Path, name: &str) -> Option<&str> {
        // The path's allocation is kept as well: this runs some twenty times per container and round.
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        path.push(dir);
        path.push(name);
        let found = self.read(&path).is_some();
        self.path = path;
        found.then(|| self.text())
    }
    /// The single whole number that a file holds. `max` and what is not a number are `None`.
    pub fn number(&mut self, dir: &Path, name: &str) -> Option<u64> {
        self.read_in(dir, name)?.trim().parse().ok()
    }
    fn text(&self) -> &str {
        std::str::from_utf8(&self.buffer).unwrap_or_else(|e| {
            std::str::from_utf8(&self.buffer[..e.valid_up_to()]).expect("checked up to here")
        })
    }
}

/// The lines `key value` of a file such as `memory.stat`; other lines are passed over.
pub fn flat_keyed(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(char::is_whitespace)?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// One value of a file of lines `key value`.
pub fn keyed_value(text: &str, key: &str) -> Option<u64> {
    flat_keyed(text).find(|(k, _)| *k == key).map(|(_, v)| v)
}
