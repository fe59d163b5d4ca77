//! Metrics on disk: head, parts, postings, retention.
