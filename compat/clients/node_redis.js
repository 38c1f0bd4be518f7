// An application on node-redis: HOST PORT PROTOCOL. Which scenarios there are is said in ../README.md.

const { createClient, createClientPool, RESP_TYPES, WatchError } = require("redis");
const { host, port, protocol, expect, refuses, until, numbers, together, play, sleep } = require("./scenarios");

const JOBS = 20_000;
const SUBSCRIBERS = 200;

const open = new Set();
let r;

async function connect(options = {}) {
  const client = createClient({ RESP: protocol, socket: { host, port }, ...options });
  client.on("error", () => {}); // A command that fails says so itself.
  open.add(client);
  return client.connect();
}

function close(client) {
  open.delete(client);
  if (client.isOpen) client.destroy();
}

async function clean() {
  open.forEach(close);
  r = await connect();
  await r.flushAll();
}

async function lacks(needs) {
  if (needs.length === 0) return [];
  const found = await r.sendCommand(["COMMAND", "INFO", ...needs]);
  return needs.filter((_, index) => found[index] === null);
}

/// In RESP2 a map arrives as a list.
function pairs(map) {
  return Array.isArray(map) ? map : Object.entries(map).flat();
}

async function cache() {
  expect(await r.set("page:1", "<html>", { EX: 100 }), "OK");
  expect(await r.get("page:1"), "<html>");
  expect((await r.ttl("page:1")) > 98, true);
  expect(await r.set("lock", "me", { PX: 60_000, NX: true }), "OK");
  expect(await r.set("lock", "you", { NX: true }), null);
  expect(await r.set("lock", "you", { expiration: "KEEPTTL", condition: "XX", GET: true }), "me");
  expect((await r.pTTL("lock")) > 50_000, true);
  expect(await r.getEx("page:1", { PERSIST: true }), "<html>");
  expect(await r.ttl("page:1"), -1);
  expect(await r.getDel("page:1"), "<html>");
  expect(await r.mGet(["page:1", "lock", "none"]), [null, "you", null]);
  expect(await r.mSet({ a: "1", b: "2" }), "OK");
  expect(await r.mSetNX([["b", "3"], ["c", "3"]]), 0);
  expect(await r.set("brief", "x", { PX: 30 }), "OK");
  await sleep(50);
  expect(await r.exists(["brief", "lock"]), 1);
  expect(await r.expire("lock", 10, "GT"), 0);
  const at = new Date(Date.now() + 100_000);
  expect(await r.expireAt("lock", at), 1);
  expect(await r.expireTime("lock"), Math.floor(at / 1000));
  expect(await r.copy("lock", "lock2"), 1);
  expect(await r.unlink(["lock", "lock2"]), 2);
  expect(await r.type("lock"), "none");
}

async function values() {
  const everyByte = Buffer.alloc(256 * 5_000, Buffer.from(numbers(256)));
  const key = everyByte.subarray(0, 256);
  const binary = r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  expect(await binary.set(key, everyByte), "OK");
  expect(everyByte.equals(await binary.get(key)), true);
  expect((await binary.getRange(key, 254, 257)).equals(Buffer.from([254, 255, 0, 1])), true);
  const text = numbers(5_000).map((number) => `{"id":${number},"name":"user ${number}"}`).join();
  await r.set("json", text);
  expect(await r.strLen("json"), text.length);
  expect(await r.append("json", "end"), text.length + 3);
  expect(await r.setRange("json", 10, "HERE"), text.length + 3);
  expect(await r.getRange("json", 8, 15), `${text.slice(8, 10)}HERE${text.slice(14, 16)}`);
  expect(await r.setBit("bits", 100, 1), 0);
  expect([await r.bitCount("bits"), await r.bitPos("bits", 1), await r.getBit("bits", 100)], [1, 100, 1]);
  expect(await r.bitOp("NOT", "inverted", "bits"), 13);
  const fields = [
    { operation: "SET", encoding: "u8", offset: 0, value: 200 },
    { operation: "INCRBY", encoding: "u8", offset: 0, increment: 100 },
    { operation: "GET", encoding: "i8", offset: "#0" },
  ];
  expect(await r.bitField("fields", fields), [0, 44, 44]);
  await r.mSet({ one: "ohmytext", other: "mynewtext" });
  expect([await r.lcs("one", "other"), await r.lcsLen("one", "other")], ["mytext", 6]);
  const matches = [[[4, 7], [5, 8]], [[2, 3], [0, 1]]];
  expect({ ...(await r.lcsIdx("one", "other")) }, { matches, len: 6 });
  await refuses(r.lPush("json", "x"), "WRONGTYPE");
}

