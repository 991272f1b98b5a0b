// The replay loses what a disk may lose, keeps what it must keep, and would notice a program that forgets
// to sync.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, tempDir } from '../kit/process.mjs';
import { Run } from './preload.mjs';
import { Disk, LOSSES, random } from './replay.mjs';

/** Runs a script in a directory that holds `old` with the bytes AAAA, and says what is there after a power
 *  failure at its end, for each loss: {loss: {name: bytes}}. `at`: before the call of that number instead. */
async function after(script, at = Infinity) {
  const base = join(realpathSync(tempDir('base')), 'base'), root = join(realpathSync(tempDir('root')), 'root');
  for (const directory of [base, root]) {
    mkdirSync(directory);
    writeFileSync(join(directory, 'old'), 'AAAA');
  }
  const trace = new Run(root, 'record');
  const result = await run(process.execPath, ['-e', `const fs = require('fs'); ${script}`], { cwd: root, env: trace.env });
  assert.equal(result.code, 0, result.stderr);
  const disk = new Disk(base);
  const calls = trace.calls();
  for (const call of calls) if (call.number < at) disk.step(call);
  const found = {};
  for (const loss of Object.keys(LOSSES)) {
    const to = join(tempDir('image'), 'image');
    disk.image(loss, random(1), calls.find((call) => call.number === at)).write(to);
    found[loss] = Object.fromEntries(readdirSync(to, { recursive: true }).sort()
      .filter((name) => statSync(join(to, name)).isFile()).map((name) => [name, readFileSync(join(to, name), 'latin1')]));
  }
  return found;
}

const WRITE = (name, bytes) => `const f = fs.openSync('${name}', 'w'); fs.writeSync(f, Buffer.from('${bytes}'));`;
const SYNC_DIRECTORY = "fs.fsyncSync(fs.openSync('.', 'r'));";

test('what is not synced may be lost', async () => {
  const found = await after(WRITE('new', 'BBBB'));
  assert.deepEqual(found.dropped, { old: 'AAAA' });
  assert.deepEqual(found['names only'], { new: '', old: 'AAAA' });
  assert.deepEqual(found['bytes only'], { old: 'AAAA' });
});

test('a file that is synced has its bytes, but perhaps no name', async () => {
  const found = await after(`${WRITE('new', 'BBBB')} fs.fdatasyncSync(f);`);
  assert.deepEqual(found.dropped, { old: 'AAAA' });
  assert.deepEqual(found['names only'], { new: 'BBBB', old: 'AAAA' });
});

test('a name whose directory is synced is there, but perhaps not its bytes', async () => {
  const found = await after(`${WRITE('new', 'BBBB')} ${SYNC_DIRECTORY}`);
  assert.deepEqual(found.dropped, { new: '', old: 'AAAA' });
  assert.deepEqual(found['bytes only'], { new: 'BBBB', old: 'AAAA' });
});

test('a directory is renamed with what is in it', async () => {
  const made = `fs.mkdirSync('d'); ${WRITE('d/new', 'BBBB')} fs.fsyncSync(f);`, moved = "fs.renameSync('d', 'e');";
  const unsynced = await after(`${made} ${moved} ${SYNC_DIRECTORY}`);
  assert.deepEqual(unsynced.dropped, { old: 'AAAA' });
  assert.deepEqual(unsynced['names only'], { 'e/new': 'BBBB', old: 'AAAA' });
  const synced = `${made} fs.fsyncSync(fs.openSync('d', 'r')); ${SYNC_DIRECTORY} ${moved}`;
  assert.deepEqual((await after(synced)).dropped, { 'd/new': 'BBBB', old: 'AAAA' });
  for (const loss of Object.keys(LOSSES))
    assert.deepEqual((await after(`${synced} ${SYNC_DIRECTORY}`))[loss], { 'e/new': 'BBBB', old: 'AAAA' }, loss);
});

test('what is synced as it must be is there whatever is lost', async () => {
  const found = await after(`${WRITE('tmp', 'BBBB')} fs.fsyncSync(f); fs.renameSync('tmp', 'old'); ${SYNC_DIRECTORY}`);
  for (const loss of Object.keys(LOSSES)) assert.deepEqual(found[loss], { old: 'BBBB' }, loss);
});

