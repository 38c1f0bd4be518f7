//! Lists against a plain deque of byte strings, in both forms and under limits that make nodes of every kind.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

type Model = VecDeque<Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Push(End, Vec<u8>),
    Fill(End, u16, Vec<u8>),
    Pop(End),
    RemoveFrom(End, usize),
    Keep(usize, usize),
    Set(usize, Vec<u8>),
    Insert(usize, bool, Vec<u8>),
    RemoveEqual(usize, i64),
    Repack,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Front), Just(End::Back)]
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u8..8).prop_map(|digit| vec![b'0' + digit]),
        4 => "[a-d]{0,3}".prop_map(String::into_bytes),
        2 => any::<(i64, u8)>().prop_map(|(value, shift)| (value >> (shift % 64)).to_string().into_bytes()),
        2 => (0usize..300, b'a'..b'e').prop_map(|(len, byte)| vec![byte; len]),
        1 => (0usize..10_000, b'a'..b'c').prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (end(), element()).prop_map(|(end, element)| Step::Push(end, element)),
        2 => (end(), 0u16..1500, element()).prop_map(|(end, count, element)| Step::Fill(end, count, element)),
        6 => end().prop_map(Step::Pop),
        1 => (end(), 0usize..600).prop_map(|(end, count)| Step::RemoveFrom(end, count)),
        1 => (0usize..2000, 0usize..3000).prop_map(|(start, end)| Step::Keep(start, end)),
        4 => (0usize..4000, element()).prop_map(|(index, element)| Step::Set(index, element)),
        6 => (0usize..4000, any::<bool>(), element()).prop_map(|(at, after, element)| Step::Insert(at, after, element)),
        2 => (0usize..4000, -5i64..5).prop_map(|(at, count)| Step::RemoveEqual(at, count)),
        1 => Just(Step::Repack),
    ]
}

fn limits() -> impl Strategy<Value = ListLimits> {
    prop_oneof![
        Just(ListLimits::default()),
        (1i64..20, prop_oneof![Just(None), (1usize..50).prop_map(Some)])
            .prop_map(|(elements, large)| ListLimits::new(elements, large)),
        (-5i64..0).prop_map(|class| ListLimits::new(class, None)),
        (20i64..600).prop_map(|bytes| ListLimits {
            bytes_max: bytes as usize * 2,
            elements_max: usize::MAX,
            large_min: bytes as usize,
        }),
    ]
}

fn apply(list: &mut List, model: &mut Model, step: &Step, limits: &ListLimits) {
    match step {
        Step::Push(end, element) => push(list, model, *end, element, limits),
        Step::Fill(end, count, element) => {
            for number in 0..*count {
                let mut element = element.clone();
                element.truncate(40);
                if number % 3 == 0 {
                    element.extend_from_slice(number.to_string().as_bytes());
                }
                push(list, model, *end, &element, limits);
            }
        }
        Step::Pop(end) => {
            let popped = list.pop(*end, |element| element.to_vec());
            let expected = match end {
                End::Front => model.pop_front(),
                End::Back => model.pop_back(),
            };
            assert_eq!(popped, expected);
        }
        Step::RemoveFrom(end, count) => {
            list.remove_from(*end, *count);
            let count = (*count).min(model.len());
            match end {
                End::Front => drop(model.drain(..count)),
                End::Back => model.truncate(model.len() - count),
            }
        }
        Step::Keep(start, end) => {
            list.keep(*start, *end);
            let mut index = 0;
            model.retain(|_| {
                index += 1;
                (*start..*end).contains(&(index - 1))
            });
        }
        Step::Set(index, element) => {
            let set = list.set(*index, element, limits);
            let slot = model.get_mut(*index);
            assert_eq!(set, slot.is_some());
            if let Some(slot) = slot {
                slot.clone_from(element);
            }
        }
        Step::Insert(at, after, element) => {
            let pivot = model.get(*at).cloned().unwrap_or_else(|| b"not there".to_vec());
            let found = model.iter().position(|element| *element == pivot);
            assert_eq!(list.insert(&pivot, *after, element, limits), found.is_some());
            if let Some(index) = found {
                model.insert(index + usize::from(*after), element.clone());
            }
        }
        Step::RemoveEqual(at, count) => {
            let element = model.get(*at).cloned().unwrap_or_else(|| b"not there".to_vec());
            let most = if *count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
            let mut equal: Vec<usize> =
                model.iter().enumerate().filter(|(_, other)| **other == element).map(|(index, _)| index).collect();
            if *count < 0 {
                equal.reverse();
            }
            equal.truncate(most);
            equal.sort_unstable();
            for index in equal.iter().rev() {
                model.remove(*index);
            }
            assert_eq!(list.remove_equal(&element, *count, limits), equal.len());
        }
        Step::Repack => {
            let mut packed = Vec::new();
            if let Some(kind) = list.pack(&mut packed, 1000) {
                assert_eq!(list.inline_size(), Some(packed.len()));
                check(ListRef::Packed(&packed), model);
                list.load(kind, &packed);
            }
        }
    }
}

fn push(list: &mut List, model: &mut Model, end: End, element: &[u8], limits: &ListLimits) {
    list.push(end, element, limits);
    match end {
        End::Front => model.push_front(element.to_vec()),
        End::Back => model.push_back(element.to_vec()),
    }
}

