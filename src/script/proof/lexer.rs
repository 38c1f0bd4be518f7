//! The words of a script, as Lua 5.1 reads them.

/// A word of a script's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Name(&'t [u8]),
    /// A text; `None` if it is not the bytes that stand there, because of escapes.
    Text(Option<&'t [u8]>),
    Number,
    /// A word of the language, or a sign.
    Sign(&'static str),
    End,
}

/// It cannot be said what a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

const WORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
];

/// The longest come first.
const SIGNS: [&str; 25] = [
    "...", "..", "==", "~=", "<=", ">=", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(", ")", "{", "}", "[",
    "]", ";", ":", ",",
];

/// All words of a text, with an end behind them. Errors: there is something that Lua does not know, or that nobody needs.
pub(super) fn tokens(text: &[u8]) -> Result<Vec<Token<'_>>, Unknown> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        let Some(first) = rest.first() else {
            tokens.push(Token::End);
            return Ok(tokens);
        };
        let (token, len) = match first {
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c' => (None, 1),
            b'-' if rest.starts_with(b"--") => (None, comment_len(rest)?),
            b'"' | b'\'' => {
                let (text, len) = short_text(rest)?;
                (Some(Token::Text(text)), len)
            }
            b'[' if matches!(rest.get(1), Some(b'[' | b'=')) => {
                let (text, len) = long_text(rest)?;
                (Some(Token::Text(text)), len)
            }
            b'0'..=b'9' => (Some(Token::Number), number_len(rest)),
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => (Some(Token::Number), number_len(rest)),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let len = rest.iter().take_while(|byte| is_inside(byte)).count();
                let word = WORDS.into_iter().find(|word| word.as_bytes() == &rest[..len]);
                (Some(word.map_or(Token::Name(&rest[..len]), Token::Sign)), len)
            }
            b'.' if !rest.starts_with(b"..") => (Some(Token::Sign(".")), 1),
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign.as_bytes())).ok_or(Unknown)?;
                (Some(Token::Sign(sign)), sign.len())
            }
        };
        tokens.extend(token);
        rest = &rest[len..];
    }
}

/// A comment ends with its line, or is a long text.
fn comment_len(text: &[u8]) -> Result<usize, Unknown> {
    if text.get(2) == Some(&b'[') && long_level(&text[2..]).is_some() {
        return Ok(2 + long_text(&text[2..])?.1);
    }
    Ok(text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len()))
}

fn short_text(text: &[u8]) -> Result<(Option<&[u8]>, usize), Unknown> {
    let mut has_escapes = false;
    let mut at = 1;
    loop {
        match text.get(at) {
            Some(byte) if *byte == text[0] => {
                return Ok(((!has_escapes).then_some(&text[1..at]), at + 1));
            }
            // Whatever is escaped, if that is possible: a quote is skipped, and what follows a line's end is not one.
            Some(b'\\') => {
                has_escapes = true;
                at += 2;
            }
            Some(b'\n' | b'\r') | None => return Err(Unknown),
            Some(_) => at += 1,
        }
    }
}

/// The number of `=` between the brackets that begin a long text, if there is one.
fn long_level(text: &[u8]) -> Option<usize> {
    let level = text[1..].iter().take_while(|byte| **byte == b'=').count();
    (text.get(1 + level) == Some(&b'[')).then_some(level)
}

fn long_text(text: &[u8]) -> Result<(Option<&[u8]>, usize), Unknown> {
    let level = long_level(text).ok_or(Unknown)?;
    let begin = level + 2;
    let end = [b"]".as_slice(), &vec![b'='; level], b"]"].concat();
    let len = memchr::memmem::find(&text[begin..], &end).ok_or(Unknown)?;
    let inside = &text[begin..begin + len];
    // An end of a line at the begin does not belong to the text.
    let is_as_written = !matches!(inside.first(), Some(b'\n' | b'\r'));
    Ok((is_as_written.then_some(inside), begin + len + end.len()))
}

/// A number goes on for as long as there are digits, letters and dots; what is no number Lua refuses.
fn number_len(text: &[u8]) -> usize {
    let mut len = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    if matches!(text.get(len), Some(b'e' | b'E')) {
        len += 1;
        len += usize::from(matches!(text.get(len), Some(b'+' | b'-')));
    }
    len + text[len..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}
