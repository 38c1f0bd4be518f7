// The figures of the server, second by second: what INFO and LATENCY HISTOGRAM count, as rates between two looks.

import { Disconnected } from './connection.js';
import { ErrorReply } from './resp.js';
import { text } from './text.js';

const INTERVAL_MS = 1000;
/// Looks that are kept.
const SAMPLES_MAX = 300;
const SECTIONS = ['server', 'clients', 'memory', 'persistence', 'stats', 'replication', 'cpu', 'commandstats', 'keyspace'];
/// What looks at servers takes long, and is no part of the load: an idle server would seem to be slow.
const LOOKS = /^(info|latency|slowlog|client|config|command|prefix|hotkeys)\b/;

/// Events: `sample`, after each look.
export class Live extends EventTarget {
  constructor(session) {
    super();
    this.session = session;
    this.samples = [];
    this.info = new Map();
    /// Of each command: calls, microseconds and times, in all and a second.
    this.commands = [];
    this.refusals = { info: null, latency: null };
    this.asked = 0;
    session.addEventListener('state', () => this.follow());
    document.addEventListener('visibilitychange', () => this.follow());
  }

  /// Looks while there is a connection and somebody to see it.
  follow() {
    const isWanted = this.session.state === 'open' && !document.hidden;
    if (isWanted && !this.timer) {
      this.before = null;
      this.timer = setInterval(() => this.look(), INTERVAL_MS);
      this.look();
    } else if (!isWanted) {
      clearInterval(this.timer);
      this.timer = null;
      this.asked = 0;
    }
  }

  /// Another user may not know what this one knew.
  forget() {
    [this.samples.length, this.info, this.commands] = [0, new Map(), []];
  }

  /// Milliseconds for which the server has not answered.
  get silence() {
    return this.asked ? performance.now() - this.asked : 0;
  }

  async look() {
    if (this.asked) {
      this.dispatchEvent(new Event('sample'));
      return;
    }
    this.asked = performance.now();
    const { main } = this.session;
    const { sent } = main;
    try {
      const [info, latency] = await this.session.all(['INFO', ...SECTIONS], ['LATENCY', 'HISTOGRAM']);
      if (main !== this.session.main) return;
      this.refusals.info = info instanceof ErrorReply ? info.message : null;
      this.refusals.latency = latency instanceof ErrorReply ? latency.message : null;
      if (info instanceof ErrorReply) this.info = new Map();
      else this.take(parseInfo(text(info)), latency.pairs ? parseHistograms(latency) : new Map(), sent);
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      return;
    } finally {
      this.asked = 0;
    }
    this.dispatchEvent(new Event('sample'));
  }

  take(info, histograms, sent) {
    this.info = info;
    const number = (name) => Number(info.get(name) ?? 0);
    const now = { info, histograms, sent, micros: number('server_time_usec') || performance.now() * 1000 };
    const { before } = this;
    this.before = now;
    const seconds = before ? (now.micros - before.micros) / 1e6 : 0;
    // Another server, or one whose counters were reset.
    const isNew = !before || seconds <= 0 || before.info.get('run_id') !== info.get('run_id');
    const rate = (name, less = 0) => {
      const grown = number(name) - Number(before?.info.get(name) ?? 0) - less;
      return isNew ? null : Math.max(0, grown / seconds);
    };
    const times = isNew ? new Map() : difference(before.histograms, histograms);
    const all = merged([...times].filter(([name]) => !LOOKS.test(name)).map(([, buckets]) => buckets));
    const hits = rate('keyspace_hits');
    const misses = rate('keyspace_misses');
    this.samples.push({
      time: Date.now(),
      // What this page asks is not the load.
      operations: rate('total_commands_processed', isNew ? 0 : sent - before.sent),
      p50: quantile(all, 0.5),
      p99: quantile(all, 0.99),
      p999: quantile(all, 0.999),
      memory: number('used_memory'),
      resident: number('used_memory_rss'),
      hits: hits + misses > 0 ? hits / (hits + misses) : null,
      lookups: isNew ? null : hits + misses,
      clients: number('connected_clients'),
      blocked: number('blocked_clients'),
      input: rate('total_net_input_bytes'),
      output: rate('total_net_output_bytes'),
      expired: rate('expired_keys'),
      evicted: rate('evicted_keys'),
      processor: isNew ? null : rate('used_cpu_user') + rate('used_cpu_sys'),
    });
    this.samples.splice(0, this.samples.length - SAMPLES_MAX);
    this.commands = commands(info, isNew ? null : before.info, seconds, times);
  }
}

/// The fields of INFO.
export function parseInfo(info) {
  const lines = info.split('\r\n').filter((line) => line && !line.startsWith('#'));
  return new Map(lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1)];
  }));
}

/// The parts of a field such as `calls=1,usec=2`.
export function parseFields(value) {
  return Object.fromEntries((value ?? '').split(',').filter(Boolean).map((part) => part.split('=')));
}

/// Of each command, how many calls took at most so many microseconds, and more than the next smaller time there.
function parseHistograms(latency) {
  return new Map(latency.pairs.map(([name, details]) => {
    const histogram = details.pairs?.find(([field]) => text(field) === 'histogram_usec')?.[1];
    const buckets = new Map();
    let calls = 0;
    for (const [bound, sum] of histogram?.pairs ?? []) {
      buckets.set(Number(bound), Number(sum) - calls);
      calls = Number(sum);
    }
    return [text(name), buckets];
  }));
}

function difference(before, now) {
  return new Map([...now].map(([name, buckets]) => {
    const known = before.get(name) ?? new Map();
    const grown = [...buckets].map(([bound, calls]) => [bound, calls - (known.get(bound) ?? 0)]);
    return [name, new Map(grown.filter(([, calls]) => calls > 0))];
  }));
}

function merged(histograms) {
  const sum = new Map();
  for (const buckets of histograms) {
    for (const [bound, calls] of buckets) sum.set(bound, (sum.get(bound) ?? 0) + calls);
  }
  return sum;
}

/// The time in microseconds that so large a share of calls took at most; null without calls. Each bucket reaches from half its
/// bound to its bound; calls are taken to be spread evenly in it.
export function quantile(buckets, share) {
  const sorted = [...buckets].sort(([one], [other]) => one - other);
  const calls = sorted.reduce((sum, [, number]) => sum + number, 0);
  let missing = calls * share;
  for (const [bound, number] of sorted) {
    if (missing <= number) return (bound / 2) * (1 + missing / number);
    missing -= number;
  }
  return calls > 0 ? sorted.at(-1)[0] : null;
}

/// What each command has cost in the last interval, or ever if it is the first, dearest first.
function commands(info, before, seconds, times) {
  const rows = [];
  for (const [field, value] of info) {
    if (!field.startsWith('cmdstat_')) continue;
    const name = field.slice('cmdstat_'.length);
    const now = parseFields(value);
    const old = parseFields(before?.get(field));
    const calls = Number(now.calls) - Number(old.calls ?? 0);
    const spent = Number(now.usec) - Number(old.usec ?? 0);
    const failed = Number(now.failed_calls ?? 0) + Number(now.rejected_calls ?? 0);
    rows.push({
      name: name.replace('|', ' '),
      total: Number(now.calls),
      failed,
      calls: before ? Math.max(0, calls / seconds) : 0,
      share: before ? Math.max(0, spent / seconds / 1e6) : 0,
      mean: calls > 0 ? spent / calls : Number(now.usec_per_call),
      p99: quantile(times.get(name) ?? new Map(), 0.99),
    });
  }
  return rows.sort((one, other) => other.share - one.share || other.total - one.total);
}
