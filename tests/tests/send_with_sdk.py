"""Sends a metric, a log line and a trace with the OpenTelemetry SDK, all of one container."""

import logging
import sys

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

protocol, endpoint, service, container = sys.argv[1:5]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    logs, metrics, spans = (
        exporter(endpoint=endpoint, insecure=True)
        for exporter in (OTLPLogExporter, OTLPMetricExporter, OTLPSpanExporter)
    )
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    logs = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs")
    metrics = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
    spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")

resource = Resource.create({"service.name": service, "container.id": container})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(spans))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
meters = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(metrics)])

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=loggers))
meter = meters.get_meter("shop")
orders = meter.create_counter("shop.orders")
latency = meter.create_histogram("shop.latency", unit="s")

tracer = tracers.get_tracer("shop")
with tracer.start_as_current_span("checkout", attributes={"order.id": 17}):
    with tracer.start_as_current_span("pay", kind=trace.SpanKind.CLIENT):
        logger.info("order 17 paid")
orders.add(3)
latency.record(0.25)
latency.record(1.5)

ok = [tracers.force_flush(), loggers.force_flush(), meters.force_flush()]
tracers.shutdown(), loggers.shutdown(), meters.shutdown()
print("sent", ok)
