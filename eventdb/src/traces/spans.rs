//! Spans as bytes: every text once, then resources and scopes, then the spans. Records of the log and blocks of
//! a part are both made of this.

use crate::codec::{Decoder, put_bytes, put_int, put_str, put_uint};
use model::span::{SpanEvent, SpanLink, StatusCode};
use model::{Attributes, Resource, ResourceSpans, Result, Scope, Span, SpanId, SpanKind, TraceId, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// How deep lists and maps may nest; deeper values are refused when they come in.
pub(super) const MAX_DEPTH: usize = 32;

/// A span and where it came from: `group` holds resource and scope, and no spans.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) group: Arc<ResourceSpans>,
    pub(super) span: Arc<Span>,
}

/// Bits of a span's first byte.
const HAS_PARENT: u8 = 1;
const SAME_TRACE: u8 = 2;
const HAS_DETAILS: u8 = 4;

/// Texts of one block, each once.
#[derive(Default)]
struct Texts<'a> {
    places: HashMap<&'a str, u64>,
    list: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn put(&mut self, out: &mut Vec<u8>, text: &'a str) {
        let place = *self.places.entry(text).or_insert_with(|| {
            self.list.push(text);
            self.list.len() as u64 - 1
        });
        put_uint(out, place);
    }
    fn put_attributes(&mut self, out: &mut Vec<u8>, attributes: &'a Attributes) {
        put_uint(out, attributes.len() as u64);
        for (key, value) in attributes {
            self.put(out, key);
            self.put_value(out, value);
        }
    }
    fn put_value(&mut self, out: &mut Vec<u8>, value: &'a Value) {
        match value {
            Value::Empty => out.push(0),
            Value::String(text) => {
                out.push(1);
                self.put(out, text);
            }
            Value::Bool(false) => out.push(2),
            Value::Bool(true) => out.push(3),
            Value::Int(n) => {
                out.push(4);
                put_int(out, *n);
            }
            Value::Double(n) => {
                out.push(5);
                out.extend_from_slice(&n.to_bits().to_le_bytes());
            }
            Value::Bytes(bytes) => {
                out.push(6);
                put_bytes(out, bytes);
            }
            Value::Array(values) => {
                out.push(7);
                put_uint(out, values.len() as u64);
                values.iter().for_each(|v| self.put_value(out, v));
            }
            Value::Map(pairs) => {
                out.push(8);
                self.put_attributes(out, pairs);
            }
        }
    }
    fn put_span(&mut self, out: &mut Vec<u8>, span: &'a Span, last: Option<&Span>) {
        let same_trace = last.is_some_and(|l| l.trace_id == span.trace_id);
        let has_details = !span.trace_state.is_empty()
            || !span.status_message.is_empty()
            || !span.events.is_empty()
            || !span.links.is_empty();
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            bit(span.parent_span_id.is_some(), HAS_PARENT)
                | bit(same_trace, SAME_TRACE)
                | bit(has_details, HAS_DETAILS),
        );
        if !same_trace {
            out.extend_from_slice(&span.trace_id.0);
        }
        out.extend_from_slice(&span.span_id.0);
        if let Some(parent) = span.parent_span_id {
            out.extend_from_slice(&parent.0);
        }
        out.push(span.kind.as_u8());
        out.push(match span.status {
            StatusCode::Unset => 0,
            StatusCode::Ok => 1,
            StatusCode::Error => 2,
        });
        put_uint(out, u64::from(span.flags));
        self.put(out, &span.name);
        put_int(out, span.start_ns.wrapping_sub(last.map_or(0, |l| l.start_ns)));
        put_int(out, span.end_ns.wrapping_sub(span.start_ns));
        self.put_attributes(out, &span.attributes);
        if has_details {
            self.put_details(out, span);
        }
    }
    fn put_details(&mut self, out: &mut Vec<u8>, span: &'a Span) {
        self.put(out, &span.trace_state);
        self.put(out, &span.status_message);
        put_uint(out, span.events.len() as u64);
        for event in &span.events {
            put_int(out, event.timestamp_ns.wrapping_sub(span.start_ns));
            self.put(out, &event.name);
            self.put_attributes(out, &event.attributes);
        }
        put_uint(out, span.links.len() as u64);
        for link in &span.links {
            out.extend_from_slice(&link.trace_id.0);
            out.extend_from_slice(&link.span_id.0);
            self.put(out, &link.trace_state);
            self.put_attributes(out, &link.attributes);
        }
    }
}

