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
    let bytes = zstd::bulk::decompress(cursor.rest(), len).map_err(|e| bad(&format!("zstd: {e}")))?;
    if bytes.len() == len {
        Ok(bytes)
    } else {
        Err(bad("packed bytes have another length than they say"))
    }
}
