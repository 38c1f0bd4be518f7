// A client of the server over a WebSocket, and the session that its clients have in common: who is logged in, and in which database.

import { command, concatenated, ErrorReply, Push, Reader } from './resp.js';

/// Milliseconds between attempts to connect again, and the most.
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 8000;

/// There is no connection, or none any more.
export class Disconnected extends Error {}

/// Tries something again after a while, which is longer each time.
export class Retry {
  constructor(run) {
    this.run = run;
    this.waitMs = RETRY_MIN_MS;
  }

  later() {
    this.cancel();
    this.timer = setTimeout(this.run, this.waitMs);
    this.waitMs = Math.min(this.waitMs * 2, RETRY_MAX_MS);
  }

  cancel() {
    clearTimeout(this.timer);
  }

  succeeded() {
    this.waitMs = RETRY_MIN_MS;
  }
}

/// One client of the server. Commands are answered in order; what comes without having been asked for goes to `received`.
export class Connection {
  constructor(url) {
    this.waits = [];
    /// Called with what nobody waits for.
    this.received = () => {};
    this.closed = () => {};
    /// Commands that were sent.
    this.sent = 0;
    const reader = new Reader();
    this.socket = new WebSocket(url);
    this.socket.binaryType = 'arraybuffer';
    this.opened = new Promise((resolve, reject) => {
      this.socket.addEventListener('open', () => resolve());
      this.socket.addEventListener('close', (event) => {
        const error = new Disconnected(event.reason || 'the connection is closed');
        reject(error);
        for (const { reject: refuse } of this.waits.splice(0)) refuse(error);
        this.closed(error);
      });
    });
    // Whoever waits for it is told.
    this.opened.catch(() => {});
    this.socket.addEventListener('message', ({ data }) => {
      for (const reply of reader.feed(new Uint8Array(data))) this.take(reply);
    });
  }

  take(reply) {
    const wait = reply instanceof Push ? undefined : this.waits.shift();
    if (wait) wait.resolve(reply);
    else this.received(reply);
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /// Sends commands whose replies go to `received`.
  send(...commands) {
    if (!this.isOpen) throw new Disconnected('there is no connection');
    this.sent += commands.length;
    this.socket.send(concatenated(commands.map(command)));
  }

  /// The replies to several commands; errors are among them.
  all(...commands) {
    if (!this.isOpen) return Promise.reject(new Disconnected('there is no connection'));
    const replies = commands.map(() => new Promise((resolve, reject) => this.waits.push({ resolve, reject })));
    this.send(...commands);
    return Promise.all(replies);
  }

  /// The reply to a command. Throws the error that it is.
  async ask(...words) {
    const [reply] = await this.all(words);
    if (reply instanceof ErrorReply) throw reply;
    return reply;
  }

  /// Does several commands at one moment, and returns their replies; nothing if a watched key has changed. Nobody else may ask
  /// over this connection meanwhile.
  async transaction(...commands) {
    // Of a user who may not begin one, the commands would be done one by one.
    await this.ask('MULTI');
    const replies = await this.all(...commands, ['EXEC']);
    const refused = replies.slice(0, -1).find((reply) => reply instanceof ErrorReply);
    const done = replies.at(-1);
    const error = refused ?? (done instanceof ErrorReply ? done : done?.find((reply) => reply instanceof ErrorReply));
    if (error) throw error;
    return done;
  }

  close() {
    this.socket.close();
  }
}

/// Who is logged in, and the connection over which the page asks. It is made again when it breaks.
///
/// Events: `state` (of `state`, below) and `database`.
export class Session extends EventTarget {
  constructor() {
    super();
    /// `connecting`, `login` (somebody must say who they are), `open`, or `lost`.
    this.state = 'connecting';
    this.reason = '';
    /// As whom to log in: a user and a password, which are kept nowhere else.
    this.login = null;
    this.user = '';
    this.database = 0;
    this.main = null;
    this.retry = new Retry(() => this.start());
    this.attempt = 0;
  }

  become(state, reason = '') {
    [this.state, this.reason] = [state, reason];
    this.dispatchEvent(new Event('state'));
  }

