// Every value that a rollup gives is computed here again from the rows that were ingested.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { sourceDir } from '../kit/process.mjs';
import { cellsByColour, csv, THINGS, things, totals } from '../kit/samples.mjs';

let data, server, token, longest;
const rows = things(3000);
const sample = join(sourceDir, 'deploy', 'sample', 'flights');

/** Flights, minutes of delay and flights delayed over 15 minutes in deploy/sample/flights, by origin and
 *  month of 2001: counted with DuckDB's own program, not with ours. */
const FLIGHTS = {
  ATL: [[21286, 156182, 4608], [19099, 175038, 4551], [21269, 205697, 5234], [20919, 130161, 3960],
    [21278, 75424, 3514], [20856, 358410, 6755], [4, 54, 2]],
  BOS: [[10907, 78750, 2718], [9872, 145244, 3230], [10428, 135233, 3062], [11270, 66408, 2429],
    [11869, -4203, 1920], [11140, 147456, 3030]],
  SEA: [[8189, 100717, 2201], [7305, 99969, 2169], [8267, 109796, 2572], [8259, 72678, 2000],
    [8868, 31538, 1491], [9343, 70510, 2001]],
};

/** Tuples of 511 bytes, which is the most: each text has 3 beside its own, and the rows differ in the last byte. */
const LONG_ROWS = [...'abcdefghi'].map((end) => ({
  id: end, first: 'x'.repeat(200), second: '\u00e9'.repeat(90), third: 'z'.repeat(121) + end,
}));
const LONG = {
  name: 'long', description: 'Dimensions as long as they may be',
  sources: { long: { format: 'csv', columns: {} } },
  prepare: 'SELECT id, first, second, third FROM long',
  key: { fields: ['id'], protect: 'none' },
  record: { first: 'VARCHAR', second: 'VARCHAR', third: 'VARCHAR' },
  rollups: { by_all: { dimensions: ['first', 'second', 'third'], metrics: { rows: 'count(*)' } } },
};

/** Two of the four colours are hidden. */
const HIDDEN = {
  ...THINGS, name: 'hidden', prepare: 'SELECT id, colour, weight, made FROM things',
  rollups: { by_colour: { dimensions: ['colour'], metrics: { things: 'count(*)', weight: 'sum(weight)' }, min_cell: 3 } },
};
const HIDDEN_ROWS = ['d', ...'bbbb', ...'aaaaa', ...'cc'].map((colour, i) => ({ id: `h${i}`, colour, weight: i, made: '2024-01-01' }));

/** One cell more than may be put into another order; and where there is a sketch, half as many and one. */
const MANY = {
  ...THINGS, name: 'many', prepare: "SELECT n::VARCHAR AS id, (n % 50001)::VARCHAR AS colour, 1 AS weight, made FROM things, range(100001) t(n)",
  rollups: {
    by_colour: { dimensions: ['colour'], metrics: { things: 'count(*)', made: 'distinct(made)' } },
    by_id: { dimensions: ['id', 'colour'], metrics: { things: 'count(*)' } },
  },
};

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('things.csv', csv(rows)) });
  await data.put(MANY);
  await data.ingest('many', { things: data.file('one.csv', csv(rows.slice(0, 1))) });
  await data.put(HIDDEN);
  await data.ingest('hidden', { things: data.file('hidden.csv', csv(HIDDEN_ROWS)) });
  await data.ok(['dataset', 'put', join(sample, 'definition.json')], { tenant: 'dev' });
  await data.ingest('flights', { flights: join(sample, 'flights.parquet') });
  await data.ok(['tenant', 'put', 'long', '--requests-per-second', '1000000000']);
  await data.put(LONG, { tenant: 'long' });
  await data.ingest('long', { long: data.file('long.csv', csv(LONG_ROWS)) }, { tenant: 'long' });
  server = await data.serve();
  longest = await data.token({ tenant: 'long', scope: 'analytics:read' });
  token = await data.token({ scope: 'analytics:read data:read' });
});
after(() => server?.stop());

const url = (query = '') => `/v1/datasets/things/rollups/by_colour${query}`;

const expected = (chosen = () => true) => cellsByColour(rows.filter(chosen));

