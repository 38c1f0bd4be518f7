//! Changes what is valid and would still spoil a run: gigabytes of zeros, keys that expire between two comparisons, clients
//! that block for some seconds; and what is known to leave one of the servers with other data or other counts than Radish.

use crate::generator::Command;
use crate::server::Server;

/// Seconds and milliseconds that a round never lasts.
const DEADLINE_MIN_S: i64 = 100_000;
const DEADLINE_MIN_MS: i64 = 100_000_000;

/// A Unix time ahead, in seconds and in milliseconds.
const FUTURE: i64 = 4_000_000_000_000;

/// Seconds that a client may wait without anything happening before that counts as waiting until it is served.
const SHORT_TIMEOUT_MAX_S: f64 = 0.05;

/// Which servers take part beside the one under test.
#[derive(Clone, Copy)]
pub struct Peers {
    pub redis: bool,
    pub valkey: bool,
}

impl Peers {
    pub fn of(servers: &[Server]) -> Peers {
        let any = |name: &str| servers[1..].iter().any(|server| server.kind.starts_with(name));
        Peers { redis: any("redis"), valkey: any("valkey") }
    }
}

/// Makes a command harmless.
pub fn tame(command: &mut Command, peers: Peers) {
    let name = command[0].to_ascii_uppercase();
    lengthen_deadlines(&name, command);
    if matches!(&name[..], b"CLIENT" | b"HELLO" | b"CONFIG") {
        // Names end at a zero byte for others, and what is behind it is not checked.
        for word in command.iter_mut().filter(|word| !word.starts_with(b"\0id:") && !word.starts_with(b"\0addr:")) {
            word.retain(|byte| *byte != 0);
        }
    }
    if name == b"XREAD" && peers.valkey {
        // There + is the last entry that there ever was, even if it was deleted, and here as in Redis the last that is there.
        for word in command.iter_mut().filter(|word| ***word == *b"+") {
            *word = b"0".to_vec();
        }
    }
    match &name[..] {
        // Redis stores a key that is over already, and it counts as a key until somebody looks at it.
        b"SET" if peers.redis => replace_after(command, &[b"EXAT", b"PXAT"], |time| time < FUTURE, "9000000000000"),
        // So does Valkey several keys.
        b"MSETEX" => replace_after(command, &[b"EXAT", b"PXAT"], |time| time < FUTURE, "9000000000000"),
        // Redis looks the key up before it looks at the time.
        b"GETEX" if peers.redis => {
            let options: &[&[u8]] = &[b"EX", b"PX", b"EXAT", b"PXAT"];
            replace_after(command, options, |time| !(1..=FUTURE).contains(&time), "8000000000");
        }

        // Which members go is a matter of chance, unless all do.
        b"SPOP" if command.len() == 2 => command.push(b"1000".to_vec()),

        b"SETBIT" | b"BITFIELD" | b"BITFIELD_RO" => replace(command, 100_000, 4_294_967_296, "77"),
        b"SETRANGE" => replace(command, 100_000, 530_000_000, "77"),
        // Valkey takes a start without an end, and then looks the key up; its suite and ours test the error that others give.
        b"BITCOUNT" if peers.valkey && command.len() == 3 => command.truncate(2),
        // The others cut the index to 32 bits, and set what the client did not name.
        b"LSET" => {
            if command.len() > 2 && integer(&command[2]).is_some_and(|index| i32::try_from(index).is_err()) {
                command[2] = b"2147483647".to_vec();
            }
        }
        b"CLIENT" if command.len() > 2 && command[1].eq_ignore_ascii_case(b"PAUSE") => {
            // Above that it is out of range for all of them.
            replace(command, 0, 9_223_372_036_854_775_807, "0");
        }
        // Redis refuses what follows the reason, while others end the wait: their data would differ.
        b"CLIENT" if peers.redis && command.len() > 4 && command[1].eq_ignore_ascii_case(b"UNBLOCK") => {
            command.truncate(4)
        }
        // The others have room made for so many ids, or have none.
        b"XAUTOCLAIM" => replace(command, 1_000_000, i64::MAX / 16 + 1, "7"),
        // An id that a client has.
        b"CLIENT" => replace(command, 0, 1_000_000_000, "999999999"),
        // A change that fails leaves the others without the class of new keys.
        b"CONFIG" if command.len() > 4 => {
            if let Some(at) = command.iter().position(|word| word.eq_ignore_ascii_case(b"notify-keyspace-events")) {
                command.truncate(at + 2);
                command.drain(2..at);
            }
        }
        // Redis 8.2 forgets to answer a wrong password of a user when the command is not the first of its pipeline.
        b"AUTH" if peers.redis => command.truncate(2),
        // Redis takes hexadecimal scores.
        b"ZADD" | b"ZINCRBY" | b"ZUNION" | b"ZUNIONSTORE" | b"ZINTER" | b"ZINTERSTORE" if peers.redis => {
            for word in command.iter_mut().filter(|word| is_hexadecimal(word)) {
                *word = b"8".to_vec();
            }
        }
        b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER" => replace(command, i64::MIN, -1000, "-5"),
        _ => {
            if let Some(at) = timeout_position(command)
                && !has_short_timeout(command)
                && may_be_positive(&command[at])
            {
                command[at] = b"0".to_vec();
            }
        }
    }
}

