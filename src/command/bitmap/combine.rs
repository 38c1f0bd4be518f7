//! `BITOP`: strings combined bit by bit.

use crate::command::Call;
use crate::command::string::{put_string, view};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply};
use crate::value::string::NewString;

/// How bits of the same place are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// Set in the first string and in no other.
    Diff,
    /// Not set in the first string, but in another.
    Diff1,
    /// Set in the first string and in another.
    AndOr,
    /// Set in exactly one string.
    One,
}

impl Operation {
    const NAMES: [(&'static str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];

    fn parse(call: &Call) -> Result<Self, ErrorReply> {
        let sources = call.args.len() - 3;
        let (name, operation) =
            Self::NAMES.into_iter().find(|(name, _)| call.is_word(1, name)).ok_or(ErrorReply::SYNTAX)?;
        match operation {
            Operation::Not if sources != 1 => {
                Err(ErrorReply::fixed("ERR BITOP NOT must be called with a single source key."))
            }
            Operation::Diff | Operation::Diff1 | Operation::AndOr if sources < 2 => {
                Err(ErrorReply::new(format!("ERR BITOP {name} must be called with at least two source keys.")))
            }
            _ => Ok(operation),
        }
    }
}

/// What has been made of the strings so far.
struct Combined {
    operation: Operation,
    /// The first string, where it has a part of its own.
    first: Option<Vec<u8>>,
    /// The others, combined.
    bytes: Vec<u8>,
    /// Bits that were set more than once, for [`Operation::One`].
    repeated: Vec<u8>,
    strings: usize,
}

impl Combined {
    fn new(operation: Operation) -> Self {
        Combined { operation, first: None, bytes: Vec::new(), repeated: Vec::new(), strings: 0 }
    }

    fn add(&mut self, string: &[u8]) {
        let is_first = self.strings == 0;
        self.strings += 1;
        match self.operation {
            Operation::Diff | Operation::Diff1 | Operation::AndOr if is_first => self.first = Some(string.to_vec()),
            _ if is_first => self.bytes = string.to_vec(),
            Operation::And => {
                let common = string.len().min(self.bytes.len());
                self.bytes[common..].fill(0);
                self.merge(string, |a, b| a & b);
            }
            Operation::Xor => self.merge(string, |a, b| a ^ b),
            Operation::One => {
                self.repeated.resize(self.bytes.len().max(string.len()), 0);
                for ((repeated, a), b) in self.repeated.iter_mut().zip(&self.bytes).zip(string) {
                    *repeated |= a & b;
                }
                self.merge(string, |a, b| a | b);
            }
            Operation::Or | Operation::Not | Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                self.merge(string, |a, b| a | b);
            }
        }
    }

    /// Combines each byte of `string` with the one at its place.
    fn merge(&mut self, string: &[u8], combine: impl Fn(u8, u8) -> u8) {
        if string.len() > self.bytes.len() {
            self.bytes.resize(string.len(), 0);
        }
        for (a, b) in self.bytes.iter_mut().zip(string) {
            *a = combine(*a, *b);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        match self.operation {
            Operation::And | Operation::Or | Operation::Xor => {}
            Operation::Not => self.bytes.iter_mut().for_each(|byte| *byte = !*byte),
            Operation::One => {
                for (byte, repeated) in self.bytes.iter_mut().zip(&self.repeated) {
                    *byte &= !repeated;
                }
            }
            Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                let mut first = self.first.take().unwrap_or_default();
                let len = first.len().max(self.bytes.len());
                first.resize(len, 0);
                self.bytes.resize(len, 0);
                for (byte, first) in self.bytes.iter_mut().zip(&first) {
                    *byte = match self.operation {
                        Operation::Diff => first & !*byte,
                        Operation::Diff1 => !first & *byte,
                        _ => first & *byte,
                    };
                }
            }
        }
        self.bytes
    }
}

/// `BITOP operation destkey key [key …]`
pub fn bitop(call: &mut Call) -> CommandResult {
    let operation = Operation::parse(call)?;
    let target = call.arg(2);
    let mut combined = Combined::new(operation);
    for key in call.args.from(3).iter() {
        match call.keys.read(key) {
            None => combined.add(b""),
            Some(found) => combined.add(view(call.keys, found)?.as_slice(&mut Vec::new())),
        }
    }
    let bytes = combined.finish();
    if bytes.is_empty() {
        if let Some(found) = call.keys.write(target) {
            call.keys.delete(found, target);
        }
    } else {
        put_string(call.keys, target, NewString::modified(&bytes), None);
        call.keys.changed(target, Event::SET);
    }
    call.reply.count(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_strings_go_on_with_zeros() {
        let combine = |operation, strings: &[&[u8]]| {
            let mut combined = Combined::new(operation);
            strings.iter().for_each(|string| combined.add(string));
            combined.finish()
        };
        let strings: [&[u8]; 3] = [&[0b1100, 0xFF], &[0b1010], &[0b1001, 0x0F, 0x11]];
        for (operation, expected) in [
            (Operation::And, [0b1000, 0, 0]),
            (Operation::Or, [0b1111, 0xFF, 0x11]),
            (Operation::Xor, [0b1111, 0xF0, 0x11]),
            (Operation::Diff, [0b0100, 0xF0, 0]),
            (Operation::Diff1, [0b0011, 0, 0x11]),
            (Operation::AndOr, [0b1000, 0x0F, 0]),
            (Operation::One, [0b0111, 0xF0, 0x11]),
        ] {
            assert_eq!(combine(operation, &strings), expected, "{operation:?}");
        }
        assert_eq!(combine(Operation::Not, &[&[0x0F]]), [0xF0]);
        assert_eq!(combine(Operation::And, &[b"", b"a"]), [0]);
    }
}
