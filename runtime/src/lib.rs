//! What both programs need to live: config, secrets, TLS, auth, telemetry about ourselves, health, clock, shutdown.
