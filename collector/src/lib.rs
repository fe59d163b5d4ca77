//! The program binnacle: composition root and HTTP APIs.