test('a replacement without a sync of its bytes may be an empty file', async () => {
  const found = await after(`${WRITE('tmp', 'BBBB')} fs.renameSync('tmp', 'old'); ${SYNC_DIRECTORY}`);
  assert.deepEqual(found.dropped, { old: '' });
});

test('a rename that is not synced happened or did not', async () => {
  const found = await after(`${WRITE('tmp', 'BBBB')} fs.fsyncSync(f); ${SYNC_DIRECTORY} fs.renameSync('tmp', 'old');`);
  assert.deepEqual(found.dropped, { old: 'AAAA', tmp: 'BBBB' });
  assert.deepEqual(found['names only'], { old: 'BBBB' });
});

test('a removal that is not synced may not have happened', async () => {
  const found = await after("fs.unlinkSync('old');");
  assert.deepEqual(found.dropped, { old: 'AAAA' });
  assert.deepEqual(found['names only'], {});
});

test('what is in a directory that is lost is out of reach', async () => {
  const found = await after(`fs.mkdirSync('d'); ${WRITE('d/new', 'BBBB')} fs.fsyncSync(f); fs.fsyncSync(fs.openSync('d', 'r'));`);
  assert.deepEqual(found.dropped, { old: 'AAAA' });
  assert.deepEqual(found['names only'], { 'd/new': 'BBBB', old: 'AAAA' });
});

test('a descriptor that writes through needs no sync', async () => {
  const found = await after("fs.writeSync(fs.openSync('old', fs.constants.O_WRONLY | fs.constants.O_DSYNC), Buffer.from('B'));");
  for (const loss of Object.keys(LOSSES)) assert.deepEqual(found[loss], { old: 'BAAA' }, loss);
});

test('a truncation that is not synced may not have happened', async () => {
  const found = await after("fs.ftruncateSync(fs.openSync('old', 'r+'), 2);");
  assert.deepEqual([found.dropped.old, found['bytes only'].old], ['AAAA', 'AA']);
});

test('a write is torn between its sectors, never within one', async () => {
  const script = `const f = fs.openSync('old', 'r+'); fs.writeSync(f, Buffer.alloc(${20 * 512}, 'B'), 0, ${20 * 512}, 0);`;
  const { torn } = await after(script);
  const sectors = torn.old.padEnd(20 * 512, '\0').match(/[^]{512}/g);
  const kinds = new Set(sectors.map((sector) => [...new Set(sector)].join('')));
  assert.ok([...kinds].every((kind) => ['B', '\0', 'A\0'].includes(kind)), JSON.stringify([...kinds]));
  assert.ok(kinds.size > 1, 'something is lost, something is kept');
});

test('in the middle of a write that goes through it may be there or not', async () => {
  const script = "fs.writeSync(fs.openSync('old', fs.constants.O_WRONLY | fs.constants.O_DSYNC), Buffer.from('B'));";
  const found = await after(script, 1);
  assert.deepEqual([found.dropped.old, found['bytes only'].old], ['AAAA', 'BAAA']);
});

test('the same seed loses the same', () => {
  const numbers = (seed) => { const next = random(seed); return Array.from({ length: 8 }, next); };
  assert.deepEqual(numbers(5), numbers(5));
  assert.notDeepEqual(numbers(5), numbers(6));
  assert.ok(numbers(7).every((n) => n >= 0 && n < 1));
});

test('what no record can show is refused', () => {
  const disk = new Disk(tempDir('base'));
  const call = { number: 1, to: '', a: 0, bytes: Buffer.alloc(0) };
  assert.throws(() => disk.step({ ...call, name: 'map', path: 'catalog.mdb' }), /mapping/);
  assert.doesNotThrow(() => disk.step({ ...call, name: 'map', path: 'catalog.mdb-lock' }));
  assert.throws(() => disk.step({ ...call, name: 'fallocate', path: 'x' }), /nobody knows/);
  assert.doesNotThrow(() => disk.step({ ...call, name: 'reserve', path: 'x' }));
});
