// Clients that ask two servers of one data directory without pause, in every way there is to read, and keep
// what they saw (kit/history.mjs). The servers come and go; the clients wait until there is one again.
import http from 'node:http';
import { Server } from './everline.mjs';
import { until } from './process.mjs';
import { pick, random } from './random.mjs';

const BATCH = 20;
const PAGE = 6;
const IDS = 300;
const OPEN = 'things'; /* the dataset whose records have addresses */

/** A server that can be killed and started again: each time under a new name. */
export class Seat {
  constructor(data, name, args) {
    Object.assign(this, { data, letter: name, args, count: 0, current: null });
  }

  async start() {
    const server = new Server(this.data, this.args);
    await server.ready();
    server.name = `${this.letter}${++this.count}`;
    server.pauses = [];
    this.current = server;
  }

  async kill() {
    const server = this.current;
    this.current = null;
    server.killed = Date.now();
    server.process.child.kill('SIGKILL');
    await server.process.ended;
    return server;
  }

  /** Stops it in its tracks until `while_` has ended. */
  async pause(while_) {
    const server = this.current, from = Date.now();
    server.process.child.kill('SIGSTOP');
    try {
      await while_();
    } finally {
      server.pauses.push([from, Date.now() + 1]);
      server.process.child.kill('SIGCONT');
    }
  }
}

/** One request of a history. `read` makes of the reply what the entry needs besides. */
export async function ask(history, server, entry, method, path, options, read = () => ({})) {
  Object.assign(entry, { server: server.name ?? 'server', start: Date.now() });
  let reply;
  try {
    reply = await server.request(method, path, options);
    const version = reply.headers['everline-version'], state = reply.headers['everline-version-state'];
    Object.assign(entry, { status: reply.status }, version && { version: Number(version) }, state && { state },
      reply.status === 200 ? read(reply.json) : {});
    if (reply.status === 200 && reply.json.version !== undefined && reply.json.version !== entry.version)
      entry.status = `version ${entry.version} in the header, ${reply.json.version} in the body`;
    if (reply.status >= 400) entry.code = reply.json.code;
  } catch (error) {
    entry.status = error.code ?? String(error);
  }
  entry.end = Date.now() + 1;
  history.push(entry);
  return reply;
}

class Client {
  constructor(load, random, seat, wanders) {
    Object.assign(this, { load, random, seat, wanders, tags: new Map(), agent: new http.Agent({ keepAlive: true, maxSockets: 1 }) });
  }

  /** Its server once there is one; null when the load has ended before. */
  async server() {
    await until(`server ${this.seat.letter} is there`, () => this.seat.current || !this.load.running);
    return this.seat.current;
  }

  /** Where the next page comes from. Half of the clients stay, so that a stopped server never stops all. */
  next() {
    return (this.wanders ? pick(this.random, this.load.seats) : this.seat).current;
  }

  /** Mostly the current version; now and then one that is named. */
  chosen(dataset, asOf = true) {
    const dice = this.random();
    if (dice < 0.15) return { pinned: 1 + Math.floor(this.random() * (this.load.newest.get(dataset) + 2)) };
    if (dice >= 0.3 || !asOf) return {};
    const now = Date.now(), back = dice < 0.2 ? 50 : now - this.load.began;
    return { asOf: Math.max(this.load.began, Math.floor(now - this.random() * back)) };
  }

  send(server, entry, method, path, { headers, body, read } = {}) {
    const query = entry.what === 'page' ? ''
      : entry.pinned !== undefined ? `?version=${entry.pinned}`
        : entry.asOf !== undefined ? `?as_of=${new Date(entry.asOf).toISOString()}` : '';
    return ask(this.load.history, server, entry, method, `/v1/datasets/${entry.dataset}${path}${query}`,
      { token: this.load.token, body, headers, agent: server === this.seat.current ? this.agent : undefined }, read);
  }

  lookup(server, dataset) {
    const ids = [this.load.id(this.random)];
    return this.send(server, { dataset, what: 'lookup', ids, ...this.chosen(dataset) }, 'POST', '/lookup',
      { body: { key: { id: ids[0] } }, read: ({ outcome, record }) => ({ answer: [{ outcome, record }] }) });
  }

