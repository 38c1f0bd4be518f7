// An application on ioredis: HOST PORT PROTOCOL. Which scenarios there are is said in ../README.md.

const Redis = require("ioredis");
const { host, port, protocol, expect, refuses, until, numbers, together, play, sleep } = require("./scenarios");

const JOBS = 20_000;
const SUBSCRIBERS = 200;

const open = new Set();
let r;

function connect(options = {}) {
  const client = new Redis({ host, port, protocol, maxRetriesPerRequest: 2, ...options });
  client.on("error", () => {}); // A command that fails says so itself.
  open.add(client);
  return client;
}

/// Replies as RESP3 has them: maps and doubles.
function connectMapped() {
  return protocol === 3 ? connect({ replyMapping: "resp3" }) : connect();
}

async function clean() {
  for (const client of open) client.disconnect();
  open.clear();
  r = connect();
  await r.flushall();
}

async function lacks(needs) {
  if (needs.length === 0) return [];
  const found = await r.command("INFO", ...needs);
  return needs.filter((_, index) => found[index] === null);
}

async function cache() {
  expect(await r.set("page:1", "<html>", "EX", 100), "OK");
  expect(await r.get("page:1"), "<html>");
  expect((await r.ttl("page:1")) > 98, true);
  expect(await r.set("lock", "me", "PX", 60_000, "NX"), "OK");
  expect(await r.set("lock", "you", "NX"), null);
  expect(await r.set("lock", "you", "KEEPTTL", "XX", "GET"), "me");
  expect((await r.pttl("lock")) > 50_000, true);
  expect(await r.getex("page:1", "PERSIST"), "<html>");
  expect(await r.ttl("page:1"), -1);
  expect(await r.getdel("page:1"), "<html>");
  expect(await r.mget("page:1", "lock", "none"), [null, "you", null]);
  expect(await r.mset({ a: 1, b: 2 }), "OK");
  expect(await r.mset(new Map([["c", 3]])), "OK");
  expect(await r.msetnx("c", 4, "d", 4), 0);
  await r.psetex("brief", 30, "x");
  await sleep(50);
  expect(await r.exists("brief", "lock"), 1);
  expect(await r.expire("lock", 10, "GT"), 0);
  expect(await r.copy("lock", "lock2"), 1);
  expect(await r.unlink("lock", "lock2"), 2);
  expect(await r.type("lock"), "none");
  const prefixed = connect({ keyPrefix: "app:" });
  await prefixed.set("key", "value");
  expect(await r.get("app:key"), "value");
  expect(await prefixed.del("key", "other"), 1);
}

async function values() {
  const everyByte = Buffer.alloc(256 * 5_000, Buffer.from(numbers(256)));
  const key = everyByte.subarray(0, 256);
  await r.set(key, everyByte);
  expect(everyByte.equals(await r.getBuffer(key)), true);
  expect((await r.getrangeBuffer(key, 254, 257)).equals(Buffer.from([254, 255, 0, 1])), true);
  const text = numbers(5_000).map((number) => `{"id":${number},"name":"user ${number}"}`).join();
  await r.set("json", text);
  expect(await r.strlen("json"), text.length);
  expect(await r.append("json", "end"), text.length + 3);
  expect(await r.setrange("json", 10, "HERE"), text.length + 3);
  expect(await r.getrange("json", 8, 15), `${text.slice(8, 10)}HERE${text.slice(14, 16)}`);
  expect(await r.setbit("bits", 100, 1), 0);
  expect([await r.bitcount("bits"), await r.bitpos("bits", 1), await r.getbit("bits", 100)], [1, 100, 1]);
  expect(await r.bitop("NOT", "inverted", "bits"), 13);
  expect(await r.bitfield("fields", "SET", "u8", 0, 200, "INCRBY", "u8", 0, 100, "GET", "i8", "#0"), [0, 44, 44]);
  await r.mset("one", "ohmytext", "other", "mynewtext");
  expect([await r.lcs("one", "other"), await r.lcs("one", "other", "LEN")], ["mytext", 6]);
  const matches = await connectMapped().call("LCS", "one", "other", "IDX");
  const wanted = [[[4, 7], [5, 8]], [[2, 3], [0, 1]]];
  expect(matches, protocol === 3 ? { matches: wanted, len: 6 } : ["matches", wanted, "len", 6]);
  await refuses(r.lpush("json", "x"), "WRONGTYPE");
}

