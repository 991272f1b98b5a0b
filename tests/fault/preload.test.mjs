// The library itself, under a program whose calls are known: node, told to write files.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, tempDir } from '../kit/process.mjs';
import { copy, OPERATIONS } from './operations.mjs';
import { Run } from './preload.mjs';

/* Every call once, and some that do not count. Paths are below the current directory. */
const SCRIPT = `
  const fs = require('fs');
  fs.mkdirSync('d');
  const a = fs.openSync('d/a', 'w');
  fs.writeSync(a, Buffer.from('abcdefgh'));
  fs.writeSync(a, Buffer.from('IJKL'), 0, 4, 2);
  fs.writevSync(a, [Buffer.from('mno'), Buffer.from('pqr')], 4);
  fs.fsyncSync(a);
  fs.fdatasyncSync(a);
  fs.ftruncateSync(a, 9);
  fs.fchmodSync(a, 0o640);
  fs.renameSync('d/a', 'd/b');
  fs.writeSync(a, Buffer.from('s'));
  fs.writeFileSync('d/c', 'tuv');
  fs.linkSync('d/c', 'd/e');
  fs.unlinkSync('d/b');
  const s = fs.openSync('d/c', fs.constants.O_WRONLY | fs.constants.O_DSYNC);
  fs.writeSync(s, Buffer.from('T'), 0, 1, 0);
  try { fs.mkdirSync('d'); } catch {}
  fs.closeSync(fs.openSync('d/c', 'a'));
  fs.writeFileSync('${tempDir('elsewhere')}/file', 'not counted');
  process.stderr.write('nor is this\\n');
  fs.unlinkSync('d/c');
  fs.unlinkSync('d/e');
  fs.rmdirSync('d');
`;
const CALLS = ['mkdir d', 'create d/a', 'write d/a', 'pwrite d/a', 'pwritev d/a', 'fsync d/a', 'fdatasync d/a',
  'ftruncate d/a', 'fchmod d/a', 'rename d/a d/b', 'write d/b', 'create d/c', 'write d/c',
  'link d/c d/e', 'unlink d/b', 'pwrite d/c', 'unlink d/c', 'unlink d/e', 'rmdir d'];

/** Runs the script below a new directory. */
async function script(what) {
  const root = join(realpathSync(tempDir('root')), 'root');
  mkdirSync(root);
  const trace = new Run(root, what);
  const result = await run(process.execPath, ['-e', SCRIPT], { cwd: root, env: trace.env });
  return { root, trace, result, read: (name) => readFileSync(join(root, name), 'latin1') };
}

const short = (call) => [call.name, call.path, call.to].filter(Boolean).join(' ');
const numberOf = (name) => CALLS.indexOf(name) + 1;

test('every call below the root is counted, no other', async () => {
  const { trace, result } = await script('count');
  assert.equal(result.code, 0, result.stderr);
  const calls = trace.calls().map(short);
  assert.deepEqual(calls, CALLS);
  assert.equal(trace.count, calls.length);
  assert.equal(trace.fired, 0);
});

test('a record has what was written, and where', async () => {
  const { trace, result } = await script('record');
  assert.equal(result.code, 0, result.stderr);
  const writes = trace.calls().filter((call) => call.bytes.length).map((call) => [short(call), call.a, call.bytes.toString('latin1'), call.synced]);
  assert.deepEqual(writes, [['write d/a', 0, 'abcdefgh', false], ['pwrite d/a', 2, 'IJKL', false],
    ['pwritev d/a', 4, 'mnopqr', false], ['write d/b', 8, 's', false], ['write d/c', 0, 'tuv', false], ['pwrite d/c', 0, 'T', true]]);
});

test('a copy inside the kernel is recorded too', async () => {
  const root = realpathSync(tempDir('root'));
  writeFileSync(join(root, 'from'), 'x'.repeat(100_000));
  const trace = new Run(root, 'record');
  const result = await run('cp', [join(root, 'from'), join(root, 'to')], { env: trace.env });
  assert.equal(result.code, 0, result.stderr);
  const writes = trace.calls().filter((call) => call.bytes.length);
  assert.deepEqual(writes.map((call) => [call.path, call.a]), [['to', 0], ['to', 65536]], 'pieces of 64 KiB');
  assert.equal(Buffer.concat(writes.map((call) => call.bytes)).toString(), 'x'.repeat(100_000));
});

test('it is killed before a call, after it, and in the middle of it', async () => {
  const number = numberOf('write d/a');
  for (const [what, text] of [[`kill:${number}`, ''], [`killafter:${number}`, 'abcdefgh'], [`short:${number}`, 'abcd'],
    [`crash:${number}`, ''], [`short:${numberOf('pwritev d/a')}`, 'abIJmnoh']]) {
    const { trace, result, read } = await script(what);
    assert.equal(result.signal, 'SIGKILL', `${what}: ${result.stderr}`);
    assert.equal(trace.fired, 1);
    assert.equal(read('d/a'), text, what);
  }
});

test('a call fails with the error that is asked for, once', async () => {
  for (const [what, error] of [[`eio:${numberOf('fsync d/a')}`, 'EIO'], [`enospc:${numberOf('write d/a')}`, 'ENOSPC'],
    [`eio:${numberOf('rename d/a d/b')}`, 'EIO'], [`enospc:${numberOf('mkdir d')}`, 'ENOSPC'], [`eio:${numberOf('create d/c')}`, 'EIO']]) {
    const { trace, result } = await script(what);
    assert.equal(result.code, 1, what);
    assert.match(result.stderr, new RegExp(error), what);
    assert.equal(trace.fired, 1, what);
  }
});

test('no room: a sync is none of it, what needs room fails from then on', async () => {
  const sync = await script(`enospc:${numberOf('fsync d/a')}`);
  assert.equal(sync.result.code, 0, sync.result.stderr);
  assert.equal(sync.trace.fired, 0);
  const from = await script(`enospc-from:${numberOf('fdatasync d/a')}`);
  assert.match(from.result.stderr, /ENOSPC.*ftruncate/);
  assert.equal(from.read('d/a'), 'abIJmnopqr');
});

test('a fault that is not known stops the program', async () => {
  const { result, root } = await script('nothing:1');
  assert.equal(result.code, 125);
  assert.ok(!existsSync(join(root, 'd')));
});

test('the calls of the child that an ingest starts are counted with its own', async () => {
  const data = await copy(OPERATIONS.find((operation) => operation.name === 'ingest'));
  const trace = new Run(data.directory);
  const result = await data.cli(OPERATIONS.find((operation) => operation.name === 'ingest').run, { env: trace.env });
  assert.equal(result.code, 0, result.stderr);
  const calls = trace.calls();
  const theirs = calls.filter((call) => call.child);
  assert.ok(theirs.some((call) => call.name === 'pwrite' && call.path.endsWith('/segment.mdb')));
  assert.deepEqual(theirs.map(({ path }) => path).filter((path) => !/^(build|audit|run)\/|^(\.|audit|catalog\.mdb|catalog\.mdb-lock)$/.test(path)),
    [], 'the child writes in its build directory, and who notes the act in the audit and its anchor');
  assert.ok(calls.some((call) => !call.child && call.name === 'fdatasync' && call.path === 'catalog.mdb'));
  assert.deepEqual(calls.filter((call) => call.name === 'map').map((call) => call.path).filter((path) => path !== 'catalog.mdb-lock'),
    [], 'nothing but the lock is written through a mapping');
  rmSync(data.directory, { recursive: true });
});