fn check(list: ListRef<'_>, model: &Model) {
    assert_eq!(list.len(), model.len());
    let elements: Model = list.iter(0, usize::MAX).map(|element| element.to_vec()).collect();
    assert_eq!(elements, *model);
    let last = model.len().wrapping_sub(1);
    let reversed: Vec<_> = list.iter_rev(last, usize::MAX).map(|element| element.to_vec()).collect();
    assert!(reversed.iter().eq(model.iter().rev()));
    for index in [0, 1, model.len() / 3, model.len() / 2, model.len() * 3 / 4, last, model.len()] {
        let expected = model.get(index).cloned();
        assert_eq!(list.get(index).map(|element| element.to_vec()), expected);
        let forwards: Vec<_> = list.iter(index, 3).map(|element| element.to_vec()).collect();
        assert!(forwards.iter().eq(model.iter().skip(index).take(3)));
        let mut visited = Vec::new();
        let ended = list.iter(index, 5).each(|element| {
            visited.push(element.to_vec());
            if visited.len() == 3 { Err(()) } else { Ok(()) }
        });
        assert_eq!(ended.is_err(), forwards.len() == 3);
        assert_eq!(visited, forwards);
        let backwards: Vec<_> = list.iter_rev(index, 3).map(|element| element.to_vec()).collect();
        if index < model.len() {
            assert!(backwards.iter().eq(model.iter().rev().skip(last - index).take(3)));
        } else {
            assert!(backwards.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_as_a_deque(limits in limits(), steps in proptest::collection::vec(step(), 1..60)) {
        let (mut list, mut model) = (List::new(), Model::new());
        let mut copies = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            if number % 8 == 0 {
                copies.push((list.clone(), model.clone()));
            }
            apply(&mut list, &mut model, step, &limits);
            prop_assert_eq!(list.len(), model.len());
            for node in list.nodes.iter() {
                prop_assert!(node.count() > 0);
                prop_assert!(node.is_plain() || node.count() <= limits.elements_max);
                prop_assert!(node.is_plain() || node.size() <= limits.bytes_max);
            }
        }
        check(list.view(), &model);
        for (copy, model) in &copies {
            check(copy.view(), model);
        }
    }

    #[test]
    fn finds_positions(
        elements in proptest::collection::vec(0u8..4, 0..50),
        rank in prop_oneof![-4i64..0, 1i64..5],
        count in 0usize..5,
        elements_max in 0usize..60,
    ) {
        let list: List = elements.iter().map(|byte| vec![b'a' + byte]).collect();
        let mut order: Vec<usize> = (0..elements.len()).collect();
        if rank < 0 {
            order.reverse();
        }
        if elements_max > 0 {
            order.truncate(elements_max);
        }
        let mut expected: Vec<usize> = order.into_iter().filter(|index| elements[*index] == 1).collect();
        expected.drain(..expected.len().min(rank.unsigned_abs() as usize - 1));
        if count > 0 {
            expected.truncate(count);
        }
        let mut found = Vec::new();
        list.view().positions(b"b", PositionQuery { rank, count, elements_max }, |index| found.push(index));
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn many_nodes_are_found_inserted_and_removed() {
    let limits = ListLimits::new(1, None);
    let (mut list, mut model) = (List::new(), Model::new());
    for number in 0..2000 {
        let end = if number % 2 == 0 { End::Front } else { End::Back };
        push(&mut list, &mut model, end, number.to_string().as_bytes(), &limits);
    }
    assert_eq!(list.node_count(), 2000);
    for number in (0..2000).step_by(7) {
        let step = Step::Insert(number, number % 2 == 0, format!("new {number}").into_bytes());
        apply(&mut list, &mut model, &step, &limits);
    }
    check(list.view(), &model);
    for number in 0..1500 {
        let step = Step::RemoveEqual(number % model.len(), 1);
        apply(&mut list, &mut model, &step, &limits);
    }
    check(list.view(), &model);
}

#[test]
fn a_large_list_costs_little_more_than_its_entries() {
    let mut list = List::new();
    for number in 0..200_000 {
        list.push(End::Back, format!("element:{number:06}").as_bytes(), &ListLimits::default());
    }
    let per_element = list.memory(usize::MAX) as f64 / 200_000.0;
    assert!(per_element < 16.3, "{per_element}");

    let mut list = List::new();
    for number in 0..200_000 {
        list.push(End::Front, format!("element:{number:06}").as_bytes(), &ListLimits::default());
    }
    let per_element = list.memory(usize::MAX) as f64 / 200_000.0;
    assert!(per_element < 16.3, "{per_element}");
}

#[test]
fn a_drained_queue_gives_its_memory_back() {
    let mut list = List::new();
    for number in 0..10_000 {
        list.push(End::Front, format!("job:{number}").as_bytes(), &ListLimits::default());
    }
    while list.len() > 3 {
        list.pop(End::Back, |_| ());
    }
    assert!(list.memory(usize::MAX) < 3000, "{}", list.memory(usize::MAX));
    assert!(list.inline_size().is_some_and(|size| size < 40));
}

#[test]
fn a_short_queue_moves_through_its_node_without_growing() {
    let mut list = List::new();
    for number in 0..100_000 {
        list.push(End::Front, format!("job:{number}").as_bytes(), &ListLimits::default());
        if number >= 20 {
            let popped = list.pop(End::Back, |element| element.to_vec());
            assert_eq!(popped, Some(format!("job:{}", number - 20).into_bytes()));
        }
    }
    assert!(list.memory(usize::MAX) < 1500, "{}", list.memory(usize::MAX));
}
