// The server as a process: health, metrics, contract, stopping, what it refuses to start on.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { Data, Server } from '../kit/everline.mjs';
import { buildDir, everlinePath, run, start, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

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
  assert.deepEqual((await server.get('/readyz?verbose=true')).json, { status: 'ok', jwks_sources: 0, jwks_failing: 0, damaged_segments: 0, late: 0, unavailable: 0, bad_keys: 0, catalog: 'ok', configuration: 'ok', reasons: {} });
});

test('the contract that is served names exactly the routes that answer', async () => {
  const contract = (await server.get('/openapi.json')).json;
  assert.equal(contract.openapi, '3.0.3');
  for (const [path, item] of Object.entries(contract.paths)) {
    const real = path.replace('{dataset}', 'things').replace('{key}', 'one').replace('{rollup}', 'total').replace('{version}', '1');
    for (const method of ['get', 'post', 'put', 'delete', 'patch']) {
      const reply = await server.request(method.toUpperCase(), real, { token: real.startsWith('/v1') ? token : undefined });
      assert.equal(reply.status === 405, !(method in item), `${method} ${path}: ${reply.status}`);
      if (!(method in item)) continue;
      assert.ok(reply.status !== 404 || (/\{(job|tenant)\}/.test(path) && /^UNKNOWN_(JOB|TENANT)$/.test(reply.json.code)), `${method} ${path}: ${reply.text}`);
      const long = await server.request(method.toUpperCase(), `${real}?${'x'.repeat(5000)}`, { token: real.startsWith('/v1') ? token : undefined });
      assert.equal(long.status, 413, `${method} ${path}: ${long.text}`);
      for (const { status, headers } of [reply, long]) {
        const said = item[method].responses[status] ?? item[method].responses[`${String(status)[0]}XX`];
        const { content = {} } = said?.$ref ? contract.components.responses[said.$ref.split('/').pop()] : said ?? {};
        assert.ok(headers['content-type'].split(';')[0] in content, `${method} ${path} does not say ${status} ${headers['content-type']}`);
      }
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
  assert.equal(difference(/^everline_responses_total\{class="2xx"/), 4, 'and the first look at the metrics');
  const versions = Object.fromEntries([...second].filter(([name]) => name.startsWith('everline_versions')).map(([name, count]) => [/"(\w+)"/.exec(name)[1], count]));
  assert.deepEqual(versions, { IN_PROGRESS: 0, SUCCEEDED: 1, HELD: 0, FAILED: 0, QUARANTINED: 0, RETIRED: 0 });
  assert.deepEqual(['everline_segment_open_seconds_count', 'everline_segments_open', 'everline_segment_cold_bytes_total', 'everline_datasets_late']
    .map((name) => second.get(name)), [1, 1, 0, 0]);
});

test('metrics tell of a new version: its state, its opening, and the flip', async () => {
  const other = await Data.make('dev');
  await other.put(THINGS);
  const live = await other.serve();
  const read = async (name) => Number((await live.get('/metrics')).text.match(new RegExp(`^${name} (\\S+)$`, 'm'))[1]);
  try {
    const [flips, opened] = [await read('everline_flips_total'), await read('everline_segment_open_seconds_count')];
    for (const count of [3, 4]) await other.ingest('things', { things: other.file('n.csv', csv(things(count))) });
    await until('the second is served', async () => (await read('everline_versions\\{state="SUCCEEDED"\\}')) === 2);
    assert.deepEqual([await read('everline_flips_total') - flips, await read('everline_segment_open_seconds_count') - opened], [2, 2]);
    await other.ok(['rollback', 'things', '--reason', 'a test'], { tenant: 'dev' });
    await until('it is rolled back', async () => (await read('everline_versions\\{state="QUARANTINED"\\}')) === 1);
    assert.equal(await read('everline_flips_total') - flips, 3);
  } finally {
    await live.stop();
  }
});

test('an upload goes to the disk as it comes, and not through the memory', async (t) => {
  if (!/^EVERLINE_SANITIZE:\w+=$/m.test(readFileSync(join(buildDir, 'CMakeCache.txt'), 'utf8'))) return t.skip('a sanitizer keeps what was freed');
  const peak = () => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))[1]) * 1024;
  const piece = Buffer.alloc(1 << 20, 'x'), count = 96, before = peak();
  const reply = await new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/uploads',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'text/csv', 'transfer-encoding': 'chunked' } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => resolve({ status: response.statusCode, text }));
    });
    request.on('error', reject);
    Readable.from(Array(count).fill(piece)).pipe(request);
  });
  assert.equal(reply.status, 201, reply.text);
  assert.equal(JSON.parse(reply.text).bytes, count * piece.length);
  assert.ok(peak() - before < 24 * piece.length, `${(peak() - before) / piece.length} MiB more`);
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

