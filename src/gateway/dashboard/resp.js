// RESP3, the protocol of the server: what is sent over the WebSocket both ways, in binary messages that are cut anywhere. Strings
// are bytes (`Uint8Array`), so that nothing is lost of those that are no text.

/// A short answer such as OK.
export class Status {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

/// What the server says is wrong.
export class ErrorReply extends Error {
  /// Its first word, such as NOPERM.
  get code() {
    return this.message.split(' ', 1)[0];
  }
}

/// A number with a fraction, as it was written.
export class Double {
  constructor(text) {
    this.text = text;
  }

  valueOf() {
    return Number(this.text.replace('inf', 'Infinity'));
  }

  toString() {
    return this.text;
  }
}

/// A text that says what it is written in.
export class Verbatim {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

export class MapReply {
  constructor(pairs) {
    this.pairs = pairs;
  }
}

export class SetReply extends Array {}

/// Something that was not asked for: a message, or what is said of a subscription.
export class Push extends Array {}

const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();

/// A command: words that are bytes, texts or numbers.
export function command(words) {
  const parts = [ENCODER.encode(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = word instanceof Uint8Array ? word : ENCODER.encode(String(word));
    parts.push(ENCODER.encode(`$${bytes.length}\r\n`), bytes, ENCODER.encode('\r\n'));
  }
  return concatenated(parts);
}

export function concatenated(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/// Reads replies from bytes that arrive piece by piece; goes on where it was when more comes.
export class Reader {
  constructor() {
    /// What has come, up to `end`, and how far it is read.
    this.bytes = new Uint8Array(0);
    [this.at, this.end] = [0, 0];
    this.state = this.value();
  }

  /// Room grows by doubling: of a reply of any length, each byte is moved but a few times.
  append(bytes) {
    const rest = this.end - this.at;
    if (rest === 0) {
      [this.bytes, this.at, this.end] = [bytes, 0, bytes.length];
      return;
    }
    if (this.end + bytes.length > this.bytes.length) {
      const room = new Uint8Array(2 * (rest + bytes.length));
      room.set(this.bytes.subarray(this.at, this.end));
      [this.bytes, this.at, this.end] = [room, 0, rest];
    }
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  /// The replies that are whole with these bytes.
  feed(bytes) {
    this.append(bytes);
    const replies = [];
    for (;;) {
      const { done, value } = this.state.next();
      if (!done) return replies;
      replies.push(value);
      this.state = this.value();
    }
  }

  * line() {
    let searched = 0;
    for (;;) {
      const end = this.bytes.subarray(0, this.end).indexOf(10, this.at + searched);
      if (end >= 0) {
        const line = DECODER.decode(this.bytes.subarray(this.at, end - 1));
        this.at = end + 1;
        return line;
      }
      searched = this.end - this.at;
      yield;
    }
  }

  * bulk(length) {
    while (this.end - this.at < length + 2) yield;
    const bytes = this.bytes.slice(this.at, this.at + length);
    this.at += length + 2;
    return bytes;
  }

  * items(list, length) {
    for (let index = 0; index < length; index += 1) list.push(yield* this.value());
    return list;
  }

  * pairs(length) {
    const pairs = [];
    for (let index = 0; index < length; index += 1) {
      const name = yield* this.value();
      pairs.push([name, yield* this.value()]);
    }
    return pairs;
  }

  * value() {
    const line = yield* this.line();
    const rest = line.slice(1);
    const length = Number(rest);
    switch (line[0]) {
      case '+': return new Status(rest);
      case '-': return new ErrorReply(rest);
      case ':': return Number.isSafeInteger(length) ? length : BigInt(rest);
      case ',': return new Double(rest);
      case '(': return BigInt(rest);
      case '#': return rest === 't';
      case '_': return null;
      case '$': return length < 0 ? null : yield* this.bulk(length);
      case '=': return new Verbatim((yield* this.bulk(length)).subarray(4));
      case '!': return new ErrorReply(DECODER.decode(yield* this.bulk(length)));
      case '*': return length < 0 ? null : yield* this.items([], length);
      case '~': return yield* this.items(new SetReply(), length);
      case '>': return yield* this.items(new Push(), length);
      case '%': return new MapReply(yield* this.pairs(length));
      case '|':
        // What is said about the value that follows.
        yield* this.pairs(length);
        return yield* this.value();
      default: throw new Error(`a reply begins with ${line[0]}`);
    }
  }
}