  batch(server, dataset) {
    const ids = Array.from({ length: BATCH }, () => this.load.id(this.random));
    return this.send(server, { dataset, what: 'batch', ids, ...this.chosen(dataset) }, 'POST', '/lookup/batch',
      { body: { keys: ids.map((id) => ({ id })) }, read: ({ results }) => ({ answer: results }) });
  }

  /** Of few records, so that its tag is often known. */
  async record(server) {
    const id = this.load.id(this.random, 5), known = this.tags.get(id), dataset = OPEN;
    const reply = await this.send(server, { dataset, what: 'record', ids: [id], tag: known?.version, ...this.chosen(dataset) },
      'GET', `/records/${id}`, { headers: known && { 'if-none-match': known.etag }, read: ({ record }) => ({ answer: record }) });
    if (reply?.status === 200) this.tags.set(id, { etag: reply.headers.etag, version: reply.json.version });
  }

  total(server, dataset) {
    return this.send(server, { dataset, what: 'total', ...this.chosen(dataset) }, 'GET', '/rollups/total',
      { read: ({ items }) => ({ answer: items }) });
  }

  /** A sequence of pages, each from either server: they are one answer of one version. A page that is not
   *  given (retired meanwhile, or the server killed) ends it: what that page may say is judged by itself. */
  async pages(server, dataset) {
    const whole = { dataset, what: 'pages', server: 'both', start: Date.now(), versions: [], answer: [] };
    const choice = this.chosen(dataset, false);
    const path = `/rollups/by_colour?limit=${PAGE}${choice.pinned ? `&version=${choice.pinned}` : ''}`;
    for (let cursor = '', at = server; at; at = this.next() ?? await this.server()) {
      const entry = { dataset, what: 'page', ...(cursor ? { pinned: whole.versions[0] } : choice) };
      const reply = await this.send(at, entry, 'GET', `${path}${cursor}`, { read: () => ({ answer: null }) });
      if (reply?.status !== 200) return;
      const { version, items, next, complete } = reply.json;
      whole.versions.push(version);
      whole.answer.push(...items);
      cursor = `&cursor=${next}`;
      if (next) continue;
      this.load.history.push({ ...whole, end: Date.now() + 1, complete });
      return;
    }
  }

  head(server, dataset) {
    return this.send(server, { dataset, what: 'head' }, 'GET', '', { read: ({ sequence, current }) => ({ sequence, current }) });
  }

  async run() {
    const ways = ['lookup', 'lookup', 'batch', 'batch', 'record', 'total', 'pages', 'head'];
    for (let server; (server = await this.server()) && this.load.running;) {
      await this[pick(this.random, ways)](server, pick(this.random, this.load.datasets));
      if (this.seat.current === server) continue;
      this.agent.destroy();
      this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    }
    this.agent.destroy();
  }
}

export class Load {
  constructor({ seed, seats, token, datasets }) {
    Object.assign(this, { seed, seats, token, datasets, history: [], dead: [], running: false, began: Date.now() });
    this.newest = new Map(datasets.map((name) => [name, 1]));
  }

  /** Some are in no version, and some in a few. */
  id(next, every = 1) {
    return `t${String(Math.floor(next() * IDS / every) * every).padStart(5, '0')}`;
  }

  start(clients) {
    this.running = true;
    this.clients = Promise.all(Array.from({ length: clients }, (_, i) =>
      new Client(this, random(this.seed, `client ${i}`), this.seats[i % this.seats.length], i < clients / 2).run()));
    this.clients.catch(() => {}); /* told by stop */
  }

  async stop() {
    this.running = false;
    await this.clients;
  }

  /** When so many more requests have been answered, however slow the machine is. */
  async after(count) {
    for (let seen = this.history.length, enough = seen + count; this.running && seen < enough; seen = this.history.length)
      await until('requests are answered', () => !this.running || this.history.length > seen);
  }
}
