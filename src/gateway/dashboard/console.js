// The console: a client of its own, which may subscribe, watch or select as it likes, with replies as redis-cli shows them.

import { OwnConnection } from './connection.js';
import { form, h, setText } from './dom.js';
import { ErrorReply, MapReply, Push } from './resp.js';
import { reply, splitWords, text } from './text.js';

/// Commands and replies that are kept, and characters of one that are shown.
const ENTRIES_MAX = 500;
const ENTRY_MAX = 100_000;
const HISTORY_MAX = 200;
/// Names that are offered for what has been typed.
const OFFERED_MAX = 12;

export class Console {
  constructor(session) {
    this.own = new OwnConnection(session, (connection) => this.begin(connection));
    this.history = [];
    this.at = 0;
    this.waiting = [];
    this.names = [];
    this.commands = new Map();
    this.output = h('div', { class: 'output mono', role: 'log', 'aria-label': 'Replies', tabindex: 0 });
    this.input = h('input', {
      class: 'mono', 'aria-label': 'Command', placeholder: 'a command, such as GET key', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false',
      onkeydown: (event) => this.key(event),
      oninput: () => this.hint(),
    });
    this.hints = h('p', { class: 'hints mono', 'aria-live': 'polite' });
    this.element = h('section', { class: 'panel console', 'aria-label': 'Console' },
      this.output,
      form({ class: 'row' }, () => this.submit(), h('span', { class: 'prompt mono', 'aria-hidden': 'true' }, '›'), this.input, h('button', { class: 'primary' }, 'Run')),
      this.hints);
    session.addEventListener('database', () => this.own.isOpen && this.run(`SELECT ${session.database}`));
    session.addEventListener('state', () => this.isShown && session.state === 'open' && this.connect());
  }

  show() {
    this.isShown = true;
    this.connect();
    this.input.focus();
  }

  hide() {
    this.isShown = false;
  }

  /// Whoever logs out leaves nothing behind.
  close() {
    this.own.close();
  }

  async connect() {
    try {
      await this.own.open();
    } catch (error) {
      this.print('wrong', error.message);
    }
  }

  async begin(connection) {
    if (this.commands.size === 0) await this.learn(connection);
    connection.received = (value) => this.print('reply', value);
    connection.closed = (error) => this.print('wrong', `The connection of the console is closed: ${error.message}`);
  }

  /// Asks which commands there are. Who may not know that does without.
  async learn(connection) {
    const [docs] = await connection.all(['COMMAND', 'DOCS']);
    const add = (prefix, pairs) => {
      for (const [name, value] of pairs) {
        const fields = fieldsOf(value);
        const full = `${prefix}${text(name).replace('|', ' ').toUpperCase()}`;
        this.commands.set(full, { syntax: syntax(fields.get('arguments')), summary: text(fields.get('summary')) });
        add('', fields.get('subcommands')?.pairs ?? []);
      }
    };
    if (docs instanceof MapReply) add('', docs.pairs);
    this.names = [...this.commands.keys()].sort();
    this.hint();
  }

  submit() {
    const line = this.input.value.trim();
    this.input.value = '';
    this.hint();
    if (line) this.run(line);
  }

  async run(line) {
    if (/^clear$/i.test(line)) {
      this.output.replaceChildren();
      return;
    }
    const isHidden = isSecret(line);
    if (!isHidden && this.history.at(-1) !== line) this.history.push(line);
    this.history.splice(0, this.history.length - HISTORY_MAX);
    this.at = this.history.length;
    this.print('asked', isHidden ? `${line.split(/\s/)[0]} …` : line);
    try {
      const words = splitWords(line);
      const connection = await this.own.open();
      connection.send(words);
    } catch (error) {
      this.print('wrong', error.message);
    }
  }

