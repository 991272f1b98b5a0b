// A transformation as large as the data: patients become measures, numerator and denominator of each provider, measure
// and month, three patients in five making one of their own. How long that takes from the file to the version that is
// served, and what it needs.
// usage: tests/bench/measures [--rows N] [--memory BYTES] [--threads N]
//   --rows     of the file (50,000,000; measures are three fifths of them)
//   --memory   of the ingest (12GiB): DuckDB keeps the groups in half of it
//   --threads  of the ingest (2)
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Data } from '../kit/everline.mjs';
import { generate } from './eligibility.mjs';

const MEASURES = 10, MONTHS = 12, KINDS = 200; // of providers' patients: MEASURES * MONTHS of them are different
const DEADLINE_MS = 3600_000;

const definition = (providers) => ({
  name: 'measures',
  sources: { people: { format: 'csv', columns: { id: 'BIGINT', eligible: 'BOOLEAN' } } },
  prepare: `SELECT id % ${providers} AS provider, id // ${providers} % ${MEASURES} AS measure,
    id // ${providers} // ${MEASURES} % ${MONTHS} + 1 AS month,
    count(*) FILTER (eligible) AS numerator, count(*) AS denominator FROM people GROUP BY ALL`,
  key: { fields: ['provider', 'measure', 'month'] },
  record: { numerator: 'BIGINT', denominator: 'BIGINT' },
  rollups: { by_month: { dimensions: ['measure', 'month'],
    metrics: { numerator: 'sum(numerator)', denominator: 'sum(denominator)', rate: { ratio: ['sum(numerator)', 'sum(denominator)'] } } } },
});

async function main() {
  const { values } = parseArgs({ options: {
    rows: { type: 'string', default: '50000000' }, memory: { type: 'string', default: '12GiB' },
    threads: { type: 'string', default: '2' },
  } });
  const rows = Number(values.rows), providers = rows / KINDS;
  assert.ok(rows > 0 && Number.isInteger(providers), `--rows is a multiple of ${KINDS}`);
  const data = await Data.make(), server = await data.serve();
  const file = await generate(join(data.files, 'people.csv'), { rows });
  await data.put(definition(providers));
  const began = performance.now();
  const result = await data.cli(['ingest', 'measures', '--source', file, '--memory', values.memory, '--threads',
    values.threads, '--output', 'json'], { tenant: 'dev', deadlineMs: DEADLINE_MS });
  const seconds = (performance.now() - began) / 1e3;
  assert.equal(result.code, 0, result.stderr);
  const version = JSON.parse(result.stdout);
  assert.equal(version.rows.accepted, providers * MEASURES * MONTHS, result.stdout);
  const rollup = await server.get('/v1/datasets/measures/rollups/by_month?limit=1000', await data.token({ scope: 'analytics:read' }));
  assert.equal(rollup.json.items.reduce((sum, { denominator }) => sum + denominator, 0), rows, 'a patient is in no measure');
  const mib = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;
  console.log(`${rows} patients into ${version.rows.accepted} measures: ${seconds.toFixed(1)} s, ` +
    `${mib(version.used.memory_bytes)}, ${mib(version.used.temporary_bytes)} of temporary disk`);
  assert.equal(await server.stop(), 0, server.log);
}

main().then(() => process.exit(), (error) => {
  console.error(`measures: ${error.stack}`);
  process.exit(1);
});
