// A tenant that floods the queue: nobody else waits longer than its turn, and no job that was
// acknowledged is lost when every process is killed.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const JOBS = 1000, DATASETS = 3;
const ENDED = 12; /* of them: the first, whose end is waited for */
/* A 202 is to take less than 10 ms at the median, and takes 1; with fifteen processes at work on two cores it took 9. What
   is looked for here is one that waits: for a batch that is built, or for the rest of the queue. Where the disk is slow,
   batches are too, and half of one is the measure. */
const MEDIAN_MS = 50;
const DEADLINE_MS = 240_000;

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
/** What it resolves to; how long that took is added to the times. */
async function timed(times, ask) {
  const start = performance.now(), result = await ask();
  times.push(performance.now() - start);
  return result;
}

/** Those that the process made, by any of its threads, and theirs. */
function descendants(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
      .flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return []; /* it has ended */
  }
}

test('a flood is taken, a second tenant gets its turn, and nothing is lost when everything is killed', async (t) => {
  const data = await Data.make('dev', 'other');
  const inbox = tempDir('inbox');
  for (const tenant of ['dev', 'other']) {
    mkdirSync(join(inbox, tenant));
    for (let i = 0; i < 3; i++) writeFileSync(join(inbox, tenant, `${i}.csv`), csv(things(50, i)));
  }
  for (let i = 0; i < DATASETS; i++) await data.put({ ...THINGS, name: `d${i}` });
  await data.put(THINGS, { tenant: 'other' });
  await data.ingest('d0', { things: join(inbox, 'dev', '0.csv') });
  const [token, other] = [await data.token(), await data.token({ tenant: 'other' })];
  let server = await data.serve('--inbox', inbox);
  t.after(() => server.stop());

  let asking = true;
  const asked = [];
  const asks = (async () => {
    while (asking) assert.equal((await timed(asked, () => server.get('/v1/datasets/d0/records/t00000', token))).status, 200);
  })();
  const submit = async (dataset, i, as) => {
    const reply = await server.post(`/v1/datasets/${dataset}/ingests`, as, { sources: [{ path: `${i % 3}.csv` }] });
    assert.equal(reply.status, 202, reply.text);
    return reply.json.job;
  };
  const jobs = [], took = [];
  for (let i = 0; i < JOBS; i++) jobs.push(await timed(took, () => submit(`d${i % DATASETS}`, i, token)));
  const medians = { accepted: median(took), lookup: median(asked.slice()) };
  const gauge = async (name) => Number((await server.get('/metrics')).text.match(new RegExp(`^${name} (\\d+)`, 'm'))[1]);
  await until('the metrics tell of the flood', async () => await gauge('everline_jobs_queued') > 1 && await gauge('everline_jobs_running') === 1);

  const job = async (id, as) => (await server.get(`/v1/jobs/${id}`, as)).json;
  const theirs = await submit('things', 0, other);
  const mine = await until('the other tenant\'s job has started', async () => {
    const row = await job(theirs, other);
    return row.started_at && row;
  }, DEADLINE_MS);
  const all = async () => {
    const rows = [];
    for (const id of jobs) rows.push(await job(id, token));
    return rows;
  };
  const rows = await all();
  const built = median(rows.filter((row) => row.ended_at).map((row) => Date.parse(row.ended_at) - Date.parse(row.started_at)));
  t.diagnostic(`medians in ms: ${JSON.stringify({ ...medians, built })}`);
  for (const [what, ms] of Object.entries(medians)) assert.ok(ms < Math.max(MEDIAN_MS, built / 2), `${what}: ${ms} ms, a batch ${built}`);
  const between = rows.filter((row) => row.started_at > mine.created_at && row.started_at < mine.started_at);
  assert.ok(between.length <= 1, `${between.length} of the flood were begun while it waited`); /* one may be begun as it comes */
  assert.ok(rows.some((row) => row.state === 'queued'));
  asking = false;
  await asks;

  const victims = await until('a batch is being built', () => {
    const found = descendants(server.process.pid);
    return found.length > 1 && found;
  });
  for (const pid of [server.process.pid, ...victims]) {
    try { process.kill(pid, 'SIGKILL'); } catch { /* it died with its parent */ }
  }
  await server.process.ended;
  server = await data.serve('--inbox', inbox);
  for (const row of await all()) assert.ok(['queued', 'running', 'succeeded'].includes(row.state), JSON.stringify(row));
  const ends = await Promise.all([...jobs.slice(0, ENDED).map((id) => [id, token]), [theirs, other]].map(([id, as]) =>
    until(`${id} has ended`, async () => {
      const row = await job(id, as);
      return row.ended_at && row;
    }, DEADLINE_MS, 100)));
  for (const row of ends) assert.equal(row.state, 'succeeded', JSON.stringify(row));
  t.diagnostic(`begun twice: ${ends.filter((row) => row.attempt === 2).map((row) => row.job)}`);
  assert.ok(ends.every((row) => row.attempt <= 2));
  for (let i = 0; i < DATASETS; i++) {
    const begun = ends.filter((row) => row.dataset === `d${i}`).map((row) => row.ended_at);
    assert.deepEqual(begun, [...begun].sort(), 'the order of a dataset is kept');
  }
});
