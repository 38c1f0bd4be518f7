// The key that is open: what it is called, when it ends, what it holds; and everything that can be done to it.

import { announce, button, complain, confirmed, h, nothing, prompted, setText } from './dom.js';
import { ErrorReply } from './resp.js';
import { duration, show, size, splitWords, text, unshow } from './text.js';
import { TYPES } from './treemap.js';
import { bodyOf, ESCAPES, firstCommand } from './types.js';

export class Value {
  /// `listener.removed(key)` is called when a key is gone, `listener.made(key)` when there is a new one.
  constructor(session, listener) {
    Object.assign(this, { session, listener, key: null });
    this.element = h('section', { class: 'panel value', 'aria-label': 'Value' });
    this.clear();
  }

  clear() {
    this.key = null;
    this.element.replaceChildren(nothing('Choose a key to see what it holds.'));
  }

  async open(key) {
    this.key = key;
    try {
      const [type, ttl, memory, encoding] = await this.session.all(
        ['TYPE', key], ['PTTL', key], ['MEMORY', 'USAGE', key], ['OBJECT', 'ENCODING', key]);
      if (this.key !== key) return;
      if (type instanceof ErrorReply) throw type;
      if (text(type) === 'none') {
        this.clear();
        this.element.replaceChildren(nothing('This key is gone.'));
        this.listener.removed(key);
        return;
      }
      this.draw(key, text(type), { ttl, memory, encoding });
      await this.body.load();
    } catch (error) {
      if (this.key === key) this.element.append(nothing(error.message));
    }
  }

  draw(key, type, { ttl, memory, encoding }) {
    const known = (reply, write) => (reply === null || reply instanceof ErrorReply ? '–' : write(reply));
    const expiry = known(ttl, (milliseconds) => (milliseconds < 0 ? 'no expiry' : `expires in ${duration(milliseconds / 1000)}`));
    this.length = h('span', {});
    this.body = bodyOf(type, {
      session: this.session,
      key,
      length: (words) => setText(this.length, words),
      emptied: () => this.open(key),
    });
    this.element.replaceChildren(
      h('header', {},
        h('h2', { class: 'mono' }, h('span', { class: `type ${type}` }, type), show(key)),
        h('div', { class: 'row' },
          button('Reload', () => this.open(key), { class: 'quiet' }),
          button('Rename…', () => this.rename(key)),
          button('Delete…', () => this.remove(key), { class: 'danger' }))),
      h('div', { class: 'row about' },
        this.length,
        h('span', {}, known(memory, size), ' in memory'),
        h('span', {}, known(encoding, text)),
        h('span', {}, expiry, ' ', button('Change…', () => this.expire(key, ttl), { class: 'quiet' }))),
      this.body.element);
  }

  expire(key, ttl) {
    const value = typeof ttl === 'number' && ttl >= 0 ? String(Math.ceil(ttl / 1000)) : '';
    const field = { name: 'seconds', label: 'Seconds from now', value, hint: 'Nothing: it stays.' };
    prompted(`When ${show(key)} expires`, [field], 'Save', async ({ seconds }) => {
      const isNumber = /^\d+$/.test(seconds.trim()) && Number(seconds) > 0;
      if (seconds.trim() !== '' && !isNumber) throw new Error('That is no number of seconds.');
      await (isNumber ? this.session.ask('EXPIRE', key, seconds.trim()) : this.session.ask('PERSIST', key));
      this.open(key);
    });
  }

  rename(key) {
    prompted(`Rename ${show(key)}`, [{ name: 'name', label: 'New name', value: show(key), hint: ESCAPES }], 'Rename', async ({ name }) => {
      const renamed = unshow(name);
      if (await this.session.ask('RENAMENX', key, renamed) === 0) throw new Error('There is a key of this name.');
      this.listener.removed(key);
      this.listener.made(renamed);
    });
  }

  async remove(key) {
    if (!await confirmed(`Delete ${show(key)}?`, 'What it holds will be gone.', 'Delete')) return;
    try {
      await this.session.ask('UNLINK', key);
      announce(`${show(key)} is deleted.`);
      this.clear();
      this.listener.removed(key);
    } catch (error) {
      complain(error);
    }
  }

  /// Makes a key, whose name begins with a prefix.
  create(prefix) {
    const fields = [
      { name: 'name', label: 'Name', value: show(prefix), hint: ESCAPES },
      { name: 'type', label: 'Type', options: TYPES },
      { name: 'value', label: 'Value', lines: 4, hint: 'Of a hash or stream: field value …; of a sorted set: score member …' },
    ];
    prompted('New key', fields, 'Create', async ({ name, type, value }) => {
      const key = unshow(name);
      const words = type === 'string' ? [unshow(value)] : splitWords(value);
      if (words.length === 0) throw new Error('A key must hold something.');
      await this.session.guarded(key, async (connection) => {
        if (await connection.ask('EXISTS', key) === 1) throw new Error('There is a key of this name.');
      }, firstCommand(type, key, words));
      this.listener.made(key);
    });
  }
}
