//! Targets: static configuration, relabelling and the scrape loop.
