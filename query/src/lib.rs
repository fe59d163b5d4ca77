//! PromQL, LogQL and trace search: parse, plan, evaluate over the read doors. Knows no store.
