//! Images of a tree, which do not change when the tree does.

use super::*;

/// A model with records of all kinds, some under long keys.
fn mixed(count: usize) -> (Model<WithClock>, Vec<Vec<u8>>) {
    let (mut model, mut rng) = (Model::new(), SmallRng::seed_from_u64(11));
    let mut keys = decimal_keys(count);
    keys.extend((0..count / 10).map(|number| format!("{number}:{}", "x".repeat(400)).into_bytes()));
    for key in &keys {
        model.put(key, content(&mut rng), None, 0);
    }
    (model, keys)
}

#[test]
fn an_image_outlives_its_tree() {
    let (mut model, keys) = mixed(2000);
    let (image, records) = (model.tree.image().unwrap(), model.records());
    assert!(model.tree.image().is_none());
    for key in keys.iter().step_by(5) {
        model.remove(key);
    }
    model.tree.clear();
    assert!(records_of(&image) == records);
    drop(image);
    assert_eq!(Arc::strong_count(&model.counter), 1, "all boxes are gone");
}

#[test]
fn an_image_may_be_changed() {
    let (mut model, keys) = mixed(2000);
    let (mut image, mut records) = (model.tree.image().unwrap(), model.records());
    for key in keys.iter().step_by(3) {
        assert!(image.remove_key(model.key(key)).is_some());
        records.remove(key);
    }
    model.check_records(&model.tree);
    assert!(records_of(&image) == records);
    drop(image);
    model.check();
}

#[test]
fn an_image_is_read_while_its_tree_changes() {
    let (mut model, keys) = mixed(3000);
    let mut rng = SmallRng::seed_from_u64(12);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (image, records) = (model.tree.image().unwrap(), model.records());
            let reader = scope.spawn(move || {
                for _ in 0..3 {
                    assert!(records_of(&image) == records);
                }
            });
            while !reader.is_finished() {
                let key = keys.choose(&mut rng).unwrap();
                model.put(key, content(&mut rng), None, 0);
            }
            reader.join().unwrap();
        }
    });
    model.check();
}
