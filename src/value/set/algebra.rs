//! Intersections, unions and differences of sets. An empty set stands for one that does not exist.

use super::{Set, SetLimits, SetRef};
use crate::value::packed::Element;
use std::ops::ControlFlow;

/// Up to so many sets are united by looking up each member in the sets before its own, which takes no memory; more are
/// by filling a set.
const UNITED_BY_LOOKUP_MAX: usize = 4;

/// Visits what all `sets` have, until `visit` breaks. `sets` is brought into order of size.
pub fn intersect(sets: &mut [SetRef<'_>], visit: impl FnMut(Element<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return ControlFlow::Continue(()) };
    if smallest.is_empty() {
        return ControlFlow::Continue(());
    }
    smallest.visit_compared(others, true, visit)
}

/// What all `sets` have, as a set to be stored.
pub fn intersection(sets: &mut [SetRef<'_>], limits: &SetLimits) -> Set {
    sets.sort_by_key(|set| set.len());
    let mut result = Set::default();
    if !matches!(sets.first(), Some(SetRef::Integers(_))) {
        result.become_packed();
    }
    let flow = intersect(sets, |member| {
        result.insert(member, limits);
        ControlFlow::Continue(())
    });
    debug_assert!(flow.is_continue());
    result.settle(limits);
    result
}

/// Visits what any of `sets` has, each member once, until `visit` breaks.
pub fn unite(sets: &[SetRef<'_>], mut visit: impl FnMut(Element<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    if sets.len() > UNITED_BY_LOOKUP_MAX {
        return union(sets, &SetLimits::default()).view().visit(visit);
    }
    (0..sets.len()).try_for_each(|index| sets[index].visit_compared(&sets[..index], false, &mut visit))
}

/// What any of `sets` has, as a set to be stored.
pub fn union(sets: &[SetRef<'_>], limits: &SetLimits) -> Set {
    let mut result = Set::default();
    sets.iter().for_each(|set| add_all(&mut result, *set, limits));
    result
}

fn add_all(result: &mut Set, set: SetRef<'_>, limits: &SetLimits) {
    set.for_each(|member| {
        result.insert(member, limits);
    });
}

/// Whether looking up each member of `first` in the others is the cheaper way to subtract them, rather than taking the
/// members of the others out of a copy. A lookup counts as half: most members are found, or `first` ends, early.
fn is_looked_up(first: SetRef<'_>, others: &[SetRef<'_>]) -> bool {
    let looked_up = first.len().saturating_mul(others.len() + 1) / 2;
    looked_up <= first.len() + others.iter().map(|set| set.len()).sum::<usize>()
}

/// Visits what `first` has and none of `others`, until `visit` breaks. `others` is brought into order of size.
pub fn subtract(
    first: SetRef<'_>,
    others: &mut [SetRef<'_>],
    visit: impl FnMut(Element<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if !is_looked_up(first, others) {
        return difference(first, others, &SetLimits::default()).view().visit(visit);
    }
    // The largest is the likeliest to have a member.
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    first.visit_compared(others, false, visit)
}

/// What `first` has and none of `others`, as a set to be stored. `others` is brought into order of size.
pub fn difference(first: SetRef<'_>, others: &mut [SetRef<'_>], limits: &SetLimits) -> Set {
    let mut result = Set::default();
    if is_looked_up(first, others) {
        let flow = subtract(first, others, |member| {
            result.insert(member, limits);
            ControlFlow::Continue(())
        });
        debug_assert!(flow.is_continue());
        return result;
    }
    add_all(&mut result, first, limits);
    for set in others {
        let flow = set.visit(|member| {
            result.remove(member);
            if result.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if flow.is_break() {
            break;
        }
    }
    result
}
