// Kept versions: read by number or by moment, opened on demand; retired by count or by hand.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { ALL_SCOPES, assertProblem, Data } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';
import { join } from 'node:path';

/** Version n weighs thing t00000 with n. */
const batch = (n, count = 12) => csv(things(count).map((row, i) => (i ? row : { ...row, weight: n })));
const KEY = { id: 't00000' };

let data, server, token;

async function publish(n, dataset = 'things', sources = { things: data.file(`${n}.csv`, batch(n)) }) {
  return data.ingest(dataset, sources);
}

before(async () => {
  data = await Data.make('dev', 'other');
  await data.put({ ...THINGS, retention: { keep_versions: 4, keep_days: 30 } });
  for (let n = 1; n <= 6; n++) await publish(n);
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const at = (path, query) => `${path}${path.includes('?') ? '&' : '?'}${query}`;
const lookup = (query, who = token) => server.post(at('/v1/datasets/things/lookup', query), who, { key: KEY });

test('each kept version is read by its number, on every reading route', async () => {
  for (const n of [3, 4, 5, 6, 3]) {
    const one = await lookup(`version=${n}`);
    assert.deepEqual([one.status, one.json.version, one.json.record.weight], [200, n, n], one.text);
    assert.equal(one.headers['everline-version'], String(n));
    const many = (await server.post(at('/v1/datasets/things/lookup/batch', `version=${n}`), token, { keys: [KEY, { id: 'none' }] })).json;
    assert.deepEqual([many.version, many.results[0].record.weight, many.results[1].outcome], [n, n, 'no_match']);
    const record = await server.get(at('/v1/datasets/things/records/t00000', `version=${n}`), token);
    assert.deepEqual([record.json.version, record.json.record.weight], [n, n]);
    const same = await server.get(at('/v1/datasets/things/records/t00000', `version=${n}`), token, { 'if-none-match': record.headers.etag });
    assert.equal(same.status, 304);
    assert.equal((await server.get(at('/v1/datasets/things/rollups', `version=${n}`), token)).json.version, n);
    assert.equal((await server.get(at('/v1/datasets/things/rollups/total', `version=${n}`), token)).json.version, n);
  }
  assert.equal((await lookup('version=6')).headers['everline-version-state'], undefined);
  assert.equal((await server.lookup('things', KEY, token)).json.version, 6);
});

test('many ask for the same closed version at once', async () => {
  const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => lookup(`version=${3 + (i % 4)}`)));
  replies.forEach((reply, i) => assert.deepEqual([reply.status, reply.json.version], [200, 3 + (i % 4)]));
});

test('a version that is not kept is 410, one that never was 404', async () => {
  for (const n of [1, 2]) assertProblem(await lookup(`version=${n}`), 410, 'VERSION_RETIRED');
  for (const n of [7, 999, '9007199254740991']) assertProblem(await lookup(`version=${n}`), 404, 'UNKNOWN_VERSION');
  for (const n of ['0', '-1', 'x', '', '1.0', '9007199254740992'])
    assert.equal((await lookup(`version=${n}`)).status, 400, n);
  const stranger = await data.token({ tenant: 'other' });
  assertProblem(await lookup('version=3', stranger), 404, 'UNKNOWN_DATASET');
  assertProblem(await lookup('version=1', stranger), 404, 'UNKNOWN_DATASET');
});

test('what was served at a moment', async () => {
  const rows = await data.versions('things');
  const events = (await server.get('/v1/datasets/things/events?limit=1000', token)).json.items;
  const flips = events.filter((e) => e.event === 'flipped').reverse();
  assert.equal(flips.length, 6);
  for (const [i, flip] of flips.entries()) {
    const reply = await lookup(`as_of=${flip.time}`);
    if (flip.version <= 2) assertProblem(reply, 410, 'VERSION_RETIRED');
    else assert.equal(reply.json.version, flip.version, reply.text);
    const before = new Date(Date.parse(flip.time) - 1).toISOString();
    const earlier = await lookup(`as_of=${before}`);
    if (i === 0) assertProblem(earlier, 404, 'NO_VERSION');
    else if (i > 2) assert.equal(earlier.json.version, flips[i - 1].version);
  }
  assert.equal((await lookup(`as_of=${new Date().toISOString()}`)).json.version, 6);
  assertProblem(await lookup('as_of=2999-01-01T00:00:00Z'), 400, 'INVALID_PARAMETER');
  assertProblem(await lookup('as_of=yesterday.at.noon'), 400);
  assertProblem(await lookup(`as_of=${flips[5].time}&version=6`), 400, 'INVALID_PARAMETER');
  assert.equal(rows.filter((row) => row.state === 'RETIRED').length, 2);
});

