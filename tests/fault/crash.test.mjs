// Every operation is broken off at every call that changes what the disk holds: killed before it, after
// it, in the middle of it, or told that it failed. Then everything must hold (aftermath.mjs).
//
// Without EVERLINE_FAULT_ALL=1 only a sample of the points is tried.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import { aftermath, expectation, said, survivors, toleratedCounts } from './aftermath.mjs';
import { copy, OPERATIONS, pastOf } from './operations.mjs';
import { each, everyPoint, shares, tally } from './points.mjs';
import { faultsOf, Run } from './preload.mjs';

const SAMPLE = 28;

/** server: one runs beside the operation; in the others nothing else has the catalog open. kills: the
 *  operation says nothing, unless it is its child that is killed. */
const KINDS = {
  kill: { server: false, kills: true },
  killafter: { server: true, kills: true },
  crash: { server: true, kills: true },
  short: { server: false, kills: true },
  eio: { server: true, kills: false },
  enospc: { server: true, kills: false },
  'enospc-from': { server: true, kills: false },
};

const serverBeside = (operation, wanted, data) => (wanted && operation.from !== 'nothing' ? data.serve() : null);

/** The run that nothing happens to: its calls. */
async function callsOf(operation, past, withServer) {
  const data = await copy(operation);
  const run = new Run(data.directory);
  const server = await serverBeside(operation, withServer, data);
  const result = await data.cli(operation.run, { env: run.env });
  await server?.stop();
  assert.equal(said(result), 'success', result.stderr);
  const calls = run.calls().filter((call) => call.number > 0);
  assert.equal(calls.length, run.count);
  if (!withServer && everyPoint) assert.deepEqual(await aftermath(data, operation, expectation(operation, past, 'success')), []);
  return calls;
}

/** Each call with every fault that it can have. */
async function pointsOf(operation, past) {
  const points = [];
  for (const server of [false, true])
    for (const call of await callsOf(operation, past, server))
      points.push(...faultsOf(call).filter((kind) => KINDS[kind].server === server).map((kind) => ({ operation, past, call, kind })));
  return points;
}

/** One point: what does not hold afterwards; null: the run went another way and did not come to it. */
async function attempt({ operation, past, call, kind }) {
  const data = await copy(operation);
  const run = new Run(data.directory, `${kind}:${call.number}`);
  const problems = [];
  let server;
  try {
    server = await serverBeside(operation, KINDS[kind].server, data);
    const result = await data.cli(operation.run, { env: run.env });
    const word = said(result);
    const expected = expectation(operation, past, word);
    if (word === 'no reason') problems.push(`ended with ${result.code} and said: ${result.stderr}`);
    if (word === 'nothing' && !(KINDS[kind].kills && result.signal === 'SIGKILL')) problems.push(`died of ${result.signal}`);
    if (server) {
      problems.push(...(await survivors(server, await data.token(), data, expected)).map((text) => `the server that ran: ${text}`));
      const code = await server.stop();
      if (code !== 0) problems.push(`the server that ran ended with ${code}: ${server.log.slice(-500)}`);
    }
    problems.push(...(await aftermath(data, operation, expected)));
    if (run.fired === 0 && problems.length === 0) return null;
    return problems.map((text) => `${kind}:${call.number} (${call.name} ${call.path}) of ${operation.name}, which said ${word}: ${text}`);
  } finally {
    await server?.stop();
    for (const path of [dirname(data.directory), data.files, dirname(run.log)]) rmSync(path, { recursive: true, force: true });
  }
}

const points = new Map();
let chosen;

before(async () => {
  for (const operation of OPERATIONS) points.set(operation, await pointsOf(operation, await pastOf(operation)));
  chosen = shares(points, SAMPLE);
});

for (const operation of OPERATIONS)
  test(`${operation.name}: whole or not there, wherever it is broken off`, async (t) => {
    const mine = chosen.get(operation);
    const results = await each(mine, attempt);
    const missed = results.filter((problems) => problems === null).length;
    t.diagnostic(`${points.get(operation).length} points, tried ${mine.length} (${tally(mine, (point) => point.kind)}), of which ${missed} were not reached`);
    assert.deepEqual(results.flat().filter((problem) => problem !== null), []);
    assert.ok(missed <= 1 + mine.length / 10, `${missed} points were not reached`);
  });

after(() => {
  for (const [name, count] of toleratedCounts) console.log(`# tolerated: ${name}, ${count} times`);
});
