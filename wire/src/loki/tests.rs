//! Tables and round trips.
