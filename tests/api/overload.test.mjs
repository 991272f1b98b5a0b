// More requests than the server can answer: the excess is refused at once, what is answered is answered in time, a
// tenant that asks little does not notice, and moves are made.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Load, quantile } from '../bench/load.mjs';
import { assertProblem, Data } from '../kit/everline.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';
import { until } from '../kit/process.mjs';

const ROWS = 1000, PATH = '/v1/datasets/things/lookup/batch';
const HASTY = 128; /* connections that ask for the whole batch, and again at once */
const KEYS = JSON.stringify({ keys: things(ROWS).map(({ id }) => ({ id })) });
let data, server;

before(async () => {
  data = await Data.make('dev');
  await data.ok(['tenant', 'put', 'small']);
  for (const tenant of ['dev', 'small']) await data.put(THINGS, { tenant });
  const file = data.file('t.csv', csv(things(ROWS)));
  for (const tenant of ['dev', 'small']) await data.ingest('things', { things: file }, { tenant });
  await data.ingest('things', { things: data.file('fewer.csv', csv(things(ROWS - 1))) });
  server = await data.serve('--max-wait', '50ms', '--workers', '1');
});
after(() => server?.stop());

const shed = async (of = server) => Number((await of.get('/metrics')).text.match(/^everline_requests_shed_total (\d+)/m)[1]);

test('the excess is refused, the others are not, and when it is over everybody is answered', async () => {
  const token = await data.token(), small = await data.token({ tenant: 'small' });
  assert.equal(await shed(), 0);
  const flood = new Load(server, PATH, token, data.file('bodies', `${KEYS}\n`), 0, 3600, HASTY);
  let samples;
  try {
    await until('many are refused', async () => await shed() > 100);
    await server.logged('"event":"overload","message":"requests wait too long');
    for (let i = 0; i < 40; i++) assert.equal((await server.lookup('things', { id: 't00001' }, small)).status, 200);
    const move = await server.post('/v1/datasets/things/rollback', token, { reason: 'a test', from: 2 });
    assert.equal(move.status, 200, move.text);
    let refused;
    await until('it is told how to go on', async () => (refused = await server.request('POST', PATH, { token, body: KEYS })).status === 503);
    assertProblem(refused, 503, 'OVERLOADED');
    assert.ok(Number(refused.headers['retry-after']) > 0);
  } finally {
    samples = await flood.stop();
  }
  const count = (status) => samples.filter((one) => one.status === status).length;
  assert.ok(count(503) > 90 && await shed() >= count(503), `${count(503)} refused`);
  assert.ok(count(200) > 0);
  assert.equal(count(200) + count(503), samples.length);
  await until('it is over', async () => {
    await server.lookup('things', { id: 't00001' }, token);
    return /requests are answered in time again/.test(server.log);
  });
  assert.equal((await server.batch('things', [{ id: 't00001' }], token)).status, 200);
});

/** Milliseconds that the answered of hasty clients wait in the middle, from `begins` of the samples on. */
async function wait(maxWait, isEnough, begins) {
  const hasty = await data.serve('--max-wait', maxWait, '--workers', '1');
  try {
    const flood = new Load(hasty, PATH, await data.token(), data.file('bodies', `${KEYS}\n`), 0, 3600, HASTY);
    await until('there is enough to see', () => isEnough(hasty)).finally(() => flood.process.child.kill('SIGTERM'));
    const samples = await flood.samples();
    assert.ok(begins(samples) >= 0, 'none was refused');
    const answered = samples.slice(begins(samples)).filter(({ status }) => status === 200);
    assert.ok(answered.length >= 10, `${answered.length} answered`);
    return quantile(answered.map(({ sent, done }) => (done - sent) / 1e3), 0.5);
  } finally {
    await hasty.stop();
  }
}

test('what is answered waits a fraction of what all would wait if all were', async (t) => {
  const answered = async (of) => Number((await of.get('/metrics')).text.match(/^everline_requests_total\{[^}]*lookupBatch[^}]*\} (\d+)/m)?.[1] ?? 0);
  const all = await wait('0ms', async (of) => await answered(of) > 1500, (samples) => samples.length / 2);
  const some = await wait('50ms', async (of) => await shed(of) > 3000, (samples) => samples.findIndex(({ status }) => status === 503));
  t.diagnostic(`${some.toFixed(1)} ms instead of ${all.toFixed(1)}`);
  assert.ok(some < all / 2, `${some} ms instead of ${all}`);
});
