// BullMQ: jobs through workers that are killed meanwhile, flows, delayed and repeated jobs, limits, events, sandboxed processors.
// The environment's JOBS says how many jobs go through the workers that are killed.
'use strict';

const assert = require('node:assert');
const { fork } = require('node:child_process');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require('bullmq');
const { Redis } = require('ioredis');

const PORT = Number(process.argv[2]);
const JOBS = Number(process.env.JOBS ?? 3000);
const WORKERS = 8;
const connection = { host: '127.0.0.1', port: PORT, maxRetriesPerRequest: null };
const closing = [];

function kept(closable) {
  closable.on('error', (error) => { console.error(error); process.exitCode = 1; });
  closing.push(closable);
  return closable;
}

const queue = (name, options = {}) => kept(new Queue(name, { connection, ...options }));
const worker = (name, processor, options = {}) => kept(new Worker(name, processor, { connection, ...options }));

async function events(name) {
  const told = kept(new QueueEvents(name, { connection }));
  await told.waitUntilReady();
  return told;
}

async function until(what, isSo, patienceS = 60) {
  for (const end = Date.now() + patienceS * 1000; !(await isSo());) {
    assert.ok(Date.now() < end, `${what}: not within ${patienceS} s`);
    await sleep(20);
  }
}

// A worker in a process of its own, which is killed in the middle of something.
async function crashable() {
  const client = new Redis(PORT);
  worker('crashes', async (job) => {
    await client.sadd('done', job.data.number);
    if (job.data.number % 10 === 0) await sleep(5);
    return job.data.number * 2;
  }, { concurrency: 20, lockDuration: 2000, stalledInterval: 500, maxStalledCount: 1000 });
}

async function crashes() {
  const jobs = queue('crashes');
  const spawn = () => fork(__filename, [String(PORT), 'worker'], { stdio: 'inherit' });
  const workers = Array.from({ length: WORKERS }, spawn);
  const client = new Redis(PORT);
  for (let first = 0; first < JOBS; first += 1000) {
    const numbers = Array.from({ length: Math.min(1000, JOBS - first) }, (_, index) => first + index);
    await jobs.addBulk(numbers.map((number) => ({ name: 'job', data: { number }, opts: { attempts: 3 } })));
  }
  let kills = 0;
  await until('all jobs are done', async () => {
    const done = await jobs.getCompletedCount();
    if (kills < 10 && done > (kills * JOBS) / 12) {
      workers[kills % WORKERS].kill('SIGKILL');
      workers[kills % WORKERS] = spawn();
      kills += 1;
    }
    return done === JOBS;
  }, 250);
  assert.equal(await client.scard('done'), JOBS);
  const counts = await jobs.getJobCounts();
  assert.deepEqual([counts.failed, counts.active, counts.waiting, counts.delayed], [0, 0, 0, 0]);
  const [some] = await jobs.getCompleted(0, 0);
  assert.equal(some.returnvalue, some.data.number * 2);
  workers.forEach((one) => one.kill('SIGKILL'));
  assert.ok(kills > 5, `${kills} kills`);
  await jobs.obliterate({ force: true });
  assert.deepEqual(await client.keys('bull:crashes:*'), []);
  client.disconnect();
}

async function flows() {
  const told = await events('parents');
  worker('children', async (job) => job.data.value);
  worker('parents', async (job) => {
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, value) => sum + value, 0);
  });
  const flow = kept(new FlowProducer({ connection }));
  const children = [1, 2, 3].map((value) => ({ name: 'child', queueName: 'children', data: { value } }));
  const tree = await flow.add({
    name: 'root', queueName: 'parents',
    children: [{ name: 'middle', queueName: 'parents', children }, { name: 'leaf', queueName: 'children', data: { value: 4 } }],
  });
  assert.equal(await tree.job.waitUntilFinished(told, 20_000), 10);
  const read = await flow.getFlow({ id: tree.job.id, queueName: 'parents' });
  assert.deepEqual(read.children.map((child) => child.job.name).sort(), ['leaf', 'middle']);
}

