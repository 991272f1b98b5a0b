// A key with a sort: many records of one key, in order. What comes is what went in, sorted here.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { csv } from '../kit/samples.mjs';

const READINGS = {
  name: 'readings',
  sources: { readings: { format: 'csv', columns: { taken_at: 'TIMESTAMP', celsius: 'DOUBLE' } } },
  prepare: 'SELECT device, taken_at, celsius FROM readings',
  key: { fields: ['device'], sort: 'taken_at' },
  record: { taken_at: 'TIMESTAMP', celsius: 'DOUBLE' },
  rollups: { by_device: { dimensions: ['device'], metrics: { readings: 'count(*)', mean: 'avg(celsius)' } } },
};
const VISITS = {
  name: 'visits',
  sources: { visits: { format: 'csv', columns: { day: 'INTEGER' } } },
  prepare: 'SELECT name, born, day, clinic FROM visits',
  key: { fields: ['name', 'born'], normalize: { name: 'person_name', born: 'date' }, protect: 'hmac-sha256', sort: 'day' },
  record: { day: 'INTEGER', clinic: 'VARCHAR' },
};
const ZOE = { name: 'zoe', born: '1980-02-29' };

/** `count` readings of each device, ten minutes apart from before the epoch on; `warmer` changes some. */
function readings(count, warmer = 0) {
  const rows = [];
  for (const [d, device] of ['meter-1', 'meter-2', 'meter-3'].entries())
    for (let i = 0; i < count; i++) {
      const time = new Date(Date.UTC(1969, 11, 31, 12) + (i * 600 + d) * 1000).toISOString();
      rows.push({ device, taken_at: time.replace('.000', ''), celsius: (i * 37 + d) % 400 / 8 + (i % 10 ? 0 : warmer) });
    }
  return rows;
}
const of = (rows, device) => rows.filter((row) => row.device === device);
const shuffled = (rows) => rows.map((row, i) => [(i * 7919) % rows.length, row]).sort((a, b) => a[0] - b[0]).map(([, row]) => row);

const first = readings(150), second = readings(160, 1).filter((row) => row.device !== 'meter-3');
let data, server, token;

before(async () => {
  data = await Data.make('dev');
  await data.put(READINGS);
  await data.ingest('readings', { readings: data.file('1.csv', csv(shuffled(first))) });
  await data.ingest('readings', { readings: data.file('2.csv', csv(second)) });
  await data.put(VISITS);
  await data.ingest('visits', { visits: data.file('visits.csv', csv([
    { name: 'Zoë', born: '1980-02-29', day: 3, clinic: 'north' }, { name: 'ZOE', born: '1980-02-29', day: -5, clinic: 'south' },
    { name: 'Li', born: '1999-12-31', day: 0, clinic: 'east' }])) });
  server = await data.serve();
  token = await data.token({ scope: 'data:read versions:write analytics:read' });
});
after(() => server?.stop());

const url = (device, query = '') => `/v1/datasets/readings/records/${device}/series${query}`;
const read = async (device, query) => {
  const reply = await server.get(url(device, query), token);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
};

/** All pages of `limit`. */
async function pages(device, limit, query = '') {
  const items = [];
  let next = null;
  do {
    const page = await read(device, `?limit=${limit}${query}${next ? `&cursor=${encodeURIComponent(next)}` : ''}`);
    assert.equal(page.complete, page.next === null);
    assert.ok(page.items.length <= limit);
    items.push(...page.items);
    next = page.next;
  } while (next);
  return items;
}

test('the records of a key come in order, one way and the other, in pages that join', async () => {
  const wanted = of(second, 'meter-2');
  assert.deepEqual((await read('meter-2', '?limit=1000')).items, wanted);
  for (const limit of [1, 7, 159, 160, 161].filter((one) => one > 6)) {
    assert.deepEqual(await pages('meter-2', limit), wanted);
    assert.deepEqual(await pages('meter-2', limit, '&order=desc'), [...wanted].reverse());
  }
});

