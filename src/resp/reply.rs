//! Writes replies in the protocol version that the client chose.

use super::{CommandResult, ErrorReply};

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    pub fn number(self) -> u8 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// The place of a length that is written once the elements have been counted ([`Reply::deferred_array`]).
#[must_use]
#[derive(Debug)]
pub struct Deferred(usize);

/// Bytes that an empty buffer keeps for the next replies.
const CAPACITY_KEPT: usize = 256 * 1024;

/// Longest bulk string that is written in one go, in bytes.
const SHORT_BULK_MAX: usize = 32;
/// Room for such a one, with its head and its line end.
const SHORT_BULK_ROOM: usize = 40;
/// Room for the head of such a one, four or five bytes.
const SHORT_HEAD_SIZE: usize = 8;

/// The heads of short bulk strings, by their length.
const SHORT_HEADS: [[u8; SHORT_HEAD_SIZE]; SHORT_BULK_MAX + 1] = {
    let mut heads = [*b"$0\r\n\0\0\0\0"; SHORT_BULK_MAX + 1];
    let mut len = 0;
    while len <= SHORT_BULK_MAX {
        let (tens, ones) = (b'0' + len as u8 / 10, b'0' + len as u8 % 10);
        if len < 10 {
            heads[len][1] = ones;
        } else {
            heads[len] = [b'$', tens, ones, b'\r', b'\n', 0, 0, 0];
        }
        len += 1;
    }
    heads
};

/// Copies up to 32 bytes to the begin of `to`, which is no shorter, in at most three parts: the first and the last that
/// have half the length or more.
#[inline(always)]
fn copy_short(from: &[u8], to: &mut [u8]) {
    #[inline(always)]
    fn copy_both<const N: usize>(from: &[u8], to: &mut [u8]) -> bool {
        let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return false };
        to[..N].copy_from_slice(first);
        to[from.len() - N..from.len()].copy_from_slice(last);
        true
    }
    if copy_both::<16>(from, to) || copy_both::<8>(from, to) || copy_both::<4>(from, to) {
        return;
    }
    if let [first, .., last] = from {
        (to[0], to[from.len() / 2], to[from.len() - 1]) = (*first, from[from.len() / 2], *last);
    } else if let [only] = from {
        to[0] = *only;
    }
}

/// Writes a bulk string of at most [`SHORT_BULK_MAX`] bytes, and returns how many bytes it took. Collections are full of
/// these: parts of fixed size, some of which overlap, are written faster than parts of any size.
#[inline(always)]
fn short_bulk(bytes: &[u8], out: &mut [u8; SHORT_BULK_ROOM]) -> usize {
    let len = bytes.len();
    let head_len = if len < 10 { 4 } else { 5 };
    out[..SHORT_HEAD_SIZE].copy_from_slice(&SHORT_HEADS[len]);
    copy_short(bytes, &mut out[head_len..head_len + SHORT_BULK_MAX]);
    out[head_len + len..head_len + len + 2].copy_from_slice(b"\r\n");
    head_len + len + 2
}

/// Many bulk strings in a row, as the elements of a collection are: room is made for several short ones at once.
#[derive(Debug)]
pub struct Bulks<'a> {
    /// Its buffer may reach past `end`, by zeros that are still to be written over.
    reply: &'a mut Reply,
    end: usize,
}

/// How many short bulk strings [`Bulks`] makes room for.
const SHORT_BULKS_AHEAD: usize = 32;

impl Bulks<'_> {
    #[inline(always)]
    pub fn bulk(&mut self, bytes: &[u8]) -> CommandResult {
        if bytes.len() <= SHORT_BULK_MAX
            && let Some(out) = self.reply.out.get_mut(self.end..).and_then(|room| room.first_chunk_mut())
        {
            self.end += short_bulk(bytes, out);
            return Ok(());
        }
        self.bulk_without_room(bytes)
    }

    #[inline(never)]
    fn bulk_without_room(&mut self, bytes: &[u8]) -> CommandResult {
        self.reply.out.truncate(self.end);
        let result = self.reply.bulk(bytes);
        self.end = self.reply.out.len();
        if bytes.len() <= SHORT_BULK_MAX && result.is_ok() {
            let room = (SHORT_BULKS_AHEAD * SHORT_BULK_ROOM).min(self.reply.bytes_max.saturating_sub(self.end));
            self.reply.out.resize(self.end + room, 0);
        }
        result
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, value: i64) -> CommandResult {
        self.bulk(itoa::Buffer::new().format(value).as_bytes())
    }
}

impl Drop for Bulks<'_> {
    fn drop(&mut self) {
        self.reply.out.truncate(self.end);
    }
}