  /// Connects, and goes on trying.
  async start() {
    this.retry.cancel();
    this.attempt += 1;
    const attempt = this.attempt;
    try {
      const connection = await this.connect();
      if (attempt !== this.attempt) {
        connection.close();
        return;
      }
      this.main = connection;
      this.retry.succeeded();
      connection.closed = (error) => this.main === connection && this.lose(error.message);
      const [who, databases] = await connection.all(['ACL', 'WHOAMI'], ['CONFIG', 'GET', 'databases']);
      if (!connection.isOpen) throw new Disconnected('the connection is closed');
      this.user = who instanceof ErrorReply ? this.login?.user ?? 'default' : new TextDecoder().decode(who);
      this.databases = databases.pairs ? Number(new TextDecoder().decode(databases.pairs[0]?.[1])) || 16 : 16;
      this.become('open');
    } catch (error) {
      if (attempt !== this.attempt) return;
      if (error instanceof ErrorReply && ['NOAUTH', 'WRONGPASS'].includes(error.code)) {
        const isWrong = error.code === 'WRONGPASS';
        this.login = null;
        this.become('login', isWrong ? 'This user and password do not match, or the user is disabled.' : '');
      } else {
        this.lose(await this.explained(error));
      }
    }
  }

  /// A further client, logged in as this session is.
  async connect() {
    const connection = new Connection(new URL('ws', document.baseURI.replace(/^http/, 'ws')));
    await connection.opened;
    try {
      if (this.login) {
        await connection.ask('AUTH', this.login.user, this.login.password);
      } else {
        const [reply] = await connection.all(['PING']);
        // Who is known and may not do that is told NOPERM.
        if (reply instanceof ErrorReply && reply.code !== 'NOPERM') throw reply;
      }
      // What the page reads is not to count as used; a server, or user, without this command does without.
      await connection.all(['CLIENT', 'SETNAME', 'dashboard'], ['CLIENT', 'NO-TOUCH', 'ON']);
      if (this.database !== 0) await connection.ask('SELECT', this.database);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /// A browser does not say why a WebSocket was refused; a request to the same place does.
  async explained(error) {
    if (error instanceof ErrorReply) return error.message;
    try {
      const response = await fetch('ws');
      const refusal = await response.json();
      return response.status === 400 ? error.message : refusal.error;
    } catch {
      return 'the server cannot be reached';
    }
  }

  lose(reason) {
    this.main = null;
    this.become('lost', reason);
    this.retry.later();
  }

  logIn(user, password) {
    this.login = { user: user || 'default', password };
    return this.start();
  }

  logOut() {
    this.attempt += 1;
    const before = this.main;
    this.main = null;
    this.login = null;
    before?.close();
    this.become('login');
  }

  async select(database) {
    await this.ask('SELECT', database);
    this.database = database;
    this.dispatchEvent(new Event('database'));
  }

  ask(...words) {
    return this.main ? this.main.ask(...words) : Promise.reject(new Disconnected('there is no connection'));
  }

  all(...commands) {
    return this.main ? this.main.all(...commands) : Promise.reject(new Disconnected('there is no connection'));
  }

  /// Does commands to a key that is still as `check` finds it over the connection it is given: whatever that throws, or a change
  /// after it, keeps them from being done.
  async guarded(key, check, ...commands) {
    // What other views ask meanwhile is no part of it; and what is watched is forgotten as the connection ends.
    const connection = await this.connect();
    try {
      await connection.ask('WATCH', key);
      await check(connection);
      if (await connection.transaction(...commands) === null) throw new Error('The key has changed meanwhile. Look at it again.');
    } finally {
      connection.close();
    }
  }
}

/// A client that a view has for itself: made when it is wanted, and again after it has ended.
export class OwnConnection {
  /// `begin(connection)` is called with each one, before anybody else has it.
  constructor(session, begin) {
    Object.assign(this, { session, begin, connection: null, making: null, isClosed: false });
  }

  get isOpen() {
    return this.connection?.isOpen ?? false;
  }

  async open() {
    if (!this.making && this.isOpen) return this.connection;
    this.making ??= this.make().finally(() => {
      this.making = null;
    });
    return this.making;
  }

  async make() {
    const connection = await this.session.connect();
    if (this.isClosed) {
      connection.close();
      throw new Disconnected('nobody wants the connection any more');
    }
    this.connection = connection;
    await this.begin(connection);
    return connection;
  }

  /// For good: one that is being made is closed when it is there.
  close() {
    this.isClosed = true;
    this.connection?.close();
  }
}