test('the files of retired versions are gone, and the rest verifies', async () => {
  const files = [...filesBelow(join(data.directory, 'segments'))];
  assert.equal(files.length, 4);
  for (const path of files) assert.equal(statSync(path).mode & 0o777, 0o440, path);
  assert.equal((await data.cli(['verify', '--deep'])).code, 0);
});

test('pages that began in one version go on in it after a flip', async () => {
  const first = (await server.get('/v1/datasets/things/rollups/by_colour?limit=2', token)).json;
  assert.equal(first.version, 6);
  await publish(7, 'things', { things: data.file('7.csv', batch(7, 40)) });
  await until('it is served', async () => (await server.lookup('things', KEY, token)).json.version === 7);
  let next = first.next;
  const items = [...first.items];
  while (next) {
    const page = await server.get(`/v1/datasets/things/rollups/by_colour?limit=2&cursor=${next}`, token);
    assert.deepEqual([page.status, page.json.version], [200, 6], page.text);
    items.push(...page.json.items);
    next = page.json.next;
  }
  const whole = (await server.get('/v1/datasets/things/rollups/by_colour?version=6', token)).json;
  assert.deepEqual(items, whole.items);
});

test('a version that was rolled back from is read with its state', async () => {
  const flipped = (await server.get('/v1/datasets/things/events?limit=1', token)).json.items[0].time;
  const reply = await server.post('/v1/datasets/things/rollback', token, { reason: 'test', from: 7 });
  assert.equal(reply.json.current, 6, reply.text);
  for (const query of ['version=7', `as_of=${flipped}`]) {
    const bad = await lookup(query);
    assert.deepEqual([bad.json.version, bad.headers['everline-version-state']], [7, 'QUARANTINED'], bad.text);
  }
});

test('a version that is held is for those who may release it', async () => {
  const held = { ...THINGS, name: 'held', require_promotion: true };
  await data.put(held);
  const result = await data.ingestCli('held', { things: data.file('h.csv', batch(1)) });
  assert.equal(result.code, 4);
  const path = '/v1/datasets/held/lookup?version=1';
  await until('the server knows of it', async () => (await server.post(path, token, { key: KEY })).status !== 404);
  const reader = await data.token({ scope: 'data:read analytics:read' });
  assertProblem(await server.post(path, reader, { key: KEY }), 403, 'SCOPE_MISSING');
  const reply = await server.post(path, token, { key: KEY });
  assert.deepEqual([reply.status, reply.headers['everline-version-state']], [200, 'HELD'], reply.text);
  assertProblem(await server.post('/v1/datasets/held/lookup', token, { key: KEY }), 404, 'NO_VERSION');
});

test('a failed build is no version to read', async () => {
  const result = await data.ingestCli('things', { things: data.file('bad.csv', 'id,colour,weight,made\na,b,notanumber,\n') });
  assert.equal(result.code, 1);
  const row = (await data.versions('things'))[0];
  assert.equal(row.state, 'FAILED');
  assertProblem(await lookup(`version=${row.version}`), 404, 'UNKNOWN_VERSION');
});

test('a version is retired by hand, with a reason', async () => {
  const remove = (n, query, who = token, headers = {}) =>
    server.request('DELETE', `/v1/datasets/things/versions/${n}?${query}`, { token: who, headers });
  for (const query of ['', 'reason=%20'])
    assert.deepEqual(assertProblem(await remove(4, query), 400, 'REASON_REQUIRED').errors.map(({ pointer }) => pointer), ['query/reason']);
  assertProblem(await remove(6, 'reason=x'), 409, 'NOT_ALLOWED');
  assertProblem(await remove(5, 'reason=x'), 409, 'NOT_ALLOWED');
  assertProblem(await remove(99, 'reason=x'), 404, 'UNKNOWN_VERSION');
  assertProblem(await remove(4, 'reason=x', await data.token({ scope: 'data:read' })), 403, 'SCOPE_MISSING');
  assertProblem(await remove(4, 'reason=x', token, { 'if-match': '"1"' }), 412, 'HEAD_MOVED');
  assert.equal((await lookup('version=4')).status, 200); /* open here */
  const reply = await remove(4, 'reason=the%20agency%20withdrew%20it');
  assert.equal(reply.status, 200, reply.text);
  assertProblem(await lookup('version=4'), 410, 'VERSION_RETIRED');
  const event = (await server.get('/v1/datasets/things/events?limit=1', token)).json.items[0];
  assert.deepEqual([event.event, event.version, event.reason, event.actor],
    ['retired', 4, 'the agency withdrew it', 'token:tester']);
  assertProblem(await remove(4, 'reason=x'), 409, 'NOT_ALLOWED');
  await until('its file is swept', () => [...filesBelow(join(data.directory, 'segments'))].length === 4);
});

