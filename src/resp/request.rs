//! Parses requests: arrays of bulk strings, and inline commands. Arguments stay where they are in the read buffer; a
//! half request keeps its progress, so that no byte is looked at twice however slowly a request arrives.

use std::fmt;
use std::ops::Index;

/// Longest inline command, and longest line that announces a length, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// What a client may send before it has authenticated.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;
/// Room that an empty [`RequestBuffer`] keeps, in bytes.
const BUFFER_BYTES_KEPT: usize = 16 * 1024;
/// Arguments in one request.
const ARGS_MAX: i64 = i32::MAX as i64;

/// Where an argument lies, counted from the first byte of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

/// The arguments of one request, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    request: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// `spans` must come from parsing `request`.
    pub fn new(request: &'a [u8], spans: &'a [Span]) -> Self {
        Args { request, spans }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of the request as it was sent.
    pub fn request_len(&self) -> usize {
        self.request.len()
    }

    /// The request as it was sent, if these are all its arguments and it came byte for byte as [`write_command`] writes it.
    #[inline]
    pub fn as_sent(&self) -> Option<&'a [u8]> {
        const END: &[u8] = b"\r\n";
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        // The words of an inline command, and of a copy, begin at once.
        if first.start == 0 || last.start as usize + last.len as usize + END.len() != self.request.len() {
            return None;
        }
        let (count, head) = plain_length(self.request, 0, b'*')?;
        // The parser looks neither at what follows an argument, nor whether a line that ends with CR has its LF.
        let is_plain = |span: &Span| {
            let (start, end) = (span.start as usize, span.start as usize + span.len as usize);
            &self.request[start - 2..start] == END && self.request.get(end..end + 2) == Some(END)
        };
        let is_whole = count == self.spans.len() && &self.request[head - 2..head] == END;
        (is_whole && self.spans.iter().all(is_plain)).then_some(self.request)
    }

    /// The argument at `index`, which must exist.
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        let span = self.spans[index];
        &self.request[span.start as usize..][..span.len as usize]
    }

    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.at(index))
    }

    /// The arguments from `first` on.
    pub fn from(&self, first: usize) -> Args<'a> {
        Args { request: self.request, spans: &self.spans[first.min(self.spans.len())..] }
    }

    /// The arguments before `end`.
    pub fn until(&self, end: usize) -> Args<'a> {
        Args { request: self.request, spans: &self.spans[..end.min(self.spans.len())] }
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone {
        self.spans.iter().map(move |span| &self.request[span.start as usize..][..span.len as usize])
    }

    /// A copy that outlives the read buffer.
    pub fn to_owned(self) -> OwnedRequest {
        OwnedRequest::new(self.iter())
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

/// A request that was copied out of the read buffer: queued in a transaction, or waiting in a blocked client.
#[derive(Clone, Debug)]
pub struct OwnedRequest {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl OwnedRequest {
    pub fn new<'a>(args: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> Self {
        let mut bytes = Vec::with_capacity(args.clone().map(<[u8]>::len).sum());
        let mut spans = Vec::with_capacity(args.len());
        for arg in args {
            spans.push(Span { start: bytes.len() as u32, len: arg.len() as u32 });
            bytes.extend_from_slice(arg);
        }
        OwnedRequest { bytes: bytes.into(), spans: spans.into() }
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Heap bytes held.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }
}

/// A request that is put together argument by argument, in memory that the next one uses again.
#[derive(Debug, Default)]
pub struct RequestBuffer {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl RequestBuffer {
    /// Makes room for another request; that of a large one is given back.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
        self.spans.shrink_to(BUFFER_BYTES_KEPT / size_of::<Span>());
    }

    /// Adds an argument. Returns false if the request would be longer than any may be.
    #[inline]
    pub fn push(&mut self, arg: &[u8]) -> bool {
        let start = self.bytes.len();
        if start + arg.len() > u32::MAX as usize {
            return false;
        }
        self.spans.push(Span { start: start as u32, len: arg.len() as u32 });
        self.bytes.extend_from_slice(arg);
        true
    }

    /// The same for a short one that `write` appends.
    pub fn push_written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > u32::MAX as usize {
            self.bytes.truncate(start);
            return false;
        }
        self.spans.push(Span { start: start as u32, len: (self.bytes.len() - start) as u32 });
        true
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

/// Appends a command as an array of bulk strings.
pub fn write_command<'a>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'a [u8]>) {
    let mut number = itoa::Buffer::new();
    let mut head = |out: &mut Vec<u8>, kind: u8, value: usize| {
        out.push(kind);
        out.extend_from_slice(number.format(value).as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    head(out, b'*', args.len());
    for arg in args {
        head(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Bytes that [`write_command`] writes for a request.
pub fn command_len(args: Args<'_>) -> usize {
    const LINE: usize = b"$\r\n".len();
    let head = |value: usize| LINE + value.checked_ilog10().unwrap_or(0) as usize + 1;
    head(args.len()) + args.iter().map(|arg| head(arg.len()) + arg.len() + 2).sum::<usize>()
}

/// How far the parser came in a request that is not complete yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the request that have been dealt with.
    consumed: usize,
    /// Arguments that are still to come; `None` before the first line has been read.
    missing: Option<u32>,
    /// Bytes that the request must have before another look at it can be worth while.
    needed: usize,
    /// Where the argument begins whose length is known already; 0 if there is none.
    argument: usize,
}

impl Progress {
    /// Whether nothing of a request has been read.
    pub fn is_fresh(&self) -> bool {
        *self == Progress::default()
    }

    /// Length that the request has at least, in bytes; 0 if unknown.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Bytes that have been read for good: the arguments that are complete, and the lines between them.
    pub fn finished(&self) -> usize {
        self.argument.max(self.consumed)
    }
}

/// Limits that the parser holds a client to.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// `proto-max-bulk-len`, in bytes.
    pub bulk_bytes_max: i64,
    /// Before a client has authenticated, it may send little.
    pub authenticated: bool,
}

/// Why a client's bytes are not a request. The connection is closed after the error has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    TooBigInline,
    UnbalancedQuotes,
    TooBigCountLine,
    TooBigBulkLine,
    InvalidCount,
    UnauthenticatedCount,
    ExpectedDollar(u8),
    InvalidBulkLength,
    UnauthenticatedBulkLength,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ProtocolError::TooBigInline => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::TooBigCountLine => "too big mbulk count string",
            ProtocolError::TooBigBulkLine => "too big bulk count string",
            ProtocolError::InvalidCount => "invalid multibulk length",
            ProtocolError::UnauthenticatedCount => "unauthenticated multibulk length",
            ProtocolError::ExpectedDollar(byte) => {
                return write!(f, "Protocol error: expected '$', got '{}'", *byte as char);
            }
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
        };
        write!(f, "Protocol error: {text}")
    }
}

/// Parses the request at the start of `buffer`. The arguments found are appended to `spans`. They lie in `buffer`, but for
/// those of an inline command: its words are appended to `words` without their quotes, and lie where those begin.
///
/// Returns the request's length in bytes, or `None` while it is incomplete: then the call is repeated with the same
/// `progress` and with the arguments found so far still at the end of `spans`, once more bytes have been appended. An
/// empty request (a blank line, `*0`) has no arguments.
pub fn parse_request(
    buffer: &[u8],
    progress: &mut Progress,
    spans: &mut Vec<Span>,
    words: &mut Vec<u8>,
    limits: &RequestLimits,
) -> Result<Option<usize>, ProtocolError> {
    if buffer.len() < progress.needed.max(1) {
        return Ok(None);
    }
    let mut missing = match progress.missing {
        Some(missing) => missing,
        None if let Some((count, next)) = plain_length(buffer, 0, b'*')
            && (limits.authenticated || count <= UNAUTHENTICATED_ARGS_MAX as usize) =>
        {
            progress.consumed = next;
            count as u32
        }
        None if buffer[0] == b'*' => {
            let Some((line, next)) = length_line(buffer, 0, ProtocolError::TooBigCountLine)? else {
                return Ok(None);
            };
            let count = parse_length(line).filter(|&count| count <= ARGS_MAX).ok_or(ProtocolError::InvalidCount)?;
            if !limits.authenticated && count > UNAUTHENTICATED_ARGS_MAX {
                return Err(ProtocolError::UnauthenticatedCount);
            }
            progress.consumed = next;
            count.max(0) as u32
        }
        None => return parse_inline(buffer, spans, words),
    };
    let mut at = progress.consumed;
    let plain_len_max = if limits.authenticated { limits.bulk_bytes_max as usize } else { 0 };
    while missing > 0 {
        let header = match plain_length(buffer, at, b'$') {
            Some(header) if header.0 <= plain_len_max => Some(header),
            _ => bulk_header(buffer, at, limits)?,
        };
        let (needed, argument) = match header {
            Some((len, start)) if buffer.len() >= start + len + 2 => {
                spans.push(Span { start: start as u32, len: len as u32 });
                at = start + len + 2;
                missing -= 1;
                continue;
            }
            Some((len, start)) => (start + len + 2, start),
            None => (at + 1, 0),
        };
        *progress = Progress { consumed: at, missing: Some(missing), needed, argument };
        return Ok(None);
    }
    *progress = Progress::default();
    Ok(Some(at))
}

/// The length of the argument whose line begins at `at`, and where its bytes begin; `None` while the line is incomplete.
#[cold]
fn bulk_header(buffer: &[u8], at: usize, limits: &RequestLimits) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some(&kind) = buffer.get(at) else { return Ok(None) };
    if kind == b'\r' && buffer.len() > at + 1 {
        return Err(ProtocolError::ExpectedDollar(kind));
    }
    // An unfinished line is looked at only when it ends, as Redis does.
    let Some((line, start)) = length_line(buffer, at, ProtocolError::TooBigBulkLine)? else { return Ok(None) };
    if kind != b'$' {
        return Err(ProtocolError::ExpectedDollar(kind));
    }
    let len = parse_length(line)
        .filter(|&len| (0..=limits.bulk_bytes_max).contains(&len))
        .ok_or(ProtocolError::InvalidBulkLength)?;
    if !limits.authenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    if start + len as usize + 2 > u32::MAX as usize {
        return Err(ProtocolError::InvalidBulkLength);
    }
    Ok(Some((len as usize, start)))
}

