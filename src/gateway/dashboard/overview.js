// The first view: what the server does at the moment, and in which state it is.

import { Chart, roundUp, roundUpBytes } from './chart.js';
import { Disconnected } from './connection.js';
import { button, fill, h, nothing, panel } from './dom.js';
import { HotKeys } from './hotkeys.js';
import { parseFields } from './live.js';
import { ErrorReply } from './resp.js';
import { count, duration, micros, percent, short, show, size, text } from './text.js';

/// Rows of a table.
const ROWS_MAX = 10;
/// Milliseconds between looks at slow commands and at clients.
const LISTS_MS = 3000;
/// Clients that are listed without having been asked for, and those that are shown.
const CLIENTS_LISTED_MAX = 1000;
const CLIENTS_SHOWN_MAX = 200;

export class Overview {
  constructor(session, live) {
    Object.assign(this, { session, live, isListing: false });
    /// `listed`, time and again, or `offered`; nothing before it is known how many there are.
    this.clientsAre = null;
    this.charts = [
      new Chart('Operations', {
        lines: [{ name: 'a second', of: (sample) => sample.operations, color: 'c1' }],
        write: (number) => `${short(number)}/s`,
        note: (sample) => (sample.processor === null ? '' : `${percent(sample.processor)} of one core`),
      }),
      new Chart('Latency', {
        lines: [
          { name: 'p50', of: (sample) => sample.p50, color: 'c1' },
          { name: 'p99', of: (sample) => sample.p99, color: 'c2' },
          { name: 'p99.9', of: (sample) => sample.p999, color: 'c3' },
        ],
        write: micros,
        logarithmic: true,
        fill: false,
        top: (number) => 10 ** Math.ceil(Math.log10(Math.max(10, number))),
        note: () => this.live.refusals.latency ?? 'in the server, by command',
      }),
      new Chart('Memory', {
        lines: [
          { name: 'used', of: (sample) => sample.memory, color: 'c1' },
          { name: 'resident', of: (sample) => sample.resident, color: 'c4' },
        ],
        write: size,
        top: roundUpBytes,
        note: () => this.memoryNote(),
      }),
      new Chart('Hit rate', {
        lines: [{ name: 'hits', of: (sample) => sample.hits, color: 'c2' }],
        write: percent,
        top: () => 1,
        note: (sample) => (sample.lookups === null ? '' : `${short(sample.lookups)} lookups/s`),
      }),
      new Chart('Clients', {
        lines: [
          { name: 'connected', of: (sample) => sample.clients, color: 'c1' },
          { name: 'blocked', of: (sample) => sample.blocked, color: 'c3' },
        ],
        write: count,
        top: (number) => Math.max(4, roundUp(number)),
        note: () => `at most ${count(Number(this.live.info.get('maxclients') ?? 0))}`,
      }),
      new Chart('Network', {
        lines: [
          { name: 'in', of: (sample) => sample.input, color: 'c1' },
          { name: 'out', of: (sample) => sample.output, color: 'c2' },
        ],
        write: (number) => `${size(number)}/s`,
        top: roundUpBytes,
      }),
    ];
    this.replication = panel('Replication', { class: 'facts' });
    this.persistence = panel('Persistence', { class: 'facts' });
    this.keyspace = panel('Keyspace', { class: 'facts' });
    this.commands = panel('Commands', { class: 'wide' });
    this.slow = panel('Slow commands', { class: 'wide' });
    this.hot = new HotKeys(session);
    this.clients = panel('Client list', { class: 'wide' });
    this.refusal = h('p', { class: 'banner bad', hidden: true });
    this.element = h('div', { class: 'overview' },
      this.refusal,
      h('div', { class: 'grid' }, this.charts.map((chart) => chart.element)),
      h('div', { class: 'grid' }, this.replication, this.persistence, this.keyspace),
      h('div', { class: 'grid halves' }, this.commands, this.slow),
      this.hot.element,
      this.clients);
    live.addEventListener('sample', () => {
      if (!this.isShown) return;
      this.draw();
      // With the first figures it is known whether clients can be listed.
      if (!this.clientsAre) this.list();
    });
  }

  show() {
    this.isShown = true;
    this.clientsAre = null;
    this.draw();
    this.list();
    this.hot.show();
    this.timer = setInterval(() => document.hidden || this.list(), LISTS_MS);
  }

  hide() {
    this.isShown = false;
    clearInterval(this.timer);
  }

