"""Sends one span over gRPC with TLS and a token."""

import sys

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
import grpc

endpoint, certificate = sys.argv[1:3]
with open(certificate, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
exporter = OTLPSpanExporter(
    endpoint=f"https://{endpoint}", credentials=credentials, headers={"authorization": "Bearer w-token"}
)
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter))
with provider.get_tracer("t").start_as_current_span("over tls"):
    pass
span = provider.get_tracer("t").start_span("direct")
span.end()
result = exporter.export([span])
print("sent", result.name == "SUCCESS")
