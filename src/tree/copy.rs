//! Copies of whole trees.

use super::{Key, Layout, NewPayload, Payload, Tree};
use std::fmt;

impl<L: Layout> Clone for Tree<L>
where
    L::Boxed: Clone,
{
    /// A tree with the same records. Its pages and their numbers are its own.
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        let mut bytes = Vec::new();
        for page in self.pages.iter() {
            self.path(page.header().parent, &mut bytes);
            let depth = bytes.len();
            for (slot, record) in page.records().enumerate() {
                bytes.truncate(depth);
                record.append_suffix(&mut bytes);
                let payload = match record.payload() {
                    Payload::Inline { kind, bytes } => NewPayload::Inline { kind, bytes },
                    Payload::Boxed(boxed) => NewPayload::Boxed(Box::new(boxed.clone())),
                };
                // A tree looks at no more of a hash than its tag.
                let key = Key::new(&bytes, u64::from(page.tag(slot)));
                copy.put(key, payload, record.deadline(), record.clock());
            }
        }
        copy
    }
}

impl<L: Layout> fmt::Debug for Tree<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("len", &self.len()).finish_non_exhaustive()
    }
}
