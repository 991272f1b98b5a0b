// What saves a data directory, and brings one back, is broken off at every call that changes what the
// disk holds: a backup, a restore, a rebuild of the catalog. What was there before is there still, what
// is half done is not taken for whole, and doing it again succeeds and gives the same answers.
//
// Without EVERLINE_FAULT_ALL=1 only a sample of the points is tried.
import assert from 'node:assert/strict';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { tempDir } from '../kit/process.mjs';
import { said } from './aftermath.mjs';
import { OPERATIONS, prepared } from './operations.mjs';
import { each, shares, tally } from './points.mjs';
import { faultsOf, Run } from './preload.mjs';
import { look } from './state.mjs';

const SAMPLE = 24;
const TWO = OPERATIONS.find((operation) => operation.from === 'two');

/** A place with a data directory and room for backups beside it. */
async function place() {
  const root = tempDir('saving');
  const data = new Data(join(root, 'data'));
  cpSync((await prepared(TWO)).directory, data.directory, { recursive: true });
  return { root, data, backups: join(root, 'backups') };
}

/** What the directory answers: events are not part of a rebuilt catalog. */
async function answersOf(data) {
  const server = await data.serve();
  try {
    const seen = await look(server, await data.token(), data.directory);
    return Object.fromEntries(Object.entries(seen).map(([name, { current, answers, rollup }]) => [name, { current, answers, rollup }]));
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
}

const backup = ({ data, backups }) => data.cli(['backup', '--to', backups]);
const restored = async ({ root, backups }, env) => {
  const data = new Data(join(root, 'restored'));
  if (!env) rmSync(data.directory, { recursive: true, force: true });
  const result = await data.cli(['restore', '--from', backups], { env });
  if (result.code === 0) cpSync(join(root, 'data', 'keys'), join(data.directory, 'keys'), { recursive: true });
  return { data, result };
};

/** prepare: before it. run: what is broken off. after(place, word): what must hold of what is left. */
const SAVINGS = {
  'a backup': {
    prepare: () => {},
    run: (at, env) => at.data.cli(['backup', '--to', at.backups], { env }),
    after: async (at) => {
      const again = await backup(at);
      assert.equal(again.code, 0, again.stderr);
      const { data, result } = await restored(at);
      assert.equal(result.code, 0, result.stderr);
      return data;
    },
  },
  'a restore': {
    prepare: async (at) => assert.equal((await backup(at)).code, 0),
    run: async (at, env) => (await restored(at, env)).result,
    after: async (at, word) => {
      const half = new Data(join(at.root, 'restored'));
      if (word !== 'success' && existsSync(half.directory)) {
        const opened = await half.cli(['verify', '--deep']);
        assert.equal(opened.signal, null);
        if (opened.code === 0) assert.ok(existsSync(join(half.directory, 'catalog.mdb')), 'an empty directory is taken for whole');
      }
      const { data, result } = await restored(at);
      assert.equal(result.code, 0, result.stderr);
      return data;
    },
  },
  'a rebuild': {
    prepare: (at) => rmSync(join(at.data.directory, 'catalog.mdb')),
    run: (at, env) => at.data.cli(['catalog', 'rebuild'], { env }),
    after: async (at) => {
      const again = await at.data.cli(['catalog', 'rebuild']);
      if (again.code !== 0) assert.match(again.stderr, /nothing is wrong with the catalog/);
      return at.data;
    },
  },
};

async function pointsOf(saving) {
  const at = await place();
  await saving.prepare(at);
  const run = new Run(at.root);
  const result = await saving.run(at, run.env);
  assert.equal(said(result), 'success', result.stderr);
  return run.calls().filter((call) => call.number > 0)
    .flatMap((call) => faultsOf(call).map((kind) => ({ saving, call, kind })));
}

/** One point: what does not hold afterwards; null: the run did not come to it. */
async function attempt({ saving, call, kind }) {
  const at = await place();
  const run = new Run(at.root, `${kind}:${call.number}`);
  const where = `${kind}:${call.number} (${call.name} ${call.path})`;
  try {
    await saving.prepare(at);
    const result = await saving.run(at, run.env);
    const word = said(result);
    assert.notEqual(word, 'no reason', `${result.code} ${result.stderr}`);
    assert.ok(word !== 'nothing' || result.signal === 'SIGKILL', `it died of ${result.signal}`);
    const data = await saving.after(at, word);
    assert.deepEqual(await answersOf(data), truth, `it said ${word}`);
    const verified = await data.cli(['verify', '--deep']);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    if (data !== at.data) assert.equal((await at.data.cli(['verify', '--deep'])).code, 0);
    return run.fired ? [] : null;
  } catch (error) {
    return [`${where}: ${error.message}`];
  } finally {
    for (const path of [at.root, at.data.files, dirname(run.log)]) rmSync(path, { recursive: true, force: true });
  }
}

let truth, points, chosen;
before(async () => {
  truth = await answersOf((await place()).data);
  points = new Map();
  for (const [name, saving] of Object.entries(SAVINGS)) points.set(name, await pointsOf(saving));
  chosen = shares(points, SAMPLE);
});

for (const name of Object.keys(SAVINGS))
  test(`${name} that is broken off is done again and gives the same answers`, async (t) => {
    const mine = chosen.get(name);
    const results = await each(mine, attempt);
    const missed = results.filter((problems) => problems === null).length;
    t.diagnostic(`${points.get(name).length} points, tried ${mine.length} (${tally(mine, (point) => point.kind)}), of which ${missed} were not reached`);
    assert.deepEqual(results.flat().filter((problem) => problem !== null), []);
    assert.ok(missed <= 1 + mine.length / 10, `${missed} points were not reached`);
  });
