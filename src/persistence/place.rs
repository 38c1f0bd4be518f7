//! A place in the history of the data, as files name it: whoever has loaded such a file can go on from there.

/// Characters of a history's id.
const ID_LEN: usize = 40;
/// What the line of an append-only file begins with that tells its place.
const NOTE: &str = "#PLACE:";

/// A place in the history of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The database that the commands which follow are for.
    pub database: usize,
    /// The history's id.
    pub id: String,
    /// Bytes of the history before it.
    pub offset: u64,
}

impl Place {
    /// Whether its id can be one.
    pub fn is_valid(&self) -> bool {
        self.id.len() == ID_LEN && self.id.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// A line for an append-only file, which servers that do not know it pass over as they do any annotation.
    pub fn note(&self) -> String {
        format!("{NOTE}{} {} {}\r\n", self.id, self.offset, self.database)
    }

    /// Reads such a line, be it with its end or without.
    pub fn of_note(line: &[u8]) -> Option<Place> {
        let mut words = std::str::from_utf8(line).ok()?.trim_end().strip_prefix(NOTE)?.split(' ');
        let (id, offset, database) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let place = Place { database, id: id.into(), offset };
        (place.is_valid() && words.next().is_none()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let place = Place { database: 3, id: "0123456789abcdef0123456789abcdef01234567".into(), offset: 99 };
        let note = place.note();
        assert_eq!(Place::of_note(note.as_bytes()), Some(place));
        for other in ["#TS:1\r\n", "#PLACE:", "#PLACE:x 1 0", &note.replace(" 3", " 3 3"), &note.replace("0123", "012")]
        {
            assert_eq!(Place::of_note(other.as_bytes()), None, "{other}");
        }
    }
}
