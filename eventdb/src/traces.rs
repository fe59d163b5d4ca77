//! Traces on disk: [`TraceStore`].
//!
//! Spans are gathered in the head by trace and flushed to a part for each day, traces in the order of their start,
//! each trace's spans side by side. A span is known by trace, id, kind and service; of several with one identity
//! the first to arrive stays. The head knows its own; a flush leaves out what an earlier part has, so among parts
//! no span occurs twice, and a scan compares only spans of the head with the parts. A part is taken to have a
//! span only when the span's start lies in the part's range: a later report with another start is another span.

mod build;
mod head;
mod part;
mod query;
mod scan;
mod spans;
mod terms;
mod validate;

pub(crate) use head::SpanHead;

use crate::cache::Cache;
use crate::codec::Decoder;
use crate::engine::{Context, Engine, Part, PartFactory, Signal, day_of};
use crate::words::{Kind, WordsReader, pair_term};
use crate::{Options, Stats};
use build::SpanPartWriter;
use head::key_of;
use model::predicate::field;
use model::write::BoxFuture;
use model::*;
use part::{OpenPart, SPAN_PART};
use scan::{SpanScan, without_stored};
use spans::Row;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use storage::{PartKind, StoreName};

/// zstd levels: a flush is on the way of writers, a merge is not.
const FLUSH_LEVEL: i32 = 1;
const MERGE_LEVEL: i32 = 3;
/// Memory for unpacked blocks while parts are merged.
const MERGE_CACHE_BYTES: usize = 64 << 20;

/// What is particular about traces.
pub(crate) struct TraceSignal {
    options: Options,
    open: Cache<OpenPart>,
    words: Cache<WordsReader>,
}

impl TraceSignal {
    fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            open: Cache::new(options.cache_bytes / 2),
            words: Cache::new(options.cache_bytes / 2),
        }
    }
    fn open(&self, part: &Part) -> Result<Arc<OpenPart>> {
        self.open.get(part.key, || OpenPart::load(part.open(SPAN_PART)?))
    }
    fn words(&self, part: &Part, open: &OpenPart) -> Result<Arc<WordsReader>> {
        self.words.get(part.key, || {
            let words = WordsReader::open(Arc::clone(&open.reader), open.index.blocks.len())?;
            let memory = words.memory_bytes();
            Ok((words, memory))
        })
    }
}

/// Where a trace's spans are while parts are merged.
struct Place {
    start_ns: i64,
    /// Part and block, in order of arrival.
    blocks: Vec<(u32, u32)>,
}

/// A trace's first start: by it traces stand in a part.
fn start_of(rows: &[Row]) -> i64 {
    rows.iter().map(|row| row.span.start_ns).min().unwrap_or_default()
}

impl Signal for TraceSignal {
    const STORE: StoreName = StoreName::Traces;
    const PART: PartKind = SPAN_PART;
    const RECORD_VERSION: u8 = 1;
    type Payload = Spans;
    type Head = SpanHead;

