//! Words for the person at the shell: answers to standard output, the rest to standard error.

use std::io::{ErrorKind, Write};

/// A line of the answer.
#[expect(clippy::print_stdout, reason = "a command's answer goes to the shell")]
pub(super) fn answer(line: &str) {
    println!("{line}");
}

/// A line beside the answer.
#[expect(
    clippy::print_stderr,
    reason = "what is no part of the answer stays out of a pipe"
)]
pub(super) fn remark(line: &str) {
    eprintln!("{line}");
}

/// Writes an answer that may be long, through a buffer. A reader that has seen enough is no error.
///
/// # Errors
/// Those of `write`, and those of standard output.
pub(super) fn stream(write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    match written {
        Err(e) if is_broken_pipe(&e) => {
            // What is left in the buffer has no reader.
            let _ = out.into_parts();
            Ok(())
        }
        written => written,
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    let of_io = e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let of_json = e
        .downcast_ref::<serde_json::Error>()
        .and_then(serde_json::Error::io_error_kind);
    of_io.or(of_json) == Some(ErrorKind::BrokenPipe)
}
