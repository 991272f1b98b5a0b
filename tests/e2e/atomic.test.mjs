// Version 2 of lifeline is built while clients ask without pause: no request fails, every answer is from
// version 1 or version 2, never a mixture. Then the pointer goes back and forth under the same load.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { readLog } from '../kit/eventlog.mjs';
import { faults } from '../kit/history.mjs';
import { definitionPath, sources, truth } from '../kit/lifeline.mjs';
import { ask } from '../kit/load.mjs';
import { until } from '../kit/process.mjs';

const persons = truth(2019);
const truths = { 1: persons.map((p) => p.record), 2: truth(2020).map((p) => p.record) };
const differ = persons.map((_, i) => i).filter((i) => truths[1][i].eligible !== truths[2][i].eligible);
const CLIENTS = 6;
const BATCH = 40;

/** Asks on its own connection until it is told to stop: one person, then a batch, and so on. */
async function client(server, token, history, running, seed) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; running.on; i++) {
    const asked = Array.from({ length: i % 2 ? BATCH : 1 }, (_, n) => differ[(seed * 7919 + i * 31 + n * 13) % differ.length]);
    const keys = asked.map((person) => persons[person].key);
    await ask(history, server, { dataset: 'lifeline', what: i % 2 ? 'batch' : 'lookup', asked }, 'POST',
      `/v1/datasets/lifeline/lookup${i % 2 ? '/batch' : ''}`, { token, agent, body: i % 2 ? { keys } : { key: keys[0] } },
      ({ results, record }) => ({ answer: i % 2 ? results.map((one) => one.record) : [record] }));
  }
  agent.destroy();
}

test('the sample has persons whose answer changes, both ways', () => {
  assert.ok(differ.some((i) => truths[2][i].eligible) && differ.some((i) => truths[1][i].eligible));
  assert.ok(differ.length > 20, String(differ.length));
});

test('no request fails and no answer is a mixture while version 2 is built and flipped to', async (t) => {
  const data = await Data.make('dev');
  await data.ok(['dataset', 'put', definitionPath], { tenant: 'dev' });
  await data.ingest('lifeline', sources(2019));
  const server = await data.serve();
  const token = await data.token();
  const history = [];
  const running = { on: true };
  const seen = (version, count) => until(`${count} answers from version ${version}`,
    () => history.slice(-200).filter((one) => one.version === version).length >= count);
  const clients = Array.from({ length: CLIENTS }, (_, i) => client(server, token, history, running, i + 1));
  try {
    await seen(1, 50);
    const before = history.length;
    const row = await data.ingest('lifeline', sources(2020));
    assert.deepEqual([row.version, row.outcome], [2, 'flipped']);
    const during = history.length - before;
    assert.ok(during > 20, `only ${during} requests while the version was built`);
    await seen(2, 100);

    for (let i = 0; i < 10; i++) {
      const back = i % 2 === 0;
      const reply = back
        ? await server.post('/v1/datasets/lifeline/rollback', token, { reason: 'test', from: 2 })
        : await server.post('/v1/datasets/lifeline/versions/2/promote', token, { reason: 'test' });
      assert.equal(reply.status, 200, reply.text);
      await seen(back ? 1 : 2, 50);
    }
    const log = await readLog(server, 'lifeline', token);
    assert.deepEqual(log.turns.map((turn) => turn.version), [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
    t.diagnostic(`${history.length} requests, ${during} of them during the ingest, ${log.turns.length - 1} flips`);
    const expected = (dataset, version, { asked }) => asked.map((i) => truths[version][i]);
    assert.deepEqual(faults(history, { logs: { lifeline: log }, expected }).slice(0, 5), []);
  } finally {
    running.on = false;
    await Promise.all(clients);
    assert.equal(await server.stop(), 0, server.log);
  }
  for (const version of [1, 2]) assert.ok(history.some((one) => one.version === version && one.asked.length > 1));
});

test('every person of both years is answered as the sources say', async () => {
  const data = await Data.make('dev');
  await data.ok(['dataset', 'put', definitionPath], { tenant: 'dev' });
  const token = await data.token();
  let server;
  try {
    for (const [version, year] of [[1, 2019], [2, 2020]]) {
      await data.ingest('lifeline', sources(year));
      server ??= await data.serve();
      await until('it is served', async () => (await server.lookup('lifeline', persons[0].key, token)).json.version === version);
      for (let i = 0; i < persons.length; i += 500) {
        const part = persons.slice(i, i + 500);
        const reply = (await server.batch('lifeline', part.map((p) => p.key), token)).json;
        assert.equal(reply.version, version);
        assert.deepEqual(reply.results, part.map((_, n) => ({ outcome: 'match', record: truths[version][i + n] })));
      }
    }
  } finally {
    await server?.stop();
  }
});
