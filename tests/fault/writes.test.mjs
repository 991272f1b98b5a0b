// How the worker writes a segment of some megabytes: LMDB writes up to 64 pages with one call, and the
// kernel gets them in pieces, so that no lookup waits long for a core (ingest/writev.c).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leftovers } from '../kit/files.mjs';
import { copy } from './operations.mjs';
import { Run } from './preload.mjs';

const ROWS = 40_000, PAGE = 4096, PIECE = 32 << 10;
const file = `id,colour,weight,made\n${Array.from({ length: ROWS }, (_, i) => `t${i},red,${i},2024-01-01\n`).join('')}`;

/** Ingests them with that fault. */
async function ingest(what) {
  const data = await copy({ from: 'one' });
  const before = leftovers(data);
  const run = new Run(data.directory, what);
  const result = await data.cli(['ingest', 'things', '--tenant', 'dev', '--source', data.file('many.csv', file)], { env: run.env });
  return { data, before, run, result };
}

const ofSegment = (call) => call.name === 'writev' && call.path.startsWith('build/');

/** Whether it goes on where the call before ended. */
const follows = (call, i, calls) => i > 0 && ofSegment(call) && ofSegment(calls[i - 1]) &&
  calls[i - 1].path === call.path && calls[i - 1].a + calls[i - 1].bytes.length === call.a;

test('no call writes more than eight pages, and nothing of what LMDB gave is missing', async () => {
  const { data, run, result } = await ingest('record');
  assert.equal(result.code, 0, result.stderr);
  const calls = run.calls(), lengths = calls.filter(ofSegment).map((call) => call.bytes.length);
  assert.ok(Math.max(...lengths) === PIECE, `the longest has ${Math.max(...lengths)} bytes`);
  const following = calls.filter(follows).length;
  assert.ok(following * PIECE > 64 * PAGE, `${following} pieces go on where the one before ended`);
  await data.ok(['verify', '--deep']);
});

test('a disk that is full behind the first piece is told as such', async () => {
  const piece = (await ingest('record')).run.calls().find(follows);
  const { data, before, run, result } = await ingest(`enospc:${piece.number}`);
  assert.equal(run.fired, 1);
  assert.notEqual(result.code, 0);
  assert.match(result.stderr, /No space left/);
  assert.deepEqual(leftovers(data), before);
});
