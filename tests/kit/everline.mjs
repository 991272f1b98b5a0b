// The fixture: a real data directory, the real command line, a real server, requests over real HTTP.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Contract } from './contract.mjs';
import { DEADLINE_MS, everlinePath, run, start, tempDir, until } from './process.mjs';

export const ALL_SCOPES =
  'data:read analytics:read ingest:write versions:write audit:read tenant:admin platform:admin';

/** Runs everline; its exit code is the caller's to judge. */
export const everline = (args, options) => run(everlinePath, args, options);

/** A data directory with tenants, and the command line against it. */
export class Data {
  constructor(directory = join(tempDir('data'), 'data')) {
    this.directory = directory;
    this.files = tempDir('files');
  }

  static async make(...tenants) {
    const data = new Data();
    for (const tenant of tenants.length ? tenants : ['dev']) await data.ok(['tenant', 'put', tenant]);
    return data;
  }

  /** A directory of its own with what is in this one, which no process may have open. */
  copy() {
    const data = new Data();
    if (existsSync(this.directory)) cpSync(this.directory, data.directory, { recursive: true });
    return data;
  }

  /** Runs a command on this directory; `tenant` null: a command that takes none. */
  cli(args, { tenant = null, ...options } = {}) {
    const more = ['--data', this.directory, ...(tenant ? ['--tenant', tenant] : [])];
    return everline([...args, ...more], options);
  }

