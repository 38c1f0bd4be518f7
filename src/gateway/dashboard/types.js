// What keys of each type hold, page by page, and how it is edited.

import { announce, button, complain, confirmed, form, h, nothing, prompted, setText } from './dom.js';
import { ErrorReply } from './resp.js';
import { count, encode, prettyJson, same, show, showLines, splitWords, strictText, text, unshow } from './text.js';

/// Elements that are shown at a time.
const PAGE = 100;
/// Bytes of a string that are shown at a time, and up to which it can be edited.
const STRING_BYTES = 64 * 1024;
/// Characters of an element that are shown in a row.
const CELL_MAX = 400;

/// What is said where bytes are entered.
export const ESCAPES = 'Between double quotes, escapes such as \\n and \\xff stand for bytes.';

/// What shows the value of a key. `context` has the `session`, the `key`, and what is to be called when its length is known
/// (`length`), or when its last element may be gone (`emptied`).
export function bodyOf(type, context) {
  if (type === 'string') return new StringBody(context);
  const collection = COLLECTIONS[type];
  return collection ? new Collection(context, collection(context)) : new Opaque(type);
}

/// The command that makes a key of these words.
export function firstCommand(type, key, words) {
  const commands = { string: ['SET'], list: ['RPUSH'], set: ['SADD'], zset: ['ZADD'], hash: ['HSET'], stream: ['XADD'] };
  return [...commands[type], key, ...(type === 'stream' ? ['*'] : []), ...words];
}

class Opaque {
  constructor(type) {
    this.element = nothing(`Values of type ${type} are not shown here; the console has the commands for them.`);
  }

  async load() {}
}

/// A string: as text, or with escapes if it is none.
class StringBody {
  constructor(context) {
    this.context = context;
    this.begin = 0;
    this.area = h('textarea', { class: 'content', rows: 14, spellcheck: 'false', 'aria-label': 'Value', oninput: () => this.changed() });
    this.saving = button('Save', () => this.save(), { class: 'primary' });
    this.pretty = button('As JSON', () => this.showJson());
    this.back = button('Previous', () => this.turn(-1));
    this.on = button('Next', () => this.turn(1));
    this.place = h('small', {});
    this.element = h('div', {}, this.area, h('div', { class: 'row foot' }, this.saving, this.pretty, this.back, this.on, this.place));
  }

  async load() {
    const { session, key, length } = this.context;
    const end = this.begin + STRING_BYTES - 1;
    const [bytes, part] = await session.all(['STRLEN', key], ['GETRANGE', key, this.begin, end]);
    for (const reply of [bytes, part]) if (reply instanceof ErrorReply) throw reply;
    length(`${count(bytes)} ${bytes === 1 ? 'byte' : 'bytes'}`);
    this.old = part;
    const isWhole = bytes <= STRING_BYTES;
    this.area.value = showLines(part);
    this.area.readOnly = !isWhole;
    this.saving.hidden = !isWhole;
    this.saving.disabled = true;
    this.back.hidden = this.on.hidden = isWhole;
    this.back.disabled = this.begin === 0;
    this.on.disabled = end + 1 >= bytes;
    this.pretty.hidden = !isWhole || this.json() === null;
    setText(this.place, isWhole ? '' : `bytes ${count(this.begin)} to ${count(this.begin + part.length)}: too long to be edited here`);
  }

  json() {
    try {
      const written = strictText(this.old) ?? '';
      const value = JSON.parse(written);
      return typeof value === 'object' && value !== null ? prettyJson(written) : null;
    } catch {
      return null;
    }
  }

  /// Shows the value with its structure. It is not saved like that unless it is saved.
  showJson() {
    this.area.value = this.json();
    this.changed();
  }

  changed() {
    this.saving.disabled = same(unshow(this.area.value), this.old);
  }

  async turn(pages) {
    this.begin += pages * STRING_BYTES;
    await this.load().catch(complain);
  }

  async save() {
    const { session, key } = this.context;
    try {
      const written = unshow(this.area.value);
      // Only over what was seen.
      const reply = await session.ask('SET', key, written, 'IFEQ', this.old, 'KEEPTTL');
      if (reply === null) throw new Error('The value has changed meanwhile. Reload it to see the new one.');
      announce('The value is saved.');
      await this.load();
    } catch (error) {
      complain(error);
    }
    // The button is given back by whoever pressed it.
    setTimeout(() => this.changed());
  }
}

