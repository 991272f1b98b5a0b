// What a tenant can see of itself: datasets, versions, events.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data, everline } from '../kit/everline.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, token;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const names = ['alpha', 'beta', 'gamma', 'things'];
const VERSIONS = 3;

before(async () => {
  data = await Data.make('dev');
  for (const name of names) await data.put({ ...THINGS, name });
  for (let i = 1; i <= VERSIONS; i++)
    await data.ingest('things', { things: data.file(`${i}.csv`, csv(things(10 * i))) });
  server = await data.serve();
  token = await data.token({ scope: 'data:read audit:read' });
});
after(() => server?.stop());

async function pages(path, limit) {
  const items = [];
  let cursor = null;
  do {
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    const reply = await server.get(`${path}?limit=${limit}${more}`, token);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.complete, reply.json.next === null);
    assert.ok(reply.json.items.length <= limit);
    items.push(...reply.json.items);
    cursor = reply.json.next;
  } while (cursor);
  return items;
}

test('datasets are listed by name, whole or by page', async () => {
  const whole = (await server.get('/v1/datasets', token)).json;
  assert.equal(whole.complete, true);
  assert.deepEqual(whole.items.map((item) => item.name), names);
  const served = whole.items.at(-1);
  assert.equal(served.current, VERSIONS);
  assert.match(served.current_since, TIME);
  assert.equal(whole.items[0].current, null);
  assert.equal(whole.items[0].current_since, null);
  assert.ok(!('definition' in served));
  for (const limit of [1, 3, 4]) assert.deepEqual(await pages('/v1/datasets', limit), whole.items);
});

test('a dataset shows its definition, and its ETag is the head\'s sequence', async () => {
  const reply = await server.get('/v1/datasets/things', token);
  assert.equal(reply.status, 200);
  assert.deepEqual(reply.json.definition, THINGS);
  assert.equal(reply.headers.etag, `"${reply.json.sequence}"`);
  assertProblem(await server.get('/v1/datasets/nothing', token), 404, 'UNKNOWN_DATASET');
});

test('the version-info table is newest first, and its pages join', async () => {
  const whole = (await server.get('/v1/datasets/things/versions', token)).json.items;
  assert.deepEqual(whole.map((row) => row.version), [3, 2, 1]);
  assert.deepEqual(await pages('/v1/datasets/things/versions', 2), whole);
  assert.deepEqual(whole.map((row) => row.current), [true, false, false]);
  const release = (await everline(['version'])).stdout.trim();
  for (const row of whole) {
    assert.equal(row.state, 'SUCCEEDED');
    assert.equal(row.outcome, 'flipped');
    assert.equal(row.error, null);
    assert.match(row.created_at, TIME);
    assert.match(row.updated_at, TIME);
    assert.ok(row.updated_at >= row.created_at);
    const count = 10 * row.version;
    const { read, parsed, unparsable, prepared, accepted, rejected, duplicates } = row.rows;
    assert.deepEqual({ read, parsed, unparsable, prepared, accepted, rejected, duplicates },
      { read: count, parsed: count, unparsable: 0, prepared: count, accepted: count, rejected: 0, duplicates: 0 });
    assert.equal(row.segments.length, 1);
    assert.match(row.segments[0].sha256, /^[0-9a-f]{64}$/);
    assert.equal(row.bytes, row.segments[0].bytes);
    assert.deepEqual(row.definition, THINGS);
    assert.equal(`everline ${row.builder}`, release);
    assert.equal(row.sources[0].name, 'things');
  }
});

test('the table over HTTP and on the command line is the same', async () => {
  const { items } = (await server.get('/v1/datasets/things/versions', token)).json;
  assert.deepEqual(await data.versions('things'), items);
  const local = await data.ok(['get', '/v1/datasets/things/versions'], { tenant: 'dev' });
  assert.deepEqual(JSON.parse(local).items, items);
});

test('one version is given by its number', async () => {
  const { items } = (await server.get('/v1/datasets/things/versions', token)).json;
  assert.deepEqual((await server.get('/v1/datasets/things/versions/2', token)).json, items[1]);
  assertProblem(await server.get('/v1/datasets/things/versions/9', token), 404, 'UNKNOWN_VERSION');
  assertProblem(await server.get('/v1/datasets/things/versions/0', token), 400);
  assertProblem(await server.get('/v1/datasets/things/versions/one', token), 400);
});

test('events say who moved the pointer, newest first, and their pages join', async () => {
  const { items } = (await server.get('/v1/datasets/things/events', token)).json;
  const flips = items.filter((event) => event.to !== event.from);
  assert.deepEqual(flips.map(({ version, from, to }) => [version, from, to]),
    [[3, 2, 3], [2, 1, 2], [1, null, 1]]);
  for (let i = 1; i < items.length; i++) {
    assert.ok(items[i].sequence < items[i - 1].sequence);
    assert.ok(items[i].time < items[i - 1].time);
  }
  for (const event of items) {
    assert.match(event.time, TIME);
    assert.ok(event.actor);
  }
  assert.deepEqual(await pages('/v1/datasets/things/events', 2), items);
});

test('events need audit:read', async () => {
  const reader = await data.token({ scope: 'data:read' });
  assertProblem(await server.get('/v1/datasets/things/events', reader), 403, 'SCOPE_MISSING');
});

test('a cursor that is not ours is refused', async () => {
  for (const path of ['/v1/datasets', '/v1/datasets/things/versions', '/v1/datasets/things/events'])
    for (const cursor of ['%20', '-1', 'ZZZ!', '0'])
      assertProblem(await server.get(`${path}?cursor=${cursor}`, token), 400, 'INVALID_CURSOR');
});
