// Sessions of an Express application with connect-redis.
'use strict';

const assert = require('node:assert');
const http = require('node:http');
const express = require('express');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');

const request = (port, path, cookie) => new Promise((resolve, reject) => {
  http.get({ port, path, headers: cookie ? { cookie } : {} }, (reply) => {
    let body = '';
    reply.on('data', (data) => { body += data; });
    reply.on('end', () => resolve({ body, cookie: (reply.headers['set-cookie'] || [cookie])[0] }));
  }).on('error', reject);
});

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  await client.connect();
  const store = new RedisStore({ client, prefix: 'app:', ttl: 600 });
  const app = express();
  app.use(session({ store, secret: 'x', resave: false, saveUninitialized: false }));
  app.get('/count', (req, res) => {
    req.session.count = (req.session.count || 0) + 1;
    res.send(String(req.session.count));
  });
  app.get('/leave', (req, res) => req.session.destroy(() => res.send('left')));
  const server = app.listen(0);
  const { port } = server.address();
  const first = await request(port, '/count');
  assert.equal(first.body, '1');
  assert.equal((await request(port, '/count', first.cookie)).body, '2');
  assert.equal((await request(port, '/count')).body, '1');
  const call = (method, ...args) => new Promise((resolve, reject) => {
    store[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });
  assert.equal(await call('length'), 2);
  assert.equal((await call('all')).length, 2);
  for (const id of await call('ids')) {
    const left = await client.ttl(`app:${id}`);
    assert.ok(left > 0 && left <= 600, String(left));
  }
  await request(port, '/leave', first.cookie);
  assert.equal(await call('length'), 1);
  await call('clear');
  assert.equal(await call('length'), 0);
  server.close();
  await client.close();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