async function counters() {
  await together(8, async () => {
    const mine = connect();
    for (const _ of numbers(250)) {
      await mine.incr("hits");
      await mine.decrby("stock", 2);
    }
  });
  expect(await r.mget("hits", "stock"), ["2000", "-4000"]);
  expect(await r.incrbyfloat("temperature", 21.5), "21.5");
  expect(await r.incrbyfloat("temperature", "0.1"), "21.6");
  await r.set("word", "x");
  await refuses(r.incr("word"), "not an integer");
  await r.set("large", "9223372036854775806");
  expect(await connect({ stringNumbers: true }).incr("large"), "9223372036854775807");
  await refuses(r.incr("large"), "overflow");
}

async function queue() {
  const taken = [];
  const consumers = together(4, async () => {
    const mine = connect();
    for (;;) {
      const [, job] = await mine.brpop("urgent", "jobs", 30);
      if (job === "stop") return;
      taken.push(Number(job));
    }
  });
  await together(2, async (number) => {
    const mine = connect();
    for (let start = number; start < JOBS; start += 200) {
      const pipeline = mine.pipeline();
      for (let job = start; job < Math.min(start + 200, JOBS); job += 2) pipeline.lpush(job % 10 ? "jobs" : "urgent", job);
      for (const [error] of await pipeline.exec()) expect(error, null);
    }
  });
  await until(() => taken.length >= JOBS, "the jobs");
  await r.lpush("jobs", "stop", "stop", "stop", "stop");
  await consumers;
  expect(taken.sort((a, b) => a - b), numbers(JOBS));
}

async function reliable_queue() {
  await r.rpush("todo", ...numbers(500));
  const done = [];
  await together(4, async (number) => {
    const mine = connect();
    for (;;) {
      const job = await mine.blmove("todo", `doing:${number}`, "LEFT", "RIGHT", 0.5);
      if (job === null) return;
      if (number === 0 && job % 50 < 2) return mine.disconnect(); // It dies with the job in hand.
      done.push(Number(job));
      expect(await mine.lrem(`doing:${number}`, 1, job), 1);
    }
  });
  for (const lost of await r.lrange("doing:0", 0, -1)) done.push(Number(lost));
  expect(done.sort((a, b) => a - b), numbers(500));
  expect(await r.lmpop(2, "todo", "doing:1", "LEFT"), null);
  await r.rpush("todo", 1, 2, 3);
  expect(await r.blmpop(1, 2, "doing:1", "todo", "LEFT", "COUNT", 2), ["todo", ["1", "2"]]);
  expect(await r.lpos("todo", 3), 0);
  expect(await r.linsert("todo", "BEFORE", 3, 2.5), 2);
  expect(await r.lpop("todo", 5), ["2.5", "3"]);
}

async function transactions() {
  await r.mset("account:a", 1_000, "account:b", 1_000);
  await together(4, async (number) => {
    const mine = connect();
    for (const _ of numbers(50)) {
      for (;;) {
        await mine.watch("account:a", "account:b");
        const [a, b] = (await mine.mget("account:a", "account:b")).map(Number);
        const replies = await mine.multi().set("account:a", a - number).set("account:b", b + number).exec();
        if (replies === null) continue;
        expect(replies, [[null, "OK"], [null, "OK"]]);
        break;
      }
    }
  });
  expect(await r.mget("account:a", "account:b"), ["700", "1300"]);
  const mixed = await r.multi().set("text", "x").incr("text").get("text").exec();
  expect(mixed.map(([error, reply]) => [error?.message.slice(0, 31) ?? null, reply]), [
    [null, "OK"],
    ["ERR value is not an integer or ", undefined],
    [null, "x"],
  ]);
  await refuses(r.multi().set("text", 1).call("NOSUCH").exec(), "EXECABORT");
  await r.multi({ pipeline: false });
  expect(await r.incr("text2"), "QUEUED");
  expect(await r.discard(), "OK");
  expect(await r.exists("text2"), 0);
}

