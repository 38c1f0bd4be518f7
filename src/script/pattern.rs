//! Lua 5.1's patterns on bytes (<https://www.lua.org/manual/5.1/manual.html#5.4.1>). Pure: knows nothing of an interpreter.
//!
//! Where a pattern can match in several ways, the way back is kept on a list of choices and not on the stack, so that no
//! pattern is too deep for a thread. Whoever has something matched is told how far it got, step by step, and can end it.

#[cfg(test)]
mod tests;

/// Captures of a pattern.
pub(super) const CAPTURES_MAX: usize = 32;
/// Ways back that are kept. That is about where Redis' own matcher comes to the end of its stack.
const CHOICES_MAX: usize = 50_000;
/// Bytes that are passed over between two reports.
const BYTES_PER_REPORT: usize = 1 << 14;
/// Bytes of a pattern that are looked through in the time of a step.
const BYTES_PER_STEP: usize = 16;

/// Why a match was given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure<E> {
    /// The pattern is none; the text is Lua's.
    Pattern(&'static str),
    /// Whoever was told of the progress wanted an end.
    Ended(E),
}

type Matched<T, E> = Result<T, Failure<E>>;

/// What a capture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured<'a> {
    Text(&'a [u8]),
    /// A place in the subject, from 1 on.
    Position(usize),
}

#[derive(Clone, Copy)]
enum Extent {
    /// Its end has not been reached.
    Open,
    Position,
    Bytes(usize),
}

#[derive(Clone, Copy)]
struct Capture {
    begin: usize,
    extent: Extent,
}

/// A place in the subject, and the item of the pattern that is to match there.
type Place = (usize, usize);

/// What can be tried otherwise, or is to be undone on the way back.
enum Choice {
    /// An item that may be missing has matched: it can be left out.
    Without(Place),
    /// An item that repeats has matched up to `at`, and can do with less, down to `least`.
    Fewer { least: usize, at: usize, next: usize },
    /// An item that repeats, from `item` to `end`, can match once more at `at`.
    More { at: usize, item: usize, end: usize },
    /// A capture has been opened.
    Opened,
    /// This capture has been closed.
    Closed(usize),
}

/// The part of a pattern that counts: a zero byte ends it, as in C.
pub(super) fn visible(pattern: &[u8]) -> &[u8] {
    &pattern[..memchr::memchr(0, pattern).unwrap_or(pattern.len())]
}

/// Whether a pattern matches only itself.
pub(super) fn is_plain(pattern: &[u8]) -> bool {
    !visible(pattern).iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// A pattern at work on a subject.
pub(super) struct Matcher<'a, R> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; CAPTURES_MAX],
    level: usize,
    choices: Vec<Choice>,
    /// Told of the steps that have been made.
    report: R,
}

impl<'a, E, R: FnMut(usize) -> Result<(), E>> Matcher<'a, R> {
    /// A pattern without the `^` that may stand before it.
    pub fn new(subject: &'a [u8], pattern: &'a [u8], report: R) -> Self {
        let captures = [Capture { begin: 0, extent: Extent::Open }; CAPTURES_MAX];
        Matcher { subject, pattern: visible(pattern), captures, level: 0, choices: Vec::new(), report }
    }

