// What differs between two versions: counted here from the rows that were ingested.
import assert from 'node:assert/strict';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ALL_SCOPES, assertProblem, Data } from '../kit/everline.mjs';
import { sourceDir, until } from '../kit/process.mjs';
import { csv, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

let data, server, token;
const sample = join(sourceDir, 'deploy', 'sample', 'flights');
const url = (dataset, from, to, more = '') => `/v1/datasets/${dataset}/versions/${to}/diff?from=${from}${more}`;

/** Version 1, and version 2 without the first 30, with 20 new ones, and with every seventh changed. */
const first = things(1000);
const second = things(1020).slice(30).map((row, i) => (i % 7 ? row : { ...row, weight: 1000 + i }));
const removed = first.slice(0, 30).map((row) => row.id);
const added = second.slice(-20).map((row) => row.id);
const changed = second.slice(0, -20).filter((row, i) => i % 7 === 0).map((row) => row.id);
const weight = (rows) => rows.reduce((sum, row) => sum + (row.weight ?? 0), 0);
const THINGS_BOTH = { ...THINGS, retention: { keep_versions: 50 } };
const { by_colour: byColour } = THINGS.rollups;

async function ingestThings(rows, definition = THINGS_BOTH) {
  await data.put(definition, { force: true });
  return (await data.ingest('things', { things: data.file('things.csv', csv(rows)) })).version;
}

before(async () => {
  data = await Data.make('dev', 'other');
  assert.equal(await ingestThings(first), 1);
  assert.equal(await ingestThings(second), 2);
  await data.put(PEOPLE);
  for (const score of [7, 8]) {
    const persons = [...PERSONS.slice(score - 7), { ...PERSONS[0], BORN: '2000-01-01', SCORE: score }];
    await data.ingest('people', { people: data.file('people.csv', csv(persons)) });
  }
  await data.ok(['dataset', 'put', join(sample, 'definition.json')], { tenant: 'dev' });
  await data.ingest('flights', { flights: join(sample, 'flights.parquet') });
  server = await data.serve('--workers', '1');
  token = await data.token({ scope: 'versions:write data:read' });
});
after(() => server?.stop());

/** [kind, keys of the rows that are of it], and the counts of all. */
function assertSamples(samples, kinds) {
  for (const [kind, ids] of Object.entries(kinds)) {
    const shown = samples[kind].map((key) => { assert.deepEqual(Object.keys(key), ['id']); return key.id; });
    assert.equal(shown.length, Math.min(10, ids.length), kind);
    assert.equal(new Set(shown).size, shown.length);
    for (const id of shown) assert.ok(ids.includes(id), `${id} was not ${kind}`);
  }
}

function assertThings(diff) {
  const { samples, rollups, ...rest } = diff;
  const unchanged = first.length - removed.length - changed.length;
  assert.deepEqual(rest, {
    dataset: 'things', from: 1, to: 2, definition_changed: false, fields: [],
    records: { before: first.length, after: second.length, added: added.length, removed: removed.length,
      changed: changed.length, unchanged },
  });
  assertSamples(samples, { added, removed, changed });
  assert.deepEqual(rollups.map((rollup) => [rollup.name, rollup.in]), [['by_colour', 'both'], ['total', 'both']]);
  const total = Object.fromEntries(rollups[1].metrics.map((m) => [m.name, [m.in, m.before, m.after]]));
  assert.deepEqual(total, {
    things: ['both', first.length, second.length], weight: ['both', weight(first), weight(second)],
  });
  const cube = Object.fromEntries(rollups[0].metrics.map((m) => [m.name, m]));
  assert.deepEqual(Object.keys(cube).sort(), Object.keys(byColour.metrics).sort());
  for (const [side, rows] of [['before', first], ['after', second]]) {
    const weights = rows.filter((row) => row.weight !== null).map((row) => row.weight);
    assert.equal(cube.lightest[side], Math.min(...weights));
    assert.equal(cube.heaviest[side], Math.max(...weights));
    assert.ok(Math.abs(cube.mean[side] - weight(rows) / weights.length) < 1e-9);
    assert.ok(Math.abs(cube.share_heavy[side] - weights.filter((w) => w > 50).length / rows.length) < 1e-12);
  }
}

test('over HTTP: what was added, removed and changed, with samples, and every total', async () => {
  const reply = await server.get(url('things', 1, 2), token);
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.headers['cache-control'], 'no-store');
  assertThings(reply.json);
  const back = (await server.get(url('things', 2, 1), token)).json;
  assert.deepEqual(back.samples.added, reply.json.samples.removed);
  assert.deepEqual(back.samples.removed, reply.json.samples.added);
});

