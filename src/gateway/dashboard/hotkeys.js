// Which keys cost most, as HOTKEYS finds out while somebody wants to know.

import { button, complain, fill, h, nothing, panel, setText } from './dom.js';
import { MapReply } from './resp.js';
import { micros, percent, show, size, text } from './text.js';

const SECONDS = 10;
const SHOWN = 10;

export class HotKeys {
  constructor(session) {
    this.session = session;
    this.action = button(`Track for ${SECONDS} s`, () => this.track());
    this.note = h('small', {});
    this.element = panel('Hot keys', { class: 'hot' });
    this.element.firstElementChild.append(h('span', { class: 'row' }, this.note, this.action));
    this.told('Tracks which keys take most processor time and most bytes of the network.');
  }

  told(words) {
    fill(this.element, nothing(words));
  }

  /// Shows what is known already, from whoever has looked last.
  async show() {
    try {
      await this.look();
    } catch (error) {
      const isUnknown = /^ERR unknown (sub)?command/i.test(error.message);
      this.action.hidden = isUnknown;
      this.told(isUnknown ? 'This server has no HOTKEYS.' : error.message);
    }
  }

  async track() {
    try {
      await this.session.ask('HOTKEYS', 'START', 'METRICS', 2, 'CPU', 'NET', 'COUNT', SHOWN, 'DURATION', SECONDS);
      for (let second = SECONDS; second > 0 && this.session.state === 'open'; second -= 1) {
        setText(this.action, `Tracking, ${second} s`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        await this.look();
      }
    } catch (error) {
      complain(error);
    }
    setText(this.action, `Track for ${SECONDS} s`);
  }

  async look() {
    const reply = await this.session.ask('HOTKEYS', 'GET');
    const report = Array.isArray(reply) ? reply[0] : reply;
    if (!(report instanceof MapReply)) return;
    const fields = new Map(report.pairs.map(([name, value]) => [text(name), value]));
    const seconds = Number(fields.get('collection-duration-ms') ?? 0) / 1000;
    const ratio = Number(fields.get('sample-ratio') ?? 1);
    setText(this.note, `over ${seconds.toFixed(1)} s${ratio > 1 ? `, estimated from one command in ${ratio}` : ''}`);
    // Totals are of all commands, costs of keys of those that were looked at.
    const costs = (field) => pairsOf(fields.get(field)).map(([key, cost]) => [key, Number(cost) * ratio]);
    const ranking = (field, total, write) => drawRanking(costs(field), Number(fields.get(total) ?? 0), write);
    fill(this.element, h('div', { class: 'grid halves rankings' },
      h('div', {}, h('h3', {}, 'by processor time'), ranking('by-cpu-time-us', 'all-commands-all-slots-us', micros)),
      h('div', {}, h('h3', {}, 'by bytes of the network'), ranking('by-net-bytes', 'net-bytes-all-commands-all-slots', size))));
  }
}

/// A key and its cost each, in whichever form they came.
function pairsOf(value) {
  if (value instanceof MapReply) return value.pairs;
  const flat = (value ?? []).flat();
  const pairs = [];
  for (let index = 0; index + 1 < flat.length; index += 2) pairs.push([flat[index], flat[index + 1]]);
  return pairs;
}

function drawRanking(pairs, total, write) {
  if (pairs.length === 0) return nothing('No key was used.');
  const greatest = Math.max(...pairs.map(([, cost]) => cost), 1);
  return h('ol', { class: 'ranking' }, pairs.map(([key, cost]) => {
    const bar = h('i', { class: 'bar' });
    bar.style.width = `${(cost / greatest) * 100}%`;
    // An estimate may be more than there is.
    const share = total > 0 ? percent(Math.min(cost / total, 1)) : '';
    return h('li', {}, bar, h('span', { class: 'name' }, show(key)), h('span', { class: 'number' }, write(cost)), h('span', { class: 'number' }, share));
  }));
}
