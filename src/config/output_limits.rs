//! `client-output-buffer-limit`: how far behind a client of each class may fall in reading its replies.

use super::Reason;
use super::entry::RewrittenLine;
use super::number::{format_memory, lenient_integer, memory_size};

/// The classes of clients that have limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    Normal,
    Replica,
    Pubsub,
}

impl ClientClass {
    pub const ALL: [ClientClass; 3] = [ClientClass::Normal, ClientClass::Replica, ClientClass::Pubsub];

    fn parse(name: &[u8]) -> Option<ClientClass> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(ClientClass::Normal),
            b"slave" | b"replica" => Some(ClientClass::Replica),
            b"pubsub" => Some(ClientClass::Pubsub),
            _ => None,
        }
    }
}

/// A client is closed when its unsent replies pass `hard_bytes`, or stay above `soft_bytes` for `soft_seconds`.
/// Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// The limits of all classes, in the order of [`ClientClass::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits(pub [OutputLimit; 3]);

impl OutputLimits {
    pub(super) const DEFAULT: OutputLimits = OutputLimits([
        OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
        OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
        OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
    ]);

    /// As CONFIG GET prints them.
    pub(super) fn format(&self) -> String {
        let classes = ["normal", "slave", "pubsub"].iter().zip(self.0);
        let classes = classes
            .map(|(class, limit)| format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds));
        classes.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn rewrite(&self, directive: &str) -> Vec<RewrittenLine> {
        let line = |(class, limit, default): (&str, OutputLimit, OutputLimit)| RewrittenLine {
            line: format!(
                "{directive} {class} {} {} {}",
                format_memory(limit.hard_bytes as i64),
                format_memory(limit.soft_bytes as i64),
                limit.soft_seconds
            )
            .into_bytes(),
            is_default: limit == default,
        };
        let classes = ["normal", "replica", "pubsub"];
        (0..3).map(|class| line((classes[class], self.0[class], Self::DEFAULT.0[class]))).collect()
    }
}

/// Reads `class hard soft seconds`, repeated; classes that are not named keep their `current` limits.
pub(super) fn parse(arguments: &[Vec<u8>], current: &OutputLimits) -> Result<OutputLimits, Reason> {
    if !arguments.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits = *current;
    for group in arguments.chunks_exact(4) {
        let class =
            ClientClass::parse(&group[0]).ok_or("Invalid client class specified in buffer limit configuration.")?;
        // Limits are kept in 63 bits.
        let bytes = |text: &[u8]| memory_size(text).filter(|bytes| i64::try_from(*bytes).is_ok());
        let seconds = lenient_integer(&group[3]).and_then(|seconds| u64::try_from(seconds).ok());
        let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) = (bytes(&group[1]), bytes(&group[2]), seconds)
        else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".into());
        };
        limits.0[class as usize] = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(text: &str) -> Result<String, Reason> {
        let words: Vec<_> = text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        parse(&words, &OutputLimits::DEFAULT).map(|limits| limits.format())
    }

    #[test]
    fn classes_that_are_not_named_keep_their_limits() {
        assert_eq!(
            parse_words("Replica 1mb 2k 3").unwrap(),
            "normal 0 0 0 slave 1048576 2000 3 pubsub 33554432 8388608 60"
        );
        assert_eq!(
            parse_words("pubsub 0 0 0 normal 1 2 3").unwrap(),
            "normal 1 2 3 slave 268435456 67108864 60 pubsub 0 0 0"
        );
    }

    #[test]
    fn errors() {
        let count = "Wrong number of arguments in buffer limit configuration.";
        let class = "Invalid client class specified in buffer limit configuration.";
        let number = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let cases = [
            ("normal 1 2", count),
            ("replica 1mb 2k 3 master 1 1 1", class),
            ("normal x 2 3", number),
            ("normal 1 -2 3", number),
            ("normal 1 2 -3", number),
            ("normal 1 18446744073709551615 3", number),
        ];
        for (text, reason) in cases {
            assert_eq!(parse_words(text).unwrap_err(), reason, "{text}");
        }
    }
}