/** Asks again and again on one kept connection, and connects anew when that ends, until nobody listens.
 *  Every answer that begins is whole and one of those that are expected. */
async function askUntilRefused(port, requests, seen) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; ; i++) {
    const { method, path, body } = requests[i % requests.length];
    const outcome = await new Promise((resolve, reject) => {
      let begun = false;
      const request = http.request({ host: '127.0.0.1', port, agent, method, path,
        headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json', 'content-length': body.length } : {}) } },
      (response) => {
        begun = true;
        let text = '';
        response.setEncoding('utf8').on('data', (part) => { text += part; }).on('error', reject)
          .on('end', () => resolve(response.statusCode === 503 ? JSON.parse(text).code : (JSON.parse(text), response.statusCode)));
      });
      request.on('error', (error) => (begun || /^HPE_/.test(error.code) ? reject(error) : resolve(error.code))).end(body);
    });
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    if (outcome === 'ECONNREFUSED') break;
  }
  agent.destroy();
}

/** A connection that has asked once; `end` resolves when the server has said goodbye, `closed` to an error. */
async function idle(server) {
  const socket = net.connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  const seen = { socket, text: '', error: null };
  seen.end = new Promise((resolve) => { socket.on('end', resolve); });
  seen.closed = new Promise((resolve) => { socket.on('close', resolve); });
  socket.setEncoding('utf8').on('data', (text) => { seen.text += text; }).on('error', (error) => { seen.error = error; });
  socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the first answer', () => seen.text.endsWith('}'));
  seen.text = '';
  return seen;
}