    fn count(payload: &Spans) -> u64 {
        payload.groups.iter().map(|g| g.spans.len() as u64).sum()
    }
    fn encode(payload: &Spans, out: &mut Vec<u8>) {
        spans::encode(
            payload
                .groups
                .iter()
                .flat_map(|g| g.spans.iter().map(move |s| (g, s))),
            out,
        );
    }
    fn decode(decoder: &mut Decoder<'_>) -> Result<Spans> {
        let mut payload = Spans::default();
        let mut last: Option<Arc<ResourceSpans>> = None;
        for row in spans::decode(decoder)? {
            if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &row.group)) {
                payload.groups.push(row.group.as_ref().clone());
                last = Some(Arc::clone(&row.group));
            }
            if let Some(group) = payload.groups.last_mut() {
                group.spans.push(Arc::unwrap_or_clone(row.span));
            }
        }
        Ok(payload)
    }
    fn validate(&self, context: &Context, _: &SpanHead, payload: &mut Spans) -> WriteOutcome {
        validate::validate(context, payload)
    }
    fn write_parts(
        self: &Arc<Self>,
        context: &Arc<Context>,
        factory: &mut PartFactory,
        head: &SpanHead,
        existing: &[Arc<Part>],
    ) -> Result<()> {
        // One look at the parts for all spans; the rows come back in order of arrival.
        let all: Vec<Row> = head
            .chunks()
            .flat_map(|chunk| chunk.rows.iter().cloned())
            .collect();
        let before = all.len();
        let rows = without_stored(context, self, all, existing)?;
        factory.duplicates += (before - rows.len()) as u64;
        let mut traces: HashMap<TraceId, Vec<Row>> = HashMap::new();
        for row in rows {
            traces.entry(row.span.trace_id).or_default().push(row);
        }
        let mut traces: Vec<(i64, TraceId, Vec<Row>)> = traces
            .into_iter()
            .map(|(id, rows)| (start_of(&rows), id, rows))
            .collect();
        traces.sort_by_key(|(start, id, _)| (*start, *id));
        let mut writer: Option<(i64, SpanPartWriter)> = None;
        for (start, _, rows) in traces {
            let day = day_of(start);
            if let Some((_, done)) = writer.take_if(|(d, _)| *d != day) {
                done.finish(factory)?;
            }
            let (_, writer) = match &mut writer {
                Some(writer) => writer,
                none => none.insert((
                    day,
                    SpanPartWriter::new(factory.create()?, &self.options, FLUSH_LEVEL)?,
                )),
            };
            writer.push_trace(rows)?;
        }
        writer.map_or(Ok(()), |(_, writer)| writer.finish(factory))
    }
    fn merge_parts(
        self: &Arc<Self>,
        _: &Arc<Context>,
        factory: &mut PartFactory,
        parts: &[Arc<Part>],
    ) -> Result<()> {
        let open: Result<Vec<Arc<OpenPart>>> = parts
            .iter()
            .map(|part| self.open(part).inspect_err(|_| part.set_damaged()))
            .collect();
        let open = open?;
        let read = |part: u32, block: u32| {
            open[part as usize]
                .read_block(block)
                .inspect_err(|_| parts[part as usize].set_damaged())
        };
        // Once over everything to see where each trace is, then once more in the order of the merged part. The
        // parts are in nearly that order, so blocks are read about twice in all.
        let mut places: HashMap<TraceId, Place> = HashMap::new();
        for (part, open) in open.iter().enumerate() {
            for block in 0..open.index.blocks.len() {
                let at = (part as u32, block as u32);
                for row in read(at.0, at.1)? {
                    let place = places.entry(row.span.trace_id).or_insert(Place {
                        start_ns: i64::MAX,
                        blocks: Vec::new(),
                    });
                    place.start_ns = place.start_ns.min(row.span.start_ns);
                    if place.blocks.last() != Some(&at) {
                        place.blocks.push(at);
                    }
                }
            }
        }
        let mut order: Vec<(TraceId, Place)> = places.into_iter().collect();
        order.sort_by_key(|(id, place)| (place.start_ns, *id));
        let blocks = Cache::new(MERGE_CACHE_BYTES);
        let mut writer = SpanPartWriter::new(factory.create()?, &self.options, MERGE_LEVEL)?;
        for (id, place) in order {
            let (mut keys, mut services) = (HashSet::new(), HashSet::new());
            let mut rows: Vec<Row> = Vec::new();
            for (part, block) in place.blocks {
                let raw_bytes = open[part as usize].index.blocks[block as usize].raw_bytes as usize;
                let load = || Ok((read(part, block)?, raw_bytes * 4));
                let block = blocks.get(u64::from(part) << 32 | u64::from(block), load)?;
                rows.extend(block.iter().filter(|row| row.span.trace_id == id).cloned());
            }
            let before = rows.len();
            rows.retain(|row| keys.insert(key_of(row, &mut services)));
            factory.duplicates += (before - rows.len()) as u64;
            writer.push_trace(rows)?;
        }
        writer.finish(factory)
    }
    fn forget(&self, part: u64) {
        self.open.remove(part);
        self.words.remove(part);
    }
}

/// Traces of all tenants. Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct TraceStore(Arc<Engine<TraceSignal>>);

impl TraceStore {
    /// Opens the traces of a data directory: reads the manifests and replays the write-ahead logs.
    ///
    /// The caller holds the directory's lock ([`storage::DataDir`]). Errors: those of the disk, and
    /// [`ErrorKind::Corrupt`] for a damaged manifest or a newer format; nothing is touched then.
    pub fn open(
        fs: Arc<dyn Fs>,
        data_dir: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        meter: &dyn Meter,
    ) -> Result<Self> {
        let signal = TraceSignal::new(&options);
        Ok(Self(Arc::new(Engine::open(
            signal, fs, data_dir, options, clock, meter,
        )?)))
    }
    /// Writes everything in memory to parts. What cannot be written (the disk is full) stays visible, in memory
    /// and in the log, and the next flush tries again.
    pub fn flush(&self) -> Result<()> {
        self.0.flush()
    }
    /// Takes everything into a data directory that is being built, see [`storage::Snapshots::create`]; nothing else
    /// may write there. What was acknowledged before the call is in it; with `skip_head` only what was flushed before.
    /// Writes and reads go on meanwhile.
    pub fn snapshot(&self, to: &Path, skip_head: bool) -> Result<storage::Taken> {
        self.0.snapshot(to, skip_head)
    }
    /// Flushes, and merges all parts of each day as far as [`Options::max_part_bytes`] allows.
    pub fn compact(&self) -> Result<()> {
        self.0.compact()
    }
    /// Removes parts that hold only spans that began before the retention. Parts are of one day each, so a span
    /// may stay up to a day longer.
    pub fn enforce_retention(&self, now_ns: i64) -> Result<()> {
        self.0.enforce_retention(now_ns)
    }
    /// Does what is due: retention, a flush when the head is large or old, one merge. Call it every second or so,
    /// where blocking is allowed.
    pub fn maintain(&self) -> Result<()> {
        self.0.maintain()
    }
    /// What the store holds.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
    /// Flushes and closes. Further writes are answered [`ErrorKind::Unavailable`]; reads go on.
    pub fn close(&self) -> Result<()> {
        self.0.close()
    }
    fn start(&self, request: &ScanRequest) -> Result<SpanScan> {
        let tenant = self.0.tenant(&request.tenant);
        let snapshot = tenant.as_ref().map(|t| t.snapshot());
        SpanScan::new(&self.0.context, &self.0.signal, snapshot, request)
    }
    /// Gathers texts: from the indexes of parts that lie wholly in the range where `indexed` can answer, and from
    /// every matching span of the rest.
    fn gather(
        &self,
        request: &ScanRequest,
        indexed: impl Fn(&TraceSignal, &Part, &mut BTreeSet<String>) -> Result<bool>,
        of_row: impl Fn(&Row, &mut BTreeSet<String>),
    ) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        let mut scan = self.start(request)?;
        for part in scan.take_whole_parts() {
            request.budget.check()?;
            match indexed(scan.signal(), &part, &mut found) {
                Ok(true) => {}
                Ok(false) => scan.put_back(part),
                Err(e) => {
                    scan.survive(&part, e)?;
                    scan.put_back(part);
                }
            }
        }
        while let Some(rows) = scan.next_rows()? {
            rows.iter().for_each(|row| of_row(row, &mut found));
        }
        found.remove("");
        Ok(found.into_iter().collect())
    }
}

