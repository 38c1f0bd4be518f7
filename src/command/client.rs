//! CLIENT: what clients say of themselves, and what they may do to each other.

use crate::resp::ErrorReply;

/// `name`, if it can be shown in `CLIENT LIST` without being mistaken for something else.
pub fn checked_name(name: &[u8]) -> Result<&[u8], ErrorReply> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(name);
    }
    Err(ErrorReply::fixed("ERR Client names cannot contain spaces, newlines or special characters."))
}
