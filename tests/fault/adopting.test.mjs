// Servers that die while they adopt a candidate: in the middle of warming it, or when they have just
// acknowledged it. The publisher waits for whoever lives, and for nobody else; what it says is so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '../kit/everline.mjs';
import { everlinePath, start, until } from '../kit/process.mjs';
import { aftermath, expectation } from './aftermath.mjs';
import { copy, ingest, OPERATIONS, pastOf } from './operations.mjs';
import { Run } from './preload.mjs';
import { DATASETS } from './samples.mjs';
import { isStopped } from './stop.mjs';

const INGEST = OPERATIONS.find(({ name }) => name === 'ingest');
const key = DATASETS.people.keys[3];
const served = async (server, token) => (await server.lookup('people', key, token)).json.version;
const current = async (data) => (await data.versions('people')).find((row) => row.current)?.version;
const publish = (data, letter) => start(everlinePath, [...ingest(letter), '--adopt-timeout', '10m', '--data', data.directory]);

async function serve(data, run) {
  const server = new Server(data, [], { env: run.env });
  await server.ready();
  return server;
}

/** A server that has stopped in the middle of warming what `command` publishes. */
async function warming(data, fault = 'warm') {
  const run = new Run(data.directory, fault);
  const server = await serve(data, run);
  run.stopWarming();
  const command = publish(data, 'b');
  await until('it is stopped in the middle of warming', () => {
    assert.ok(!command.exited, `nobody waited for it: ${command.stderr}`);
    return run.fired > 0 && isStopped(server.process.pid);
  });
  return { server, command, run };
}

/** Everything that must hold, with fresh processes. */
const whole = async (data, word) =>
  assert.deepEqual(await aftermath(data, INGEST, expectation(INGEST, await pastOf(INGEST), word)), []);

test('a server that is killed in the middle of warming is not waited for', async () => {
  const data = await copy(INGEST);
  const alive = await data.serve(), token = await data.token();
  const { server, command } = await warming(data);
  try {
    assert.equal(await served(alive, token), 1);
    assert.equal(await current(data), 1, 'the publisher waits for it');
    server.process.child.kill('SIGKILL');
    assert.equal((await command.ended).code, 0, command.stderr);
    await until('the other one serves it', async () => (await served(alive, token)) === 2);
    const again = await data.serve();
    assert.equal(await served(again, token), 2);
    assert.equal(await again.stop(), 0);
    assert.equal(await alive.stop(), 0);
    await whole(data, 'success');
  } finally {
    for (const one of [alive, server]) await one.stop('SIGKILL');
    command.child.kill('SIGKILL');
  }
});

test('when the only server dies in the middle of warming, the next one serves the new version', async () => {
  const data = await copy(INGEST);
  const { server, command } = await warming(data);
  try {
    server.process.child.kill('SIGKILL');
    assert.equal((await command.ended).code, 0, command.stderr);
    await whole(data, 'success');
  } finally {
    await server.stop('SIGKILL');
    command.child.kill('SIGKILL');
  }
});

test('when the publisher dies while a server warms, the server goes on with the old version', async () => {
  const data = await copy(INGEST);
  const { server, command } = await warming(data);
  const token = await data.token();
  try {
    command.child.kill('SIGKILL');
    await command.ended;
    server.process.child.kill('SIGCONT');
    await until('its version has failed', async () =>
      (await data.versions('people')).some((row) => row.version === 2 && row.state === 'FAILED'));
    assert.equal(await served(server, token), 1);
    assert.equal((await server.get('/readyz')).status, 200);
    assert.equal(await server.stop(), 0);
    await whole(data, 'failure');
  } finally {
    await server.stop('SIGKILL');
    command.child.kill('SIGKILL');
  }
});

test('a server that is killed just after its acknowledgement changes nothing for the others', async () => {
  const data = await copy(INGEST);
  const alive = await data.serve(), token = await data.token();
  alive.process.child.kill('SIGSTOP'); /* it acknowledges nothing yet */
  await until('it is stopped', () => isStopped(alive.process.pid));
  const { server, command, run } = await warming(data, 'warm-kill');
  try {
    server.process.child.kill('SIGCONT');
    await server.process.ended;
    assert.equal(run.fired, 2);
    assert.equal(await current(data), 1, 'the publisher waits for the other one');
    assert.ok(!command.exited, command.stderr);
    alive.process.child.kill('SIGCONT');
    assert.equal((await command.ended).code, 0, command.stderr);
    await until('the other one serves it', async () => (await served(alive, token)) === 2);
    assert.equal(await alive.stop(), 0);
    await whole(data, 'success');
  } finally {
    for (const one of [alive, server]) await one.stop('SIGKILL');
    command.child.kill('SIGKILL');
  }
});
