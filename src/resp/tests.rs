//! The parser and the writer against `redis-protocol`, which implements the same protocol independently.

use super::*;
use proptest::prelude::*;
use redis_protocol::{resp2, resp3};

/// A reply to be written.
#[derive(Clone, Debug)]
enum Element {
    Bulk(Vec<u8>),
    Integer(i64),
    Null,
    /// Whether its length is written last, and what it holds.
    Array(bool, Vec<Element>),
}

fn element() -> impl Strategy<Value = Element> {
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Element::Bulk),
        any::<i64>().prop_map(Element::Integer),
        Just(Element::Null),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        (any::<bool>(), prop::collection::vec(inner, 0..6)).prop_map(|(is_late, items)| Element::Array(is_late, items))
    })
}

impl Element {
    fn write(&self, reply: &mut Reply) -> CommandResult {
        match self {
            Element::Bulk(bytes) => reply.bulk(bytes),
            Element::Integer(value) => reply.integer(*value),
            Element::Null => reply.null(),
            Element::Array(false, items) => {
                reply.array(items.len())?;
                items.iter().try_for_each(|item| item.write(reply))
            }
            Element::Array(true, items) => {
                let at = reply.deferred_array();
                items.iter().try_for_each(|item| item.write(reply))?;
                reply.finish_array(at, items.len())
            }
        }
    }

    fn resp2(&self) -> resp2::types::OwnedFrame {
        use resp2::types::OwnedFrame;
        match self {
            Element::Bulk(bytes) => OwnedFrame::BulkString(bytes.clone()),
            Element::Integer(value) => OwnedFrame::Integer(*value),
            Element::Null => OwnedFrame::Null,
            Element::Array(_, items) => OwnedFrame::Array(items.iter().map(Element::resp2).collect()),
        }
    }

    fn resp3(&self) -> resp3::types::OwnedFrame {
        use resp3::types::OwnedFrame;
        match self {
            Element::Bulk(bytes) => OwnedFrame::BlobString { data: bytes.clone(), attributes: None },
            Element::Integer(value) => OwnedFrame::Number { data: *value, attributes: None },
            Element::Null => OwnedFrame::Null,
            Element::Array(_, items) => {
                OwnedFrame::Array { data: items.iter().map(Element::resp3).collect(), attributes: None }
            }
        }
    }
}

proptest! {
    #[test]
    fn replies_are_what_was_written(element in element()) {
        let mut reply = Reply::new(Protocol::Resp2);
        element.write(&mut reply).expect("it is written");
        let found = resp2::decode::decode(reply.as_bytes()).expect("it is a frame");
        prop_assert_eq!(found, Some((element.resp2(), reply.len())));

        let mut reply = Reply::new(Protocol::Resp3);
        element.write(&mut reply).expect("it is written");
        let found = resp3::decode::complete::decode(reply.as_bytes()).expect("it is a frame");
        prop_assert_eq!(found, Some((element.resp3(), reply.len())));
    }

    #[test]
    fn requests_are_read_as_they_were_sent(
        requests in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..5),
        piece_len in 1usize..50,
    ) {
        use resp2::types::{OwnedFrame, Resp2Frame};
        let limits = RequestLimits { bulk_bytes_max: 1 << 20, authenticated: true };
        let mut sent = Vec::new();
        for request in &requests {
            let frame = OwnedFrame::Array(request.iter().cloned().map(OwnedFrame::BulkString).collect());
            let begin = sent.len();
            sent.resize(begin + frame.encode_len(false), 0);
            resp2::encode::encode(&mut sent[begin..], &frame, false).expect("a frame can be encoded");
        }
        let (mut found, mut buffer, mut progress) = (vec![], vec![], Progress::default());
        let (mut spans, mut words) = (vec![], vec![]);
        for piece in sent.chunks(piece_len) {
            buffer.extend_from_slice(piece);
            while let Some(len) = parse_request(&buffer, &mut progress, &mut spans, &mut words, &limits).expect("it is right") {
                found.push(Args::new(&buffer, &spans).iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
                buffer.drain(..len);
                spans.clear();
            }
        }
        prop_assert_eq!(found, requests);
        prop_assert!(buffer.is_empty());
    }
}
