//! Log files: followed through rotation and restarts, each line handed on once.
//!
//! ## How each line is counted once
//!
//! One batch is under way at a time, and it is made of *ranges*: bytes `start..end` of files. Before a batch is
//! sent, its ranges and its sequence number are written to `<data>/agent/files.json` ([`state`]). Whatever
//! happens then, the same ranges go out under the same number until they are acknowledged:
//!
//! - the sink fails: the batch in memory is sent again;
//! - the agent dies before the sink took the batch: after the restart the ranges are read again and sent under
//!   the same number, which the sink does not know yet;
//! - the agent dies after the sink took it: the same, and the sink recognises the number and drops the batch.
//!
//! Only then do the checkpoints move. A range always begins and ends where no line is half read ([`decode`]), so
//! reading it again gives the same lines. What cannot be read again, because a file was removed in between, is
//! counted as lost.
//!
//! A file is the same file if device, inode, its first bytes and the bytes before the checkpoint are the same
//! ([`fingerprint`]); so a file that was renamed goes on where it was, and one that was truncated and written anew
//! starts from its beginning. A copy made before truncating goes on where the original had got to.

pub mod decode;
mod discover;
mod enrich;
pub mod fingerprint;
mod range;
pub mod state;
mod tailer;

pub use tailer::{Options, Outgoing, STREAM, Tailer};
