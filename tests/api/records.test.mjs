import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { csv, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

let data, server, token;
const rows = [...things(50), { id: 'a/b c%é', colour: 'red', weight: 1, made: '2024-01-01' }];
const path = (id) => `/v1/datasets/things/records/${encodeURIComponent(id)}`;

before(async () => {
  data = await Data.make('dev');
  await data.put(PEOPLE);
  await data.put(THINGS);
  await data.ingest('people', { people: data.file('people.csv', csv(PERSONS)) });
  await data.ingest('things', { things: data.file('things.csv', csv(rows)) });
  server = await data.serve();
  token = await data.token({ scope: 'data:read' });
});
after(() => server?.stop());

test('a record is given by its key, whatever characters it has', async () => {
  for (const row of [rows[0], rows[7], rows.at(-1)]) {
    const reply = await server.get(path(row.id), token);
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(reply.json, { dataset: 'things', version: 1, record: row });
    assert.equal(reply.headers['everline-version'], '1');
  }
});

test('a record that is not there is 404', async () => {
  assertProblem(await server.get(path('nobody'), token), 404, 'RECORD_NOT_FOUND');
  assertProblem(await server.get(path('T00001'), token), 404, 'RECORD_NOT_FOUND');
});

test('an ETag that still holds is answered with 304 and no body', async () => {
  const first = await server.get(path(rows[0].id), token);
  const etag = first.headers.etag;
  assert.match(etag, /^"[^"]+"$/);
  const second = await server.get(path(rows[0].id), token, { 'if-none-match': etag });
  assert.equal(second.status, 304);
  assert.equal(second.text, '');
  assert.equal(second.headers.etag, etag);
  const list = await server.get(path(rows[0].id), token, { 'if-none-match': `"zzz", ${etag}` });
  assert.equal(list.status, 304);
  assert.equal((await server.get(path(rows[0].id), token, { 'if-none-match': '"zzz"' })).status, 200);
});

test('an ETag does not depend on the token and differs between records', async () => {
  const other = await data.token({ scope: 'data:read', subject: 'somebody else' });
  const first = await server.get(path(rows[0].id), token);
  assert.equal((await server.get(path(rows[0].id), other)).headers.etag, first.headers.etag);
  assert.notEqual((await server.get(path(rows[1].id), token)).headers.etag, first.headers.etag);
});

test('a new version changes the ETag', async () => {
  const old = await server.get(path(rows[3].id), token);
  const changed = rows.map((row, i) => (i === 3 ? { ...row, weight: 77 } : row));
  const row = await data.ingest('things', { things: data.file('things2.csv', csv(changed)) });
  assert.equal(row.version, 2);
  const reply = await until('the server has followed', async () => {
    const now = await server.get(path(rows[3].id), token, { 'if-none-match': old.headers.etag });
    return now.status === 304 ? null : now;
  });
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.json.version, 2);
  assert.equal(reply.json.record.weight, 77);
});

test('HEAD is answered like GET, without a body', async () => {
  const reply = await server.request('HEAD', path(rows[0].id), { token });
  assert.equal(reply.status, 200);
  assert.equal(reply.text, '');
  assert.ok(reply.headers.etag);
});

test('records of a protected dataset have no address', async () => {
  const problem = assertProblem(await server.get('/v1/datasets/people/records/Li', token), 409);
  assert.ok(problem.hint.includes('lookup'));
});
