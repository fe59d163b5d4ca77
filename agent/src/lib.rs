//! The node's eyes: containers, node, log files, relay, spool.
