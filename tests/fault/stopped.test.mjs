// Processes that are stopped (SIGSTOP), at a chosen call or while they wait: who waits for them and for
// how long, and what they do when they go on. Nothing is published twice, late, or by the wrong one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertProblem, Server } from '../kit/everline.mjs';
import { leftovers } from '../kit/files.mjs';
import { everlinePath, start, until } from '../kit/process.mjs';
import { copy, ingest, promote, put, rollback } from './operations.mjs';
import { Run } from './preload.mjs';
import { DATASETS } from './samples.mjs';
import { isStopped } from './stop.mjs';

const REASON = { reason: 'a test of faults' };
const key = DATASETS.people.keys[3];
const served = async (server, token) => (await server.lookup('people', key, token)).json.version;
const follows = (version, server, token) =>
  until(`version ${version} is served`, async () => (await served(server, token)) === version);

/** Starts a command and waits until it is stopped, before its first call to what begins with `path`. */
async function stopped(data, args, path) {
  const run = new Run(data.directory, `stop:${path}`);
  const command = start(everlinePath, [...args, '--data', data.directory], { env: run.env });
  await until('the command is stopped', () => {
    assert.ok(!command.exited, `it ended: ${command.stderr}`);
    return run.fired > 0 && isStopped(command.pid);
  });
  return command;
}

const IN_A_COMMIT = 'catalog.mdb';
const intoTheCatalog = (call) => call.path.endsWith('catalog.mdb');
const intoSegments = (call) => call.name === 'rename' && call.to.startsWith('segments');

test('a writer that is stopped: lookups and lists go on, moves wait, and are refused in time', async () => {
  const data = await copy({ from: 'two' });
  const server = await data.serve(), token = await data.token();
  const command = await stopped(data, rollback(2), IN_A_COMMIT);
  try {
    assert.equal(await served(server, token), 2);
    assert.equal((await server.get('/v1/datasets/people/versions', token)).status, 200);
    assert.equal((await server.get('/readyz')).status, 200);
    const [over, beside] = await Promise.all([
      server.post('/v1/datasets/people/rollback', token, { ...REASON, from: 2 }), data.cli(promote(1))]);
    assertProblem(over, 503, 'CATALOG_BUSY');
    assert.ok(Number(over.headers['retry-after']) > 0);
    assert.doesNotMatch(over.json.detail, new RegExp(`process|${command.pid}`)); /* that is for the log */
    assert.equal(beside.code, 3, beside.stderr);
    assert.match(beside.stderr, new RegExp(`process ${command.pid} \\(everline, stopped\\)`));
    assert.equal(await served(server, token), 2);
    const late = server.post('/v1/datasets/people/versions/1/promote', token, REASON);
    assert.equal(await served(server, token), 2); /* it waits, and others do not */
    command.child.kill('SIGCONT');
    const { code } = await command.ended, { status } = await late;
    /* Exactly one of them wins: the command rolls back what it saw, 2, or the request was before it. */
    if (code === 0) assert.ok([200, 409].includes(status), `${status}`);
    else assert.deepEqual([status, /version 1 is current, not version 2/.test(command.stderr)], [200, true], command.stderr);
    await follows(1, server, token);
  } finally {
    command.child.kill('SIGKILL');
    await server.stop();
  }
});

test('a server ends in time while its moves wait for a writer that is stopped', async () => {
  const data = await copy({ from: 'two' });
  const server = await data.serve(), token = await data.token();
  const command = await stopped(data, rollback(2), IN_A_COMMIT);
  try {
    const waiting = server.post('/v1/datasets/people/rollback', token, { ...REASON, from: 2 });
    await until('it has come', async () => Number((await server.get('/metrics')).text.match(/^everline_requests_in_flight (\d+)/m)[1]) >= 2);
    const begun = performance.now();
    server.process.child.kill('SIGTERM');
    assertProblem(await waiting, 503);
    assert.equal(await server.stop(), 0);
    assert.ok(performance.now() - begun < 9_000, 'nobody waited for the lock any more');
  } finally {
    command.child.kill('SIGKILL');
  }
});

test('the death of a stopped writer lets the others go on', async () => {
  const data = await copy({ from: 'two' });
  const server = await data.serve(), token = await data.token();
  const command = await stopped(data, rollback(2), IN_A_COMMIT);
  try {
    const waiting = server.post('/v1/datasets/people/rollback', token, { ...REASON, from: 2 });
    assert.equal(await served(server, token), 2);
    command.child.kill('SIGKILL');
    assert.equal((await waiting).status, 200);
    assert.equal(await served(server, token), 1);
  } finally {
    await server.stop();
  }
});

