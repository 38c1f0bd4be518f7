//! Values as the commands that make them, for a base without RDB data (`aof-use-rdb-preamble no`).

use crate::persistence::pieces::Pieces;
use crate::resp::write_command;
use crate::value::packed::{Element, IntegerText};
use crate::value::stream::{Group, Stream, StreamId};
use crate::value::string::StringView;
use crate::value::{ValueRef, double};

/// Elements that one command adds.
const ELEMENTS_MAX: usize = 64;

/// The annotation that what follows was done at `time_s`, in seconds of Unix time.
pub fn timestamp(time_s: i64) -> String {
    format!("#TS:{time_s}\r\n")
}

/// Appends the commands that make the record of `key`.
pub fn record(out: &mut Pieces<'_>, key: &[u8], deadline_ms: Option<i64>, value: ValueRef<'_>) {
    if let Some(string) = value.as_string() {
        set_string(out, key, string);
    } else if let Some(list) = value.as_list() {
        let mut elements = Batch::new(&[b"RPUSH", key], 1);
        list.iter(0, list.len()).for_each(|element| elements.add(out, &[&owned(element)]));
        elements.end(out);
    } else if let Some(set) = value.as_set() {
        let mut members = Batch::new(&[b"SADD", key], 1);
        set.for_each(|member| members.add(out, &[&owned(member)]));
        members.end(out);
    } else if let Some(set) = value.as_sorted_set() {
        let mut members = Batch::new(&[b"ZADD", key], 2);
        set.for_each_unordered(|member, score| {
            let mut text = Vec::new();
            double::append_shortest(score, &mut text);
            members.add(out, &[&text, &owned(member)]);
        });
        members.end(out);
    } else if let Some(hash) = value.as_hash() {
        let mut fields = Batch::new(&[b"HMSET", key], 2);
        hash.for_each(|field| fields.add(out, &[&owned(field.name), &owned(field.value)]));
        fields.end(out);
        hash.for_each(|field| {
            if let Some(deadline) = field.deadline {
                let mut time = itoa::Buffer::new();
                let time = time.format(deadline).as_bytes();
                command(out, &[b"HPEXPIREAT", key, time, b"FIELDS", b"1", &owned(field.name)]);
            }
        });
    } else if let Some(stream) = value.as_stream() {
        stream_commands(out, key, stream);
    }
    if let Some(deadline) = deadline_ms {
        command(out, &[b"PEXPIREAT", key, itoa::Buffer::new().format(deadline).as_bytes()]);
    }
}

/// A string, which may be long, piece by piece.
fn set_string(out: &mut Pieces<'_>, key: &[u8], string: StringView<'_>) {
    const NONE: &[u8] = b"$0\r\n\r\n";
    // What the command is with an empty string, but for that string.
    write_command(out, [b"SET", key, b""].into_iter());
    let head = out.len() - NONE.len();
    out.truncate(head);
    out.extend_from_slice(format!("${}\r\n", string.len()).as_bytes());
    string.visit(0..string.len(), &mut Vec::new(), |piece| {
        out.extend_from_slice(piece);
        out.relieve();
        true
    });
    out.extend_from_slice(b"\r\n");
}

fn command(out: &mut Pieces<'_>, words: &[&[u8]]) {
    write_command(out, words.iter().copied());
    out.relieve();
}

fn owned(element: Element<'_>) -> Vec<u8> {
    element.as_bytes(&mut IntegerText::default()).to_vec()
}

/// A command that adds elements, begun anew when it has enough of them.
struct Batch {
    words: Vec<Vec<u8>>,
    /// Words before the elements, and words for each.
    head: usize,
    words_each: usize,
}

impl Batch {
    fn new(head: &[&[u8]], words_each: usize) -> Self {
        Batch { words: head.iter().map(|word| word.to_vec()).collect(), head: head.len(), words_each }
    }

    fn add(&mut self, out: &mut Pieces<'_>, words: &[&[u8]]) {
        self.words.extend(words.iter().map(|word| word.to_vec()));
        if self.words.len() >= self.head + ELEMENTS_MAX * self.words_each {
            self.end(out);
        }
    }

    fn end(&mut self, out: &mut Pieces<'_>) {
        if self.words.len() > self.head {
            write_command(out, self.words.iter().map(Vec::as_slice));
            out.relieve();
            self.words.truncate(self.head);
        }
    }
}

fn stream_commands(out: &mut Pieces<'_>, key: &[u8], stream: &Stream) {
    if stream.is_empty() {
        // An entry that goes at once makes the stream.
        command(out, &[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
    }
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        let mut words = vec![b"XADD".to_vec(), key.to_vec(), entry.id.text().as_bytes().to_vec()];
        for (name, value) in entry.fields() {
            words.extend([owned(name), owned(value)]);
        }
        write_command(out, words.iter().map(Vec::as_slice));
        out.relieve();
    }
    let (last, deleted) = (stream.last_id().text(), stream.max_deleted_id().text());
    let mut added = itoa::Buffer::new();
    let added = added.format(stream.entries_added()).as_bytes();
    let words = [b"XSETID", key, last.as_bytes(), b"ENTRIESADDED", added, b"MAXDELETEDID", deleted.as_bytes()];
    command(out, &words);
    for (name, group) in stream.groups() {
        group_commands(out, key, name, group);
    }
}

fn group_commands(out: &mut Pieces<'_>, key: &[u8], name: &[u8], group: &Group) {
    let (last, mut read) = (group.last_id.text(), itoa::Buffer::new());
    // What is not known is -1.
    let read = read.format(group.entries_read.map_or(-1, |read| read as i64)).as_bytes();
    command(out, &[b"XGROUP", b"CREATE", key, name, last.as_bytes(), b"ENTRIESREAD", read]);
    for consumer in group.consumers() {
        command(out, &[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()]);
        for id in consumer.pending_from(StreamId::MIN) {
            let Some(pending) = group.pending(id) else { continue };
            let id = id.text();
            let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
            let words = [
                b"XCLAIM",
                key,
                name,
                consumer.name(),
                b"0",
                id.as_bytes(),
                b"TIME",
                time.format(pending.delivered_ms).as_bytes(),
                b"RETRYCOUNT",
                count.format(pending.deliveries).as_bytes(),
                b"JUSTID",
                b"FORCE",
            ];
            command(out, &words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use crate::value::zset::{SortedSet, ZsetLimits};

    #[test]
    fn an_image_is_written_like_its_value() {
        let mut set = SortedSet::default();
        for number in 0..2000 {
            set.update(format!("member:{number}").as_bytes(), &ZsetLimits::default(), |_| Some(number.into()));
        }
        let mut value = Value::SortedSet(set);
        let image = value.image().expect("the set is large");
        let written = [&value, &image].map(|value| {
            let mut out = Vec::new();
            record(&mut Pieces::whole(&mut out), b"key", None, ValueRef::Boxed(value));
            let mut lines: Vec<_> = out.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        });
        assert!(written[0].len() > 8000 && written[0] == written[1]);
    }
}
