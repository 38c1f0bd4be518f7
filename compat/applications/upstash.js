// @upstash/redis and @upstash/ratelimit over the HTTP gateway, compressed or not as Node's fetch has it; then 100 streams of
// Node's http2 on one connection, in JSON.
'use strict';

const assert = require('node:assert');
const http2 = require('node:http2');
const net = require('node:net');
const { Redis } = require('@upstash/redis');
const { Ratelimit } = require('@upstash/ratelimit');
const { createClient } = require('redis');

const STREAMS = 100;

/// A port that is free.
function freePort() {
  return new Promise((found) => {
    const listener = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = listener.address();
      listener.close(() => found(port));
    });
  });
}

async function values(redis) {
  const value = { list: [1, 'ä', null], nested: { is: true } };
  assert.equal(await redis.set('value', value, { ex: 100 }), 'OK');
  assert.deepEqual(await redis.get('value'), value);
  assert.equal(await redis.get('none'), null);
  assert.equal(await redis.set('ok', 'OK'), 'OK');
  assert.equal(await redis.get('ok'), 'OK');
  const text = 'some text '.repeat(10_000);
  await redis.set('text', text);
  assert.equal(await redis.get('text'), text);
  assert.equal(await redis.hset('hash', { number: 1, word: 'two' }), 2);
  assert.deepEqual(await redis.hgetall('hash'), { number: 1, word: 'two' });
  await redis.zadd('scores', { score: 1.5, member: 'low' }, { score: 2, member: 'high' });
  assert.deepEqual(await redis.zrange('scores', 0, -1, { withScores: true }), ['low', 1.5, 'high', 2]);
  assert.equal(await redis.rpush('list', 'a', 1, { b: 2 }), 3);
  assert.deepEqual(await redis.lrange('list', 0, -1), ['a', 1, { b: 2 }]);
  const id = await redis.xadd('stream', '*', { field: 'value' });
  assert.deepEqual(await redis.xrange('stream', '-', '+'), { [id]: { field: 'value' } });
  const seen = new Set();
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, { count: 2 });
    keys.forEach((key) => seen.add(key));
    cursor = next;
  } while (cursor !== '0');
  assert.deepEqual([...seen].sort(), ['hash', 'list', 'ok', 'scores', 'stream', 'text', 'value']);
  await assert.rejects(redis.incr('list'), /WRONGTYPE/);
}

async function several(redis) {
  const pipeline = redis.pipeline();
  pipeline.set('count', 1);
  pipeline.incrby('count', 5);
  pipeline.get('count');
  assert.deepEqual(await pipeline.exec(), ['OK', 6, 6]);
  const multi = redis.multi();
  multi.incr('count');
  multi.mget('count', 'none');
  assert.deepEqual(await multi.exec(), [7, [7, null]]);
  // These become one pipeline by themselves.
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => redis.incr('auto'))), [1, 2, 3]);
  const script = redis.createScript("return {redis.call('INCR', KEYS[1]), ARGV[1]}");
  assert.deepEqual(await script.exec(['count'], ['argument']), [8, 'argument']);
}

async function messages(redis) {
  const received = [];
  const subscriber = redis.subscribe('news');
  const patterns = redis.psubscribe('n*');
  await Promise.all([
    new Promise((ready) => subscriber.on('subscribe', ready)),
    new Promise((ready) => patterns.on('psubscribe', ready)),
  ]);
  const all = new Promise((done) => {
    const note = (kind) => ({ message }) => received.push([kind, message]) === 4 && done();
    subscriber.on('message', note('channel'));
    patterns.on('pmessage', note('pattern'));
  });
  assert.equal(await redis.publish('news', { first: 1 }), 2);
  assert.equal(await redis.publish('news', { second: 2 }), 2);
  await all;
  const of = (wanted) => received.filter(([kind]) => kind === wanted).map(([, message]) => message);
  assert.deepEqual(of('channel'), [{ first: 1 }, { second: 2 }]);
  assert.deepEqual(of('pattern'), [{ first: 1 }, { second: 2 }]);
  await subscriber.unsubscribe();
  await patterns.unsubscribe();
}

async function limits(redis) {
  const limiters = { window: Ratelimit.fixedWindow(3, '60 s'), sliding: Ratelimit.slidingWindow(3, '60 s'), bucket: Ratelimit.tokenBucket(3, '60 s', 3) };
  for (const [prefix, limiter] of Object.entries(limiters)) {
    const ratelimit = new Ratelimit({ redis, limiter, prefix });
    const allowed = [];
    for (let index = 0; index < 5; index += 1) {
      allowed.push((await ratelimit.limit('user')).success);
    }
    assert.deepEqual(allowed, [true, true, true, false, false], prefix);
    await ratelimit.resetUsedTokens('user');
    assert.equal((await ratelimit.limit('user')).success, true, prefix);
  }
}

async function streams(url, token) {
  const session = http2.connect(url);
  const ask = (command) => new Promise((done, fail) => {
    const stream = session.request({ ':method': 'POST', ':path': '/', authorization: `Bearer ${token}` });
    let body = '';
    stream.setEncoding('utf8').on('data', (piece) => { body += piece; });
    stream.on('end', () => done(JSON.parse(body).result)).on('error', fail);
    stream.end(JSON.stringify(command));
  });
  for (let round = 0; round < 20; round += 1) {
    const keys = Array.from({ length: STREAMS }, (_, index) => `stream:${round}:${index}`);
    assert.ok((await Promise.all(keys.map((key) => ask(['SET', key, key])))).every((reply) => reply === 'OK'));
    assert.deepEqual(await Promise.all(keys.map((key) => ask(['GET', key]))), keys);
  }
  await new Promise((closed) => session.close(closed));
}

async function main() {
  const port = await freePort();
  const admin = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  await admin.connect();
  await admin.configSet({ 'http-max-requests': '100000', 'http-port': String(port), requirepass: 'secret' });
  const url = `http://127.0.0.1:${port}`;
  await assert.rejects(new Redis({ url, token: 'wrong' }).get('key'), /WRONGPASS/);
  const redis = new Redis({ url, token: 'secret' });
  await values(redis);
  await several(redis);
  await messages(redis);
  await limits(redis);
  await values(await emptied(redis, url));
  await streams(url, 'secret');
}

/// A client that takes strings as they are, on an empty server.
async function emptied(redis, url) {
  await redis.flushall();
  return new Redis({ url, token: 'secret', responseEncoding: false });
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
