// The shape of HTTP: what is refused before anybody looks at it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { csv, THINGS } from '../kit/samples.mjs';

let data, server, token;
const LOOKUP = '/v1/datasets/things/lookup';
const BODY = '{"key":{"id":"one"}}';
const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('t.csv', csv([{ id: 'one', colour: 'red', weight: 5, made: '2024-01-01' }])) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

test('a body over its limit is 413, also when it does not say its size', async () => {
  const big = JSON.stringify({ key: { id: 'x'.repeat(70000) } });
  assertProblem(await server.post(LOOKUP, token, big), 413, 'BODY_TOO_LARGE');
  const chunk = 'x'.repeat(16384);
  const reply = await server.raw(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
    + `Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`
    + `4000\r\n${chunk}\r\n`.repeat(6) + '0\r\n\r\n');
  assert.match(reply, /^HTTP\/1\.1 413 /);
  assert.match(reply, /BODY_TOO_LARGE/);
});

test('a chunked body that is refused and does not end is cut off without an answer', async () => {
  const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
  const reply = await server.raw(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
    + `Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(80)}`).catch((error) => error.code);
  assert.ok(['', 'ECONNRESET', 'EPIPE'].includes(reply), reply);
  assert.equal((await server.get('/livez')).status, 200);
});

test('a body whose size is claimed too large is refused before it is read', async () => {
  const reply = await server.raw(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
    + 'Content-Type: application/json\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n',
    (text) => text.includes('request_id'));
  assert.match(reply, /^HTTP\/1\.1 413 /);
});

test('a chunked body within its limit is taken', async () => {
  const reply = await server.raw(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`
    + 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
    + `5\r\n${BODY.slice(0, 5)}\r\n${(BODY.length - 5).toString(16)}\r\n${BODY.slice(5)}\r\n0\r\n\r\n`);
  assert.match(reply, /^HTTP\/1\.1 200 /);
  assert.match(reply, /"outcome":"match"/);
});

test('another media type is 415', async () => {
  for (const type of ['text/plain', 'application/jsonx', 'application/xml', null]) {
    const reply = await server.request('POST', LOOKUP, { token, body: BODY, headers: type ? { 'content-type': type } : { 'content-type': '' } });
    assertProblem(reply, 415, 'MEDIA_TYPE');
  }
  const good = await server.post(LOOKUP, token, BODY, { 'content-type': 'application/json; charset=utf-8' });
  assert.equal(good.status, 200);
});

test('another method is 405 with what is allowed', async () => {
  for (const [method, path, allow] of [['GET', LOOKUP, 'POST'], ['DELETE', '/v1/datasets', 'GET, HEAD'],
    ['PUT', '/v1/datasets/things/versions/1/promote', 'POST'], ['POST', '/livez', 'GET, HEAD']]) {
    const reply = await server.request(method, path, { token });
    assertProblem(reply, 405, 'METHOD_NOT_ALLOWED');
    assert.equal(reply.headers.allow, allow);
  }
});

test('an unknown path is 404 with a code of its own', async () => {
  for (const path of ['/', '/v1', '/v2/datasets', '/v1/datasets/', '/v1/datasets/things/', '/v1//datasets', '/V1/datasets'])
    assertProblem(await server.get(path, token), 404, 'NO_ROUTE');
});

test('a target in absolute form is taken, whatever its authority', async () => {
  const ask = (target) => server.raw(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${auth()}\r\n\r\n`);
  for (const origin of ['http://x', 'HTTP://other.example:8080', 'http://[::1]:1', 'http://user@x']) {
    assert.match(await ask(`${origin}/livez`), /^HTTP\/1\.1 200 /, origin);
    assert.match(await ask(`${origin}/v1/datasets?limit=1`), /^HTTP\/1\.1 200 [^]*"things"/, origin);
    assert.match(await ask(origin), /^HTTP\/1\.1 404 [^]*NO_ROUTE/, origin);
  }
  for (const target of ['http:///livez', 'http:/livez', 'https://x/livez', 'ftp://x/livez', 'x:80'])
    assert.match(await ask(target), /^HTTP\/1\.1 400 [^]*INVALID_TARGET/, target);
  const twoHosts = await server.raw(`GET http://x/livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`, (text) => text.includes('request_id'));
  assert.match(twoHosts, /^HTTP\/1\.1 400 [^]*MALFORMED_REQUEST/);
});

