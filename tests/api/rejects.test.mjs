// Records that cannot be read: left out up to a ratio, and reported by their places, never by what is in them.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Data } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { tempDir } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, token;
const lines = csv(things(1000)).trimEnd().split('\n');
const BROKEN = [...lines.slice(0, 500), 'Qwertz', 't2,Qwertz,Qwertz,2020-01-01,Qwertz', ...lines.slice(500), 't3,Qwertz,12.5,'].join('\n');
const definition = (changes = {}) => ({
  ...THINGS, name: 'lossy', sources: { things: { format: 'csv', columns: { weight: 'INTEGER' }, max_reject_ratio: 0.01, ...changes } },
});
const ITEMS = [
  { source: 'things', file: 'broken.csv', line: 501, column: 2, rule: 'CSV_SHORT_ROW' },
  { source: 'things', file: 'broken.csv', line: 502, column: 5, rule: 'CSV_LONG_ROW' },
  { source: 'things', file: 'broken.csv', line: 1004, column: 3, rule: 'CSV_CAST' },
];
const RULES = [{ rule: 'CSV_SHORT_ROW', rows: 1 }, { rule: 'CSV_LONG_ROW', rows: 1 }, { rule: 'CSV_CAST', rows: 1 }];

before(async () => {
  data = await Data.make('dev');
  server = await data.serve();
  token = await data.token({ scope: 'data:read ingest:write' });
});
after(() => server?.stop());

const rejects = (version, query = '', bearer = token) =>
  server.request('GET', `/v1/datasets/lossy/versions/${version}/rejects${query}`, { token: bearer });
const assertRefused = ({ status, json }, wanted, code) => assert.deepEqual([status, json.code], [wanted, code]);

test('a version without some records serves the others, and says which are missing', async () => {
  await data.put(definition());
  const row = await data.ingest('lossy', { things: data.file('broken.csv', BROKEN) });
  const { read, parsed, unparsable, prepared, accepted } = row.rows;
  assert.deepEqual([read, parsed, unparsable, prepared, accepted], [1003, 1000, 3, 1000, 1000]);
  assert.deepEqual(row.rejects, { unparsable: 3, rejected: 0, rules: RULES, listed: 3 });
  const { status, json } = await rejects(1);
  assert.equal(status, 200);
  assert.deepEqual(json, { dataset: 'lossy', version: 1, unparsable: 3, rejected: 0, listed: 3, rules: RULES, items: ITEMS, next: null, complete: true });
  const shown = JSON.parse(await data.ok(['rejects', 'lossy', '1', '--output', 'json'], { tenant: 'dev' }));
  assert.deepEqual(shown.items, ITEMS);
  assert.match(await data.ok(['rejects', 'lossy', '1'], { tenant: 'dev' }), /broken\.csv +502 +5 +CSV_LONG_ROW +things/);
});

test('the list comes in pages', async () => {
  const seen = [];
  let query = '?limit=2';
  for (let pages = 1; ; pages++) {
    const { json } = await rejects(1, query);
    seen.push(...json.items);
    assert.equal(json.complete, json.next === null);
    if (!json.next) {
      assert.equal(pages, 2);
      break;
    }
    query = `?limit=2&cursor=${json.next}`;
  }
  assert.deepEqual(seen, ITEMS);
  for (const cursor of ['0', '01', 'x', '-1', '99999999999999999999'])
    assertRefused(await rejects(1, `?cursor=${cursor}`), 400, 'INVALID_CURSOR');
});

test('a batch that fails for its rejects has the report, too, and no value in it', async () => {
  await data.put(definition({ max_reject_ratio: 0.002 }));
  const result = await data.ingestCli('lossy', { things: data.file('broken.csv', BROKEN) });
  assert.equal(result.code, 1);
  assert.match(result.stderr, /broken\.csv line 501 has fewer fields.*3 of 1003 records/);
  assert.match(result.stderr, /also .*broken\.csv:502:5, .*broken\.csv:1004:3/);
  assert.match(result.stderr, /max_reject_ratio/);
  const [row] = await data.versions('lossy');
  assert.equal(row.state, 'FAILED');
  assert.equal(row.error.code, 'CSV_SHORT_ROW');
  const { json } = await rejects(2);
  assert.deepEqual(json.items, ITEMS);
  for (const text of [result.stderr, JSON.stringify(row), JSON.stringify(json), server.log])
    assert.ok(!text.includes('Qwertz'));
  for (const path of filesBelow(data.directory))
    assert.ok(!existsSync(path) || !readFileSync(path).includes('Qwertz'), path);
});

