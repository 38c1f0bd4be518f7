// Bytes as text and back, numbers as people read them, and replies as redis-cli shows them.

import { concatenated, Double, ErrorReply, MapReply, Push, SetReply, Status, Verbatim } from './resp.js';

/// Levels of JSON by which lines go in: without an end, nested brackets would make a text as large as their square.
const INDENTED_MAX = 40;

const ENCODER = new TextEncoder();
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LAX = new TextDecoder('utf-8', { ignoreBOM: true });

export function encode(text) {
  return ENCODER.encode(text);
}

/// Text of bytes, of a status or of a number; what is no text in it is replaced.
export function text(value) {
  if (value instanceof Uint8Array) return LAX.decode(value);
  if (value instanceof Verbatim) return LAX.decode(value.bytes);
  if (value === null || value === undefined) return '';
  return String(value);
}

/// Text of bytes that are text, and nothing for others.
export function strictText(bytes) {
  try {
    return STRICT.decode(bytes);
  } catch {
    return null;
  }
}

/// Bytes between quotes, with escapes, as redis-cli writes them.
export function quote(bytes) {
  const escapes = { 7: '\\a', 8: '\\b', 9: '\\t', 10: '\\n', 13: '\\r', 34: '\\"', 92: '\\\\' };
  let quoted = '"';
  for (const byte of bytes) {
    if (escapes[byte]) quoted += escapes[byte];
    else if (byte >= 32 && byte < 127) quoted += String.fromCharCode(byte);
    else quoted += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `${quoted}"`;
}

/// Bytes as they are if they are text that can be seen, and else quoted: [`unshow`] makes the same bytes of that again.
export function show(bytes) {
  const plain = strictText(bytes);
  const isSeen = plain !== null && !plain.startsWith('"') && !/\p{C}/u.test(plain);
  return isSeen ? plain : quote(bytes);
}

/// The same for values of several lines.
export function showLines(bytes) {
  const plain = strictText(bytes);
  const isSeen = plain !== null && !plain.startsWith('"') && !/(?![\t\n])\p{C}/u.test(plain);
  return isSeen ? plain : quote(bytes);
}

/// The bytes that are meant by a text: those between quotes have escapes.
export function unshow(shown) {
  if (shown.length >= 2 && shown.startsWith('"') && shown.endsWith('"')) {
    try {
      const words = splitWords(shown);
      if (words.length === 1) return words[0];
    } catch {
      // Quotes that are part of a text.
    }
  }
  return encode(shown);
}

/// JSON with what is in it line by line. Only the white space is another: numbers and names are as somebody has written them.
export function prettyJson(json) {
  let [pretty, depth, last] = ['', 0, ''];
  const line = () => `\n${'  '.repeat(Math.min(depth, INDENTED_MAX))}`;
  for (const [token] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}:,]|[^\s"[\]{}:,]+/g)) {
    const isEnd = token === ']' || token === '}';
    const isFirst = last === '[' || last === '{';
    if (isEnd) depth -= 1;
    if (isEnd ? !isFirst : isFirst || last === ',') pretty += line();
    pretty += token === ':' ? ': ' : token;
    if (token === '[' || token === '{') depth += 1;
    last = token;
  }
  return pretty;
}

/// What stands for exactly this text in a pattern.
export function globOf(bytes) {
  const special = new Set(encode('*?[]\\'));
  return Uint8Array.from([...bytes].flatMap((byte) => (special.has(byte) ? [92, byte] : [byte])));
}

/// Whether two byte strings are the same.
export function same(one, other) {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

/// The words of a line as redis-cli takes them: in double quotes with escapes, in single quotes as they are. Throws what is wrong.
export function splitWords(line) {
  const words = [];
  let at = 0;
  while (at < line.length) {
    if (/\s/.test(line[at])) {
      at += 1;
      continue;
    }
    const parts = [];
    const mark = line[at] === '"' || line[at] === "'" ? line[at] : null;
    if (mark) at += 1;
    while (at < line.length && (mark ? line[at] !== mark : !/\s/.test(line[at]))) {
      const rest = line.slice(at, at + 4);
      const hex = mark === '"' && /^\\x[0-9a-fA-F]{2}/.test(rest);
      if (hex) {
        parts.push(Uint8Array.of(parseInt(rest.slice(2), 16)));
        at += 4;
      } else if (mark && rest[0] === '\\' && (mark === '"' || rest[1] === "'") && rest.length > 1) {
        const escapes = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };
        parts.push(encode(mark === '"' ? escapes[rest[1]] ?? rest[1] : rest[1]));
        at += 2;
      } else {
        const symbol = String.fromCodePoint(line.codePointAt(at));
        parts.push(encode(symbol));
        at += symbol.length;
      }
    }
    if (mark) {
      if (at >= line.length) throw new Error('Invalid argument(s): a quote is not closed');
      at += 1;
      if (at < line.length && !/\s/.test(line[at])) throw new Error('Invalid argument(s): a space must follow a quote');
    }
    words.push(concatenated(parts));
  }
  return words;
}