  memoryNote() {
    const info = this.live.info;
    const limit = Number(info.get('maxmemory') ?? 0);
    const peak = `peak ${size(Number(info.get('used_memory_peak') ?? 0))}`;
    return limit > 0 ? `of ${size(limit)}, ${info.get('maxmemory_policy')}; ${peak}` : peak;
  }

  draw() {
    this.refusal.hidden = !this.live.refusals.info;
    this.refusal.textContent = this.live.refusals.info ? `There are no figures: ${this.live.refusals.info}` : '';
    for (const chart of this.charts) chart.draw(this.live.samples);
    const { info } = this.live;
    if (info.size === 0) return;
    facts(this.replication, replication(info));
    facts(this.persistence, persistence(info));
    facts(this.keyspace, keyspace(info, this.live.samples.at(-1)));
    const rows = this.live.commands.slice(0, ROWS_MAX).map((row) => [
      row.name, `${short(row.calls)}/s`, micros(row.mean), row.p99 === null ? '–' : micros(row.p99), percent(row.share),
      short(row.total), row.failed > 0 ? short(row.failed) : '–',
    ]);
    const heads = ['command', '#calls', '#mean', '#p99', '#of one core', '#ever', '#failed'];
    fill(this.commands, rows.length > 0 ? table(heads, rows) : nothing('No command has been called yet.'));
  }

  /// Asks for slow commands and for clients, unless the last answer is still to come.
  async list() {
    if (this.session.state !== 'open' || this.isListing) return;
    const { info, refusals } = this.live;
    const connected = Number(info.get('connected_clients'));
    const wantsClients = info.size > 0 && connected <= CLIENTS_LISTED_MAX;
    const commands = [['SLOWLOG', 'GET', ROWS_MAX], ...(wantsClients ? [['CLIENT', 'LIST']] : [])];
    this.isListing = true;
    try {
      const [slow, clients] = await this.session.all(...commands);
      this.drawSlow(slow);
      if (wantsClients) {
        this.clientsAre = 'listed';
        this.drawClients(clients);
      } else if (info.size > 0) {
        this.offerClients(`${count(connected)} clients are not listed by themselves. `);
      } else if (refusals.info) {
        this.offerClients('Clients are not listed by themselves while it is not known how many there are. ');
      }
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
    } finally {
      this.isListing = false;
    }
  }

  drawSlow(slow) {
    if (slow instanceof ErrorReply) {
      fill(this.slow, nothing(slow.message));
      return;
    }
    const rows = slow.map(([, time, taken, words, client, name]) => [
      new Date(time * 1000).toLocaleTimeString(),
      micros(taken),
      clipped(words.map((word) => show(word)).join(' ')),
      text(name) || text(client),
    ]);
    fill(this.slow, rows.length > 0
      ? table(['at', '#took', 'command', 'client'], rows)
      : nothing('No command was slower than slowlog-log-slower-than.'));
  }

  offerClients(words) {
    // Who has had them listed goes on seeing them.
    if (this.clientsAre === 'offered') return;
    this.clientsAre = 'offered';
    fill(this.clients, h('p', { class: 'nothing' }, words,
      button('List them once', async () => this.drawClients(await this.session.ask('CLIENT', 'LIST').catch((error) => error)))));
  }

  drawClients(reply) {
    if (reply instanceof Error) {
      fill(this.clients, nothing(reply.message));
      return;
    }
    const clients = text(reply).split('\n').filter(Boolean).map((line) => Object.fromEntries(line.split(' ').map((field) => {
      const equals = field.indexOf('=');
      return [field.slice(0, equals), field.slice(equals + 1)];
    })));
    clients.sort((one, other) => Number(one.idle) - Number(other.idle) || Number(other['tot-cmds']) - Number(one['tot-cmds']));
    const rows = clients.slice(0, CLIENTS_SHOWN_MAX).map((client) => [
      client.id, client.addr, client.name || client['lib-name'] || '–', client.user, client.db, client.cmd?.replace('|', ' '),
      duration(Number(client.age)), duration(Number(client.idle)), size(Number(client['tot-mem'])), short(Number(client['tot-cmds'] ?? 0)),
    ]);
    const heads = ['#id', 'address', 'name', 'user', '#db', 'last command', '#age', '#idle', '#memory', '#commands'];
    const more = clients.length - rows.length;
    fill(this.clients, table(heads, rows), more > 0 && nothing(`and ${count(more)} more`));
  }
}

function clipped(shown) {
  return shown.length > 160 ? `${shown.slice(0, 160)}…` : shown;
}

