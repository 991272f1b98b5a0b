// A damaged segment takes out its version and says so; it never stops the process and never serves a
// wrong byte.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, renameSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { filesBelow, flipByte, segmentPath } from '../kit/files.mjs';
import { until } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

const rows = things(500);
const KEY = { id: rows[0].id };

let original;

/** Two datasets; `things` with two versions. */
async function prepared() {
  original ??= make();
  const data = (await original).copy();
  return { data, token: await data.token(), versions: await data.versions('things') };
}

async function make() {
  const data = await Data.make('dev');
  await data.put(THINGS);
  await data.put(PEOPLE);
  await data.ingest('things', { things: data.file('1.csv', csv(rows.slice(0, 400))) });
  await data.ingest('things', { things: data.file('2.csv', csv(rows)) });
  await data.ingest('people', { people: data.file('p.csv', csv(PERSONS)) });
  return data;
}

async function assertOut(server, token) {
  for (const reply of [await server.lookup('things', KEY, token), await server.batch('things', [KEY], token),
    await server.get(`/v1/datasets/things/records/${KEY.id}`, token),
    await server.get('/v1/datasets/things/rollups/total', token)]) {
    const problem = assertProblem(reply, 503, 'VERSION_UNAVAILABLE');
    assert.ok(!problem.detail.includes('/'), `a path is shown: ${problem.detail}`);
  }
  assert.equal((await server.lookup('people', keyOf(PERSONS[0]), token)).json.outcome, 'match');
  assert.equal((await server.get('/livez')).status, 200);
  assert.equal((await server.get('/v1/datasets/things', token)).status, 200);
  assert.equal((await server.get('/readyz?verbose=true')).json.unavailable, 1);
}

