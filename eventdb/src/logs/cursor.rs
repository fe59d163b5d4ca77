//! One stream's rows out of chunks and blocks, merged by time, equal lines shown once.

use super::LogSignal;
use super::columns::Columns;
use super::part::OpenPart;
use super::query::Query;
use crate::engine::{Context, Part};
use model::{Budget, Error, ErrorKind, Labels, Result, TimeRange};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, OnceLock};

/// Order of arrival: of the part or head, then of the block or chunk in it.
pub(super) type Rank = (u32, u32);

/// For each line filter of a query the blocks that have its words.
pub(super) type WordHits = Vec<Option<Vec<u32>>>;

/// One part as a query sees it.
pub(super) struct Source {
    pub(super) part: Arc<Part>,
    pub(super) open: Arc<OpenPart>,
    /// Looked up with the first block that is needed; `None` when the index cannot be read.
    pub(super) hits: OnceLock<Option<WordHits>>,
}

/// Where rows come from.
pub(super) enum Rows {
    /// A chunk of a head.
    Chunk(Arc<Columns>),
    /// A block of a part.
    Block(Arc<Source>, u32),
}

/// A chunk or a block of one stream, not looked at yet.
pub(super) struct Piece {
    pub(super) rows: Rows,
    pub(super) range: TimeRange,
    pub(super) rank: Rank,
}

/// What a cursor needs to know.
pub(super) struct Env {
    pub(super) context: Arc<Context>,
    pub(super) signal: Arc<LogSignal>,
    pub(super) query: Query,
    /// `None` for work of our own.
    pub(super) budget: Option<Budget>,
    /// Whether damage is an error; otherwise it is noted and the rest goes on.
    pub(super) is_strict: bool,
}

impl Env {
    /// Damage costs what is damaged and nothing else; other errors end the query.
    pub(super) fn survive(&self, part: &Part, e: Error) -> Result<()> {
        if e.kind() != ErrorKind::Corrupt {
            return Err(e);
        }
        part.set_damaged();
        if self.is_strict {
            return Err(e);
        }
        self.context.note_damage(&e);
        if let Some(budget) = &self.budget {
            budget.warn(format!("the answer lacks damaged data: {e}"));
        }
        Ok(())
    }
    /// The rows of a piece; `None` when none can match or they cannot be read.
    fn read(&self, rows: &Rows) -> Result<Option<Arc<Columns>>> {
        let (source, block) = match rows {
            Rows::Chunk(columns) => {
                self.charge(columns.len(), columns.text_bytes())?;
                return Ok(Some(Arc::clone(columns)));
            }
            Rows::Block(source, block) => (source, *block),
        };
        if self.query.can_skip_blocks() {
            let hits = source.hits.get_or_init(|| self.look_up(source));
            match self.query.may_match(&source.open, block, hits.as_ref()) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                // Without its bloom filter the block itself must be looked at.
                Err(e) => self.survive(&source.part, e)?,
            }
        }
        let info = &source.open.index.blocks[block as usize];
        self.charge(info.rows as usize, info.text_bytes as usize)?;
        match source.open.read_block(block) {
            Ok(columns) => Ok(Some(Arc::new(columns))),
            Err(e) => self.survive(&source.part, e).map(|()| None),
        }
    }
    fn look_up(&self, source: &Source) -> Option<WordHits> {
        let looked_up = self
            .signal
            .words(&source.part, &source.open)
            .and_then(|words| self.query.look_up(&words));
        match looked_up {
            Ok(hits) => Some(hits),
            Err(e) => {
                // Without the index all blocks are looked at: slower, not wrong.
                self.context.note_damage(&e);
                None
            }
        }
    }
    fn charge(&self, rows: usize, text_bytes: usize) -> Result<()> {
        let Some(budget) = &self.budget else { return Ok(()) };
        budget.check()?;
        budget.charge_samples(rows as u64)?;
        budget.charge_bytes((text_bytes + rows * 16) as u64)
    }
}

/// A piece that is being read.
struct Active {
    columns: Arc<Columns>,
    rows: Vec<u32>,
    at: usize,
    rank: Rank,
}

/// Rows of one stream in the order of the query.
pub(super) struct Cursor {
    pub(super) labels: Labels,
    /// The next to read is last.
    pending: Vec<(i64, Piece)>,
    is_sorted: bool,
    active: Vec<Option<Active>>,
    /// Key of the next row of each active piece, and its place in `active`.
    next: BinaryHeap<Reverse<(i64, Rank, usize)>>,
    group: Vec<(Rank, u32, usize)>,
    /// Rows that an equal one before them hides.
    pub(super) hidden: u64,
}

