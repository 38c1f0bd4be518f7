// What a user does with the dashboard, step by step, in headless Chromium; `run` has made the server, its data and its load.
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const { chromium } = require('playwright-core');

const task = JSON.parse(process.argv[2]);
/// Milliseconds that a user waits for anything.
const PATIENCE_MS = 10_000;
/// What would run if a key's name, or anything else from the server, became part of the page.
const MARKUP = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>';

/// What the browser has found wrong.
const complaints = [];
let failures = 0;
let page;

/// Runs a command over the gateway, as somebody else would.
async function ask(...words) {
  const headers = { authorization: `Bearer ${task.password}` };
  const response = await fetch(task.url, { method: 'POST', headers, body: JSON.stringify(words) });
  const { result, error } = await response.json();
  if (error) throw new Error(error);
  return result;
}

async function step(name, run) {
  const began = Date.now();
  let outcome = 'ok';
  try {
    await run();
    complaints.push(...await page.evaluate(() => window.forbidden.splice(0)));
    assert.deepEqual(complaints.splice(0), [], 'the browser complains');
  } catch (error) {
    outcome = `FAILS\n${error.stack}`;
    failures += 1;
  }
  console.log(`${name.padEnd(58)} ${String(((Date.now() - began) / 1000).toFixed(1)).padStart(5)} s  ${outcome}`);
}

