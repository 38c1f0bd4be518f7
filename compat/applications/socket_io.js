// Socket.IO servers that reach each other's clients: with the pub/sub adapter, and with the streams adapter.
'use strict';

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const { createServer } = require('node:http');
const { Server } = require('socket.io');
const { io } = require('socket.io-client');
const pubsub = require('@socket.io/redis-adapter');
const streams = require('@socket.io/redis-streams-adapter');
const { createClient } = require('redis');
const { Redis } = require('ioredis');

const PORT = Number(process.argv[2]);
const within = (promise, what) => Promise.race([
  promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} does not come`)), 10_000).unref()),
]);
const event = (emitter, name) => within(new Promise((resolve) => { emitter.once(name, (...args) => resolve(args)); }), name);

async function nodeRedis() {
  const client = createClient({ url: `redis://127.0.0.1:${PORT}` });
  await client.connect();
  return client;
}

async function play(adapter) {
  const servers = [];
  for (let number = 0; number < 2; number += 1) {
    const listener = createServer();
    const server = new Server(listener, { adapter: await adapter() });
    await new Promise((resolve) => { listener.listen(0, resolve); });
    server.on('connection', (socket) => {
      socket.on('join', (room, done) => { socket.join(room); done(); });
      socket.on('ask', (done) => done('answer'));
    });
    servers.push({ server, port: listener.address().port });
  }
  const clients = [];
  for (const { port } of [servers[0], servers[1], servers[1]]) {
    const client = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false });
    await event(client, 'connect');
    clients.push(client);
  }
  await within(new Promise((resolve) => { clients[1].emit('join', 'room', resolve); }), 'join');
  // The servers must have heard of each other.
  await new Promise((resolve) => { setTimeout(resolve, 1_500); });
  const all = clients.map((client) => event(client, 'all'));
  servers[0].server.emit('all', { text: 'hello', bytes: Buffer.from([0, 13, 10, 255]) });
  for (const [message] of await Promise.all(all)) {
    assert.equal(message.text, 'hello');
    assert.deepEqual([...message.bytes], [0, 13, 10, 255]);
  }
  clients[2].once('room', () => { throw new Error('it is in no room'); });
  const inRoom = event(clients[1], 'room');
  servers[0].server.to('room').emit('room', 1);
  assert.deepEqual(await inRoom, [1]);
  const sockets = await within(servers[0].server.fetchSockets(), 'fetchSockets');
  assert.equal(sockets.length, 3);
  const there = event(servers[1].server, 'greeting');
  servers[0].server.serverSideEmit('greeting', 'you');
  assert.deepEqual(await there, ['you']);
  await within(servers[0].server.in(clients[2].id).socketsJoin('late'), 'socketsJoin');
  const late = event(clients[2], 'late');
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  servers[1].server.to('late').emit('late', 2);
  assert.deepEqual(await late, [2]);
  const gone = event(clients[1], 'disconnect');
  servers[0].server.in('room').disconnectSockets(true);
  await gone;
  clients.forEach((client) => client.close());
}

const ADAPTERS = {
  'pub/sub, node-redis': async () => pubsub.createAdapter(await nodeRedis(), await nodeRedis()),
  'pub/sub, ioredis': async () => pubsub.createAdapter(new Redis(PORT), new Redis(PORT)),
  'streams, node-redis': async () => streams.createAdapter(await nodeRedis(), { streamName: 'one' }),
  'streams, ioredis': async () => streams.createAdapter(new Redis(PORT), { streamName: 'other' }),
};

async function main() {
  const name = process.argv[3];
  if (name) {
    await play(ADAPTERS[name]);
    return;
  }
  // Each in a process of its own: adapters do not take their leave of the server.
  for (const each of Object.keys(ADAPTERS)) {
    const done = spawnSync(process.execPath, [__filename, String(PORT), each], { encoding: 'utf8' });
    assert.equal(done.status, 0, `${each}: ${done.stdout}${done.stderr}`);
  }
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