/// Appends spans in their order. Each comes with its group; equal groups are written once.
pub(super) fn encode<'a>(rows: impl Iterator<Item = (&'a ResourceSpans, &'a Span)>, out: &mut Vec<u8>) {
    let mut texts = Texts::default();
    let (mut groups, mut spans) = (Vec::new(), Vec::new());
    // Most groups are one object; those that are equal without being it have the same bytes.
    let mut places: HashMap<*const ResourceSpans, u64> = HashMap::new();
    let mut by_bytes: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut last: Option<&Span> = None;
    let mut count = 0_u64;
    for (group, span) in rows {
        let place = *places.entry(std::ptr::from_ref(group)).or_insert_with(|| {
            let mut bytes = Vec::new();
            texts.put_attributes(&mut bytes, &group.resource.attributes);
            texts.put(&mut bytes, &group.scope.name);
            texts.put(&mut bytes, &group.scope.version);
            texts.put_attributes(&mut bytes, &group.scope.attributes);
            let next = by_bytes.len() as u64;
            if let Some(place) = by_bytes.get(&bytes) {
                return *place;
            }
            groups.extend_from_slice(&bytes);
            by_bytes.insert(bytes, next);
            next
        });
        put_uint(&mut spans, place);
        texts.put_span(&mut spans, span, last);
        last = Some(span);
        count += 1;
    }
    put_uint(out, texts.list.len() as u64);
    texts.list.iter().for_each(|text| put_str(out, text));
    put_uint(out, by_bytes.len() as u64);
    out.extend_from_slice(&groups);
    put_uint(out, count);
    out.extend_from_slice(&spans);
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Vec<Row>> {
    let texts: Result<Vec<&str>> = (0..decoder.count()?).map(|_| decoder.str()).collect();
    let mut reader = Reader {
        texts: texts?,
        decoder,
    };
    let mut groups = Vec::new();
    for _ in 0..reader.decoder.count()? {
        let resource = Resource {
            attributes: reader.attributes(0)?,
        };
        let scope = Scope {
            name: reader.text()?,
            version: reader.text()?,
            attributes: reader.attributes(0)?,
        };
        groups.push(Arc::new(ResourceSpans {
            resource: resource.into(),
            scope: scope.into(),
            spans: Vec::new(),
        }));
    }
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..reader.decoder.count()? {
        let place = reader.decoder.u32()? as usize;
        let group = groups
            .get(place)
            .ok_or_else(|| reader.decoder.bad("a group that is not there"))?;
        let span = reader.span(rows.last().map(|r| r.span.as_ref()))?;
        rows.push(Row {
            group: Arc::clone(group),
            span: Arc::new(span),
        });
    }
    Ok(rows)
}

struct Reader<'a, 'b> {
    texts: Vec<&'b str>,
    decoder: &'a mut Decoder<'b>,
}