/// How the elements of each type are read and changed:
///
/// - `length`: the command that counts them
/// - `heads`: what the columns are called; `cells` makes texts of an element
/// - `next(state)`: the next elements and where to go on, nothing at the end; without a state, the first
/// - `edit`: `{ label, of(element), save(element, bytes) }`; `remove(element)`
/// - `add`: names of what is entered, and buttons `[label, run(values)]`
const COLLECTIONS = {
  hash: ({ session, key }) => ({
    length: 'HLEN',
    heads: ['field', 'value'],
    cells: ([field, value]) => [show(field), show(value)],
    next: scanning(session, 'HSCAN', key, 2),
    edit: {
      label: 'Value',
      of: ([, value]) => value,
      // The field expires as before.
      save: ([field, value], changed) => session.guarded(key, async (connection) => {
        const found = await connection.ask('HGET', key, field);
        if (found === null || !same(found, value)) throw new Error('The field has changed meanwhile. Reload the hash.');
      }, ['HSETEX', key, 'KEEPTTL', 'FIELDS', 1, field, changed]),
    },
    remove: ([field]) => session.ask('HDEL', key, field),
    add: { fields: ['field', 'value'], actions: [['Set', ([field, value]) => session.ask('HSET', key, field, value)]] },
  }),
  set: ({ session, key }) => ({
    length: 'SCARD',
    heads: ['member'],
    cells: ([member]) => [show(member)],
    next: scanning(session, 'SSCAN', key, 1),
    edit: {
      label: 'Member',
      of: ([member]) => member,
      save: async ([member], changed) => {
        if (same(member, changed)) return;
        // A set whose only member went first would be gone, and its expiry with it.
        await session.guarded(key, async (connection) => {
          if (await connection.ask('SISMEMBER', key, member) === 0) throw new Error('The member is gone meanwhile. Reload the set.');
        }, ['SADD', key, changed], ['SREM', key, member]);
      },
    },
    remove: ([member]) => session.ask('SREM', key, member),
    add: { fields: ['member'], actions: [['Add', ([member]) => session.ask('SADD', key, member)]] },
  }),
  list: ({ session, key }) => {
    const isSame = ([index, element]) => async (connection) => {
      const found = await connection.ask('LINDEX', key, index);
      if (found === null || !same(found, element)) throw new Error('The list has changed meanwhile. Reload it.');
    };
    // An element has no name: it is made one of a kind, and that is removed.
    const mark = () => `\0removed ${crypto.getRandomValues(new Uint32Array(4)).join('-')}`;
    return {
      length: 'LLEN',
      heads: ['#', 'element'],
      cells: ([index, element]) => [count(index), show(element)],
      next: async (from = 0) => {
        const elements = await session.ask('LRANGE', key, from, from + PAGE - 1);
        return [elements.map((element, index) => [from + index, element]), elements.length === PAGE ? from + PAGE : undefined];
      },
      edit: {
        label: 'Element',
        of: ([, element]) => element,
        save: (row, changed) => session.guarded(key, isSame(row), ['LSET', key, row[0], changed]),
      },
      remove: (row) => {
        const name = mark();
        return session.guarded(key, isSame(row), ['LSET', key, row[0], name], ['LREM', key, 1, name]);
      },
      add: {
        fields: ['element'],
        actions: [
          ['Add at the end', ([element]) => session.ask('RPUSH', key, element)],
          ['Add in front', ([element]) => session.ask('LPUSH', key, element)],
        ],
      },
    };
  },
  zset: ({ session, key }) => ({
    length: 'ZCARD',
    heads: ['score', 'member'],
    cells: ([member, score]) => [String(score), show(member)],
    next: async (from = 0) => {
      const pairs = await session.ask('ZRANGE', key, from, from + PAGE - 1, 'WITHSCORES');
      return [pairs, pairs.length === PAGE ? from + PAGE : undefined];
    },
    edit: {
      label: 'Score',
      of: ([, score]) => encode(String(score)),
      save: ([member], score) => session.ask('ZADD', key, 'XX', score, member),
    },
    remove: ([member]) => session.ask('ZREM', key, member),
    add: { fields: ['score', 'member'], actions: [['Add', ([score, member]) => session.ask('ZADD', key, score, member)]] },
  }),
  stream: ({ session, key }) => ({
    length: 'XLEN',
    heads: ['id', 'fields'],
    cells: ([id, fields]) => [text(id), pairsOf(fields)],
    // The newest first.
    next: async (before = '+') => {
      const entries = await session.ask('XREVRANGE', key, before, '-', 'COUNT', PAGE);
      return [entries, entries.length === PAGE ? `(${text(entries.at(-1)[0])}` : undefined];
    },
    remove: ([id]) => session.ask('XDEL', key, id),
    add: {
      fields: ['field value …'],
      // Words, of which each may have its quotes.
      isLine: true,
      actions: [['Add', ([written]) => session.ask('XADD', key, '*', ...splitWords(written))]],
    },
  }),
};

