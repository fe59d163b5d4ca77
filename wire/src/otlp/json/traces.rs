//! Spans.

use super::{Field, Object};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::de::MapAccess;

impl Object for ExportTraceServiceRequest {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "resourceSpans" => self.resource_spans = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ResourceSpans {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "resource" => self.resource = field.optional()?,
            "scopeSpans" => self.scope_spans = field.list()?,
            "schemaUrl" => self.schema_url = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ScopeSpans {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "scope" => self.scope = field.optional()?,
            "spans" => self.spans = field.list()?,
            "schemaUrl" => self.schema_url = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Span {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "traceId" => self.trace_id = field.id(16)?,
            "spanId" => self.span_id = field.id(8)?,
            "traceState" => self.trace_state = field.text()?,
            "parentSpanId" => self.parent_span_id = field.id(8)?,
            "flags" => self.flags = field.int()?,
            "name" => self.name = field.text()?,
            "kind" => self.kind = field.number_of_enum()?,
            "startTimeUnixNano" => self.start_time_unix_nano = field.int()?,
            "endTimeUnixNano" => self.end_time_unix_nano = field.int()?,
            "attributes" => self.attributes = field.list()?,
            "droppedAttributesCount" => self.dropped_attributes_count = field.int()?,
            "events" => self.events = field.list()?,
            "droppedEventsCount" => self.dropped_events_count = field.int()?,
            "links" => self.links = field.list()?,
            "droppedLinksCount" => self.dropped_links_count = field.int()?,
            "status" => self.status = field.optional()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Event {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "name" => self.name = field.text()?,
            "attributes" => self.attributes = field.list()?,
            "droppedAttributesCount" => self.dropped_attributes_count = field.int()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Link {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "traceId" => self.trace_id = field.id(16)?,
            "spanId" => self.span_id = field.id(8)?,
            "traceState" => self.trace_state = field.text()?,
            "attributes" => self.attributes = field.list()?,
            "droppedAttributesCount" => self.dropped_attributes_count = field.int()?,
            "flags" => self.flags = field.int()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Status {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "message" => self.message = field.text()?,
            "code" => self.code = field.number_of_enum()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}