impl Reader<'_, '_> {
    fn text(&mut self) -> Result<String> {
        let place = self.decoder.u32()? as usize;
        match self.texts.get(place) {
            Some(text) => Ok((*text).to_owned()),
            None => Err(self.decoder.bad("a text that is not there")),
        }
    }
    fn attributes(&mut self, depth: usize) -> Result<Attributes> {
        (0..self.decoder.count()?)
            .map(|_| Ok((self.text()?, self.value(depth)?)))
            .collect()
    }
    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(self.decoder.bad("a value is nested too deep"));
        }
        Ok(match self.decoder.u8()? {
            0 => Value::Empty,
            1 => Value::String(self.text()?),
            2 => Value::Bool(false),
            3 => Value::Bool(true),
            4 => Value::Int(self.decoder.int()?),
            5 => Value::Double(f64::from_bits(self.decoder.u64_le()?)),
            6 => Value::Bytes(self.decoder.bytes()?.to_vec()),
            7 => {
                let values: Result<Vec<Value>> = (0..self.decoder.count()?)
                    .map(|_| self.value(depth + 1))
                    .collect();
                Value::Array(values?)
            }
            8 => Value::Map(self.attributes(depth + 1)?),
            _ => return Err(self.decoder.bad("unknown kind of value")),
        })
    }
    fn span(&mut self, last: Option<&Span>) -> Result<Span> {
        let bits = self.decoder.u8()?;
        let trace_id = match last {
            Some(last) if bits & SAME_TRACE != 0 => last.trace_id,
            None if bits & SAME_TRACE != 0 => return Err(self.decoder.bad("no trace before the first span")),
            _ => TraceId(self.decoder.array()?),
        };
        let span_id = SpanId(self.decoder.array()?);
        let parent_span_id = match bits & HAS_PARENT != 0 {
            true => Some(SpanId(self.decoder.array()?)),
            false => None,
        };
        let kind = SpanKind::from_u8(self.decoder.u8()?);
        let status = match self.decoder.u8()? {
            0 => StatusCode::Unset,
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => return Err(self.decoder.bad("unknown status")),
        };
        let flags = self.decoder.u32()?;
        let name = self.text()?;
        let start_ns = last.map_or(0, |l| l.start_ns).wrapping_add(self.decoder.int()?);
        let end_ns = start_ns.wrapping_add(self.decoder.int()?);
        let mut span = Span {
            trace_id,
            span_id,
            parent_span_id,
            flags,
            name,
            kind,
            start_ns,
            end_ns,
            attributes: self.attributes(0)?,
            status,
            ..Span::default()
        };
        if bits & HAS_DETAILS != 0 {
            self.details(&mut span)?;
        }
        Ok(span)
    }
    fn details(&mut self, span: &mut Span) -> Result<()> {
        span.trace_state = self.text()?;
        span.status_message = self.text()?;
        for _ in 0..self.decoder.count()? {
            span.events.push(SpanEvent {
                timestamp_ns: span.start_ns.wrapping_add(self.decoder.int()?),
                name: self.text()?,
                attributes: self.attributes(0)?,
            });
        }
        for _ in 0..self.decoder.count()? {
            span.links.push(SpanLink {
                trace_id: TraceId(self.decoder.array()?),
                span_id: SpanId(self.decoder.array()?),
                trace_state: self.text()?,
                attributes: self.attributes(0)?,
            });
        }
        Ok(())
    }
}

/// How deep a value nests, and roughly how many bytes of memory it takes.
fn value_size(value: &Value) -> (usize, usize) {
    let node = size_of::<Value>();
    match value {
        Value::String(text) => (0, node + text.len()),
        Value::Bytes(bytes) => (0, node + bytes.len()),
        Value::Array(values) => values
            .iter()
            .map(value_size)
            .fold((1, node), |(depth, size), (d, s)| (depth.max(d + 1), size + s)),
        Value::Map(pairs) => {
            let (depth, size) = attributes_size(pairs);
            (depth + 1, node + size)
        }
        _ => (0, node),
    }
}

fn attributes_size(attributes: &Attributes) -> (usize, usize) {
    attributes.iter().fold((0, 0), |(depth, size), (key, value)| {
        let (d, s) = value_size(value);
        (depth.max(d), size + s + key.len() + size_of::<String>())
    })
}

/// How deep the attributes of a span nest, and roughly how many bytes of memory it takes.
pub(super) fn span_size(span: &Span) -> (usize, usize) {
    let texts = span.name.len() + span.trace_state.len() + span.status_message.len();
    let (mut depth, mut size) = attributes_size(&span.attributes);
    size += texts + size_of::<Span>();
    let events = span
        .events
        .iter()
        .map(|e| (&e.attributes, e.name.len() + size_of::<SpanEvent>()));
    let links = span
        .links
        .iter()
        .map(|l| (&l.attributes, l.trace_state.len() + size_of::<SpanLink>()));
    for (attributes, own) in events.chain(links) {
        let (d, s) = attributes_size(attributes);
        depth = depth.max(d);
        size += s + own;
    }
    (depth, size)
}