async function pipelines() {
  const writes = r.pipeline();
  for (const number of numbers(10_000)) writes.set(`p:${number}`, number * 7);
  for (const reply of await writes.exec()) expect(reply, [null, "OK"]);
  const reads = r.pipeline();
  for (const number of numbers(10_000)) {
    reads.get(`p:${number}`);
    if (number % 1_000 === 0) reads.lpush("p:0", "wrong type");
  }
  const replies = await reads.exec();
  expect(replies.filter(([error]) => error?.message.startsWith("WRONGTYPE")).length, 10);
  const got = replies.filter(([error]) => error === null).map(([, reply]) => Number(reply));
  expect(got, numbers(10_000).map((number) => number * 7));
  const automatic = connect({ enableAutoPipelining: true });
  expect(await together(1_000, (number) => automatic.get(`p:${number}`)), numbers(1_000).map((number) => `${number * 7}`));
}

async function scan() {
  const pipeline = r.pipeline();
  for (const number of numbers(5_000)) pipeline.set(`user:${number}:name`, number);
  for (const number of numbers(500)) pipeline.rpush(`user:${number}:list`, number);
  await pipeline.exec();
  expect(await r.dbsize(), 5_500);
  const found = new Set();
  for await (const keys of r.scanStream({ match: "user:*:name", count: 100 })) keys.forEach((key) => found.add(key));
  expect([...found].sort(), numbers(5_000).map((number) => `user:${number}:name`).sort());
  const lists = new Set();
  for await (const keys of r.scanStream({ type: "list" })) keys.forEach((key) => lists.add(key));
  expect(lists.size, 500);
  expect((await r.keys("user:12*")).length, 111 + 11);
  expect((await r.randomkey()).startsWith("user:"), true);
}

async function client_commands() {
  const named = connect({ connectionName: "worker-one", db: 5 });
  expect(await named.client("GETNAME"), "worker-one");
  const info = await named.client("INFO");
  expect([/ name=worker-one /, / db=5 /, / lib-name=ioredis/, / resp=\d /].map((pattern) => pattern.test(info)), [true, true, true, true]);
  expect(info.match(/ resp=(\d) /)[1], String(protocol));
  const blocked = connect();
  const id = await blocked.client("ID");
  const reply = blocked.blpop("never", 20);
  await until(async () => (await r.client("UNBLOCK", id)) === 1, "the client to block");
  expect(await reply, null);
  // Killed, it comes back by itself and goes on with what it had to do.
  const killed = await named.client("ID");
  expect(await r.client("KILL", "ID", killed), 1);
  await named.set("in five", 1);
  expect((await named.client("ID")) > killed, true);
  expect(await named.client("GETNAME"), "worker-one");
  expect([await r.exists("in five"), await r.swapdb(0, 5), await r.exists("in five"), await r.swapdb(0, 5)], [0, "OK", 1, "OK"]);
  expect(await r.client("PAUSE", 50, "WRITE"), "OK");
  const started = Date.now();
  await r.set("after", "pause");
  expect(Date.now() - started > 30, true);
  expect(await r.config("GET", "maxmemory"), ["maxmemory", "0"]);
  if (protocol === 3) expect(await connectMapped().config("GET", "maxmemory"), { maxmemory: "0" });
  expect(/redis_version:\d+\.\d+\.\d+\r\n/.test(await r.info("server")), true);
  expect(await r.echo("back"), "back");
  expect(Number((await r.time())[0]) > 1_700_000_000, true);
  expect((await r.command("COUNT")) > 100, true);
  expect(await r.command("GETKEYS", "MSET", "a", 1, "b", 2), ["a", "b"]);
  expect((await r.object("ENCODING", "after")), "embstr");
  expect((await r.memory("USAGE", "after")) > 0, true);
  expect(await connect({ readOnly: false }).quit(), "OK");
}