async function counters() {
  await together(8, async () => {
    const mine = await connect();
    for (const _ of numbers(250)) {
      await mine.incr("hits");
      await mine.decrBy("stock", 2);
    }
  });
  expect(await r.mGet(["hits", "stock"]), ["2000", "-4000"]);
  expect(await r.incrByFloat("temperature", 21.5), "21.5");
  expect(await r.incrByFloat("temperature", 0.1), "21.6");
  await r.set("word", "x");
  await refuses(r.incr("word"), "not an integer");
  await r.set("large", "9223372036854775806");
  expect(await r.withTypeMapping({ [RESP_TYPES.NUMBER]: String }).incr("large"), "9223372036854775807");
  await refuses(r.incr("large"), "overflow");
}

async function queue() {
  const taken = [];
  const consumers = together(4, async () => {
    const mine = await connect();
    for (;;) {
      const { element } = await mine.brPop(["urgent", "jobs"], 30);
      if (element === "stop") return;
      taken.push(Number(element));
    }
  });
  await together(2, async (number) => {
    const mine = await connect();
    for (let start = number; start < JOBS; start += 200) {
      const batch = [];
      for (let job = start; job < Math.min(start + 200, JOBS); job += 2) {
        batch.push(mine.lPush(job % 10 ? "jobs" : "urgent", `${job}`));
      }
      await Promise.all(batch);
    }
  });
  await until(() => taken.length >= JOBS, "the jobs");
  await r.lPush("jobs", ["stop", "stop", "stop", "stop"]);
  await consumers;
  expect(taken.sort((a, b) => a - b), numbers(JOBS));
}

async function reliable_queue() {
  await r.rPush("todo", numbers(500).map(String));
  const done = [];
  await together(4, async (number) => {
    const mine = await connect();
    for (;;) {
      const job = await mine.blMove("todo", `doing:${number}`, "LEFT", "RIGHT", 0.5);
      if (job === null) return;
      if (number === 0 && job % 50 < 2) return close(mine); // It dies with the job in hand.
      done.push(Number(job));
      expect(await mine.lRem(`doing:${number}`, 1, job), 1);
    }
  });
  for (const lost of await r.lRange("doing:0", 0, -1)) done.push(Number(lost));
  expect(done.sort((a, b) => a - b), numbers(500));
  expect(await r.lmPop(["todo", "doing:1"], "LEFT"), null);
  await r.rPush("todo", ["1", "2", "3"]);
  expect(await r.blmPop(1, ["doing:1", "todo"], "LEFT", { COUNT: 2 }), ["todo", ["1", "2"]]);
  expect(await r.lPos("todo", "3"), 0);
  expect(await r.lInsert("todo", "BEFORE", "3", "2.5"), 2);
  expect(await r.lPopCount("todo", 5), ["2.5", "3"]);
}

async function transactions() {
  await r.mSet({ "account:a": "1000", "account:b": "1000" });
  await together(4, async (number) => {
    const mine = await connect();
    for (const _ of numbers(50)) {
      for (;;) {
        await mine.watch(["account:a", "account:b"]);
        const [a, b] = (await mine.mGet(["account:a", "account:b"])).map(Number);
        try {
          const replies = await mine.multi().set("account:a", `${a - number}`).set("account:b", `${b + number}`).exec();
          expect(replies, ["OK", "OK"]);
          break;
        } catch (error) {
          if (!(error instanceof WatchError)) throw error;
        }
      }
    }
  });
  expect(await r.mGet(["account:a", "account:b"]), ["700", "1300"]);
  const mixed = await r.multi().set("text", "x").incr("text").get("text").exec().catch((error) => error.replies);
  expect([mixed[0], mixed[1].message.includes("not an integer"), mixed[2]], ["OK", true, "x"]);
  await refuses(r.multi().set("text", "1").addCommand(["NOSUCH"]).exec(), "unknown command");
  // A pool gives each transaction a connection of its own.
  const pool = createClientPool({ RESP: protocol, socket: { host, port } }, { maximum: 4 });
  await pool.connect();
  await together(100, (number) => pool.multi().incr("pooled").set(`pooled:${number}`, "1").exec());
  expect(await pool.get("pooled"), "100");
  pool.destroy();
}

