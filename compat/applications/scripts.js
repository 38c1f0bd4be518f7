// ioredis' own commands made of scripts and its auto-pipelining, Redlock, and rate-limiter-flexible with points that expire.
'use strict';

const assert = require('node:assert');
const { setTimeout: sleep } = require('node:timers/promises');
const { Redis } = require('ioredis');
const { Redlock } = require('@sesamecare-oss/redlock');
const { RateLimiterRedis, BurstyRateLimiter } = require('rate-limiter-flexible');

const PORT = Number(process.argv[2]);

async function commands() {
  const client = new Redis(PORT, {
    scripts: { echoTwice: { numberOfKeys: 1, lua: 'return {KEYS[1], ARGV[1], ARGV[1]}' } },
    enableAutoPipelining: true,
  });
  client.defineCommand('addIfLess', {
    numberOfKeys: 1,
    lua: 'local now = tonumber(redis.call("GET", KEYS[1]) or 0) ' +
      'if now < tonumber(ARGV[1]) then return redis.call("INCR", KEYS[1]) end return redis.error_reply("FULL " .. now)',
  });
  assert.deepEqual(await client.echoTwice('key', 'value'), ['key', 'value', 'value']);
  const counts = await Promise.allSettled(Array.from({ length: 20 }, () => client.addIfLess('counter', 10)));
  assert.deepEqual(counts.filter((one) => one.status === 'fulfilled').map((one) => one.value), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.ok(counts.slice(10).every((one) => one.reason.message === 'FULL 10'));
  await client.script('FLUSH');
  // The server has forgotten the script in the middle of a pipeline.
  const replies = await client.pipeline().set('counter', 3).addIfLess('counter', 10).exec();
  assert.deepEqual(replies, [[null, 'OK'], [null, 4]]);
  await client.echoTwice('a', 'b');
  assert.deepEqual(await client.multi().echoTwice('a', 'b').exec(), [[null, ['a', 'b', 'b']]]);
  // Many requests of one turn travel together.
  const values = await Promise.all(Array.from({ length: 500 }, async (_, index) => {
    await client.set(`auto:${index}`, index);
    return client.get(`auto:${index}`);
  }));
  assert.deepEqual(values.map(Number), Array.from({ length: 500 }, (_, index) => index));
  const buffer = await client.echoTwiceBuffer(Buffer.from([0xff, 0]), Buffer.from([0xfe]));
  assert.deepEqual(buffer, [Buffer.from([0xff, 0]), Buffer.from([0xfe]), Buffer.from([0xfe])]);
  client.disconnect();
}

async function locks() {
  const client = new Redis(PORT);
  const redlock = new Redlock([client], { retryCount: 200, retryDelay: 5 });
  let inside = 0;
  await Promise.all(Array.from({ length: 10 }, async () => {
    await redlock.using(['shelf'], 2000, async () => {
      inside += 1;
      assert.equal(inside, 1);
      await sleep(5);
      inside -= 1;
    });
  }));
  let lock = await redlock.acquire(['shelf', 'box'], 1000);
  lock = await lock.extend(5000);
  assert.ok(await client.pttl('shelf') > 4000);
  const hasty = new Redlock([client], { retryCount: 0 });
  await assert.rejects(hasty.acquire(['box'], 1000));
  await lock.release();
  assert.equal(await client.exists('shelf', 'box'), 0);
  client.disconnect();
}

async function limits() {
  const storeClient = new Redis(PORT);
  const limiter = new RateLimiterRedis({ storeClient, keyPrefix: 'second', points: 5, duration: 1 });
  const tried = await Promise.allSettled(Array.from({ length: 8 }, () => limiter.consume('user')));
  assert.equal(tried.filter((one) => one.status === 'fulfilled').length, 5);
  assert.ok(tried[7].reason.msBeforeNext <= 1000 && tried[7].reason.msBeforeNext > 0);
  await sleep(1100);
  assert.equal((await limiter.consume('user')).remainingPoints, 4);
  const bursty = new BurstyRateLimiter(
    new RateLimiterRedis({ storeClient, keyPrefix: 'steady', points: 1, duration: 1 }),
    new RateLimiterRedis({ storeClient, keyPrefix: 'burst', points: 3, duration: 5 }),
  );
  const burst = await Promise.allSettled(Array.from({ length: 6 }, () => bursty.consume('user')));
  assert.equal(burst.filter((one) => one.status === 'fulfilled').length, 4);
  storeClient.disconnect();
}

async function main() {
  await commands();
  await locks();
  await limits();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