test('on the command line: the same as JSON, and as tables', async () => {
  assertThings(await data.json(['diff', 'things', '1', '2']));
  const table = await data.ok(['diff', 'things', '1', '2'], { tenant: 'dev' });
  assert.match(table, /^things: version 1 to version 2\n/);
  for (const [kind, count] of [['before', first.length], ['added', 20], ['removed', 30], ['changed', changed.length]])
    assert.match(table, new RegExp(`^${kind} +${count}$`, 'm'));
  assert.match(table, new RegExp(`^total +weight +${weight(first)} +${weight(second)}`, 'm'));
  assert.match(table, /^removed +\{"id":"t000\d\d"\}$/m);
  const local = await data.ok(['get', url('things', 1, 2)], { tenant: 'dev' });
  assertThings(JSON.parse(local));
});

test('a protected dataset shows counts and no key', async () => {
  const wanted = { before: 4, after: 3, added: 0, removed: 1, changed: 1, unchanged: 2 };
  for (const diff of [(await server.get(url('people', 1, 2), token)).json, await data.json(['diff', 'people', '1', '2'])]) {
    assert.deepEqual(diff.records, wanted);
    assert.equal(diff.samples, null);
  }
  const table = await data.ok(['diff', 'people', '1', '2'], { tenant: 'dev' });
  for (const person of PERSONS)
    for (const field of ['FIRST', 'LAST', 'BORN']) assert.ok(!table.includes(person[field]));
});

test('versions that are not there, or not of this tenant, are 404; a wrong question is 400', async () => {
  for (const [from, to] of [[1, 99], [99, 1]])
    assertProblem(await server.get(url('things', from, to), token), 404, 'UNKNOWN_VERSION');
  assertProblem(await server.get(url('absent', 1, 2), token), 404, 'UNKNOWN_DATASET');
  const foreign = await data.token({ tenant: 'other' });
  const theirs = assertProblem(await server.get(url('things', 1, 2), foreign), 404, 'UNKNOWN_DATASET');
  const nobodys = assertProblem(await server.get(url('absent', 1, 2), foreign), 404, 'UNKNOWN_DATASET');
  assert.equal(theirs.detail, nobodys.detail);
  assertProblem(await server.get('/v1/datasets/things/versions/2/diff', token), 400, 'MISSING_PARAMETER');
  for (const from of ['0', '-1', 'x', '1.5', ''])
    assertProblem(await server.get(url('things', from, 2), token), 400, 'INVALID_PARAMETER');
  assertProblem(await server.get(url('things', 1, 2, '&rollups_only=maybe'), token), 400, 'INVALID_PARAMETER');
  for (const [args, code] of [[['things', '1', '99'], 1], [['absent', '1', '2'], 1], [['things', '1', 'x'], 2], [['things', '1'], 2]])
    assert.equal((await data.cli(['diff', ...args], { tenant: 'dev' })).code, code, args.join(' '));
});

test('it needs versions:write, and the dataset in the token', async () => {
  const others = await data.token({ scope: ALL_SCOPES.replace('versions:write', '') });
  assertProblem(await server.get(url('things', 1, 2), others), 403, 'SCOPE_MISSING');
  const narrow = await data.token({ datasets: ['people'] });
  assertProblem(await server.get(url('things', 1, 2), narrow), 404, 'UNKNOWN_DATASET');
  assert.equal((await server.get(url('people', 1, 2), narrow)).status, 200);
});

test('keys that are made in another way cannot be compared; rollups can', async () => {
  const version = await ingestThings(first, { ...THINGS_BOTH, key: { fields: ['id'], protect: 'hmac-sha256' } });
  const problem = assertProblem(await server.get(url('things', 1, version), token), 409, 'KEYS_NOT_COMPARABLE');
  assert.match(problem.detail, /protects its keys/);
  const failed = await data.cli(['diff', 'things', '1', String(version)], { tenant: 'dev' });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /protects its keys[^]*--rollups-only/);
  const reply = await server.get(url('things', 1, version, '&rollups_only=true'), token);
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.json.records, null);
  assert.equal(reply.json.samples, null);
  assert.deepEqual(reply.json.rollups[1].metrics.map((m) => m.before === m.after), [true, true]);
  assert.deepEqual(await data.json(['diff', 'things', '1', String(version), '--rollups-only']), reply.json);
});