function pairsOf(fields) {
  const pairs = [];
  for (let index = 0; index < fields.length; index += 2) pairs.push(`${show(fields[index])}: ${show(fields[index + 1])}`);
  return pairs.join('   ');
}

/// The pages of a scan, each element being so many strings.
function scanning(session, command, key, strings) {
  return async (cursor = '0') => {
    const [next, flat] = await session.ask(command, key, cursor, 'COUNT', PAGE);
    const elements = [];
    for (let index = 0; index < flat.length; index += strings) elements.push(flat.slice(index, index + strings));
    return [elements, text(next) === '0' ? undefined : text(next)];
  };
}

/// A table of elements.
class Collection {
  constructor(context, kind) {
    Object.assign(this, { context, kind });
    this.rows = h('tbody', {});
    this.more = button('More', () => this.page().catch(complain));
    this.shown = h('small', {});
    const heads = [...kind.heads, ''].map((head) => h('th', { scope: 'col' }, head));
    const { fields, actions } = kind.add;
    this.inputs = fields.map((name) => h('input', { class: 'mono', placeholder: name, 'aria-label': name, spellcheck: 'false', autocapitalize: 'none' }));
    const [[label], ...others] = actions;
    this.element = h('div', {},
      h('div', { class: 'scroll', tabindex: 0 }, h('table', { class: 'elements' }, h('thead', {}, h('tr', {}, heads)), this.rows)),
      h('div', { class: 'row foot' }, this.more, this.shown),
      form({ class: 'row add' }, () => this.add(actions[0][1]), this.inputs, h('button', {}, label),
        others.map(([other, run]) => button(other, () => this.add(run)))));
  }

  async load() {
    this.state = undefined;
    this.rows.replaceChildren();
    await this.page();
  }

  async page() {
    const { session, key, length } = this.context;
    const number = await session.ask(this.kind.length, key);
    length(`${count(number)} ${number === 1 ? 'element' : 'elements'}`);
    const [elements, state] = await this.kind.next(this.state);
    this.state = state;
    this.rows.append(...elements.map((element) => this.row(element)));
    this.more.hidden = state === undefined;
    setText(this.shown, state === undefined ? '' : `${count(this.rows.childElementCount)} of ${count(number)}`);
  }

  row(element) {
    const { cells, edit } = this.kind;
    const shown = cells(element).map((cell) => h('td', {}, cell.length > CELL_MAX ? `${cell.slice(0, CELL_MAX)}…` : cell));
    const actions = h('td', { class: 'actions' },
      edit && button('Edit', () => this.edit(element), { class: 'quiet' }),
      button('Remove', () => this.remove(element), { class: 'quiet' }));
    return h('tr', {}, shown, actions);
  }

  edit(element) {
    const { label, of, save } = this.kind.edit;
    const [name] = this.kind.cells(element);
    const field = { name: 'value', label, value: showLines(of(element)), lines: label === 'Score' ? 0 : 8, hint: label === 'Score' ? '' : ESCAPES };
    prompted(`Edit ${name.slice(0, 80)}`, [field], 'Save', async ({ value }) => {
      await save(element, unshow(value));
      await this.load();
    });
  }

  async remove(element) {
    const [name] = this.kind.cells(element);
    if (!await confirmed(`Remove ${name.slice(0, 80)}?`, `It goes out of ${show(this.context.key)}.`, 'Remove')) return;
    try {
      await this.kind.remove(element);
      if (await this.context.session.ask(this.kind.length, this.context.key) === 0) this.context.emptied();
      else await this.load();
    } catch (error) {
      complain(error);
    }
  }

  async add(run) {
    try {
      await run(this.inputs.map((input) => this.kind.add.isLine ? input.value : unshow(input.value)));
      for (const input of this.inputs) input.value = '';
      await this.load();
    } catch (error) {
      complain(error);
    }
  }
}