async function notifications() {
  await r.config("SET", "notify-keyspace-events", "KEA");
  const events = connect();
  const got = [];
  events.on("pmessage", (_pattern, channel, message) => got.push(`${channel.split(":")[1]} ${message}`));
  await events.psubscribe("__keyevent@0__:*");
  await r.set("noted", 1, "PX", 20);
  await r.rpush("noted list", 1);
  await r.rename("noted list", "renamed");
  await r.del("renamed");
  await until(() => got.length >= 7, "seven events");
  const wanted = "set noted|expire noted|rpush noted list|rename_from noted list|rename_to renamed|del renamed|expired noted";
  expect(got.sort(), wanted.split("|").sort());
  await r.config("SET", "notify-keyspace-events", "");
}

async function messages() {
  const listener = connect();
  const heard = [];
  listener.on("message", (channel, message) => heard.push([channel, message]));
  listener.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
  listener.on("smessage", (channel, message) => heard.push(["shard", channel, message]));
  expect(await listener.subscribe("news", "other"), 2);
  expect(await listener.psubscribe("chat:*"), 3);
  expect(await listener.ssubscribe("orders"), 1);
  expect([await r.publish("news", "hello"), await r.publish("chat:7", "hi"), await r.publish("none", "x")], [1, 1, 0]);
  expect(await r.spublish("orders", "one"), 1);
  await until(() => heard.length >= 3, "the messages");
  expect(heard, [["news", "hello"], ["chat:*", "chat:7", "hi"], ["shard", "orders", "one"]]);
  expect(await r.pubsub("NUMSUB", "news", "none"), ["news", 1, "none", 0]);
  expect([await r.pubsub("NUMPAT"), await r.pubsub("CHANNELS", "n*"), await r.pubsub("SHARDCHANNELS")], [1, ["news"], ["orders"]]);
  // After a broken connection it subscribes again by itself.
  await r.client("KILL", "TYPE", "pubsub");
  await until(async () => (await r.publish("news", "again")) === 1, "the listener to come back");
  await until(() => heard.length >= 4, "the message");
  expect(await listener.unsubscribe("news"), 2);
  if (protocol === 2) await refuses(listener.get("x"), "subscriber mode");
  else expect(await listener.get("x"), null);
}

async function fan_out() {
  const rounds = 10;
  const got = numbers(SUBSCRIBERS).map(() => []);
  await together(SUBSCRIBERS, async (number) => {
    const mine = connect();
    mine.on("message", (_, message) => got[number].push(Number(message)));
    await mine.subscribe("fan");
  });
  for (const number of numbers(rounds)) expect(await r.publish("fan", number), SUBSCRIBERS);
  await until(() => got.every((messages) => messages.length >= rounds), "all messages");
  for (const messages of got) expect(messages, numbers(rounds));
}

async function monitor() {
  const monitor = await r.duplicate().monitor();
  open.add(monitor);
  const seen = [];
  monitor.on("monitor", (_time, words, source, database) => seen.push([words, source.includes(":"), database]));
  await r.set("watched", "value with \"quotes\"");
  await until(() => seen.length > 0, "a command");
  expect(seen[0], [["set", "watched", 'value with "quotes"'], true, "0"]);
}

async function hashes() {
  expect(await r.hset("user:1", { name: "Ada", age: 36 }), 2);
  expect(await r.hset("user:1", "age", 37, "city", "London"), 1);
  expect(await r.hgetall("user:1"), { name: "Ada", age: "37", city: "London" });
  expect(await r.hmget("user:1", "name", "none"), ["Ada", null]);
  expect([await r.hincrby("user:1", "age", 1), await r.hlen("user:1"), await r.hexists("user:1", "city")], [38, 3, 1]);
  expect((await r.hkeys("user:1")).sort(), ["age", "city", "name"]);
  expect(await r.hdel("user:1", "city", "none"), 1);
  const pipeline = r.pipeline();
  for (const number of numbers(2_000)) pipeline.hset("large", `field:${number}`, number);
  await pipeline.exec();
  const found = {};
  for await (const page of r.hscanStream("large", { match: "field:1*" })) {
    for (let index = 0; index < page.length; index += 2) found[page[index]] = page[index + 1];
  }
  expect(Object.keys(found).length, 1 + 10 + 100 + 1_000);
}

