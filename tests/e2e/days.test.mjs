// Real flights of 2001, a batch for each day, one after the other, while a client asks without pause: every
// answer is of one day, and is what that day's flights add up to.
// Without EVERLINE_FAULT_ALL=1 only the first days are tried, and with it all 181; where ../shared/data is
// beside the project, of all airports.
import assert from 'node:assert/strict';
import { createReadStream, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { sourceDir, until } from '../kit/process.mjs';

const ALL = process.env.EVERLINE_FAULT_ALL === '1';
const KEPT = 3;
const sample = join(sourceDir, 'deploy', 'sample', 'flights');
const full = join(sourceDir, '..', 'shared', 'data', 'flights', 'flights-3m.parquet');
const DAYS = {
  name: 'days',
  sources: { flights: { format: 'csv', columns: { departed_at: 'TIMESTAMP', delay: 'INTEGER', distance: 'INTEGER' } } },
  prepare: 'SELECT * FROM flights',
  key: { fields: ['flight'] },
  record: { departed_at: 'TIMESTAMP', delay: 'INTEGER', distance: 'INTEGER', origin: 'VARCHAR', destination: 'VARCHAR' },
  rollups: { by_origin: { dimensions: ['origin'], metrics: { flights: 'count(*)', delay: 'sum(delay)' } } },
  gates: [{ name: 'drift', metric: 'count(*)', max_change_ratio: 2 }],
  retention: { keep_versions: KEPT },
};

let data, server, token, names;
const days = []; /* {date, lines, cells} in order */

/** The flights of each day, and what they add up to by origin, counted here. */
async function split(path) {
  const byDate = new Map();
  let header = null;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    if (!header) { header = line; names = line.split(','); continue; }
    const cells = line.split(','), date = cells[names.indexOf('departed_at')].slice(0, 10);
    if (!byDate.has(date)) byDate.set(date, { date, lines: [header], origins: new Map() });
    const day = byDate.get(date), origin = cells[names.indexOf('origin')];
    const sum = day.origins.get(origin) ?? { origin, flights: 0, delay: 0 };
    sum.flights += 1;
    sum.delay += Number(cells[names.indexOf('delay')]);
    day.origins.set(origin, sum);
    day.lines.push(line);
  }
  const sorted = [...byDate.values()].sort((a, b) => (a.date < b.date ? -1 : 1)).slice(0, ALL ? 181 : 4);
  for (const { date, lines, origins } of sorted)
    days.push({ date, lines, cells: [...origins.values()].sort((a, b) => Buffer.compare(Buffer.from(a.origin), Buffer.from(b.origin))) });
}

before(async () => {
  data = await Data.make('dev');
  await data.ok(['dataset', 'put', join(sample, 'definition.json')], { tenant: 'dev' });
  await data.ingest('flights', { flights: ALL && existsSync(full) ? full : join(sample, 'flights.parquet') });
  const path = join(data.files, 'flights.csv');
  await data.ok(['export', 'flights', '--output', path], { tenant: 'dev' });
  await split(path);
  await data.put(DAYS);
  server = await data.serve();
  token = await data.token({ scope: 'data:read analytics:read' });
});
after(() => server?.stop());

const cellsOf = async (query = '') => (await server.get(`/v1/datasets/days/rollups/by_origin?limit=1000${query}`, token)).json;

async function ingest(i) {
  const path = join(data.files, 'day.csv');
  writeFileSync(path, `${days[i].lines.join('\n')}\n`);
  const version = await data.ingest('days', { flights: path });
  assert.deepEqual([version.version, version.outcome, version.rows.accepted], [i + 1, 'flipped', days[i].lines.length - 1]);
}

test('each day follows the one before, and every answer is of one of them', async () => {
  await ingest(0);
  let done = false, asked = 0, last = 0;
  const client = (async () => {
    while (!done) {
      const { version, items } = await cellsOf();
      assert.ok(version >= last, `version ${version} after ${last}`);
      assert.deepEqual(items, days[version - 1].cells, `what version ${version} answers`);
      last = version;
      asked += 1;
    }
  })();
  const following = (async () => {
    for (let i = 1; i < days.length; i++) {
      await ingest(i);
      const before = await cellsOf(`&version=${i}`);
      assert.deepEqual(before.items, days[i - 1].cells, 'the day before is still there');
    }
  })();
  await Promise.race([client, following]);
  done = true;
  await Promise.all([client, following]);
  assert.ok(asked >= days.length, `asked ${asked} times`);
  await until('the last day is served', async () => (await cellsOf()).version === days.length);
});

test('the last days are kept, and the rows of all', async () => {
  const versions = await until('retention is done', async () => {
    const items = await data.versions('days');
    return items[KEPT].state === 'RETIRED' && items;
  });
  assert.equal(versions.length, days.length);
  versions.forEach((version, i) => {
    assert.equal(version.version, days.length - i);
    assert.equal(version.state, i < KEPT ? 'SUCCEEDED' : 'RETIRED');
  });
});

test('a lost day is one rollback away', async () => {
  await data.ok(['rollback', 'days', '--from', String(days.length), '--reason', 'a test'], { tenant: 'dev' });
  await until('the server is back', async () => (await cellsOf()).version === days.length - 1);
  assert.deepEqual((await cellsOf()).items, days.at(-2).cells);
});