test('a worker that is stopped past its lease publishes nothing and harms nothing', async () => {
  const data = await copy({ from: 'one' });
  const server = await data.serve(), token = await data.token();
  const before = leftovers(data);
  const command = await stopped(data, [...ingest('b'), '--lease', '5s'], 'segments'); /* all but published */
  try {
    const row = await until('its lease has ended', async () =>
      (await data.versions('people')).find((one) => one.version === 2 && one.state === 'FAILED'));
    assert.equal(row.error.code, 'WORKER_LOST');
    const next = await data.cli(ingest('c')); /* its place is free */
    assert.equal(next.code, 0, next.stderr);
    await follows(3, server, token);
    command.child.kill('SIGCONT');
    assert.equal((await command.ended).code, 1, command.stderr);
    assert.match(command.stderr, /lease/);
    assert.equal(await served(server, token), 3);
    const states = (await data.versions('people')).map((one) => [one.version, one.state, one.current]);
    assert.deepEqual(states, [[3, 'SUCCEEDED', true], [2, 'FAILED', false], [1, 'SUCCEEDED', false]]);
    await until('what it built is swept', () => leftovers(data).length === before.length + 1);
    assert.equal(JSON.parse(await data.ok(['verify', '--deep', '--output', 'json'])).ok, true);
  } finally {
    command.child.kill('SIGKILL');
    await server.stop();
  }
});

test('a worker that is stopped while it waits for servers publishes nothing later', async () => {
  const data = await copy({ from: 'one' });
  const server = await data.serve(), token = await data.token();
  const run = new Run(data.directory);
  server.process.child.kill('SIGSTOP'); /* it will not acknowledge */
  const command = start(everlinePath, [...ingest('b'), '--lease', '5s', '--adopt-timeout', '10m', '--data', data.directory], { env: run.env });
  try {
    await until('it waits', () => run.calls().findLastIndex(intoTheCatalog) > run.calls().findLastIndex(intoSegments)
      && run.calls().some(intoSegments));
    for (let free = false; !free;) { /* not in the middle of a commit */
      command.child.kill('SIGSTOP');
      await until('it is stopped', () => isStopped(command.pid));
      free = (await data.cli(put('people'))).code === 0;
      if (!free) command.child.kill('SIGCONT');
    }
    server.process.child.kill('SIGCONT');
    const row = await until('its lease has ended', async () =>
      (await data.versions('people')).find((one) => one.version === 2 && one.state === 'FAILED'));
    assert.equal(row.error.code, 'WORKER_LOST');
    command.child.kill('SIGCONT');
    assert.equal((await command.ended).code, 1, command.stderr);
    assert.equal(await served(server, token), 1);
  } finally {
    command.child.kill('SIGKILL');
    await server.stop();
  }
});

test('a server that is stopped is not waited for for ever, and is not ready until it has caught up', async () => {
  const data = await copy({ from: 'one' });
  const [alive, late] = [await data.serve(), await data.serve()];
  const token = await data.token();
  try {
    late.process.child.kill('SIGSTOP');
    await until('it is stopped', () => isStopped(late.process.pid));
    const begun = performance.now();
    const result = await data.cli([...ingest('b'), '--adopt-timeout', '6s']);
    assert.equal(result.code, 0, result.stderr);
    assert.ok(performance.now() - begun >= 6000, 'it was waited for');
    await follows(2, alive, token);
    const asked = late.get('/readyz'); /* lies in its socket while it is stopped */
    late.process.child.kill('SIGCONT');
    const states = [await asked];
    while (states.at(-1).status !== 200) states.push(await late.get('/readyz'));
    assert.equal(await served(late, token), 2); /* ready is caught up */
  } finally {
    late.process.child.kill('SIGCONT');
    await Promise.all([alive.stop(), late.stop()]);
  }
});

test('a server that is stopped in the middle of its acknowledgement holds the lock until it goes on', async () => {
  const data = await copy({ from: 'one' });
  const run = new Run(data.directory, 'warm-stop');
  const server = new Server(data, [], { env: run.env });
  await server.ready();
  const token = await data.token();
  run.stopWarming();
  const command = start(everlinePath, [...ingest('b'), '--data', data.directory]);
  const stops = (times) => until('it is stopped', () => run.fired === times && isStopped(server.process.pid));
  try {
    await stops(1); /* while it warms: what it writes next is its acknowledgement */
    server.process.child.kill('SIGCONT');
    await stops(2);
    const other = await data.cli(rollback(1), {});
    assert.equal(other.code, 1, other.stderr); /* nothing to go back to: that is read, and reading goes on */
    server.process.child.kill('SIGCONT');
    assert.equal((await command.ended).code, 0, command.stderr);
    await follows(2, server, token);
  } finally {
    command.child.kill('SIGKILL');
    server.process.child.kill('SIGCONT');
    await server.stop();
  }
});