test('more versions than fit are read one after the other', async () => {
  const many = await Data.make('dev');
  await many.put({ ...THINGS, retention: { keep_versions: 30, keep_days: 30 } });
  for (let n = 1; n <= 20; n++) await many.ingest('things', { things: many.file(`${n}.csv`, batch(n)) });
  const one = await many.serve();
  const who = await many.token({ scope: ALL_SCOPES });
  try {
    const open = () => one.get('/metrics').then((reply) => Number(/^everline_segments_open (\d+)/m.exec(reply.text)[1]));
    for (let n = 1; n <= 20; n++) {
      const reply = await until('there is room', async () => {
        const r = await one.post(`/v1/datasets/things/lookup?version=${n}`, who, { key: KEY });
        if (r.status === 503) assertProblem(r, 503, 'TOO_MANY_VERSIONS');
        return r.status === 200 && r;
      });
      assert.deepEqual([reply.json.version, reply.json.record.weight], [n, n]);
      assert.ok(await open() <= 2 + 16 + 1, 'the cache is bounded');
    }
  } finally {
    assert.equal(await one.stop(), 0, one.log);
  }
});

test('who reads many versions keeps no other tenant from reading one', async () => {
  const both = await Data.make('dev', 'greedy');
  for (const tenant of ['dev', 'greedy']) await both.put({ ...THINGS, retention: { keep_versions: 30, keep_days: 30 } }, { tenant });
  for (let n = 1; n <= 18; n++) await both.ingest('things', { things: both.file(`${n}.csv`, batch(n)) }, { tenant: 'greedy' });
  for (let n = 1; n <= 2; n++) await both.ingest('things', { things: both.file(`${n}.csv`, batch(n)) });
  const one = await both.serve();
  const [who, greedy] = [await both.token(), await both.token({ tenant: 'greedy' })];
  const read = (n, token) => one.post(`/v1/datasets/things/lookup?version=${n}`, token, { key: KEY });
  let stop = false;
  const hammer = async (n) => { while (!stop) await read(n, greedy); };
  const busy = Array.from({ length: 17 }, (_, i) => hammer(i + 1));
  try {
    await until('it has all that may be open', async () =>
      (await Promise.all(Array.from({ length: 17 }, (_, i) => read(i + 1, greedy)))).some((reply) => reply.status === 503));
    for (let i = 0; i < 50; i++) {
      const reply = await read(1, who);
      assert.deepEqual([reply.status, reply.json.version], [200, 1], reply.text);
    }
  } finally {
    stop = true;
    await Promise.all(busy);
    assert.equal(await one.stop(), 0, one.log);
  }
});

test('without a server: everline get', async () => {
  const get = (path) => data.cli(['get', path], { tenant: 'dev' });
  assert.equal(JSON.parse((await get('/v1/datasets/things/records/t00000?version=5')).stdout).record.weight, 5);
  const gone = await get('/v1/datasets/things/records/t00000?version=1');
  assert.equal(gone.code, 1);
  assert.match(gone.stdout, /VERSION_RETIRED/);
});

test('where no server runs, the files of a version are gone when the command that retires it ends', async () => {
  const alone = await Data.make('dev');
  await alone.put(THINGS);
  for (let n = 1; n <= 3; n++) await alone.ingest('things', { things: alone.file(`${n}.csv`, batch(n)) });
  const files = (below) => [...filesBelow(join(alone.directory, below))].length;
  assert.equal(files('segments'), 3);
  const { code, stdout, stderr } = await alone.cli(['retire', 'things', '1', '--tenant', 'dev', '--reason', 'wrong consent']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^version 1 of things is retired\nthings serves version 3 \(sequence \d+\)\n$/);
  assert.deepEqual([files('segments'), files('build')], [2, 0]);
  const again = await alone.cli(['retire', 'things', '1', '--tenant', 'dev', '--reason', 'wrong consent']);
  assert.deepEqual([again.code, again.stdout], [1, '']);
});
