//! The layer that turns our own log events into log entries.

use super::{Item, Shared};
use model::LogEntry;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt as _;
use std::fmt::Write as _;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Bytes of one line; what is longer is cut. Our own events are short, unless they quote something.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Queues each event that it sees.
pub(super) struct CaptureLayer {
    shared: Arc<Shared>,
}

impl CaptureLayer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S: Subscriber> Layer<S> for CaptureLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut metadata = vec![("target".to_owned(), event.metadata().target().to_owned())];
        let context = OtelContext::current();
        let span = context.span();
        let span = span.span_context();
        if span.is_valid() {
            metadata.push(("trace_id".to_owned(), span.trace_id().to_string()));
            metadata.push(("span_id".to_owned(), span.span_id().to_string()));
        }
        let entry = LogEntry {
            timestamp_ns: self.shared.clock.now_ns(),
            line: line.finish(),
            metadata,
        };
        let level = level_name(*event.metadata().level());
        if self.shared.queue.try_send(Item::Log { level, entry }).is_err() {
            self.shared.dropped_logs.queue_full.inc();
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// `message key=value …`, as it stands on stderr.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(self) -> String {
        let mut line = self.message;
        if line.is_empty() {
            line.push_str(self.fields.trim_start());
        } else {
            line.push_str(&self.fields);
        }
        if line.len() > MAX_LINE_BYTES {
            let mut end = MAX_LINE_BYTES;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
        }
        line
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=') {
            self.record_debug(field, &value);
        } else {
            self.record_debug(field, &format_args!("{value}"));
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail, but a broken Debug may say that it did.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
