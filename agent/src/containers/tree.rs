//! Finding containers in the tree of control groups.

use super::path::{self, Runtime};
use super::v1::Dirs;
use crate::host::{Host, Reader};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Levels of the tree that are looked at.
const MAX_DEPTH: usize = 16;
/// Groups that are looked at in one walk.
const MAX_GROUPS: usize = 20_000;
/// Processes of a group that are looked at to tell whether it is a container.
const MAX_PROBED: usize = 16;

/// How the host arranges control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// A directory per controller (or per mounted set of controllers), by controller.
    V1(HashMap<String, PathBuf>),
    /// One tree.
    V2(PathBuf),
}

impl Layout {
    /// What is mounted under `/sys/fs/cgroup`; `None` when nothing is.
    pub fn detect(host: &Host) -> Option<Self> {
        let root = host.sys("fs/cgroup");
        if root.join("cgroup.controllers").is_file() {
            return Some(Self::V2(root));
        }
        let mut controllers = HashMap::new();
        for entry in std::fs::read_dir(&root).ok()?.flatten() {
            let name = entry.file_name();
            // Mounted together as `cpu,cpuacct`, with links of the single names beside it.
            for controller in name.to_string_lossy().split(',') {
                controllers.insert(controller.to_owned(), entry.path());
            }
        }
        WALKED
            .iter()
            .any(|c| controllers.contains_key(*c))
            .then_some(Self::V1(controllers))
    }
    /// For the start banner.
    pub fn version(&self) -> &'static str {
        match self {
            Self::V1(_) => "cgroup v1",
            Self::V2(_) => "cgroup v2",
        }
    }
    /// The tree in which containers are looked for. With version 1 the memory controller's if there is one,
    /// because the kernel names its groups when it kills for lack of memory.
    pub fn walked(&self) -> Option<&Path> {
        match self {
            Self::V2(root) => Some(root),
            Self::V1(controllers) => WALKED
                .iter()
                .find_map(|c| controllers.get(*c))
                .map(PathBuf::as_path),
        }
    }
}

const WALKED: [&str; 5] = ["memory", "pids", "cpuacct", "cpu", "systemd"];

/// A container that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path in the tree that was walked; unique.
    pub path: String,
    /// The runtime's id.
    pub id: String,
    /// What runs it.
    pub runtime: Runtime,
    /// Its pod's uid.
    pub pod_uid: Option<String>,
}

/// Where the files of a found container are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By controller.
    V1(Dirs),
    /// One directory.
    V2(PathBuf),
}

/// Walks the tree. Groups that no runtime's pattern names are told apart by their processes: those of a
/// container live in a pid namespace of their own.
#[derive(Debug, Default)]
pub struct Walker {
    reader: Reader,
    /// Groups outside all patterns that were seen not to be containers, so as not to ask each time.
    ordinary: HashSet<String>,
    /// Groups that were left out of the last walk because there are too many.
    pub skipped: u64,
}

