//! Compressed responses: which encoding a client takes, and the encoders.

use std::io::Write;

/// Responses of fewer bytes are sent as they are.
pub const COMPRESSED_BYTES_MIN: usize = 512;
/// For all three encodings: as small as it gets without being slow.
const LEVEL: u32 = 6;
/// The window of Brotli, as a power of two: what every decoder must have.
const BROTLI_WINDOW_BITS: u32 = 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    Zstd,
    Brotli,
}

/// What is preferred, if a client does not mind, first.
const PREFERRED: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

impl Encoding {
    /// Each, at the place that its number says.
    pub const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Zstd, Encoding::Brotli];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Brotli => "br",
        }
    }

    /// The best of those that an `Accept-Encoding` takes (RFC 9110, section 12.5.3); `None` if it takes none, or prefers the
    /// response as it is.
    pub fn choose(accepted: &str) -> Option<Encoding> {
        let qualities: Vec<(&str, f32)> = accepted.split(',').map(quality).collect();
        let of = |name: &str| {
            let find = |wanted: &str| qualities.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            find(name).or_else(|| find("*")).map_or(0.0, |(_, quality)| *quality)
        };
        // Of several that are taken equally, the first.
        let best = PREFERRED.into_iter().rev().max_by(|a, b| of(a.name()).total_cmp(&of(b.name())))?;
        let plain = qualities.iter().find(|(name, _)| name.eq_ignore_ascii_case("identity"));
        let is_better = plain.is_none_or(|(_, quality)| of(best.name()) >= *quality);
        (of(best.name()) > 0.0 && is_better).then_some(best)
    }

    /// Compresses `bytes`; `None` if that saves nothing.
    pub fn compress(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let room = Vec::with_capacity(bytes.len() / 2);
        let compressed = match self {
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::new(LEVEL));
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
            Encoding::Zstd => zstd::bulk::compress(bytes, LEVEL as i32),
            Encoding::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(room, 4096, LEVEL, BROTLI_WINDOW_BITS);
                encoder.write_all(bytes).map(|()| encoder.into_inner())
            }
        };
        compressed.ok().filter(|compressed| compressed.len() < bytes.len())
    }
}

/// What a part of a list says is taken, and how much it is wanted.
pub fn quality(part: &str) -> (&str, f32) {
    let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
    let quality = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
    (name.trim(), quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_client_gets_what_it_takes() {
        let cases = [
            ("", None),
            ("gzip", Some(Encoding::Gzip)),
            ("gzip, deflate, br", Some(Encoding::Brotli)),
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("GZIP;q=1.0, br;q=0.5", Some(Encoding::Gzip)),
            ("zstd;q=0, *", Some(Encoding::Brotli)),
            ("*;q=0", None),
            ("deflate", None),
            ("identity, gzip;q=0.5", None),
            ("gzip;q=nonsense", None),
        ];
        for (accepted, expected) in cases {
            assert_eq!(Encoding::choose(accepted), expected, "{accepted:?}");
        }
    }

    #[test]
    fn what_is_compressed_is_what_was_given() {
        let bytes = b"some text ".repeat(1000);
        for encoding in PREFERRED {
            let compressed = encoding.compress(&bytes).expect("it gets smaller");
            assert!(compressed.len() < bytes.len() / 10, "{encoding:?}");
            let mut plain = Vec::new();
            let read = match encoding {
                Encoding::Gzip => flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut plain),
                Encoding::Brotli => brotli::Decompressor::new(&compressed[..], 4096).read_to_end(&mut plain),
                Encoding::Zstd => {
                    plain = zstd::bulk::decompress(&compressed, bytes.len()).expect("it is whole");
                    Ok(0)
                }
            };
            read.expect("it is whole");
            assert!(plain == bytes, "{encoding:?}");
            assert_eq!(encoding.compress(b"x"), None);
        }
    }
}