/// A whole number with its thousands apart.
export function count(number) {
  return Math.round(number).toLocaleString('en-US');
}

/// A number in about three digits.
export function short(number) {
  const units = [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']];
  for (const [size, unit] of units) {
    if (number >= size) return `${digits(number / (unit === 'k' ? 1e3 : size))}${unit}`;
  }
  return number >= 100 || Number.isInteger(number) ? count(number) : number.toFixed(1);
}

/// Bytes, in powers of 1024.
export function size(bytes) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let number = bytes;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${Math.round(number)} B` : `${digits(number)} ${units[unit]}`;
}

/// A time, given in microseconds.
export function micros(time) {
  if (time >= 1e6) return `${digits(time / 1e6)} s`;
  return time >= 1e3 ? `${digits(time / 1e3)} ms` : `${time >= 10 ? Math.round(time) : Number(time.toFixed(1))} µs`;
}

function digits(number) {
  if (number >= 100) return Math.round(number).toString();
  return number >= 10 ? number.toFixed(1) : number.toFixed(2);
}

/// A time, given in seconds, in its two largest units.
export function duration(seconds) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const index = units.findIndex(([unit]) => seconds >= unit);
  if (index < 0) return `${Math.max(0, Math.round(seconds * 10) / 10)} s`;
  const [unit, name] = units[index];
  const whole = Math.floor(seconds / unit);
  const next = units[index + 1];
  const rest = next ? Math.floor((seconds - whole * unit) / next[0]) : 0;
  return rest > 0 ? `${whole} ${name} ${rest} ${next[1]}` : `${whole} ${name}`;
}

export function percent(share) {
  return `${(share * 100).toFixed(share >= 0.9995 || share === 0 ? 0 : 1)} %`;
}

/// A reply as redis-cli writes it at a terminal.
export function reply(value, indent = '') {
  if (value === null) return '(nil)';
  if (typeof value === 'boolean') return `(${value})`;
  if (typeof value === 'number') return `(integer) ${value}`;
  if (typeof value === 'bigint') return value >= -(2n ** 63n) && value < 2n ** 63n ? `(integer) ${value}` : String(value);
  if (value instanceof Double) return `(double) ${value}`;
  if (value instanceof ErrorReply) return `(error) ${value.message}`;
  if (value instanceof Status) return value.text;
  if (value instanceof Verbatim) return text(value);
  if (value instanceof Uint8Array) return quote(value);
  if (value instanceof MapReply) {
    const names = value.pairs.map(([name]) => reply(name));
    return list(value.pairs, '#', '(empty hash)', indent, ([, item], prefix, index) => {
      // What is within begins on a line of its own.
      const isNested = isAggregate(item) && lengthOf(item) > 0;
      return isNested ? `${names[index]} => \n${prefix}${reply(item, prefix)}` : `${names[index]} => ${reply(item)}`;
    });
  }
  const mark = value instanceof SetReply ? '~' : ')';
  const empty = value instanceof SetReply ? '(empty set)' : '(empty array)';
  return list(value, mark, empty, indent, (item, prefix) => reply(item, prefix));
}

function isAggregate(value) {
  return Array.isArray(value) || value instanceof MapReply || value instanceof Push;
}

function lengthOf(value) {
  return value instanceof MapReply ? value.pairs.length : value.length;
}

function list(items, mark, empty, indent, write) {
  if (items.length === 0) return empty;
  const width = String(items.length).length;
  const prefix = `${indent}${' '.repeat(width + 2)}`;
  const lines = items.map((item, index) => `${String(index + 1).padStart(width)}${mark} ${write(item, prefix, index)}`);
  return lines.join(`\n${indent}`);
}