async function delays() {
  const jobs = queue('delays');
  const begun = Date.now();
  const order = [];
  worker('delays', async (job) => { order.push([job.name, Date.now() - begun]); });
  await jobs.add('late', {}, { delay: 600 });
  await jobs.add('sooner', {}, { delay: 200 });
  await jobs.upsertJobScheduler('often', { every: 150, limit: 4 }, { name: 'often' });
  await until('all have run', () => order.length === 6);
  const when = Object.fromEntries(order);
  assert.ok(when.late >= 600 && when.sooner >= 200 && when.sooner < when.late, JSON.stringify(order));
  await jobs.removeJobScheduler('often');
  const moved = await jobs.add('moved', {}, { delay: 100_000 });
  await moved.promote();
  await until('the promoted one has run', () => order.length === 7);
}

async function retries() {
  const jobs = queue('retries');
  const told = await events('retries');
  const progress = [];
  told.on('progress', ({ data }) => progress.push(data));
  worker('retries', async (job) => {
    await job.updateProgress({ attempt: job.attemptsMade });
    await job.log(`attempt ${job.attemptsMade}`);
    if (job.name === 'hopeless') throw new UnrecoverableError('no more');
    if (job.attemptsMade < 2) throw new Error('not yet');
    return 'at last';
  });
  const job = await jobs.add('patient', {}, { attempts: 3, backoff: { type: 'exponential', delay: 50 } });
  assert.equal(await job.waitUntilFinished(told, 20_000), 'at last');
  assert.deepEqual((await jobs.getJobLogs(job.id)).logs, ['attempt 0', 'attempt 1', 'attempt 2']);
  assert.deepEqual(progress, [{ attempt: 0 }, { attempt: 1 }, { attempt: 2 }]);
  const hopeless = await jobs.add('hopeless', {}, { attempts: 5 });
  await assert.rejects(hopeless.waitUntilFinished(told, 20_000), /no more/);
  assert.equal((await jobs.getFailed()).length, 1);
  assert.equal((await jobs.getFailed())[0].attemptsMade, 1);
}

async function order() {
  const jobs = queue('order');
  await jobs.pause();
  await jobs.add('normal', {}, { priority: 5 });
  await jobs.add('low', {}, { priority: 10 });
  await jobs.add('urgent', {});
  await jobs.add('next', {}, { priority: 1 });
  const first = await jobs.add('once', {}, { deduplication: { id: 'same' } });
  const second = await jobs.add('once', {}, { deduplication: { id: 'same' } });
  assert.equal(first.id, second.id);
  const ran = [];
  worker('order', async (job) => { ran.push(job.name); });
  await sleep(100);
  assert.deepEqual(ran, []);
  assert.equal(await jobs.isPaused(), true);
  await jobs.resume();
  await until('all have run', () => ran.length === 5);
  assert.deepEqual(ran, ['urgent', 'once', 'next', 'normal', 'low']);
  await jobs.clean(0, 100, 'completed');
  assert.equal(await jobs.getCompletedCount(), 0);
}

async function limits() {
  const jobs = queue('limits');
  const times = [];
  worker('limits', async () => { times.push(Date.now()); }, { limiter: { max: 4, duration: 300 }, concurrency: 4 });
  await jobs.addBulk(Array.from({ length: 12 }, () => ({ name: 'job', data: {} })));
  await until('all have run', () => times.length === 12);
  assert.ok(times[11] - times[0] >= 590, `${times[11] - times[0]} ms`);
}

async function sandboxes() {
  const told = await events('sandboxes');
  worker('sandboxes', path.join(__dirname, 'bullmq_processor.js'));
  const job = await queue('sandboxes').add('job', { number: 20 });
  assert.equal(await job.waitUntilFinished(told, 20_000), 40);
  assert.equal((await queue('sandboxes').getJob(job.id)).progress, 50);
}

async function main() {
  if (process.argv[3] === 'worker') return crashable();
  for (const part of [crashes, flows, delays, retries, order, limits, sandboxes]) {
    const begun = Date.now();
    await part();
    console.log(`${part.name}: ${Date.now() - begun} ms`);
  }
  await Promise.all(closing.map((one) => one.close()));
  return process.exit();
}

main().catch((error) => { console.error(error); process.exit(1); });