test('SIGTERM resets no idle connection: it may ask once more, and else hears goodbye', async () => {
  await data.ingest('things', { things: data.file('other.csv', csv([{ id: 'one', colour: 'green', weight: 7, made: '2024-01-01' }])) });
  const { version } = (await data.versions('things')).find((row) => row.current);
  const other = await data.serve();
  const asking = await idle(other), silent = await idle(other), crossing = await idle(other);
  other.process.child.kill('SIGTERM');
  await until('the drain begins', () => other.log.includes('"drain"'));
  asking.socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
  await asking.end;
  assert.match(asking.text, /^HTTP\/1\.1 503 /);
  assert.match(asking.text, /connection: close/i);
  asking.socket.end();
  await Promise.all([silent.end, crossing.end]);
  silent.socket.end();
  const body = `{"from":${version},"reason":"it crosses the goodbye"}`;
  crossing.socket.end(`POST /v1/datasets/things/rollback HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
    + `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await Promise.all([asking, silent, crossing].map((one) => one.closed));
  assert.deepEqual([asking.error, silent.error, crossing.error], [null, null, null]);
  assert.equal(silent.text + crossing.text, '');
  assert.deepEqual(await other.process.ended, { code: 0, signal: null }, other.log);
  assert.equal((await data.versions('things')).find((row) => row.current).version, version, 'it was not done');
});

test('SIGTERM under load ends the server with 0, and every answer that has begun is whole', async () => {
  await data.ingest('things', { things: data.file('2.csv', csv([{ id: 'one', colour: 'red', weight: 6, made: '2024-01-01' }])) });
  const control = ['/v1/datasets', '/v1/datasets/things', '/v1/datasets/things/versions'].map((path) => ({ method: 'GET', path }));
  const reading = [LOOKUP, `${LOOKUP}?version=1`].map((path) => ({ method: 'POST', path, body: BODY }));
  for (let round = 0; round < 10; round++) {
    const other = await data.serve('--workers', '4');
    const seen = new Map();
    const clients = Array.from({ length: 48 }, (_, i) =>
      askUntilRefused(other.port, i % 3 ? control : reading, seen));
    await until('all are served', () => seen.get(200) > 200);
    other.process.child.kill('SIGTERM');
    await Promise.all(clients);
    assert.deepEqual(await other.process.ended, { code: 0, signal: null }, other.log);
    const outcomes = [...seen.keys()].filter((outcome) => ![200, 'STOPPING', 'ECONNRESET', 'EPIPE', 'ECONNREFUSED'].includes(outcome));
    assert.deepEqual(outcomes, []);
    assert.doesNotMatch(other.log, /cut off/);
  }
});

/** Connects, sends `first`, then `rest` a byte at a time, its last one over and over, until the server closes. */
async function drip(port, first, rest) {
  const socket = net.connect(port, '127.0.0.1');
  const link = { received: '', closed: false, sent: 0 };
  socket.setEncoding('latin1').on('data', (text) => { link.received += text; })
    .on('error', () => {}).on('close', () => { link.closed = true; });
  socket.write(first);
  if (first.endsWith('\r\n\r\n') && !/Content-Type/.test(first)) await until('the first answer', () => link.received.includes('}'));
  const before = link.received, start = performance.now();
  await until(`closed while it drips ${rest}`, () => {
    if (!link.closed) socket.write(rest[Math.min(link.sent++, rest.length - 1)]);
    return link.closed;
  });
  assert.equal(link.received, before);
  return performance.now() - start;
}

test('a request has --request-timeout from its first byte to its last; a connection without one has the idle timeout', async () => {
  const other = await data.serve('--request-timeout', '300ms');
  const whole = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n', body = `POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\n`
    + `Authorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;
  const kept = { received: '' }, silent = { received: '' };
  for (const link of [kept, silent]) {
    link.socket = net.connect(other.port, '127.0.0.1');
    link.socket.setEncoding('latin1').on('data', (text) => { link.received += text; });
  }
  kept.socket.write(whole);
  await until('the kept connection is answered', () => kept.received.includes('}'));
  for (const [first, rest] of [['', 'GET /a'], ['', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a'], [whole, 'GET /a'],
    [whole, 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a'], [`${body}Content-Length: 60000\r\n\r\n`, ' '],
    [`${body}Transfer-Encoding: chunked\r\n\r\n`, 'ff00\r\n ']]) {
    const took = await drip(other.port, first, rest);
    assert.ok(took >= 250, `${took} ms`);
  }
  await other.logged('"event":"request_timeout"');
  for (const link of [kept, silent]) {
    const before = link.received.length;
    link.socket.write(whole);
    await until('it is answered', () => link.received.slice(before).includes('}'));
    assert.match(link.received.slice(before), /^HTTP\/1\.1 200 /);
    link.socket.destroy();
  }
  assert.equal(await other.stop(), 0);
});

test('the server leaves no core', async (t) => {
  const limit = (pid) => readFileSync(`/proc/${pid}/limits`, 'utf8').match(/^Max core file size +(\S+) +(\S+)/m).slice(1);
  if (limit('self')[1] === '0') return t.skip('none may be left here anyway');
  const portFile = join(tempDir(), 'port');
  const handle = start('/bin/bash', ['-c', 'ulimit -S -c "$(ulimit -H -c)"; exec "$0" "$@"', everlinePath, 'serve',
    '--data', data.directory, '--listen', '127.0.0.1:0', '--port-file', portFile]);
  await until('the server is ready', () => { assert.ok(!handle.exited, handle.stderr); return existsSync(portFile); });
  assert.deepEqual(limit(handle.pid), ['0', '0']);
  handle.child.kill('SIGTERM');
  assert.equal((await handle.ended).code, 0);
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
    { deadlineMs: 60_000 });
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
      const result = await other.cli(args, { deadlineMs: 60_000 });
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
  const serve = (...args) => other.cli(['serve', '--production', ...args], { deadlineMs: 60_000 });
  const inside = await data.cli(['serve', '--production', '--listen', '127.0.0.1:0'], { deadlineMs: 60_000 });
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

test('--production refuses keys that are missing or weak, of tokens and of records, with what mends it', async () => {
  const keys = join(tempDir('keys'), 'keys'), other = new Data();
  await other.ok(['tenant', 'put', 'dev', '--keys', keys]);
  const refused = async (says) => {
    const { code, stderr } = await other.cli(['serve', '--production', '--keys', keys, '--listen', '127.0.0.1:0'], { deadlineMs: 60_000 });
    assert.equal(code, 1, stderr);
    for (const text of [].concat(says)) assert.match(stderr, text);
    assert.match(stderr, /\n {2}hint: /);
  };
  const only = (kind) => join(keys, 'dev', kind, readdirSync(join(keys, 'dev', kind))[0]);
  /** A key file is another one, or none, while it is tried. */
  const without = async (kind, content, says) => {
    const path = only(kind), before = readFileSync(path);
    if (content === null) rmSync(path);
    else writeFileSync(path, content);
    await refused(says);
    writeFileSync(path, before, { mode: 0o600 });
  };
  const weak = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  await without('tokens', null, [/no token key/, /tenant put dev --disable/]);
  await without('tokens', weak, [/ES256 needs/, /replace it/]);
  await without('hmac', null, [/not in the keys directory/, /tenant put dev --disable/]);
  await without('hmac', 'short', [/shorter than 32 bytes/, /put the file as it was back/]);
  renameSync(keys, `${keys}.away`);
  await refused(/everline tenant put/);
  renameSync(`${keys}.away`, keys);
  const good = new Server(other, ['--production', '--keys', keys]);
  await good.ready();
  assert.equal(await good.stop(), 0);
});
