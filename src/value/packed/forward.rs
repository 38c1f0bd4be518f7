//! Packed sequences that are only walked forwards: entries without their length at the end, each a byte shorter as a rule.

use super::{Element, Encoded, decode_body, find_by, sizes};

/// An entry about to be written.
#[inline]
pub(in crate::value) fn encode(element: Element<'_>) -> Encoded<'_> {
    Encoded::without_back_len(element)
}

/// Where the entry after the one at `at` begins.
#[inline]
pub(in crate::value) fn next(bytes: &[u8], at: usize) -> usize {
    let (head, data) = sizes(bytes, at);
    at + head + data
}

/// Where the first entry is that holds `element`, of every `step`-th entry from the one at `at` on. `step` is not zero,
/// and divides the number of those entries.
#[inline]
pub(in crate::value) fn find(bytes: &[u8], at: usize, element: Element<'_>, step: usize) -> Option<usize> {
    find_by(bytes, at, element, step, next)
}

/// The element of the entry at `at`, and where the next one begins.
#[inline(always)]
pub(in crate::value) fn decode(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    decode_body(bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_found_in_order(
            elements in prop::collection::vec(
                prop_oneof![
                    any::<i64>().prop_map(|value| value.to_string().into_bytes()),
                    prop::collection::vec(any::<u8>(), 0..200),
                    (4000..70_000_usize).prop_map(|len| vec![b'x'; len]),
                ],
                0..20,
            ),
        ) {
            let mut bytes = Vec::new();
            for element in &elements {
                encode(Element::new(element)).append_to(&mut bytes);
            }
            let mut at = 0;
            for element in &elements {
                let (decoded, after) = decode(&bytes, at);
                prop_assert_eq!(&decoded.to_vec(), element);
                prop_assert_eq!(next(&bytes, at), after);
                let first = find(&bytes, 0, Element::new(element), 1).expect("it is there");
                prop_assert_eq!(&decode(&bytes, first).0.to_vec(), element);
                prop_assert!(first <= at);
                at = after;
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