test('from is the first, to is behind the last', async () => {
  const [from, to] = ['1969-12-31T23:50:01Z', '1970-01-01T00:20:01Z'];
  const wanted = of(second, 'meter-2').filter((row) => row.taken_at >= from && row.taken_at < to);
  assert.equal(wanted.length, 3);
  const bounds = `from=${from}&to=${to}`;
  assert.deepEqual((await read('meter-2', `?${bounds}`)).items, wanted);
  assert.deepEqual((await read('meter-2', `?${bounds}&order=desc&limit=2`)).items, wanted.slice(1).reverse());
  assert.deepEqual(await pages('meter-2', 1, `&${bounds}&order=desc`), [...wanted].reverse());
  assert.deepEqual((await read('meter-2', '?from=2030-01-01T00:00:00Z')).items, []);
  assert.deepEqual((await read('meter-2', `?from=${to}&to=${from}`)).items, []);
});

test('a lookup and a record are the last of their series', async () => {
  const last = of(second, 'meter-1').at(-1);
  assert.deepEqual((await server.lookup('readings', { device: 'meter-1' }, token)).json.record, last);
  assert.deepEqual((await server.get('/v1/datasets/readings/records/meter-1', token)).json.record, last);
  const batch = (await server.batch('readings', [{ device: 'meter-2' }, { device: 'meter-3' }], token)).json;
  assert.deepEqual(batch.results.map((one) => one.outcome), ['match', 'no_match']);
});

test('an earlier version has its own series, and a cursor stays in its version', async () => {
  const old = of(first, 'meter-3');
  assert.deepEqual((await read('meter-3', '?version=1&limit=1000')).items, old);
  assertProblem(await server.get(url('meter-3'), token), 404, 'RECORD_NOT_FOUND');
  const { next } = await read('meter-1', '?version=1&limit=3');
  assertProblem(await server.get(url('meter-1', `?version=2&limit=3&cursor=${next}`), token), 400, 'INVALID_CURSOR');
  const rest = await read('meter-1', `?version=1&limit=1000&cursor=${next}`);
  assert.deepEqual(rest.items, of(first, 'meter-1').slice(3));
  await data.ok(['rollback', 'readings', '--from', '2', '--reason', 'a test'], { tenant: 'dev' });
  const onCurrent = await until('the rollback is served', async () => {
    const page = await read('meter-1', '?limit=2');
    return page.version === 1 && page;
  });
  await data.ok(['promote', 'readings', '2', '--reason', 'a test'], { tenant: 'dev' });
  const after = await read('meter-1', `?limit=1000&cursor=${onCurrent.next}`);
  assert.equal(after.version, 1, 'the pages of one answer are of one version');
  assert.deepEqual([...onCurrent.items, ...after.items], of(first, 'meter-1'));
});

test('a cursor belongs to its key and its query', async () => {
  const { next } = await read('meter-1', '?limit=2');
  for (const [device, more] of [['meter-2', ''], ['meter-1', '&order=desc'], ['meter-1', '&from=1970-01-01T00:00:00Z']])
    assertProblem(await server.get(url(device, `?limit=2&cursor=${next}${more}`), token), 400, 'INVALID_CURSOR');
  assertProblem(await server.get(url('meter-1', '?cursor=zzz'), token), 400, 'INVALID_CURSOR');
});

test('an answer that a client has is not sent again', async () => {
  const reply = await server.get(url('meter-1', '?limit=5'), token);
  const again = await server.get(url('meter-1', '?limit=5'), token, { 'if-none-match': reply.headers.etag });
  assert.equal(again.status, 304);
  const tags = await Promise.all([url('meter-2', '?limit=5'), url('meter-1', '?limit=6'), url('meter-1', '?limit=5&order=desc')]
    .map(async (path) => (await server.get(path, token)).headers.etag));
  assert.equal(new Set([reply.headers.etag, ...tags]).size, 4);
});

