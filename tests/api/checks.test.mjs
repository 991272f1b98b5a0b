// Checks and gates: what they refuse or hold, what the version's row says, and how it is let go.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Data, everline } from '../kit/everline.mjs';
import { leftovers } from '../kit/files.mjs';
import { until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const GATED = {
  ...THINGS,
  checks: [
    { name: 'light', expect: 'weight < 1000', on_fail: 'reject', max_ratio: 0.5 },
    { name: 'enough', metric: 'count(*)', min: 3 },
  ],
  gates: [
    { name: 'row_drift', metric: 'count(*)', max_change_ratio: 0.2 },
    { name: 'colourless', null_rate: 'colour', max_change: 0.5 },
  ],
};
let data, server, token;

before(async () => {
  data = await Data.make('dev');
  await data.put(GATED);
  await data.put({ ...THINGS, name: 'plain' });
  await data.ingest('things', { things: data.file('a.csv', csv(things(10))) });
  await data.ingest('plain', { things: data.file('b.csv', csv(things(10))) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const current = async (dataset = 'things') => (await server.get(`/v1/datasets/${dataset}`, token)).json.current;

test('a change beyond a gate is held, exit 4, until somebody promotes it with a reason', async () => {
  const held = await data.ingestCli('things', { things: data.file('c.csv', csv(things(14))) });
  assert.equal(held.code, 4, held.stderr);
  assert.match(held.stderr, /gate row_drift: 14, was 10/);
  const row = JSON.parse(held.stdout);
  assert.equal(row.state, 'HELD');
  assert.deepEqual(row.gates.map(({ name, state, value, previous }) => ({ name, state, value, previous })), [
    { name: 'row_drift', state: 'held', value: 14, previous: 10 },
    { name: 'colourless', state: 'passed', value: row.gates[1].value, previous: row.gates[1].previous },
  ]);
  assert.equal(await current(), 1);
  await data.ok(['promote', 'things', '2', '--reason', 'checked by hand'], { tenant: 'dev' });
  assert.equal(await current(), 2);
  // Now judged against the one that was promoted.
  const next = await data.ingest('things', { things: data.file('d.csv', csv(things(15))) });
  assert.equal(next.outcome, 'flipped');
  assert.equal(next.gates[0].previous, 14);
});

test('values of a gate are told as the row has them', async () => {
  await data.put({ name: 'exact', sources: { n: { format: 'csv', columns: { x: 'DOUBLE' } } }, prepare: 'SELECT * FROM n',
    key: { fields: ['id'], protect: 'none' }, record: { x: 'DOUBLE' }, gates: [{ name: 'mean', metric: 'avg(x)', max_change: 0.01 }] });
  await data.ingest('exact', { n: data.file('m.csv', 'id,x\na,1\nb,1\nc,2\n') });
  const held = await data.ingestCli('exact', { n: data.file('n.csv', 'id,x\na,1\nb,2\nc,2\n') });
  assert.equal(held.code, 4, held.stderr);
  assert.match(held.stderr, /gate mean: 1\.6666666666666667, was 1\.3333333333333333$/m);
  assert.match(held.stdout, /"value": 1\.6666666666666667\b/);
});

test('a check that fails the batch: FAILED, exit 4, with its report', async () => {
  const before = await current();
  const failed = await data.ingestCli('things', { things: data.file('e.csv', csv(things(2))) });
  assert.equal(failed.code, 4, failed.stderr);
  assert.match(failed.stderr, /check enough failed/);
  const row = JSON.parse(failed.stdout);
  assert.equal(row.state, 'FAILED');
  assert.equal(row.error.code, 'CHECK_FAILED');
  assert.equal(row.error.place, '/checks/1');
  assert.deepEqual(row.checks.map(({ name, state }) => [name, state]), [['light', 'passed'], ['enough', 'failed']]);
  assert.equal(await current(), before);
});

test('rows that a check rejects are in the ledger and not in the version', async () => {
  const rows = things(16).map((thing, i) => (i < 2 ? { ...thing, weight: 5000 } : thing));
  const row = await data.ingest('things', { things: data.file('f.csv', csv(rows)) });
  assert.equal(row.rows.prepared, 16);
  assert.equal(row.rows.accepted, 14);
  assert.equal(row.rows.rejected, 2);
  assert.deepEqual(row.rejects.rules, [{ rule: 'light', rows: 2 }]);
  assert.equal(row.checks[0].state, 'rejected');
  const job = JSON.parse(await data.ok(['get', `/v1/jobs/${row.job}`], { tenant: 'dev' }));
  assert.deepEqual(job.timeline.map(({ phase }) => phase),
    ['reading', 'preparing', 'checking', 'sorting', 'building', 'verifying', 'warming']);
  await until('the rejected record is gone', async () =>
    (await server.get('/v1/datasets/things/records/t00000', token)).status === 404);
});

test('a version without rows is held where there were some, gates or no gates', async () => {
  const held = await data.ingestCli('plain', { things: data.file('g.csv', 'id,colour,weight,made\n') });
  assert.equal(held.code, 4, held.stderr);
  assert.match(held.stderr, /gate not_empty: 0, was 10/);
  assert.equal(await current('plain'), 1);
  await data.ok(['promote', 'plain', '2', '--reason', 'it is empty now'], { tenant: 'dev' });
  assert.equal(await current('plain'), 2);
});

test('a first version is judged by limits alone', async () => {
  await data.put({ ...GATED, name: 'first', checks: [], gates: [...GATED.gates, { name: 'few', metric: 'count(*)', max: 5 }] });
  const held = await data.ingestCli('first', { things: data.file('h.csv', csv(things(6))) });
  assert.equal(held.code, 4, held.stderr);
  const row = JSON.parse(held.stdout);
  assert.deepEqual(row.gates.map(({ state }) => state), ['new', 'new', 'held']);
});

test('a dry run judges and compares, and changes nothing', async () => {
  const before = { versions: await data.versions('plain'), files: leftovers(data) };
  const dry = async (count, ...more) => data.cli(['ingest', 'plain', '--dry-run', '--source', data.file('dry.csv', csv(things(count))), ...more],
                                                 { tenant: 'dev' });
  await data.ingest('plain', { things: data.file('p.csv', csv(things(10))) });
  before.versions = await data.versions('plain');
  before.files = leftovers(data);
  const result = await dry(12, '--output', 'json');
  assert.equal(result.code, 0, result.stderr);
  const report = JSON.parse(result.stdout);
  assert.equal(report.rows.accepted, 12);
  assert.equal(report.current, before.versions[0].version);
  assert.equal(report.diff.records.added, 2);
  assert.equal(report.diff.records.unchanged, 10);
  assert.equal(report.diff.rollups.find((rollup) => rollup.name === 'total').metrics[0].after, 12);
  assert.match((await dry(12)).stdout, /not published; 12 rows read, 12 accepted.*\n.*2 added, 0 removed, 0 changed/);
  const empty = await data.cli(['ingest', 'plain', '--dry-run', '--source', data.file('none.csv', 'id,colour,weight,made\n')], { tenant: 'dev' });
  assert.equal(empty.code, 4, empty.stderr);
  assert.match(empty.stdout, /gate not_empty: held/);
  const refused = await data.cli(['ingest', 'things', '--dry-run', '--source', data.file('two.csv', csv(things(2)))], { tenant: 'dev' });
  assert.equal(refused.code, 4, refused.stderr);
  assert.match(refused.stdout, /check enough: failed/);
  assert.deepEqual(await data.versions('plain'), before.versions);
  assert.deepEqual(leftovers(data), before.files);
});

test('a definition can be checked without being put', async () => {
  const complete = { ...THINGS.sources.things, columns_complete: true, columns: { id: 'VARCHAR', colour: 'VARCHAR', weight: 'INTEGER', made: 'DATE' } };
  const good = await everline(['dataset', 'check', data.file('good.json', JSON.stringify({ ...GATED, sources: { things: complete } }))]);
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /good definition of dataset things\n$/);
  const unbound = await everline(['dataset', 'check', data.file('open.json', JSON.stringify(GATED))]);
  assert.equal(unbound.code, 0, unbound.stderr);
  assert.match(unbound.stdout, /good definition of dataset things\nwhich columns the source things has, its files say: /);
  for (const [definition, place] of [
    [{ ...GATED, checks: [{ expect: 'weight <' }] }, '/checks/0/expect'],
    [{ ...GATED, gates: [{ name: 'g', metric: 'median(x)', min: 1 }] }, '/gates/0/metric'],
    [{ ...GATED, prepare: 'SELECT 1; SELECT 2' }, '/prepare'],
    [{ ...GATED, record: { ...GATED.record, version: 'VARCHAR' } }, 'hint: it is a parameter of requests: give it another name in prepare, version AS the_version'],
    [{ ...GATED, sources: { things: { ...complete, columns: { ...complete.columns, weight: 'INTEGRE' } } } },
      'INTEGRE is not a type\n  at /sources/things/columns/weight\n  hint: types are DuckDB\'s'],
  ]) {
    const bad = await everline(['dataset', 'check', data.file('bad.json', JSON.stringify(definition))]);
    assert.equal(bad.code, 1);
    assert.ok(bad.stderr.includes(place), bad.stderr);
  }
});
