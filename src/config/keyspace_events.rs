//! The classes of keyspace events, and the letters that `notify-keyspace-events` has for them.

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventClass {
    Generic = 1 << 2,
    String = 1 << 3,
    List = 1 << 4,
    Set = 1 << 5,
    Hash = 1 << 6,
    SortedSet = 1 << 7,
    Expired = 1 << 8,
    Evicted = 1 << 9,
    Stream = 1 << 10,
    KeyMiss = 1 << 11,
    Module = 1 << 13,
    New = 1 << 14,
}

const KEYSPACE: u32 = 1;
const KEYEVENT: u32 = 1 << 1;

/// Letters with their classes, in the order in which CONFIG GET prints them.
const LETTERS: [(u8, u32); 14] = [
    (b'g', EventClass::Generic as u32),
    (b'$', EventClass::String as u32),
    (b'l', EventClass::List as u32),
    (b's', EventClass::Set as u32),
    (b'h', EventClass::Hash as u32),
    (b'z', EventClass::SortedSet as u32),
    (b'x', EventClass::Expired as u32),
    (b'e', EventClass::Evicted as u32),
    (b't', EventClass::Stream as u32),
    (b'd', EventClass::Module as u32),
    (b'n', EventClass::New as u32),
    (b'K', KEYSPACE),
    (b'E', KEYEVENT),
    (b'm', EventClass::KeyMiss as u32),
];

/// What the letter `A` stands for: all classes but key misses and new keys.
const ALL: u32 = EventClass::Generic as u32
    | EventClass::String as u32
    | EventClass::List as u32
    | EventClass::Set as u32
    | EventClass::Hash as u32
    | EventClass::SortedSet as u32
    | EventClass::Expired as u32
    | EventClass::Evicted as u32
    | EventClass::Stream as u32
    | EventClass::Module as u32;

/// The events that are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClasses(u32);

impl EventClasses {
    pub fn from_bits(bits: u32) -> Self {
        EventClasses(bits)
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub fn wants(self, class: EventClass) -> bool {
        self.0 & class as u32 != 0
    }

    /// Whether events go to `__keyspace@<db>__:<key>`.
    pub fn keyspace(self) -> bool {
        self.0 & KEYSPACE != 0
    }

    /// Whether events go to `__keyevent@<db>__:<event>`.
    pub fn keyevent(self) -> bool {
        self.0 & KEYEVENT != 0
    }

    /// Reads the letters of `notify-keyspace-events`; `None` if one is unknown.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        let bits = letters.iter().try_fold(0, |bits, letter| match letter {
            b'A' => Some(bits | ALL),
            _ => LETTERS.iter().find(|(known, _)| known == letter).map(|(_, class)| bits | class),
        });
        bits.map(EventClasses)
    }

    /// The letters, as CONFIG GET prints them.
    pub fn letters(self) -> String {
        let mut letters = String::new();
        let mut rest = self.0;
        if self.0 & ALL == ALL {
            letters.push('A');
            // `A` does not stand for `n`, but Redis leaves `n` out beside it.
            rest &= !(ALL | EventClass::New as u32);
        }
        letters.extend(LETTERS.iter().filter(|(_, class)| rest & class != 0).map(|(letter, _)| char::from(*letter)));
        letters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_printed_as_redis_does() {
        let cases = [
            ("", Some("")),
            ("KA", Some("AK")),
            ("KEA", Some("AKE")),
            ("KEg$lshzxetdnm", Some("AKEm")),
            ("Ex", Some("xE")),
            ("Knm", Some("nKm")),
            ("g$lshzxetd", Some("A")),
            ("Kq", None),
            ("K ", None),
        ];
        for (given, printed) in cases {
            assert_eq!(EventClasses::parse(given.as_bytes()).map(EventClasses::letters).as_deref(), printed, "{given}");
        }
        assert!(!EventClasses::parse(b"K").unwrap().wants(EventClass::Generic));
    }
}
