// Clients ask two servers of one data directory without pause, while batches come in, people move the
// pointer and retire versions, workers and servers are killed, stopped and told to read their keys again.
// What every client saw is held against the event log and the contents of every version (kit/history.mjs).
//
// EVERLINE_SEED=N plays the plan of that seed again; EVERLINE_FAULT_ALL=1 plays many for minutes.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { readLog } from '../kit/eventlog.mjs';
import { faults } from '../kit/history.mjs';
import { Load, Seat } from '../kit/load.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { cellsByColour, csv, totals } from '../kit/samples.mjs';
import { DEFINITIONS, rowsOf, Stage } from './history_plan.mjs';

const all = process.env.EVERLINE_FAULT_ALL === '1';
const CLIENTS = 8;
const BATCHES = all ? 30 : 4; /* of each of two lanes */
const SEEDS = process.env.EVERLINE_SEED ? [process.env.EVERLINE_SEED]
  : [1, ...Array.from({ length: all ? 9 : 1 }, () => Math.floor(Math.random() * 1e9))];

/** What a batch must be answered as: records by id, and cells. */
const contents = new Map();
function contentOf(batch) {
  if (!contents.has(batch)) {
    const rows = rowsOf(batch);
    contents.set(batch, {
      records: new Map(rows.map(({ id, colour, weight, made }) => [id, { colour, weight, made }])),
      total: totals(rows), cells: cellsByColour(rows),
    });
  }
  return contents.get(batch);
}

const same = (a, b) => a.colour === b.colour && a.weight === b.weight && a.made === b.made;

function counts(before, after) {
  const found = { before: before.size, after: after.size, added: 0, removed: 0, changed: 0, unchanged: 0 };
  for (const [id, record] of after)
    found[!before.has(id) ? 'added' : same(before.get(id), record) ? 'unchanged' : 'changed']++;
  for (const id of before.keys()) found.removed += !after.has(id);
  return found;
}

/** `batches`: {dataset: Map version -> batch}. */
const expectedBy = (batches) => (dataset, version, entry) => {
  const content = (of) => contentOf(batches[dataset].get(of));
  const result = (id) => {
    const record = content(version).records.get(id);
    return { outcome: record ? 'match' : 'no_match', record: record ? { id, ...record } : null };
  };
  const hidden = (one) => (one.record && dataset === 'hidden' ? { ...one, record: (({ id, ...rest }) => rest)(one.record) } : one);
  switch (entry.what) {
    case 'lookup': case 'batch': return entry.ids.map(result).map(hidden);
    case 'record': return result(entry.ids[0]).record ?? undefined;
    case 'total': return content(version).total;
    case 'pages': return content(version).cells;
    case 'diff': return counts(content(entry.from).records, content(entry.to).records);
    default: return null;
  }
};

async function play(t, seed) {
  const data = await Data.make('dev');
  for (const definition of DEFINITIONS) {
    await data.put(definition);
    await data.ingest(definition.name, { things: data.file('batch-1.csv', csv(rowsOf(1))) });
  }
  const token = await data.token();
  const datasets = DEFINITIONS.map(({ name }) => name);
  const seats = ['A', 'B'].map((name) => new Seat(data, name, ['--workers', '2']));
  const load = new Load({ seed, seats, token, datasets });
  const stage = new Stage({ data, load, backups: tempDir('backups') });
  try {
    for (const seat of seats) await seat.start();
    load.start(CLIENTS);
    try {
      await stage.carryOut(seed, BATCHES);
    } finally {
      await load.stop();
    }
    await judge(t, seed, data, load, stage);
    assert.equal((await data.cli(['verify', '--deep'])).code, 0);
    for (const { current } of seats) assert.equal(await current.stop(), 0, current.log);
  } finally {
    for (const { current } of seats) await current?.stop('SIGKILL');
  }
}

async function judge(t, seed, data, { history, seats, dead, datasets, token }, stage) {
  await until('every version that was in progress is settled', async () =>
    (await Promise.all(datasets.map((name) => data.versions(name)))).flat().every((row) => row.state !== 'IN_PROGRESS'));
  await until('the build directories of the dead are swept', () => readdirSync(join(data.directory, 'build')).length === 0);
  const logs = {}, batches = {};
  for (const name of datasets) {
    logs[name] = await readLog(seats[0].current, name, token);
    assert.deepEqual(await readLog(seats[1].current, name, token), logs[name]);
    batches[name] = new Map((await data.versions(name)).map((row) => [row.version, Number(/(\d+)\.csv$/.exec(row.sources[0].file)[1])]));
  }
  const servers = Object.fromEntries([...dead, ...seats.map((seat) => seat.current)].map((server) => [server.name, server]));
  const found = [...stage.failures, ...faults(history, { logs, servers, acks: stage.acks, expected: expectedBy(batches) })];
  const flips = Object.values(logs).reduce((sum, log) => sum + log.turns.length, 0);
  t.diagnostic(`seed ${seed}: ${history.length} requests, ${flips} flips; ${Object.entries(stage.counts).map((pair) => pair.join(': ')).sort().join(', ')}`);
  const told = found.slice(0, 5).map(({ at, dataset, text, entry }) => [`${new Date(at).toISOString()} ${dataset}: ${text}`,
    ...(entry ? [JSON.stringify(entry).slice(0, 400)] : []), ...logs[dataset].around(at).map((line) => `  ${line}`)].join('\n'));
  assert.ok(!found.length, `EVERLINE_SEED=${seed} plays this again: ${found.length} faults\n\n${told.join('\n\n')}`);
}

for (const seed of SEEDS) test(`the history of seed ${seed} is right`, (t) => play(t, seed));
