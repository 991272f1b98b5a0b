// A worker that is killed in the middle of an ingest changes nothing, leaves nothing running, and is no
// hindrance to the next one.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { buildersOf, ingestPath, start, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, token, big;
const KEY = { id: 't00001' };

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('small.csv', csv(things(10))) });
  big = data.file('big.csv', csv(things(400_000)));
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const buildFiles = () => [...filesBelow(join(data.directory, 'build'))].map((path) => path.split('/').at(-1));
const running = (pid) => existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

const moments = {
  'when its build directory appears': () => readdirSync(join(data.directory, 'build')).length > 0,
  'when its child works': (worker) => !worker.exited && buildersOf(worker.pid).length > 0,
  'when it writes the segment': () => buildFiles().some((name) => name.endsWith('.mdb')),
};
for (const [name, reached] of Object.entries(moments))
  for (const victim of ['the worker', 'its child'])
    test(`${victim} is killed ${name}`, async (t) => {
      const current = (await server.lookup('things', KEY, token)).json.version;
      const newest = (await data.versions('things'))[0].version;
      const worker = start(ingestPath, ['ingest', 'things', '--data', data.directory, '--tenant', 'dev', '--source', big]);
      await until(name, () => worker.exited || reached(worker), undefined, 0);
      let children = [];
      if (victim === 'its child') children = await until('it has a child', () => worker.exited || (buildersOf(worker.pid).length && buildersOf(worker.pid)));
      assert.ok(!worker.exited, `it ended before it could be killed: ${worker.stderr}`);
      children = buildersOf(worker.pid);
      process.kill(victim === 'its child' ? children[0] : worker.pid, 'SIGKILL');
      const { code } = await worker.ended;
      assert.notEqual(code, 0);
      await until('its child is gone too', () => children.every((pid) => !running(pid)));
      assert.equal((await server.lookup('things', KEY, token)).json.version, current);
      await until('the server swept its directory', () => readdirSync(join(data.directory, 'build')).length === 0);

      const row = await data.ingest('things', { things: data.file('next.csv', csv(things(20 + newest))) });
      assert.equal(row.outcome, 'flipped');
      await until('it is served', async () => (await server.lookup('things', KEY, token)).json.version === row.version);
      const states = (await data.versions('things')).filter((v) => v.version > newest).map((v) => v.state);
      t.diagnostic(`states since: ${states.join(', ')}`);
      assert.equal(states[0], 'SUCCEEDED');
      assert.ok(states.slice(1).every((state) => state === 'FAILED'), states.join(', '));
      assert.deepEqual(readdirSync(join(data.directory, 'build')), []);
      assert.equal((await data.cli(['verify', '--deep'])).code, 0);
    });

test('a server that is killed leaves a directory that serves again', async () => {
  const other = await data.serve();
  other.process.child.kill('SIGKILL');
  await other.process.ended;
  const again = await data.serve();
  assert.equal((await again.lookup('things', KEY, token)).json.outcome, 'match');
  assert.equal(await again.stop(), 0);
});

test('SIGTERM ends an ingest as failed, and says so', async () => {
  const worker = start(ingestPath, ['ingest', 'things', '--data', data.directory, '--tenant', 'dev', '--source', big]);
  await until('it works', () => worker.exited || buildersOf(worker.pid).length > 0, undefined, 0);
  worker.child.kill('SIGTERM');
  const { code } = await worker.ended;
  assert.equal(code, 1, worker.stderr);
  assert.match(worker.stderr, /cancel/i);
  assert.deepEqual(readdirSync(join(data.directory, 'build')), []);
});
