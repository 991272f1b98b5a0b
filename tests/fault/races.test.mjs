// Two servers of one directory at the same version at the same moment: one retires it while the other
// does too, rolls back to it, or publishes its bytes again. The one is stopped in the middle, at a call of
// its choosing, until the other has come. Each has one outcome, what is served is there, and nothing stays.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { assertProblem, Server } from '../kit/everline.mjs';
import { filesBelow, segmentPath } from '../kit/files.mjs';
import { everlinePath, start, until } from '../kit/process.mjs';
import { copy, ingest, STRANGER, tenant } from './operations.mjs';
import { Run } from './preload.mjs';
import { DATASETS } from './samples.mjs';
import { judge, leftovers, look, namedSegments } from './state.mjs';
import { isStopped } from './stop.mjs';

const REASON = { reason: 'a test of races' };
const PEOPLE = '/v1/datasets/people';

/* Of version 1, which is neither current (3) nor what a rollback goes to by itself (2). */
const retire = (server, token) => server.request('DELETE', `${PEOPLE}/versions/1?reason=a+race`, { token });
const rollBack = (server, token) => server.post(`${PEOPLE}/rollback`, token, { ...REASON, from: 3, to: 1 });

/** first: what the one is stopped in, as it moves the head; then: what the other does, which is answered
 *  `loser`; current and state: of the head and of version 1 afterwards. */
const MOVES = [
  { first: retire, then: retire, loser: 'NOT_ALLOWED', current: 3, state: 'RETIRED' },
  { first: retire, then: rollBack, loser: 'NOT_SERVABLE', current: 3, state: 'RETIRED' },
  { first: rollBack, then: retire, loser: 'NOT_ALLOWED', current: 1, state: 'SUCCEEDED' },
];

let base, past;

before(async () => {
  base = await copy({ from: 'two' });
  await base.ok(ingest('c'));
  const data = base.copy(), server = await data.serve();
  past = await look(server, await data.token(), data.directory);
  await server.stop();
});

const segmentsOf = (data) => [...filesBelow(join(data.directory, 'segments'))].length;

/** What `current` and version 1 are, in each server; that its files are there, and no others. */
async function settled(data, servers, token, { current, state }) {
  let named;
  for (const server of servers) {
    await until(`version ${current} is served`, async () =>
      (await server.lookup('people', DATASETS.people.keys[0], token)).json.version === current);
    const seen = await look(server, token, data.directory);
    assert.deepEqual(judge(seen, { past, current: [current], gone: { name: 'things' } }), []);
    assert.equal(seen.people.versions.find((row) => row.version === 1).state, state);
    assert.equal(seen.people.events.filter(({ event }) => event === 'retired').length, state === 'RETIRED' ? 1 : 0);
    named = namedSegments(seen);
  }
  await until('files that nothing names are gone', () => segmentsOf(data) === named.size);
  for (const server of servers) assert.equal(await server.stop(), 0, server.log);
  assert.deepEqual(leftovers(data.directory, named), []);
  assert.equal(JSON.parse(await data.ok(['verify', '--deep', '--output', 'json'])).ok, true);
}

/** A server that is stopped before its first call to what begins with `path`, when `act` makes it come there. */
async function stoppedServer(data, path, token, act) {
  const run = new Run(data.directory, `stop:${path}`);
  const server = new Server(data, [], { env: run.env });
  await server.ready();
  const reply = act(server, token);
  await until(`it is stopped at ${path}`, () => {
    assert.ok(server.alive, server.log);
    return run.fired > 0 && isStopped(server.process.pid);
  });
  return { server, reply, goOn: () => server.process.child.kill('SIGCONT') };
}

for (const { first, then, loser, current, state } of MOVES)
  test(`${then.name} comes while ${first.name} holds the head: it waits, and is refused`, async () => {
    const data = base.copy(), token = await data.token();
    const other = await data.serve();
    const one = await stoppedServer(data, 'heads/dev/people', token, first);
    try {
      const late = then(other, token);
      assert.equal((await other.get(`${PEOPLE}/versions`, token)).status, 200); /* it has come by then */
      one.goOn();
      assert.equal((await one.reply).status, 200, (await one.reply).text);
      assertProblem(await late, 409, loser);
      await settled(data, [one.server, other], token, { current, state });
    } finally {
      one.goOn();
      await Promise.all([one.server.stop(), other.stop()]);
    }
  });

