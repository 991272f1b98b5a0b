// A disk that is really full: a small tmpfs in a mount namespace of its own. An ingest that does not fit
// fails and says so, what was served is served, and with room again everything works.
//
// Without EVERLINE_FAULT_ALL=1 only some amounts of room are tried.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, openSync, readdirSync, rmSync, statSync, statfsSync, writeSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Data } from '../kit/everline.mjs';
import { leftovers } from '../kit/files.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { aftermath, expectation, said, survivors } from './aftermath.mjs';
import { OPERATIONS, pastOf, prepared } from './operations.mjs';
import { sample } from './points.mjs';
import { DATASETS } from './samples.mjs';

const DISK_BYTES = 12 << 20;
const PAGE = 4096;
const SAMPLE = 5;
const MOUNT = `mount -t tmpfs -o size=${DISK_BYTES} everline "$0" && exec "$@"`;

/* ---- into the namespace: as root, or as who is root in a user namespace ---- */

const disk = process.env.EVERLINE_FAULT_DISK;
const inside = (flags, directory, ...command) => spawnSync('unshare', [...flags, '--propagation', 'private', 'sh', '-c', MOUNT, directory, ...command],
  { stdio: command.length > 1 ? 'inherit' : 'pipe', env: { ...process.env, EVERLINE_FAULT_DISK: directory }, encoding: 'utf8' });
let why = false;
if (!disk) {
  const directory = tempDir('disk');
  const tried = [['-m'], ['-r', '-m']].map((flags) => ({ flags, ...inside(flags, directory, 'true') }));
  const way = tried.find(({ status }) => status === 0);
  if (way) process.exit(inside(way.flags, directory, process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)).status ?? 1);
  why = `no mount namespace: ${tried.map(({ error, stderr }) => error?.message ?? stderr.trim()).join('; ')}`;
}

/* ---- in it ---- */

const ballast = () => join(disk, 'ballast');
const room = () => { const { bavail, bsize } = statfsSync(disk); return bavail * bsize; };

/** Fills the disk but for `pages`. */
function fill(pages) {
  const fd = openSync(ballast(), 'w');
  const page = Buffer.alloc(PAGE, 1);
  while (room() > pages * PAGE) writeSync(fd, page);
  closeSync(fd);
}

const operationNamed = (name) => OPERATIONS.find((operation) => operation.name === name);

/** An empty disk with a fresh copy of what the operation starts from. */
async function fresh(operation) {
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
  const data = new Data(join(disk, 'data'));
  cpSync((await prepared(operation)).directory, data.directory, { recursive: true });
  return data;
}

const auditBytes = (data) => readdirSync(join(data.directory, 'audit', 'dev'))
  .reduce((sum, name) => sum + statSync(join(data.directory, 'audit', 'dev', name)).size, 0);

/** A server that has written to the audit: what it writes later has room on a full disk, too. */
async function served(data) {
  const server = await data.serve(), token = await data.token(), before = auditBytes(data);
  assert.equal((await server.lookup('people', DATASETS.people.keys[0], token)).status, 200);
  await until('it is written', () => auditBytes(data) > before);
  return { server, token };
}

/** Runs the command beside a server, with so much room; then all must hold. Gives what it said. */
async function runIn(pages, operation, args = operation.run) {
  const past = await pastOf(operation);
  const data = await fresh(operation);
  const { server, token } = await served(data);
  try {
    fill(pages);
    const result = await data.cli(args);
    const word = said(result);
    const at = `${pages} pages of room, said ${word}`;
    assert.notEqual(word, 'no reason', `${at}: ${result.code} ${result.stderr}`);
    assert.notEqual(word, 'nothing', `${at}: ${result.signal}`);
    if (word !== 'success') assert.match(result.stderr, /No space left|disk may be full|whether it happened/, at);
    const expected = expectation(operation, past, word);
    assert.deepEqual(await survivors(server, token, data, expected), [], at);
    rmSync(ballast());
    assert.equal(await server.stop(), 0, server.log);
    assert.deepEqual(await aftermath(data, operation, expected), [], `${at}: ${result.stderr}`);
    return { word, stderr: result.stderr };
  } finally {
    await server.stop();
  }
}

test('an ingest that is larger than the disk fails, says so and leaves nothing', { skip: why }, async (t) => {
  const path = join(tempDir('large'), 'things-z.csv');
  const rows = Array.from({ length: 400_000 }, (_, i) => `t${i},red,${i % 100},2024-01-01\n`);
  writeFileSync(path, `id,colour,weight,made\n${rows.join('')}`);
  const nothing = { ...operationNamed('dataset put'), description: undefined };
  const { word, stderr } = await runIn(2 << 20, nothing, ['ingest', 'things', '--tenant', 'dev', '--source', path]);
  assert.equal(word, 'failure');
  t.diagnostic(stderr.trim().split('\n').join('; '));
});