/// The length in the line at `at`, which begins with `kind`, and where the next line begins: if the line has arrived and
/// has one to seven plain digits, as nearly every line has. What it does not take, the general way looks at again.
#[inline(always)]
fn plain_length(buffer: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let line: &[u8; 9] = buffer.get(at..)?.first_chunk()?;
    let mut value = usize::from(line[1].wrapping_sub(b'0'));
    if line[0] != kind || value > 9 || at > u32::MAX as usize / 2 {
        return None;
    }
    for (index, &byte) in line.iter().enumerate().skip(2) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (byte == b'\r').then_some((value, at + index + 2));
        }
        value = value * 10 + usize::from(digit);
        if value < 10 {
            return None;
        }
    }
    None
}

/// The text between the type byte at `at` and the line end, and where the next line begins.
fn length_line(buffer: &[u8], at: usize, too_long: ProtocolError) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let rest = &buffer[at + 1..];
    // Lengths are short: looking at the bytes one by one beats a general search.
    let near = rest.len().min(24);
    let end = match rest[..near].iter().position(|&byte| byte == b'\r') {
        Some(end) => Some(end),
        None => memchr::memchr(b'\r', &rest[near..]).map(|end| near + end),
    };
    match end {
        Some(end) if end + 1 < rest.len() => Ok(Some((&rest[..end], at + end + 3))),
        Some(end) if end <= LINE_BYTES_MAX => Ok(None),
        None if rest.len() <= LINE_BYTES_MAX => Ok(None),
        _ => Err(too_long),
    }
}

