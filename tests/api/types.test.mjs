// Every type of a record, from text to JSON, and what is rejected for not being of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';

const ALL = {
  name: 'all',
  sources: { lines: { format: 'csv' } },
  prepare: "SELECT id, b, u, big, price, string_split(tags, ';') AS tags, string_split(counts, ';') AS counts, "
    + "CASE WHEN days IS NULL THEN NULL ELSE string_split(days, ';')::DATE[] END AS days, "
    + "string_split(seen, ';') AS times, string_split(reals, ';') AS reals FROM lines",
  key: { fields: ['id'] },
  record: {
    b: 'BOOLEAN', u: 'UTINYINT', big: 'UINTEGER', price: 'DECIMAL(12,2)', tags: 'VARCHAR[]', counts: 'SMALLINT[]',
    days: 'DATE[]', times: 'TIMESTAMP[]', reals: 'DOUBLE[]',
  },
  max_reject_ratio: 0.8,
  rollups: { by_price: { dimensions: ['price'], metrics: { n: 'count(*)', paid: 'sum(price)' } } },
};
const HEAD = 'id,b,u,big,price,tags,counts,days,seen,reals\n';
let data, server, token, row;

before(async () => {
  data = await Data.make('dev');
  await data.put(ALL);
  row = await data.ingest('all', {
    lines: data.file('all.csv', `${HEAD}a,true,255,4294967295,1234567890.12,"x;y ""z"";é",1;-2,2024-02-29;2024-03-01,2024-01-01 10:00:00;2024-01-01 10:00:00.000005,0.5;2
b,,,,-0.05,,,,,
c,true,256,,,,,,,
d,true,1,,12345678901.00,,,,,
e,true,1,,,,1;many,,,
f,true,1,,,,,,,1;nan
g,true,1,,,,,,2024-01-01;infinity,
i,true,1,,,,,,2024-01-01;2024-01-01 10:00:00+05,
h,true,1,,,,,9999-12-31;10000-01-01,,
`),
  });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const record = async (id) => (await server.get(`/v1/datasets/all/records/${id}`, token)).json.record;

test('values come back as they were, and rows that are not of their types are rejected', async () => {
  assert.equal(row.rows.accepted, 2);
  assert.deepEqual(row.rejects.rules, [
    { rule: 'cast_u', rows: 1 }, { rule: 'cast_price', rows: 1 }, { rule: 'cast_counts', rows: 1 },
    { rule: 'cast_days', rows: 1 }, { rule: 'cast_times', rows: 2 }, { rule: 'cast_reals', rows: 1 },
  ]);
  assert.deepEqual(await record('a'), {
    id: 'a', b: true, u: 255, big: 4294967295, price: 1234567890.12, tags: ['x', 'y "z"', 'é'], counts: [1, -2],
    days: ['2024-02-29', '2024-03-01'], times: ['2024-01-01T10:00:00Z', '2024-01-01T10:00:00.000005Z'], reals: [0.5, 2],
  });
  assert.deepEqual(await record('b'), {
    id: 'b', b: null, u: null, big: null, price: -0.05, tags: null, counts: null, days: null, times: null, reals: null,
  });
  const text = (await server.get('/v1/datasets/all/records/a', token)).text;
  assert.match(text, /"price":1234567890\.12,/);
});

test('a time of another offset is none where there are no offsets', async () => {
  await data.put({
    name: 'times', sources: { lines: { format: 'csv' } }, prepare: 'SELECT id, seen FROM lines',
    key: { fields: ['id'] }, record: { seen: 'TIMESTAMP' }, max_reject_ratio: 0.5,
  });
  const seen = ['2024-01-01T10:00:00Z', '2024-01-01 10:00:00+00:00', '2024-01-01T10:00:00-08:00'];
  const { rejects } = await data.ingest('times', { lines: data.file('times.csv', `id,seen\n${seen.map((t, i) => `${i},${t}\n`).join('')}`) });
  assert.deepEqual(rejects.rules, [{ rule: 'cast_seen', rows: 1 }]);
  assert.equal((await server.get('/v1/datasets/times/records/1', token)).json.record.seen, '2024-01-01T10:00:00Z');
});

test('a decimal can be a dimension and a filter', async () => {
  const page = (await server.get('/v1/datasets/all/rollups/by_price?price=-0.05', token)).json;
  assert.deepEqual(page.items, [{ price: -0.05, n: 1, paid: -0.05 }]);
  assert.deepEqual((await server.get('/v1/datasets/all/rollups/by_price', token)).json.items.map((cell) => cell.price),
                   [-0.05, 1234567890.12]);
});

test('changing a parameter of a type is a change of the type', async () => {
  const refused = await data.putCli({ ...ALL, record: { ...ALL.record, price: 'DECIMAL(12,3)' } });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /record\/price/);
});