test('with less room than an ingest needs it fails and says so, with enough it succeeds', { skip: why }, async (t) => {
  const operation = operationNamed('ingest');
  const words = new Map();
  const all = Array.from({ length: 50 }, (_, pages) => pages);
  for (const pages of sample(all, SAMPLE)) {
    const { word } = await runIn(pages, operation);
    words.set(word, (words.get(word) ?? 0) + 1);
  }
  t.diagnostic([...words].map(([word, count]) => `${word} ${count}`).join(', '));
  assert.ok(words.get('failure') > 0);
  assert.equal((await runIn(1 << 10, operation)).word, 'success');
});

test('sent over HTTP: with whatever room, an upload is refused or its job fails, says so and leaves nothing', { skip: why }, async (t) => {
  const past = await pastOf(operationNamed('dataset put'));
  const data = await fresh(operationNamed('dataset put'));
  const { server, token } = await served(data);
  const rows = Array.from({ length: 75_000 }, (_, i) => `t${i},red,${i % 100},2024-01-01\n`);
  const body = `id,colour,weight,made\n${rows.join('')}`, before = leftovers(data), words = [];
  try {
    for (const pages of [0, 8, 300, Math.ceil(body.length / PAGE) + 60]) {
      fill(pages);
      const reply = await server.post('/v1/datasets/things/ingests', token, body, { 'content-type': 'text/csv' }).catch((error) => error);
      if (reply.status === 202) {
        const row = await until('the job has ended', async () => {
          const { json } = await server.get(`/v1/jobs/${reply.json.job}`, token);
          return json.ended_at && json;
        });
        assert.equal(row.state, 'failed', JSON.stringify(row));
        assert.match(`${row.error.message} ${row.error.hint}`, /No space left|disk may be full/, JSON.stringify(row));
        words.push(`${pages}: ${row.error.code}`);
      } else {
        assert.equal(reply.status, 507, reply.text ?? reply.message);
        words.push(`${pages}: ${reply.json.code}`);
      }
      rmSync(ballast());
      await until('nothing is left', () => JSON.stringify(leftovers(data)) === JSON.stringify(before));
    }
    t.diagnostic(words.join(', '));
    assert.ok(words.every((word) => /: (FULL|IO)$/.test(word)), words.join(', '));
    assert.deepEqual(await survivors(server, token, data, expectation(operationNamed('dataset put'), past, 'failure')), []);
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

for (const name of ['rollback', 'promotion', 'dataset put'])
  test(`${name} without room`, { skip: why }, async (t) => {
    const operation = operationNamed(name);
    const words = [];
    for (const pages of sample([0, 1, 2, 3, 4, 6, 8, 12, 16, 24], 2)) words.push(`${pages}: ${(await runIn(pages, operation)).word}`);
    t.diagnostic(words.join(', '));
  });

/** The commands that only read. */
async function readEverything(data) {
  for (const [args, tenant] of [[['versions', 'people'], 'dev'], [['get', '/v1/datasets/people/versions'], 'dev'],
    [['diff', 'people', '1', '2'], 'dev'], [['verify', '--deep'], null], [['dataset', 'list'], 'dev'], [['tenant', 'list'], null]])
    await data.ok(args, { tenant });
}

test('on a full disk what only reads works, beside a server that goes on', { skip: why }, async () => {
  const operation = operationNamed('rollback');
  const past = await pastOf(operation);
  const data = await fresh(operation);
  const { server, token } = await served(data);
  try {
    fill(0);
    await readEverything(data);
    await data.ok(['backup', '--to', tempDir('backups')]);
    const end = auditBytes(data) + 8 * PAGE; /* each lookup of a protected key is written */
    while (auditBytes(data) < end) assert.deepEqual(await survivors(server, token, data, expectation(operation, past, 'failure')), []);
    rmSync(ballast());
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

test('on a disk that can only be read what only reads works, and what writes says why it cannot', { skip: why }, async () => {
  const data = await fresh(operationNamed('rollback'));
  const mount = (how) => assert.equal(spawnSync('mount', ['-o', `remount,${how}`, disk]).status, 0);
  mount('ro');
  try {
    await readEverything(data);
    const { code, stderr } = await data.cli(operationNamed('rollback').run);
    assert.equal(code, 1);
    assert.match(stderr, /could only be read/);
  } finally {
    mount('rw');
  }
  assert.equal((await data.cli(operationNamed('rollback').run)).code, 0);
});
