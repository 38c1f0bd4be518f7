// The view of the keyspace: a treemap of prefixes, the keys that begin with one, and the key that is open.

import { announce, button, choice, complain, confirmed, form, h, nothing, setText } from './dom.js';
import { concatenated, ErrorReply } from './resp.js';
import { count, duration, encode, globOf, same, show, size, text, unshow } from './text.js';
import { drawTreemap, parseStats, SHOWN_MAX, TYPES, WITHIN_MAX } from './treemap.js';
import { Value } from './value.js';

/// Keys that are added to the list at a time.
const PAGE = 100;
/// Milliseconds for which keys are looked for before the list says that there may be more.
const SEARCH_MS = 1500;
/// Keys that one SCAN looks at: it takes a fraction of a millisecond.
const SCAN_COUNT = 500;

function addressOf(prefix) {
  return `#keys/${encodeURIComponent(show(prefix))}`;
}

export class Keys {
  constructor(session) {
    this.session = session;
    this.prefix = new Uint8Array(0);
    this.separator = ':';
    this.measure = 'bytes';
    this.colour = 'type';
    this.search = 0;
    this.value = new Value(session, {
      removed: (key) => this.forget(key),
      made: (key) => this.take(key),
    });
    this.path = h('nav', { class: 'path', 'aria-label': 'Prefix' });
    this.summary = h('small', { class: 'summary' });
    this.map = h('div', { class: 'treemap', role: 'group', 'aria-label': 'Prefixes by size' });
    this.mapNote = h('p', { class: 'nothing' });
    this.legend = h('div', { class: 'types' });
    this.deletion = button('Delete all…', () => this.deletePrefix(), { class: 'danger' });
    const separator = h('input', {
      class: 'separator mono', value: ':', spellcheck: 'false', onchange: (event) => this.separate(event.target),
    });
    this.filter = h('input', { name: 'filter', 'aria-label': 'Keys', placeholder: 'anything', spellcheck: 'false', autocapitalize: 'none' });
    this.how = h('select', { 'aria-label': 'How keys are looked for' },
      h('option', { value: 'prefix' }, 'begin with'), h('option', { value: 'pattern' }, 'match'));
    this.type = h('select', { 'aria-label': 'Type', onchange: () => this.find() },
      h('option', { value: '' }, 'all types'), TYPES.map((type) => h('option', { value: type }, type)));
    this.rows = h('div', { class: 'keys', role: 'listbox', 'aria-label': 'Keys', onkeydown: (event) => this.move(event) });
    this.more = button('More', () => this.page());
    this.found = h('small', { role: 'status' });
    this.element = h('div', { class: 'keyspace' },
      h('section', { class: 'panel map', 'aria-label': 'Prefixes' },
        h('div', { class: 'row bar' }, this.path, this.summary, h('span', { class: 'space' }),
          choice('Area', [['bytes', 'bytes'], ['keys', 'keys']], this.measure, (measure) => this.redraw({ measure })),
          choice('Colour', [['type', 'type'], ['expiry', 'share that expires']], this.colour, (colour) => this.redraw({ colour })),
          h('label', { class: 'choice' }, 'Separator', separator),
          this.deletion),
        this.map, this.mapNote, this.legend),
      h('div', { class: 'browser' },
        h('section', { class: 'panel list', 'aria-label': 'Keys' },
          form({ class: 'row bar', role: 'search' }, () => this.find(), this.how, this.filter, this.type,
            h('button', {}, 'Find'), button('New key…', () => this.value.create(this.prefix))),
          this.rows,
          h('div', { class: 'row foot' }, this.more, this.found)),
        this.value.element));
    session.addEventListener('database', () => this.isShown && this.reset());
    new ResizeObserver(() => this.drawMap()).observe(this.map);
  }

  show() {
    this.isShown = true;
  }

  /// Shows what the address names: a prefix.
  open(shown) {
    this.display(unshow(shown));
  }

  hide() {
    this.isShown = false;
  }

  reset() {
    this.value.clear();
    this.display(this.prefix);
  }

  /// Goes to a prefix: there is a way back, as from any page.
  go(prefix) {
    const address = addressOf(prefix);
    if (location.hash === address) this.display(prefix);
    else location.hash = address;
  }

  /// Shows what begins with a prefix.
  display(prefix) {
    this.prefix = prefix;
    this.how.value = 'prefix';
    this.filter.value = show(prefix);
    this.loadMap();
    this.find();
  }

  separate(input) {
    if (input.value === '') input.value = ':';
    this.separator = input.value;
    this.loadMap();
  }

  redraw(changes) {
    Object.assign(this, changes);
    if (changes.measure) this.loadMap();
    else this.drawMap();
  }

  // The treemap

