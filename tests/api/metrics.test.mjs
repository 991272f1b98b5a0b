// Rollups over HTTP: every kind of metric, grouping sets, and cells that are hidden.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { csv } from '../kit/samples.mjs';

const STATES = ['IA', 'OH'];
const PROGRAMS = ['A', 'B', 'C'];
const COUNTS = { 'IA A': 3, 'IA B': 50, 'IA C': 60, 'OH A': 20, 'OH B': 70, 'OH C': 80 };
const VISITS = {
  name: 'visits',
  sources: { visits: { format: 'csv' } },
  prepare: 'SELECT id, state, program, paid::DECIMAL(12,2) AS paid, weight::DOUBLE AS weight, doctor, day::DATE AS day FROM visits',
  key: { fields: ['id'] },
  record: { state: 'VARCHAR' },
  rollups: {
    by: {
      dimensions: ['state', 'program'],
      metrics: {
        visits: 'count(*)', paid: 'sum(paid)', mean: 'avg(paid)', most: 'max(paid)', weight: 'sum(weight)',
        lightest: 'min(weight)', doctors: 'distinct(doctor)', median: 'quantile(paid, 0.5)', first: 'min(day)',
        share: { ratio: ['sum(paid)', 'sum(weight)'] },
      },
      grouping_sets: [['state', 'program'], ['state'], []],
    },
    small: {
      dimensions: ['state', 'program'], metrics: { visits: 'count(*)', paid: 'sum(paid)' },
      grouping_sets: [['state', 'program'], ['program'], ['state'], []], min_cell: 11,
    },
    monthly: {
      dimensions: ['state'], time: { field: 'day', bucket: 'month' }, metrics: { visits: 'count(*)' },
      grouping_sets: [['state'], { dimensions: [], time: true }, { dimensions: ['state'], time: false }],
    },
  },
};
let data, server, token, rows;