/// A growing buffer of replies. Every method appends one element; all return [`CommandResult`] so that a handler can
/// end with the reply that it gives.
#[derive(Debug)]
pub struct Reply {
    out: Vec<u8>,
    protocol: Protocol,
    bytes_max: usize,
    is_exceeded: bool,
}

impl Default for Reply {
    fn default() -> Self {
        Reply::new(Protocol::default())
    }
}

impl Reply {
    pub fn new(protocol: Protocol) -> Self {
        Reply { out: Vec::new(), protocol, bytes_max: usize::MAX, is_exceeded: false }
    }

    /// A buffer with the room that it keeps when it is empty: what it takes in memory does not depend on the replies
    /// that it happened to hold.
    pub fn with_room(protocol: Protocol) -> Self {
        Reply { out: Vec::with_capacity(CAPACITY_KEPT), ..Reply::new(protocol) }
    }

    /// Sets how many bytes of bulk strings there may be. What would go beyond is not written, and the handler that tries
    /// gets an error, so that a small request cannot fill the memory with its reply (`MGET key key key …`).
    pub fn set_limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.is_exceeded = false;
    }

    /// Whether more was to be written since the limit was set than it allows.
    pub fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    #[cold]
    fn exceed(&mut self) -> CommandResult {
        self.is_exceeded = true;
        Err(ErrorReply::fixed("ERR the reply is larger than client-output-buffer-limit allows"))
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    pub fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Everything written since the buffer was last emptied.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn capacity(&self) -> usize {
        self.out.capacity()
    }

    /// Takes back what was written after the buffer held `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// Drops all replies. A buffer that had to grow far for them gives its memory back.
    pub fn clear(&mut self) {
        self.out.clear();
        if self.out.capacity() > CAPACITY_KEPT {
            self.out.shrink_to(CAPACITY_KEPT);
        }
    }

    /// Hands the bytes over and starts with an empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Hands the bytes from `start` on over, in no more memory than they need, and drops those before. The buffer
    /// stays for the next replies if it is not large.
    pub fn take_from(&mut self, start: usize) -> Vec<u8> {
        if self.out.capacity() <= CAPACITY_KEPT {
            let rest = self.out[start..].to_vec();
            self.out.clear();
            return rest;
        }
        let mut rest = std::mem::replace(&mut self.out, Vec::with_capacity(CAPACITY_KEPT));
        rest.drain(..start);
        rest.shrink_to_fit();
        rest
    }

    /// Appends replies that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) -> CommandResult {
        self.out.extend_from_slice(encoded);
        Ok(())
    }

    /// Puts replies that are encoded already in front of what was written after the buffer held `len` bytes.
    pub fn insert_raw(&mut self, len: usize, encoded: &[u8]) {
        self.out.splice(len..len, encoded.iter().copied());
    }

    /// A status such as `+OK`. The text must not contain a line end.
    pub fn simple(&mut self, text: &str) -> CommandResult {
        self.status(text.as_bytes())
    }

    /// The same for bytes, which must not contain a line end either.
    pub fn status(&mut self, text: &[u8]) -> CommandResult {
        self.out.push(b'+');
        self.line(text)
    }

    pub fn ok(&mut self) -> CommandResult {
        self.raw(b"+OK\r\n")
    }

    pub fn error(&mut self, error: &ErrorReply) -> CommandResult {
        self.out.push(b'-');
        self.line(error.as_bytes())
    }

    pub fn integer(&mut self, value: i64) -> CommandResult {
        self.header(b':', value)
    }

    /// A count, which always fits the protocol's signed 64 bits here.
    pub fn count(&mut self, value: usize) -> CommandResult {
        self.integer(value as i64)
    }

    /// `1` or `0`: what most commands answer for yes and no.
    pub fn flag(&mut self, value: bool) -> CommandResult {
        self.raw(if value { b":1\r\n" } else { b":0\r\n" })
    }

    /// A boolean where RESP3 has one, else an integer.
    pub fn boolean(&mut self, value: bool) -> CommandResult {
        match (self.protocol, value) {
            (Protocol::Resp2, _) => self.flag(value),
            (Protocol::Resp3, true) => self.raw(b"#t\r\n"),
            (Protocol::Resp3, false) => self.raw(b"#f\r\n"),
        }
    }

    pub fn bulk(&mut self, bytes: &[u8]) -> CommandResult {
        if bytes.len() > SHORT_BULK_MAX {
            return self.long_bulk(bytes);
        }
        if bytes.len() + self.out.len() > self.bytes_max {
            return self.exceed();
        }
        let begin = self.out.len();
        self.out.extend_from_slice(&[0; SHORT_BULK_ROOM]);
        let written = self.out[begin..].first_chunk_mut().map_or(0, |out| short_bulk(bytes, out));
        self.out.truncate(begin + written);
        Ok(())
    }

    /// For many bulk strings in a row.
    pub fn bulks(&mut self) -> Bulks<'_> {
        let end = self.out.len();
        Bulks { reply: self, end }
    }

    fn long_bulk(&mut self, bytes: &[u8]) -> CommandResult {
        if bytes.len() + self.out.len() > self.bytes_max {
            return self.exceed();
        }
        self.out.reserve(bytes.len() + 16);
        self.header(b'$', bytes.len() as i64)?;
        self.line(bytes)
    }

    /// A bulk string of `len` bytes, which `fill` writes where they go.
    pub fn bulk_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> CommandResult {
        if len + self.out.len() > self.bytes_max {
            return self.exceed();
        }
        self.header(b'$', len as i64)?;
        let begin = self.out.len();
        self.out.reserve(len + 2);
        self.out.resize(begin + len, 0);
        fill(&mut self.out[begin..]);
        self.raw(b"\r\n")
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, value: i64) -> CommandResult {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes())
    }

    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) -> CommandResult {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// The missing value: a null bulk string in RESP2.
    pub fn null(&mut self) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"$-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The missing collection: a null array in RESP2.
    pub fn null_array(&mut self) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"*-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The head of an array; `len` elements must follow.
    pub fn array(&mut self, len: usize) -> CommandResult {
        self.header(b'*', len as i64)
    }

    /// The head of a map of `pairs` keys and values; a flat array in RESP2.
    pub fn map(&mut self, pairs: usize) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * pairs as i64),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// The head of a set; an array in RESP2.
    pub fn set(&mut self, len: usize) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len as i64),
            Protocol::Resp3 => self.header(b'~', len as i64),
        }
    }

    /// The head of an out-of-band message; an array in RESP2.
    pub fn push(&mut self, len: usize) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len as i64),
            Protocol::Resp3 => self.header(b'>', len as i64),
        }
    }

    /// A double whose text is already in the protocol's form (`value::number` formats it): a bulk string in RESP2.
    pub fn double_text(&mut self, text: &str) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b',');
                self.line(text.as_bytes())
            }
        }
    }

    /// An integer of any size, in digits: a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => {
                self.out.push(b'(');
                self.line(digits)
            }
        }
    }

    /// Text for people, with its format in three letters (`txt`, `mkd`): a bulk string in RESP2.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4)?;
                self.out.extend_from_slice(&format);
                self.out.push(b':');
                self.line(text)
            }
        }
    }

    /// An array of bulk strings.
    pub fn bulk_array<T: AsRef<[u8]>>(&mut self, items: &[T]) -> CommandResult {
        self.array(items.len())?;
        items.iter().try_for_each(|item| self.bulk(item.as_ref()))
    }

    /// Begins an array whose length is not known yet; [`Reply::finish_array`] ends it.
    pub fn deferred_array(&mut self) -> Deferred {
        Deferred(self.out.len())
    }

    /// Puts the head of an array of `len` elements where [`Reply::deferred_array`] was called.
    pub fn finish_array(&mut self, at: Deferred, len: usize) -> CommandResult {
        self.insert_head(at, b'*', len)
    }

    /// Like [`Reply::finish_array`] for a map of `pairs`.
    pub fn finish_map(&mut self, at: Deferred, pairs: usize) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.insert_head(at, b'*', 2 * pairs),
            Protocol::Resp3 => self.insert_head(at, b'%', pairs),
        }
    }

    /// Like [`Reply::finish_array`] for a set.
    pub fn finish_set(&mut self, at: Deferred, len: usize) -> CommandResult {
        match self.protocol {
            Protocol::Resp2 => self.insert_head(at, b'*', len),
            Protocol::Resp3 => self.insert_head(at, b'~', len),
        }
    }

    fn insert_head(&mut self, at: Deferred, kind: u8, len: usize) -> CommandResult {
        let end = self.out.len();
        self.header(kind, len as i64)?;
        let head = self.out.len() - end;
        self.out[at.0..].rotate_right(head);
        Ok(())
    }

    fn header(&mut self, kind: u8, value: i64) -> CommandResult {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let mut line = [0u8; 24];
        line[0] = kind;
        line[1..=digits.len()].copy_from_slice(digits);
        line[digits.len() + 1] = b'\r';
        line[digits.len() + 2] = b'\n';
        self.raw(&line[..digits.len() + 3])
    }

    fn line(&mut self, text: &[u8]) -> CommandResult {
        self.out.extend_from_slice(text);
        self.raw(b"\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply) -> CommandResult) -> String {
        let mut reply = Reply::new(protocol);
        write(&mut reply).unwrap();
        String::from_utf8(reply.take()).unwrap()
    }

    #[test]
    fn elements_take_the_form_of_each_protocol() {
        let both =
            |write: fn(&mut Reply) -> CommandResult| (written(Protocol::Resp2, write), written(Protocol::Resp3, write));
        let same = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(both(|r| r.ok()), same("+OK\r\n"));
        assert_eq!(both(|r| r.integer(i64::MIN)), same("-9223372036854775808\r\n".replacen("", ":", 1).as_str()));
        assert_eq!(both(|r| r.bulk(b"a\r\nb")), same("$4\r\na\r\nb\r\n"));
        assert_eq!(both(|r| r.null()), ("$-1\r\n".into(), "_\r\n".into()));
        assert_eq!(both(|r| r.null_array()), ("*-1\r\n".into(), "_\r\n".into()));
        assert_eq!(both(|r| r.map(2)), ("*4\r\n".into(), "%2\r\n".into()));
        assert_eq!(both(|r| r.set(2)), ("*2\r\n".into(), "~2\r\n".into()));
        assert_eq!(both(|r| r.push(3)), ("*3\r\n".into(), ">3\r\n".into()));
        assert_eq!(both(|r| r.boolean(true)), (":1\r\n".into(), "#t\r\n".into()));
        assert_eq!(both(|r| r.double_text("1.5")), ("$3\r\n1.5\r\n".into(), ",1.5\r\n".into()));
        assert_eq!(both(|r| r.verbatim(*b"txt", b"hi")), ("$2\r\nhi\r\n".into(), "=6\r\ntxt:hi\r\n".into()));
    }

    #[test]
    fn what_is_left_over_takes_no_more_than_it_needs() {
        let mut reply = Reply::with_room(Protocol::Resp2);
        for bytes in [1000, 1_000_000] {
            reply.bulk(&vec![b'x'; bytes]).unwrap();
            let rest = reply.take_from(10);
            assert!(rest.ends_with(b"xx\r\n") && rest.capacity() == rest.len(), "{bytes}");
            assert_eq!((reply.len(), reply.capacity()), (0, CAPACITY_KEPT));
        }
    }

    #[test]
    fn a_deferred_length_lands_before_its_elements() {
        let text = written(Protocol::Resp2, |r| {
            r.ok()?;
            let at = r.deferred_array();
            r.integer(1)?;
            r.integer(2)?;
            r.finish_array(at, 2)
        });
        assert_eq!(text, "+OK\r\n*2\r\n:1\r\n:2\r\n");
    }

    #[test]
    fn bulk_strings_of_all_short_lengths() {
        let text = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
        let mut reply = Reply::default();
        let mut expected = Vec::new();
        for len in 0..=text.len() {
            reply.bulk(&text[..len]).unwrap();
            expected.extend_from_slice(&[format!("${len}\r\n").as_bytes(), &text[..len], b"\r\n"].concat());
        }
        assert_eq!(reply.as_bytes(), expected);
    }

    #[test]
    fn many_bulk_strings_are_those_of_each() {
        let text = [b'x'; 2 * SHORT_BULK_MAX];
        for limit in [usize::MAX, 3000, 200] {
            let (mut one_by_one, mut together) = (Reply::default(), Reply::default());
            one_by_one.set_limit(limit);
            together.set_limit(limit);
            let lens = (0..100).map(|place| (place * place + place / 7) % text.len());
            let expected = lens.clone().try_for_each(|len| one_by_one.bulk(&text[..len]));
            let mut bulks = together.bulks();
            let result = lens.clone().try_for_each(|len| bulks.bulk(&text[..len]));
            drop(bulks);
            assert_eq!((&result, together.as_bytes()), (&expected, one_by_one.as_bytes()));
            assert_eq!(together.is_exceeded(), one_by_one.is_exceeded());
            assert_eq!(limit < usize::MAX, result.is_err());
        }
    }

    #[test]
    fn bulk_strings_end_at_the_limit() {
        let mut reply = Reply::default();
        reply.set_limit(20);
        assert_eq!(reply.bulk(b"0123456789"), Ok(()));
        assert!(!reply.is_exceeded());
        assert!(reply.bulk(b"0123456789").is_err() && reply.bulk_with(10, |_| ()).is_err());
        assert_eq!(reply.as_bytes(), b"$10\r\n0123456789\r\n");
        assert!(reply.is_exceeded());
    }

    #[test]
    fn an_argument_in_an_error_cannot_end_the_line() {
        let error = ErrorReply::new("ERR bad 'a\r\n+OK'");
        assert_eq!(written(Protocol::Resp2, |r| r.error(&error)), "-ERR bad 'a  +OK'\r\n");
        assert_eq!(error.code(), b"ERR");
    }
}