impl Walker {
    /// Every container, in the order of the tree. `runc` holds what runc's own state says: path to id.
    pub fn walk(&mut self, host: &Host, layout: &Layout, runc: &HashMap<String, String>) -> Vec<Found> {
        let mut found = Vec::new();
        self.skipped = 0;
        let Some(root) = layout.walked() else {
            return found;
        };
        let mut seen_ordinary = HashSet::new();
        let mut groups = 0;
        let mut waiting = vec![(String::new(), 0)];
        while let Some((group, depth)) = waiting.pop() {
            groups += 1;
            if groups > MAX_GROUPS {
                self.skipped = waiting.len() as u64 + 1;
                break;
            }
            let dir = root.join(group.trim_start_matches('/'));
            if !group.is_empty()
                && let Some(container) = self.container(host, &dir, &group, runc)
            {
                found.push(container);
                continue;
            }
            if self.ordinary.contains(&group) {
                seen_ordinary.insert(group.clone());
            }
            if depth < MAX_DEPTH {
                waiting.extend(children(&dir).map(|name| (format!("{group}/{name}"), depth + 1)));
            }
        }
        self.ordinary = seen_ordinary;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// Whether a group was seen not to be a container.
    pub fn is_ordinary(&self, group: &str) -> bool {
        self.ordinary.contains(group)
    }

    fn container(
        &mut self,
        host: &Host,
        dir: &Path,
        group: &str,
        runc: &HashMap<String, String>,
    ) -> Option<Found> {
        if let Some(named) = path::named(group) {
            return Some(Found {
                path: group.to_owned(),
                id: named.id.to_owned(),
                runtime: named.runtime,
                pod_uid: named.pod_uid,
            });
        }
        let plain = |id: &str| Found {
            path: group.to_owned(),
            id: id.to_owned(),
            runtime: Runtime::Other,
            pod_uid: path::pod_uid(group),
        };
        if let Some(id) = runc.get(group) {
            return Some(plain(id));
        }
        if path::is_unit(group) || self.ordinary.contains(group) {
            return None;
        }
        match self.is_container(host, dir)? {
            true => Some(plain(group.rsplit('/').next()?)),
            false => {
                self.ordinary.insert(group.to_owned());
                None
            }
        }
    }

    /// Whether all processes of a group live in a pid namespace of their own. `None` when it has none, or when
    /// they have ended meanwhile, so that the question stays open.
    fn is_container(&mut self, host: &Host, dir: &Path) -> Option<bool> {
        let pids: Vec<u32> = pids(&mut self.reader, dir).take(MAX_PROBED).collect();
        let mut answer = None;
        for pid in pids {
            let Some(text) = self.reader.read(&host.proc(&format!("{pid}/status"))) else {
                continue;
            };
            let depth = text
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))
                .map_or(1, |ids| ids.split_ascii_whitespace().count());
            if depth < 2 {
                return Some(false);
            }
            answer = Some(true);
        }
        answer
    }
}

/// The processes of a group itself.
pub fn pids<'a>(reader: &'a mut Reader, dir: &Path) -> impl Iterator<Item = u32> + 'a {
    reader
        .read_in(dir, "cgroup.procs")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        // 0 stands for a process of another pid namespace.
        .filter(|pid| *pid != 0)
}

/// How many processes a group and the groups below have, and one of them: the lowest pid, which is the oldest
/// unless numbers have wrapped.
pub fn processes(reader: &mut Reader, dir: &Path) -> (u64, Option<u32>) {
    let (mut count, mut lowest) = (0, None::<u32>);
    let mut waiting = vec![(dir.to_owned(), 0)];
    let mut groups = 0;
    while let Some((dir, depth)) = waiting.pop() {
        for pid in pids(reader, &dir) {
            count += 1;
            lowest = Some(lowest.map_or(pid, |l| l.min(pid)));
        }
        groups += 1;
        if depth < 4 && groups < 256 {
            waiting.extend(children(&dir).map(|name| (dir.join(name), depth + 1)));
        }
    }
    (count, lowest)
}

fn children(dir: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
}

/// Where a container's files are, and whether that is certain. With version 1 each controller may have its own
/// path: the kernel tells it for a process (`/proc/<pid>/cgroup`). Where that cannot be told, because there is no
/// process, or because a runtime is just putting it there, the walked path is taken.
pub fn place(
    host: &Host,
    layout: &Layout,
    reader: &mut Reader,
    group: &str,
    pid: Option<u32>,
) -> (Place, bool) {
    let controllers = match layout {
        Layout::V2(root) => return (Place::V2(root.join(group.trim_start_matches('/'))), true),
        Layout::V1(controllers) => controllers,
    };
    let told = pid
        .and_then(|pid| {
            reader
                .read(&host.proc(&format!("{pid}/cgroup")))
                .map(str::to_owned)
        })
        .unwrap_or_default();
    let mut certain = true;
    let mut dir = |controller: &str| {
        let root = controllers.get(controller)?;
        let own = group_of(&told, controller).and_then(|path| up_to_last_of(path, group));
        certain &= own.is_some();
        let group = own.unwrap_or(group);
        Some(root.join(group.trim_start_matches('/'))).filter(|dir| dir.is_dir())
    };
    let dirs = Dirs {
        cpu: dir("cpu"),
        cpuacct: dir("cpuacct"),
        memory: dir("memory"),
        blkio: dir("blkio"),
        pids: dir("pids"),
    };
    (Place::V1(dirs), certain)
}