before(async () => {
  data = await Data.make('dev');
  await data.put(VISITS);
  rows = [];
  for (const state of STATES)
    for (const program of PROGRAMS)
      for (let i = 0; i < COUNTS[`${state} ${program}`]; i++)
        rows.push({
          id: `${state}${program}${i}`, state, program, paid: `${i}.${String(i % 100).padStart(2, '0')}`,
          weight: i % 2 ? '1e16' : '0.1', doctor: `d${i % 7}`, day: `2024-0${1 + (i % 2)}-1${i % 10}`,
        });
  await data.ingest('visits', { visits: data.file('visits.csv', csv(rows)) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const read = async (rollup, query = '') => (await server.get(`/v1/datasets/visits/rollups/${rollup}${query}`, token)).json.items;

test('metrics are exact, and what is estimated is close', async () => {
  const [cell] = await read('by', '?state=IA&program=B');
  assert.equal(cell.visits, 50);
  const cents = Array.from({ length: 50 }, (_, i) => i * 101).reduce((a, b) => a + b);
  assert.equal(cell.paid, cents / 100);
  assert.equal(cell.most, 49.49);
  assert.ok(Math.abs(cell.mean - cents / 5000) < 1e-9);
  assert.equal(cell.weight, 2.5e17 + 2); // 25 x 1e16 and 25 x 0.1, rounded once
  assert.equal(cell.lightest, 0.1);
  assert.equal(cell.doctors, 7);
  assert.ok(Math.abs(cell.median - 24.24) < 0.15, `${cell.median}`);
  assert.equal(cell.first, '2024-01-10');
});

test('the order of rows leaves no trace in the segment', async () => {
  await data.put({ ...VISITS, name: 'shuffled' });
  const one = await data.ingest('shuffled', { visits: data.file('one.csv', csv(rows)) });
  const other = await data.ingest('shuffled', { visits: data.file('other.csv', csv([...rows].reverse())) });
  assert.equal(other.outcome, 'identical');
  assert.equal(other.segments[0].sha256, one.segments[0].sha256);
});

test('a grouping set is read by its dimensions', async () => {
  assert.deepEqual((await read('by', '?group_by=state')).map((cell) => [cell.state, cell.visits]), [['IA', 113], ['OH', 170]]);
  const [all] = await read('by', '?group_by=');
  assert.equal(all.visits, 283);
  assert.ok(!('state' in all));
  assert.equal((await read('by', '?group_by=program,state')).length, 6);
  for (const other of ['program', 'state,state', 'program,program'])
    assertProblem(await server.get(`/v1/datasets/visits/rollups/by?group_by=${other}`, token), 400, 'UNKNOWN_GROUPING');
  const { items } = (await server.get('/v1/datasets/visits/rollups', token)).json;
  assert.deepEqual(items.find((rollup) => rollup.name === 'by').grouping_sets.map((set) => set.dimensions), [['state', 'program'], ['state'], []]);
});

test('time is part of a set unless the set says otherwise', async () => {
  assert.deepEqual((await read('monthly', '?group_by=')).map((cell) => cell.day), ['2024-01-01', '2024-02-01']);
  assert.deepEqual(await read('monthly', '?group_by=state'), [{ state: 'IA', visits: 113 }, { state: 'OH', visits: 170 }]);
  assert.equal((await read('monthly', '?group_by=state,day')).length, 4);
});

test('small cells are hidden with what gives them away, in every answer', async () => {
  const cells = await read('small');
  const hidden = cells.filter((cell) => cell.suppressed);
  assert.deepEqual(hidden.map((cell) => `${cell.state} ${cell.program}`), ['IA A', 'IA B', 'OH A', 'OH B']);
  for (const cell of hidden) assert.deepEqual([cell.visits, cell.paid], [null, null]);
  assert.deepEqual((await read('small', '?group_by=state')).map((cell) => cell.visits), [113, 170]);
  await data.ok(['verify', '--deep']);
});

test('a difference of few records says nothing about them', async () => {
  await data.ingest('visits', { visits: data.file('fewer.csv', csv(rows.slice(0, -4))) });
  const diff = await data.json(['diff', 'visits', '1', '2']);
  const small = diff.rollups.find((rollup) => rollup.name === 'small');
  assert.deepEqual(small.metrics.map(({ before, after }) => [before, after]), [[null, null], [null, null]]);
  const by = diff.rollups.find((rollup) => rollup.name === 'by');
  assert.deepEqual([by.metrics[0].before, by.metrics[0].after], [283, 279]);
});

test('sets and metrics that are wrong are refused where they are wrong', async () => {
  const by = VISITS.rollups.by;
  const wrong = [
    [{ ...by, grouping_sets: [['county']] }, '/rollups/by/grouping_sets/0/0'],
    [{ ...by, grouping_sets: [['state'], ['state']] }, '/rollups/by/grouping_sets/1'],
    [{ ...by, grouping_sets: [] }, '/rollups/by/grouping_sets'],
    [{ ...by, min_cell: -1 }, '/rollups/by/min_cell'],
    [{ ...by, metrics: { q: 'quantile(paid, 2)' } }, '/rollups/by/metrics/q'],
    [{ ...by, metrics: { q: 'quantile(paid)' } }, '/rollups/by/metrics/q'],
    [{ ...by, metrics: { q: 'sum(state)' } }, null],
  ];
  for (const [rollup, place] of wrong) {
    const definition = { ...VISITS, name: 'wrong', rollups: { by: rollup } };
    const result = await data.putCli(definition);
    if (place) {
      assert.equal(result.code, 1, JSON.stringify(rollup));
      assert.ok(result.stderr.includes(`at ${place}\n`), result.stderr);
    } else {
      const ingest = await data.ingestCli('wrong', { visits: data.file('visits.csv', csv(rows)) });
      assert.match(ingest.stderr, /the metric's argument is VARCHAR/);
    }
  }
});
