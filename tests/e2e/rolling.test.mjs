// Two servers behind a balancer are restarted one after the other, again and again, while clients ask without
// pause and batches come in: no request fails, and no answer is wrong.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { Data, Server } from '../kit/everline.mjs';
import { readLog } from '../kit/eventlog.mjs';
import { faults } from '../kit/history.mjs';
import { ask } from '../kit/load.mjs';
import { until } from '../kit/process.mjs';
import { Proxy } from '../kit/proxy.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const ROUNDS = 4;
const CLIENTS = 6;
const rowsOf = (version) => things(60, version);
const batchFile = (data, version) => ({ things: data.file(`${version}.csv`, csv(rowsOf(version))) });

/** What a connection has shown goes on in it: an answer that ends it ends its name too. */
async function client(entrance, number, token, history, running) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = number, connections = 0; running.on; i++) {
    const ids = [0, 7, 31].map((n) => `t${String((i * 13 + n) % 60).padStart(5, '0')}`);
    const server = { name: `client ${number}, connection ${connections}`, request: (...args) => entrance.request(...args) };
    const reply = await ask(history, server, { dataset: 'things', what: 'batch', ids }, 'POST', '/v1/datasets/things/lookup/batch',
      { token, agent, body: { keys: ids.map((id) => ({ id })) } }, ({ results }) => ({ answer: results.map(({ record }) => record.weight) }));
    if (!reply || reply.headers.connection === 'close') connections++;
  }
  agent.destroy();
}

test('rolling restarts of two servers fail no request', async (t) => {
  const data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', batchFile(data, 1));
  const token = await data.token();
  const servers = [await data.serve(), await data.serve()];
  const proxy = new Proxy(servers);
  await proxy.start();
  const entrance = Object.assign(Object.create(Server.prototype), { port: proxy.port });
  const history = [], running = { on: true };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(entrance, i, token, history, running)));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const ingest = data.ingest('things', batchFile(data, round + 2));
      const place = round % 2;
      assert.equal(await servers[place].stop(), 0, servers[place].log);
      assert.ok(!servers[place].log.includes('cut off'), servers[place].log);
      servers[place] = await data.serve();
      await until('the balancer uses it', () => proxy.ready.has(servers[place]));
      assert.equal((await ingest).outcome, 'flipped');
      const before = history.length;
      await until('requests since', () => history.length > before + 100);
    }
  } finally {
    running.on = false;
    await clients;
    proxy.stop();
  }
  const expected = (dataset, version, { ids }) => ids.map((id) => rowsOf(version).find((row) => row.id === id).weight);
  const world = { logs: { things: await readLog(servers[0], 'things', token) }, expected };
  for (const server of servers) assert.equal(await server.stop(), 0, server.log);
  t.diagnostic(`${history.length} requests on ${new Set(history.map((one) => one.server)).size} connections, ${ROUNDS} restarts`);
  assert.deepEqual(faults(history, world).slice(0, 5), []);
});
