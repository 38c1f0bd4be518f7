//! Strings in all their forms against plain vectors.

use proptest::prelude::*;

use super::*;

/// Bytes that LZ4 cannot shorten.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// The form that `bytes` get, with an optional kind for inline ones; and that it reads back.
fn form(bytes: &[u8], threshold: usize) -> Option<InlineKind> {
    let check = |view: StringView<'_>| {
        assert_eq!(view.len(), bytes.len());
        assert_eq!(view.as_slice(&mut Vec::new()), bytes);
        let (start, end) = (bytes.len() / 3, bytes.len() / 2);
        assert_eq!(view.slice(start..end, &mut Vec::new()), &bytes[start..end]);
        let mut seen = Vec::new();
        view.visit(start..end, &mut Vec::new(), |chunk| {
            seen.extend_from_slice(chunk);
            true
        });
        assert_eq!(seen, bytes[start..end]);
        assert_eq!(view.to_long().len(), bytes.len());
    };
    match NewString::classify(bytes, threshold) {
        NewString::Inline(kind, payload) => {
            assert!(payload.len() <= MAX_INLINE);
            check(StringView::inline(kind, &payload).expect("a string's kind"));
            Some(kind)
        }
        NewString::Boxed(long) => {
            check(StringView::long(&long));
            None
        }
    }
}

#[test]
fn each_string_gets_the_form_that_suits_it() {
    assert_eq!(form(b"", 1024), Some(InlineKind::Raw));
    assert_eq!(form(b"-12", 1024), Some(InlineKind::Integer));
    assert_eq!(form(b"-012", 1024), Some(InlineKind::Raw));
    assert_eq!(form(b"00000012", 1024), Some(InlineKind::Digits));
    assert_eq!(form(b"deadbeef0", 1024), Some(InlineKind::OddDigits));
    assert_eq!(form(b"DEADBEEF", 1024), Some(InlineKind::Raw));
    assert_eq!(form(&[b'x'; MAX_INLINE], 0), Some(InlineKind::Raw));
    assert_eq!(form(&[b'x'; MAX_INLINE], 100), Some(InlineKind::CompressedString));
    assert_eq!(form(&[b'x'; 2000], 1024), Some(InlineKind::CompressedString));
    assert_eq!(form(&[b'x'; 2000], 0), None);
    assert_eq!(form(&noise(500), 100), Some(InlineKind::Raw));
    assert_eq!(form(&noise(2000), 1024), None);
    assert_eq!(form(&[b'x'; PIECE_LEN], 1024), None);
    assert_eq!(form(&[b'x'; PIECE_LEN + 1], 1024), None);
    assert_eq!(form(&noise(3 * PIECE_LEN), 1024), None);
    assert_eq!(form(&noise(COMPRESS_AT_ONCE_MAX + 1), 1024), None);
    let text = "a value as applications have them, ".repeat(200);
    assert_eq!(form(text.as_bytes(), 1024), Some(InlineKind::CompressedString));
}

#[test]
fn long_values_are_compressed_piece_by_piece_while_they_change() {
    let mut bytes = vec![7; COMPRESS_AT_ONCE_MAX + 1];
    bytes[..PIECE_LEN].copy_from_slice(&noise(PIECE_LEN));
    let NewString::Boxed(mut long) = NewString::classify(&bytes, 1024) else {
        panic!("a long value is kept by itself");
    };
    let raw_size = long.stored_len();
    assert!(long.is_compressible() && raw_size >= bytes.len());

    let mut copy = Vec::new();
    let mut block = Vec::new();
    let mut refused = 0;
    while let Some(ticket) = long.begin_compression(&mut copy) {
        let head = compress(&copy, &mut block);
        if copy[0] == 7 && refused == 0 {
            long.write_at(PIECE_LEN, b"changed meanwhile");
            bytes[PIECE_LEN..PIECE_LEN + 17].copy_from_slice(b"changed meanwhile");
        }
        refused += usize::from(!long.finish_compression(&ticket, head, &block));
    }
    assert_eq!(refused, 1, "what was made of the old bytes is not put in the place of the new");
    assert!(!long.is_compressible());
    assert!(long.stored_len() < PIECE_LEN + 10_000);
    assert_eq!(StringView::long(&long).as_slice(&mut copy), bytes);

    long.expand(PIECE_LEN + 5..PIECE_LEN + 6);
    assert!(long.stored_len() >= 2 * PIECE_LEN);
    assert_eq!(StringView::long(&long).as_slice(&mut copy), bytes);
    long.compress();
    assert!(long.stored_len() < PIECE_LEN + 10_000);
}

#[test]
fn a_bit_far_out_costs_next_to_nothing() {
    let mut long = LongString::new(b"");
    long.write_at((512 << 20) - 1, &[1]);
    assert_eq!(long.len(), 512 << 20);
    assert!(long.stored_len() < 1 << 20);
    assert_eq!(StringView::long(&long).slice((512 << 20) - 2..512 << 20, &mut Vec::new()), [0, 1]);
}

#[test]
fn a_write_beyond_the_end_leaves_no_room() {
    let mut long = LongString::new(b"");
    long.write_at(100_000, b"x");
    assert_eq!(long.stored_len(), 100_001);
    long.write_at(PIECE_LEN + 10, b"yz");
    assert_eq!(long.len(), PIECE_LEN + 12);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changes_as_a_vector_would(
        start_len in 0usize..3 * PIECE_LEN,
        steps in proptest::collection::vec((0usize..4 * PIECE_LEN, 0usize..2 * PIECE_LEN, 0u8..5), 1..8),
    ) {
        let mut model = vec![3; start_len];
        let mut long = LongString::new(&model);
        let mut copies = Vec::new();
        for (offset, len, what) in steps {
            copies.push((long.clone(), model.clone()));
            let bytes = vec![what + 10; if offset % 2 == 0 { len } else { len % 100 }];
            match what {
                0 => {
                    long.append(&bytes);
                    model.extend_from_slice(&bytes);
                }
                1 => long.compress(),
                2 => long.expand(offset..offset + len),
                _ if bytes.is_empty() => long.write_at(offset, &bytes),
                _ => {
                    long.write_at(offset, &bytes);
                    model.resize(model.len().max(offset + bytes.len()), 0);
                    model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
            prop_assert_eq!(long.len(), model.len());
            let view = StringView::long(&long);
            prop_assert!(view.as_slice(&mut Vec::new()) == model.as_slice());
            let (from, to) = (offset.min(model.len()), (offset + len).min(model.len()));
            prop_assert!(view.slice(from..to, &mut Vec::new()) == &model[from..to]);
            let mut seen = Vec::new();
            view.visit(from..to, &mut Vec::new(), |chunk| {
                seen.extend_from_slice(chunk);
                true
            });
            prop_assert!(seen == model[from..to]);
        }
        for (copy, model) in &copies {
            prop_assert!(StringView::long(copy).as_slice(&mut Vec::new()) == model.as_slice());
        }
    }
}
