//! `/proc/net/dev` of the node.

use super::families;
use crate::containers::interface;
use crate::host::{Host, Reader};
use crate::series::{Family, Gatherer};
use model::Labels;

families! {
    RX_BYTES = counter "node_network_receive_bytes_total" "Network device statistic receive_bytes.";
    RX_PACKETS = counter "node_network_receive_packets_total" "Network device statistic receive_packets.";
    RX_ERRS = counter "node_network_receive_errs_total" "Network device statistic receive_errs.";
    RX_DROP = counter "node_network_receive_drop_total" "Network device statistic receive_drop.";
    RX_FIFO = counter "node_network_receive_fifo_total" "Network device statistic receive_fifo.";
    RX_FRAME = counter "node_network_receive_frame_total" "Network device statistic receive_frame.";
    RX_COMPRESSED = counter "node_network_receive_compressed_total" "Network device statistic receive_compressed.";
    RX_MULTICAST = counter "node_network_receive_multicast_total" "Network device statistic receive_multicast.";
    TX_BYTES = counter "node_network_transmit_bytes_total" "Network device statistic transmit_bytes.";
    TX_PACKETS = counter "node_network_transmit_packets_total" "Network device statistic transmit_packets.";
    TX_ERRS = counter "node_network_transmit_errs_total" "Network device statistic transmit_errs.";
    TX_DROP = counter "node_network_transmit_drop_total" "Network device statistic transmit_drop.";
    TX_FIFO = counter "node_network_transmit_fifo_total" "Network device statistic transmit_fifo.";
    TX_COLLS = counter "node_network_transmit_colls_total" "Network device statistic transmit_colls.";
    TX_CARRIER = counter "node_network_transmit_carrier_total" "Network device statistic transmit_carrier.";
    TX_COMPRESSED = counter "node_network_transmit_compressed_total" "Network device statistic transmit_compressed.";
    UP = gauge "node_network_up" "Value is 1 if operstate is 'up', 0 otherwise.";
}

fn columns() -> [&'static Family; 16] {
    [
        &RX_BYTES,
        &RX_PACKETS,
        &RX_ERRS,
        &RX_DROP,
        &RX_FIFO,
        &RX_FRAME,
        &RX_COMPRESSED,
        &RX_MULTICAST,
        &TX_BYTES,
        &TX_PACKETS,
        &TX_ERRS,
        &TX_DROP,
        &TX_FIFO,
        &TX_COLLS,
        &TX_CARRIER,
        &TX_COMPRESSED,
    ]
}

pub(super) fn collect(host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
    // The first process's view is the node's, also from within a container; our own where that is out of bounds.
    let first = reader.read(&host.proc("1/net/dev")).map(str::to_owned);
    let text = match &first {
        Some(text) => text,
        None => reader.read(&host.proc("net/dev")).unwrap_or_default(),
    };
    for (name, counts) in text.lines().filter_map(interface) {
        for (family, count) in columns().into_iter().zip(counts) {
            g.emit(family, labels, &[("device", name)], count as f64);
        }
    }
    for entry in std::fs::read_dir(host.sys("class/net"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let Some(state) = reader.read(&entry.path().join("operstate")) else {
            continue;
        };
        let up = if state.trim() == "up" { 1.0 } else { 0.0 };
        g.emit(&UP, labels, &[("device", &name.to_string_lossy())], up);
    }
}