function assertCells(items, wanted) {
  assert.equal(items.length, wanted.length);
  items.forEach((item, i) => {
    for (const [name, value] of Object.entries(wanted[i])) {
      if (typeof value === 'number' && !Number.isInteger(value))
        assert.ok(Math.abs(item[name] - value) < 1e-12 * Math.max(1, Math.abs(value)), `${name} of ${JSON.stringify(item)}`);
      else assert.equal(item[name], value, `${name} of ${JSON.stringify(item)}`);
    }
    assert.deepEqual(Object.keys(item).sort(), Object.keys(wanted[i]).sort());
  });
}

test('every cell equals what the rows add up to', async () => {
  const reply = await server.get(url(), token);
  assert.equal(reply.status, 200, reply.text);
  const { dataset, rollup, version, complete, next, items } = reply.json;
  assert.deepEqual([dataset, rollup, version, complete, next], ['things', 'by_colour', 1, true, null]);
  assert.equal(reply.headers['everline-version'], '1');
  assertCells(items, expected());
});

test('a rollup without dimensions is one cell over everything', async () => {
  const { items } = (await server.get('/v1/datasets/things/rollups/total', token)).json;
  assert.deepEqual(items, totals(rows));
});

test('a dimension filters, and from and to bound the time', async () => {
  const colour = encodeURIComponent('say "white"');
  const one = (await server.get(url(`?colour=${colour}`), token)).json;
  assertCells(one.items, expected((row) => row.colour === 'say "white"'));
  const some = (await server.get(url('?colour=red&from=2024-02-01&to=2024-04-01'), token)).json;
  assertCells(some.items, expected((row) => row.colour === 'red' && row.made >= '2024-02' && row.made < '2024-04'));
  assert.equal(some.items.length, 2);
  assert.deepEqual((await server.get(url('?colour=nothing'), token)).json.items, []);
});

/** All items of a query, asked for `limit` at a time. */
async function paged(query, limit, whole) {
  const items = [];
  let cursor = null, pages = 0;
  do {
    const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    const reply = await server.get(url(`?limit=${limit}${query}${more}`), token);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.complete, reply.json.next === null);
    assert.ok(reply.json.items.length <= limit);
    items.push(...reply.json.items);
    cursor = reply.json.next;
    pages += 1;
  } while (cursor && pages < whole);
  assert.equal(pages, Math.ceil(whole / limit));
  return items;
}

test('pages join to the whole, without gaps and without repeats', async () => {
  const whole = (await server.get(url(), token)).json.items;
  for (const limit of [1, 7, whole.length - 1, whole.length])
    assert.deepEqual(await paged('', limit, whole.length), whole);
});

test('cells come in the order of any metric, dimension or time, either way, and pages join', async () => {
  const whole = (await server.get(url(), token)).json.items;
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  for (const name of Object.keys(whole[0])) {
    for (const sign of [1, -1]) {
      const isMetric = !['colour', 'made'].includes(name);
      const before = ({ [name]: a }, { [name]: b }) => {
        if (a === null || b === null) // of a dimension, null is the smallest; of a metric it is no value, and last
          return isMetric ? (a === null) - (b === null) : sign * ((b === null) - (a === null));
        return sign * compare(a, b);
      };
      const ordered = [...whole].sort(before), asked = `&order_by=${sign < 0 ? '-' : ''}${name}`;
      for (const limit of [1, 7, whole.length]) assert.deepEqual(await paged(asked, limit, whole.length), ordered, asked);
    }
  }
  const red = (await server.get(url('?order_by=-things&colour=red&from=2024-02-01&limit=2'), token)).json.items;
  const reds = whole.filter((item) => item.colour === 'red' && item.made >= '2024-02').sort((a, b) => b.things - a.things);
  assert.deepEqual(red, reds.slice(0, 2));
});

test('a hidden cell is last in the order of a metric, whichever way', async () => {
  const colours = async (by) => (await server.get(`/v1/datasets/hidden/rollups/by_colour?order_by=${by}`, token)).json.items
    .map((item) => (item.suppressed ? `(${item.colour})` : item.colour)).join(' ');
  assert.equal(await colours('things'), 'b a (c) (d)');
  assert.equal(await colours('-things'), 'a b (c) (d)');
  assert.equal(await colours('-colour'), '(d) (c) b a');
});

test('no more cells are put into another order than a page may cost', async () => {
  const read = (path) => server.get(`/v1/datasets/many/rollups/${path}`, token);
  for (const path of ['by_id?order_by=id', 'by_id?order_by=-things', 'by_colour?order_by=things', 'by_colour?order_by=made'])
    assertProblem(await read(path), 400, 'TOO_MANY_CELLS');
  for (const path of ['by_id?limit=1', 'by_colour?order_by=-colour&limit=1']) assert.equal((await read(path)).json.items.length, 1);
});

