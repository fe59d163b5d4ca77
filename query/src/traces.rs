//! Trace search: by service, operation, tags, duration and time; by id; what services and operations there are.

use model::predicate::field;
use model::{
    Budget, Columns, Direction, Error, Matcher, Predicate, Read, ResourceSpans, Result, ScanRequest, Span,
    SpanBatch, SpanKind, Tenant, TimeRange, TraceId,
};
use std::collections::{BTreeSet, HashMap};

/// All stored spans of one trace, grouped by resource and scope; within a group by start.
pub type Trace = Vec<ResourceSpans>;

/// What to look for. A trace is found when one of its spans satisfies all conditions at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// `service.name` of the span's resource.
    pub service: Option<String>,
    /// The span's name.
    pub operation: Option<String>,
    /// Attributes of the span or of its resource, compared by their text.
    pub tags: Vec<(String, String)>,
    /// The span took at least this long, in nanoseconds.
    pub min_duration_ns: Option<i64>,
    /// The span took at most this long, in nanoseconds.
    pub max_duration_ns: Option<i64>,
    /// When the span started.
    pub range: TimeRange,
    /// The most traces to return.
    pub limit: usize,
}

impl Default for Search {
    /// The newest 20 traces.
    fn default() -> Self {
        Self {
            service: None,
            operation: None,
            tags: Vec::new(),
            min_duration_ns: None,
            max_duration_ns: None,
            range: TimeRange::ALL,
            limit: 20,
        }
    }
}

/// An operation of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The span's name.
    pub name: String,
    /// Which side of a call.
    pub kind: SpanKind,
}

impl Search {
    fn predicate(&self) -> Result<Predicate> {
        let (min_ns, max_ns) = (
            self.min_duration_ns.unwrap_or(0),
            self.max_duration_ns.unwrap_or(i64::MAX),
        );
        if min_ns > max_ns {
            return Err(Error::bad_data(format!(
                "the minimum duration of {min_ns} ns is more than the maximum of {max_ns} ns"
            )));
        }
        let equal = |name: &str, value: &str| Predicate::Field(Matcher::equal(name, value));
        let service = self.service.iter().map(|s| equal(field::SERVICE, s));
        let operation = self.operation.iter().map(|o| equal(field::NAME, o));
        let mut parts: Vec<Predicate> = service.chain(operation).collect();
        parts.extend(self.tags.iter().map(|(k, v)| tag(k, v)));
        if self.min_duration_ns.is_some() || self.max_duration_ns.is_some() {
            parts.push(Predicate::Duration { min_ns, max_ns });
        }
        Ok(Predicate::And(parts))
    }
}

/// Jaeger writes some fields of a span as tags; everything else is an attribute.
fn tag(key: &str, value: &str) -> Predicate {
    let equal = |name: &str, value: &str| Predicate::Field(Matcher::equal(name, value));
    match (key, value) {
        ("span.kind", v) => equal(field::KIND, v),
        ("otel.status_code", v) => equal(field::STATUS, &v.to_lowercase()),
        ("error", "true") => Predicate::Or(vec![equal(key, "true"), equal(field::STATUS, "error")]),
        _ => equal(key, value),
    }
}

/// Finds traces, the newest first (by the newest of their spans that satisfies the search), each whole.
///
/// # Errors
/// `BadData` for an impossible search; `LimitReached`, `Timeout` and `Cancelled` from the budget.
pub fn search(
    store: &dyn Read<SpanBatch>,
    tenant: &Tenant,
    search: &Search,
    budget: &Budget,
) -> Result<Vec<Trace>> {
    if search.limit == 0 {
        return Ok(Vec::new());
    }
    let predicate = search.predicate()?;
    let ids = newest_ids(store, tenant, search, &predicate, budget)?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Predicate::Or(ids.iter().map(|id| Predicate::Trace(*id)).collect());
    let mut traces = collect(store, tenant, &wanted, budget)?;
    Ok(ids.iter().filter_map(|id| traces.remove(id)).collect())
}

/// Ids of the matching traces, ordered by their newest matching span; ties by id, so that answers are stable.
fn newest_ids(
    store: &dyn Read<SpanBatch>,
    tenant: &Tenant,
    search: &Search,
    predicate: &Predicate,
    budget: &Budget,
) -> Result<Vec<TraceId>> {
    let mut request = ScanRequest::new(tenant.clone(), search.range, predicate.clone(), budget.clone());
    request.direction = Direction::Backward;
    request.columns = Columns {
        body: true,
        attributes: !search.tags.is_empty(),
    };
    let mut newest: HashMap<TraceId, i64> = HashMap::new();
    for batch in store.scan(&request)?.rows() {
        budget.check()?;
        let batch = batch?;
        let matching =
            |g: &ResourceSpans, s: &Span| search.range.contains(s.start_ns) && predicate.on_span(g, s);
        let newest_of_batch = batch
            .groups
            .iter()
            .flat_map(|g| &g.spans)
            .map(|s| s.start_ns)
            .max();
        // Batches come by their newest span: once enough traces are newer than this batch, none of its spans
        // can bring in another one, nor can those of any later batch.
        if let (Some(limit_time), Some(batch_time)) = (nth_newest(&newest, search.limit), newest_of_batch)
            && batch_time < limit_time
        {
            break;
        }
        for group in &batch.groups {
            for span in group.spans.iter().filter(|s| matching(group, s)) {
                let time = newest.entry(span.trace_id).or_insert(i64::MIN);
                *time = span.start_ns.max(*time);
            }
        }
    }
    let mut ids: Vec<(i64, TraceId)> = newest.into_iter().map(|(id, time)| (time, id)).collect();
    ids.sort_by_key(|(time, id)| (std::cmp::Reverse(*time), *id));
    ids.truncate(search.limit);
    Ok(ids.into_iter().map(|(_, id)| id).collect())
}