test('a dry run tells the rejects', async () => {
  await data.put(definition());
  const path = data.file('broken.csv', BROKEN);
  const args = ['ingest', 'lossy', '--source', path, '--dry-run'];
  const text = await data.ok(args, { tenant: 'dev' });
  assert.match(text, /rejected by CSV_LONG_ROW: 1\n/);
  assert.match(text, / {2}broken\.csv:1004:3 CSV_CAST\n/);
  const report = JSON.parse(await data.ok([...args, '--output', 'json'], { tenant: 'dev' }));
  assert.deepEqual(report.rejects.places, ITEMS);
});

test('of more than a thousand the first are listed, and all counted', async () => {
  await data.put(definition({ max_reject_ratio: 1 }));
  const text = [lines[0], ...Array(3000).fill('Qwertz'), ...lines.slice(1)].join('\n');
  const row = await data.ingest('lossy', { things: data.file('many.csv', text) });
  assert.equal(row.rejects.unparsable, 3000);
  assert.equal(row.rejects.listed, 1000);
  const { json } = await rejects(row.version, '?limit=1000');
  assert.deepEqual(json.items.map((item) => item.line), Array.from({ length: 1000 }, (_, i) => i + 2));
  assert.equal(json.next, null);
  assert.equal(json.complete, false, '2,000 are not listed');
});

const dates = (name, source, prepare = 'SELECT * FROM dates') => ({ name, sources: { dates: { format: 'csv', ...source } }, prepare,
  key: { fields: ['id'] }, record: { made: 'DATE' } });

test('of prepared rows it says by which rule, and where they come from when each is one record', async () => {
  const rows = data.file('dates.csv', 'id,made\n1,2024-02-30\n2,2024-02-28\n3,Qwertz\n');
  await data.put({ ...dates('picked'), max_reject_ratio: 1 });
  await data.ingest('picked', { dates: rows });
  const picked = await data.cli(['rejects', 'picked', '1'], { tenant: 'dev' });
  assert.match(picked.stdout, /dates\.csv +2 +- +cast_made +dates\n.*dates\.csv +4 +- +cast_made +dates\n$/);
  assert.equal(picked.stderr, '0 could not be read, 0 of them are listed\n2 were rejected after "prepare", 2 of them are listed\n  cast_made: 2\n');
  await data.put({ ...dates('counted', {}, 'SELECT DISTINCT * FROM dates'), max_reject_ratio: 1 });
  await data.ingest('counted', { dates: rows });
  const counted = await data.cli(['rejects', 'counted', '1'], { tenant: 'dev' });
  assert.equal(counted.stdout, 'FILE  LINE  COLUMN  RULE  SOURCE\n');
  assert.match(counted.stderr, /^0 could not be read, 0 of them are listed\n2 were rejected after "prepare", none of them is listed: .*"columns".*\n {2}cast_made: 2\n$/);
  const { json } = await server.request('GET', '/v1/datasets/counted/versions/1/rejects', { token });
  assert.deepEqual([json.rejected, json.listed, json.items, json.complete], [2, 0, [], false], 'it says that some are missing');
});

