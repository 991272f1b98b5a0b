// Idempotency-Key: every POST that changes something is done once, and answered as it was the first time.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readContract } from '../kit/contract.mjs';
import { assertProblem, Data } from '../kit/everline.mjs';
import { filesBelow, flipEach } from '../kit/files.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, token, inbox;
const CSV = { 'content-type': 'text/csv' };
const REASON = { reason: 'a test of keys' };

before(async () => {
  inbox = tempDir('inbox');
  data = await Data.make('dev', 'other');
  for (const name of ['things', 'moves', 'more']) await data.put({ ...THINGS, name });
  await data.put(THINGS, { tenant: 'other' });
  for (const count of [1, 2, 3]) {
    const file = { things: data.file(`${count}.csv`, csv(things(count))) };
    for (const dataset of ['moves', 'more']) await data.ingest(dataset, file);
  }
  server = await serve();
  token = await data.token();
});
after(() => server?.stop());

/* Without workers a job waits, whatever is asked of it. */
const serve = () => data.serve('--inbox', inbox, '--ingest-workers', '0', '--audit-interval', '5ms');

let keys = 0;
const newKey = () => `key-${keys += 1}`;
const send = (path, body, { key, as = token, headers = {} } = {}) =>
  server.post(path, as, body, key === undefined ? headers : { ...headers, 'idempotency-key': key });
const upload = (body, options) => send('/v1/uploads?name=a.csv', body, { headers: CSV, ...options });
const ingest = (dataset, body, options) => send(`/v1/datasets/${dataset}/ingests`, body, { headers: CSV, ...options });
const spool = () => [...filesBelow(join(data.directory, 'spool'))].length;
const answer = ({ status, text, headers: { location, etag } }) => ({ status, text, location, etag });
const items = async (path) => (await server.get(path, token)).json.items;
const newJob = async () => (await send('/v1/datasets/things/ingests', { sources: [{ path: 'day.csv' }] })).json.job;
const canceledJob = async () => {
  const job = await newJob();
  assert.equal((await send(`/v1/jobs/${job}/cancel`)).json.state, 'canceled');
  return job;
};

/** Of each operation: a request, another one that may not have its key, and how often it was done. */
const OPERATIONS = {
  promoteVersion: async () => ['/v1/datasets/moves/versions/1/promote', REASON, {}, { reason: 'another' },
    async () => (await items('/v1/datasets/moves/events')).length],
  rollBack: async () => ['/v1/datasets/more/rollback', { ...REASON, from: 3 }, {}, { ...REASON, from: 2 },
    async () => (await items('/v1/datasets/more/events')).length],
  revoke: async () => ['/v1/revocations', { jti: 'some-token' }, {}, { jti: 'some-other' },
    async () => (await items('/v1/audit?event=revoke&outcome=done')).length],
  createUpload: async () => ['/v1/uploads', csv(things(4)), CSV, csv(things(5)), async () => spool()],
  createIngest: async () => ['/v1/datasets/things/ingests', csv(things(4)), CSV, csv(things(5)),
    async () => (await items('/v1/jobs?limit=1000')).length],
  cancelJob: async () => [`/v1/jobs/${await newJob()}/cancel`, undefined, {}, null,
    async () => (await items('/v1/jobs?state=canceled')).length],
  retryJob: async () => [`/v1/jobs/${await canceledJob()}/retry`, undefined, {}, null,
    async () => (await items('/v1/jobs?state=queued')).length],
};

test('every POST that changes something takes a key, by the contract', () => {
  const posts = Object.values(readContract().paths).map((item) => item.post).filter(Boolean);
  const changing = posts.filter((one) => one['x-everline-audit'] === 'act').map((one) => one.operationId);
  assert.deepEqual(changing.sort(), Object.keys(OPERATIONS).sort());
  const named = posts.filter((one) => one.parameters?.some((p) => p.$ref?.endsWith('/IdempotencyKey')));
  assert.deepEqual(named.map((one) => one.operationId).sort(), changing.sort());
});

const outcomes = (operation, request) => until('the audit has them', async () => {
  const lines = (await items(`/v1/audit?event=${operation}&limit=1000`)).filter((line) => request.includes(line.request_id));
  return lines.length === request.length && lines.map((line) => line.outcome).sort();
});

