// Version 2 of lifeline is built while clients ask without pause: no request fails, every answer is from
// version 1 or version 2, never a mixture. Then the pointer goes back and forth under the same load.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { faults } from '../kit/history.mjs';
import { definitionPath, sources, truth } from '../kit/lifeline.mjs';
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
    const one = { start: performance.now(), asked };
    try {
      const reply = await server.request('POST', `/v1/datasets/lifeline/lookup${i % 2 ? '/batch' : ''}`,
        { token, agent, body: i % 2 ? { keys } : { key: keys[0] } });
      const { version, results, record } = reply.json;
      Object.assign(one, { status: reply.status, version, results: i % 2 ? results.map((r) => r.record) : [record] });
    } catch (error) {
      Object.assign(one, { status: error.code ?? String(error), results: [] });
    }
    one.end = performance.now();
    history.push(one);
  }
  agent.destroy();
}

test('the sample has persons whose answer changes, both ways', () => {
  assert.ok(differ.some((i) => truths[2][i].eligible) && differ.some((i) => truths[1][i].eligible));
  assert.ok(differ.length > 20, String(differ.length));
});

test('the checker finds a falsified history', () => {
  const [a, b] = differ;
  const ask = (start, end, version, changes = {}) =>
    ({ start, end, status: 200, version, asked: [a, b], results: [truths[version][a], truths[version][b]], ...changes });
  const good = [ask(0, 1, 1), ask(0, 5, 2), ask(2, 3, 1), ask(6, 7, 2)];
  assert.deepEqual(faults(good, truths, [1, 2]), []);
  const falsified = {
    'a mixture': [...good, ask(8, 9, 2, { results: [truths[2][a], truths[1][b]] })],
    'records of the other version': [...good, ask(8, 9, 2, { results: [truths[1][a], truths[1][b]] })],
    'a failed request': [...good, ask(8, 9, 2, { status: 503 })],
    'a broken connection': [...good, { start: 8, end: 9, status: 'ECONNRESET', asked: [a], results: [] }],
    'a version that never was': [...good, { ...ask(8, 9, 2), version: 3 }],
    'a lost result': [...good, ask(8, 9, 2, { results: [truths[2][a]] })],
    'an old state after a new one': [...good, ask(8, 9, 1)],
    'swapped results': [...good, ask(8, 9, 2, { results: [truths[2][b], truths[2][a]].map((r, i) => ({ ...r, state: `${r.state}${i}` })) })],
  };
  for (const [name, history] of Object.entries(falsified)) assert.notDeepEqual(faults(history, truths, [1, 2]), [], name);
  assert.deepEqual(faults([...good, ask(8, 9, 1)], truths, [1, 2, 1]), []);
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
  const moves = [1];
  try {
    await seen(1, 50);
    const before = history.length;
    const row = await data.ingest('lifeline', sources(2020));
    assert.deepEqual([row.version, row.outcome], [2, 'flipped']);
    moves.push(2);
    const during = history.length - before;
    assert.ok(during > 100, `only ${during} requests while the version was built`);
    await seen(2, 100);

    for (let i = 0; i < 10; i++) {
      const back = i % 2 === 0;
      const reply = back
        ? await server.post('/v1/datasets/lifeline/rollback', token, { reason: 'test', from: 2 })
        : await server.post('/v1/datasets/lifeline/versions/2/promote', token, { reason: 'test' });
      assert.equal(reply.status, 200, reply.text);
      moves.push(back ? 1 : 2);
      await seen(moves.at(-1), 50);
    }
    t.diagnostic(`${history.length} requests, ${during} of them during the ingest, ${moves.length - 1} flips`);
  } finally {
    running.on = false;
    await Promise.all(clients);
    assert.equal(await server.stop(), 0, server.log);
  }
  assert.deepEqual(faults(history, truths, moves).slice(0, 5), []);
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
