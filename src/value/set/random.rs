//! Members chosen at random, each as likely as any other.

use super::{Set, SetLimits, SetRef};
use crate::value::packed::{Element, IntegerText};
use rand::Rng;
use std::collections::HashSet;

/// A set of which more than a third is to be chosen is walked; of others, members are drawn until there are enough.
const WALKED_SHARE: usize = 3;
/// If the members to be popped are at least so many times those that stay, those that stay are chosen instead.
const KEPT_SHARE: usize = 5;

impl SetRef<'_> {
    /// Shows a member to `use_member`; `None` if there is none.
    pub fn random<R>(self, rng: &mut impl Rng, use_member: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        match self {
            SetRef::Integers(integers) => {
                let value = integers.get(rng.random_range(0..integers.len()))?;
                Some(use_member(Element::Integer(value)))
            }
            SetRef::Packed(packed) => packed.iter().nth(rng.random_range(0..packed.len())).map(use_member),
            SetRef::Large(large) => {
                let mut member = Vec::new();
                large.random(rng, &mut member).then(|| use_member(Element::Bytes(&member)))
            }
        }
    }

    /// Visits `count` different members, or all if there are not so many, until `visit` fails.
    pub fn sample<E>(
        self,
        rng: &mut impl Rng,
        count: usize,
        mut visit: impl FnMut(Element<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if count >= self.len() {
            return self.try_visit(visit);
        }
        if let SetRef::Large(large) = self
            && count.saturating_mul(WALKED_SHARE) <= self.len()
        {
            let (mut drawn, mut member) = (HashSet::with_capacity(count), Vec::new());
            while drawn.len() < count && large.random(rng, &mut member) {
                if !drawn.contains(&member) {
                    visit(Element::Bytes(&member))?;
                    drawn.insert(member.clone());
                }
            }
            return Ok(());
        }
        // Each member is chosen with the probability that as many of those left are chosen as are wanted.
        let (mut wanted, mut left) = (count, self.len());
        self.try_visit(|member| {
            let is_chosen = rng.random_range(0..left) < wanted;
            left -= 1;
            if !is_chosen {
                return Ok(());
            }
            wanted -= 1;
            visit(member)
        })
    }
}

impl Set {
    /// Removes a member after showing it to `use_member`; `None` if there is none.
    pub fn pop<R>(&mut self, rng: &mut impl Rng, use_member: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        if let Set::Large(large) = self {
            let mut member = Vec::new();
            return large.pop(rng, &mut member).then(|| use_member(Element::Bytes(&member)));
        }
        let mut popped = Vec::new();
        let result = self.view().random(rng, |member| {
            popped.extend_from_slice(member.as_bytes(&mut IntegerText::default()));
            use_member(member)
        })?;
        self.remove(Element::Bytes(&popped));
        Some(result)
    }

    /// Removes `count` different members, or all if there are not so many, after showing each to `visit`. If that fails,
    /// all stay. Returns a set to be dropped, which may take long.
    pub fn pop_many<E>(
        &mut self,
        rng: &mut impl Rng,
        count: usize,
        limits: &SetLimits,
        mut visit: impl FnMut(Element<'_>) -> Result<(), E>,
    ) -> Result<Set, E> {
        let left = self.len().saturating_sub(count);
        if left == 0 {
            self.view().try_visit(visit)?;
            return Ok(std::mem::take(self));
        }
        if left.saturating_mul(KEPT_SHARE) <= count {
            let mut kept = Set::default();
            if !matches!(self, Set::Integers(_)) {
                kept.become_packed();
            }
            let sampled = self.view().sample(rng, left, |member| {
                kept.insert(member, limits);
                Ok::<_, std::convert::Infallible>(())
            });
            let Ok(()) = sampled;
            self.view().try_visit(|member| if kept.view().contains(member) { Ok(()) } else { visit(member) })?;
            return Ok(std::mem::replace(self, kept));
        }
        let mut popped = Set::default();
        self.view().sample(rng, count, |member| {
            visit(member)?;
            popped.insert(member, limits);
            Ok(())
        })?;
        popped.view().for_each(|member| {
            self.remove(member);
        });
        Ok(popped)
    }
}