async function pipelines() {
  for (const reply of await together(10_000, (number) => r.set(`p:${number}`, `${number * 7}`))) expect(reply, "OK");
  const replies = await Promise.allSettled(
    numbers(10_000).flatMap((number) => {
      const read = r.get(`p:${number}`);
      return number % 1_000 === 0 ? [read, r.lPush("p:0", "wrong type")] : [read];
    }),
  );
  expect(replies.filter(({ reason }) => reason?.message.startsWith("WRONGTYPE")).length, 10);
  const got = replies.filter(({ status }) => status === "fulfilled").map(({ value }) => Number(value));
  expect(got, numbers(10_000).map((number) => number * 7));
  const batch = r.multi();
  for (const number of numbers(1_000)) batch.get(`p:${number}`);
  expect(await batch.execAsPipeline(), numbers(1_000).map((number) => `${number * 7}`));
}

async function scan() {
  await together(5_000, (number) => r.set(`user:${number}:name`, `${number}`));
  await together(500, (number) => r.rPush(`user:${number}:list`, `${number}`));
  expect(await r.dbSize(), 5_500);
  const found = new Set();
  for await (const keys of r.scanIterator({ MATCH: "user:*:name", COUNT: 100 })) keys.forEach((key) => found.add(key));
  expect([...found].sort(), numbers(5_000).map((number) => `user:${number}:name`).sort());
  const lists = new Set();
  for await (const keys of r.scanIterator({ TYPE: "list" })) keys.forEach((key) => lists.add(key));
  expect(lists.size, 500);
  expect((await r.keys("user:12*")).length, 111 + 11);
  expect((await r.randomKey()).startsWith("user:"), true);
}

async function client_commands() {
  const named = await connect({ name: "worker-one", database: 5 });
  expect(await named.clientGetName(), "worker-one");
  const info = await named.clientInfo();
  expect([info.name, info.db, info.resp, info.libName], ["worker-one", 5, protocol, "node-redis"]);
  const listed = await r.clientList({ TYPE: "NORMAL" });
  expect(listed.filter(({ id }) => id === info.id).map(({ name }) => name), ["worker-one"]);
  const blocked = await connect();
  const id = await blocked.clientId();
  const reply = blocked.blPop("never", 20);
  await until(async () => (await r.clientUnblock(id)) === 1, "the client to block");
  expect(await reply, null);
  // Killed, it comes back by itself.
  expect(await r.clientKill({ filter: "ID", id: info.id }), 1);
  await until(async () => (await named.clientId().catch(() => 0)) > info.id, "the client to come back");
  await named.set("in five", "1");
  expect(await named.clientGetName(), "worker-one");
  expect([await r.exists("in five"), await r.swapDb(0, 5), await r.exists("in five"), await r.swapDb(0, 5)], [0, "OK", 1, "OK"]);
  expect(await r.clientPause(50, "WRITE"), "OK");
  const started = Date.now();
  await r.set("after", "pause");
  expect(Date.now() - started > 30, true);
  expect({ ...(await r.configGet("maxmemory")) }, { maxmemory: "0" });
  expect({ ...(await r.configGet(["maxmemory", "databases"])) }, { maxmemory: "0", databases: "16" });
  expect(/redis_version:\d+\.\d+\.\d+\r\n/.test(await r.info("server")), true);
  expect(await r.echo("back"), "back");
  expect(Number((await r.time())[0]) > 1_700_000_000, true);
  expect((await r.commandCount()) > 100, true);
  expect((await r.commandInfo(["get"]))[0].arity, 2);
  expect(await r.commandGetKeys(["MSET", "a", "1", "b", "2"]), ["a", "b"]);
  expect(await r.objectEncoding("after"), "embstr");
  expect((await r.memoryUsage("after")) > 0, true);
  expect((await r.memoryStats())["keys.count"], 2);
  const sections = pairs(await r.latencyHistogram("set"));
  expect(sections[0], "set");
}