  async loadMap() {
    const { prefix, separator, measure } = this;
    this.drawPath();
    let stats = null;
    let within = [];
    let reason = '';
    try {
      const question = ['PREFIX', 'STATS', prefix, 'SEPARATOR', unshow(separator), 'BY', measure];
      stats = parseStats(await this.session.ask(...question, 'COUNT', SHOWN_MAX));
      // Where nothing divides the keys, to look deeper is in vain, and dear.
      const isDivided = stats.prefixes.some((row) => row.prefix.length > prefix.length);
      if (isDivided) within = parseStats(await this.session.ask(...question, 'COUNT', WITHIN_MAX, 'DEPTH', 2)).prefixes;
    } catch (error) {
      reason = error.message;
    }
    if (prefix !== this.prefix || measure !== this.measure || separator !== this.separator) return;
    Object.assign(this, { stats, within, reason });
    this.drawMap();
  }

  /// The way from all keys to the prefix, each step up to and with a separator.
  drawPath() {
    const separator = unshow(this.separator);
    const ends = [];
    for (let at = 0; at + separator.length < this.prefix.length; at += 1) {
      const end = at + separator.length;
      if (same(this.prefix.subarray(at, end), separator)) {
        ends.push(end);
        at = end - 1;
      }
    }
    if (this.prefix.length > 0) ends.push(this.prefix.length);
    const steps = ends.map((end, index) => [this.prefix.slice(0, end), show(this.prefix.slice(ends[index - 1] ?? 0, end))]);
    steps.unshift([new Uint8Array(0), 'All keys']);
    this.path.replaceChildren(...steps.map(([prefix, label], index) => h('button', {
      type: 'button',
      class: 'step',
      'aria-current': index === steps.length - 1 && 'location',
      onclick: () => this.go(prefix),
    }, label)));
    this.deletion.hidden = this.prefix.length === 0;
  }

  drawMap() {
    const { stats, prefix: { length } } = this;
    if (!stats) {
      setText(this.mapNote, this.reason ? `The prefixes cannot be shown: ${this.reason}` : '');
      setText(this.summary, '');
      this.map.hidden = true;
      this.mapNote.hidden = !this.reason;
      this.legend.replaceChildren();
      return;
    }
    const detail = (totals) => `${count(totals.keys)} ${totals.keys === 1 ? 'key' : 'keys'}, ${size(totals.bytes)}`;
    setText(this.summary, stats.expiringKeys > 0 ? `${detail(stats)}, ${count(stats.expiringKeys)} expire` : detail(stats));
    const look = (totals) => {
      const isExpiry = this.colour === 'expiry';
      const [type] = totals.types.toSorted(([, one], [, other]) => other[this.measure] - one[this.measure])[0] ?? [];
      return {
        detail: detail(totals),
        weight: totals[this.measure],
        color: isExpiry ? 'expiry' : TYPES.includes(type) ? type : 'other',
        share: isExpiry ? totals.expiringKeys / totals.keys : undefined,
      };
    };
    const divided = stats.prefixes.filter((row) => row.prefix.length > length);
    const own = stats.prefixes.find((row) => row.prefix.length === length);
    const cellOf = (row, from) => ({ ...look(row), label: show(row.prefix.slice(from)), open: () => this.go(row.prefix) });
    const cells = divided.map((row) => {
      const from = row.prefix.length;
      const inner = this.within.filter(({ prefix }) => prefix.length > from && same(prefix.subarray(0, from), row.prefix));
      return { ...cellOf(row, length), inner: inner.map((each) => cellOf(each, from)) };
    });
    if (own) cells.push({ ...look(own), label: own.undivided > 0 ? 'keys not told apart' : 'keys right here' });
    if (stats.others.keys > 0) cells.push({ ...look(stats.others), label: 'smaller prefixes' });
    const isDivided = divided.length > 0;
    this.map.hidden = !isDivided;
    this.mapNote.hidden = isDivided;
    if (isDivided) drawTreemap(this.map, cells);
    // Where nothing divides the keys, their list has the room.
    else setText(this.mapNote, stats.keys > 0 ? 'No separator divides these keys further.' : 'There are no keys.');
    this.legend.replaceChildren(...stats.types.map(([type, figures]) => h('span', {},
      h('span', { class: `type ${type}` }, type), h('small', {}, `${count(figures.keys)} · ${size(figures.bytes)}`))));
  }

  async deletePrefix() {
    const { prefix } = this;
    const name = show(prefix);
    try {
      const stats = parseStats(await this.session.ask('PREFIX', 'STATS', prefix, 'COUNT', 1));
      const keys = `${count(stats.keys)} ${stats.keys === 1 ? 'key' : 'keys'}`;
      const question = `${keys} that begin with ${name} will be gone (${size(stats.bytes)}), in database ${this.session.database}.`;
      if (!await confirmed(`Delete everything under ${name}?`, question, `Delete ${keys}`)) return;
      // It takes its time, during which this page goes on.
      const connection = await this.session.connect();
      try {
        announce(`${count(await connection.ask('PREFIX', 'DEL', prefix))} keys are deleted.`);
      } finally {
        connection.close();
      }
      this.reset();
    } catch (error) {
      complain(error);
    }
  }

