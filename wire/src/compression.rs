//! Unpacking with a cap on the output, and packing of what we send.

use model::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::io::{Read, Write as _};

/// The largest window that a zstd frame may ask for, as a power of two: 32 MiB, the most that the common encoders use.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 1950 (zlib), as HTTP says; raw RFC 1951 is read too, because some senders do that.
    Deflate,
    /// Snappy's block format: remote write and Loki push.
    Snappy,
    /// Snappy's framing format.
    SnappyFramed,
    /// RFC 8878, one or more frames.
    Zstd,
}

impl Encoding {
    /// Reads a `Content-Encoding` header; none or an empty one is [`Encoding::Identity`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for anything else, two encodings one over the other included.
    pub fn from_header(header: Option<&str>) -> Result<Self> {
        let name = header.unwrap_or_default().trim();
        Ok(match name.to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" | "zlib" => Self::Deflate,
            "snappy" => Self::Snappy,
            "x-snappy-framed" => Self::SnappyFramed,
            "zstd" => Self::Zstd,
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "content encoding {name:?} is not supported; send gzip, deflate, snappy, zstd or identity"
                    ),
                ));
            }
        })
    }
    /// The name in a `Content-Encoding` header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::SnappyFramed => "x-snappy-framed",
            Self::Zstd => "zstd",
        }
    }
}

/// Unpacks a body to at most `max_bytes`.
///
/// # Errors
/// [`ErrorKind::TooLarge`] when it would unpack to more, [`ErrorKind::BadData`] when it is damaged.
pub fn decompress(encoding: Encoding, body: &[u8], max_bytes: u64) -> Result<Cow<'_, [u8]>> {
    let name = encoding.name();
    let unpacked = match encoding {
        Encoding::Identity if body.len() as u64 > max_bytes => return Err(too_large(name, max_bytes)),
        Encoding::Identity => return Ok(Cow::Borrowed(body)),
        Encoding::Gzip => read_capped(name, flate2::read::MultiGzDecoder::new(body), max_bytes),
        Encoding::Deflate if is_zlib(body) => {
            read_capped(name, flate2::read::ZlibDecoder::new(body), max_bytes)
        }
        Encoding::Deflate => read_capped(name, flate2::read::DeflateDecoder::new(body), max_bytes),
        Encoding::Snappy => snappy_block(body, max_bytes),
        Encoding::SnappyFramed => read_capped(name, snap::read::FrameDecoder::new(body), max_bytes),
        Encoding::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(body).map_err(|e| damaged(name, &e))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|e| damaged(name, &e))?;
            read_capped(name, decoder, max_bytes)
        }
    };
    unpacked.map(Cow::Owned)
}

/// Packs a body.
pub fn compress(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        Encoding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        Encoding::Snappy => snap::raw::Encoder::new()
            .compress_vec(body)
            .expect("bodies are limited far below snappy's 4 GiB"),
        Encoding::SnappyFramed => {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            encoder.write_all(body).expect(IN_MEMORY);
            encoder.into_inner().map_err(|e| e.to_string()).expect(IN_MEMORY)
        }
        Encoding::Zstd => zstd::bulk::compress(body, 1).expect("level 1 exists and memory is there"),
    }
}

/// Whether the first two bytes are a zlib header (RFC 1950: method 8, and a multiple of 31).
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [cmf, flg, ..] if cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31))
}

fn snappy_block(body: &[u8], max_bytes: u64) -> Result<Vec<u8>> {
    // The header says the size before anything is allocated.
    let size = snap::raw::decompress_len(body).map_err(|e| damaged("snappy", &e))?;
    if size as u64 > max_bytes {
        return Err(too_large("snappy", max_bytes));
    }
    // The densest element of the format copies 64 bytes with three, so a larger claim is a lie that would only
    // make us allocate.
    if size > body.len().saturating_mul(64) {
        return Err(damaged(
            "snappy",
            &"the header promises more than the body can hold",
        ));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|e| damaged("snappy", &e))
}

fn read_capped(name: &str, reader: impl Read, max_bytes: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|e| damaged(name, &e))?;
    if out.len() as u64 > max_bytes {
        return Err(too_large(name, max_bytes));
    }
    Ok(out)
}

fn damaged(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::bad_data(format!("the body is not valid {name}: {why}"))
}

fn too_large(name: &str, max_bytes: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "the {name} body unpacks to more than {max_bytes} bytes (limits.ingest.max_decompressed_bytes); send smaller batches or raise the limit"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 6] = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Snappy,
        Encoding::SnappyFramed,
        Encoding::Zstd,
    ];

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let zeros = vec![0u8; 1 << 20];
        for encoding in ALL {
            let packed = compress(encoding, &zeros);
            let e = decompress(encoding, &packed, (1 << 20) - 1).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::TooLarge, "{encoding:?}");
            assert!(
                e.message().contains("limits.ingest.max_decompressed_bytes"),
                "{e}"
            );
            assert_eq!(
                decompress(encoding, &packed, 1 << 20).unwrap(),
                zeros,
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn damage_is_bad_data() {
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(b"raw deflate").unwrap();
        let raw = raw.finish().unwrap();
        assert_eq!(
            *decompress(Encoding::Deflate, &raw, 100).unwrap(),
            *b"raw deflate"
        );
        for encoding in &ALL[1..] {
            for body in [
                &b"garbage that is no archive"[..],
                &compress(*encoding, b"cut off here")[..9],
            ] {
                let e = decompress(*encoding, body, 1000).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::BadData, "{encoding:?}: {e}");
            }
        }
        // A snappy header that promises 32 MiB in six bytes.
        let e = decompress(Encoding::Snappy, &[0x80, 0x80, 0x80, 0x10, 0, 0], 1 << 30).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let two = [compress(encoding, b"one "), compress(encoding, b"two")].concat();
            assert_eq!(
                *decompress(encoding, &two, 100).unwrap(),
                *b"one two",
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn headers_name_encodings() {
        for encoding in ALL {
            assert_eq!(Encoding::from_header(Some(encoding.name())).unwrap(), encoding);
        }
        assert_eq!(Encoding::from_header(None).unwrap(), Encoding::Identity);
        assert_eq!(Encoding::from_header(Some(" GZIP ")).unwrap(), Encoding::Gzip);
        for bad in ["br", "gzip, gzip"] {
            assert_eq!(
                Encoding::from_header(Some(bad)).unwrap_err().kind(),
                ErrorKind::Unsupported
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(body: Vec<u8>) {
            for encoding in ALL {
                let packed = compress(encoding, &body);
                let unpacked = decompress(encoding, &packed, 1 << 20).unwrap();
                prop_assert_eq!(&*unpacked, &body[..]);
            }
        }
        #[test]
        fn arbitrary_bytes_do_not_panic(body: Vec<u8>) {
            for encoding in ALL {
                let _ = decompress(encoding, &body, 1000);
            }
        }
    }
}