test('a page ends where it has cost enough, and the next one goes on, in JSON and CSV', async () => {
  const path = '/v1/datasets/many/rollups/by_id?limit=10&';
  const all = async (filter, accept) => {
    const pages = [];
    for (let cursor = ''; cursor !== null;) {
      const reply = await server.get(`${path}${filter}${cursor}`, token, { accept }), csv = accept === 'text/csv';
      assert.equal(reply.status, 200, reply.text);
      pages.push(csv ? reply.text.split('\r\n').slice(1, -1).map((line) => line.split(',')[0]) : reply.json.items.map(({ id }) => id));
      const next = csv ? reply.headers['everline-next'] ?? null : reply.json.next;
      assert.equal(csv ? reply.headers['everline-complete'] : `${reply.json.complete}`, `${next === null}`);
      cursor = next && `&cursor=${next}`;
    }
    return pages;
  };
  for (const accept of ['application/json', 'text/csv']) {
    assert.deepEqual(await all('colour=none', accept), [[], []]);
    assert.deepEqual(await all('colour=7', accept), [['50008', '7'], []]);
    assert.deepEqual(await all('id=99999', accept), [['99999']]);
    assert.deepEqual(await all('id=99999&colour=none', accept), [[]]);
  }
});

test('only the metrics that are asked for are given, in JSON and CSV', async () => {
  const whole = (await server.get(url(), token)).json.items, asked = url('?metrics=mean,things&limit=1000');
  const reply = await server.get(asked, token);
  assert.deepEqual(reply.json.items, whole.map(({ colour, made, things: count, mean }) => ({ colour, made, things: count, mean })));
  const lines = (await server.get(asked, token, { accept: 'text/csv' })).text.split('\r\n');
  assert.deepEqual(lines[0].split(',').sort(), ['colour', 'made', 'mean', 'suppressed', 'things']);
  assert.deepEqual([...new Set(lines.slice(1, -1).map((line) => line.replace(/"[^"]*(""[^"]*)*"/g, '').split(',').length))], [5]);
  assert.notEqual(reply.headers.etag, (await server.get(url('?limit=1000'), token)).headers.etag);
  const total = await server.get('/v1/datasets/things/rollups/total?metrics=weight', token);
  assert.deepEqual(total.json.items, totals(rows).map(({ weight }) => ({ weight })));
  assert.equal((await server.get(url('?metrics=mean&order_by=-heaviest&limit=1'), token)).json.items[0].mean !== undefined, true);
});

test('a page of CSV has all its headers, however long its cursor is', async () => {
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const headers = { accept: 'text/csv', 'accept-encoding': 'gzip', 'x-request-id': 'r'.repeat(64), traceparent: `00-${trace}-b7ad6b7169203331-01` };
  const lines = [];
  let cursor = '', pages = 0;
  do {
    const reply = await server.get(`/v1/datasets/long/rollups/by_all?limit=4${cursor && `&cursor=${cursor}`}`, longest, headers);
    assert.equal(reply.status, 200, reply.text);
    const has = reply.headers;
    assert.equal(has['content-type'], 'text/csv; charset=utf-8');
    assert.equal(has['x-request-id'], headers['x-request-id']);
    assert.equal(has.traceparent?.split('-')[1], trace);
    for (const name of ['everline-version', 'cache-control', 'etag', 'vary', 'ratelimit', 'ratelimit-policy']) assert.ok(has[name], name);
    assert.equal(has['everline-complete'], String(!has['everline-next']));
    if (pages === 0) {
      assert.equal(has['content-encoding'], 'gzip');
      assert.equal(has['everline-next'].split('.')[2].length, 2 * 511);
    }
    lines.push(...reply.text.trimEnd().split(/\r?\n/).slice(1));
    cursor = has['everline-next'];
    pages += 1;
  } while (cursor);
  assert.equal(pages, 3);
  assert.deepEqual(lines, LONG_ROWS.map((row) => `${row.first},${row.second},${row.third},1,false`));
});

test('the size of a page may change from page to page', async () => {
  const whole = (await server.get(url(), token)).json.items;
  const first = (await server.get(url('?limit=2'), token)).json;
  const rest = await server.get(url(`?cursor=${first.next}&limit=1000`), token);
  assert.deepEqual([...first.items, ...rest.json.items], whole);
  const tags = await Promise.all([1, 2, 3].map(async (limit) => (await server.get(url(`?cursor=${first.next}&limit=${limit}`), token)).headers.etag));
  assert.equal(new Set([...tags, rest.headers.etag]).size, 4);
});

test('a cursor belongs to its query', async () => {
  const { next } = (await server.get(url('?limit=2'), token)).json;
  const other = encodeURIComponent(next);
  assertProblem(await server.get(url(`?limit=2&colour=red&cursor=${other}`), token), 400, 'INVALID_CURSOR');
  assertProblem(await server.get(url('?limit=2&cursor=zzz'), token), 400, 'INVALID_CURSOR');
  assertProblem(await server.get(url(`?limit=2&order_by=things&cursor=${other}`), token), 400, 'INVALID_CURSOR');
  const ordered = (await server.get(url('?limit=2&order_by=things'), token)).json.next;
  for (const tuple of ['00', 'ff', `${ordered.split('.')[2]}00`]) { // no cell has it: in front of all, behind all, between
    const made = ordered.replace(/[^.]*$/, tuple);
    assertProblem(await server.get(url(`?limit=2&order_by=things&cursor=${made}`), token), 400, 'INVALID_CURSOR');
  }
});

test('what is not in the rollup is refused by name', async () => {
  const problem = assertProblem(await server.get(url('?weight=3'), token), 400, 'UNKNOWN_PARAMETER');
  assert.ok(problem.detail.includes('weight'));
  assertProblem(await server.get(url('?from=yesterday'), token), 400);
  for (const metrics of ['', 'shape', 'things,', ',things', 'things,shape', 'thing', 'Things', 'colour'])
    assertProblem(await server.get(url(`?metrics=${metrics}`), token), 400, metrics ? 'UNKNOWN_METRIC' : undefined);
  for (const order of ['', '-', 'shape', '--things', 'things,mean', '+things'])
    assertProblem(await server.get(url(`?order_by=${encodeURIComponent(order)}`), token), 400, order ? 'UNKNOWN_ORDER' : undefined);
  assertProblem(await server.get('/v1/datasets/things/rollups/total?order_by=made', token), 400, 'UNKNOWN_ORDER');
  assertProblem(await server.get('/v1/datasets/things/rollups/total?from=2024-01-01', token), 400);
  assertProblem(await server.get(url('?limit=0'), token), 400);
  assertProblem(await server.get(url('?limit=1001'), token), 400);
  assertProblem(await server.get(url('?limit=many'), token), 400);
  assertProblem(await server.get('/v1/datasets/things/rollups/by_shape', token), 404, 'UNKNOWN_ROLLUP');
});

test('the rollups of a dataset are listed with their dimensions, time and metrics', async () => {
  const list = (await server.get('/v1/datasets/things/rollups', token)).json;
  for (const item of list.items) item.metrics.sort();
  assert.deepEqual(list, {
    dataset: 'things', version: 1, next: null, complete: true,
    items: [
      { name: 'by_colour', dimensions: [{ name: 'colour', type: 'VARCHAR' }],
        time: { name: 'made', type: 'DATE', bucket: 'month' },
        metrics: Object.keys(THINGS.rollups.by_colour.metrics).sort(),
        grouping_sets: [{ dimensions: ['colour'], time: true }], min_cell: 0 },
      { name: 'total', dimensions: [], time: null, metrics: ['things', 'weight'],
        grouping_sets: [{ dimensions: [], time: false }], min_cell: 0 },
    ],
  });
});

test('real flights: count, mean delay and share delayed by origin and month', async () => {
  const { items, complete } = (await server.get('/v1/datasets/flights/rollups/by_origin', token)).json;
  assert.equal(complete, true);
  const wanted = Object.entries(FLIGHTS).flatMap(([origin, months]) => months.map(
    ([flights, delay, late], i) => ({
      origin, departed_at: `2001-0${i + 1}-01T00:00:00`, flights, mean_delay: delay / flights,
      share_delayed: late / flights,
    })));
  items.forEach((item) => { item.departed_at = item.departed_at.slice(0, 19); });
  assertCells(items, wanted);
});

test('flights are found by the key that prepare makes', async () => {
  const key = '2001-01-01T0001-ATL-SAV-1';
  const reply = await server.get(`/v1/datasets/flights/records/${key}`, token);
  assert.equal(reply.status, 200, reply.text);
  const { record } = reply.json;
  assert.equal(record.flight, key);
  assert.equal(record.origin, 'ATL');
  assert.equal(record.destination, 'SAV');
});
