//! Group commit: a bounded queue, one thread, one fsync for everything that is queued.

use super::{Durability, Log, Position, Record, Span};
use crate::LogMetrics;
use model::{Error, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How a committer works.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// Writes that may wait; one more is answered [`model::ErrorKind::Unavailable`].
    pub queue_writes: usize,
    /// Bytes of payload that may wait; a single write may always wait alone.
    pub queue_bytes: usize,
    /// Bytes of payload after which a group is closed.
    pub group_bytes: usize,
    /// Whether a thread commits. Without one each `submit` appends, syncs and applies before it returns: for the
    /// simulation, where the same seed must give the same run.
    pub threaded: bool,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            queue_writes: 1024,
            queue_bytes: 128 << 20,
            group_bytes: 16 << 20,
            threaded: true,
        }
    }
}

impl CommitOptions {
    /// Without a thread.
    pub fn inline() -> Self {
        Self {
            threaded: false,
            ..Self::default()
        }
    }
}

/// One write on its way through the queue.
struct Pending<T, R> {
    kind: u8,
    version: u8,
    payload: Vec<u8>,
    value: T,
    answer: oneshot::Sender<Result<R>>,
}

/// The answer to a submitted write: a future for what `apply` returned. Dropping it does not take the write back.
pub struct Commit<R>(oneshot::Receiver<Result<R>>);

