//! `SORT`: the elements of a list, a set or a sorted set in order, by themselves or by what other keys hold.

use super::list::limits;
use super::stored::store;
use super::{Call, Keys};
use crate::pubsub::Event;
use crate::resp::{Args, CommandResult, ErrorReply};
use crate::value::list::{End, List};
use crate::value::packed::IntegerText;
use crate::value::{Type, double, number};
use std::convert::Infallible;
use std::ops::Range;

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]`
pub fn sort(call: &mut Call) -> CommandResult {
    let query = allowed(call, Query::parse(call.args, true)?)?;
    run(call, &query)
}

/// `SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA]`
pub fn sort_ro(call: &mut Call) -> CommandResult {
    let query = allowed(call, Query::parse(call.args, false)?)?;
    run(call, &query)
}

/// The query, if its user may read all keys, or if it has no patterns that would read any.
fn allowed<'c>(call: &Call<'c, '_>, query: Query<'c>) -> Result<Query<'c>, ErrorReply> {
    let account = &call.session.account;
    if call.session.obeys || account.is_unrestricted() || account.user().reads_all_keys(call.spec, call.args) {
        return Ok(query);
    }
    if matches!(query.by, Some(Pattern::Key { .. })) {
        return Err(ErrorReply::fixed("ERR BY option of SORT denied due to insufficient ACL permissions."));
    }
    if !query.get.is_empty() {
        return Err(ErrorReply::fixed("ERR GET option of SORT denied due to insufficient ACL permissions."));
    }
    Ok(query)
}

/// What an element is looked up as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern<'c> {
    /// The element itself: `#`.
    Element,
    /// Nothing: there is no place for the element.
    Constant,
    /// The string at a key that has the element in the middle, or a field of the hash there.
    Key { before: &'c [u8], after: &'c [u8], field: Option<&'c [u8]> },
}

impl<'c> Pattern<'c> {
    fn parse(text: &'c [u8]) -> Self {
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Pattern::Constant };
        let (before, rest) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(rest, b"->").filter(|arrow| arrow + 2 < rest.len());
        let (after, field) = match arrow {
            Some(arrow) => (&rest[..arrow], Some(&rest[arrow + 2..])),
            None => (rest, None),
        };
        Pattern::Key { before, after, field }
    }

    /// Shows `use_value` what the pattern stands for, if there is any such thing.
    fn look_up<R>(self, keys: &mut Keys<'_>, element: &[u8], use_value: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let (before, after, field) = match self {
            Pattern::Element => return use_value(Some(element)),
            Pattern::Constant => return use_value(None),
            Pattern::Key { before, after, field } => (before, after, field),
        };
        let key = [before, element, after].concat();
        let Some(found) = keys.read(&key) else { return use_value(None) };
        let value = keys.value(found);
        match field {
            Some(name) => {
                let value = value.as_hash().and_then(|hash| hash.at(keys.now_ms()).get(name));
                let mut text = IntegerText::default();
                use_value(value.as_ref().map(|value| value.as_bytes(&mut text)))
            }
            None => match value.as_string() {
                Some(string) => use_value(Some(string.as_slice(&mut Vec::new()))),
                None => use_value(None),
            },
        }
    }
}

/// What `SORT` asks for.
struct Query<'c> {
    by: Option<Pattern<'c>>,
    get: Vec<Pattern<'c>>,
    offset: i64,
    /// Elements wanted, all if negative.
    count: i64,
    is_descending: bool,
    /// Texts are compared, not numbers.
    is_alphabetical: bool,
    destination: Option<&'c [u8]>,
}

