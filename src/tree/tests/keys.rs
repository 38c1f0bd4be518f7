//! Trees of all kinds of keys, against the model.

use super::*;

#[test]
fn decimal() {
    grind::<WithClock>(&decimal_keys(3000), u64::MAX, 50);
}

#[test]
fn decimal_without_clock() {
    grind::<Bare>(&decimal_keys(3000), u64::MAX, 50);
}

#[test]
fn random_bytes() {
    grind::<WithClock>(&random_keys(3000, 8), u64::MAX, 50);
}

#[test]
fn names_of_things() {
    let names = ["profile", "cart", "session:token", "a", ""];
    let keys: Vec<_> = (0..800).flat_map(|user| names.map(|name| format!("user:{user}:{name}").into_bytes())).collect();
    grind::<WithClock>(&keys, u64::MAX, 50);
}

#[test]
fn every_key_a_prefix_of_the_next() {
    for byte in [0, b'a', 255] {
        let keys: Vec<_> = (0..500).map(|len| vec![byte; len]).collect();
        grind::<WithClock>(&keys, u64::MAX, 50);
    }
}

#[test]
fn all_bytes_and_their_pairs() {
    let mut keys: Vec<_> = (0..=255).map(|byte| vec![byte]).collect();
    keys.extend((0..=255).flat_map(|a| (0..=255).step_by(15).map(move |b| vec![a, b])));
    keys.push(Vec::new());
    grind::<WithClock>(&keys, u64::MAX, 20);
}

#[test]
fn one_byte_differs() {
    let base = [b'x'; 64];
    let mut keys = vec![base.to_vec()];
    for at in 0..base.len() {
        for byte in (0..=255).step_by(5) {
            let mut key = base.to_vec();
            key[at] = byte;
            keys.push(key);
        }
    }
    grind::<WithClock>(&keys, u64::MAX, 50);
}

#[test]
fn colliding_tags() {
    grind::<WithClock>(&decimal_keys(2000), 0, 50);
    grind::<WithClock>(&random_keys(1000, 3), 0x8001, 50);
    grind::<WithClock>(&random_keys(1000, 3), !0xffff, 50);
}

#[test]
fn keys_too_long_for_a_page() {
    let lens = [0, 100, 284, 285, 286, 287, 512, 5000, 70_000];
    let mut keys = Vec::new();
    for len in lens {
        for tail in 0..30_u8 {
            let mut key = vec![b'l'; len];
            key.push(tail % 7);
            key.extend(vec![tail; usize::from(tail) * 20]);
            keys.push(key);
        }
    }
    grind::<WithClock>(&keys, u64::MAX, 10);
}

#[test]
fn keys_of_a_megabyte() {
    let mut model = Model::<WithClock>::new();
    let base = vec![b'm'; 1 << 20];
    let key = |number: u32| [&base[..base.len() - number as usize], &number.to_le_bytes()[..], &base[..64]].concat();
    for number in 0..230 {
        model.put(&key(number), Content::Inline(1, vec![7; 16]), None, 0);
    }
    model.check();
    for number in (0..230).rev() {
        model.remove(&key(number));
    }
    model.check();
}

#[test]
fn thousands_of_levels() {
    let mut model = Model::<WithClock>::new();
    let keys: Vec<_> = (0..3_000).map(|len| vec![b'a'; len]).collect();
    for key in &keys {
        let (_, displaced) =
            model.tree.put(model.key(key), NewPayload::Inline { kind: 0, bytes: b"0123456789abcdef" }, None, 0);
        assert!(displaced.is_none());
    }
    model.tree.verify(Some(&model.seed));
    let mut count = 0;
    let flow = model.tree.for_each(b"aaa", |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    assert_eq!(count, keys.len() - 3);
    for key in keys.iter().step_by(2).chain(keys.iter().skip(1).step_by(2).rev()) {
        assert!(model.tree.remove_key(model.key(key)).is_some());
    }
    model.check();
}