test('fields and rollups of one version only are said to be', async () => {
  const { weight: _, ...record } = THINGS.record;
  const version = await ingestThings(first, {
    ...THINGS_BOTH, record: { ...record, mass: 'BIGINT' },
    prepare: 'SELECT id, colour, weight, weight AS mass, made FROM things',
    rollups: { total: THINGS.rollups.total, heavy: { dimensions: [], metrics: { most: 'max(weight)' } } },
  });
  const diff = (await server.get(url('things', 1, version), token)).json;
  assert.equal(diff.definition_changed, true);
  assert.deepEqual(diff.fields, [{ name: 'mass', change: 'added' }, { name: 'weight', change: 'removed' }]);
  assert.equal(diff.records.unchanged, first.length);
  assert.deepEqual(diff.rollups.map((rollup) => [rollup.name, rollup.in]),
    [['total', 'both'], ['heavy', 'to'], ['by_colour', 'from']]);
  const most = Math.max(...first.map((row) => row.weight ?? -Infinity));
  assert.deepEqual(diff.rollups[1].metrics, [{ name: 'most', in: 'to', before: null, after: most }]);
});

test('a retired version is gone', async () => {
  const all = await data.token();
  const retired = await server.request('DELETE', '/v1/datasets/things/versions/2?reason=test', { token: all });
  assert.equal(retired.status, 200, retired.text);
  assertProblem(await server.get(url('things', 1, 2), token), 410, 'VERSION_RETIRED');
  assert.equal((await data.cli(['diff', 'things', '2', '1'], { tenant: 'dev' })).code, 1);
});

test('one at a time: who comes second is told to come again, and lookups are answered meanwhile', async () => {
  const ask = () => server.request('GET', url('flights', 1, 1), { token, agent: false });
  const busy = await until('a second diff meets a first one', async () => {
    let done = false;
    const diffs = Promise.all([ask(), ask(), ask()]).finally(() => { done = true; });
    for (let i = 0; !done; i++)
      assert.equal((await server.lookup('things', { id: 't00500' }, token)).json.outcome, 'match', `lookup ${i}`);
    const replies = await diffs;
    assert.ok(replies.some((reply) => reply.status === 200));
    for (const { json } of replies.filter((reply) => reply.status === 200))
      assert.equal(json.records.unchanged, 240428);
    return replies.find((reply) => reply.status !== 200);
  });
  assertProblem(busy, 503, 'BUSY');
  assert.match(busy.headers['retry-after'], /^\d+$/);
  assert.equal((await ask()).status, 200);
});

/** Sends the request and leaves at once. */
const abandon = (text) => new Promise((resolve, reject) => {
  const socket = net.connect(server.port, '127.0.0.1');
  socket.on('error', reject).on('close', resolve).on('connect', () => socket.write(text, () => socket.destroy()));
});

test('a client that goes away ends its diff', async () => {
  const path = url('flights', 1, 1);
  await abandon(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await until('the log says so', () => server.log.includes('diffVersions: the client is gone'));
  const reply = await until('the helper is free', async () => {
    const again = await server.get(path, token);
    return again.status === 200 && again;
  });
  assert.equal(reply.json.records.unchanged, 240428);
});

test('a server that stops ends the diff, and says so', async () => {
  await until('a diff is ended by the stop', async () => {
    const stopping = await data.serve();
    const diff = stopping.request('GET', url('flights', 1, 1), { token, agent: false });
    await until('it is at work', async () => /^everline_requests_in_flight [2-9]/m.test((await stopping.get('/metrics')).text)
      || Promise.race([diff, false]));
    assert.equal(await stopping.stop(), 0);
    const reply = await diff;
    if (reply.status !== 200) assertProblem(reply, 503, 'STOPPING');
    return reply.status !== 200;
  });
});

test('a difference is as large as the larger min_cell of the two asks, or it is hidden', async () => {
  const total = (min_cell) => ({ ...THINGS_BOTH, rollups: { total: { ...THINGS.rollups.total, min_cell } } });
  const strict = await ingestThings(first.slice(0, 30), total(11));
  const lax = await ingestThings(first.slice(0, 37), total(5));
  const more = await ingestThings(first.slice(0, 41), total(5));
  const counts = async (from, to) => {
    const reply = await server.get(url('things', from, to), token);
    assert.equal(reply.status, 200, reply.text);
    const { before, after } = reply.json.rollups[0].metrics.find((metric) => metric.name === 'things');
    return [before, after];
  };
  assert.deepEqual(await counts(lax, strict), [null, null]);
  assert.deepEqual(await counts(strict, lax), [null, null]);
  assert.deepEqual(await counts(strict, more), [30, 41]);
  assert.deepEqual(await counts(lax, more), [null, null]);
});
