// What there is under which prefix, as areas: PREFIX STATS, drawn as a treemap to go into.

import { h } from './dom.js';
import { text } from './text.js';

/// Types of values, each with its colour.
export const TYPES = ['string', 'list', 'set', 'zset', 'hash', 'stream'];

/// Prefixes that are shown, and those within them.
export const SHOWN_MAX = 80;
export const WITHIN_MAX = 300;

/// What PREFIX STATS says, as objects.
export function parseStats(reply) {
  const totals = (value) => {
    const fields = new Map(value.pairs.map(([name, field]) => [text(name), field]));
    const types = (fields.get('types')?.pairs ?? []).map(([name, figures]) => {
      const figure = new Map(figures.pairs.map(([key, number]) => [text(key), Number(number)]));
      return [text(name), { keys: figure.get('keys'), bytes: figure.get('bytes') }];
    });
    return {
      prefix: fields.get('prefix'),
      keys: Number(fields.get('keys')),
      bytes: Number(fields.get('bytes')),
      expiringKeys: Number(fields.get('expiring-keys')),
      undivided: Number(fields.get('undivided-keys') ?? 0),
      types,
      fields,
    };
  };
  const all = totals(reply);
  return { ...all, prefixes: all.fields.get('prefixes').map(totals), others: totals(all.fields.get('others')) };
}

/// Rectangles for weights, largest first, that fill so much room and are as square as they get (Bruls, Huizing and van Wijk,
/// "Squarified Treemaps", 2000).
export function squarify(weights, width, height) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const scale = total > 0 ? (width * height) / total : 0;
  const rectangles = [];
  let left = { x: 0, y: 0, width, height };
  let index = 0;
  while (index < weights.length) {
    const side = Math.min(left.width, left.height);
    let end = index;
    let area = 0;
    let worst = Infinity;
    // A row takes weights for as long as its rectangles get no longer by that.
    while (end < weights.length) {
      const grown = area + weights[end] * scale;
      const largest = (side * side * weights[index] * scale) / (grown * grown);
      const smallest = (grown * grown) / Math.max(side * side * weights[end] * scale, 1e-9);
      const ratio = Math.max(largest, smallest);
      if (ratio > worst) break;
      [area, worst, end] = [grown, ratio, end + 1];
    }
    const isUpright = left.width >= left.height;
    const thickness = side > 0 ? area / side : 0;
    let along = 0;
    for (; index < end; index += 1) {
      const length = thickness > 0 ? (weights[index] * scale) / thickness : 0;
      rectangles.push(isUpright
        ? { x: left.x, y: left.y + along, width: thickness, height: length }
        : { x: left.x + along, y: left.y, width: length, height: thickness });
      along += length;
    }
    left = isUpright
      ? { ...left, x: left.x + thickness, width: left.width - thickness }
      : { ...left, y: left.y + thickness, height: left.height - thickness };
  }
  return rectangles;
}

/// Room for the title of a cell with others in it.
const TITLE = 22;
/// Cells of fewer pixels in a row have none in them, and none of fewer in all are drawn in others.
const OUTER_MIN = 70;
const INNER_AREA_MIN = 150;

/// Draws cells `{ label, detail, weight, color, share, open, inner }` in an element that is as large as it is; `inner` are the
/// cells within a cell.
export function drawTreemap(element, cells) {
  element.replaceChildren(...placed(cells, element.clientWidth, element.clientHeight).map(([cell, place]) => {
    const isLarge = place.width >= OUTER_MIN && place.height >= OUTER_MIN;
    const seen = INNER_AREA_MIN * (cell.weight / (place.width * place.height));
    const inner = isLarge ? (cell.inner ?? []).filter((each) => each.weight >= seen) : [];
    const area = cellOf(cell, place, inner.length === 0);
    if (inner.length > 0) {
      // What is not drawn has its room as well.
      const rest = cell.weight - inner.reduce((sum, each) => sum + each.weight, 0);
      const parts = placed([...inner, { weight: rest }], place.width - 10, place.height - TITLE - 8);
      const drawn = parts.filter(([each]) => each.open);
      area.append(...drawn.map(([each, { x, y, ...room }]) => cellOf(each, { x: x + 5, y: y + TITLE, ...room }, true)));
    }
    return area;
  }));
}

/// Cells with the rectangles that they take, largest first.
function placed(cells, width, height) {
  const sorted = cells.filter((cell) => cell.weight > 0).sort((one, other) => other.weight - one.weight);
  const rectangles = squarify(sorted.map((cell) => cell.weight), width, height);
  return sorted.map((cell, index) => [cell, rectangles[index]]);
}

/// One cell: a button if it can be gone into and nothing lies in it, and else an area with a button for a title.
function cellOf(cell, { x, y, width, height }, isPlain) {
  const attributes = { title: `${cell.label}\n${cell.detail}`, 'aria-label': `${cell.label}, ${cell.detail}` };
  const hasRoom = width > 34 && height > 18;
  const label = hasRoom ? [h('b', {}, cell.label), (height > 40 || !isPlain) && h('small', {}, cell.detail)] : [];
  let area;
  if (!isPlain) area = h('div', { class: `cell outer ${cell.color}` }, h('button', { type: 'button', class: 'title', onclick: cell.open, ...attributes }, label));
  else if (cell.open) area = h('button', { type: 'button', class: `cell ${cell.color}`, onclick: cell.open, ...attributes }, label);
  else area = h('div', { role: 'img', class: `cell closed ${cell.color}`, ...attributes }, label);
  // A gap between neighbours.
  const inset = (length) => `${Math.max(1, length - 2)}px`;
  Object.assign(area.style, { left: `${x}px`, top: `${y}px`, width: inset(width), height: inset(height) });
  if (cell.share !== undefined) area.style.setProperty('--share', `${Math.round(15 + cell.share * 85)}%`);
  return area;
}
