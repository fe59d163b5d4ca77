//! Bytes on disk: file systems real and faulty, the write-ahead log, checksummed part files, manifests.
