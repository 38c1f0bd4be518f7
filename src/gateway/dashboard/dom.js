// Elements of the page. Text goes in as text and never as markup, so that keys and values can be anything.

const SVG = 'http://www.w3.org/2000/svg';

/// An element. Attributes whose name begins with `on` are listeners; those that are null or false are left out.
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/// An element of a drawing.
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/// Gives an element other children, and leaves it alone if all that it holds is this text already.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/// A button. What it does may take a while: meanwhile it cannot be pressed again.
export function button(label, action, attributes = {}) {
  const element = h('button', { type: 'button', ...attributes }, label);
  element.addEventListener('click', async () => {
    element.disabled = true;
    try {
      await action(element);
    } finally {
      element.disabled = false;
    }
  });
  return element;
}

/// A form that calls `submit`, and goes nowhere.
export function form(attributes, submit, ...children) {
  const element = h('form', attributes, ...children);
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    submit(element);
  });
  return element;
}

/// A list to choose from: pairs of a value and what it is called.
export function choice(label, options, chosen, change) {
  const items = options.map(([value, text]) => h('option', { value, selected: value === chosen }, text));
  return h('label', { class: 'choice' }, label, h('select', { 'aria-label': label, onchange: (event) => change(event.target.value) }, items));
}

/// A part of a page that has a title.
export function panel(title, attributes, ...children) {
  const heading = h('header', {}, h('h2', {}, title));
  return h('section', { ...attributes, class: `panel ${attributes.class ?? ''}`, 'aria-label': title }, heading, ...children);
}

/// Puts other things below a panel's title.
export function fill(element, ...children) {
  const scrolled = element.querySelector('.scroll')?.scrollTop ?? 0;
  element.replaceChildren(element.firstElementChild, ...children.filter(Boolean));
  const scroll = element.querySelector('.scroll');
  if (scroll) scroll.scrollTop = scrolled;
}

/// Says that there is nothing to be seen, and why.
export function nothing(reason) {
  return h('p', { class: 'nothing' }, reason);
}

/// Says what went wrong, wherever the reader is.
export function complain(error) {
  announce(error.message ?? String(error), 'bad');
}

/// Shows a short message for some seconds.
export function announce(text, kind = 'good') {
  let shelf = document.querySelector('.toasts');
  if (!shelf) {
    shelf = h('div', { class: 'toasts', role: 'status', popover: 'manual' });
    document.body.append(shelf);
  }
  const toast = h('p', { class: `toast ${kind}` }, text);
  shelf.append(toast);
  // Shown anew, it comes before dialogs that have opened since.
  shelf.hidePopover();
  shelf.showPopover();
  setTimeout(() => {
    toast.remove();
    if (shelf.childElementCount === 0) shelf.hidePopover();
  }, kind === 'bad' ? 8000 : 3000);
}

/// Asks whether something is to be done. Resolves to whether it is.
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { class: 'confirm', 'aria-label': title, onclose: () => {
      resolve(dialog.returnValue === 'yes');
      dialog.remove();
    } });
    dialog.append(
      h('h2', {}, title),
      h('p', {}, text),
      h('div', { class: 'row end' },
        h('button', { type: 'button', onclick: () => dialog.close('no') }, 'Cancel'),
        h('button', { type: 'button', class: 'danger', onclick: () => dialog.close('yes') }, action)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/// Asks for values: `fields` are `{ name, label, value, lines, options, hint }`. `run` is called with what was entered, by name; what it
/// throws is shown, and the values may be entered anew.
export function prompted(title, fields, action, run) {
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const submit = h('button', { class: 'primary' }, action);
  const dialog = h('dialog', { class: 'prompt', 'aria-label': title, onclose: () => dialog.remove() });
  const input = ({ name, value = '', lines, options }) => {
    const attributes = { name, spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off', class: 'mono' };
    if (options) return h('select', { name }, options.map((option) => h('option', { value: option }, option)));
    return lines ? h('textarea', { ...attributes, rows: lines, value }) : h('input', { ...attributes, value });
  };
  dialog.append(form({}, async ({ elements }) => {
    submit.disabled = true;
    setText(wrong, '');
    try {
      await run(Object.fromEntries(fields.map(({ name }) => [name, elements[name].value])));
      dialog.close();
    } catch (error) {
      setText(wrong, error.message);
    }
    submit.disabled = false;
  },
  h('h2', {}, title),
  fields.map((field) => h('label', {}, field.label, input(field), field.hint && h('small', {}, field.hint))),
  wrong,
  h('div', { class: 'row end' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), submit)));
  document.body.append(dialog);
  dialog.showModal();
}