/// The time of the `n`th newest trace, when there are that many.
fn nth_newest(newest: &HashMap<TraceId, i64>, n: usize) -> Option<i64> {
    if newest.len() < n {
        return None;
    }
    let mut times: Vec<i64> = newest.values().copied().collect();
    let index = n - 1;
    let (_, nth, _) = times.select_nth_unstable_by(index, |a, b| b.cmp(a));
    Some(*nth)
}

/// One trace, whole; `None` when no span of it is stored.
///
/// # Errors
/// `LimitReached`, `Timeout` and `Cancelled` from the budget.
pub fn get(
    store: &dyn Read<SpanBatch>,
    tenant: &Tenant,
    id: TraceId,
    budget: &Budget,
) -> Result<Option<Trace>> {
    Ok(collect(store, tenant, &Predicate::Trace(id), budget)?.remove(&id))
}

/// Reads all spans that satisfy a predicate on trace ids, by trace.
fn collect(
    store: &dyn Read<SpanBatch>,
    tenant: &Tenant,
    predicate: &Predicate,
    budget: &Budget,
) -> Result<HashMap<TraceId, Trace>> {
    let request = ScanRequest::new(tenant.clone(), TimeRange::ALL, predicate.clone(), budget.clone());
    let mut traces: HashMap<TraceId, Trace> = HashMap::new();
    for batch in store.scan(&request)?.rows() {
        budget.check()?;
        for group in batch?.groups {
            let (resource, scope) = (group.resource.clone(), group.scope.clone());
            for span in &group.spans {
                if !predicate.on_span(&group, span) {
                    continue;
                }
                budget.charge_bytes(size_bytes(span))?;
                let trace = traces.entry(span.trace_id).or_default();
                match trace
                    .iter_mut()
                    .find(|g| g.resource == resource && g.scope == scope)
                {
                    Some(own) => own.spans.push(span.clone()),
                    None => trace.push(ResourceSpans {
                        resource: resource.clone(),
                        scope: scope.clone(),
                        spans: vec![span.clone()],
                    }),
                }
            }
        }
    }
    for trace in traces.values_mut() {
        for group in trace.iter_mut() {
            group.spans.sort_by_key(|s| (s.start_ns, s.span_id));
        }
        trace.sort_by_key(|g| g.spans.first().map(|s| (s.start_ns, s.span_id)));
    }
    Ok(traces)
}

/// The bytes that a span takes in memory, roughly.
fn size_bytes(span: &Span) -> u64 {
    let events: usize = span
        .events
        .iter()
        .map(|e| 64 + e.name.len() + e.attributes.len() * 64)
        .sum();
    (size_of::<Span>() + span.name.len() + span.attributes.len() * 64 + events + span.links.len() * 96) as u64
}

/// Names of the services that have spans, sorted.
///
/// # Errors
/// `LimitReached`, `Timeout` and `Cancelled` from the budget.
pub fn services(store: &dyn Read<SpanBatch>, tenant: &Tenant, budget: &Budget) -> Result<Vec<String>> {
    let request = ScanRequest::new(tenant.clone(), TimeRange::ALL, Predicate::all(), budget.clone());
    store.label_values(&request, field::SERVICE)
}

/// Operations of a service, sorted by name and kind; with a kind only those of that kind.
///
/// # Errors
/// `LimitReached`, `Timeout` and `Cancelled` from the budget.
pub fn operations(
    store: &dyn Read<SpanBatch>,
    tenant: &Tenant,
    service: &str,
    kind: Option<SpanKind>,
    budget: &Budget,
) -> Result<Vec<Operation>> {
    let of_service = Predicate::Field(Matcher::equal(field::SERVICE, service));
    let kinds = match kind {
        Some(kind) => vec![kind],
        None => (0..=5).map(SpanKind::from_u8).collect(),
    };
    let mut found = BTreeSet::new();
    for kind in kinds {
        let of_kind = Predicate::Field(Matcher::equal(field::KIND, kind.as_str()));
        let predicate = Predicate::And(vec![of_service.clone(), of_kind]);
        let request = ScanRequest::new(tenant.clone(), TimeRange::ALL, predicate, budget.clone());
        let names = store.label_values(&request, field::NAME)?;
        found.extend(names.into_iter().map(|name| Operation { name, kind }));
    }
    Ok(found.into_iter().collect())
}
