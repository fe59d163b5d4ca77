//! The services that take data in, generic over the write doors: OTLP gRPC and HTTP, remote write, Loki push.
