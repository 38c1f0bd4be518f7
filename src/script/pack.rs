//! The library `struct`: values as bytes of a given layout, and back
//! (<http://www.inf.puc-rio.br/~roberto/struct/>).

use super::arguments::{Argument, Arguments, integer_or, number, text};
use super::errors::Thrown;
use super::pace::Pace;
use mlua::{Lua, MultiValue, Table, Value};

/// Bytes of an integer at most.
const INTEGER_BYTES_MAX: usize = 32;
/// What `!` alone aligns to, in bytes.
const ALIGNMENT_MAX: usize = 8;

/// Values that a function may return: an interpreter lends no more at a time.
pub(super) const RESULTS_MAX: usize = 7000;

/// A format that is being read, with what it has said so far of order and alignment.
struct Format<'a> {
    rest: &'a [u8],
    is_big_endian: bool,
    alignment: usize,
}

/// One item of a format.
struct Item {
    option: u8,
    /// Bytes, as far as the format says.
    size: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        // A zero byte ends the text, as in C.
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Format { rest: &text[..end], is_big_endian: cfg!(target_endian = "big"), alignment: 1 }
    }

    /// The number that stands here, or `default`.
    fn count(&mut self, lua: &Lua, default: usize) -> mlua::Result<usize> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut count = 0i32;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
            let next = count.checked_mul(10).and_then(|tens| tens.checked_add(i32::from(digit - b'0')));
            count = next.ok_or_else(|| Thrown::text(lua, "integral size overflow"))?;
        }
        Ok(count as usize)
    }

    /// The next item.
    fn next(&mut self, lua: &Lua) -> mlua::Result<Option<Item>> {
        let [option, rest @ ..] = self.rest else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.count(lua, 1)?,
            b'i' | b'I' => match self.count(lua, 4)? {
                size if size > INTEGER_BYTES_MAX => {
                    let error = format!("integral size {size} is larger than limit of {INTEGER_BYTES_MAX}");
                    return Err(Thrown::text(lua, error));
                }
                size => size,
            },
            _ => 0,
        };
        Ok(Some(Item { option: *option, size }))
    }

    /// Bytes to be left out so that an item at `position` is aligned.
    fn padding(&self, position: usize, item: &Item) -> usize {
        if item.size == 0 || item.option == b'c' {
            return 0;
        }
        let size = item.size.min(self.alignment);
        (size - (position & (size - 1))) & (size - 1)
    }

    /// Does what an option says that is no item.
    fn control(&mut self, lua: &Lua, option: u8) -> mlua::Result<()> {
        match option {
            b' ' => {}
            b'>' => self.is_big_endian = true,
            b'<' => self.is_big_endian = false,
            b'!' => {
                let alignment = self.count(lua, ALIGNMENT_MAX)?;
                if !alignment.is_power_of_two() {
                    return Err(Thrown::text(lua, format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
            }
            other => return Err(invalid_option(lua, other)),
        }
        Ok(())
    }
}

fn invalid_option(lua: &Lua, option: u8) -> mlua::Error {
    Thrown::argument(lua, 1, &format!("invalid format option '{}'", char::from(option)))
}

fn is_integer(option: u8) -> bool {
    matches!(option, b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I')
}

/// A number as 64 bits; one that has no such is taken as processors take it.
fn unsigned(number: f64) -> u64 {
    const END: f64 = 18_446_744_073_709_551_616.0;
    match number {
        _ if number.is_nan() => 1 << 63,
        _ if number < 0.0 => number as i64 as u64,
        _ if number >= END => 0,
        _ => number as u64,
    }
}

/// The bytes of an integer.
fn put_integer(out: &mut Vec<u8>, number: f64, size: usize, is_big_endian: bool) {
    let bytes = unsigned(number).to_le_bytes();
    let begin = out.len();
    out.extend((0..size).map(|index| bytes.get(index).copied().unwrap_or(0)));
    if is_big_endian {
        out[begin..].reverse();
    }
}

/// The integer that bytes are.
fn get_integer(bytes: &[u8], is_signed: bool, is_big_endian: bool) -> f64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = if is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
    if !is_signed {
        return value as f64;
    }
    let sign = u64::MAX.wrapping_shl((bytes.len() * 8).wrapping_sub(1) as u32);
    (if value & sign != 0 { value | sign } else { value }) as i64 as f64
}

/// `struct.pack`
fn pack(lua: &Lua, mut args: Arguments) -> mlua::Result<mlua::String> {
    // The first argument that is missing counts as nil.
    args.push(Argument::Nil);
    let format = text(lua, &args, 0)?;
    let mut format = Format::new(&format);
    let (pace, mut out) = (Pace::new(lua)?, Vec::new());
    let mut next = 1;
    while let Some(item) = format.next(lua)? {
        pace.make_room(&mut out, 2 * INTEGER_BYTES_MAX)?;
        out.resize(out.len() + format.padding(out.len(), &item), 0);
        match item.option {
            b'x' => out.push(0),
            b'f' => {
                let bytes = (number(lua, &args, next)? as f32).to_le_bytes();
                put(&mut out, bytes, format.is_big_endian);
                next += 1;
            }
            b'd' => {
                put(&mut out, number(lua, &args, next)?.to_le_bytes(), format.is_big_endian);
                next += 1;
            }
            b'c' | b's' => {
                let value = text(lua, &args, next)?;
                next += 1;
                let size = if item.size == 0 { value.len() } else { item.size };
                let Some(part) = value.get(..size) else {
                    return Err(Thrown::argument(lua, next + 1, "string too short"));
                };
                pace.make_room(&mut out, part.len() + 1)?;
                out.extend_from_slice(part);
                if item.option == b's' {
                    out.push(0);
                }
            }
            option if is_integer(option) => {
                put_integer(&mut out, number(lua, &args, next)?, item.size, format.is_big_endian);
                next += 1;
            }
            option => format.control(lua, option)?,
        }
    }
    lua.create_string(out)
}

fn put<const N: usize>(out: &mut Vec<u8>, mut bytes: [u8; N], is_big_endian: bool) {
    if is_big_endian {
        bytes.reverse();
    }
    out.extend_from_slice(&bytes);
}

fn get<const N: usize>(bytes: &[u8], is_big_endian: bool) -> [u8; N] {
    let mut bytes: [u8; N] = bytes.first_chunk().copied().unwrap_or([0; N]);
    if is_big_endian {
        bytes.reverse();
    }
    bytes
}

/// `struct.unpack`
fn unpack(lua: &Lua, args: Arguments) -> mlua::Result<MultiValue> {
    let (format, data) = (text(lua, &args, 0)?, text(lua, &args, 1)?);
    let offset = integer_or(lua, &args, 2, 1)?;
    if offset == 0 {
        return Err(Thrown::argument(lua, 3, "offset must be 1 or greater"));
    }
    // A negative one is beyond any text.
    let mut position = usize::try_from(offset).map_or(usize::MAX / 2, |offset| offset - 1);
    let mut format = Format::new(&format);
    let mut values: Vec<Value> = Vec::new();
    let bytes_at = |position: usize, size: usize| {
        let bytes = position.checked_add(size).and_then(|end| data.get(position..end));
        bytes.ok_or_else(|| Thrown::argument(lua, 2, "data string too short"))
    };
    let pace = Pace::new(lua)?;
    while let Some(Item { option, mut size }) = format.next(lua)? {
        pace.spend(1)?;
        position += format.padding(position, &Item { option, size });
        let bytes = bytes_at(position, size)?;
        if values.len() >= RESULTS_MAX {
            return Err(Thrown::text(lua, "stack overflow (too many results)"));
        }
        match option {
            b'x' => {}
            b'f' => values.push(Value::Number(f32::from_le_bytes(get(bytes, format.is_big_endian)).into())),
            b'd' => values.push(Value::Number(f64::from_le_bytes(get(bytes, format.is_big_endian)))),
            b'c' => {
                if size == 0 {
                    let Some(Value::Number(len)) = values.pop_if(|last| matches!(last, Value::Number(_))) else {
                        return Err(Thrown::text(lua, "format 'c0' needs a previous size"));
                    };
                    size = unsigned(len) as usize;
                }
                values.push(Value::String(lua.create_string(bytes_at(position, size)?)?));
            }
            b's' => {
                let rest = &data[position..];
                let end = memchr::memchr(0, rest).ok_or_else(|| Thrown::text(lua, "unfinished string in data"))?;
                values.push(Value::String(lua.create_string(&rest[..end])?));
                size = end + 1;
            }
            option if is_integer(option) => {
                let value = get_integer(bytes, option.is_ascii_lowercase(), format.is_big_endian);
                values.push(Value::Number(value));
            }
            option => format.control(lua, option)?,
        }
        position += size;
    }
    values.push(Value::Number((position + 1) as f64));
    Ok(values.into_iter().collect())
}

/// `struct.size`
fn size(lua: &Lua, args: Arguments) -> mlua::Result<f64> {
    let format = text(lua, &args, 0)?;
    let mut format = Format::new(&format);
    let (pace, mut position) = (Pace::new(lua)?, 0);
    while let Some(item) = format.next(lua)? {
        pace.spend(1)?;
        position += format.padding(position, &item);
        match item.option {
            b's' => return Err(Thrown::argument(lua, 1, "option 's' has no fixed size")),
            b'c' if item.size == 0 => return Err(Thrown::argument(lua, 1, "option 'c0' has no fixed size")),
            option if !option.is_ascii_alphanumeric() => format.control(lua, option)?,
            _ => {}
        }
        position += item.size;
    }
    Ok(position as f64)
}

/// The library.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    table.raw_set("size", lua.create_function(size)?)?;
    Ok(table)
}