for (const [operation, make] of Object.entries(OPERATIONS))
  test(`${operation} is done once, and answered alike`, async () => {
    const [path, body, headers, other, count] = await make(), key = newKey();
    const before = await count();
    const stays = (done) => until('a file that came again is gone', async () => (await count()) === done);
    const asked = (id) => send(path, body, { key, headers: { ...headers, 'x-request-id': `${operation}-${id}` } });
    const first = await asked(1);
    assert.ok(first.status < 300, first.text);
    const done = await until('it is done', async () => (await count()) > before && count());
    assert.equal(done, before + 1);
    const again = await asked(2);
    assert.deepEqual(answer(again), answer(first));
    assert.deepEqual(await outcomes(operation, [`${operation}-1`, `${operation}-2`]), ['done', 'repeated']);
    await stays(done);
    if (other === null) return assertProblem(await send(`${path}?`, body, { key, headers }), 422, 'IDEMPOTENCY_KEY_REUSED');
    assertProblem(await send(path, other, { key, headers }), 422, 'IDEMPOTENCY_KEY_REUSED');
    await stays(done);
  });

test('a key is one for all operations, and If-Match is part of the request', async () => {
  const key = newKey();
  assert.equal((await upload('x,y\n', { key })).status, 201);
  assertProblem(await ingest('things', 'x,y\n', { key }), 422, 'IDEMPOTENCY_KEY_REUSED');
  const moved = newKey(), path = '/v1/datasets/moves/versions/2/promote';
  const { headers: { etag } } = await server.get('/v1/datasets/moves', token);
  assert.equal((await send(path, REASON, { key: moved, headers: { 'if-match': etag } })).status, 200);
  assertProblem(await send(path, REASON, { key: moved, headers: { 'if-match': '"999"' } }), 422, 'IDEMPOTENCY_KEY_REUSED');
  assert.equal((await send(path, REASON, { key: moved, headers: { 'if-match': etag } })).status, 200);
});

test('the answer is the first one, though things have moved on', async () => {
  const key = newKey(), first = await ingest('things', csv(things(6)), { key });
  assert.equal(first.json.state, 'queued');
  await send(`/v1/jobs/${first.json.job}/cancel`);
  assert.deepEqual(answer(await ingest('things', csv(things(6)), { key })), answer(first));
});

test('what was refused is not remembered: it is mended, and sent with its key', async () => {
  const key = newKey(), path = '/v1/datasets/moves/rollback';
  const { json: { current } } = await server.get('/v1/datasets/moves', token);
  assertProblem(await send(path, { ...REASON, from: 999 }, { key }), 412, 'HEAD_MOVED');
  assertProblem(await send(path, REASON, { key }), 428, 'FROM_REQUIRED');
  assert.equal((await send(path, { ...REASON, from: current }, { key })).status, 200);
  const before = spool(), other = newKey();
  assertProblem(await ingest('nothing', csv(things(2)), { key: other }), 404, 'UNKNOWN_DATASET');
  await until('the file is gone', () => spool() === before);
  assert.equal((await ingest('things', csv(things(2)), { key: other })).status, 202);
});

test('a refused ingest leaves nothing of the file that was its body, with a key or without', async () => {
  await data.ok(['tenant', 'put', 'small', '--max-upload-bytes', '1KiB']);
  const as = await data.token({ tenant: 'small' }), body = 'x'.repeat(900), before = spool();
  for (const key of [undefined, newKey()]) assertProblem(await ingest('nothing', body, { key, as }), 404, 'UNKNOWN_DATASET');
  await until('the files are gone', () => spool() === before);
  assert.equal((await upload(body, { as })).status, 201); /* the quota has room for one */
});

test('a file that came again is not kept', async () => {
  const key = newKey(), before = spool(), body = csv(things(7));
  assert.equal((await upload(body, { key })).status, 201);
  assert.equal((await upload(body, { key })).status, 201);
  assertProblem(await upload(csv(things(8)), { key }), 422, 'IDEMPOTENCY_KEY_REUSED');
  await until('one file is there', () => spool() === before + 1);
});

