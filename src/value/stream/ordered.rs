//! Items in the order of their ids: blocks of entries, and what is pending. A deque of chunks of items, dense where items
//! are added at the end, as those of streams nearly always are.

use super::StreamId;
use crate::tree::Shared;
use std::collections::VecDeque;

/// Items of a chunk at most: removing one moves half of them.
const CHUNK_ITEMS_MAX: usize = 128;

/// What has an id that is its place in the order.
pub(super) trait HasId {
    fn id(&self) -> StreamId;
}

impl HasId for StreamId {
    #[inline]
    fn id(&self) -> StreamId {
        *self
    }
}

/// Where an item is. Adding or removing items invalidates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    chunk: usize,
    item: usize,
}

/// Items in the order of their ids, no two of the same id. No chunk is empty.
#[derive(Debug, Clone)]
pub(super) struct Ordered<T> {
    /// A copy has them in common with its original.
    chunks: VecDeque<Shared<VecDeque<T>>>,
    len: usize,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Ordered { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T: HasId + Clone> Ordered<T> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn first(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    #[inline]
    pub(super) fn last(&self) -> Option<&T> {
        self.chunks.back()?.back()
    }

    #[inline]
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.chunks.back_mut()?.edit().back_mut()
    }

    /// Adds an item whose id is the highest.
    #[inline]
    pub(super) fn push(&mut self, item: T) {
        debug_assert!(self.last().is_none_or(|last| last.id() < item.id()), "items are added in order");
        self.len += 1;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_ITEMS_MAX => chunk.edit().push_back(item),
            _ => self.chunks.push_back(Shared::new([item].into())),
        }
    }

    /// Adds an item at its place; one with the same id is replaced.
    pub(super) fn insert(&mut self, item: T) {
        let id = item.id();
        let Place { mut chunk, item: mut at } = self.lower_bound(id);
        if chunk == self.chunks.len() {
            return self.push(item);
        }
        if self.chunks[chunk][at].id() == id {
            self.chunks[chunk].edit()[at] = item;
            return;
        }
        if self.chunks[chunk].len() == CHUNK_ITEMS_MAX {
            let rest = self.chunks[chunk].edit().split_off(CHUNK_ITEMS_MAX / 2);
            self.chunks.insert(chunk + 1, Shared::new(rest));
            if at > CHUNK_ITEMS_MAX / 2 {
                chunk += 1;
                at -= CHUNK_ITEMS_MAX / 2;
            }
        }
        self.chunks[chunk].edit().insert(at, item);
        self.len += 1;
    }

    /// The place of the first item with this id or a higher one; behind the last item if there is none.
    #[inline]
    pub(super) fn lower_bound(&self, id: StreamId) -> Place {
        let below = |chunk: &Shared<VecDeque<T>>| chunk.back().is_some_and(|last| last.id() < id);
        let chunk = match self.chunks.front() {
            // What is oldest is acknowledged and trimmed first.
            Some(first) if !below(first) => 0,
            _ => self.chunks.partition_point(below),
        };
        let item = self.chunks.get(chunk).map_or(0, |items| items.partition_point(|item| item.id() < id));
        Place { chunk, item }
    }

    /// The place of the item with this id.
    pub(super) fn find(&self, id: StreamId) -> Option<Place> {
        let place = self.lower_bound(id);
        self.get(place).filter(|item| item.id() == id).map(|_| place)
    }

    /// The place of the last item whose id is this or a lower one.
    pub(super) fn last_up_to(&self, id: StreamId) -> Option<Place> {
        match id.next() {
            Some(next) => self.previous(self.lower_bound(next)),
            None => self.previous(self.end()),
        }
    }

    /// The place behind the last item.
    pub(super) fn end(&self) -> Place {
        Place { chunk: self.chunks.len(), item: 0 }
    }

    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<&T> {
        self.chunks.get(place.chunk)?.get(place.item)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.chunks.get_mut(place.chunk)?.edit().get_mut(place.item)
    }

    /// The place after `place`, whether or not there is an item.
    #[inline]
    pub(super) fn next(&self, place: Place) -> Place {
        let items = self.chunks.get(place.chunk).map_or(0, |chunk| chunk.len());
        if place.item + 1 < items {
            Place { item: place.item + 1, ..place }
        } else {
            Place { chunk: place.chunk + 1, item: 0 }
        }
    }

    #[inline]
    pub(super) fn previous(&self, place: Place) -> Option<Place> {
        if let Some(item) = place.item.checked_sub(1) {
            return Some(Place { item, ..place });
        }
        let chunk = place.chunk.checked_sub(1)?;
        let item = self.chunks.get(chunk)?.len().checked_sub(1)?;
        Some(Place { chunk, item })
    }

