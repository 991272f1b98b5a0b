// Ingests at times of the day: at their minute, and once for all that was missed. The
// servers' clock is ahead of ours, so that nobody waits for the minute.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Data, Server } from '../kit/everline.mjs';
import { buildDir, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const LIBRARY = join(buildDir, 'tests', 'fault_ahead.so');
const MINUTE_MS = 60_000;
const SCHEDULED = { ...THINGS, schedule: { cron: '* * * * *', sources: { things: ['daily/*.csv'] } } };
let data, token, inbox, due;

before(async () => {
  assert.ok(existsSync(LIBRARY), `${LIBRARY} is not there: the minute would have to come`);
  data = await Data.make('dev');
  inbox = tempDir('inbox');
  mkdirSync(join(inbox, 'dev', 'daily'), { recursive: true });
  writeFileSync(join(inbox, 'dev', 'daily', 'monday.csv'), csv(things(5)));
  await until('this minute has room for what follows', () => Date.now() % MINUTE_MS < MINUTE_MS - 5000);
  await data.put(SCHEDULED);
  due = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS;
  token = await data.token();
});

/** A server for which it is `at`, and which goes on from there. */
async function serveAt(t, at) {
  const ahead = Math.round((at - Date.now()) / 1000);
  const server = new Server(data, ['--inbox', inbox], { env: { LD_PRELOAD: LIBRARY, EVERLINE_AHEAD_S: String(ahead) } });
  t.after(() => server.stop('SIGKILL'));
  await server.ready();
  return server;
}

const jobs = async (server) => (await server.get('/v1/jobs?dataset=things', token)).json.items;
const allEnded = (server, count) => until(`${count} jobs have ended`, async () => {
  const items = await jobs(server);
  return items.length >= count && items.every((job) => job.ended_at) && items;
});

test('at its minute a job is started, once, and what was missed meanwhile is one more', async (t) => {
  const both = await Promise.all([serveAt(t, due - 2000), serveAt(t, due - 2000)]);
  const [job, ...more] = await allEnded(both[0], 1);
  assert.deepEqual([job.state, job.actor, more], ['succeeded', 'schedule', []], JSON.stringify(job));
  assert.ok(Date.parse(job.created_at) >= due, `it was not yet time at ${job.created_at}`);
  assert.deepEqual(job.sources, [{ source: 'things', path: 'daily/*.csv' }]);
  await until('it is served', async () => (await both[0].get('/v1/datasets/things/records/t00001', token)).json.version === 1);
  for (const server of both) assert.equal(await server.stop(), 0);

  writeFileSync(join(inbox, 'dev', 'daily', 'tuesday.csv'), csv(things(9).slice(5)));
  const later = await serveAt(t, due + 5 * MINUTE_MS + 1000);
  const [next, first, ...others] = await allEnded(later, 2);
  assert.deepEqual([next.state, next.version, first.job, others], ['succeeded', 2, job.job, []], JSON.stringify(next));
  assert.equal((await data.versions('things'))[0].rows.read, 9);
  assert.equal((await jobs(later)).length, 2);
  assert.equal(await later.stop(), 0);
});
