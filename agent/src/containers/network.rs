//! A container's or pod's own network interfaces.

use crate::host::{Host, Reader};
use crate::series::{Family, Gatherer};
use model::Labels;
use std::collections::BTreeMap;
use std::path::PathBuf;

macro_rules! families {
    ($($id:ident = $name:literal $help:literal;)*) => {
        $(static $id: Family = Family::counter($name, $help);)*
    };
}

families! {
    RX_BYTES = "container_network_receive_bytes_total" "Cumulative count of bytes received.";
    RX_PACKETS = "container_network_receive_packets_total" "Cumulative count of packets received.";
    RX_ERRORS = "container_network_receive_errors_total" "Cumulative count of errors encountered while receiving.";
    RX_DROPPED = "container_network_receive_packets_dropped_total" "Cumulative count of packets dropped while receiving.";
    TX_BYTES = "container_network_transmit_bytes_total" "Cumulative count of bytes transmitted.";
    TX_PACKETS = "container_network_transmit_packets_total" "Cumulative count of packets transmitted.";
    TX_ERRORS = "container_network_transmit_errors_total" "Cumulative count of errors encountered while transmitting.";
    TX_DROPPED = "container_network_transmit_packets_dropped_total" "Cumulative count of packets dropped while transmitting.";
}

/// Interfaces that cAdvisor leaves out too: the loopback, and bridges of containers in the container.
const IGNORED: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// Reads the network of containers that have one of their own.
#[derive(Debug)]
pub(super) struct Network {
    host_namespace: Option<PathBuf>,
    pods: BTreeMap<String, Pod>,
}

#[derive(Debug)]
struct Pod {
    pid: u32,
    is_sandbox: bool,
    labels: Labels,
}

impl Network {
    pub(super) fn new(host: &Host) -> Self {
        let of = |pid: &str| std::fs::read_link(host.proc(&format!("{pid}/ns/net"))).ok();
        Self {
            // The first process may be out of bounds; on the node itself our own tells the same.
            host_namespace: of("1").or_else(|| host.is_direct().then(|| of("self"))?),
            pods: BTreeMap::new(),
        }
    }
    pub(super) fn begin(&mut self) {
        self.pods.clear();
    }
    /// Remembers a process through which a pod's network can be seen; the sandbox's is preferred.
    pub(super) fn note_pod(
        &mut self,
        uid: &str,
        pid: u32,
        is_sandbox: bool,
        labels: impl FnOnce() -> Labels,
    ) {
        if self
            .pods
            .get(uid)
            .is_some_and(|pod| pod.is_sandbox || !is_sandbox)
        {
            return;
        }
        let pod = Pod {
            pid,
            is_sandbox,
            labels: labels(),
        };
        self.pods.insert(uid.to_owned(), pod);
    }
    /// Adds the samples of the pods that were noted.
    pub(super) fn emit_pods(&mut self, host: &Host, reader: &mut Reader, g: &mut Gatherer) {
        for pod in std::mem::take(&mut self.pods).into_values() {
            self.emit(host, reader, g, pod.pid, &pod.labels);
        }
    }
    /// Adds the samples of the network that a process sees, unless that is the node's own.
    pub(super) fn emit(&self, host: &Host, reader: &mut Reader, g: &mut Gatherer, pid: u32, labels: &Labels) {
        let own = std::fs::read_link(host.proc(&format!("{pid}/ns/net"))).ok();
        if own.is_none() || self.host_namespace.is_none() || own == self.host_namespace {
            return;
        }
        let Some(text) = reader.read(&host.proc(&format!("{pid}/net/dev"))) else {
            return;
        };
        for line in text.lines() {
            let Some((name, counts)) = interface(line) else {
                continue;
            };
            if IGNORED.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            let extra = [("interface", name)];
            for (family, index) in [
                (&RX_BYTES, 0),
                (&RX_PACKETS, 1),
                (&RX_ERRORS, 2),
                (&RX_DROPPED, 3),
                (&TX_BYTES, 8),
                (&TX_PACKETS, 9),
                (&TX_ERRORS, 10),
                (&TX_DROPPED, 11),
            ] {
                g.emit(family, labels, &extra, counts[index] as f64);
            }
        }
    }
}

/// A line of `/proc/net/dev`: the interface, and its 8 receive and 8 transmit counters.
pub(crate) fn interface(line: &str) -> Option<(&str, [u64; 16])> {
    let (name, rest) = line.rsplit_once(':')?;
    let mut counts = [0; 16];
    let mut words = rest.split_ascii_whitespace();
    for count in &mut counts {
        *count = words.next()?.parse().ok()?;
    }
    Some((name.trim(), counts))
}
