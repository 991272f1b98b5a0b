// Keys of records that are lost, or are not what they were: said and refused, never `no_match` for everybody.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

let data, token, path, right;
const rows = things(3);
const verbose = async (server) => (await server.get('/readyz?verbose=true')).json;
const batch = (persons) => ({ people: data.file('people.csv', csv(persons)) });

before(async () => {
  data = await Data.make('dev');
  await data.put(PEOPLE);
  await data.put(THINGS);
  await data.ingest('people', batch(PERSONS));
  await data.ingest('things', { things: data.file('things.csv', csv(rows)) });
  token = await data.token();
  const directory = join(data.directory, 'keys', 'dev', 'hmac');
  path = join(directory, readdirSync(directory)[0]);
  right = readFileSync(path);
});
after(() => writeFileSync(path, right));

for (const [name, code, wrong] of [
  ['another key under its id', 'KEY_MISMATCH', () => writeFileSync(path, `${'ab'.repeat(32)}\n`)],
  ['a key that is gone', 'KEY_MISSING', () => renameSync(path, `${path}.aside`)],
])
  test(`${name}: what it protects is unavailable, and comes back with the key`, async () => {
    wrong();
    const server = await data.serve();
    try {
      assertProblem(await server.lookup('people', keyOf(PERSONS[0]), token), 503, 'VERSION_UNAVAILABLE');
      assert.equal((await server.lookup('things', { id: rows[0].id }, token)).json.outcome, 'match');
      const { status, unavailable, reasons } = await verbose(server);
      assert.deepEqual([status, unavailable, reasons], ['ok', 1, { [code]: 1 }]);
      writeFileSync(path, right);
      await until('it is served', async () => (await server.lookup('people', keyOf(PERSONS[0]), token)).status === 200);
      assert.deepEqual((await verbose(server)).reasons, {});
    } finally {
      writeFileSync(path, right);
      assert.equal(await server.stop(), 0);
    }
  });

test('an ingest with another key under its id is refused, and nothing changes', async () => {
  const before = await data.versions('people');
  writeFileSync(path, `${'cd'.repeat(32)}\n`);
  try {
    const { code, stderr } = await data.ingestCli('people', batch(PERSONS.slice(1)));
    assert.equal(code, 1);
    assert.match(stderr, /is not the one that was registered/);
    assert.match(stderr, /put the right key file back/);
    assert.ok(!stderr.includes('cd'.repeat(8)), stderr); // less of it may stand in an id by chance
  } finally {
    writeFileSync(path, right);
  }
  assert.deepEqual(await data.versions('people'), before);
  assert.equal((await data.ingest('people', batch(PERSONS.slice(1)))).outcome, 'flipped');
});

test('a tenant that is changed while its key is another one keeps what was registered', async () => {
  writeFileSync(path, `${'ef'.repeat(32)}\n`);
  try {
    await data.ok(['tenant', 'put', 'dev', '--max-datasets', '9']);
    const { code, stderr } = await data.ingestCli('people', batch(PERSONS));
    assert.equal(code, 1);
    assert.match(stderr, /registered/);
  } finally {
    writeFileSync(path, right);
  }
});