/// Rows under titles; those that begin with # are of numbers.
export function table(heads, rows) {
  const isNumber = heads.map((head) => head.startsWith('#'));
  const cell = (tag, content, index) => h(tag, { class: isNumber[index] && 'number', scope: tag === 'th' && 'col' }, content ?? '–');
  return h('div', { class: 'scroll', tabindex: 0 }, h('table', {},
    h('thead', {}, h('tr', {}, heads.map((head, index) => cell('th', head.replace('#', ''), index)))),
    h('tbody', {}, rows.map((row) => h('tr', {}, row.map((content, index) => cell('td', content, index)))))));
}

/// Rows of a name, what there is to say, and how good that is.
function facts(element, rows) {
  fill(element, h('dl', {}, rows.filter(Boolean).map(([name, value, mood]) => [h('dt', {}, name), h('dd', { class: mood }, value)])));
}

function since(seconds) {
  return `${duration(Math.max(0, Date.now() / 1000 - seconds))} ago`;
}

function replication(info) {
  const rows = [];
  if (info.get('role') === 'slave') {
    const isUp = info.get('master_link_status') === 'up';
    rows.push(
      ['role', 'replica'],
      ['primary', `${info.get('master_host')}:${info.get('master_port')}`],
      ['link', isUp ? 'up' : `down${info.get('master_sync_in_progress') === '1' ? ', copying' : ''}`, isUp ? 'good' : 'bad'],
      ['last heard', `${info.get('master_last_io_seconds_ago')} s ago`],
    );
  } else {
    rows.push(['role', 'primary']);
  }
  const offset = Number(info.get('master_repl_offset') ?? 0);
  rows.push(['offset', count(offset)]);
  const replicas = [...info].filter(([name]) => /^slave\d+$/.test(name)).map(([, value]) => parseFields(value));
  rows.push(['replicas', count(Number(info.get('connected_slaves') ?? 0))]);
  for (const replica of replicas) {
    const behind = Math.max(0, offset - Number(replica.offset));
    const isOnline = replica.state === 'online';
    const lag = isOnline ? `${size(behind)} behind, heard ${replica.lag} s ago` : replica.state;
    rows.push([`${replica.ip}:${replica.port}`, lag, isOnline && Number(replica.lag) < 5 ? 'good' : 'bad']);
  }
  if (info.get('repl_backlog_active') === '1') rows.push(['backlog', size(Number(info.get('repl_backlog_histlen')))]);
  return rows;
}

function persistence(info) {
  const isOn = (name) => info.get(name) === '1';
  const state = (name) => [info.get(name) ?? '–', info.get(name) === 'ok' ? 'good' : 'bad'];
  const rows = [
    isOn('loading') && ['loading', percent(Number(info.get('loading_loaded_perc') ?? 0) / 100), 'bad'],
    ['snapshot', isOn('rdb_bgsave_in_progress')
      ? `being written, for ${info.get('rdb_current_bgsave_time_sec')} s` : since(Number(info.get('rdb_last_save_time')))],
    ['outcome', ...state('rdb_last_bgsave_status')],
    ['changes since', count(Number(info.get('rdb_changes_since_last_save') ?? 0))],
    ['append-only file', isOn('aof_enabled') ? size(Number(info.get('aof_current_size') ?? 0)) : 'off'],
  ];
  if (isOn('aof_enabled')) {
    rows.push(['last write', ...state('aof_last_write_status')]);
    rows.push(['rewriting', isOn('aof_rewrite_in_progress') ? 'now' : state('aof_last_bgrewrite_status')[0]]);
  }
  return rows;
}

function keyspace(info, sample) {
  const databases = [...info].filter(([name]) => /^db\d+$/.test(name)).map(([name, value]) => [name, parseFields(value)]);
  const keys = databases.reduce((sum, [, fields]) => sum + Number(fields.keys), 0);
  const rows = [['keys', count(keys)]];
  for (const [name, fields] of databases) {
    rows.push([name, `${count(Number(fields.keys))} keys, ${count(Number(fields.expires))} expire`]);
  }
  rows.push(
    ['expired', sample?.expired === null ? '–' : `${short(sample.expired)}/s`],
    ['evicted', sample?.evicted === null ? '–' : `${short(sample.evicted)}/s`, sample?.evicted > 0 ? 'bad' : undefined],
    ['channels', `${count(Number(info.get('pubsub_channels') ?? 0))}, ${count(Number(info.get('pubsub_patterns') ?? 0))} patterns`],
  );
  return rows;
}
