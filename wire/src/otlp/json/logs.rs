//! Log records.

use super::{Field, Object};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use serde::de::MapAccess;

impl Object for ExportLogsServiceRequest {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "resourceLogs" => self.resource_logs = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ResourceLogs {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "resource" => self.resource = field.optional()?,
            "scopeLogs" => self.scope_logs = field.list()?,
            "schemaUrl" => self.schema_url = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ScopeLogs {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "scope" => self.scope = field.optional()?,
            "logRecords" => self.log_records = field.list()?,
            "schemaUrl" => self.schema_url = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for LogRecord {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "observedTimeUnixNano" => self.observed_time_unix_nano = field.int()?,
            "severityNumber" => self.severity_number = field.number_of_enum()?,
            "severityText" => self.severity_text = field.text()?,
            "body" => self.body = field.optional()?,
            "attributes" => self.attributes = field.list()?,
            "droppedAttributesCount" => self.dropped_attributes_count = field.int()?,
            "flags" => self.flags = field.int()?,
            "traceId" => self.trace_id = field.id(16)?,
            "spanId" => self.span_id = field.id(8)?,
            "eventName" => self.event_name = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}