impl Cursor {
    pub(super) fn new(labels: Labels) -> Self {
        Self {
            labels,
            pending: Vec::new(),
            is_sorted: true,
            active: Vec::new(),
            next: BinaryHeap::new(),
            group: Vec::new(),
            hidden: 0,
        }
    }
    pub(super) fn add(&mut self, query: &Query, piece: Piece) {
        self.pending.push((query.first_key(&piece.range), piece));
        self.is_sorted = false;
    }
    pub(super) fn pending(&self) -> impl Iterator<Item = &Piece> {
        self.pending.iter().map(|(_, piece)| piece)
    }
    fn sort(&mut self) {
        if !self.is_sorted {
            self.pending
                .sort_by_key(|(key, piece)| Reverse((*key, piece.rank)));
            self.is_sorted = true;
        }
    }
    /// The key before which no row comes any more; `None` at the end.
    pub(super) fn key(&mut self) -> Option<i64> {
        self.sort();
        let pending = self.pending.last().map(|(key, _)| *key);
        let active = self.next.peek().map(|Reverse((key, _, _))| *key);
        pending.into_iter().chain(active).min()
    }
    /// Calls `sink` for the next visible rows, all with keys below `fence`: at least `wanted` if they can be had
    /// without reading another piece, otherwise what there is. Returns how many; 0 says that a piece was found
    /// empty or the end was reached.
    pub(super) fn next_rows(
        &mut self,
        env: &Env,
        fence: Option<i64>,
        wanted: usize,
        sink: &mut dyn FnMut(&Columns, usize) -> Result<()>,
    ) -> Result<usize> {
        let mut count = 0;
        loop {
            self.sort();
            let is_fenced = |key: i64| fence.is_some_and(|fence| key >= fence);
            let top = self.next.peek().map(|Reverse((key, _, _))| *key);
            let opens = self
                .pending
                .last()
                .is_some_and(|(key, _)| top.is_none_or(|top| *key <= top));
            if opens {
                let key = self.pending.last().map_or(i64::MAX, |(key, _)| *key);
                if count > 0 || is_fenced(key) {
                    return Ok(count);
                }
                if let Some((_, piece)) = self.pending.pop() {
                    self.activate(env, &piece)?;
                }
                continue;
            }
            let Some(top) = top else { return Ok(count) };
            if is_fenced(top) || count >= wanted {
                return Ok(count);
            }
            self.gather(env, top);
            count += self.show_group(env, sink)?;
        }
    }
    fn activate(&mut self, env: &Env, piece: &Piece) -> Result<()> {
        let Some(columns) = env.read(&piece.rows)? else {
            return Ok(());
        };
        let rows = env.query.rows(&self.labels, &columns);
        let Some(first) = rows.first() else { return Ok(()) };
        let key = env.query.key(columns.time(*first as usize));
        let active = Some(Active {
            columns,
            rows,
            at: 0,
            rank: piece.rank,
        });
        let place = match self.active.iter().position(Option::is_none) {
            Some(place) => {
                self.active[place] = active;
                place
            }
            None => {
                self.active.push(active);
                self.active.len() - 1
            }
        };
        self.next.push(Reverse((key, piece.rank, place)));
        Ok(())
    }
    /// Takes all rows of one time, in order of arrival.
    fn gather(&mut self, env: &Env, key: i64) {
        self.group.clear();
        while let Some(Reverse((next, rank, place))) = self.next.peek().copied() {
            if next != key {
                break;
            }
            self.next.pop();
            let Some(active) = &mut self.active[place] else {
                continue;
            };
            while let Some(row) = active.rows.get(active.at) {
                let row_key = env.query.key(active.columns.time(*row as usize));
                if row_key != key {
                    self.next.push(Reverse((row_key, rank, place)));
                    break;
                }
                self.group.push((active.rank, *row, place));
                active.at += 1;
            }
        }
        if self.group.len() > 1 {
            self.group.sort_unstable();
        }
    }
    fn show_group(
        &mut self,
        env: &Env,
        sink: &mut dyn FnMut(&Columns, usize) -> Result<()>,
    ) -> Result<usize> {
        let mut group = std::mem::take(&mut self.group);
        if group.len() > 1 {
            let before = group.len();
            self.hide_repeats(&mut group);
            self.hidden += (before - group.len()) as u64;
        }
        if env.query.direction == model::Direction::Backward {
            group.reverse();
        }
        let mut count = 0;
        for (_, row, place) in &group {
            let Some(active) = &self.active[*place] else {
                continue;
            };
            let row = *row as usize;
            if env.query.on_metadata(&self.labels, &active.columns, row) {
                sink(&active.columns, row)?;
                count += 1;
            }
        }
        for (_, _, place) in &group {
            if self.active[*place].as_ref().is_some_and(|a| a.at == a.rows.len()) {
                self.active[*place] = None;
            }
        }
        self.group = group;
        Ok(count)
    }
    /// A foreign sender's entry is hidden when an equal one arrived before it; an agent's never is.
    fn hide_repeats(&self, group: &mut Vec<(Rank, u32, usize)>) {
        let line_of = |(_, row, place): &(Rank, u32, usize)| {
            let active = self.active[*place]
                .as_ref()
                .expect("pieces with rows in the group are active");
            (
                active.columns.line(*row as usize),
                active.columns.is_kept(*row as usize),
            )
        };
        if group.iter().all(|member| line_of(member).1) {
            return;
        }
        let mut seen = HashSet::with_capacity(group.len());
        let keeps: Vec<bool> = group
            .iter()
            .map(|member| {
                let (line, is_kept) = line_of(member);
                seen.insert(line) || is_kept
            })
            .collect();
        let mut keeps = keeps.into_iter();
        group.retain(|_| keeps.next().unwrap_or(true));
    }
}