/** An upload whose head has been taken, and whose body comes with finish(). */
async function heldUpload(key, body) {
  const headers = { ...CSV, authorization: `Bearer ${token}`, 'idempotency-key': key, 'content-length': body.length, expect: '100-continue' };
  const request = http.request({ host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/uploads?name=a.csv', headers });
  request.flushHeaders();
  await once(request, 'continue');
  const finish = async () => {
    request.end(body);
    const [reply] = await once(request, 'response');
    return { status: reply.statusCode, text: (await reply.toArray()).join('') };
  };
  return { request, finish };
}

test('while a request is in flight, its key is refused; afterwards its answer is there', async () => {
  const key = newKey(), body = csv(things(9)), held = await heldUpload(key, body);
  for (const other of [body, 'another']) assertProblem(await upload(other, { key }), 409, 'IDEMPOTENCY_KEY_IN_FLIGHT');
  assertProblem(await ingest('things', body, { key }), 409, 'IDEMPOTENCY_KEY_IN_FLIGHT');
  assert.equal((await upload(body, { key: newKey() })).status, 201);
  assert.equal((await upload(body, { key, as: await data.token({ tenant: 'other' }) })).status, 201);
  const first = await held.finish();
  assert.equal(first.status, 201, first.text);
  assert.equal((await upload(body, { key })).text, first.text);
});

test('a request that is broken off leaves its key free', async () => {
  const key = newKey(), body = csv(things(9)), held = await heldUpload(key, body);
  assertProblem(await upload(body, { key }), 409, 'IDEMPOTENCY_KEY_IN_FLIGHT');
  held.request.on('error', () => {}).destroy();
  await until('the key is free', async () => (await upload(body, { key })).status === 201);
});

test('of many at the same time one is done', async () => {
  const key = newKey(), { json: { current } } = await server.get('/v1/datasets/more', token);
  const { length } = await items('/v1/datasets/more/events');
  const other = current === 1 ? 2 : 1, path = `/v1/datasets/more/versions/${other}/promote`;
  const replies = await Promise.all(Array.from({ length: 20 }, () => send(path, REASON, { key })));
  const good = replies.filter(({ status }) => status === 200);
  assert.ok(good.length > 0);
  for (const reply of good) assert.deepEqual(answer(reply), answer(good[0]));
  for (const reply of replies) if (reply.status !== 200) assertProblem(reply, 409, 'IDEMPOTENCY_KEY_IN_FLIGHT');
  assert.equal((await items('/v1/datasets/more/events')).length, length + 1);
});

test('a key is that of its tenant, its subject and its narrowing; a scope is asked for every time', async () => {
  const key = newKey(), body = csv(things(3)), first = await ingest('things', body, { key });
  const others = {
    tenant: await data.token({ tenant: 'other' }),
    subject: await data.token({ subject: 'somebody' }),
    narrowed: await data.token({ datasets: ['things'] }),
  };
  const jobs = new Set([first.json.job]);
  for (const [who, as] of Object.entries(others)) {
    const reply = await ingest('things', body, { key, as });
    assert.equal(reply.status, 202, `${who}: ${reply.text}`);
    if (who !== 'tenant') jobs.add(reply.json.job);
  }
  assert.equal(jobs.size, 3);
  const ordered = [];
  for (const datasets of [['things', 'more'], ['more', 'things']])
    ordered.push((await ingest('things', body, { key, as: await data.token({ datasets }) })).json.job);
  assert.equal(ordered[0], ordered[1]);
  assert.ok(!jobs.has(ordered[0]));
  assertProblem(await ingest('things', body, { key, as: await data.token({ scope: 'data:read' }) }), 403, 'SCOPE_MISSING');
  assertProblem(await ingest('things', body, { key, as: await data.token({ datasets: ['more'] }) }), 404, 'UNKNOWN_DATASET');
  assert.equal((await ingest('things', body, { key, as: await data.token() })).text, first.text); /* another token of the same */
});

test('a key has 1 to 255 bytes, and is nothing to what changes nothing', async () => {
  for (const key of ['', 'k'.repeat(256)]) assertProblem(await upload('x', { key }), 400, 'INVALID_PARAMETER');
  assert.equal((await upload('x', { key: 'k'.repeat(255) })).status, 201);
  const path = '/v1/datasets/moves/lookup', key = newKey();
  for (const id of ['t00000', 'other']) assert.equal((await send(path, { key: { id } }, { key })).status, 200);
});

test('whitespace around a key is no part of it, and there is one key', async () => {
  const key = newKey(), before = spool();
  const raw = (...keys) => server.raw('POST /v1/uploads?name=a.csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n'
    + `Content-Type: text/csv\r\nAuthorization: Bearer ${token}\r\n${keys.map((one) => `Idempotency-Key:${one}\r\n`).join('')}\r\nx`);
  const first = (await upload('x', { key })).json.upload;
  for (const same of [`${key}`, `  ${key}`, `\t${key} \t`, `${key}\t `])
    assert.match(await raw(same), new RegExp(`^HTTP/1\\.1 201 [^]*"${first}"`));
  for (const none of ['', ' \t ']) assert.match(await raw(none), /^HTTP\/1\.1 400 [^]*INVALID_PARAMETER/);
  for (const twice of [[key, key], [key, ` ${key}-b`], ['', key]]) assert.match(await raw(...twice), /^HTTP\/1\.1 400 /);
  await until('one file is there', () => spool() === before + 1);
});

test('neither the key nor the body of the request is kept', async () => {
  const key = 'a-key-that-nobody-finds', body = 'a,body\nthat,nobodyfinds\n';
  assert.equal((await upload(body, { key })).status, 201);
  const catalog = readFileSync(join(data.directory, 'catalog.mdb'), 'latin1');
  for (const text of [key, 'nobodyfinds']) assert.ok(!catalog.includes(text) && !server.log.includes(text), text);
});

test('answers outlive a server that is stopped, and one that is killed', async () => {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    const key = newKey(), body = csv(things(11)), jobs = (await items('/v1/jobs?limit=1000')).length;
    const { json: { current, sequence } } = await server.get('/v1/datasets/moves', token);
    const to = current === 1 ? 2 : 1, path = `/v1/datasets/moves/versions/${to}/promote`;
    const first = [await ingest('things', body, { key }), await send(path, REASON, { key: `${key}-move` })];
    await server.stop(signal);
    server = await serve();
    const again = [await ingest('things', body, { key }), await send(path, REASON, { key: `${key}-move` })];
    assert.deepEqual(again.map(answer), first.map(answer));
    assert.equal((await items('/v1/jobs?limit=1000')).length, jobs + 1);
    assert.equal((await server.get('/v1/datasets/moves', token)).json.sequence, sequence + 1);
  }
});

test('two servers of one directory do it once', async () => {
  const second = await serve();
  try {
    const key = newKey(), body = csv(things(12)), jobs = (await items('/v1/jobs?limit=1000')).length;
    const path = '/v1/datasets/things/ingests', headers = { ...CSV, 'idempotency-key': key };
    const replies = await Promise.all([server, second].map((one) => one.post(path, token, body, headers)));
    assert.deepEqual(answer(replies[0]), answer(replies[1]));
    assert.equal(replies[0].status, 202);
    assert.equal((await items('/v1/jobs?limit=1000')).length, jobs + 1);
  } finally {
    await second.stop();
  }
});

test('a subject uses half of its tenant\'s keys up, at whichever server, and no more', async () => {
  await data.ok(['tenant', 'put', 'busy']);
  const second = await serve(), half = 5000, path = '/v1/revocations', body = { jti: 'some-token' };
  const [loud, calm] = await Promise.all(['loud', 'calm'].map((subject) => data.token({ tenant: 'busy', subject })));
  const replies = [];
  const ask = async (one) => {
    while (replies.length < half + 100) {
      const at = replies.push(null) - 1;
      replies[at] = await one.post(path, loud, body, { 'idempotency-key': `${at}` });
    }
  };
  try {
    await Promise.all(Array.from({ length: 128 }, (_, i) => ask([server, second][i % 2])));
    const refused = replies.filter(({ status }) => status !== 200);
    assert.equal(refused.length, 100);
    for (const reply of refused) assertProblem(reply, 507, 'QUOTA');
    const again = replies.findIndex(({ status }) => status === 200);
    for (const one of [server, second]) {
      const send = (as, key) => one.post(path, as, body, { 'idempotency-key': key });
      assertProblem(await send(loud, `new-${one.port}`), 507, 'QUOTA');
      assert.deepEqual(answer(await send(loud, `${again}`)), answer(replies[again]));
      assert.equal((await send(calm, `new-${one.port}`)).status, 200);
      assert.equal((await one.post(path, loud, body)).status, 200); /* without one, as the hint says */
    }
  } finally {
    await second.stop();
  }
});

test('a key whose answer is damaged is told what to do, and others are not touched', async (t) => {
  const own = await Data.make('dev'), one = await own.serve();
  t.after(() => one.stop());
  const who = await own.token(), revoke = (key) => one.post('/v1/revocations', who, { jti: key }, { 'idempotency-key': key });
  assert.equal((await revoke('first')).status, 200);
  flipEach(join(own.directory, 'catalog.mdb'), '"answer":', 1);
  const { detail, hint } = assertProblem(await revoke('first'), 503, 'IDEMPOTENCY_KEY_DAMAGED');
  assert.match(`${detail}; ${hint}`, /answered to this Idempotency-Key is damaged; look whether it was done/);
  await until('the log tells of it', () => one.log.includes('"event":"repeat_damaged"'));
  assert.equal((await revoke('second')).status, 200);
});
