//! Copies of whole trees, and images: copies that cost little.

use super::{Key, Layout, NewPayload, Payload, Tree};
use std::fmt;

impl<L: Layout> Tree<L>
where
    L::Boxed: Send + Sync,
{
    /// A copy that has all pages in common with the tree until either changes them, to be read while the tree goes on changing.
    /// It costs what its inner nodes and a few bytes for each page cost, and gives no deadlines in their order. `None` if there is
    /// such an image of the tree already, or it is one.
    pub fn image(&mut self) -> Option<Self> {
        let mut image = Tree {
            root: self.root,
            nodes: self.nodes.clone(),
            pages: self.pages.lend()?,
            deadlines: self.deadlines.without_order(),
            len: self.len,
            page_bytes: self.page_bytes,
            used_bytes: self.used_bytes,
            slots_max: self.slots_max,
            shape: 0,
            capture: None,
        };
        image.reshape();
        Some(image)
    }
}

impl<L: Layout> Clone for Tree<L> {
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
