//! Tests of parts.