  /// Shows an entry, which is a text or a reply. However many come, the page is drawn once in a while.
  print(kind, entry) {
    this.waiting.push([kind, entry]);
    if (this.waiting.length > ENTRIES_MAX) this.waiting.shift();
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = null;
    this.output.append(...this.waiting.splice(0).map(([kind, entry]) => {
      const words = typeof entry === 'string' ? entry : reply(entry);
      const rest = words.length - ENTRY_MAX;
      const look = entry instanceof ErrorReply ? 'wrong' : entry instanceof Push ? 'push' : kind;
      return h('pre', { class: `entry ${look}` }, rest > 0 ? `${words.slice(0, ENTRY_MAX)}\n… and ${rest} characters more` : words);
    }));
    while (this.output.childElementCount > ENTRIES_MAX) this.output.firstChild.remove();
    this.output.scrollTop = this.output.scrollHeight;
  }

  key(event) {
    if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      event.preventDefault();
      this.at = Math.max(0, Math.min(this.history.length, this.at + (event.key === 'ArrowUp' ? -1 : 1)));
      this.input.value = this.history[this.at] ?? '';
      this.hint();
    } else if (event.key === 'Tab' && !event.shiftKey) {
      const [first] = this.offered();
      if (!first || this.input.value.toUpperCase().trimEnd() === first) return;
      event.preventDefault();
      this.input.value = `${first} `;
      this.hint();
    } else if (event.key === 'l' && event.ctrlKey) {
      event.preventDefault();
      this.output.replaceChildren();
    }
  }

  /// Commands that begin with what has been typed.
  offered() {
    const typed = this.input.value.toUpperCase().trimStart();
    return typed ? this.names.filter((name) => name.startsWith(typed)) : [];
  }

  /// Says what may follow, as far as that is known.
  hint() {
    const words = this.input.value.toUpperCase().trim().split(/\s+/);
    const offered = this.offered();
    const typed = [words.slice(0, 2).join(' '), words[0]].find((known) => this.commands.has(known));
    const name = offered.length === 1 ? offered[0] : typed;
    const isNamed = name && (this.input.value.includes(' ') || offered.length <= 1);
    const hint = isNamed ? `${name} ${this.commands.get(name).syntax} — ${this.commands.get(name).summary}` : offered.slice(0, OFFERED_MAX).join('  ');
    setText(this.hints, hint);
  }
}

/// Whether a line may hold a password, or what stands for one: it is not shown, nor kept.
export function isSecret(line) {
  let words;
  try {
    words = splitWords(line).map(text);
  } catch {
    words = line.split(/[\s"']+/).filter(Boolean);
  }
  const [name, of, ...rest] = words.map((word) => word.toLowerCase());
  switch (name) {
    case 'auth': return true;
    case 'hello':
    case 'migrate': return rest.some((word) => /^auth2?$/.test(word));
    case 'acl': return of === 'setuser' && rest.some((word) => /^[<>#!]/.test(word));
    case 'config': return of === 'set' && rest.some((word) => /(auth|pass)$/.test(word));
    default: return false;
  }
}

function fieldsOf(value) {
  return new Map((value?.pairs ?? []).map(([name, field]) => [text(name), field]));
}

/// How arguments are written, as the command's documentation has them.
function syntax(list) {
  return (list ?? []).map((argument) => {
    const fields = fieldsOf(argument);
    const flags = [...(fields.get('flags') ?? [])].map(text);
    const token = text(fields.get('token'));
    const kind = text(fields.get('type'));
    const inner = () => (fields.get('arguments') ?? []).map((item) => syntax([item]));
    let written = text(fields.get('display_text') ?? fields.get('name'));
    if (kind === 'pure-token') written = token;
    else if (kind === 'oneof') written = inner().join('|');
    else if (kind === 'block') written = inner().join(' ');
    if (kind === 'oneof' && (token || !flags.includes('optional'))) written = `<${written}>`;
    if (token && kind !== 'pure-token') written = `${token || '""'} ${written}`;
    if (flags.includes('multiple')) written = `${written} [${written} …]`;
    return flags.includes('optional') ? `[${written}]` : written;
  }).join(' ');
}