async function sets() {
  expect(await r.sadd("tags:a", "x", "y", "z", 1), 4);
  await r.sadd("tags:b", "y", "z", "w");
  expect((await r.sinter("tags:a", "tags:b")).sort(), ["y", "z"]);
  expect((await r.sunion("tags:a", "tags:b")).sort(), ["1", "w", "x", "y", "z"]);
  expect((await r.sdiff("tags:a", "tags:b")).sort(), ["1", "x"]);
  expect([await r.sismember("tags:a", "x"), await r.smismember("tags:a", "x", "none")], [1, [1, 0]]);
  expect([await r.smove("tags:a", "tags:b", "x"), await r.scard("tags:b"), await r.srem("tags:a", "y", "none")], [1, 4, 1]);
  expect(["1", "z"].includes(await r.spop("tags:a")), true);
  expect((await r.smembers("tags:b")).sort(), ["w", "x", "y", "z"]);
}

async function sorted_sets() {
  expect(await r.zadd("board", 10, "ada", 20.5, "bob", 15, "eve"), 3);
  expect(await r.zincrby("board", 100, "eve"), "115");
  expect(await r.zscore("board", "bob"), "20.5");
  expect(await r.zrange("board", 0, -1, "WITHSCORES"), ["ada", "10", "bob", "20.5", "eve", "115"]);
  if (protocol === 3) expect(await connectMapped().zscore("board", "bob"), 20.5);
  expect(await r.zrevrange("board", 0, 0), ["eve"]);
  expect([await r.zrank("board", "bob"), await r.zcount("board", "(10", "+inf"), await r.zcard("board")], [1, 2, 3]);
  expect(await r.zpopmin("board"), ["ada", "10"]);
  expect(await r.zrangebyscore("board", "-inf", 50), ["bob"]);
  const waits = connect();
  const reply = waits.bzpopmax("none", "later", 20);
  await r.zadd("later", 5, "job");
  expect(await reply, ["later", "job", "5"]);
}

async function streams() {
  const id = await r.xadd("events", "*", "kind", "login", "user", "1");
  expect(/^\d+-\d+$/.test(id), true);
  await r.xadd("events", "*", "kind", "logout");
  expect(await r.xrange("events", id, id), [[id, ["kind", "login", "user", "1"]]]);
  expect(await r.xgroup("CREATE", "events", "workers", 0), "OK");
  const [[key, [entry]]] = await r.xreadgroup("GROUP", "workers", "one", "COUNT", 1, "STREAMS", "events", ">");
  expect([key, entry[0]], ["events", id]);
  expect((await r.xpending("events", "workers"))[0], 1);
  expect(await r.xack("events", "workers", id), 1);
  const waits = connect();
  const reply = waits.xread("BLOCK", 20_000, "STREAMS", "events", "$");
  await until(async () => (await r.client("LIST")).includes("cmd=xread"), "the reader");
  const last = await r.xadd("events", "*", "kind", "late");
  expect(await reply, [["events", [[last, ["kind", "late"]]]]]);
  expect([await r.xlen("events"), await r.xtrim("events", "MAXLEN", 1), await r.xdel("events", last)], [3, 2, 1]);
}

async function scripts() {
  expect(await r.eval("return {KEYS[1], ARGV[1], 3}", 1, "key", "value"), ["key", "value", 3]);
  r.defineCommand("take", { numberOfKeys: 1, lua: "local v = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return v" });
  await r.set("key", "once");
  expect([await r.take("key"), await r.take("key")], ["once", null]);
}

const everything = {
  cache: { run: cache },
  values: { run: values },
  counters: { run: counters },
  queue: { run: queue },
  reliable_queue: { run: reliable_queue },
  transactions: { run: transactions },
  pipelines: { run: pipelines },
  scan: { run: scan },
  client_commands: { run: client_commands },
  notifications: { run: notifications },
  messages: { run: messages },
  fan_out: { run: fan_out },
  monitor: { run: monitor },
  hashes: { run: hashes, needs: ["hset", "hscan"] },
  sets: { run: sets, needs: ["sadd", "sinter"] },
  sorted_sets: { run: sorted_sets, needs: ["zadd", "bzpopmax"] },
  streams: { run: streams, needs: ["xadd", "xreadgroup"] },
  scripts: { run: scripts, needs: ["eval"] },
};

play(everything, { lacks, clean }).then(() => process.exit(0));