const damages = {
  'a flipped bit in the middle': (path) => flipByte(path, Math.floor(statSync(path).size / 2)),
  'a flipped bit in the first page': (path) => flipByte(path, 20),
  'a flipped bit in the last byte': (path) => flipByte(path, statSync(path).size - 1),
  'a file cut in half': (path) => truncateSync(path, Math.floor(statSync(path).size / 2 / 4096) * 4096),
  'an empty file': (path) => truncateSync(path, 0),
  'a missing file': (path) => unlinkSync(path),
  'another file under its name': (path) => { renameSync(path, `${path}.x`); writeFileSync(path, 'x'.repeat(8192)); },
};
for (const [name, damage] of Object.entries(damages))
  test(`${name}: that version is unavailable, the rest is served, and a rollback mends it`, async () => {
    const { data, token, versions } = await prepared();
    const path = segmentPath(data, versions[0]);
    if (name !== 'a missing file') chmodSync(path, 0o640);
    damage(path);

    const report = await data.cli(['verify', '--deep', '--output', 'json']);
    assert.equal(report.code, 1);
    const { ok, problems } = JSON.parse(report.stdout);
    assert.equal(ok, false);
    assert.deepEqual(problems.map((p) => [p.tenant, p.dataset, p.version]), [['dev', 'things', 2]]);
    assert.ok(problems[0].hint);
    assert.match(report.stderr, / segments, .* have a problem\n {2}hint: below each of the problems/);

    const server = await data.serve();
    try {
      await assertOut(server, token);
      const reply = await server.post('/v1/datasets/things/rollback', token, { reason: 'damaged', from: 2 });
      assert.equal(reply.status, 200, reply.text);
      const answer = (await server.lookup('things', KEY, token)).json;
      assert.deepEqual([answer.version, answer.record.weight], [1, rows[0].weight]);
      assert.ok(server.alive);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  });

test('segments that were swapped are out, whosever they are, and never answer for one another', async () => {
  for (const [name, whose] of [['two versions', 'dev'], ['two tenants', 'other']]) {
    const data = await Data.make('dev', 'other');
    const batch = (by) => data.file(`${by}.csv`, csv(rows.map((row) => ({ ...row, weight: by }))));
    for (const tenant of ['dev', 'other']) await data.put(THINGS, { tenant });
    for (const by of [1, 2]) await data.ingest('things', { things: batch(by) });
    await data.ingest('things', { things: batch(3) }, { tenant: 'other' });
    const mine = segmentPath(data, (await data.versions('things'))[0]);
    const theirs = segmentPath(data, (await data.versions('things', whose)).at(-1));
    assert.equal(statSync(mine).size, statSync(theirs).size, 'else their sizes would tell');
    for (const [from, to] of [[mine, `${mine}.x`], [theirs, mine], [`${mine}.x`, theirs]]) renameSync(from, to);

    for (const more of [[], ['--deep']]) {
      const { code, stdout } = await data.cli(['verify', ...more, '--output', 'json']);
      assert.equal(code, 1, name);
      assert.deepEqual(JSON.parse(stdout).problems.map((p) => `${p.tenant} ${p.version}`).sort(),
                       whose === 'dev' ? ['dev 1', 'dev 2'] : ['dev 2', 'other 1']);
    }
    const server = await data.serve();
    try {
      const token = await data.token();
      assertProblem(await server.lookup('things', KEY, token), 503, 'VERSION_UNAVAILABLE');
      const other = await server.lookup('things', KEY, await data.token({ tenant: 'other' }));
      if (whose === 'other') assertProblem(other, 503, 'VERSION_UNAVAILABLE');
      else assert.equal(other.json.record.weight, 3);
      const back = await server.post('/v1/datasets/things/rollback', token, { reason: 'damaged', from: 2 });
      if (whose === 'dev') assertProblem(back, 409); // nothing is left that can be served
      else assert.equal((await server.lookup('things', KEY, token)).json.record.weight, 1);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  }
});

test('ingesting the same batch again mends a damaged segment', async () => {
  const { data, token, versions } = await prepared();
  const path = segmentPath(data, versions[0]);
  chmodSync(path, 0o640);
  flipByte(path, 4096 + 100);
  const server = await data.serve();
  try {
    await assertOut(server, token);
    const row = await data.ingest('things', { things: data.file('2.csv', csv(rows)) });
    assert.equal(row.state, 'SUCCEEDED');
    assert.equal((await data.cli(['verify', '--deep'])).code, 0);
  } finally {
    await server.stop();
  }
  const again = await data.serve();
  try {
    assert.equal((await again.lookup('things', KEY, token)).json.outcome, 'match');
  } finally {
    await again.stop();
  }
});

test('a target that is damaged is not rolled back to', async () => {
  const { data, token, versions } = await prepared();
  unlinkSync(segmentPath(data, versions[1]));
  const server = await data.serve();
  try {
    assertProblem(await server.post('/v1/datasets/things/rollback', token, { reason: 'x', from: 2 }), 409, 'NOTHING_TO_ROLL_BACK_TO');
    assertProblem(await server.post('/v1/datasets/things/rollback', token, { reason: 'x', from: 2, to: 1 }), 409, 'NOT_SERVABLE');
    assert.equal((await server.lookup('things', KEY, token)).json.version, 2);
  } finally {
    await server.stop();
  }
});

test('a target whose bytes are damaged is refused by the server, and without one by the command', async () => {
  const { data, token, versions } = await prepared();
  const path = segmentPath(data, versions[1]);
  chmodSync(path, 0o640);
  flipByte(path, Math.floor(statSync(path).size / 2));
  const back = () => data.cli(['rollback', 'things', '--reason', 'x'], { tenant: 'dev' });
  const alone = await back();
  assert.equal(alone.code, 1);
  assert.match(alone.stderr, /version 1 cannot be served/);
  const server = await data.serve();
  try {
    for (const body of [{ reason: 'x', from: 2 }, { reason: 'x', from: 2, to: 1 }])
      assertProblem(await server.post('/v1/datasets/things/rollback', token, body), 409, 'NOT_SERVABLE');
    assert.equal((await back()).code, 1);
    assert.equal((await server.lookup('things', KEY, token)).json.version, 2);
    assert.equal((await data.versions('things'))[0].state, 'SUCCEEDED');
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

test('a wrong HMAC key makes a protected version unavailable, never everybody no_match', async () => {
  const { data, token } = await prepared();
  const [key] = [...filesBelow(join(data.directory, 'keys', 'dev', 'hmac'))];
  const original = readFileSync(key, 'utf8');
  writeFileSync(key, `${'0'.repeat(63)}1\n`);
  const server = await data.serve();
  try {
    assertProblem(await server.lookup('people', keyOf(PERSONS[0]), token), 503, 'VERSION_UNAVAILABLE');
    assert.equal((await server.lookup('things', KEY, token)).json.outcome, 'match');
  } finally {
    await server.stop();
  }
  writeFileSync(key, original);
  const again = await data.serve();
  try {
    assert.equal((await again.lookup('people', keyOf(PERSONS[0]), token)).json.outcome, 'match');
  } finally {
    await again.stop();
  }
});

test('verify finds nothing in a directory that is whole', async () => {
  const { data } = await prepared();
  const report = await data.json(['verify', '--deep'], { tenant: null });
  assert.deepEqual(report, { ok: true, segments: 3, versions: 3, problems: [] });
  assert.match(await data.ok(['verify']), /3 segments/);
});

test('a key that is gone stops nothing that is open, and its return mends the rest', async () => {
  const { data, token } = await prepared();
  const hmac = join(data.directory, 'keys', 'dev', 'hmac');
  const person = () => keyOf(PERSONS[0]);
  let server = await data.serve();
  try {
    renameSync(hmac, `${hmac}.away`);
    assert.equal((await data.ingestCli('people', { people: data.file('p2.csv', csv(PERSONS)) })).code, 1);
    await data.ingest('things', { things: data.file('3.csv', csv(things(501))) });
    await until('the other dataset flips', async () => (await server.lookup('things', KEY, token)).json.version === 3);
    assert.equal((await server.lookup('people', person(), token)).json.outcome, 'match');
    assert.equal(await server.stop(), 0, server.log);

    server = await data.serve();
    assertProblem(await server.lookup('people', person(), token), 503, 'VERSION_UNAVAILABLE');
    assert.equal((await server.lookup('things', KEY, token)).json.version, 3);
    renameSync(`${hmac}.away`, hmac);
    const reply = await until('the key is found', async () => {
      const one = await server.lookup('people', person(), token);
      return one.status === 200 && one;
    });
    assert.equal(reply.json.outcome, 'match');
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

for (const part of [0, 0.5])
  test(`a file that is cut ${part ? 'in half' : 'to nothing'} while it is open: 503, alive, and mended by the same batch`, async () => {
    const { data, token, versions } = await prepared();
    const server = await data.serve();
    try {
      const path = segmentPath(data, versions[0]);
      assert.equal((await server.lookup('things', KEY, token)).status, 200);
      chmodSync(path, 0o640);
      truncateSync(path, Math.floor((statSync(path).size * part) / 4096) * 4096);
      await until('it is noticed', async () => {
        const replies = [await server.get('/v1/datasets/things/rollups/by_colour', token),
          await server.batch('things', rows.map((row) => ({ id: row.id })), token)];
        for (const reply of replies) if (reply.status !== 200) assertProblem(reply, 503);
        return (await server.get('/readyz?verbose=true')).json.unavailable === 1;
      });
      await assertOut(server, token);
      await data.ingest('things', { things: data.file('2.csv', csv(rows)) });
      const answer = await until('it is mended', async () => {
        const reply = await server.lookup('things', KEY, token);
        return reply.status === 200 && reply.json;
      });
      assert.equal(answer.record.weight, rows[0].weight);
      assert.equal((await server.get('/readyz?verbose=true')).json.unavailable, 0);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  });
