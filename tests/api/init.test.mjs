// A definition from samples: what is printed is taken as it is, and serves the files that it was made from.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Data, everline } from '../kit/everline.mjs';

let data;
before(async () => { data = await Data.make('dev'); });

async function init(...paths) {
  const result = await everline(['dataset', 'init', ...paths]);
  assert.equal(result.code, 0, result.stderr);
  const definition = JSON.parse(result.stdout);
  const check = await everline(['dataset', 'check', data.file('drafted.json', result.stdout)]);
  assert.equal(check.code, 0, `${check.stderr}${result.stdout}`);
  return definition;
}

const ROWS = [
  { 'Order No': 'a1', price: 1.5, count: 7, paid: true, on: '2020-01-31', zip: '00501', limit: 'x' },
  { 'Order No': 'a2', price: 20, count: null, paid: false, on: '2020-02-29', zip: '10001', limit: 'y' },
];
const PREPARE = 'SELECT "Order No" AS "order_no", "price" AS "price", "count" AS "count", "paid" AS "paid", "on" AS "on", '
  + '"zip" AS "zip", "limit" AS "limit_" FROM "orders_2020"';
const TYPES = { 'Order No': 'VARCHAR', price: 'DOUBLE', count: 'BIGINT', paid: 'BOOLEAN', on: 'DATE', zip: 'VARCHAR', limit: 'VARCHAR' };
const RECORD = { price: 'DOUBLE', count: 'BIGINT', paid: 'BOOLEAN', on: 'DATE', zip: 'VARCHAR', limit_: 'VARCHAR' };
const lines = (delimiter) => [Object.keys(ROWS[0]), ...ROWS.map((row) => Object.values(row))]
  .map((cells) => cells.join(delimiter)).join('\r\n');

async function serves(definition, path) {
  const [name] = Object.keys(definition.sources);
  await data.put(definition);
  const row = await data.ingest(definition.name, { [name]: path });
  assert.equal(row.rows.accepted, 2);
  const { record } = JSON.parse(await data.ok(['get', `/v1/datasets/${definition.name}/records/a2`], { tenant: 'dev' }));
  assert.deepEqual(record, { order_no: 'a2', price: 20, count: null, paid: false, on: '2020-02-29', zip: '10001', limit_: 'y' });
}

test('CSV with semicolons', async () => {
  const path = data.file('Orders 2020.csv', lines(';'));
  const definition = await init(path);
  assert.equal(definition.name, 'orders_2020');
  assert.deepEqual(definition.sources, { orders_2020: { format: 'csv', delimiter: ';', columns: TYPES, columns_complete: true } });
  assert.equal(definition.prepare, PREPARE);
  assert.deepEqual(definition.key, { fields: ['order_no'], protect: 'none' });
  assert.deepEqual(definition.record, RECORD);
  await serves(definition, path);
});

test('NDJSON, compressed', async () => {
  const path = data.file('orders_2020.ndjson.gz', gzipSync(ROWS.map((row) => JSON.stringify(row)).join('\n')));
  const definition = await init(path);
  const { count, ...types } = TYPES;
  assert.deepEqual(definition.sources, { orders_2020: { format: 'ndjson', columns: { ...types, count } } });
  await serves({ ...definition, name: 'lines' }, path);
});

test('several files are several sources, the first is prepared', async () => {
  const definition = await init(data.file('a.csv', lines(',')), data.file('a.tsv', lines('\t')), data.file('9.csv', 'x\n'));
  assert.deepEqual(Object.keys(definition.sources), ['a', 'a_2', 'c9']);
  assert.equal(definition.sources.a_2.delimiter, '\t');
  assert.match(definition.prepare, / FROM "a"$/);
});

test('a column that begins with empty cells has the type of the others', async () => {
  const empty = Array.from({ length: 1000 }, (_, i) => ({ id: `e${i}`, on: null, count: null }));
  const rows = [...empty, { id: 'a', on: '2020-01-31', count: 7 }];
  const wanted = { id: 'VARCHAR', on: 'DATE', count: 'BIGINT' };
  const path = data.file('late.csv', ['id,on,count', ...rows.map(({ id, on, count }) => `${id},${on ?? '""'},${count ?? ''}`)].join('\n'));
  const definition = await init(path);
  assert.deepEqual(definition.sources.late.columns, wanted);
  await data.put(definition);
  assert.equal((await data.ingest('late', { late: path })).rows.accepted, rows.length);
  const lines = await init(data.file('later.ndjson', rows.map((row) => JSON.stringify(row)).join('\n')));
  assert.deepEqual(lines.sources.later.columns, wanted);
});

test('what ingest reads can be drafted: a byte order mark, an integer of any size, what only looks like a date', async () => {
  const text = '\ufeff{"id":"a","n":12345678901234567890,"on":"0000-00-00","x":1.5}\n   ';
  const path = data.file('odd.ndjson', text);
  const definition = await init(path);
  assert.deepEqual(definition.sources.odd.columns, { id: 'VARCHAR', n: 'VARCHAR', on: 'VARCHAR', x: 'DOUBLE' });
  await data.put(definition);
  assert.equal((await data.ingest('odd', { odd: path })).rows.accepted, 1);
  const { record } = JSON.parse(await data.ok(['get', '/v1/datasets/odd/records/a'], { tenant: 'dev' }));
  assert.deepEqual(record, { id: 'a', n: '12345678901234567890', on: '0000-00-00', x: 1.5 });
  assert.equal((await init(data.file('days.csv', 'id,on\na,2021-02-29\n'))).sources.days.columns.on, 'VARCHAR');
});

test('files of which nothing can be made', async () => {
  for (const [path, place] of [[data.file('empty.csv', ''), /empty\.csv/], [data.file('twice.csv', 'a,A\n1,2\n'), /twice\.csv/],
    [data.file('bad.ndjson', '{"a":1}\n{"a"\n'), /bad\.ndjson:2/], [`${data.files}/none.csv`, /none\.csv/],
    [data.file('x.parquet', 'PAR1 not really'), /x\.parquet/]]) {
    const result = await everline(['dataset', 'init', path]);
    assert.equal(result.code, 1, result.stdout);
    assert.match(result.stderr, place);
    assert.equal(result.stdout, '');
  }
});