/// The beginning of a path that ends with the last segment of a group's: a process may live in a group below its
/// container's. `None` when the segment does not occur.
fn up_to_last_of<'a>(path: &'a str, group: &str) -> Option<&'a str> {
    let last = group.rsplit('/').next().filter(|last| !last.is_empty())?;
    let mut end = 0;
    for segment in path.split('/') {
        end += segment.len();
        if segment == last {
            return Some(&path[..end]);
        }
        end += 1;
    }
    None
}

/// A container's path as others write it: with version 1 the shortest that any controller has, because a
/// runtime that was started in a group of its own nests that controller's group below it.
pub fn shown_path<'a>(told: &'a str, walked: &'a str) -> &'a str {
    told.lines()
        .filter_map(|line| up_to_last_of(line.splitn(3, ':').nth(2)?, walked))
        .min_by_key(|path| path.len())
        .filter(|path| path.len() < walked.len())
        .unwrap_or(walked)
}

/// A controller's path in the lines `number:controllers:path` of `/proc/<pid>/cgroup`.
fn group_of<'a>(told: &'a str, controller: &str) -> Option<&'a str> {
    told.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers
            .split(',')
            .any(|c| c == controller)
            .then(|| parts.next())?
    })
}

/// runc's own state: the path of each container in the walked tree, and its id. Empty where it may not be read.
pub fn runc_states(host: &Host, layout: &Layout, reader: &mut Reader) -> HashMap<String, String> {
    let Some(walked) = layout.walked() else {
        return HashMap::new();
    };
    // Paths in the state are those of the node, whatever is mounted where for us.
    let mount = "/sys/fs/cgroup";
    let below = walked
        .strip_prefix(host.sys("fs/cgroup"))
        .map(|rest| rest.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut states = HashMap::new();
    for id in children(&host.path("/run/runc")) {
        let path = host.path(&format!("/run/runc/{id}/state.json"));
        let Some(text) = reader.read(&path) else { continue };
        let Ok(state) = serde_json::from_str::<RuncState>(text) else {
            continue;
        };
        for path in state.cgroup_paths.values() {
            let Some(rest) = path.strip_prefix(mount) else {
                continue;
            };
            let rest = rest.trim_start_matches('/');
            let group = match rest.strip_prefix(&below) {
                Some(group) if !below.is_empty() && group.starts_with('/') => group.to_owned(),
                Some(group) if below.is_empty() => format!("/{group}"),
                _ => continue,
            };
            states.insert(group, state.id.clone());
        }
    }
    states
}

#[derive(serde::Deserialize)]
struct RuncState {
    id: String,
    #[serde(default)]
    cgroup_paths: HashMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_each_controllers_path() {
        let told = "9:name=systemd:/c\n4:memory:/runner/x/c\n2:cpu,cpuacct:/c\n0::/c\n";
        assert_eq!(group_of(told, "cpuacct"), Some("/c"));
        assert_eq!(group_of(told, "memory"), Some("/runner/x/c"));
        assert_eq!(group_of(told, "blkio"), None);
        assert_eq!(shown_path(told, "/runner/x/c"), "/c");
        assert_eq!(shown_path("", "/runner/x/c"), "/runner/x/c");
        assert_eq!(shown_path("4:memory:/a/b\n2:cpu:/\n1:pids:/x\n", "/a/b"), "/a/b");
        assert_eq!(up_to_last_of("/x/c/init.scope", "/runner/c"), Some("/x/c"));
        assert_eq!(up_to_last_of("/", "/runner/c"), None);
        assert_eq!(up_to_last_of("/xc", "/c"), None);
    }
}