test('what is not a series, or has no address, is refused with the way that there is', async () => {
  assertProblem(await server.get(url('meter-1', '?order=up!'), token), 400, 'INVALID_PARAMETER');
  assertProblem(await server.get(url('meter-1', '?from=yesterday'), token), 400);
  const problem = assertProblem(await server.get('/v1/datasets/visits/records/x/series', token), 409, 'NOT_ADDRESSABLE');
  assert.match(problem.hint, /lookup\/series/);
  await data.put({ ...VISITS, name: 'single', key: { fields: ['clinic'] }, record: { day: 'INTEGER' } });
  await data.ingest('single', { visits: data.file('single.csv', csv([{ name: 'x', born: '2000-01-01', day: 1, clinic: 'c' }])) });
  await until('it is served', async () => (await server.get('/v1/datasets/single', token)).json.current === 1);
  assertProblem(await server.get('/v1/datasets/single/records/c/series', token), 409, 'NOT_A_SERIES');
});

test('a protected series is looked up', async () => {
  const ask = (key, query = '') => server.post(`/v1/datasets/visits/lookup/series${query}`, token, { key });
  const reply = await ask(ZOE);
  assert.equal(reply.headers['cache-control'], 'no-store');
  assert.deepEqual(reply.json, {
    dataset: 'visits', version: 1, outcome: 'match',
    items: [{ day: -5, clinic: 'south' }, { day: 3, clinic: 'north' }], next: null, complete: true,
  });
  const page = (await ask(ZOE, '?limit=1&order=desc')).json;
  assert.deepEqual(page.items, [{ day: 3, clinic: 'north' }]);
  assert.deepEqual((await ask(ZOE, `?limit=1&order=desc&cursor=${page.next}`)).json.items, [{ day: -5, clinic: 'south' }]);
  assertProblem(await ask({ name: 'li', born: '1999-12-31' }, `?limit=1&order=desc&cursor=${page.next}`), 400, 'INVALID_CURSOR');
  assert.deepEqual((await ask(ZOE, '?to=3')).json.items, [{ day: -5, clinic: 'south' }]);
  assert.deepEqual((await ask({ name: 'nobody', born: '1999-12-31' })).json.outcome, 'no_match');
  assert.deepEqual((await server.lookup('visits', ZOE, token)).json.record, { day: 3, clinic: 'north' });
});

test('the command line reads the same, and verifies', async () => {
  const text = await data.ok(['get', url('meter-1', '?limit=2&order=desc')], { tenant: 'dev' });
  assert.deepEqual(JSON.parse(text).items, of(second, 'meter-1').slice(-2).reverse());
  await data.ok(['verify', '--deep']);
});

test('a diff compares by key and sort value', async () => {
  const diff = (await server.get('/v1/datasets/readings/versions/2/diff?from=1', token)).json;
  assert.deepEqual(diff.records, { before: 450, after: 320, added: 20, removed: 150, changed: 30, unchanged: 270 });
  for (const key of diff.samples.added) assert.deepEqual(Object.keys(key), ['device', 'taken_at']);
});

test('the order and the number of rows that say the same leave no trace', async () => {
  const again = await data.ingest('readings', { readings: data.file('3.csv', csv([...shuffled(second), ...second.slice(0, 9)])) });
  assert.deepEqual([again.outcome, again.rows.accepted, again.rows.duplicates], ['identical', second.length, 9]);
});

test('two records of one key and sort value contradict each other; a row without one is rejected', async () => {
  const [row] = second;
  const two = data.file('two.csv', csv([row, { ...row, celsius: 99 }, second[1]]));
  const failed = await data.ingestCli('readings', { readings: two });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /1 key\(s\) have records that contradict each other/);
  assert.match(failed.stderr, /device="meter-1", taken_at="1969-12-31T12:00:00Z"/);
  await data.put({ ...READINGS, name: 'last', on_duplicate: 'last', duplicate_order: 'celsius', max_reject_ratio: 0.5 });
  const rows = data.file('last.csv', csv([row, { ...row, celsius: 99 }, second[1], { ...row, taken_at: null }]));
  const version = await data.ingest('last', { readings: rows });
  assert.deepEqual([version.rows.accepted, version.rows.duplicates, version.rows.rejected], [2, 1, 1]);
  assert.deepEqual((await data.json(['rejects', 'last', '1'])).rules, [{ rule: 'key_taken_at', rows: 1 }]);
});