impl<R> Commit<R> {
    /// Blocks until the answer is there. Not for asynchronous code.
    pub fn wait(self) -> Result<R> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl<R> Future for Commit<R> {
    type Output = Result<R>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|r| r.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> Error {
    Error::unavailable(
        "the store is shutting down; the write was not taken",
        Duration::from_secs(5),
    )
}

type Apply<T, R> = Box<dyn FnMut(Span, T) -> R + Send>;

/// A log with a committer before it. `T` travels beside the record's bytes (the decoded batch, so that `apply`
/// need not decode again); `R` is what `apply` makes of it and what the writer gets back.
pub struct GroupCommit<T, R> {
    log: Arc<Mutex<Log>>,
    metrics: LogMetrics,
    options: CommitOptions,
    queued_bytes: Arc<AtomicUsize>,
    way: Way<T, R>,
}

enum Way<T, R> {
    Inline(Mutex<Apply<T, R>>),
    Thread {
        /// `None` once closed. A lock that is only ever taken for writing by `close`.
        queue: RwLock<Option<SyncSender<Pending<T, R>>>>,
        thread: Mutex<Option<JoinHandle<()>>>,
    },
}

impl<T: Send + 'static, R: Send + 'static> GroupCommit<T, R> {
    /// Starts a committer. `apply` is called once for each record that is durable, in log order, before its
    /// writer is answered; it must not wait for other writes.
    pub fn start(
        log: Log,
        name: &str,
        options: CommitOptions,
        apply: impl FnMut(Span, T) -> R + Send + 'static,
    ) -> Result<Self> {
        let metrics = log.metrics.clone();
        let log = Arc::new(Mutex::new(log));
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let apply: Apply<T, R> = Box::new(apply);
        let way = if options.threaded {
            let (sender, receiver) = sync_channel(options.queue_writes.max(1));
            let worker = Worker {
                log: log.clone(),
                receiver,
                apply,
                queued_bytes: queued_bytes.clone(),
                group_bytes: options.group_bytes,
            };
            let thread = std::thread::Builder::new()
                .name(format!("wal {name}"))
                .spawn(move || worker.run())
                .map_err(|e| Error::internal(format!("cannot start the committer of the log {name}: {e}")))?;
            Way::Thread {
                queue: RwLock::new(Some(sender)),
                thread: Mutex::new(Some(thread)),
            }
        } else {
            Way::Inline(Mutex::new(apply))
        };
        Ok(Self {
            log,
            metrics,
            options,
            queued_bytes,
            way,
        })
    }

    /// Queues a record. The future resolves once the record is durable and applied. A full queue is answered at
    /// once with [`model::ErrorKind::Unavailable`].
    pub fn submit(&self, kind: u8, version: u8, payload: Vec<u8>, value: T) -> Commit<R> {
        let (answer, commit) = oneshot::channel();
        let pending = Pending {
            kind,
            version,
            payload,
            value,
            answer,
        };
        match &self.way {
            Way::Inline(apply) => {
                let mut apply = apply.lock().unwrap_or_else(PoisonError::into_inner);
                commit_group(&self.log, &mut *apply, vec![pending]);
            }
            Way::Thread { queue, .. } => {
                let queue = queue.read().unwrap_or_else(PoisonError::into_inner);
                self.enqueue(queue.as_ref(), pending);
            }
        }
        Commit(commit)
    }

    fn enqueue(&self, queue: Option<&SyncSender<Pending<T, R>>>, pending: Pending<T, R>) {
        let len = pending.payload.len();
        let before = self.queued_bytes.fetch_add(len, Ordering::Relaxed);
        let refused = if before > 0 && before + len > self.options.queue_bytes {
            Err(TrySendError::Full(pending))
        } else {
            match queue {
                Some(queue) => queue.try_send(pending),
                None => Err(TrySendError::Disconnected(pending)),
            }
        };
        let Err(refused) = refused else { return };
        self.queued_bytes.fetch_sub(len, Ordering::Relaxed);
        let (pending, e) = match refused {
            TrySendError::Full(pending) => {
                self.metrics.queue_full.inc();
                let e = Error::unavailable(
                    "the queue before the write-ahead log is full: the disk does not keep up; try again",
                    Duration::from_secs(1),
                );
                (pending, e)
            }
            TrySendError::Disconnected(pending) => (pending, stopped()),
        };
        // The writer may have gone away; nobody is left to tell then.
        let _ = pending.answer.send(Err(e));
    }

    /// The position after the last durable record. `apply` may still be on its way there: for a snapshot take
    /// the span of the last record applied.
    pub fn position(&self) -> Position {
        self.lock().position()
    }
    /// See [`Log::remove_below`].
    pub fn remove_below(&self, position: Position) -> Result<usize> {
        self.lock().remove_below(position)
    }
    /// What the log counts.
    pub fn metrics(&self) -> &LogMetrics {
        &self.metrics
    }
    /// Bytes that the log takes on disk.
    pub fn size_bytes(&self) -> u64 {
        self.lock().size_bytes()
    }
    /// Commits everything queued, stops the thread and seals the log. Further writes are refused.
    pub fn close(&self) -> Result<()> {
        self.way.stop();
        self.lock().seal()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, R> Way<T, R> {
    /// Lets the thread commit what is queued and end.
    fn stop(&self) {
        let Way::Thread { queue, thread } = self else {
            return;
        };
        drop(queue.write().unwrap_or_else(PoisonError::into_inner).take());
        let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!("the committer of a write-ahead log panicked");
        }
    }
}

impl<T, R> Drop for GroupCommit<T, R> {
    /// Commits what is queued and stops the thread, without a seal.
    fn drop(&mut self) {
        self.way.stop();
    }
}

struct Worker<T, R> {
    log: Arc<Mutex<Log>>,
    receiver: Receiver<Pending<T, R>>,
    apply: Apply<T, R>,
    queued_bytes: Arc<AtomicUsize>,
    group_bytes: usize,
}

impl<T, R> Worker<T, R> {
    fn run(mut self) {
        while let Ok(first) = self.receiver.recv() {
            let mut bytes = first.payload.len();
            let mut group = vec![first];
            while bytes < self.group_bytes
                && let Ok(next) = self.receiver.try_recv()
            {
                bytes += next.payload.len();
                group.push(next);
            }
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            commit_group(&self.log, &mut self.apply, group);
        }
    }
}

fn commit_group<T, R>(shared: &Mutex<Log>, apply: &mut Apply<T, R>, group: Vec<Pending<T, R>>) {
    let mut log = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = log.options.max_record_bytes as usize;
    // A record that is too large fails alone, not with its neighbours.
    let (group, large): (Vec<_>, Vec<_>) = group.into_iter().partition(|p| p.payload.len() <= limit);
    for pending in large {
        let message = format!(
            "a batch of {} bytes is over the log's limit of {limit}; send smaller batches",
            pending.payload.len()
        );
        answer(
            pending.answer,
            Err(Error::new(model::ErrorKind::TooLarge, message)),
        );
    }
    if group.is_empty() {
        return;
    }
    let records: Vec<Record<'_>> = group
        .iter()
        .map(|p| Record {
            kind: p.kind,
            version: p.version,
            payload: &p.payload,
        })
        .collect();
    let (appended, durability) = (log.append(&records), log.options.durability);
    // `apply` may take the store's locks, whose holders may ask for the log.
    drop(log);
    match appended {
        Err(e) => group.into_iter().for_each(|p| answer(p.answer, Err(e.clone()))),
        Ok(spans) => {
            for (pending, span) in group.into_iter().zip(spans) {
                let result = apply(span, pending.value);
                answer(pending.answer, Ok(result));
            }
        }
    }
    if durability == Durability::Memory {
        // Acknowledged already, by the operator's choice; a failure is counted and logged by the log.
        let _ = shared.lock().unwrap_or_else(PoisonError::into_inner).sync();
    }
}

fn answer<R>(sender: oneshot::Sender<Result<R>>, result: Result<R>) {
    // A writer that went away does not want to know.
    let _ = sender.send(result);
}