/// Waits until `look` returns something true, or nothing is thrown.
async function until(what, look, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    let last;
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what} does not come${last ? `: ${last.message}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function watch() {
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.stack));
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.host !== new URL(task.url).host && url.protocol !== 'data:') complaints.push(`a request to ${url}`);
  });
  page.setDefaultTimeout(PATIENCE_MS);
}

async function main() {
  const browser = await chromium.launch({ executablePath: task.browser, args: ['--no-sandbox'] });
  const context = await browser.newContext({ viewport: { width: 1280, height: 940 }, colorScheme: 'light' });
  await context.addInitScript(() => {
    window.forbidden = [];
    document.addEventListener('securitypolicyviolation', (event) => window.forbidden.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  page = await context.newPage();
  watch();
  const button = (name) => page.getByRole('button', { name, exact: true }).filter({ visible: true }).first();
  const view = (name) => page.getByRole('link', { name, exact: true }).click();
  const panel = (name) => page.getByRole('region', { name, exact: true });
  const figure = async (name, index = 0) => panel(name).locator('.figure').nth(index).innerText();
  const logIn = async (user, password) => {
    await page.locator('[name=user]').fill(user);
    await page.locator('[name=password]').fill(password);
    await button('Log in').click();
  };
  const find = async (prefix) => {
    await page.locator('[name=filter]').fill(prefix);
    await button('Find').click();
    await until('the list', async () => (await page.locator('.list .foot').innerText()).match(/keys?|such/) && !(await page.locator('.list .foot').innerText()).includes('Looking'));
  };
  const open = async (name) => {
    await find(name);
    await page.locator('.key .name').getByText(name, { exact: true }).click();
    await until(name, async () => (await page.locator('.value h2').innerText()).includes(name));
  };
  const picture = async (name) => {
    if (task.screenshots) await page.screenshot({ path: path.join(task.screenshots, `dashboard-${name}.png`) });
  };

  await step('a wrong password is refused, in words', async () => {
    await page.goto(task.url);
    await logIn('', 'wrong');
    await page.getByText('do not match').waitFor();
  });
  await step('the right one logs in', async () => {
    await logIn('', task.password);
    await panel('Operations').waitFor();
    assert.equal(await page.locator('.login').isVisible(), false);
  });
  await step('bytes, words, replies and areas, by their thousands', async () => {
    await page.evaluate(async () => {
      const parts = ['text', 'resp', 'treemap', 'live', 'console'].map((name) => import(`./dashboard/${name}.js`));
      const [text, resp, treemap, live, terminal] = await Promise.all(parts);
      const check = (is, ...what) => {
        if (!is) throw new Error(JSON.stringify(what));
      };
      const below = (bound) => Math.floor(Math.random() * bound);
      const odd = text.encode('"\'\\ \n\r\tx0aé\u202e');
      const bytes = () => Uint8Array.from({ length: below(12) }, () => (below(2) ? odd[below(odd.length)] : below(256)));
      for (let round = 0; round < 20_000; round += 1) {
        const given = bytes();
        for (const shown of [text.show(given), text.showLines(given)]) check(text.same(text.unshow(shown), given), [...given], shown);
        check(!/\p{C}/u.test(text.show(given)) && /^[\x20-\x7e]*$/.test(text.quote(given)), [...given]);
        const words = Array.from({ length: below(4) }, bytes);
        const read = text.splitWords(words.map(text.quote).join(' '));
        check(read.length === words.length && read.every((word, index) => text.same(word, words[index])), words.map(text.quote));
      }
      const wire = text.encode('+OK\r\n$5\r\na\r\nbc\r\n*2\r\n:1\r\n%1\r\n+k\r\n,1.5\r\n>2\r\n+message\r\n$0\r\n\r\n|1\r\n+a\r\n:1\r\n#t\r\n=7\r\ntxt:abc\r\n-ERR no\r\n$-1\r\n:9007199254740993\r\n');
      const whole = new resp.Reader().feed(wire).map((reply) => text.reply(reply)).join('\n');
      check(whole === 'OK\n"a\\r\\nbc"\n1) (integer) 1\n2) 1# k => (double) 1.5\n1) message\n2) ""\n(true)\nabc\n(error) ERR no\n(nil)\n(integer) 9007199254740993', whole);
      for (let size = 1; size < wire.length; size += 1) {
        const reader = new resp.Reader();
        const replies = [];
        for (let at = 0; at < wire.length; at += size) replies.push(...reader.feed(wire.slice(at, at + size)));
        check(replies.map((reply) => text.reply(reply)).join('\n') === whole, size);
      }
      const long = new Uint8Array(16 << 20).fill(97);
      const reader = new resp.Reader();
      const began = performance.now();
      reader.feed(text.encode(`*2\r\n:7\r\n$${long.length}\r\n`));
      for (let at = 0; at < long.length; at += 16 << 10) check(reader.feed(long.subarray(at, at + (16 << 10))).length === 0, at);
      const [[seven, read]] = reader.feed(text.encode('\r\n'));
      check(seven === 7 && text.same(read, long) && performance.now() - began < 2000, performance.now() - began);
      const json = (depth) => {
        const leaves = [12, -1.5, 'a"b\\ {é,}:[\t', '', true, null];
        const inner = () => json(depth - 1);
        if (depth === 0 || below(4) === 0) return leaves[below(leaves.length)];
        return below(2) ? Array.from({ length: below(4) }, inner) : Object.fromEntries(Array.from({ length: below(4) }, (_, index) => [`${index}"`, inner()]));
      };
      for (let round = 0; round < 2000; round += 1) {
        const value = json(5);
        const pretty = JSON.stringify(value, null, 2);
        for (const written of [JSON.stringify(value), JSON.stringify(value, null, '\t')]) check(text.prettyJson(written) === pretty, written);
      }
      const kept = text.prettyJson('{"n":12345678901234567890,"n":1.0,"e":1E2}');
      check(kept === '{\n  "n": 12345678901234567890,\n  "n": 1.0,\n  "e": 1E2\n}', kept);
      check(text.prettyJson('['.repeat(30_000) + ']'.repeat(30_000)).length < 6e6);
      const secrets = ['AUTH p', 'auth "p', ' "AUTH" p', 'HELLO 3 AUTH u p', 'ACL SETUSER u on >p', 'acl setuser u "#00"', "ACL SETUSER u '<p", 'ACL SETUSER u !00',
        'CONFIG SET requirepass p', 'config set maxmemory 0 masterauth p', 'CONFIG SET primaryauth p', 'CONFIG SET tls-key-file-pass p',
        'CONFIG SET "tls-client-key-file-pass" p', 'MIGRATE h 1 k 0 1 AUTH p', 'MIGRATE h 1 "" 0 1 AUTH2 u p KEYS k'];
      for (const line of secrets) check(terminal.isSecret(line), line);
      const open = ['GET auth', 'HELLO 3', 'ACL SETUSER u on ~k +@all', 'ACL GETUSER u', 'CONFIG GET requirepass', 'CONFIG SET maxmemory 0', 'MIGRATE h 1 k 0 1', 'SET k >v', ''];
      for (const line of open) check(!terminal.isSecret(line), line);
      for (let round = 0; round < 500; round += 1) {
        const weights = Array.from({ length: 1 + below(80) }, () => 1 + below(10 ** (1 + below(6)))).sort((one, other) => other - one);
        const places = treemap.squarify(weights, 1000, 300);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        places.forEach(({ x, y, width, height }, index) => {
          check(Math.abs(width * height - (300_000 * weights[index]) / total) < 1e-3, weights, index);
          check(x > -1e-6 && y > -1e-6 && x + width < 1000.001 && y + height < 300.001, weights, index);
        });
      }
      const buckets = new Map([[8, 50], [16, 50]]);
      check(live.quantile(buckets, 0.5) === 8 && live.quantile(buckets, 0.75) === 12 && live.quantile(new Map(), 0.5) === null);
      check(text.short(999) === '999' && text.short(12_345) === '12.3k' && text.short(2e6) === '2.00M' && text.size(1536) === '1.50 KB');
      check(text.micros(999.4) === '999 µs' && text.micros(1500) === '1.50 ms' && text.duration(3725) === '1 h 2 min');
    });
  });
  await step('the load of a benchmark is seen', async () => {
    await until('the load', async () => /^[\d.]+k\/s$/.test(await figure('Operations')));
    await until('latency', async () => /µs|ms/.test(await figure('Latency', 1)));
    await until('memory', async () => /[KMG]B/.test(await figure('Memory')));
    await until('lookups', async () => / %$/.test(await figure('Hit rate')));
    await until('clients', async () => Number(await figure('Clients')) > 5);
    await until('bytes', async () => /B\/s$/.test(await figure('Network')));
    await until('commands', async () => (await panel('Commands').locator('tbody tr').first().innerText()).match(/k\/s/));
    await until('clients', async () => (await panel('Client list').innerText()).includes('dashboard'));
  });
  await step('so are replicas, persistence and slow commands', async () => {
    await until('the replica', async () => /behind, heard \d s ago/.test(await panel('Replication').innerText()));
    assert.match(await panel('Persistence').innerText(), /outcome\s+ok/);
    assert.ok((await panel('Keyspace').innerText()).includes(Number(await ask('DBSIZE')).toLocaleString('en-US').slice(0, 2)));
    await ask('DEBUG', 'SLEEP', '0.1');
    await until('the slow command', async () => (await panel('Slow commands').innerText()).includes('DEBUG SLEEP 0.1'));
  });
  await step('hot keys', async () => {
    const hot = panel('Hot keys');
    const isThere = await ask('HOTKEYS', 'HELP').then(() => true, () => false);
    if (!isThere) {
      await until('that there are none', async () => (await hot.innerText()).includes('no HOTKEYS'));
      return;
    }
    await hot.getByRole('button').click();
    await until('hot keys', async () => (await hot.locator('.ranking .name').count()) > 2);
    await until('the end of it', async () => (await hot.getByRole('button').innerText()).startsWith('Track for'), 20_000);
  });
  if (task.screenshots) {
    // A while of the load, as somebody sees who has left the page open.
    await page.waitForTimeout(100_000);
    await page.setViewportSize({ width: 1280, height: 820 });
    for (const theme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: theme });
      await page.mouse.move(0, 0);
      await picture(`overview-${theme}`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
  }

  await page.setViewportSize({ width: 1280, height: 940 });
  const cell = (name) => page.locator('.treemap > button.cell, .treemap > .outer > .title').and(page.locator(`[aria-label^="${name}, "]`));
  // Where no other cell lies in it.
  const corner = { position: { x: 1, y: 1 } };
  await step('the treemap is drawn, and goes into prefixes and out', async () => {
    await view('Keys');
    const top = task.isLarge ? 'catalog:' : 'shop:';
    await cell(top).click(corner);
    await cell('eu:').waitFor();
    await until('the keys', async () => (await page.locator('.key .name').first().innerText()).startsWith(top));
    await cell('eu:').click(corner);
    await until('the prefix', async () => (await page.locator('.step[aria-current]').innerText()) === 'eu:');
    await until('the keys', async () => (await page.locator('.key .name').first().innerText()).startsWith(`${top}eu:`));
    assert.equal(await page.locator('[name=filter]').inputValue(), `${top}eu:`);
    await page.locator('.key').first().click();
    await page.locator('.value h2').waitFor();
    await page.getByRole('button', { name: 'All keys' }).click();
    await cell('session:').waitFor();
    assert.match(await page.locator('.summary').innerText(), /keys/);
    // Two steps at once.
    await page.locator('.outer > .cell[aria-label^="eu:, "]').first().click(corner);
    await until('both steps', async () => (await page.locator('.step').count()) === 3);
    await page.goBack();
    await until('the way back', async () => (await page.locator('.step').count()) === 1);
  });
  await step('areas by keys, colours by expiry, another separator', async () => {
    await page.getByLabel('Area').selectOption('keys');
    await page.getByLabel('Colour', { exact: true }).selectOption('expiry');
    await page.locator('.cell.expiry').first().waitFor();
    await page.getByLabel('Separator').fill('r:');
    await page.getByLabel('Separator').press('Tab');
    await cell('user:').waitFor();
    await page.getByLabel('Separator').fill(':');
    await page.getByLabel('Separator').press('Tab');
    await page.getByLabel('Area').selectOption('bytes');
    await page.getByLabel('Colour', { exact: true }).selectOption('type');
    await page.locator('.cell.string').first().waitFor();
  });
  if (task.screenshots) {
    await find('shop:');
    await page.locator('.key').nth(3).click();
    await page.locator('.elements td').first().waitFor();
    await page.getByRole('button', { name: 'All keys' }).click();
    await page.locator('.key').nth(2).waitFor();
    for (const theme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: theme });
      await page.mouse.move(0, 0);
      await picture(`keys-${theme}`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
  }
  await step('the list goes on page by page, by keyboard too', async () => {
    await find('user:');
    const before = await page.locator('.key').count();
    await button('More').click();
    await until('more keys', async () => (await page.locator('.key').count()) > before);
    await page.locator('.key').first().focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    const name = await page.locator('.key[aria-selected=true] .name').innerText();
    assert.equal(name, await page.locator('.key .name').nth(1).innerText());
    await page.getByLabel('Type', { exact: true }).selectOption('hash');
    await until('hashes', async () => (await page.locator('.key .type').first().innerText()) === 'hash');
    await page.getByLabel('Type', { exact: true }).selectOption('');
    await page.getByLabel('How keys').selectOption('pattern');
    await find('edit:*t');
    await until('the pattern', async () => (await page.locator('.key .name').allInnerTexts()).sort().join() === 'edit:list,edit:set,edit:zset');
    await page.getByLabel('How keys').selectOption('prefix');
  });
  await step('a string is edited, and never over what was not seen', async () => {
    await open('edit:string');
    const content = page.locator('.content');
    await until('the value', async () => (await content.inputValue()) === 'before');
    await content.fill('after\nlines');
    await button('Save').click();
    await until('the change', async () => (await ask('GET', 'edit:string')) === 'after\nlines');
    await content.fill('"\\x00\\xff"');
    await ask('SET', 'edit:string', 'by others');
    await button('Save').click();
    await page.getByText('has changed meanwhile').waitFor();
    assert.equal(await ask('GET', 'edit:string'), 'by others');
    await button('Reload').click();
    await until('the value', async () => (await content.inputValue()) === 'by others');
    // Numbers that JavaScript does not have, and a name twice, stay as they are.
    const json = '{"n":12345678901234567890,"n":[1.0,2]}';
    await ask('SET', 'edit:string', json);
    await button('Reload').click();
    await button('As JSON').click();
    await until('its structure', async () => (await content.inputValue()) === '{\n  "n": 12345678901234567890,\n  "n": [\n    1.0,\n    2\n  ]\n}');
    await content.fill((await content.inputValue()).replace('2\n', '3\n'));
    await button('Save').click();
    await until('the change', async () => (await ask('GET', 'edit:string')).replace(/\s/g, '') === json.replace(',2', ',3'));
  });
  const dialog = page.locator('dialog[open]');
  const row = (text) => page.locator('.elements tr').filter({ hasText: text });
  const change = async (text, value) => {
    await row(text).getByRole('button', { name: 'Edit' }).click();
    await dialog.locator('[name=value]').fill(value);
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.waitFor({ state: 'detached' });
  };
  const remove = async (text) => {
    await row(text).getByRole('button', { name: 'Remove' }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await dialog.waitFor({ state: 'detached' });
  };
  await step('elements of collections are changed, added and removed', async () => {
    await open('edit:hash');
    await ask('HEXPIRE', 'edit:hash', 600, 'FIELDS', 1, 'color');
    await change('color', 'blue');
    assert.equal(await ask('HGET', 'edit:hash', 'color'), 'blue');
    assert.ok((await ask('HTTL', 'edit:hash', 'FIELDS', 1, 'color'))[0] > 500);
    await row('color').getByRole('button', { name: 'Edit' }).click();
    await ask('HSET', 'edit:hash', 'color', 'by others');
    await dialog.locator('[name=value]').fill('green');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText('has changed meanwhile').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await ask('HGET', 'edit:hash', 'color'), 'by others');
    await open('edit:hash');
    await change('color', 'blue');
    await page.getByLabel('field', { exact: true }).fill('size');
    await page.getByLabel('value', { exact: true }).fill('L');
    await button('Set').click();
    await until('the field', async () => (await ask('HGET', 'edit:hash', 'size')) === 'L');
    await open('edit:list');
    await change('two', '2');
    await remove('one');
    await until('the list', async () => (await ask('LRANGE', 'edit:list', 0, -1)).join() === '2,three');
    await open('edit:zset');
    await change('low', '9.5');
    assert.equal(Number(await ask('ZSCORE', 'edit:zset', 'low')), 9.5);
    await row('high').getByRole('button', { name: 'Edit' }).click();
    await dialog.locator('[name=value]').fill('no number');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText('not a valid float').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await open('edit:set');
    await change('red', 'pink');
    await until('the set', async () => (await ask('SMEMBERS', 'edit:set')).sort().join() === 'green,pink');
    await change('pink', 'pink');
    await ask('SREM', 'edit:set', 'green');
    await ask('EXPIRE', 'edit:set', 600);
    await change('pink', 'only');
    assert.deepEqual(await ask('SMEMBERS', 'edit:set'), ['only']);
    assert.ok(await ask('TTL', 'edit:set') > 500);
    await open('events:orders');
    await row('amount').first().waitFor();
  });
  await step('a key expires, stays, gets another name, and is deleted', async () => {
    await open('edit:temporary');
    await button('Change…').click();
    await dialog.locator('[name=seconds]').fill('600');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await until('the deadline', async () => (await ask('TTL', 'edit:temporary')) > 500);
    await page.getByText('expires in').waitFor();
    await button('Change…').click();
    await dialog.locator('[name=seconds]').fill('');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await until('its end', async () => (await ask('TTL', 'edit:temporary')) === -1);
    await button('Rename…').click();
    await dialog.locator('[name=name]').fill('edit:string');
    await dialog.getByRole('button', { name: 'Rename' }).click();
    await dialog.getByText('There is a key of this name').waitFor();
    await dialog.locator('[name=name]').fill('edit:renamed');
    await dialog.getByRole('button', { name: 'Rename' }).click();
    await until('the name', async () => (await ask('EXISTS', 'edit:renamed')) === 1);
    await until('it', async () => (await page.locator('.value h2').innerText()).includes('edit:renamed'));
    await button('Delete…').click();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await ask('EXISTS', 'edit:renamed'), 1);
    await button('Delete…').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await until('its end', async () => (await ask('EXISTS', 'edit:renamed')) === 0);
  });
  await step('a key is made', async () => {
    await button('New key…').click();
    await dialog.locator('[name=name]').fill('made:hash');
    await dialog.locator('[name=type]').selectOption('hash');
    await dialog.locator('[name=value]').fill('name "two words"');
    await dialog.getByRole('button', { name: 'Create' }).click();
    await until('the key', async () => (await ask('HGET', 'made:hash', 'name')) === 'two words');
  });
  await step('a prefix is deleted, once the number of its keys has been seen', async () => {
    await find('edit:many:');
    await button('Delete all…').click();
    await dialog.getByText('123 keys that begin with edit:many:').waitFor();
    await dialog.getByRole('button', { name: 'Delete 123 keys' }).click();
    await until('their end', async () => (await ask('EXISTS', 'edit:many:7')) === 0);
    assert.equal(await ask('GET', 'edit:manyother'), 'stays');
  });
  if (task.isLarge) {
    await step('500,000 keys of a prefix are deleted', async () => {
      const before = await ask('DBSIZE');
      await find('catalog:eu:book:');
      await button('Delete all…').click();
      await dialog.getByRole('button', { name: 'Delete 500,000 keys' }).click();
      await until('their end', async () => (await ask('DBSIZE')) <= before - 500_000);
    });
  }
  await step('keys and values that are no text', async () => {
    await find('binary:');
    const name = page.locator('.key .name');
    assert.equal(await name.innerText(), '"binary:\\x00\\xff\\x1b\\r\\n"');
    await name.click();
    await until('the value', async () => (await page.locator('.content').inputValue()) === '"bytes \\x00\\xfe"');
    await page.locator('.content').fill('"\\xfe\\x00"');
    await button('Save').click();
    await until('it is saved', async () => (await page.locator('.toast').allInnerTexts()).join().includes('saved'));
    await button('Reload').click();
    await until('the value', async () => (await page.locator('.content').inputValue()) === '"\\xfe\\x00"');
    await button('Delete…').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await find('binary:');
    await page.getByText('There is no such key.').waitFor();
  });
  await step('names and values that would be part of the page', async () => {
    await ask('SET', `evil:${MARKUP}`, MARKUP);
    await find('evil:');
    for (const kind of ['string', 'hash', 'list']) {
      await page.locator('.key').filter({ has: page.locator(`.type.${kind}`) }).click();
      await until(kind, async () => (await page.locator('.value h2 .type').innerText()) === kind);
      await page.waitForTimeout(300);
    }
    await page.getByRole('button', { name: 'All keys' }).click();
    await ask('EVAL', 'local sum = 0 for i = 1, 20000000 do sum = sum + i end', 0, MARKUP);
    await view('Overview');
    await until('the slow command', async () => (await panel('Slow commands').innerText()).includes('onerror'));
    assert.equal(await page.locator('img, .frame script').count(), 0);
    assert.equal(await page.evaluate(() => window.broken), undefined);
  });

  const type = async (line) => {
    await page.getByLabel('Command').fill(line);
    await page.keyboard.press('Enter');
  };
  const output = page.getByRole('log');
  await step('commands in the console', async () => {
    await view('Console');
    await page.getByLabel('Command').fill('getr');
    await until('the hint', async () => (await page.locator('.hints').innerText()).startsWith('GETRANGE key start end'));
    await type('SET console:key "two \\x00 words"');
    await until('the reply', async () => (await output.innerText()).endsWith('OK'));
    await type('GET console:key');
    await until('the reply', async () => (await output.innerText()).endsWith('"two \\x00 words"'));
    await type('HGETALL edit:hash');
    await until('the reply', async () => (await output.innerText()).includes('# "color" => "blue"'));
    await type('ZRANGE edit:zset 0 0 WITHSCORES');
    await until('the reply', async () => (await output.innerText()).includes('(double) 2.5'));
    await type('GET');
    await until('the error', async () => (await output.innerText()).includes("(error) ERR wrong number of arguments for 'get' command"));
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowUp');
    assert.equal(await page.getByLabel('Command').inputValue(), 'ZRANGE edit:zset 0 0 WITHSCORES');
    await type(`ECHO '${MARKUP}'`);
    await until('the reply', async () => (await output.innerText()).includes('window.broken=1'));
    await type('SUBSCRIBE console');
    await until('the subscription', async () => (await output.innerText()).includes('"subscribe"'));
    await ask('PUBLISH', 'console', 'to all');
    await until('the message', async () => (await output.innerText()).includes('"to all"'));
    await picture('console-light');
  });
  await step('a published message arrives', async () => {
    await view('Messages');
    await page.getByLabel('Channel', { exact: true }).fill('news');
    await button('Subscribe').click();
    await page.getByLabel('Kind').selectOption('PSUBSCRIBE');
    await page.getByLabel('Channel', { exact: true }).fill('n*');
    await button('Subscribe').click();
    await until('both', async () => (await page.locator('.subscription').count()) === 2);
    assert.equal(await ask('PUBLISH', 'news', MARKUP), 2);
    await until('the message', async () => (await page.locator('.received tbody tr').count()) === 2);
    assert.ok((await page.locator('.received').innerText()).includes(MARKUP));
    await page.getByLabel('Channel to publish to').fill('news');
    await page.getByLabel('Message').fill('from the page');
    await button('Publish').click();
    await until('its own', async () => (await page.locator('.received').innerText()).includes('from the page'));
    await page.getByRole('button', { name: 'Unsubscribe from news' }).click();
    await until('its end', async () => (await page.locator('.subscription').count()) === 1);
  });
  await step('a connection that breaks is made again, with its subscriptions', async () => {
    await ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await ask('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await until('its end', async () => (await page.locator('.status').innerText()) !== 'live');
    await until('its return', async () => (await page.locator('.status').innerText()) === 'live');
    await until('the subscription', async () => (await ask('PUBLISH', 'nine', 'again')) === 1);
    await until('the message', async () => (await page.locator('.received').innerText()).includes('again'));
  });
  await step('so is the one of the subscriptions, if it breaks alone', async () => {
    assert.ok(await ask('CLIENT', 'KILL', 'TYPE', 'pubsub') > 0);
    await until('a message', async () => {
      await ask('PUBLISH', 'none', 'once more');
      return (await page.locator('.received').innerText()).includes('once more');
    });
    assert.equal(await page.locator('.status').innerText(), 'live');
  });
  await step('every view is as wide as a telephone', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    for (const name of ['Overview', 'Keys', 'Console', 'Messages']) {
      await view(name);
      await page.waitForTimeout(700);
      const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
      assert.ok(width <= 390, `${name} is ${width} wide`);
      await picture(`narrow-${name.toLowerCase()}`);
    }
    await page.setViewportSize({ width: 1280, height: 940 });
  });
  await step('the colours that were chosen stay', async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByLabel('Colours').selectOption('dark');
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await ground(), dark);
    // Nothing else did: not who is logged in.
    await page.locator('.login').waitFor();
    assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage), sessionStorage.length, document.cookie]), [['radish-theme'], 0, '']);
  });
  await step('who may do little is told so, view by view', async () => {
    await logIn('viewer', 'looks');
    await view('Overview');
    await page.locator('.banner').getByText('NOPERM').waitFor();
    await view('Keys');
    await cell('shop:').waitFor();
    await find('user:');
    await until('keys of others', async () => (await page.locator('.key .type').first().innerText()) === '?');
    await find('shop:eu:');
    await page.locator('.key').first().click();
    await page.locator('.value h2').waitFor();
    await button('Delete…').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await until('the refusal', async () => (await page.locator('.toast').allInnerTexts()).join().includes('NOPERM'));
    await button('Log out').click();
    await logIn('editor', 'writes');
    await view('Keys');
    await open('edit:list');
    await row('three').getByRole('button', { name: 'Edit' }).click();
    await dialog.locator('[name=value]').fill('four');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText('NOPERM').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    assert.equal((await ask('LRANGE', 'edit:list', 0, -1)).join(), '2,three');
    await button('Log out').click();
    await logIn('nobody', 'nothing');
    await view('Overview');
    await page.locator('.banner').getByText('NOPERM').waitFor();
    await view('Keys');
    await until('the reason', async () => (await panel('Prefixes').innerText()).includes('NOPERM'));
    await until('the reason', async () => (await panel('Keys').innerText()).includes('NOPERM'));
    await view('Console');
    await type('GET k');
    await until('the reason', async () => (await output.innerText()).includes('(error) NOPERM'));
    await view('Messages');
    await page.getByLabel('Channel', { exact: true }).fill('news');
    await button('Subscribe').click();
    await until('the reason', async () => (await page.locator('.toast').allInnerTexts()).join().includes('NOPERM'));
    await view('Overview');
    await until('the reason', async () => (await panel('Slow commands').innerText()).includes('NOPERM'));
    await button('Log out').click();
    await page.locator('.login').waitFor();
  });
  await browser.close();
  console.log(failures > 0 ? `${failures} steps fail` : 'all pass');
  process.exitCode = failures > 0 ? 1 : 0;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