/// What a predicate asks for, as far as a part's index can answer it alone.
enum Simple<'a> {
    All,
    Service(&'a str),
}

fn simple(predicate: &Predicate) -> Option<Simple<'_>> {
    match predicate {
        Predicate::Field(m) | Predicate::Label(m)
            if m.name() == field::SERVICE && m.op() == MatchOp::Equal && !m.value().is_empty() =>
        {
            Some(Simple::Service(m.value()))
        }
        Predicate::And(parts) => {
            parts
                .iter()
                .try_fold(Simple::All, |so_far, part| match (so_far, simple(part)?) {
                    (Simple::All, other) | (other, Simple::All) => Some(other),
                    _ => None,
                })
        }
        _ => None,
    }
}

/// The values of a name in a part, from its dictionary; false when it does not have all of them.
fn indexed_values(
    signal: &TraceSignal,
    part: &Part,
    asked: &Simple<'_>,
    name: &str,
    found: &mut BTreeSet<String>,
) -> Result<bool> {
    let (key, prefix) = match asked {
        Simple::All => (name, pair_term(name, "")),
        // The operations of one service; the separator belongs to the prefix.
        Simple::Service(service) if name == field::NAME => (
            terms::OPERATION,
            pair_term(terms::OPERATION, &terms::operation(service, "")),
        ),
        Simple::Service(_) => return Ok(false),
    };
    let open = signal.open(part)?;
    let words = signal.words(part, &open)?;
    let (values, is_complete) = words.terms_with_prefix(Kind::Pair, &prefix)?;
    if !is_complete || !words.blocks(Kind::Word, key.as_bytes())?.is_empty() {
        return Ok(false);
    }
    found.extend(values.into_iter().filter_map(|v| String::from_utf8(v).ok()));
    Ok(true)
}

impl Write<Spans> for TraceStore {
    fn write(&self, batch: Batch<Spans>) -> BoxFuture<'_, Result<WriteOutcome>> {
        Box::pin(self.0.write(batch))
    }
}

impl Read<SpanBatch> for TraceStore {
    fn scan(&self, request: &ScanRequest) -> Result<Scan<SpanBatch>> {
        Ok(Scan {
            predicates: vec![Answer::Exact; request.predicate.leaves().len()],
            aggregate: Answer::NotDone,
            batches: Box::new(self.start(request)?),
        })
    }
    fn label_names(&self, request: &ScanRequest) -> Result<Vec<String>> {
        let asked = simple(&request.predicate);
        self.gather(
            request,
            |signal, part, found| {
                let is_all = matches!(asked, Some(Simple::All));
                if is_all {
                    found.extend(signal.open(part)?.index.keys.iter().cloned());
                }
                Ok(is_all)
            },
            |row, found| found.extend(terms::keys_of(row).map(str::to_owned)),
        )
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<Vec<String>> {
        let asked = simple(&request.predicate);
        self.gather(
            request,
            |signal, part, found| match &asked {
                Some(asked) => indexed_values(signal, part, asked, name, found),
                None => Ok(false),
            },
            |row, found| {
                found.insert(terms::value_of(row, name).into_owned());
            },
        )
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let mut found = BTreeSet::new();
        let mut scan = self.start(request)?;
        while let Some(rows) = scan.next_rows()? {
            let mut known = HashSet::new();
            for row in rows.iter().filter(|row| known.insert(Arc::as_ptr(&row.group))) {
                let attributes = row.group.resource.attributes.iter();
                found.insert(Labels::from_pairs(
                    attributes.map(|(k, v)| (k.clone(), v.to_string())),
                ));
            }
        }
        Ok(found.into_iter().collect())
    }
}
