// How long an ingest takes, from a file to a version that a server has verified, opened and serves; beside what
// PostgreSQL 15 needs to copy the same file into an unlogged table and to make a unique index. And what lookups feel
// of it: an open-loop client asks a steady rate, alone and while the ingest runs; another one asks nginx, which answers
// with a constant: what that one feels is the machine's.
// They take turns, round after round, and what counts is the median; of what is felt, the middle round.
// usage: tests/bench/ingest [--rounds N] [--rows N] [--memory BYTES] [--threads N] [--no-postgres] [--no-lookups]
//   --rounds   (3)
//   --rows     of the file (20,000,000)
//   --memory   of the ingest (4GiB)
//   --threads  of the ingest (2)
import assert from 'node:assert/strict';
import { chmodSync, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Data } from '../kit/everline.mjs';
import { buildDir, run, tempDir } from '../kit/process.mjs';
import { DATASET, DEFINITION, generate } from './eligibility.mjs';
import { Load, nowUs, quantile, sleep, within } from './load.mjs';
import { startNginx } from './peers.mjs';

const RATE = 500, ALONE_S = 10, SETTLE_S = 5, WARM_UP_S = 0.3;
const PG = '/usr/lib/postgresql/15/bin';
const DEADLINE_MS = 3600_000;
const CHECKED = {
  ...DEFINITION,
  max_reject_ratio: 0.01, // the generator's typos
  checks: [
    { name: 'ssn_shape', expect: 'length(ssn_last4) = 4', on_fail: 'reject', max_ratio: 0.01 },
    { name: 'state_shape', expect: 'length(state) = 2', on_fail: 'reject', max_ratio: 0.01 },
  ],
  gates: [{ name: 'row_drift', metric: 'count(*)', max_change_ratio: 0.2 }],
};
const PARQUET = { ...CHECKED, sources: { people: { format: 'parquet' } } };