impl<'c> Query<'c> {
    fn parse(args: Args<'c>, may_store: bool) -> Result<Self, ErrorReply> {
        let mut query = Query {
            by: None,
            get: Vec::new(),
            offset: 0,
            count: -1,
            is_descending: false,
            is_alphabetical: false,
            destination: None,
        };
        let integer = |index| number::parse_i64(args.at(index)).ok_or(ErrorReply::NOT_INTEGER);
        let mut index = 2;
        while let Some(word) = args.get(index) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let value = args.get(index + 1);
            match value {
                _ if is("ASC") => query.is_descending = false,
                _ if is("DESC") => query.is_descending = true,
                _ if is("ALPHA") => query.is_alphabetical = true,
                Some(_) if is("LIMIT") && index + 2 < args.len() => {
                    (query.offset, query.count) = (integer(index + 1)?, integer(index + 2)?);
                    index += 2;
                }
                Some(pattern) if is("BY") => {
                    query.by = Some(Pattern::parse(pattern));
                    index += 1;
                }
                Some(pattern) if is("GET") => {
                    query.get.push(Pattern::parse(pattern));
                    index += 1;
                }
                Some(key) if may_store && is("STORE") => {
                    query.destination = Some(key);
                    index += 1;
                }
                _ => return Err(ErrorReply::SYNTAX),
            }
            index += 1;
        }
        Ok(query)
    }

    /// The places that are wanted, of `len`.
    fn places(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

/// An element to be sorted.
struct Item {
    /// Its text, in [`Items::texts`].
    text: Range<usize>,
    /// What it is sorted by, if that is a number.
    weight: f64,
    /// What it is sorted by, if that is another text.
    by: Option<Range<usize>>,
    /// Where it was before, which decides between equal ones.
    place: usize,
}

/// Elements, apart from the value that they come from.
#[derive(Default)]
struct Items {
    texts: Vec<u8>,
    items: Vec<Item>,
}

impl Items {
    fn add_text(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        start..self.texts.len()
    }

    fn push(&mut self, text: &[u8]) {
        let (text, place) = (self.add_text(text), self.items.len());
        self.items.push(Item { text, weight: 0.0, by: None, place });
    }

    fn text(&self, item: &Item) -> &[u8] {
        &self.texts[item.text.clone()]
    }

    /// The elements of the first key's value, in its order.
    fn load(keys: &mut Keys<'_>, key: &[u8]) -> Result<(Items, Option<Type>), ErrorReply> {
        let mut items = Items::default();
        let Some(found) = keys.read(key) else { return Ok((items, None)) };
        let value = keys.value(found);
        if let Some(list) = value.as_list() {
            list.iter(0, list.len()).for_each(|element| items.push(element.as_bytes(&mut IntegerText::default())));
        } else if let Some(set) = value.as_set() {
            set.for_each(|member| items.push(member.as_bytes(&mut IntegerText::default())));
        } else if let Some(set) = value.as_sorted_set() {
            let loaded = set.visit(0..set.len(), false, |member, _| {
                items.push(member.as_bytes(&mut IntegerText::default()));
                Ok::<_, Infallible>(())
            });
            let Ok(()) = loaded;
        } else {
            return Err(ErrorReply::WRONG_TYPE);
        }
        Ok((items, Some(value.type_of())))
    }

    /// Finds out what each element is sorted by. False if a number is wanted and one is none; the others are looked up
    /// all the same.
    fn weigh(&mut self, keys: &mut Keys<'_>, by: Option<Pattern<'_>>, is_alphabetical: bool) -> bool {
        if is_alphabetical && by.is_none() {
            return true;
        }
        let mut are_numbers = true;
        let mut found = Vec::new();
        for index in 0..self.items.len() {
            let text = &self.texts[self.items[index].text.clone()];
            found.clear();
            let pattern = by.unwrap_or(Pattern::Element);
            let is_found = pattern.look_up(keys, text, |value| {
                found.extend_from_slice(value.unwrap_or_default());
                value.is_some()
            });
            if !is_found {
                continue;
            }
            if is_alphabetical {
                self.items[index].by = Some(self.add_text(&found));
            } else {
                let weight = parse_weight(&found);
                self.items[index].weight = weight.unwrap_or(0.0);
                are_numbers &= weight.is_some();
            }
        }
        are_numbers
    }

    /// Puts those that belong at `places` there, in order.
    fn arrange(&mut self, places: &Range<usize>, query: &Query<'_>, by: Option<Pattern<'_>>) {
        let mut items = std::mem::take(&mut self.items);
        let compare = |a: &Item, b: &Item| {
            let order = match (query.is_alphabetical, by) {
                (false, _) => a.weight.total_cmp(&b.weight).then_with(|| self.text(a).cmp(self.text(b))),
                (true, None) => self.text(a).cmp(self.text(b)),
                (true, Some(_)) => {
                    let text = |item: &Item| item.by.clone().map(|by| &self.texts[by]);
                    text(a).cmp(&text(b))
                }
            };
            let order = if query.is_descending { order.reverse() } else { order };
            order.then(a.place.cmp(&b.place))
        };
        // What is not asked for need not be in order.
        if places.end < items.len() {
            items.select_nth_unstable_by(places.end, compare);
        }
        let head = &mut items[..places.end];
        if 0 < places.start && places.start < head.len() {
            head.select_nth_unstable_by(places.start, compare);
        }
        head[places.start..].sort_unstable_by(compare);
        self.items = items;
    }
}

/// Reads a weight, which ends at a zero byte.
fn parse_weight(text: &[u8]) -> Option<f64> {
    let weight = double::parse(&text[..memchr::memchr(0, text).unwrap_or(text.len())])?;
    // Zero has one sign here.
    Some(weight + 0.0)
}

fn run(call: &mut Call, query: &Query<'_>) -> CommandResult {
    let (mut items, type_of) = Items::load(call.keys, call.args.at(1))?;
    let places = query.places(items.items.len());
    let (mut by, mut is_alphabetical) = (query.by, query.is_alphabetical);
    let mut is_sorted = !by.is_some_and(|by| !matches!(by, Pattern::Key { .. }));
    if !is_sorted && type_of == Some(Type::Set) && (query.destination.is_some() || call.session.is_script) {
        // What is stored, and what scripts do with it, must not depend on the order that the set happens to have.
        (by, is_alphabetical, is_sorted) = (None, true, true);
    }
    let query = &Query { by, is_alphabetical, get: query.get.clone(), ..*query };
    if is_sorted {
        if !items.weigh(call.keys, by, is_alphabetical) {
            return Err(ErrorReply::fixed("ERR One or more scores can't be converted into double"));
        }
        if query.get.is_empty() && query.destination.is_none() {
            call.let_go();
        }
        items.arrange(&places, query, by);
    } else if query.is_descending && type_of != Some(Type::Set) {
        items.items.reverse();
    }
    let chosen = &items.items[places];
    let len = chosen.len() * query.get.len().max(1);
    match query.destination {
        None => {
            call.reply.array(len)?;
            let reply = &mut *call.reply;
            chosen
                .iter()
                .try_for_each(|item| show(call.keys, query, items.text(item), |value| reply.bulk_or_null(value)))
        }
        Some(destination) => {
            let limits = limits(call);
            let mut list = List::new();
            for item in chosen {
                show(call.keys, query, items.text(item), |value| {
                    list.push(End::Back, value.unwrap_or_default(), &limits);
                    Ok(())
                })?;
            }
            store(call.keys, destination, list, Event::SORTSTORE, len as u64);
            call.reply.count(len)
        }
    }
}

/// Shows what is asked for of one element.
fn show(
    keys: &mut Keys<'_>,
    query: &Query<'_>,
    element: &[u8],
    mut use_value: impl FnMut(Option<&[u8]>) -> CommandResult,
) -> CommandResult {
    if query.get.is_empty() {
        return use_value(Some(element));
    }
    query.get.iter().try_for_each(|pattern| pattern.look_up(keys, element, &mut use_value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_place_and_perhaps_a_field() {
        let key = |before: &'static str, after: &'static str, field: Option<&'static str>| Pattern::Key {
            before: before.as_bytes(),
            after: after.as_bytes(),
            field: field.map(str::as_bytes),
        };
        for (text, expected) in [
            ("#", Pattern::Element),
            ("##", Pattern::Constant),
            ("nosort", Pattern::Constant),
            ("w_*", key("w_", "", None)),
            ("*", key("", "", None)),
            ("w_*_x*", key("w_", "_x*", None)),
            ("h_*->f", key("h_", "", Some("f"))),
            ("h_*x->f->g", key("h_", "x", Some("f->g"))),
            ("h_*->", key("h_", "->", None)),
            ("a->b*", key("a->b", "", None)),
        ] {
            assert_eq!(Pattern::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn weights_are_numbers_up_to_a_zero_byte() {
        for (text, expected) in [
            ("12", Some(12.0)),
            ("-1e3", Some(-1000.0)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("-0", Some(0.0)),
            ("1\0x", Some(1.0)),
            ("1e-310", Some(1e-310)),
            ("", None),
            ("\x001", None),
            (" 1", None),
            ("1 ", None),
            ("0x10", None),
            ("nan", None),
            ("1e999", None),
        ] {
            let weight = parse_weight(text.as_bytes());
            assert_eq!(weight.map(f64::to_bits), expected.map(f64::to_bits), "{text:?}");
        }
    }

    #[test]
    fn places_are_cut_to_what_there_is() {
        let places = |offset, count, len| {
            let query = Query { offset, count, ..Query::parse(Args::new(b"", &[]), true).unwrap() };
            query.places(len)
        };
        assert_eq!(places(0, -1, 5), 0..5);
        assert_eq!(places(-3, 2, 5), 0..2);
        assert_eq!(places(3, 10, 5), 3..5);
        assert_eq!(places(2, 0, 5), 2..2);
        assert!(places(9, 1, 5).is_empty());
        assert_eq!(places(1, i64::MIN, 5), 1..5);
        assert!(places(i64::MAX, i64::MAX, 5).is_empty());
    }
}
