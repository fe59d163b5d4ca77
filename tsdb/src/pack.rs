//! Bytes behind their length and zstd.

use crate::bytes::{Cursor, bad, put_uint};
use model::{Error, Result};

/// The most that packed bytes may unpack to.
const MAX_BYTES: usize = 2 << 30;

/// Packs bytes: their length and zstd.
pub(crate) fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    put_uint(&mut packed, bytes.len() as u64);
    let body = zstd::bulk::compress(bytes, 1).map_err(|e| Error::internal(format!("zstd: {e}")))?;
    packed.extend_from_slice(&body);
    Ok(packed)
}

/// Unpacks what [`pack`] packed.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(packed);
    let len = usize::try_from(cursor.uint()?)
        .ok()
        .filter(|len| *len <= MAX_BYTES);
    let len = len.ok_or_else(|| bad("packed bytes are too many"))?;
    unpack_frame(cursor.rest(), len)
}

/// Unpacks a zstd frame of which is known how long it is unpacked. A damaged length asks for no memory: the frame says
/// it too.
pub(crate) fn unpack_frame(frame: &[u8], len: usize) -> Result<Vec<u8>> {
    let other_length = || bad("packed bytes have another length than they say");
    match zstd::zstd_safe::get_frame_content_size(frame) {
        Ok(Some(said)) if said == len as u64 => {}
        _ => return Err(other_length()),
    }
    let bytes = zstd::bulk::decompress(frame, len).map_err(|e| bad(&format!("zstd: {e}")))?;
    if bytes.len() == len {
        Ok(bytes)
    } else {
        Err(other_length())
    }
}
