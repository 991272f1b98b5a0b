// The scrub: what changes on the disk is found in the background, before somebody needs it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { rot, segmentPath } from '../kit/files.mjs';
import { buildDir, cleanEnv, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const rows = things(500);
const KEY = { id: rows[0].id };
const OFTEN = ['--scrub-interval', '100ms'];

let original;

async function make() {
  const data = await Data.make('dev');
  await data.put(THINGS);
  for (const n of [100, 200, 500]) await data.ingest('things', { things: data.file(`${n}.csv`, csv(rows.slice(0, n))) });
  return data;
}

/** Three versions: 3 is current, 2 what a rollback goes to, 1 closed. */
async function prepared() {
  original ??= make();
  const data = (await original).copy();
  const versions = await data.versions('things');
  const paths = Object.fromEntries(versions.map((v) => [v.version, segmentPath(data, v)]));
  for (const path of Object.values(paths)) chmodSync(path, 0o640);
  return { data, paths, token: await data.token() };
}

async function metric(server, name) {
  const found = (await server.get('/metrics')).text.match(new RegExp(`^everline_scrub_${name} (\\d+)$`, 'm'));
  assert.ok(found, `there is no metric everline_scrub_${name}`);
  return Number(found[1]);
}

const verbose = async (server) => (await server.get('/readyz?verbose=true')).json;
const damaged = async (server, count) => (await verbose(server)).damaged_segments === count;
const old = (server, token) => server.post('/v1/datasets/things/lookup?version=1', token, { key: KEY });
const middle = (path) => Math.floor(statSync(path).size / 2);

/** Each answer is right, or says that there is none. */
async function honest(server, token, version) {
  const reply = await server.lookup('things', KEY, token);
  if (reply.status !== 200) return assertProblem(reply, 503, 'VERSION_UNAVAILABLE');
  assert.deepEqual([reply.json.version, reply.json.record.weight], [version, rows[0].weight]);
  return null;
}

async function served(data, args, fn) {
  const servers = [];
  try {
    for (const more of args) servers.push(await data.serve(...more));
    return await fn(...servers);
  } finally {
    for (const server of servers) if (server.alive) assert.equal(await server.stop(), 0, server.log);
  }
}

test('a bit that turns in a version that nobody has open is found, and a whole file in its place too', async () => {
  const { data, paths, token } = await prepared();
  copyFileSync(paths[1], `${paths[1]}.whole`);
  rot(paths[1], middle(paths[1]));
  await served(data, [OFTEN], async (server) => {
    await until('it is found', () => damaged(server, 1));
    assert.equal((await verbose(server)).unavailable, 0);
    assert.equal(await honest(server, token, 3), null);
    assert.ok(await metric(server, 'failures_total') >= 1);
    assert.equal(await metric(server, 'damaged_segments'), 1);
    await server.logged('dev/things version 1: segment');
    assertProblem(await old(server, token), 503, 'VERSION_UNAVAILABLE');
    assert.equal((await data.cli(['verify'])).code, 1);

    renameSync(`${paths[1]}.whole`, paths[1]);
    await until('the whole file is found', () => damaged(server, 0));
    await until('it is served', async () =>
      (await old(server, token)).json.record?.weight === rows[0].weight);
  });
});

test('a bit that turns in what is served takes it out, and the log has the command that mends it', async () => {
  const { data, paths, token } = await prepared();
  await served(data, [OFTEN, OFTEN], async (...servers) => {
    for (const server of servers) assert.equal(await honest(server, token, 3), null);
    rot(paths[3], middle(paths[3]));
    for (const server of servers) {
      await until('every server has taken it out', () => honest(server, token, 3));
      assert.deepEqual((await verbose(server)).reasons, { SEGMENT_DAMAGED: 1 });
      assert.ok(server.alive);
    }
    const line = await until('one of them tells of it', () =>
      servers.flatMap((server) => server.log.split('\n').slice(0, -1)).find((text) => text.includes('"event":"scrub"')));
    const [command] = JSON.parse(line).message.match(/everline rollback .* --reason ".*?"/);
    execFileSync('sh', ['-c', command], { env: cleanEnv({ PATH: `${buildDir}${delimiter}${process.env.PATH}` }) });
    for (const server of servers) {
      await until('every server is back', async () => (await server.lookup('things', KEY, token)).json.version === 2);
      assert.equal((await verbose(server)).unavailable, 0);
    }
    assertProblem(await servers[0].post('/v1/datasets/things/versions/3/promote', token, { reason: 'x' }), 409, 'NOT_SERVABLE');
    const again = await data.ingestCli('things', { things: data.file('500.csv', csv(rows)) });
    assert.equal(again.code, 4, 'held: it is equal to what was rolled back from');
    await until('its file is whole again', () => damaged(servers[0], 0));
  });
});

test('a file that is gone while it is open is told of, and served on until a restart', async () => {
  const { data, paths, token } = await prepared();
  await served(data, [OFTEN], async (server) => {
    unlinkSync(paths[3]);
    await until('it is found', () => damaged(server, 1));
    await server.logged('version 3 (current): segment');
    assert.equal(await honest(server, token, 3), null);
  });
  await served(data, [OFTEN], async (server) => {
    assert.deepEqual((await verbose(server)).reasons, { SEGMENT_MISSING: 1 });
    assert.ok(await honest(server, token, 3));
  });
});

test('a rollback that names no target goes past a version that is known to be bad', async () => {
  const { data, paths, token } = await prepared();
  rot(paths[2], middle(paths[2]));
  await served(data, [OFTEN], (server) => until('it is found', () => damaged(server, 1)));
  const head = await data.json(['rollback', 'things', '--reason', 'x', '--from', '3']);
  assert.equal(head.current, 1);
  await served(data, [OFTEN], (server) => honest(server, token, 1));
});

test('one of several servers reads, another one when that is killed, and none what was read lately', async () => {
  const { data } = await prepared();
  const read = (server) => metric(server, 'segments_total');
  await served(data, [OFTEN, OFTEN], async (...servers) => {
    const reader = await until('one reads', async () => {
      for (const server of servers) if (await read(server) >= 6) return server;
      return null;
    });
    const other = servers.find((server) => server !== reader);
    assert.equal(await read(other), 0);
    assert.ok(await metric(reader, 'bytes_total') >= Object.values(await data.versions('things')).reduce((sum, v) => sum + v.bytes, 0));
    reader.process.child.kill('SIGKILL');
    await until('the other one reads', () => read(other));
  });
  const since = Math.floor(Date.now() / 1000);
  await served(data, [[]], async (server) => {
    const complete = await until('a round is over', () => metric(server, 'complete_timestamp_seconds'));
    assert.ok(complete <= since && complete > since - 600, `${complete}, ${since}`);
    assert.equal(await read(server), 0);
  });
});

test('a server stops at once while it reads slowly', async () => {
  const { data } = await prepared();
  const server = await data.serve(...OFTEN, '--scrub-rate', '1', '--drain-timeout', '5s');
  await until('it reads', () => existsSync(join(data.directory, 'run', 'scrub')));
  const began = performance.now();
  assert.equal(await server.stop(), 0, server.log);
  assert.ok(performance.now() - began < 20_000);
});
