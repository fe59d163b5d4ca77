//! Logs and spans on disk: columnar parts, tantivy for words and labels, blooms for ids.
