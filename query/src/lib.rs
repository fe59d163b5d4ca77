//! PromQL, LogQL and trace search: parse, plan, evaluate over the read doors. Knows no store.
//!
//! [`promql::Engine`] and [`logql::Engine`] each hold a read door and answer instant and range queries;
//! [`traces`] has plain functions over the read door for spans. All of it is synchronous and blocks on the
//! store: run it where blocking is allowed. Every call takes a [`model::Budget`], charges what it holds to it
//! and looks at its cancel token.

mod columns;
pub mod go;
pub mod logql;
pub mod promql;
pub mod traces;
