// No personal field of the sources is in any file of the data directory after an ingest.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { sourceDir } from '../kit/process.mjs';

const sample = join(sourceDir, 'deploy/sample/lifeline');

/** Names, birth dates and SSNs of every patient; short names would be found by chance. */
function personalValues() {
  const [head, ...lines] = readFileSync(join(sample, 'patients.csv'), 'utf8').trim().split('\n');
  const columns = head.split(',');
  const values = new Set();
  for (const line of lines) {
    const cells = line.split(',');
    for (const name of ['SSN', 'FIRST', 'LAST', 'BIRTHDATE']) {
      const value = cells[columns.indexOf(name)];
      if (value.length >= 6) values.add(value).add(value.toLowerCase());
    }
  }
  return values;
}

/** The first value that stands anywhere in the files, or null. Every place of every length is looked up. */
function findAny(directory, values) {
  const lengths = [...new Set([...values].map((value) => Buffer.byteLength(value)))];
  const wanted = new Map(lengths.map((n) => [n, new Set()]));
  for (const value of values) wanted.get(Buffer.byteLength(value)).add(Buffer.from(value).toString('latin1'));
  for (const path of filesBelow(directory)) {
    const text = readFileSync(path).toString('latin1');
    for (const [n, set] of wanted)
      for (let i = 0; i + n <= text.length; i++) {
        const piece = text.substr(i, n);
        if (set.has(piece)) return `${path} holds a personal value at ${i}`;
      }
  }
  return null;
}

test('nothing personal is in any file of the data directory', async () => {
  const data = await Data.make('dev');
  await data.ok(['dataset', 'put', join(sample, 'definition.json')], { tenant: 'dev' });
  for (const year of [2019, 2020])
    await data.ingest('lifeline', {
      patients: join(sample, 'patients.csv'),
      coverage: join(sample, `coverage/${year}.csv`),
      payers: join(sample, 'payers.csv'),
    });
  const values = personalValues();
  assert.ok(values.size > 5000);
  assert.equal(findAny(data.directory, values), null);

  // The search would have found one.
  writeFileSync(join(data.directory, 'planted'), `x${[...values][7]}y`);
  assert.match(findAny(data.directory, values), /planted/);
});