test('an unknown, repeated or wrong query parameter is refused by name', async () => {
  assertProblem(await server.get('/v1/datasets?colour=red', token), 400, 'UNKNOWN_PARAMETER');
  assertProblem(await server.post(`${LOOKUP}?limit=1`, token, BODY), 400, 'UNKNOWN_PARAMETER');
  assertProblem(await server.get('/v1/datasets?limit=1&limit=2', token), 400, 'DUPLICATE_PARAMETER');
  assertProblem(await server.get('/v1/datasets?limit=1.5', token), 400, 'INVALID_PARAMETER');
  assertProblem(await server.get('/readyz?verbose=maybe'), 400, 'INVALID_PARAMETER');
});

test('escapes in a path are decoded once, and only when they are whole', async () => {
  assert.equal((await server.get('/v1/datasets/th%69ngs', token)).status, 200);
  assertProblem(await server.get('/v1/datasets/th%2569ngs', token), 404, 'UNKNOWN_DATASET');
  for (const path of ['/v1/datasets/th%6', '/v1/datasets/th%zz', '/v1/datasets/th%00ngs', '/v1/datasets/%ff'])
    assert.ok([400, 404].includes((await server.get(path, token)).status), path);
  assertProblem(await server.get('/v1/datasets/things%00', token), 400);
});

const auth = () => `Authorization: Bearer ${token}`;

test('HTTP/1.0 needs no Host', async () => {
  assert.match(await server.raw(`GET /livez HTTP/1.0\r\n\r\n`), /^HTTP\/1\.[01] 200 /);
});

test('a body that is encoded is not taken', async () => {
  const send = (encoding) => server.post(LOOKUP, token, BODY, { 'content-encoding': encoding });
  for (const encoding of ['gzip', 'zstd', 'identity, gzip', '']) {
    const reply = await send(encoding);
    assertProblem(reply, 415, 'CONTENT_ENCODING');
    assert.equal(reply.headers['accept-encoding'], 'identity');
  }
  assert.equal((await send('Identity')).status, 200);
});