async function notifications() {
  await r.configSet("notify-keyspace-events", "KEA");
  const events = await connect();
  const got = [];
  await events.pSubscribe("__keyevent@0__:*", (message, channel) => got.push(`${channel.split(":")[1]} ${message}`));
  await r.set("noted", "1", { PX: 20 });
  await r.rPush("noted list", "1");
  await r.rename("noted list", "renamed");
  await r.del("renamed");
  await until(() => got.length >= 7, "seven events");
  const wanted = "set noted|expire noted|rpush noted list|rename_from noted list|rename_to renamed|del renamed|expired noted";
  expect(got.sort(), wanted.split("|").sort());
  await r.configSet({ "notify-keyspace-events": "" });
}

async function messages() {
  const listener = await connect();
  const heard = [];
  const hear = (kind) => (message, channel) => heard.push([kind, channel, message]);
  await listener.subscribe(["news", "other"], hear("channel"));
  await listener.pSubscribe("chat:*", hear("pattern"));
  await listener.sSubscribe("orders", hear("shard"));
  expect([await r.publish("news", "hello"), await r.publish("chat:7", "hi"), await r.publish("none", "x")], [1, 1, 0]);
  expect(await r.sPublish("orders", "one"), 1);
  await until(() => heard.length >= 3, "the messages");
  expect(heard, [["channel", "news", "hello"], ["pattern", "chat:7", "hi"], ["shard", "orders", "one"]]);
  expect({ ...(await r.pubSubNumSub(["news", "none"])) }, { news: 1, none: 0 });
  expect([await r.pubSubNumPat(), await r.pubSubChannels("n*"), await r.pubSubShardChannels()], [1, ["news"], ["orders"]]);
  const binary = [];
  await listener.subscribe("binary", (message) => binary.push(message), true);
  await r.publish("binary", Buffer.from([255, 0, 254]));
  await until(() => binary.length === 1, "bytes");
  expect([...binary[0]], [255, 0, 254]);
  // After a broken connection it subscribes again by itself.
  await r.clientKill({ filter: "TYPE", type: "PUBSUB" });
  await until(async () => (await r.publish("news", "again")) === 1, "the listener to come back");
  await until(() => heard.length >= 4, "the message");
  await listener.unsubscribe("news");
  expect(await r.publish("news", "gone"), 0);
  if (protocol === 3) expect(await listener.get("x"), null);
}

async function fan_out() {
  const rounds = 10;
  const got = numbers(SUBSCRIBERS).map(() => []);
  await together(SUBSCRIBERS, async (number) => {
    const mine = await connect();
    await mine.subscribe("fan", (message) => got[number].push(Number(message)));
  });
  for (const number of numbers(rounds)) expect(await r.publish("fan", `${number}`), SUBSCRIBERS);
  await until(() => got.every((messages) => messages.length >= rounds), "all messages");
  for (const messages of got) expect(messages, numbers(rounds));
}

async function monitor() {
  const watching = await connect();
  const seen = [];
  await watching.monitor((line) => seen.push(line));
  await r.set("watched", 'value with "quotes"');
  await until(() => seen.length > 0, "a command");
  expect(/^\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "watched" "value with \\"quotes\\""$/.test(seen[0]), true);
}

async function client_cache() {
  const caching = await connect({ clientSideCache: { ttl: 0, maxEntries: 100, evictPolicy: "LRU" } });
  await r.set("cached", "one");
  expect([await caching.get("cached"), await caching.get("cached")], ["one", "one"]);
  await r.set("cached", "two");
  await until(async () => (await caching.get("cached")) === "two", "the invalidation");
}

async function hashes() {
  expect(await r.hSet("user:1", { name: "Ada", age: "36" }), 2);
  expect(await r.hSet("user:1", ["age", "37", "city", "London"]), 1);
  expect({ ...(await r.hGetAll("user:1")) }, { name: "Ada", age: "37", city: "London" });
  expect(await r.hmGet("user:1", ["name", "none"]), ["Ada", null]);
  expect([await r.hIncrBy("user:1", "age", 1), await r.hLen("user:1"), await r.hExists("user:1", "city")], [38, 3, 1]);
  expect((await r.hKeys("user:1")).sort(), ["age", "city", "name"]);
  expect(await r.hDel("user:1", ["city", "none"]), 1);
  expect((await r.hRandFieldCountWithValues("user:1", 2)).length, 2);
  await together(2_000, (number) => r.hSet("large", `field:${number}`, `${number}`));
  const found = new Set();
  for await (const page of r.hScanIterator("large", { MATCH: "field:1*" })) page.forEach(({ field }) => found.add(field));
  expect(found.size, 1 + 10 + 100 + 1_000);
}