async function must(program, args, options) {
  const result = await run(program, args, { deadlineMs: DEADLINE_MS, ...options });
  assert.equal(result.code, 0, `${program} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

const mib = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;
const row = (...cells) => console.log(cells.map((cell, i) => (i ? String(cell).padStart(13) : cell.padEnd(46))).join(''));

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

/** Nobody pays for the one before: what was written is on the disk, and `file` in memory, also where the host of a virtual
 *  machine takes back pages of files that were not read for a while. */
async function settle(file) {
  await must('sync', []);
  await sleep(SETTLE_S);
  await must('dd', [`if=${file}`, 'of=/dev/null', 'bs=1M', 'status=none']);
}

async function ingest(data, dataset, file, { memory, threads }) {
  const began = performance.now();
  const args = ['ingest', dataset, '--source', file, '--memory', memory, '--threads', threads, '--output', 'json'];
  const result = await data.cli(args, { tenant: 'dev', deadlineMs: DEADLINE_MS });
  assert.equal(result.code, 0, result.stderr);
  const version = JSON.parse(result.stdout);
  assert.equal(version.outcome, 'flipped');
  return { seconds: (performance.now() - began) / 1e3, version };
}

// ---- PostgreSQL ---------------------------------------------------------------------------------

/** It does not run as root. */
const asPostgres = (program, args, options) => (process.getuid() === 0
  ? must('setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', program, ...args], options)
  : must(program, args, options));

async function postgres(file) {
  const directory = tempDir('postgres'), data = join(directory, 'data');
  if (process.getuid() === 0) await must('chown', ['postgres', directory]);
  await asPostgres(`${PG}/initdb`, ['-D', data, '--no-sync', '-A', 'trust', '-U', 'bench'], { cwd: directory });
  const settings = ['shared_buffers=1GB', 'maintenance_work_mem=1GB', 'max_wal_size=8GB', 'listen_addresses=',
    `unix_socket_directories=${directory}`];
  await asPostgres(`${PG}/pg_ctl`, ['-D', data, '-w', '-l', join(directory, 'log'), '-o',
    settings.map((one) => `-c ${one}`).join(' '), 'start'], { cwd: directory });
  const sql = (text) => must('psql', ['-h', directory, '-U', 'bench', '-d', 'postgres', '-q', '-v', 'ON_ERROR_STOP=1', '-c', text]);
  try {
    await sql('CREATE UNLOGGED TABLE people (id bigint, first_name text, last_name text, birth_date date, ' +
      'ssn_last4 text, eligible boolean, state text)');
    await settle(file);
    const began = performance.now();
    await sql(`COPY people FROM '${file}' (FORMAT csv, HEADER)`);
    const copied = performance.now();
    await sql('CREATE UNIQUE INDEX ON people (id)');
    return { copy: (copied - began) / 1e3, index: (performance.now() - copied) / 1e3 };
  } finally {
    await asPostgres(`${PG}/pg_ctl`, ['-D', data, '-w', '-m', 'immediate', 'stop'], { cwd: directory });
  }
}

// ---- lookups ------------------------------------------------------------------------------------

/** p99 in milliseconds of Everline and, asked at the same moments, of nginx: alone, and while `work` runs. */
async function feel(server, data, rows, file, work) {
  const path = `/v1/datasets/${DATASET}/lookup`, token = await data.token();
  const bodies = await generate(join(data.files, 'bodies'), { rows, requests: 100_000 });
  const servers = [['everline', server], ['nginx', await startNginx('{"eligible":true}', cpus().length)]];
  const felt = [];
  for (const during of [() => sleep(ALONE_S), work]) {
    await settle(file);
    const loads = servers.map(([, side]) => new Load(side, path, token, bodies, RATE, 3600));
    await sleep(WARM_UP_S);
    const from = nowUs();
    await during();
    const to = nowUs();
    felt.push(await Promise.all(loads.map(async (load) => {
      const samples = await load.stop();
      return { p99: quantile(within(samples, from, to), 0.99), failed: samples.filter((one) => one.status !== 200).length };
    })));
  }
  return servers.map(([name], i) => {
    const [alone, during] = felt.map((sides) => sides[i]);
    return { name, alone: alone.p99, during: during.p99, ratio: during.p99 / alone.p99, failed: alone.failed + during.failed };
  });
}

// ---- the run ------------------------------------------------------------------------------------

async function main() {
  const { values } = parseArgs({ options: {
    rounds: { type: 'string', default: '3' }, rows: { type: 'string', default: '20000000' }, memory: { type: 'string', default: '4GiB' },
    threads: { type: 'string', default: '2' },
    'no-postgres': { type: 'boolean', default: false }, 'no-lookups': { type: 'boolean', default: false },
  } });
  const rows = Number(values.rows), rounds = Number(values.rounds);
  assert.ok(rows > 0 && rounds > 0, '--rows and --rounds are numbers');
  const data = await Data.make(), server = await data.serve();
  chmodSync(data.files, 0o755); // PostgreSQL reads the file itself
  const csv = await generate(join(data.files, 'people.csv'), { rows, typos: 100 });
  const parquet = join(data.files, 'people.parquet');
  await must(join(buildDir, 'tests', 'bench_parquet'), [csv, parquet]);
  console.log(`${cpus().length} cores, ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; ` +
    `${new Date().toISOString().slice(0, 10)}; ${rows} rows, CSV ${mib(statSync(csv).size)}, Parquet ${mib(statSync(parquet).size)}`);

  const copied = [], indexed = [], ours = { csv: [], parquet: [] };
  for (let round = 0; round < rounds; round++) {
    if (!values['no-postgres']) {
      const { copy, index } = await postgres(csv);
      copied.push(copy);
      indexed.push(copy + index);
    }
    for (const [format, definition, file] of [['csv', CHECKED, csv], ['parquet', PARQUET, parquet]]) {
      const name = `${DATASET}_${format}_${round}`;
      await data.put({ ...definition, name });
      await settle(file);
      ours[format].push(await ingest(data, name, file, values));
    }
  }
  const whole = indexed.length && median(indexed);
  row('', 'seconds', 'rows/s', 'x PostgreSQL', 'memory', 'temporary');
  if (whole) {
    row('PostgreSQL: COPY, unlogged table', median(copied).toFixed(1), Math.round(rows / median(copied)));
    row('PostgreSQL: and unique index', whole.toFixed(1), Math.round(rows / whole), '1.00');
  }
  for (const [what, runs] of [['CSV', ours.csv], ['Parquet', ours.parquet]]) {
    const seconds = median(runs.map((one) => one.seconds)), { version } = runs[0];
    row(`everline: ${what}, to the served version`, seconds.toFixed(1), Math.round(rows / seconds),
      whole ? (whole / seconds).toFixed(2) : '-', mib(version.used.memory_bytes), mib(version.used.temporary_bytes));
  }
  if (!values['no-lookups']) {
    await data.put(CHECKED);
    await ingest(data, DATASET, csv, values);
    const felt = [];
    for (let round = 1; round <= rounds; round++) {
      const next = await generate(join(data.files, 'next.csv'), { rows, typos: 100, batch: round });
      felt.push(await feel(server, data, rows, next, () => ingest(data, DATASET, next, values)));
    }
    row('', 'p99 alone', 'during', 'ratio');
    for (const i of felt[0].keys()) {
      const runs = felt.map((one) => one[i]).sort((a, b) => a.ratio - b.ratio), { name, alone, during, ratio } = runs[runs.length >> 1];
      row(`${name}, ${RATE} requests/s`, `${alone.toFixed(2)} ms`, `${during.toFixed(2)} ms`, ratio.toFixed(2),
        `  of ${runs.map((one) => one.ratio.toFixed(2)).join(' ')}`);
      for (const { failed } of runs) assert.equal(failed, 0, `${failed} requests failed`);
    }
  }
  assert.equal(await server.stop(), 0, server.log);
}

main().then(() => process.exit(), (error) => {
  console.error(`ingest: ${error.stack}`);
  process.exit(1);
});