/// The same for a group's resource and scope.
pub(super) fn group_size(group: &ResourceSpans) -> (usize, usize) {
    let (d1, s1) = attributes_size(&group.resource.attributes);
    let (d2, s2) = attributes_size(&group.scope.attributes);
    (
        d1.max(d2),
        s1 + s2 + group.scope.name.len() + group.scope.version.len() + 256,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Empty),
            ".{0,4}".prop_map(Value::String),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9).prop_map(Value::Double),
            prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::vec((".{0,3}", inner), 0..3).prop_map(Value::Map),
            ]
        })
    }
    fn attributes() -> impl Strategy<Value = Attributes> {
        prop::collection::vec(("[a-c]{1,2}", value()), 0..3)
    }
    fn span() -> impl Strategy<Value = Span> {
        let ids = (
            0..3_u8,
            any::<[u8; 8]>(),
            prop::option::of(any::<[u8; 8]>()),
            any::<u32>(),
            0..6_u8,
            0..3_u8,
        );
        let times = (any::<i64>(), any::<i64>());
        let event =
            (any::<i64>(), ".{0,3}", attributes()).prop_map(|(timestamp_ns, name, attributes)| SpanEvent {
                timestamp_ns,
                name,
                attributes,
            });
        let link = (any::<[u8; 16]>(), any::<[u8; 8]>(), ".{0,2}", attributes()).prop_map(
            |(t, s, trace_state, attributes)| SpanLink {
                trace_id: TraceId(t),
                span_id: SpanId(s),
                trace_state,
                attributes,
            },
        );
        let lists = (
            prop::collection::vec(event, 0..2),
            prop::collection::vec(link, 0..2),
        );
        (ids, times, ".{0,3}", ".{0,2}", ".{0,2}", attributes(), lists).prop_map(
            |(
                (t, s, p, flags, kind, status),
                (start_ns, end_ns),
                name,
                trace_state,
                status_message,
                attributes,
                (events, links),
            )| Span {
                trace_id: TraceId([t; 16]),
                span_id: SpanId(s),
                parent_span_id: p.map(SpanId),
                trace_state,
                flags,
                name,
                kind: SpanKind::from_u8(kind),
                start_ns,
                end_ns,
                attributes,
                events,
                links,
                status: [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][usize::from(status)],
                status_message,
            },
        )
    }
    fn group() -> impl Strategy<Value = ResourceSpans> {
        (
            attributes(),
            ".{0,2}",
            attributes(),
            prop::collection::vec(span(), 0..4),
        )
            .prop_map(|(r, name, a, spans)| ResourceSpans {
                resource: Resource { attributes: r }.into(),
                scope: Scope {
                    name,
                    version: "1".into(),
                    attributes: a,
                }
                .into(),
                spans,
            })
    }

    proptest! {
        #[test]
        fn spans_read_as_written(groups in prop::collection::vec(group(), 0..3)) {
            let mut bytes = Vec::new();
            encode(groups.iter().flat_map(|g| g.spans.iter().map(move |s| (g, s))), &mut bytes);
            let mut decoder = Decoder::new("test", &bytes);
            let rows = decode(&mut decoder).unwrap();
            decoder.finish().unwrap();
            let expected: Vec<_> = groups.iter().flat_map(|g| g.spans.iter().map(move |s| (g, s))).collect();
            prop_assert_eq!(rows.len(), expected.len());
            for (row, (group, span)) in rows.iter().zip(expected) {
                prop_assert_eq!(row.span.as_ref(), span);
                prop_assert_eq!((&row.group.resource, &row.group.scope), (&group.resource, &group.scope));
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(group in group(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = Vec::new();
            encode(group.spans.iter().map(|s| (&group, s)), &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode(&mut Decoder::new("test", &bytes));
        }
    }
}
