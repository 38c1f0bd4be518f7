// Lines over the last minutes, and the figures of the moment that the pointer is at.

import { h, setText, svg } from './dom.js';

/// Looks that are shown: one a second.
const SHOWN = 180;
const WIDTH = 360;
const HEIGHT = 84;

/// A title with the figures of each line, and the lines below.
///
/// `lines` are of the form `{ name, of, color }`, where `of` finds the number of a look, or null if there is none; `write`
/// makes text of a number; `top` gives the upper end of the scale for the greatest number. With `logarithmic`, the scale is one.
export class Chart {
  constructor(title, { lines, write, top = roundUp, note = () => '', logarithmic = false, fill = true }) {
    Object.assign(this, { lines, write, top, note, logarithmic });
    this.samples = [];
    this.figures = lines.map((line) => h('b', { class: `figure ${line.color}` }, '–'));
    const legend = lines.map((line, index) => h('span', { class: 'legend' },
      lines.length > 1 && h('i', { class: `swatch ${line.color}` }), this.figures[index], lines.length > 1 && h('small', {}, line.name)));
    this.paths = lines.map((line) => svg('path', { class: `line ${line.color}` }));
    this.areas = fill ? lines.slice(0, 1).map((line) => svg('path', { class: `area ${line.color}` })) : [];
    this.mark = svg('line', { class: 'mark', y1: 0, y2: HEIGHT, visibility: 'hidden' });
    this.upper = h('span', { class: 'scale upper' });
    this.lower = h('span', { class: 'scale lower' });
    this.caption = h('small', { class: 'note' });
    const grid = [0.25, 0.5, 0.75].map((share) => svg('line', { class: 'grid', x2: WIDTH, y1: HEIGHT * share, y2: HEIGHT * share }));
    this.drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      grid, this.areas, this.paths, this.mark);
    const plot = h('div', { class: 'plot', onpointermove: (event) => this.point(event), onpointerleave: () => this.point(null) },
      this.drawing, this.upper, this.lower);
    this.element = h('section', { class: 'panel chart', 'aria-label': title },
      h('header', {}, h('h2', {}, title), this.caption), h('div', { class: `figures${lines.length > 2 ? ' many' : ''}` }, legend), plot);
  }

  point(event) {
    const bounds = this.drawing.getBoundingClientRect();
    this.pointed = event && bounds.width ? (event.clientX - bounds.left) / bounds.width : null;
    this.figure();
  }

  draw(samples) {
    this.samples = samples.slice(-SHOWN);
    const numbers = this.lines.map((line) => this.samples.map((sample) => line.of(sample)));
    const known = numbers.flat().filter((number) => number !== null && Number.isFinite(number));
    const greatest = Math.max(0, ...known);
    const upper = this.top(greatest);
    const lower = this.logarithmic ? 1 : 0;
    const scale = (number) => (this.logarithmic
      ? Math.log(Math.max(number, lower)) / Math.log(Math.max(upper, 2))
      : number / (upper || 1));
    setText(this.upper, known.length > 0 ? this.write(upper) : '');
    setText(this.lower, known.length > 0 && this.logarithmic ? this.write(lower) : '');
    numbers.forEach((line, index) => {
      const path = pathOf(line, scale);
      this.paths[index].setAttribute('d', path.line);
      this.areas[index]?.setAttribute('d', path.area);
    });
    this.figure();
  }

  /// Writes the figures of now, or of the moment that the pointer is at.
  figure() {
    let sample = this.samples.at(-1);
    let caption = sample ? this.note(sample) : '';
    const isPointed = this.pointed !== null && this.pointed !== undefined;
    if (isPointed) {
      const index = Math.round(this.pointed * (SHOWN - 1)) - (SHOWN - this.samples.length);
      sample = this.samples[index];
      const seconds = this.samples.length - 1 - index;
      caption = sample && seconds > 0 ? `${seconds} s ago` : caption;
      this.mark.setAttribute('x1', this.pointed * WIDTH);
      this.mark.setAttribute('x2', this.pointed * WIDTH);
    }
    this.mark.setAttribute('visibility', isPointed && sample ? 'visible' : 'hidden');
    setText(this.caption, caption);
    this.lines.forEach((line, index) => {
      const number = sample ? line.of(sample) : null;
      setText(this.figures[index], number === null || !Number.isFinite(number) ? '–' : this.write(number));
    });
  }
}

/// The lines through numbers, the last of which is at the right edge, and the area below; they are broken where there is none.
function pathOf(numbers, scale) {
  let line = '';
  let area = '';
  let begin = null;
  const x = (index) => ((SHOWN - numbers.length + index) / (SHOWN - 1)) * WIDTH;
  const end = (index) => {
    if (begin !== null) area += `L${x(index).toFixed(1)} ${HEIGHT}L${x(begin).toFixed(1)} ${HEIGHT}Z`;
    begin = null;
  };
  numbers.forEach((number, index) => {
    if (number === null || !Number.isFinite(number)) {
      end(index - 1);
      return;
    }
    // A line of its own width within the drawing.
    const y = 1 + (HEIGHT - 2) * (1 - Math.min(1, scale(number)));
    const point = `${begin === null ? 'M' : 'L'}${x(index).toFixed(1)} ${y.toFixed(1)}`;
    line += point;
    area += point;
    begin ??= index;
  });
  end(numbers.length - 1);
  return { line, area };
}

/// The next number that is easy to read.
export function roundUp(number) {
  if (number <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= number * 1.02) ?? 10 * power;
}

/// The same for bytes.
export function roundUpBytes(number) {
  const unit = 1024 ** Math.floor(Math.log(Math.max(1, number)) / Math.log(1024));
  return roundUp(number / unit) * unit;
}