/// A length as Redis reads it: an optional minus, digits without leading zeros, nothing else.
fn parse_length(line: &[u8]) -> Option<i64> {
    let (negative, digits) = match line {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

fn parse_inline(buffer: &[u8], spans: &mut Vec<Span>, words: &mut Vec<u8>) -> Result<Option<usize>, ProtocolError> {
    // Like Redis, which takes the line for a C string, we find no end behind a zero byte.
    let newline = memchr::memchr2(b'\n', 0, buffer).filter(|&end| buffer[end] == b'\n');
    let Some(newline) = newline else {
        return if buffer.len() > LINE_BYTES_MAX { Err(ProtocolError::TooBigInline) } else { Ok(None) };
    };
    if newline > LINE_BYTES_MAX {
        return Err(ProtocolError::TooBigInline);
    }
    let end = if newline > 0 && buffer[newline - 1] == b'\r' { newline - 1 } else { newline };
    split_line(&buffer[..end], spans, words).ok_or(ProtocolError::UnbalancedQuotes)?;
    Ok(Some(newline + 1))
}

/// Splits a line into words, as lines of redis.conf are split: `"…"` with escapes, `'…'` with `\'`. `None` if a quote is
/// not closed or something follows a closing quote directly. The line stays as it is: it may be parsed again.
fn split_line(line: &[u8], spans: &mut Vec<Span>, words: &mut Vec<u8>) -> Option<()> {
    let first = words.len();
    let mut read = 0;
    loop {
        while read < line.len() && is_space(line[read]) {
            read += 1;
        }
        if read == line.len() {
            return Some(());
        }
        let start = words.len();
        let mut quote = 0u8;
        loop {
            let Some(&byte) = line.get(read) else {
                if quote != 0 {
                    return None;
                }
                break;
            };
            read += 1;
            let kept = match (quote, byte) {
                (0, b' ' | b'\t' | b'\n' | b'\r') => break,
                (0, b'"' | b'\'') => {
                    quote = byte;
                    continue;
                }
                (b'"', b'\\') if read < line.len() => {
                    let (unescaped, used) = unescape(&line[read..]);
                    read += used;
                    unescaped
                }
                (b'\'', b'\\') if line.get(read) == Some(&b'\'') => {
                    read += 1;
                    b'\''
                }
                (b'"', b'"') | (b'\'', b'\'') => {
                    if line.get(read).is_some_and(|&next| !is_space(next)) {
                        return None;
                    }
                    break;
                }
                (_, byte) => byte,
            };
            words.push(kept);
        }
        spans.push(Span { start: (start - first) as u32, len: (words.len() - start) as u32 });
    }
}

/// What follows a backslash in double quotes: the byte meant, and how many bytes were used. `rest` is not empty.
fn unescape(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digit = |byte: u8| (byte as char).to_digit(16).map_or(0, |digit| digit as u8);
            (digit(*high) * 16 + digit(*low), 3)
        }
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'b', ..] => (8, 1),
        [b'a', ..] => (7, 1),
        [other, ..] => (*other, 1),
        [] => (b'\\', 0),
    }
}

