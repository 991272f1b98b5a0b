// The power fails in the middle of every operation: what was written and not yet synced is lost, or half
// of it is, or sectors of it. For every sync of a recorded run the disk is built as it may be just before
// that sync has an effect; then everything must hold (aftermath.mjs), and what had been answered is there.
//
// Without EVERLINE_FAULT_ALL=1 only a sample of the images is tried. The seed is in the name of each.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { tempDir } from '../kit/process.mjs';
import { ACTS, serve } from './acts.mjs';
import { aftermath, expectation, said, toleratedCounts } from './aftermath.mjs';
import { copy, OPERATIONS, pastOf } from './operations.mjs';
import { each, shares, tally } from './points.mjs';
import { Run } from './preload.mjs';
import { Disk, LOSSES, random } from './replay.mjs';

const SAMPLE = 16;
const SEEDS = 2; /* for the losses that are by chance */
const BY_CHANCE = ['half', 'torn'];
/* A server's writes of an act beside it are not all that is written: those acts are not whole records. */
const RECORDED = [...OPERATIONS, ...ACTS.filter((act) => act.asked)];

/** Runs the operation, or the server with its act, and records it; marks say from where on it has been
 *  answered, and what. */
async function record(operation) {
  const data = await copy(operation);
  const run = new Run(dirname(data.directory), 'record');
  const { server } = operation.act ? await serve(data, run) : {};
  const result = operation.act ? await operation.act(server, await data.token(), data, (word) => run.mark(word), run.env) : await data.cli(operation.run, { env: run.env });
  assert.equal(said(result), 'success', result.stderr);
  run.mark('success');
  if (server) assert.equal(await server.stop(), 0);
  return run.calls();
}

/** The images of the disk at every sync and at the end: {operation, past, call, loss, seed, image, word}. */
async function imagesOf(operation) {
  const past = await pastOf(operation);
  const calls = await record(operation);
  const base = dirname((await copy(operation)).directory);
  const disk = new Disk(base);
  const seen = new Set(), images = [];
  let word = 'nothing';
  const take = (call, index) => {
    for (const loss of Object.keys(LOSSES))
      for (let seed = 1; seed <= (BY_CHANCE.includes(loss) ? SEEDS : 1); seed++) {
        const image = disk.image(loss, random(seed * 7919 + index), call);
        const identity = `${word} ${image.identity}`;
        if (seen.has(identity)) continue;
        seen.add(identity);
        images.push({ operation, past, loss, seed, image, word, at: call ? `${call.number} (${call.name} ${call.path})` : 'its end' });
      }
  };
  for (const [index, call] of calls.entries()) {
    if (Disk.syncs(call)) take(call, index);
    disk.step(call);
    if (call.name === 'mark') word = call.path;
  }
  take(undefined, calls.length);
  return images;
}

async function attempt({ operation, past, loss, seed, image, word, at }) {
  const root = join(tempDir('power'), 'disk');
  const data = new Data(join(root, 'data'));
  try {
    image.write(root);
    const problems = await aftermath(data, operation, expectation(operation, past, word));
    return problems.map((text) => `${operation.name}, power lost at ${at}, ${loss}, seed ${seed}, answered: ${word}: ${text}`);
  } finally {
    for (const path of [dirname(root), data.files]) rmSync(path, { recursive: true, force: true });
  }
}

const images = new Map();
let chosen;

before(async () => {
  for (const operation of RECORDED) images.set(operation, await imagesOf(operation));
  chosen = shares(images, SAMPLE);
});

for (const operation of RECORDED)
  test(`${operation.name}: whole or not there when the power fails`, async (t) => {
    const mine = chosen.get(operation);
    const problems = (await each(mine, attempt)).flat();
    t.diagnostic(`${images.get(operation).length} images, tried ${mine.length} (${tally(mine, (one) => one.loss)})`);
    assert.deepEqual(problems, []);
  });

after(() => {
  for (const [name, count] of toleratedCounts) console.log(`# tolerated: ${name}, ${count} times`);
});