async function sets() {
  expect(await r.sAdd("tags:a", ["x", "y", "z", "1"]), 4);
  await r.sAdd("tags:b", ["y", "z", "w"]);
  expect([...(await r.sInter(["tags:a", "tags:b"]))].sort(), ["y", "z"]);
  expect([...(await r.sUnion(["tags:a", "tags:b"]))].sort(), ["1", "w", "x", "y", "z"]);
  expect([...(await r.sDiff(["tags:a", "tags:b"]))].sort(), ["1", "x"]);
  expect([await r.sIsMember("tags:a", "x"), await r.smIsMember("tags:a", ["x", "none"])], [1, [1, 0]]);
  expect([await r.sMove("tags:a", "tags:b", "x"), await r.sCard("tags:b"), await r.sRem("tags:a", ["y", "none"])], [1, 4, 1]);
  expect(["1", "z"].includes(await r.sPop("tags:a")), true);
  expect([...(await r.sMembers("tags:b"))].sort(), ["w", "x", "y", "z"]);
}

async function sorted_sets() {
  const members = [{ score: 10, value: "ada" }, { score: 20.5, value: "bob" }, { score: 15, value: "eve" }];
  expect(await r.zAdd("board", members), 3);
  expect([await r.zIncrBy("board", 100, "eve"), await r.zScore("board", "bob"), await r.zScore("board", "none")], [115, 20.5, null]);
  const ranked = (await r.zRangeWithScores("board", 0, -1)).map(({ value, score }) => [value, score]);
  expect(ranked, [["ada", 10], ["bob", 20.5], ["eve", 115]]);
  expect(await r.zRange("board", 0, 0, { REV: true }), ["eve"]);
  expect([await r.zRank("board", "bob"), await r.zCount("board", "(10", "+inf"), await r.zCard("board")], [1, 2, 3]);
  expect({ ...(await r.zPopMin("board")) }, { value: "ada", score: 10 });
  expect(await r.zRangeByScore("board", "-inf", 50), ["bob"]);
  const waits = await connect();
  const reply = waits.bzPopMax(["none", "later"], 20);
  await r.zAdd("later", { score: 5, value: "job" });
  expect({ ...(await reply) }, { key: "later", value: "job", score: 5 });
}

async function streams() {
  const id = await r.xAdd("events", "*", { kind: "login", user: "1" });
  expect(/^\d+-\d+$/.test(id), true);
  await r.xAdd("events", "*", { kind: "logout" });
  expect((await r.xRange("events", id, id)).map((entry) => [entry.id, { ...entry.message }]), [[id, { kind: "login", user: "1" }]]);
  expect(await r.xGroupCreate("events", "workers", "0"), "OK");
  const [{ name, messages }] = await r.xReadGroup("workers", "one", { key: "events", id: ">" }, { COUNT: 1 });
  expect([name, messages[0].id], ["events", id]);
  expect((await r.xPending("events", "workers")).pending, 1);
  expect(await r.xAck("events", "workers", id), 1);
  const waits = await connect();
  const reply = waits.xRead({ key: "events", id: "$" }, { BLOCK: 20_000 });
  await until(async () => (await r.clientList()).some(({ cmd }) => cmd === "xread"), "the reader");
  const last = await r.xAdd("events", "*", { kind: "late" });
  expect((await reply)[0].messages[0].id, last);
  expect([await r.xLen("events"), await r.xTrim("events", "MAXLEN", 1), await r.xDel("events", last)], [3, 2, 1]);
}

async function scripts() {
  expect(await r.eval("return {KEYS[1], ARGV[1], 3}", { keys: ["key"], arguments: ["value"] }), ["key", "value", 3]);
  const sha = await r.scriptLoad("return redis.call('GET', KEYS[1])");
  await r.set("key", "once");
  expect(await r.evalSha(sha, { keys: ["key"] }), "once");
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
  hashes: { run: hashes, needs: ["hset", "hscan", "hrandfield"] },
  sets: { run: sets, needs: ["sadd", "sinter"] },
  sorted_sets: { run: sorted_sets, needs: ["zadd", "bzpopmax"] },
  streams: { run: streams, needs: ["xadd", "xreadgroup"] },
  scripts: { run: scripts, needs: ["eval"] },
};
if (protocol === 3) everything.client_cache = { run: client_cache, needs: ["client|tracking"] };

play(everything, { lacks, clean }).then(() => process.exit(0));
