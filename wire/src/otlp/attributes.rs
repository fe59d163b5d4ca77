//! Values, attributes, resources and scopes: protocol to model and back.

use model::{Attributes, Resource, Scope, Value};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;

pub(super) fn value(any: Option<common::AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        // Indexes into a table of strings occur in profiles only.
        None | Some(Any::StringValueStrindex(_)) => Value::Empty,
        Some(Any::StringValue(s)) => Value::String(s),
        Some(Any::BoolValue(b)) => Value::Bool(b),
        Some(Any::IntValue(i)) => Value::Int(i),
        Some(Any::DoubleValue(d)) => Value::Double(d),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(Any::ArrayValue(list)) => {
            Value::Array(list.values.into_iter().map(|v| value(Some(v))).collect())
        }
        Some(Any::KvlistValue(list)) => Value::Map(attributes(list.values)),
    }
}

/// Keys are unique in the model; of equal keys the last one wins, in the place of the first.
pub(super) fn attributes(pairs: Vec<common::KeyValue>) -> Attributes {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|a, b| pairs[*a].key.cmp(&pairs[*b].key));
    let repeats = order.windows(2).any(|w| pairs[w[0]].key == pairs[w[1]].key);
    let mut all: Attributes = pairs
        .into_iter()
        .map(|pair| (pair.key, value(pair.value)))
        .collect();
    if !repeats {
        return all;
    }
    let mut kept = vec![true; all.len()];
    for run in order
        .chunk_by(|a, b| all[*a].0 == all[*b].0)
        .map(<[usize]>::to_vec)
        .collect::<Vec<_>>()
    {
        // The sort is stable, so a run is in the sender's order.
        let (first, last) = (run[0], run[run.len() - 1]);
        if first != last {
            all[first].1 = std::mem::take(&mut all[last].1);
            run[1..].iter().for_each(|i| kept[*i] = false);
        }
    }
    let mut kept = kept.into_iter();
    all.retain(|_| kept.next().unwrap_or(true));
    all
}

pub(super) fn resource(proto: Option<ProtoResource>) -> Resource {
    Resource {
        attributes: attributes(proto.unwrap_or_default().attributes),
    }
}

pub(super) fn scope(proto: Option<common::InstrumentationScope>) -> Scope {
    let proto = proto.unwrap_or_default();
    Scope {
        name: proto.name,
        version: proto.version,
        attributes: attributes(proto.attributes),
    }
}

pub(super) fn to_any(value: &Value) -> common::AnyValue {
    let any = match value {
        Value::Empty => None,
        Value::String(s) => Some(Any::StringValue(s.clone())),
        Value::Bool(b) => Some(Any::BoolValue(*b)),
        Value::Int(i) => Some(Any::IntValue(*i)),
        Value::Double(d) => Some(Any::DoubleValue(*d)),
        Value::Bytes(bytes) => Some(Any::BytesValue(bytes.clone())),
        Value::Array(list) => Some(Any::ArrayValue(common::ArrayValue {
            values: list.iter().map(to_any).collect(),
        })),
        Value::Map(pairs) => Some(Any::KvlistValue(common::KeyValueList {
            values: to_pairs(pairs),
        })),
    };
    common::AnyValue { value: any }
}

pub(super) fn to_pairs(attributes: &Attributes) -> Vec<common::KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| to_pair(key, value))
        .collect()
}

pub(super) fn to_pair(key: &str, value: &Value) -> common::KeyValue {
    common::KeyValue {
        key: key.to_owned(),
        value: Some(to_any(value)),
        ..common::KeyValue::default()
    }
}

pub(super) fn to_resource(resource: &Resource) -> ProtoResource {
    ProtoResource {
        attributes: to_pairs(&resource.attributes),
        ..ProtoResource::default()
    }
}

pub(super) fn to_scope(scope: &Scope) -> Option<common::InstrumentationScope> {
    (*scope != Scope::default()).then(|| common::InstrumentationScope {
        name: scope.name.clone(),
        version: scope.version.clone(),
        attributes: to_pairs(&scope.attributes),
        dropped_attributes_count: 0,
    })
}
