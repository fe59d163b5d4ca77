//! Attributes, resources and scopes.

use super::{Field, Object};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::de::MapAccess;

impl Object for AnyValue {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        let value = match name {
            "stringValue" => field.optional_text()?.map(Value::StringValue),
            "boolValue" => field.optional_bool()?.map(Value::BoolValue),
            "intValue" => field.optional_int()?.map(Value::IntValue),
            "doubleValue" => field.optional_double()?.map(Value::DoubleValue),
            "arrayValue" => field.optional()?.map(Value::ArrayValue),
            "kvlistValue" => field.optional()?.map(Value::KvlistValue),
            "bytesValue" => field.optional_bytes()?.map(Value::BytesValue),
            _ => return field.skip(),
        };
        if value.is_some() {
            self.value = value;
        }
        Ok(())
    }
}

impl Object for ArrayValue {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "values" => self.values = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for KeyValueList {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "values" => self.values = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for KeyValue {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "key" => self.key = field.text()?,
            "value" => self.value = field.optional()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for EntityRef {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "schemaUrl" => self.schema_url = field.text()?,
            "type" => self.r#type = field.text()?,
            "idKeys" => self.id_keys = field.texts()?,
            "descriptionKeys" => self.description_keys = field.texts()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Resource {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "attributes" => self.attributes = field.list()?,
            "droppedAttributesCount" => self.dropped_attributes_count = field.int()?,
            "entityRefs" => self.entity_refs = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for InstrumentationScope {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "name" => self.name = field.text()?,
            "version" => self.version = field.text()?,
            "attributes" => self.attributes = field.list()?,
            "droppedAttributesCount" => self.dropped_attributes_count = field.int()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}