/* In the transaction that takes the files of the retired away, which others wait for; and after it. */
for (const [path, isLocked] of [['rename segments', true], ['unlink build/removed-', false]])
  test(`the bytes of what is retired are published again while its file is at ${path}`, async () => {
    const data = base.copy(), token = await data.token();
    const one = await stoppedServer(data, path, token, retire);
    try {
      const run = new Run(data.directory);
      const command = start(everlinePath, [...ingest('a'), '--adopt-timeout', '1s', '--data', data.directory], { env: run.env });
      if (isLocked) await until('it has come', () => run.calls().length > 0);
      else await command.ended;
      one.goOn();
      assert.equal((await command.ended).code, 0, command.stderr);
      assert.equal((await one.reply).status, 200);
      await settled(data, [one.server], token, { current: 4, state: 'RETIRED' });
    } finally {
      one.goOn();
      await one.server.stop();
    }
  });

/* Before it says that it needs the file, and after. The deletion beside it sweeps, whoever else does. */
for (const [path, stays] of [['fchmod build/', false], ['unlink build/', true]])
  test(`a version is retired whose bytes an ingest is about to publish, which is at ${path}`, async () => {
    const data = base.copy(), token = await data.token();
    const server = await data.serve(), run = new Run(data.directory, `stop:${path}`);
    const command = start(everlinePath, [...ingest('a'), '--data', data.directory], { env: run.env });
    try {
      const [, , first] = await data.versions('people');
      await until('it is stopped', () => {
        assert.ok(!command.exited, command.stderr);
        return run.fired > 0 && isStopped(command.pid);
      });
      assert.equal((await retire(server, token)).status, 200);
      await data.ok(['dataset', 'delete', 'things', '--tenant', 'dev', '--reason', REASON.reason]);
      assert.equal(existsSync(segmentPath(data, first)), stays);
      command.child.kill('SIGCONT');
      assert.equal((await command.ended).code, 0, command.stderr);
      await settled(data, [server], token, { current: 4, state: 'RETIRED' });
    } finally {
      command.child.kill('SIGKILL');
      await server.stop();
    }
  });

test('a version that is retired while a rollback to it waits for a server is not gone to', async () => {
  const data = base.copy();
  const [one, other, late] = [await data.serve(), await data.serve(), await data.serve()];
  const token = await data.token();
  try {
    for (let free = false; !free;) { /* it opens nothing, so that the rollback waits; not in the middle of a commit */
      late.process.child.kill('SIGSTOP');
      await until('it is stopped', () => isStopped(late.process.pid));
      free = (await data.cli(tenant(STRANGER))).code === 0;
      if (!free) late.process.child.kill('SIGCONT');
    }
    const waiting = rollBack(one, token);
    assert.equal((await retire(other, token)).status, 200);
    late.process.child.kill('SIGCONT');
    assertProblem(await waiting, 409, 'NOT_SERVABLE');
    await settled(data, [one, other, late], token, { current: 3, state: 'RETIRED' });
  } finally {
    late.process.child.kill('SIGCONT');
    await Promise.all([one.stop(), other.stop(), late.stop()]);
  }
});

test('of two that retire, or retire and roll back, in the same moment one does', async () => {
  for (const then of [retire, rollBack]) {
    const data = base.copy();
    const [one, other] = [await data.serve(), await data.serve()];
    const token = await data.token();
    try {
      const replies = await Promise.all([retire(one, token), then(other, token)]);
      assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 409], replies.map(({ text }) => text).join('\n'));
      const back = then === rollBack && replies[1].status === 200;
      await settled(data, [one, other], token, { current: back ? 1 : 3, state: back ? 'SUCCEEDED' : 'RETIRED' });
    } finally {
      await Promise.all([one.stop(), other.stop()]);
    }
  }
});
