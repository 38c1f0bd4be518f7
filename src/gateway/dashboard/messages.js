// Messages: a client of its own that subscribes to channels and patterns, and a form to publish.

import { Disconnected, OwnConnection, Retry } from './connection.js';
import { announce, button, complain, form, h, nothing } from './dom.js';
import { ErrorReply, Push } from './resp.js';
import { count, same, show, text, unshow } from './text.js';

/// Messages that are kept.
const KEPT_MAX = 500;
/// Ways to subscribe: what they are called, and how they are ended.
const WAYS = {
  SUBSCRIBE: ['channel', 'UNSUBSCRIBE'],
  PSUBSCRIBE: ['pattern', 'PUNSUBSCRIBE'],
  SSUBSCRIBE: ['shard channel', 'SUNSUBSCRIBE'],
};

export class Messages {
  constructor(session) {
    this.session = session;
    this.own = new OwnConnection(session, (connection) => this.begin(connection));
    this.retry = new Retry(() => this.resume());
    /// `{ way, name }` each.
    this.subscriptions = [];
    this.waiting = [];
    this.seen = 0;
    this.way = h('select', { 'aria-label': 'Kind' }, Object.entries(WAYS).map(([value, [label]]) => h('option', { value }, label)));
    this.name = h('input', { class: 'mono', name: 'channel', 'aria-label': 'Channel', placeholder: 'channel', spellcheck: 'false', autocapitalize: 'none' });
    this.list = h('div', { class: 'row subscriptions' });
    this.target = h('input', { class: 'mono', name: 'target', 'aria-label': 'Channel to publish to', placeholder: 'channel', spellcheck: 'false', autocapitalize: 'none' });
    this.message = h('input', { class: 'mono', name: 'message', 'aria-label': 'Message', placeholder: 'message', spellcheck: 'false' });
    this.rows = h('tbody', {});
    this.total = h('small', {});
    this.element = h('div', { class: 'messages' },
      h('section', { class: 'panel', 'aria-label': 'Subscriptions' },
        h('header', {}, h('h2', {}, 'Messages'), h('span', { class: 'row' }, this.total, button('Clear', () => this.clear(), { class: 'quiet' }))),
        form({ class: 'row bar' }, () => this.add(), this.way, this.name, h('button', { class: 'primary' }, 'Subscribe')),
        this.list,
        h('div', { class: 'scroll received', tabindex: 0 }, h('table', { class: 'elements' },
          h('thead', {}, h('tr', {}, ['at', 'channel', 'message'].map((head) => h('th', { scope: 'col' }, head)))), this.rows))),
      h('section', { class: 'panel', 'aria-label': 'Publish' },
        h('header', {}, h('h2', {}, 'Publish')),
        form({ class: 'row' }, () => this.publish(), this.target, this.message, h('button', {}, 'Publish'))));
    this.draw();
    session.addEventListener('state', () => this.resume());
  }

  show() {}

  hide() {}

  close() {
    this.subscriptions = [];
    this.retry.cancel();
    this.own.close();
  }

  /// Subscribes where it had been before the connection broke, if it did.
  begin(connection) {
    connection.received = (value) => this.take(value);
    // It may end alone, when messages come faster than they are read.
    connection.closed = () => this.subscriptions.length > 0 && this.retry.later();
    if (this.subscriptions.length === 0) return;
    connection.send(...this.subscriptions.map(({ way, name }) => [way, name]));
    announce('Subscribed again: messages may have been missed.');
  }

  /// What the session lacks comes with its next connection.
  async resume() {
    if (this.session.state !== 'open' || this.subscriptions.length === 0 || this.own.isOpen) return;
    try {
      await this.own.open();
      this.retry.succeeded();
    } catch (error) {
      if (!(error instanceof Disconnected)) complain(error);
      this.retry.later();
    }
  }

  async add() {
    const [way, name] = [this.way.value, unshow(this.name.value)];
    if (name.length === 0) return;
    try {
      const connection = await this.own.open();
      connection.send([way, name]);
      this.name.value = '';
    } catch (error) {
      complain(error);
    }
  }

  async remove({ way, name }) {
    try {
      const connection = await this.own.open();
      connection.send([WAYS[way][1], name]);
    } catch (error) {
      complain(error);
    }
  }

  take(value) {
    if (value instanceof ErrorReply) complain(value);
    if (!(value instanceof Push)) return;
    const [kind, name, ...rest] = value;
    const word = text(kind);
    const way = word.replace('un', '').toUpperCase();
    if (way in WAYS) {
      this.subscriptions = this.subscriptions.filter((known) => known.way !== way || !same(known.name, name));
      if (!word.includes('un')) this.subscriptions.push({ way, name });
      this.draw();
      return;
    }
    const [channel, message, pattern] = word === 'pmessage' ? [...rest, name] : [name, rest[0]];
    this.seen += 1;
    this.waiting.push({ time: new Date(), channel, message, pattern });
    if (this.waiting.length > KEPT_MAX) this.waiting.shift();
    // However many come, the page is drawn once in a while.
    this.frame ??= requestAnimationFrame(() => this.drawMessages());
  }

  draw() {
    this.list.replaceChildren(...this.subscriptions.map((subscription) => h('span', { class: 'subscription' },
      h('small', {}, WAYS[subscription.way][0]), ` ${show(subscription.name)} `,
      button('×', () => this.remove(subscription), { class: 'quiet', 'aria-label': `Unsubscribe from ${show(subscription.name)}` }))));
    if (this.subscriptions.length === 0) this.list.replaceChildren(nothing('Not subscribed to anything.'));
  }

  drawMessages() {
    this.frame = null;
    const rows = this.waiting.splice(0).reverse().map(({ time, channel, message, pattern }) => h('tr', {},
      h('td', {}, time.toLocaleTimeString()), h('td', {}, show(channel), pattern && h('small', {}, ` by ${show(pattern)}`)), h('td', {}, show(message))));
    this.rows.prepend(...rows);
    while (this.rows.childElementCount > KEPT_MAX) this.rows.lastChild.remove();
    this.total.textContent = `${count(this.seen)} received`;
  }

  clear() {
    this.seen = 0;
    this.rows.replaceChildren();
    this.total.textContent = '';
  }

  async publish() {
    try {
      const receivers = await this.session.ask('PUBLISH', unshow(this.target.value), unshow(this.message.value));
      announce(`${count(receivers)} ${receivers === 1 ? 'client has' : 'clients have'} got it.`);
      this.message.value = '';
    } catch (error) {
      complain(error);
    }
  }
}