/// White space as C's `isspace` has it. It separates words, but of it only blanks, tabs and line ends end one.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { bulk_bytes_max: 512 << 20, authenticated: true };

    /// Feeds `bytes` in pieces of `step` and returns all requests found.
    fn parse_all(bytes: &[u8], step: usize, limits: &RequestLimits) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let (mut found, mut buffer, mut progress) = (vec![], vec![], Progress::default());
        let (mut spans, mut words) = (vec![], vec![]);
        for piece in bytes.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(consumed) = parse_request(&buffer, &mut progress, &mut spans, &mut words, limits)? {
                let request = if words.is_empty() { &buffer } else { &words };
                found.push(Args::new(request, &spans).iter().map(<[u8]>::to_vec).collect());
                buffer.drain(..consumed);
                spans.clear();
                words.clear();
            }
        }
        Ok(found)
    }

    fn words(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    /// What [`Args::as_sent`] says of a request that is complete.
    fn as_sent(bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut spans, mut words) = (vec![], vec![]);
        let parsed = parse_request(bytes, &mut Progress::default(), &mut spans, &mut words, &LIMITS);
        let len = parsed.expect("a request").expect("all of it");
        let request = if words.is_empty() { &bytes[..len] } else { &words };
        Args::new(request, &spans).as_sent().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_request_is_as_it_would_be_written_or_is_not_said_to_be() {
        let plain = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n\r\n34567890\r\n";
        assert_eq!(as_sent(plain).as_deref(), Some(plain.as_slice()));
        // What follows is not part of it.
        assert_eq!(as_sent(&[plain.as_slice(), b"PING\r\n"].concat()).as_deref(), Some(plain.as_slice()));
        for place in (0..plain.len()).filter(|place| plain[*place] == b'\n' && *place != plain.len() - 11) {
            let mut bytes = plain.to_vec();
            bytes[place] = b'x';
            assert_eq!(as_sent(&bytes), None, "{}", bytes.escape_ascii());
        }
        for other in [b"SET a 1\r\n".as_slice(), b"\"*1\\r\\n$1\\r\\na\\r\\n\"\r\n", b"*0\r\n"] {
            assert_eq!(as_sent(other), None, "{}", other.escape_ascii());
        }
        let (mut spans, mut words) = (vec![], vec![]);
        parse_request(plain, &mut Progress::default(), &mut spans, &mut words, &LIMITS).expect("a request");
        let args = Args::new(plain, &spans);
        assert_eq!((args.from(1).as_sent(), args.until(2).as_sent()), (None, None));
        assert_eq!(args.to_owned().args().as_sent(), None);
    }

    #[test]
    fn requests_are_found_however_they_are_cut() {
        let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n\r\nping \"a\\x41\\n\" 'it\\'s'\r\n*0\r\n*-1\r\n*1\r\n$4\r\nQUIT\r\n";
        let expected = [
            words(&["SET", "a", ""]),
            words(&[]),
            words(&["ping", "aA\n", "it's"]),
            words(&[]),
            words(&[]),
            words(&["QUIT"]),
        ];
        for step in 1..=bytes.len() {
            assert_eq!(parse_all(bytes, step, &LIMITS).unwrap(), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn malformed_requests_get_their_error() {
        let long = [b"*".as_slice(), &[b'1'; 70_000]].concat();
        let cases: [(&[u8], ProtocolError); 11] = [
            (b"*x\r\n", ProtocolError::InvalidCount),
            (b"*3000000000\r\n", ProtocolError::InvalidCount),
            (b"*1\r\n+OK\r\n", ProtocolError::ExpectedDollar(b'+')),
            (b"*1\r\n\r\n", ProtocolError::ExpectedDollar(b'\r')),
            (b"*1\r\n$-1\r\n", ProtocolError::InvalidBulkLength),
            (b"*1\r\n$536870913\r\n", ProtocolError::InvalidBulkLength),
            (b"*1\r\n$9223372036854775808\r\n", ProtocolError::InvalidBulkLength),
            (&long, ProtocolError::TooBigCountLine),
            (&[b'a'; 70_000], ProtocolError::TooBigInline),
            (b"get \"a\r\n", ProtocolError::UnbalancedQuotes),
            (b"get 'a'b\r\n", ProtocolError::UnbalancedQuotes),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse_all(bytes, bytes.len(), &LIMITS), Err(error));
        }
    }

    #[test]
    fn inline_words_end_where_those_of_redis_end() {
        let line = b"\x0bset a\x0bb 'c'\x0c\x0b\"d\"\r\n";
        assert_eq!(parse_all(line, 99, &LIMITS).unwrap(), [words(&["set", "a\x0bb", "c", "d"])]);
    }

    #[test]
    fn strangers_may_send_little() {
        let stranger = RequestLimits { authenticated: false, ..LIMITS };
        assert_eq!(parse_all(b"*11\r\n", 9, &stranger), Err(ProtocolError::UnauthenticatedCount));
        assert_eq!(parse_all(b"*1\r\n$16385\r\n", 99, &stranger), Err(ProtocolError::UnauthenticatedBulkLength));
        assert_eq!(parse_all(b"*1\r\n$1\r\na\r\n", 99, &stranger).unwrap(), [words(&["a"])]);
    }

    #[test]
    fn a_huge_announced_length_allocates_nothing() {
        let mut spans = Vec::new();
        let mut progress = Progress::default();
        let bytes = b"*2000000000\r\n$500000000\r\nx".to_vec();
        assert_eq!(parse_request(&bytes, &mut progress, &mut spans, &mut Vec::new(), &LIMITS), Ok(None));
        assert_eq!(spans.capacity(), 0);
        assert_eq!(progress.needed(), 25 + 500_000_000 + 2);
    }
}
