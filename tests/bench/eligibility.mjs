// The dataset of the benchmarks: what bench_generate writes, and versions of it in a data directory.
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Data } from '../kit/everline.mjs';
import { buildDir } from '../kit/process.mjs';

export const DATASET = 'eligibility';
export const DEFINITION = {
  name: DATASET,
  description: 'Is this person enrolled?',
  sources: { people: { format: 'csv', columns: { eligible: 'BOOLEAN' } } },
  prepare: 'SELECT first_name, last_name, birth_date AS dob, ssn_last4, eligible, state FROM people',
  key: {
    fields: ['first_name', 'last_name', 'dob', 'ssn_last4'],
    normalize: { first_name: 'person_name', last_name: 'person_name', dob: 'date', ssn_last4: 'digits' },
    protect: 'hmac-sha256',
  },
  record: { eligible: 'BOOLEAN', state: 'VARCHAR' },
  rollups: { by_state: { dimensions: ['state'], metrics: { people: 'count(*)', eligible: 'sum(eligible::INT)' } } },
  retention: { keep_versions: 100, keep_days: 90 },
};

/** Writes a file of the generator's. */
export async function generate(path, options) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const fd = openSync(path, 'w');
  const child = spawn(join(buildDir, 'tests', 'bench_generate'), args, { stdio: ['ignore', fd, 'inherit'] });
  const code = await new Promise((resolve, reject) => { child.on('error', reject).on('exit', resolve); });
  closeSync(fd);
  assert.equal(code, 0, `bench_generate ${args.join(' ')}`);
  return path;
}

/** A data directory with versions 1..count of the dataset; `directory` may have them already. */
export async function versions(count, records, directory) {
  const data = new Data(...(directory ? [directory] : []));
  if (existsSync(data.directory)) return data;
  await data.ok(['tenant', 'put', 'dev']);
  await data.put(DEFINITION);
  for (let batch = 0; batch < count; batch++) {
    const file = await generate(join(data.files, 'people.csv'), { rows: records, batch });
    const result = await data.cli(['ingest', DATASET, '--source', file, '--memory', '2GiB'],
      { tenant: 'dev', deadlineMs: 3600_000 });
    assert.equal(result.code, 0, result.stderr);
    rmSync(file);
  }
  return data;
}
