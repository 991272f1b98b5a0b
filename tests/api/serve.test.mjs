// The server as a process: health, metrics, contract, stopping, what it refuses to start on.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data, Server } from '../kit/everline.mjs';
import { everlinePath, run, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS } from '../kit/samples.mjs';

let data, server, token;
const LOOKUP = '/v1/datasets/things/lookup';
const BODY = '{"key":{"id":"one"}}';

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('t.csv', csv([{ id: 'one', colour: 'red', weight: 5, made: '2024-01-01' }])) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

test('probes need no token', async () => {
  assert.deepEqual((await server.get('/livez')).json, { status: 'ok' });
  assert.deepEqual((await server.get('/readyz')).json, { status: 'ok' });
  assert.deepEqual((await server.get('/readyz?verbose=true')).json, { status: 'ok', late: 0, unavailable: 0 });
});

test('the contract that is served names exactly the routes that answer', async () => {
  const contract = (await server.get('/openapi.json')).json;
  assert.equal(contract.openapi, '3.0.3');
  for (const [path, item] of Object.entries(contract.paths)) {
    const real = path.replace('{dataset}', 'things').replace('{key}', 'one').replace('{rollup}', 'total').replace('{version}', '1');
    for (const method of ['get', 'post', 'put', 'delete', 'patch']) {
      const reply = await server.request(method.toUpperCase(), real, { token: real.startsWith('/v1') ? token : undefined });
      assert.equal(reply.status === 405, !(method in item), `${method} ${path}: ${reply.status}`);
      if (method in item) assert.notEqual(reply.status, 404, `${method} ${path}`);
    }
  }
});

test('metrics count what was asked', async () => {
  const read = async () => {
    const reply = await server.get('/metrics');
    assert.match(reply.headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const values = new Map();
    for (const line of reply.text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      assert.match(line, /^[a-z_]+(\{[^}]*\})? \S+$/);
      const [name, value] = line.split(/ (?=\S+$)/);
      values.set(name, Number(value));
    }
    return values;
  };
  const sum = (values, pattern) => [...values].filter(([name]) => pattern.test(name)).reduce((n, [, v]) => n + v, 0);
  const first = await read();
  await server.lookup('things', { id: 'one' }, token);
  await server.lookup('things', { id: 'two' }, token);
  await server.batch('things', [{ id: 'one' }, { id: 'one' }, { id: 'no' }], token);
  const second = await read();
  const difference = (pattern) => sum(second, pattern) - sum(first, pattern);
  assert.equal(difference(/^everline_requests_total\{.*"lookup"/), 2);
  assert.equal(difference(/^everline_requests_total\{.*"lookupBatch"/), 1);
  assert.equal(difference(/^everline_lookups_total\{.*"match"/), 3);
  assert.equal(difference(/^everline_lookups_total\{.*"no_match"/), 2);
});

test('SIGTERM lets a request that is under way finish, then the server ends with 0', async () => {
  const other = await data.serve();
  const socket = net.connect(other.port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text) => { answer += text; });
  const closed = new Promise((resolve) => { socket.on('close', resolve); });
  socket.write(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
    + `Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY.slice(0, 5)}`);
  const inFlight = async () => Number((await other.get('/metrics')).text.match(/^everline_requests_in_flight (\d+)/m)?.[1]);
  await until('the request is under way', async () => (await inFlight()) >= 2);
  const kept = other.agent;
  other.process.child.kill('SIGTERM');
  await until('the drain begins', () => /"event":"drain"|drain/.test(other.log));
  assert.ok(other.alive);
  socket.write(BODY.slice(5));
  await until('the answer', () => answer.includes('\r\n\r\n') && answer.includes('}'));
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /"outcome":"match"/);
  assert.match(answer, /connection: close/i);
  kept.destroy();
  await closed;
  const { code } = await other.process.ended;
  assert.equal(code, 0, other.log);
});

test('SIGINT ends an idle server with 0', async () => {
  const other = await data.serve();
  assert.equal(await other.stop('SIGINT'), 0);
});

test('the port file holds the port and nothing else', () => {
  assert.equal(readFileSync(server.portFile, 'utf8').trim(), String(server.port));
});

test('an address that is taken is an error that says so', async () => {
  const result = await run(everlinePath, ['serve', '--data', data.directory, '--listen', `127.0.0.1:${server.port}`],
    { deadlineMs: 10_000 });
  assert.equal(result.code, 1);
  assert.match(result.stderr, new RegExp(`127\\.0\\.0\\.1:${server.port}`));
});

test('a directory that is not there is an error with a hint', async () => {
  const result = await run(everlinePath, ['serve', '--data', join(tempDir(), 'none'), '--listen', '127.0.0.1:0']);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /tenant put/);
});

test('a data directory of another format version is refused, and the message says why', async () => {
  const other = await Data.make('dev');
  const format = join(other.directory, 'FORMAT');
  const original = readFileSync(format, 'utf8');
  for (const [text, wanted] of [['everline data 2\n', /format 2.*format 1/], ['rubbish\n', /format/]]) {
    writeFileSync(format, text);
    for (const args of [['serve', '--listen', '127.0.0.1:0'], ['tenant', 'put', 'new'], ['verify']]) {
      const result = await other.cli(args, { deadlineMs: 10_000 });
      assert.equal(result.code, 1, args.join(' '));
      assert.match(result.stderr, wanted);
    }
  }
  writeFileSync(format, original);
  assert.match(await other.ok(['tenant', 'list']), /dev/);
});

test('--production refuses keys inside DATA, readable keys and plain HTTP on other addresses', async () => {
  const keys = join(tempDir('keys'), 'keys');
  const other = new Data();
  await other.ok(['tenant', 'put', 'dev', '--keys', keys]);
  const serve = (...args) => other.cli(['serve', '--production', ...args], { deadlineMs: 10_000 });
  const inside = await data.cli(['serve', '--production', '--listen', '127.0.0.1:0'], { deadlineMs: 10_000 });
  assert.equal(inside.code, 1);
  assert.match(inside.stderr, /keys.*inside/);
  assert.match(inside.stderr, /hint: /);
  const plain = await serve('--keys', keys, '--listen', '0.0.0.0:0');
  assert.equal(plain.code, 1);
  assert.match(plain.stderr, /hint: /);
  const good = new Server(other, ['--production', '--keys', keys]);
  await good.ready();
  assert.equal(await good.stop(), 0);
  chmodSync(keys, 0o755);
  const readable = await serve('--keys', keys, '--listen', '127.0.0.1:0');
  assert.equal(readable.code, 1);
  assert.match(readable.stderr, /chmod/);
});
