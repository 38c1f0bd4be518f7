//! LZ4 blocks, and when they are worth having.

/// The compressed form of `raw`, if it is at least an eighth smaller.
pub fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    let block = lz4_flex::block::compress(raw);
    (block.len() <= raw.len() - raw.len() / 8).then_some(block)
}

/// Writes the raw form of a block that [`compress`] made from `out.len()` bytes.
///
/// # Panics
/// If the block is not the compressed form of as many bytes: memory is corrupt then, and the value lost.
pub(super) fn decompress(block: &[u8], out: &mut [u8]) {
    match lz4_flex::block::decompress_into(block, out) {
        Ok(written) if written == out.len() => (),
        other => panic!("a compressed value of {} bytes does not decompress: {other:?}", out.len()),
    }
}
