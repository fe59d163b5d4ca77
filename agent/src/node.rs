//! The node: processors, memory, disks, file systems, network, load, under node_exporter's names.

mod disk;
mod filesystem;
mod kernel;
mod memory;
mod network;

use crate::host::{Host, Reader};
use crate::series::Gatherer;
use model::Labels;

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal $help:literal;)*) => {
        $(static $id: crate::series::Family = crate::series::Family::$kind($name, $help);)*
    };
}
use families;

/// Collects the node, round after round.
#[derive(Debug)]
pub struct Node {
    host: Host,
    reader: Reader,
    labels: Labels,
    uname: [(&'static str, String); 6],
    memory: memory::Families,
}

impl Node {
    /// A collector for a node. `name` stands in the labels `node` and `instance`.
    pub fn new(host: Host, name: &str) -> Self {
        let labels = Labels::from_pairs([("job", "node"), ("instance", name), ("node", name)]);
        let mut reader = Reader::default();
        let uname = kernel::uname(&host, &mut reader);
        Self {
            host,
            reader,
            labels,
            uname,
            memory: memory::Families::default(),
        }
    }
    /// One round. `now_ns` is the time that the round is for.
    pub fn collect(&mut self, g: &mut Gatherer, now_ns: i64) {
        let (host, reader, labels) = (&self.host, &mut self.reader, &self.labels);
        kernel::stat(host, reader, g, labels);
        kernel::load(host, reader, g, labels);
        kernel::counts(host, reader, g, labels);
        kernel::identity(g, labels, &self.uname, now_ns);
        self.memory.collect(host, reader, g, labels);
        disk::collect(host, reader, g, labels);
        filesystem::collect(host, reader, g, labels);
        network::collect(host, reader, g, labels);
    }
}

/// When the node was started, in seconds since the epoch.
pub fn boot_time_s(host: &Host, reader: &mut Reader) -> Option<u64> {
    crate::host::keyed_value(reader.read(&host.proc("stat"))?, "btime")
}

#[cfg(test)]
mod tests;