test('a batch that fails for its prepared rows says where they come from, a declared type in which column', async () => {
  const rows = data.file('dates.csv', 'id,made\n1,2024-02-30\n2,2024-02-28\n3,Qwertz\n');
  await data.put(dates('strict'));
  const strict = await data.ingestCli('strict', { dates: rows });
  assert.equal(strict.code, 1);
  assert.match(strict.stderr, /2 of 3 prepared rows were rejected: cast_made 2\n.*the first rejected rows: \S*dates\.csv:2 cast_made, \S*dates\.csv:4 cast_made$/m);
  const long = data.file(`${'n'.repeat(120)}.csv`, 'id,made\n1,2024-02-30\n2,Qwertz\n');
  assert.match((await data.ingestCli('strict', { dates: long })).stderr, /"max_reject_ratio" says how many may be; the first rejected rows: /);
  const { json } = await server.request('GET', '/v1/datasets/strict/versions/1/rejects', { token });
  assert.deepEqual(json.items.map(({ line, column, rule }) => [line, column, rule]), [[2, null, 'cast_made'], [4, null, 'cast_made']]);
  for (const text of [strict.stderr, JSON.stringify(json), server.log]) assert.ok(!text.includes('Qwertz'));
  await data.put(dates('joined', {}, 'SELECT * FROM dates JOIN (SELECT 1) ON true'));
  const joined = await data.ingestCli('joined', { dates: rows });
  assert.match(joined.stderr, /2 of 3 prepared rows were rejected: cast_made 2\n.*"columns", file and line are told/);
  await data.put({ ...dates('placed', { columns: { made: 'DATE' }, max_reject_ratio: 1 }) });
  await data.ingest('placed', { dates: rows });
  const placed = await data.cli(['rejects', 'placed', '1'], { tenant: 'dev' });
  assert.match(placed.stdout, /dates\.csv +2 +2 +CSV_CAST +dates\n.*dates\.csv +4 +2/);
  assert.match(placed.stderr, /^2 could not be read, 2 of them are listed\n {2}CSV_CAST: 2\n$/);
});

test('places are those in the files as they are read: of a pattern, inflated, behind what could not be read', async () => {
  const rows = (from, bad) => `id,made\n${Array.from({ length: 5000 }, (_, i) => `${from + i},${i % bad ? '2024-02-28' : 'Qwertz'}`).join('\n')}\n`;
  data.file('part-1.csv', rows(1, 2500));
  data.file('part-2.csv.gz', gzipSync(rows(10000, 4000)));
  data.file('part-3.csv', 'made,id\n"Qwertz\n",20000\nQwertz\nQwertz,20001\n');
  await data.put({ ...dates('parts', { max_reject_ratio: 1 }, 'SELECT id, upper(made) AS made FROM dates WHERE id <> \'10000\''), max_reject_ratio: 1 });
  const row = await data.ingest('parts', { dates: join(data.files, 'part-*') });
  const { unparsable, prepared, accepted, rejected } = row.rows;
  assert.deepEqual([unparsable, prepared, accepted, rejected], [1, 10001, 9996, 5]);
  const { json } = await server.request('GET', '/v1/datasets/parts/versions/1/rejects', { token });
  assert.deepEqual(json.items.map(({ file, line, rule }) => `${file}:${line} ${rule}`), [
    'part-3.csv:4 CSV_SHORT_ROW', 'part-1.csv:2 cast_made', 'part-1.csv:2502 cast_made', 'part-2.csv.gz:4002 cast_made',
    'part-3.csv:2 cast_made', 'part-3.csv:5 cast_made',
  ]);
  assert.deepEqual([json.listed, json.complete], [6, true]);
  const job = (await data.json(['jobs', 'list'])).items.find(({ dataset }) => dataset === 'parts');
  assert.ok(!JSON.stringify(job).includes('Qwertz'));
});

test('who may read versions may not read rejects; of others they are not there', async () => {
  const reader = await data.token({ scope: 'data:read' });
  assertRefused(await rejects(1, '', reader), 403, 'SCOPE_MISSING');
  assertRefused(await rejects(77), 404, 'UNKNOWN_VERSION');
  assertRefused(await server.request('GET', '/v1/datasets/nothing/versions/1/rejects', { token }), 404, 'UNKNOWN_DATASET');
});

test('a backup has them', async () => {
  const copy = new Data(join(tempDir('restored'), 'data')), backups = tempDir('backups');
  await data.ok(['backup', '--to', backups]);
  await copy.ok(['restore', '--from', backups]);
  assert.deepEqual((await copy.json(['rejects', 'lossy', '1'])).items, ITEMS);
});
