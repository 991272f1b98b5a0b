// The server itself is what suffers: at every call with which it changes what the disk holds, from its
// start to its end, while it does something. A server that is killed takes nothing with it; one that is
// told that a call failed lives, answers, and catches up.
//
// Without EVERLINE_FAULT_ALL=1 only a sample of the points is tried.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { before, test } from 'node:test';
import { ACTS, serve } from './acts.mjs';
import { aftermath, expectation, said, survivors } from './aftermath.mjs';
import { copy, pastOf } from './operations.mjs';
import { each, shares, tally } from './points.mjs';
import { faultsOf, Run } from './preload.mjs';
import { DATASETS } from './samples.mjs';

const SAMPLE = 8;
async function pointsOf(operation) {
  const data = await copy(operation);
  const run = new Run(data.directory);
  const { server } = await serve(data, run);
  try {
    const result = await operation.act(server, await data.token(), data);
    assert.equal(said(result), 'success', result.stderr);
    const past = await pastOf(operation);
    assert.deepEqual(await survivors(server, await data.token(), data, expectation(operation, past, 'success')), []);
    assert.equal(await server.stop(), 0);
    return run.calls().filter((call) => call.number > 0)
      .flatMap((call) => faultsOf(call).map((kind) => ({ operation, past, call, kind })));
  } finally {
    await server.stop();
  }
}

async function attempt({ operation, past, call, kind }) {
  const data = await copy(operation);
  const run = new Run(data.directory, `${kind}:${call.number}`);
  const kills = ['kill', 'killafter', 'short', 'crash'].includes(kind);
  const problems = [];
  const { server, result: failed } = await serve(data, run);
  try {
    const token = await data.token();
    const result = failed ?? await operation.act(server, token, data);
    const word = said(result);
    const expected = expectation(operation, past, failed ? 'failure' : word);
    if (word === 'no reason') problems.push(`ended with ${result.code} and said: ${result.stderr}`);
    if (!server.alive && !(kills && run.fired > 0) && !failed) problems.push(`the server died: ${server.log.slice(-500)}`);
    if (!kills && !failed) {
      const seen = await survivors(server, token, data, expected);
      /* On a disk that stays full the audit cannot be written, and without it nobody learns of a person. */
      const silent = kind === 'enospc-from' && (await server.lookup('people', DATASETS.people.keys[0], token)).json.code === 'AUDIT_UNAVAILABLE';
      problems.push(...seen.filter((text) => !silent || !text.startsWith('people: ')).map((text) => `the server: ${text}`));
      const code = await server.stop();
      if (code !== 0) problems.push(`the server ended with ${code}: ${server.log.slice(-500)}`);
    }
    await server.stop();
    problems.push(...await aftermath(data, operation, expected));
    if (run.fired === 0 && problems.length === 0) return null;
    return problems.map((text) => `${kind}:${call.number} (${call.name} ${call.path}) of a server, ${operation.name} said ${word}: ${text}`);
  } catch (error) {
    return [`${kind}:${call.number} (${call.name} ${call.path}) of a server, ${operation.name}: ${error.message}; ${server.log.slice(-1000)}`];
  } finally {
    await server.stop();
    for (const path of [dirname(data.directory), data.files, dirname(run.log)]) rmSync(path, { recursive: true, force: true });
  }
}

const points = new Map();
let chosen;

before(async () => {
  for (const operation of ACTS) points.set(operation, await pointsOf(operation));
  chosen = shares(points, SAMPLE);
});

for (const operation of ACTS)
  test(`a server, at ${operation.name}`, async (t) => {
    const mine = chosen.get(operation);
    const results = await each(mine, attempt);
    const missed = results.filter((problems) => problems === null).length;
    t.diagnostic(`${points.get(operation).length} points, tried ${mine.length} (${tally(mine, (point) => point.kind)}), of which ${missed} were not reached`);
    assert.deepEqual(results.flat().filter((problem) => problem !== null), []);
    assert.ok(missed <= 1 + mine.length / 3, `${missed} points were not reached`);
  });