    /// Where a match that begins at `begin` ends, if there is one.
    pub fn match_at(&mut self, begin: usize) -> Matched<Option<usize>, E> {
        self.level = 0;
        self.choices.clear();
        let (mut at, mut item) = (begin, 0);
        while item < self.pattern.len() {
            self.report(1)?;
            let next = match self.advance(at, item)? {
                Some(next) => Some(next),
                None => self.go_back()?,
            };
            match next {
                Some(next) => (at, item) = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The first match that begins at `begin` or later: where it begins and ends.
    pub fn find_from(&mut self, begin: usize) -> Matched<Option<(usize, usize)>, E> {
        for begin in begin..=self.subject.len() {
            if let Some(end) = self.match_at(begin)? {
                return Ok(Some((begin, end)));
            }
        }
        Ok(None)
    }

    /// A part of the subject.
    pub fn part(&self, begin: usize, end: usize) -> &'a [u8] {
        &self.subject[begin..end]
    }

    /// Values that a match has: its captures, or itself if it has none.
    pub fn values(&self) -> usize {
        self.level.max(1)
    }

    /// Captures that it has.
    pub fn captures(&self) -> usize {
        self.level
    }

    /// The value of this index, from 0 on, of a match from `begin` to `end`.
    pub fn value(&self, index: usize, begin: usize, end: usize) -> Matched<Captured<'a>, E> {
        if index >= self.level {
            return match index {
                0 => Ok(Captured::Text(&self.subject[begin..end])),
                _ => Err(Failure::Pattern("invalid capture index")),
            };
        }
        let Capture { begin, extent } = self.captures[index];
        match extent {
            Extent::Open => Err(Failure::Pattern("unfinished capture")),
            Extent::Position => Ok(Captured::Position(begin + 1)),
            Extent::Bytes(len) => Ok(Captured::Text(&self.subject[begin..begin + len])),
        }
    }

    #[inline]
    fn report(&mut self, steps: usize) -> Matched<(), E> {
        (self.report)(steps).map_err(Failure::Ended)
    }

    fn choose(&mut self, choice: Choice) -> Matched<(), E> {
        if self.choices.len() >= CHOICES_MAX {
            return Err(Failure::Pattern("pattern too complex"));
        }
        self.choices.push(choice);
        Ok(())
    }

    /// Matches one item, and returns what is to match next; nothing if the item does not match.
    #[inline]
    fn advance(&mut self, at: usize, item: usize) -> Matched<Option<Place>, E> {
        match self.pattern[item] {
            b'(' => {
                let is_position = self.pattern.get(item + 1) == Some(&b')');
                self.open(at, if is_position { Extent::Position } else { Extent::Open })?;
                Ok(Some((at, item + 1 + usize::from(is_position))))
            }
            b')' => {
                self.close(at)?;
                Ok(Some((at, item + 1)))
            }
            b'$' if item + 1 == self.pattern.len() => Ok((at == self.subject.len()).then_some((at, item + 1))),
            b'%' => match self.pattern.get(item + 1) {
                Some(b'b') => self.balanced(at, item + 2),
                Some(b'f') => self.frontier(at, item + 2),
                Some(digit @ b'0'..=b'9') => self.repeated(at, *digit, item + 2),
                _ => self.single(at, item),
            },
            _ => self.single(at, item),
        }
    }

    /// Takes the last choice back, and returns what is to match instead; nothing if there is none left.
    fn go_back(&mut self) -> Matched<Option<Place>, E> {
        while let Some(choice) = self.choices.last_mut() {
            match choice {
                Choice::Opened => self.level -= 1,
                Choice::Closed(index) => self.captures[*index].extent = Extent::Open,
                Choice::Without(place) => {
                    let place = *place;
                    self.choices.pop();
                    return Ok(Some(place));
                }
                Choice::Fewer { least, at, next } => {
                    *at -= 1;
                    let place = (*at, *next);
                    if *at == *least {
                        self.choices.pop();
                    }
                    return Ok(Some(place));
                }
                Choice::More { at, item, end } => {
                    let (kind, next) = (&self.pattern[*item..*end], *end + 1);
                    (self.report)(kind.len() / BYTES_PER_STEP).map_err(Failure::Ended)?;
                    if self.subject.get(*at).is_some_and(|byte| item_matches(kind, *byte)) {
                        *at += 1;
                        return Ok(Some((*at, next)));
                    }
                }
            }
            self.choices.pop();
        }
        Ok(None)
    }

    fn open(&mut self, at: usize, extent: Extent) -> Matched<(), E> {
        let Some(capture) = self.captures.get_mut(self.level) else {
            return Err(Failure::Pattern("too many captures"));
        };
        *capture = Capture { begin: at, extent };
        self.level += 1;
        self.choose(Choice::Opened)
    }

    fn close(&mut self, at: usize) -> Matched<(), E> {
        let open = self.captures[..self.level].iter().rposition(|capture| matches!(capture.extent, Extent::Open));
        let index = open.ok_or(Failure::Pattern("invalid pattern capture"))?;
        let capture = &mut self.captures[index];
        capture.extent = Extent::Bytes(at - capture.begin);
        self.choose(Choice::Closed(index))
    }

    /// `%b()`: from the first of two bytes to the second that belongs to it.
    fn balanced(&mut self, at: usize, bytes: usize) -> Matched<Option<Place>, E> {
        let [first, last] = *self.pattern.get(bytes..bytes + 2).unwrap_or_default() else {
            return Err(Failure::Pattern("unbalanced pattern"));
        };
        if self.subject.get(at) != Some(&first) {
            return Ok(None);
        }
        let mut open = 1_usize;
        for (index, byte) in self.subject.iter().enumerate().skip(at + 1) {
            if index % BYTES_PER_REPORT == 0 {
                (self.report)(BYTES_PER_REPORT).map_err(Failure::Ended)?;
            }
            if *byte == last {
                open -= 1;
                if open == 0 {
                    self.report((index - at) % BYTES_PER_REPORT)?;
                    return Ok(Some((index + 1, bytes + 2)));
                }
            } else if *byte == first {
                open += 1;
            }
        }
        self.report((self.subject.len() - at) % BYTES_PER_REPORT)?;
        Ok(None)
    }

    /// `%f[set]`: between a byte that is not in the set and one that is. Before and behind the subject are zero bytes.
    fn frontier(&mut self, at: usize, set: usize) -> Matched<Option<Place>, E> {
        if self.pattern.get(set) != Some(&b'[') {
            return Err(Failure::Pattern("missing '[' after '%f' in pattern"));
        }
        let end = self.item_end(set)?;
        let before = at.checked_sub(1).map_or(0, |before| self.subject[before]);
        let behind = self.subject.get(at).copied().unwrap_or(0);
        let set = &self.pattern[set..end];
        Ok((!item_matches(set, before) && item_matches(set, behind)).then_some((at, end)))
    }

    /// `%1`: what a capture has matched, once more.
    fn repeated(&mut self, at: usize, digit: u8, next: usize) -> Matched<Option<Place>, E> {
        let index = usize::from(digit).checked_sub(usize::from(b'1')).filter(|index| *index < self.level);
        let Capture { begin, extent } =
            index.map_or(Capture { begin: 0, extent: Extent::Open }, |at| self.captures[at]);
        match extent {
            Extent::Open => Err(Failure::Pattern("invalid capture index")),
            Extent::Position => Ok(None),
            Extent::Bytes(len) => {
                self.report(len / BYTES_PER_STEP)?;
                let is_there = self.subject[at..].starts_with(&self.subject[begin..begin + len]);
                Ok(is_there.then_some((at + len, next)))
            }
        }
    }

    /// A byte of some kind, once or as often as what follows says.
    fn single(&mut self, at: usize, item: usize) -> Matched<Option<Place>, E> {
        let end = self.item_end(item)?;
        let matches = self.subject.get(at).is_some_and(|byte| item_matches(&self.pattern[item..end], *byte));
        match self.pattern.get(end) {
            Some(b'?') if matches => {
                self.choose(Choice::Without((at, end + 1)))?;
                Ok(Some((at + 1, end + 1)))
            }
            Some(b'?') => Ok(Some((at, end + 1))),
            Some(b'+') if !matches => Ok(None),
            Some(b'+') => self.longest(at + 1, item, end),
            Some(b'*') => self.longest(at, item, end),
            Some(b'-') => {
                self.choose(Choice::More { at, item, end })?;
                Ok(Some((at, end + 1)))
            }
            _ => Ok(matches.then_some((at + 1, end))),
        }
    }

    /// As many bytes as match an item.
    fn longest(&mut self, least: usize, item: usize, end: usize) -> Matched<Option<Place>, E> {
        let kind = &self.pattern[item..end];
        // A large set takes its time with each byte.
        let steps = kind.len() / BYTES_PER_STEP + 1;
        let mut at = least;
        loop {
            let rest = &self.subject[at..];
            let part = &rest[..rest.len().min((BYTES_PER_REPORT / steps).max(1))];
            let matched = if kind == b"." {
                part.len()
            } else {
                part.iter().position(|byte| !item_matches(kind, *byte)).unwrap_or(part.len())
            };
            at += matched;
            self.report(matched * steps)?;
            if matched < part.len() || part.len() == rest.len() {
                break;
            }
        }
        if at > least {
            self.choose(Choice::Fewer { least, at, next: end + 1 })?;
        }
        Ok(Some((at, end + 1)))
    }

    /// Where the item that begins at `item` ends, without what says how often it may match.
    fn item_end(&mut self, item: usize) -> Matched<usize, E> {
        match self.pattern[item] {
            b'%' if item + 1 == self.pattern.len() => Err(Failure::Pattern("malformed pattern (ends with '%')")),
            b'%' => Ok(item + 2),
            b'[' => {
                // The first byte of a set is part of it even if it is a bracket.
                let mut at = item + 1 + usize::from(self.pattern.get(item + 1) == Some(&b'^'));
                loop {
                    let Some(byte) = self.pattern.get(at) else {
                        return Err(Failure::Pattern("malformed pattern (missing ']')"));
                    };
                    at += if *byte == b'%' && at + 1 < self.pattern.len() { 2 } else { 1 };
                    if self.pattern.get(at) == Some(&b']') {
                        self.report((at - item) / BYTES_PER_STEP)?;
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(item + 1),
        }
    }
}

/// Whether a byte is of the kind that an item names: `x`, `.`, `%a`, `[a-z]`.
#[inline]
fn item_matches(item: &[u8], byte: u8) -> bool {
    match item {
        [literal] => *literal == b'.' || *literal == byte,
        [b'%', class] => class_has(*class, byte),
        [b'[', b'^', set @ .., b']'] => !set_has(set, byte),
        [b'[', set @ .., b']'] => set_has(set, byte),
        _ => false,
    }
}

/// Whether a byte is in a set, whose brackets have been taken off.
fn set_has(set: &[u8], byte: u8) -> bool {
    let mut rest = set;
    loop {
        rest = match rest {
            [] => return false,
            [b'%', class, ..] if class_has(*class, byte) => return true,
            [b'%', _, rest @ ..] => rest,
            // What a range has left of an escape is one of the bracket, for Lua.
            [b'%'] => return byte == b']',
            [first, b'-', last, ..] if (*first..=*last).contains(&byte) => return true,
            [_, b'-', _, rest @ ..] => rest,
            [literal, ..] if *literal == byte => return true,
            [_, rest @ ..] => rest,
        }
    }
}

/// Whether a byte is in a class; what names none is the byte itself.
fn class_has(class: u8, byte: u8) -> bool {
    let is_in = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is_in == class.is_ascii_lowercase()
}
