// A backup is made while clients ask and a batch comes in, and is restored onto an empty machine:
// another directory, to which the keys are brought.
import assert from 'node:assert/strict';
import { chmodSync, cpSync, existsSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Data, everline } from '../kit/everline.mjs';
import { filesBelow, flipByte } from '../kit/files.mjs';
import { definitionPath, sources, truth } from '../kit/lifeline.mjs';
import { tempDir } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const TRUTHS = { 1: truth(2019), 2: truth(2020) };
const BATCH = 500;

const backup = (data, to) => data.json(['backup', '--to', to], { tenant: null });

/** Restores into a new directory; the keys are brought there first. */
async function restore(from, original) {
  const data = new Data(join(tempDir('restored'), 'data'));
  cpSync(join(original.directory, 'keys'), join(data.directory, 'keys'), { recursive: true });
  return { data, report: await data.json(['restore', '--from', from], { tenant: null }) };
}

/** Asks for everybody; returns the version that answered. */
async function askAll(server, token) {
  const everybody = TRUTHS[1];
  let version;
  for (let at = 0; at < everybody.length; at += BATCH) {
    const reply = await server.batch('lifeline', everybody.slice(at, at + BATCH).map((one) => one.key), token);
    assert.equal(reply.status, 200, reply.text);
    version ??= reply.json.version;
    assert.equal(reply.json.version, version);
    const records = TRUTHS[version].slice(at, at + BATCH).map(({ record }) => ({ outcome: 'match', record }));
    assert.deepEqual(reply.json.results, records);
  }
  return version;
}

/** A client that asks without pause until it is told to stop. */
function startClient(server, token) {
  const client = { asked: 0, running: true };
  client.ended = (async () => {
    for (let i = 0; client.running; i = (i + 37) % TRUTHS[1].length, client.asked++) {
      const { status, text, json } = await server.lookup('lifeline', TRUTHS[1][i].key, token);
      assert.equal(status, 200, text);
      assert.deepEqual(json.record, TRUTHS[json.version][i].record);
    }
  })();
  client.stop = () => { client.running = false; return client.ended; };
  return client;
}

test('a backup made under load is restored elsewhere and gives the same answers for every key', async () => {
  const data = await Data.make('dev');
  const to = tempDir('backups');
  await data.ok(['dataset', 'put', definitionPath], { tenant: 'dev' });
  await data.ingest('lifeline', sources(2019));
  const token = await data.token();
  const server = await data.serve();
  const client = startClient(server, token);
  const backups = [];
  try {
    let building = true;
    const ingest = data.ingest('lifeline', sources(2020)).finally(() => { building = false; });
    while (building) backups.push(await backup(data, to));
    await ingest;
    backups.push(await backup(data, to));
    await client.stop();
    assert.ok(client.asked > 0);
    assert.equal(await askAll(server, token), 2);
  } finally {
    client.running = false;
    assert.equal(await server.stop(), 0, server.log);
  }

  // The first has version 1, and each segment was copied once, by whoever saw it first.
  assert.deepEqual([backups[0].versions, backups[0].copied], [1, 1]);
  assert.equal(backups.reduce((sum, one) => sum + one.copied, 0), 2);
  for (const [one, version] of [[backups[0], 1], [backups.at(-1), 2]]) {
    const restored = await restore(one.backup, data);
    assert.deepEqual(restored.report.keys.map((key) => key.state), ['present']);
    assert.equal((await restored.data.cli(['verify', '--deep'])).code, 0);
    const elsewhere = await restored.data.serve();
    try {
      assert.equal(await askAll(elsewhere, await restored.data.token()), version);
      assert.equal(await askAll(elsewhere, token), version); // the token keys are the same
    } finally {
      assert.equal(await elsewhere.stop(), 0, elsewhere.log);
    }
    for (const row of await restored.data.versions('lifeline'))
      assert.ok(row.state === 'SUCCEEDED' || row.error.code === 'RESTORED', JSON.stringify(row));
    const next = await restored.data.ingest('lifeline', sources(2020));
    assert.equal(next.state, 'SUCCEEDED');
  }
});

test('no key is in a backup, and both commands say which are needed', async () => {
  const data = await Data.make('dev');
  const to = tempDir('backups');
  await data.ok(['dataset', 'put', definitionPath], { tenant: 'dev' });
  await data.ingest('lifeline', sources(2019));
  const [key] = readdirSync(join(data.directory, 'keys', 'dev', 'hmac'));
  const told = await data.ok(['backup', '--to', to]);
  assert.match(told, /Keys are not in it/);
  assert.ok(told.includes(`dev/hmac/${key}`), told);
  assert.deepEqual([...filesBelow(to)].filter((path) => /keys|\.key$|\.pem$/.test(path)), []);

  const empty = join(tempDir('restored'), 'data');
  const restored = await everline(['restore', '--from', to, '--data', empty]);
  assert.equal(restored.code, 0, restored.stderr);
  assert.ok(restored.stdout.includes(`key dev/hmac/${key} is missing`), restored.stdout);
  cpSync(join(data.directory, 'keys'), join(empty, 'keys'), { recursive: true });
  const server = await new Data(empty).serve();
  try {
    assert.equal(await askAll(server, await new Data(empty).token()), 1);
  } finally {
    await server.stop();
  }
});

const damages = {
  'one bit flipped': (path) => flipByte(path, Math.floor(statSync(path).size / 2)),
  cut: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  emptied: (path) => truncateSync(path, 0),
};
test('a backup of which any file is damaged is refused, and nothing is left behind', async () => {
  const data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('1.csv', csv(things(50))) });
  const whole = tempDir('backups');
  await backup(data, whole);
  const needed = [...filesBelow(whole)].map((path) => path.slice(whole.length + 1))
    .filter((path) => !['lock', 'verified.json'].includes(path));
  assert.equal(needed.length, 5); // catalog, manifest, tenant, head, segment
  for (const file of needed)
    for (const [name, damage] of Object.entries(damages)) {
      const copy = tempDir('damaged');
      cpSync(whole, copy, { recursive: true });
      chmodSync(join(copy, file), 0o640);
      damage(join(copy, file));
      const directory = join(tempDir('restored'), 'data');
      const result = await everline(['restore', '--from', copy, '--data', directory]);
      assert.equal(result.code, 1, `${file} ${name}: ${result.stdout}${result.stderr}`);
      assert.match(result.stderr, /restore an older backup/);
      assert.equal(existsSync(directory), false);
    }
});