test('an expectation that cannot be met is refused, 100-continue is met', async () => {
  const ask = (expect) => server.raw(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\n${auth()}\r\nContent-Type: application/json\r\n`
    + `Content-Length: ${BODY.length}\r\nExpect: ${expect}\r\nConnection: close\r\n\r\n${BODY}`);
  assert.match(await ask('the-best'), /^HTTP\/1\.1 417 [^]*"code":"EXPECTATION"/);
  for (const expect of ['100-continue', '100-Continue']) assert.match(await ask(expect), /HTTP\/1\.1 200 [^]*"outcome"/);
});

test('a number has one form', async () => {
  const path = '/v1/datasets/things/versions';
  assert.equal((await server.get(`${path}/1`, token)).status, 200);
  for (const target of [`${path}/01`, `${path}/+1`, `${path}?limit=01`, `${path}?limit=00`, `${LOOKUP.replace('lookup', 'records/one')}?version=01`])
    assertProblem(await server.get(target, token), 400, 'INVALID_PARAMETER');
});

test('rubbish instead of HTTP does no harm', async () => {
  for (const text of ['\r\n\r\n\r\n\r\n', 'HELLO\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', `GET /${'a'.repeat(30000)} HTTP/1.1\r\n\r\n`,
    `GET /livez HTTP/1.1\r\n${'A: b\r\n'.repeat(5000)}\r\n`])
    await server.raw(`${text}GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n`, (reply) => reply.includes('\r\n\r\n')).catch(() => '');
  assert.equal((await server.get('/livez')).status, 200);
});

test('requests in a row on one connection are answered in order', async () => {
  const one = (id) => `GET /v1/datasets/things/records/${id} HTTP/1.1\r\nHost: x\r\n${auth()}\r\n\r\n`;
  const reply = await server.raw(one('one') + one('two') + one('one').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  assert.deepEqual(reply.match(/^HTTP\/1\.1 \d+|\r\nHTTP\/1\.1 \d+|\}HTTP\/1\.1 \d+/g).map((s) => s.slice(-3)), ['200', '404', '200']);
});

test('who half-closes behind a request is answered, and the connection does not stay for the idle minute', async (t) => {
  const SOON_MS = 30_000, other = await data.serve('--request-timeout', '2s'), { pid } = other.process, body = ' '.repeat(8000) + BODY;
  t.after(() => other.stop());
  const all = await Promise.all(Array.from({ length: 16 }, async () => {
    const socket = net.connect({ port: other.port, host: '127.0.0.1', allowHalfOpen: true }), one = { socket, text: '' };
    socket.setEncoding('utf8').on('data', (more) => { one.text += more; });
    socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await until('the connection is known', () => one.text.endsWith('}'));
    return one;
  }));
  process.kill(pid, 'SIGSTOP'); // so that request and end come together, which the HTTP library sees as often as not
  const began = Date.now(), ended = all.map(({ socket }) => once(socket, 'end'));
  for (const { socket } of all)
    socket.end(`POST ${LOOKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`
      + `Content-Length: ${body.length}\r\n\r\n${body}`);
  const waits = new RegExp(`:${hex(other.port)} 0100007F:\\w{4} 08 `, 'g');
  await until('the ends are there', () => readFileSync('/proc/net/tcp', 'utf8').match(waits)?.length === all.length);
  process.kill(pid, 'SIGCONT');
  await Promise.all(ended);
  for (const { text } of all) assert.match(text, /HTTP\/1\.1 200 [^]*"match"/);
  assert.ok(Date.now() - began < SOON_MS);
});

test('a reason has at most 1000 bytes', async () => {
  const two = '\u00e9', move = '/v1/datasets/things/versions/99';
  for (const [n, status, code] of [[500, 404, 'UNKNOWN_VERSION'], [501, 400, undefined]]) {
    const reason = two.repeat(n);
    assertProblem(await server.post(`${move}/promote`, token, { reason }), status, code);
    assertProblem(await server.request('DELETE', `${move}?reason=${encodeURIComponent(reason)}`, { token }), status, code);
  }
});

test('a request id is taken over when it is harmless, and made when not', async () => {
  const mine = await server.get('/v1/datasets', token, { 'x-request-id': 'abc-1.2_3' });
  assert.equal(mine.headers['x-request-id'], 'abc-1.2_3');
  for (const id of ['a b', 'x'.repeat(200), 'a"b', '<script>']) {
    const reply = await server.get('/v1/datasets', token, { 'x-request-id': id });
    assert.match(reply.headers['x-request-id'], /^[A-Za-z0-9]+$/);
  }
  const problem = assertProblem(await server.get('/v1/datasets/zzz', token, { 'x-request-id': 'find-me' }), 404);
  assert.equal(problem.request_id, 'find-me');
});

test('an answer that was given before has the date of its moment', async () => {
  const dates = new Set();
  await until('two seconds have gone', async () => {
    for (const path of ['/v1/datasets/things/records/one', '/v1/datasets/none']) {
      const began = Date.now(), { headers } = await server.get(path, token), date = Date.parse(headers.date);
      const earliest = began - 100; // the server's clock has ticks
      assert.ok(date >= earliest - earliest % 1000 && date <= Date.now(), `${headers.date} between ${new Date(began)} and now`);
      dates.add(headers.date);
    }
    return dates.size > 2;
  });
});

test('a GET with a body is refused', async () => {
  assertProblem(await server.request('GET', '/v1/datasets', { token, body: '{}' }), 400, 'BODY_NOT_ALLOWED');
});