    /// Removes the item at `place`, where there is one. The next one, if it was not the last, then stands at that place
    /// or begins the next chunk: look it up again.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let chunk = self.chunks.get_mut(place.chunk)?.edit();
        let item = chunk.remove(place.item)?;
        self.len -= 1;
        let left = chunk.len();
        if left == 0 {
            self.chunks.remove(place.chunk);
        } else if left < CHUNK_ITEMS_MAX / 4 && place.chunk > 0 {
            // Sparse neighbours become one chunk, so that chunks stay few; but not at the front, where chunks are used up.
            let next = self.chunks.get(place.chunk + 1).map(|next| next.len());
            if next.is_some_and(|next| left + next <= CHUNK_ITEMS_MAX / 2)
                && let Some(next) = self.chunks.remove(place.chunk + 1)
            {
                self.chunks[place.chunk].edit().append(&mut next.into_inner());
            }
        }
        Some(item)
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let item = self.chunks.front_mut()?.edit().pop_front()?;
        self.len -= 1;
        if self.chunks.front().is_some_and(|chunk| chunk.is_empty()) {
            self.chunks.pop_front();
        }
        Some(item)
    }

    /// The items from `place` on.
    pub(super) fn iter_from(&self, place: Place) -> impl Iterator<Item = &T> + Clone {
        let first = self.chunks.get(place.chunk).into_iter().flat_map(move |chunk| chunk.iter().skip(place.item));
        let others = (place.chunk + 1).min(self.chunks.len());
        first.chain(self.chunks.range(others..).flat_map(|chunk| chunk.iter()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.iter_from(Place::default())
    }

    /// Bytes allocated, without what the items own.
    pub(super) fn memory(&self) -> usize {
        let items: usize = self.chunks.iter().map(|chunk| chunk.capacity()).sum();
        let chunks = self.chunks.len() * (size_of::<VecDeque<T>>() + Shared::<VecDeque<T>>::OVERHEAD);
        items * size_of::<T>() + chunks + self.chunks.capacity() * size_of::<Shared<VecDeque<T>>>()
    }

    /// Allocations: what freeing costs.
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Debug, Clone)]
    enum Step {
        Append(u16),
        Insert(u64),
        Remove(u64),
        RemoveMany(u64, u16),
        PopFirst(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1u16..400).prop_map(Step::Append),
            (0u64..3000).prop_map(Step::Insert),
            (0u64..3000).prop_map(Step::Remove),
            (0u64..3000, 1u16..300).prop_map(|(from, count)| Step::RemoveMany(from, count)),
            (1u16..200).prop_map(Step::PopFirst),
        ]
    }

    fn id(number: u64) -> StreamId {
        StreamId::new(number / 10, number % 10)
    }

    proptest! {
        #[test]
        fn items_stay_in_order(steps in prop::collection::vec(step(), 1..40), probes in prop::collection::vec(0u64..4000, 5)) {
            let mut ordered: Ordered<StreamId> = Ordered::default();
            let mut model: BTreeSet<StreamId> = BTreeSet::new();
            for step in steps {
                let remove = |ordered: &mut Ordered<StreamId>, model: &mut BTreeSet<StreamId>, id: StreamId| {
                    let removed = ordered.find(id).and_then(|place| ordered.remove(place));
                    assert_eq!(removed, model.take(&id));
                };
                match step {
                    Step::Append(count) => for _ in 0..count {
                        let last = model.last().map_or(0, |id| id.ms * 10 + id.seq);
                        ordered.push(id(last + 2));
                        model.insert(id(last + 2));
                    },
                    Step::Insert(number) => {
                        ordered.insert(id(number));
                        model.insert(id(number));
                    }
                    Step::Remove(number) => remove(&mut ordered, &mut model, id(number)),
                    Step::RemoveMany(from, count) => for number in from..from + u64::from(count) {
                        remove(&mut ordered, &mut model, id(number));
                    },
                    Step::PopFirst(count) => for _ in 0..count {
                        prop_assert_eq!(ordered.pop_first(), model.pop_first());
                    },
                }
                prop_assert_eq!(ordered.len(), model.len());
                prop_assert_eq!((ordered.first(), ordered.last()), (model.first(), model.last()));
                prop_assert!(ordered.iter().eq(&model));
                prop_assert!(ordered.chunks.iter().all(|chunk| (1..=CHUNK_ITEMS_MAX).contains(&chunk.len())));
                for &probe in &probes {
                    let from = ordered.lower_bound(id(probe));
                    prop_assert!(ordered.iter_from(from).eq(model.range(id(probe)..)));
                    prop_assert_eq!(ordered.get(from), model.range(id(probe)..).next());
                    prop_assert_eq!(ordered.get(ordered.next(from)), model.range(id(probe)..).nth(1));
                    let up_to = ordered.last_up_to(id(probe)).and_then(|place| ordered.get(place));
                    prop_assert_eq!(up_to, model.range(..=id(probe)).next_back());
                    prop_assert_eq!(ordered.find(id(probe)).is_some(), model.contains(&id(probe)));
                }
            }
        }
    }
}