  // The list

  /// Looks for keys from the beginning.
  find() {
    const isPattern = this.how.value === 'pattern';
    const wanted = unshow(this.filter.value);
    this.pattern = isPattern ? wanted : concatenated([globOf(wanted), encode('*')]);
    if (!isPattern && !same(wanted, this.prefix)) {
      this.prefix = wanted;
      history.replaceState(null, '', addressOf(wanted));
      this.loadMap();
    }
    this.search += 1;
    Object.assign(this, { cursor: '0', isBegun: false, waiting: [], known: new Set() });
    this.rows.replaceChildren();
    return this.page();
  }

  /// Adds keys to the list.
  async page() {
    const { search } = this;
    const deadline = performance.now() + SEARCH_MS;
    setText(this.found, 'Looking…');
    this.more.hidden = true;
    try {
      while (this.waiting.length < PAGE && !(this.isBegun && this.cursor === '0') && performance.now() < deadline) {
        const kind = this.type.value ? ['TYPE', this.type.value] : [];
        const [cursor, keys] = await this.session.ask('SCAN', this.cursor, 'MATCH', this.pattern, 'COUNT', SCAN_COUNT, ...kind);
        if (search !== this.search) return;
        [this.cursor, this.isBegun] = [text(cursor), true];
        // A scan may come to a key twice.
        const fresh = keys.filter((key) => !this.known.has(show(key)));
        for (const key of fresh) this.known.add(show(key));
        this.waiting.push(...fresh);
      }
      const keys = this.waiting.splice(0, PAGE);
      const rows = await this.rowsOf(keys);
      if (search !== this.search) return;
      this.rows.append(...rows);
    } catch (error) {
      if (search !== this.search) return;
      setText(this.found, '');
      this.rows.append(nothing(`The keys cannot be listed: ${error.message}`));
      return;
    }
    const isEnd = this.isBegun && this.cursor === '0' && this.waiting.length === 0;
    const shown = this.rows.childElementCount;
    this.more.hidden = isEnd;
    const whole = shown === 0 ? 'There is no such key.' : `${count(shown)} ${shown === 1 ? 'key' : 'keys'}, and no more.`;
    setText(this.found, isEnd ? whole : `${count(shown)} keys so far.`);
    if (shown > 0 && !this.rows.querySelector('[tabindex="0"]')) this.rows.firstChild.tabIndex = 0;
  }

  async rowsOf(keys) {
    const replies = await this.session.all(...keys.flatMap((key) => [['TYPE', key], ['PTTL', key], ['MEMORY', 'USAGE', key]]));
    return keys.map((key, index) => {
      const [type, ttl, memory] = replies.slice(index * 3, index * 3 + 3);
      const kind = type instanceof ErrorReply ? '?' : text(type);
      const row = h('div', {
        class: 'key', role: 'option', tabindex: -1, 'aria-selected': 'false', onclick: () => this.choose(key, row),
      },
      h('span', { class: `type ${kind}` }, kind),
      h('span', { class: 'name' }, show(key)),
      h('span', { class: 'number' }, typeof ttl === 'number' && ttl >= 0 ? duration(ttl / 1000) : ''),
      h('span', { class: 'number' }, typeof memory === 'number' ? size(memory) : '–'));
      row.key = key;
      return row;
    });
  }

  /// Goes through the list by keyboard.
  move(event) {
    const rows = [...this.rows.children];
    const at = rows.indexOf(document.activeElement);
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      rows[at]?.click();
      return;
    }
    const row = rows[{ ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key]];
    if (!row) return;
    event.preventDefault();
    for (const other of rows) other.tabIndex = -1;
    row.tabIndex = 0;
    row.focus();
  }

  choose(key, chosen) {
    for (const row of this.rows.children) row.setAttribute('aria-selected', String(row === chosen));
    this.value.open(key);
    this.value.element.scrollIntoView({ block: 'nearest' });
  }

  rowOf(key) {
    return [...this.rows.children].find((row) => row.key && same(row.key, key));
  }

  forget(key) {
    this.rowOf(key)?.remove();
    this.loadMap();
  }

  /// A key that has just been made, or has got another name, comes first.
  async take(key) {
    this.rowOf(key)?.remove();
    const [row] = await this.rowsOf([key]);
    this.rows.prepend(row);
    this.choose(key, row);
    this.loadMap();
  }
}
