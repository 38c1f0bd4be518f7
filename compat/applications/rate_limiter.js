// rate-limiter-flexible without scripts: limits that do not expire, blocks, rewards, and what it is told
// to set. Points that expire are counted by a script.
'use strict';

const assert = require('node:assert');
const { RateLimiterRedis } = require('rate-limiter-flexible');
const { Redis } = require('ioredis');
const { createClient } = require('redis');

async function play(client, useRedisPackage) {
  const limiter = new RateLimiterRedis({
    storeClient: client, useRedisPackage, keyPrefix: `limit${useRedisPackage}`, points: 3, duration: 0, blockDuration: 0,
  });
  assert.equal(await limiter.get('user'), null);
  for (let left = 2; left >= 0; left -= 1) {
    assert.equal((await limiter.consume('user')).remainingPoints, left);
  }
  await assert.rejects(limiter.consume('user'), (refused) => refused.consumedPoints === 4 && refused.remainingPoints === 0);
  assert.equal((await limiter.get('user')).consumedPoints, 4);
  assert.equal((await limiter.reward('user', 2)).consumedPoints, 2);
  assert.equal((await limiter.penalty('user', 1)).consumedPoints, 3);
  await limiter.set('other', 2, 60);
  const other = await limiter.get('other');
  assert.equal(other.consumedPoints, 2);
  assert.ok(other.msBeforeNext > 50_000 && other.msBeforeNext <= 60_000);
  await limiter.block('third', 60);
  await assert.rejects(limiter.consume('third'), (refused) => refused.msBeforeNext > 50_000);
  assert.equal(await limiter.delete('user'), true);
  assert.equal(await limiter.get('user'), null);
}

async function main() {
  await play(new Redis(Number(process.argv[2])), false);
  const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  await client.connect();
  await play(client, true);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
