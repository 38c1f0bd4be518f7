// The frame of the page: logging in, the views and the way between them, and whether there is a connection.

import { Session } from './connection.js';
import { Console } from './console.js';
import { button, complain, form, h, setText } from './dom.js';
import { Keys } from './keys.js';
import { Live } from './live.js';
import { Messages } from './messages.js';
import { Overview } from './overview.js';
import { duration } from './text.js';

/// What is kept in the browser: the colours, and no more.
const THEME = 'radish-theme';
const THEMES = { auto: 'System', light: 'Light', dark: 'Dark' };
/// Databases that can be chosen from; the console selects any.
const DATABASES_MAX = 1000;
/// Milliseconds without an answer of which the page speaks.
const SILENCE_MS = 3000;

const session = new Session();
const live = new Live(session);
const views = {
  overview: { title: 'Overview', make: () => new Overview(session, live) },
  keys: { title: 'Keys', make: () => new Keys(session) },
  console: { title: 'Console', make: () => new Console(session) },
  messages: { title: 'Messages', make: () => new Messages(session) },
};
let shown = null;

function theme(chosen) {
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem(THEME, chosen);
  } catch {
    // A browser that keeps nothing has the colours of the system next time.
  }
}

function storedTheme() {
  try {
    return localStorage.getItem(THEME) in THEMES ? localStorage.getItem(THEME) : 'auto';
  } catch {
    return 'auto';
  }
}

const banner = h('p', { class: 'banner bad', role: 'alert', hidden: true });
const status = h('span', { class: 'status' });
const server = h('span', { class: 'server' });
const user = h('span', { class: 'user' });
const database = h('select', { 'aria-label': 'Database', onchange: (event) => session.select(Number(event.target.value)).catch((error) => {
  database.value = session.database;
  complain(error);
}) });
const colours = h('select', { 'aria-label': 'Colours', onchange: (event) => theme(event.target.value) },
  Object.entries(THEMES).map(([value, label]) => h('option', { value }, label)));
const tabs = h('nav', { class: 'tabs', 'aria-label': 'Views' }, Object.entries(views).map(([name, view]) =>
  h('a', { href: `#${name}`, 'data-view': name }, view.title)));
const main = h('main', { tabindex: -1 });
const frame = h('div', { class: 'frame', hidden: true },
  h('header', { class: 'top' },
    h('a', { class: 'brand', href: '#overview' }, 'Radish'),
    tabs,
    h('span', { class: 'space' }),
    status, server,
    h('label', { class: 'choice' }, 'Database', database),
    h('label', { class: 'choice' }, 'Colours', colours),
    h('span', { class: 'account' }, user, button('Log out', () => session.logOut(), { class: 'quiet' }))),
  banner,
  main);

const wrong = h('p', { class: 'wrong', role: 'alert' });
const login = form({ class: 'login', hidden: true, autocomplete: 'on' }, logIn,
  h('h1', { class: 'brand' }, 'Radish'),
  h('label', {}, 'User', h('input', { name: 'user', autocomplete: 'username', placeholder: 'default', spellcheck: 'false', autocapitalize: 'none' })),
  h('label', {}, 'Password', h('input', { name: 'password', type: 'password', autocomplete: 'current-password' })),
  wrong,
  h('button', { class: 'primary' }, 'Log in'),
  h('p', { class: 'hint' }, 'A user of the server, as in ACL LIST. The password stays in this page and is gone when you leave it.'));

async function logIn() {
  const submit = login.querySelector('button');
  submit.disabled = true;
  await session.logIn(login.elements.user.value, login.elements.password.value);
  submit.disabled = false;
  if (session.state === 'open') login.reset();
}

/// Shows what there is to be shown in this state.
function follow() {
  const isLogin = session.state === 'login' || (session.state === 'connecting' && !frame.dataset.begun);
  login.hidden = session.state !== 'login';
  frame.hidden = isLogin;
  frame.classList.toggle('lost', session.state === 'lost');
  setText(wrong, session.state === 'login' ? session.reason : '');
  if (session.state === 'login') {
    (login.elements.user.value ? login.elements.password : login.elements.user).focus();
    shown?.hide();
    shown = null;
    for (const view of Object.values(views)) {
      // A client of its own ends with the session.
      view.made?.close?.();
      view.made = null;
    }
    main.replaceChildren();
    live.forget();
  }
  if (session.state === 'lost') frame.dataset.begun = 'yes';
  if (session.state === 'open') {
    frame.dataset.begun = 'yes';
    setText(user, session.user);
    const names = Array.from({ length: Math.min(session.databases, DATABASES_MAX) }, (_, index) => h('option', { value: index }, String(index)));
    database.replaceChildren(...names);
    database.value = session.database;
    if (!shown) go();
  }
  speak();
}

/// Says which server this is, and what is the matter with it.
function speak() {
  const { info } = live;
  if (info.size > 0) {
    const name = info.get('server_name') ?? 'server';
    const version = info.get('radish_version') ?? info.get('redis_version');
    setText(server, `${name} ${version} · up ${duration(Number(info.get('uptime_in_seconds')))}`);
  }
  document.title = location.host ? `Radish · ${location.host}` : 'Radish';
  const isSilent = session.state === 'open' && live.silence > SILENCE_MS;
  const isLost = session.state === 'lost';
  setText(status, isLost ? 'no connection' : isSilent ? 'no answer' : 'live');
  status.className = `status ${isLost || isSilent ? 'bad' : 'good'}`;
  banner.hidden = !isLost && !isSilent;
  if (isLost) {
    const isOld = info.size > 0;
    const words = `${isOld ? 'The connection is gone' : 'There is no connection'}: ${session.reason}.${isOld ? ' What you see is old.' : ''}`;
    banner.replaceChildren(`${words} Trying again… `,
      button('Try now', () => session.start(), { class: 'quiet' }));
  } else if (isSilent) {
    banner.replaceChildren(`The server has not answered for ${Math.round(live.silence / 1000)} s.`);
  }
}

/// Shows the view that the address names: `#view` or `#view/what`.
function go() {
  if (session.state !== 'open' && !shown) return;
  const [, name, what] = /^#?([^/]*)\/?(.*)$/s.exec(location.hash);
  const chosen = name in views ? name : 'overview';
  const view = views[chosen];
  view.made ??= view.make();
  if (shown !== view.made) {
    shown?.hide();
    shown = view.made;
    main.replaceChildren(shown.element);
    shown.show();
  }
  for (const tab of tabs.children) {
    if (tab.dataset.view === chosen) {
      tab.setAttribute('aria-current', 'page');
      // Where to come back to.
      tab.href = location.hash || `#${chosen}`;
    } else {
      tab.removeAttribute('aria-current');
    }
  }
  shown.open?.(decoded(what));
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

theme(storedTheme());
colours.value = storedTheme();
document.body.append(login, frame);
session.addEventListener('state', follow);
live.addEventListener('sample', speak);
window.addEventListener('hashchange', go);
session.start();