/// An argument after one of the options, if it is no number or an unwanted one, is replaced.
fn replace_after(command: &mut Command, options: &[&[u8]], is_unwanted: impl Fn(i64) -> bool, with: &str) {
    for at in 2..command.len() {
        let is_time = options.contains(&&command[at - 1].to_ascii_uppercase()[..]);
        if is_time && integer(&command[at]).is_none_or(&is_unwanted) {
            command[at] = with.as_bytes().to_vec();
        }
    }
}

/// Every argument that is a number strictly between the two is replaced.
fn replace(command: &mut Command, low: i64, high: i64, with: &str) {
    for argument in &mut command[1..] {
        let digits = argument.strip_prefix(b"#").unwrap_or(argument);
        if integer(digits).is_some_and(|value| value > low && value < high) {
            *argument = with.as_bytes().to_vec();
        }
    }
}

/// The number, if it is written as servers want it.
fn integer(argument: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(argument).ok()?;
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

fn is_hexadecimal(argument: &[u8]) -> bool {
    let digits = argument.strip_prefix(b"-").or(argument.strip_prefix(b"+")).unwrap_or(argument);
    digits.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"0x"))
}

fn lengthen_deadlines(name: &[u8], command: &mut Command) {
    for at in 1..command.len() {
        let shortest = match &command[at - 1].to_ascii_uppercase()[..] {
            b"EX" => DEADLINE_MIN_S,
            b"PX" => DEADLINE_MIN_MS,
            _ => match name {
                b"EXPIRE" | b"SETEX" | b"HEXPIRE" if at == 2 => DEADLINE_MIN_S,
                b"PEXPIRE" | b"PSETEX" | b"HPEXPIRE" if at == 2 => DEADLINE_MIN_MS,
                _ => continue,
            },
        };
        if integer(&command[at]).is_some_and(|value| value > 0 && value < shortest) {
            command[at] = b"500000000".to_vec();
        }
    }
}

/// Where a blocking command has its timeout; `None` for all others.
fn timeout_position(command: &Command) -> Option<usize> {
    let at = match &command[0].to_ascii_uppercase()[..] {
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX" => command.len() - 1,
        b"BLMPOP" | b"BZMPOP" => 1,
        b"XREAD" | b"XREADGROUP" => command.iter().position(|word| word.eq_ignore_ascii_case(b"BLOCK"))? + 1,
        _ => return None,
    };
    (at > 0 && at < command.len()).then_some(at)
}

/// A number of seconds, where what is too small for a double does not become zero: servers do not take it for that.
fn seconds(argument: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(argument).ok()?;
    let value: f64 = text.parse().ok()?;
    let digits = text.split_once(['e', 'E']).map_or(text, |(digits, _)| digits);
    let is_zero = !digits.contains(|digit: char| matches!(digit, '1'..='9'));
    Some(if value == 0.0 && !is_zero && !text.starts_with('-') { f64::MIN_POSITIVE } else { value })
}

/// Whether a lenient parser might take the argument for a time that passes: also a hexadecimal one.
fn may_be_positive(argument: &[u8]) -> bool {
    let text = String::from_utf8_lossy(argument).to_ascii_lowercase();
    match text.trim().parse::<f64>() {
        Ok(value) => value > 0.0 && value < 1e9,
        Err(_) => text.contains("0x"),
    }
}

/// Whether the command may leave its client waiting for others.
pub fn may_block(command: &Command) -> bool {
    timeout_position(command).is_some()
}

/// Whether the command, if it blocks, comes back by itself at once.
pub fn has_short_timeout(command: &Command) -> bool {
    let Some(at) = timeout_position(command) else { return false };
    let seconds = seconds(&command[at]).unwrap_or(0.0);
    let unit = if command[0].first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'X')) { 1e-3 } else { 1.0 };
    seconds > 0.0 && seconds * unit <= SHORT_TIMEOUT_MAX_S
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(text: &str) -> String {
        let mut command: Command = text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        tame(&mut command, Peers { redis: true, valkey: true });
        command.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_spoils_a_run_is_changed_and_the_rest_is_not() {
        assert_eq!(tamed("SPOP k"), "SPOP k 1000");
        assert_eq!(tamed("SET k v EX 5"), "SET k v EX 500000000");
        assert_eq!(tamed("set k v px 0"), "set k v px 0");
        assert_eq!(tamed("SET k v PXAT 5"), "SET k v PXAT 9000000000000");
        assert_eq!(tamed("GETEX k EX x"), "GETEX k EX 8000000000");
        assert_eq!(tamed("EXPIRE k 7"), "EXPIRE k 500000000");
        assert_eq!(tamed("EXPIRE k -7"), "EXPIRE k -7");
        assert_eq!(tamed("SETBIT k 4294967295 1"), "SETBIT k 77 1");
        assert_eq!(tamed("SETBIT k 4294967296 1"), "SETBIT k 4294967296 1");
        assert_eq!(tamed("BLPOP k 10"), "BLPOP k 0");
        assert_eq!(tamed("BLPOP k 0x10"), "BLPOP k 0");
        assert_eq!(tamed("BLPOP k 0.01"), "BLPOP k 0.01");
        assert_eq!(tamed("BLPOP k 1e18"), "BLPOP k 1e18");
        assert!(has_short_timeout(&vec![b"BLPOP".to_vec(), b"k".to_vec(), b"1e-400".to_vec()]));
        assert!(!has_short_timeout(&vec![b"BLPOP".to_vec(), b"k".to_vec(), b"0e-400".to_vec()]));
        assert_eq!(tamed("ZADD z 0x1p3 m 1 0y"), "ZADD z 8 m 1 0y");
        assert_eq!(tamed("CLIENT KILL ID 3"), "CLIENT KILL ID 999999999");
    }
}
