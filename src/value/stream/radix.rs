//! How many nodes the radix tree has in which Redis keeps the blocks of a stream.

use super::StreamId;

/// Bytes of an id as a key of the tree.
const KEY_LEN: u32 = 16;

/// Nodes of the tree of these ids, which must ascend: a leaf for each, a node where ids part, and a node for each run of
/// bytes, one or more, that leads to either without parting.
pub(super) fn node_count(ids: impl Iterator<Item = StreamId>) -> usize {
    /// Nodes that stand for what begins behind the parting at `parent` and ends at `depth`.
    fn nodes(depth: u32, parent: Option<&u32>) -> usize {
        // The parting itself takes the byte in which ids differ.
        1 + usize::from(depth > parent.map_or(0, |parent| parent + 1))
    }
    // Where the last id parted from those before it, as depths in bytes: ascending.
    let mut partings: Vec<u32> = Vec::new();
    let mut last: Option<u128> = None;
    let mut count = 0;
    for id in ids {
        let key = u128::from(id.ms) << 64 | u128::from(id.seq);
        if let Some(last) = last.replace(key) {
            let common = (last ^ key).leading_zeros() / 8;
            count += match partings.last() {
                Some(parting) if *parting > common => nodes(KEY_LEN, Some(parting)),
                _ => nodes(KEY_LEN, Some(&common)),
            };
            while let Some(parting) = partings.pop_if(|parting| *parting > common) {
                let parent = partings.last().filter(|parent| **parent > common).unwrap_or(&common);
                count += nodes(parting, Some(parent));
            }
            if partings.last() != Some(&common) {
                partings.push(common);
            }
        }
    }
    if last.is_none() {
        // The root.
        return 1;
    }
    count += nodes(KEY_LEN, partings.last());
    while let Some(parting) = partings.pop() {
        count += nodes(parting, partings.last());
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_those_that_redis_counts() {
        let count = |ids: &[(u64, u64)]| node_count(ids.iter().map(|(ms, seq)| StreamId::new(*ms, *seq)));
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[(1, 0)]), 2);
        assert_eq!(count(&[(9, 0), (10, 0)]), 6);
        assert_eq!(count(&[(3, 0), (6, 0), (9, 0), (10, 0)]), 10);
        assert_eq!(count(&[(1, 1), (1, 2), (1, 258), (2, 0)]), 11);
    }
}