  async ok(args, options) {
    const result = await this.cli(args, options);
    assert.equal(result.code, 0, `everline ${args.join(' ')}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  /** A command's answer as JSON. */
  async json(args, { tenant = 'dev', ...options } = {}) {
    return JSON.parse(await this.ok([...args, '--output', 'json'], { tenant, ...options }));
  }

  async token({ tenant = 'dev', scope = ALL_SCOPES, ttl = '1h', subject = 'tester', datasets = [] } = {}) {
    const more = datasets.flatMap((name) => ['--dataset', name]);
    const text = await this.ok(['token', '--scope', scope, '--ttl', ttl, '--subject', subject, ...more],
                               { tenant });
    return text.trimEnd();
  }

  /** Writes a file beside the data directory and returns its path. */
  file(name, content) {
    const path = join(this.files, name);
    writeFileSync(path, content);
    return path;
  }

  putCli(definition, { tenant = 'dev', force = false } = {}) {
    const path = this.file(`${definition.name}.json`, JSON.stringify(definition));
    return this.cli(['dataset', 'put', path, ...(force ? ['--force'] : [])], { tenant });
  }

  async put(definition, options) {
    const result = await this.putCli(definition, options);
    assert.equal(result.code, 0, result.stderr);
  }

  /** `sources`: {name: path or [paths]}. */
  ingestCli(dataset, sources, { tenant = 'dev', ...options } = {}) {
    const flags = Object.entries(sources).flatMap(([name, paths]) =>
      [paths].flat().flatMap((path) => ['--source', `${name}=${path}`]));
    return this.cli(['ingest', dataset, '--output', 'json', ...flags], { tenant, ...options });
  }

  /** Ingests and returns the version's row. */
  async ingest(dataset, sources, options) {
    const result = await this.ingestCli(dataset, sources, options);
    assert.equal(result.code, 0, `ingest ${dataset}: ${result.stderr}`);
    return JSON.parse(result.stdout);
  }

  async versions(dataset, tenant = 'dev') {
    return (await this.json(['versions', dataset], { tenant })).items;
  }

  async serve(...args) {
    const server = new Server(this, args);
    await server.ready();
    return server;
  }
}

const contract = new Contract();

export class Server {
  /** `listen` null: the arguments say where. */
  constructor(data, args = [], { listen = '127.0.0.1:0', ...options } = {}) {
    this.portFile = join(tempDir('port'), 'port');
    this.process = start(everlinePath, ['serve', '--data', data.directory, ...(listen ? ['--listen', listen] : []),
      '--port-file', this.portFile, ...args], options);
    this.agent = new http.Agent({ keepAlive: true });
  }

  async ready(deadlineMs = DEADLINE_MS) {
    await until('the server is ready', () => {
      assert.ok(!this.process.exited, `the server ended: ${this.process.stderr}`);
      return existsSync(this.portFile);
    }, deadlineMs);
    this.port = Number(readFileSync(this.portFile, 'utf8'));
    this.url = `http://127.0.0.1:${this.port}`;
  }

  get log() { return this.process.stderr; }

  /** Waits until the log says that: its lines come by another way than the answers, and may be later. */
  async logged(what) {
    const says = () => (what instanceof RegExp ? what.test(this.log) : this.log.includes(what));
    await until(`the log says ${what}`, says).catch((error) => { throw new Error(`${error.message}\n${this.log}`); });
  }
  get alive() { return !this.process.exited; }

  /** One request. A body that is not a string or buffer is sent as JSON. Every answer must be one that
   *  the contract allows. `via`: options of node's request for another way than to this.port, `ca` for TLS. */
  request(method, path, { token, body, headers = {}, agent = this.agent, via = {} } = {}) {
    const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
      ? body : JSON.stringify(body);
    const all = { ...headers };
    if (token) all.authorization = `Bearer ${token}`;
    if (payload !== undefined) {
      all['content-type'] ??= 'application/json';
      all['content-length'] ??= Buffer.byteLength(payload);
    }
    for (const name of Object.keys(all)) if (all[name] === null) delete all[name];
    return new Promise((resolve, reject) => {
      const request = (via.ca ? https : http).request(
        { host: '127.0.0.1', port: this.port, method, path, headers: all, agent, ...via },
        (response) => {
          const chunks = [], { socket } = response;
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const sent = Buffer.concat(chunks);
            const text = (response.headers['content-encoding'] === 'gzip' && sent.length ? gunzipSync(sent) : sent).toString('utf8');
            const reply = { status: response.statusCode, headers: response.headers, text };
            Object.defineProperty(reply, 'socket', { value: socket });
            Object.defineProperty(reply, 'sent', { value: sent.length });
            Object.defineProperty(reply, 'json', { get: () => JSON.parse(text) });
            const faults = contract.faults(method, path, reply);
            if (faults.length === 0) resolve(reply);
            else reject(new Error(`${method} ${path}: ${reply.status} ${text.slice(0, 400)}\n${faults.join('\n')}`));
          });
        });
      request.on('error', reject);
      request.end(payload);
    });
  }

  get(path, token, headers) { return this.request('GET', path, { token, headers }); }
  post(path, token, body, headers) { return this.request('POST', path, { token, body, headers }); }

  lookup(dataset, key, token) {
    return this.post(`/v1/datasets/${dataset}/lookup`, token, { key });
  }

  batch(dataset, keys, token) {
    return this.post(`/v1/datasets/${dataset}/lookup/batch`, token, { keys });
  }

  /** Writes `text` as it is and resolves to everything that came back once the peer has closed or
   *  `enough` says that it is all. */
  raw(text, enough = () => false) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, '127.0.0.1');
      let received = '';
      const finish = () => { socket.destroy(); resolve(received); };
      socket.setEncoding('latin1').setTimeout(DEADLINE_MS);
      socket.on('connect', () => socket.write(Buffer.from(text, 'latin1')));
      socket.on('data', (chunk) => { received += chunk; if (enough(received)) finish(); });
      socket.on('end', finish);
      socket.on('timeout', () => { socket.destroy(); reject(new Error(`no end of: ${received}`)); });
      socket.on('error', (error) => (received ? finish() : reject(error)));
    });
  }

  /** Sends the signal and resolves to the exit code. */
  async stop(signal = 'SIGTERM') {
    this.agent.destroy();
    if (this.alive) this.process.child.kill(signal);
    const { code, signal: by } = await this.process.ended;
    return code ?? by;
  }
}

/** A problem document: its status and code are what they must be. */
export function assertProblem(reply, status, code) {
  assert.equal(reply.status, status, `${reply.status} ${reply.text}`);
  assert.match(reply.headers['content-type'], /^application\/problem\+json/);
  const problem = reply.json;
  assert.equal(problem.status, status);
  assert.ok(problem.type && problem.title && problem.detail && problem.request_id, reply.text);
  assert.match(problem.code, /^[A-Z][A-Z0-9_]*$/);
  if (code) assert.equal(problem.code, code, reply.text);
  return problem;
}
