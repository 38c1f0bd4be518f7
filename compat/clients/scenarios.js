// What the Node applications here share: they report a line of JSON per scenario, as `run` reads it.

const { deepStrictEqual } = require("node:assert");
const { setTimeout: sleep } = require("node:timers/promises");

const SCENARIO_MAX_MS = 120_000;
const PATIENCE_MS = 60_000;

const [host, port, protocol] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

function expect(got, wanted) {
  deepStrictEqual(got, wanted);
}

/// Whether `promise` is refused with an error that says `text`.
async function refuses(promise, text) {
  const error = await promise.then(
    (reply) => new Error(`no error but ${JSON.stringify(reply)}`),
    (refused) => refused,
  );
  if (!String(error.message).includes(text)) throw error;
}

/// Waits until `condition` holds.
async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(5);
  }
}

function numbers(count) {
  return [...Array(count).keys()];
}

/// Runs work(0) … work(count - 1) at once.
function together(count, work) {
  return Promise.all(numbers(count).map(work));
}

/// Runs every scenario on an empty server: `{ run, needs }`, skipped while the server lacks a command of `needs`.
///
/// `lacks` tells which of some commands (`hset`, `client|tracking`) the server does not have; `clean` empties the server and
/// closes what the last scenario left open.
async function play(scenarios, { lacks, clean }) {
  for (const [scenario, { run, needs = [] }] of Object.entries(scenarios)) {
    await clean();
    const missing = await lacks(needs);
    if (missing.length > 0) {
      console.log(JSON.stringify({ scenario, needs: missing.join(" ") }));
      continue;
    }
    const started = performance.now();
    let error = null;
    let timer;
    const patience = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`still running after ${SCENARIO_MAX_MS} ms`)), SCENARIO_MAX_MS);
    });
    try {
      await Promise.race([run(), patience]);
    } catch (raised) {
      error = String(raised.stack).split("\n").slice(0, 30).join("\n");
    }
    clearTimeout(timer);
    console.log(JSON.stringify({ scenario, seconds: (performance.now() - started) / 1000, error }));
  }
  await clean();
}

module.exports = { host, port, protocol, expect, refuses, until, numbers, together, play, sleep };
