// What connections cost that are open and ask nothing: memory of the server, and time of those who ask meanwhile.
// usage: tests/bench/idle [--connections N]     (10,000)
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { parseArgs } from 'node:util';
import { Data } from '../kit/everline.mjs';
import { DATASET, DEFINITION, generate } from './eligibility.mjs';
import { Load, nowUs, quantile, sleep, within } from './load.mjs';

const RATE = 2000, PEOPLE = 100_000, PART_S = 5, AT_ONCE = 100;

/** Anonymous memory of a process: pages of files it maps belong to all. */
const memoryMib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/^RssAnon:\s+(\d+) kB/m)[1]) / 1024;

/** A connection that has asked once, and says no more. */
const idle = ({ port }) => new Promise((resolve, reject) => {
  const socket = net.connect(port, '127.0.0.1', () => socket.write(`GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`));
  socket.once('data', () => { socket.removeAllListeners('error').on('error', () => {}); resolve(socket); }).once('error', reject);
});

async function main() {
  const { values } = parseArgs({ options: { connections: { type: 'string', default: '10000' } } });
  const connections = Number(values.connections);
  assert.ok(Number.isInteger(connections) && connections > 0, '--connections is a whole number');
  const data = await Data.make();
  await data.put(DEFINITION);
  await data.ingest(DATASET, { people: await generate(data.file('people.csv', ''), { rows: PEOPLE }) });
  const bodies = await generate(data.file('bodies', ''), { rows: PEOPLE, requests: 50_000 });
  const server = await data.serve('--connections', `${connections + 100}`, '--connections-per-address', `${connections + 100}`);
  const load = new Load(server, `/v1/datasets/${DATASET}/lookup`, await data.token(), bodies, RATE, 3600);
  const { pid } = server.process, parts = [];
  const part = async (open) => {
    const from = nowUs();
    await sleep(PART_S);
    parts.push({ open, from, to: nowUs(), memory: memoryMib(pid) });
  };
  await sleep(2);
  await part(0);
  const sockets = [];
  while (sockets.length < connections)
    sockets.push(...await Promise.all(Array.from({ length: Math.min(AT_ONCE, connections - sockets.length) }, () => idle(server))));
  await part(connections);
  assert.ok(sockets.every((socket) => !socket.destroyed && !socket.readableEnded), 'an idle connection was closed');
  for (const socket of sockets) socket.destroy();
  const samples = await load.stop();
  assert.ok(samples.every(({ status }) => status === 200), 'a lookup failed');
  const row = (...cells) => console.log(cells.map((cell) => String(cell).padStart(18)).join(''));
  row('idle connections', 'memory MiB', 'p50 ms', 'p99 ms');
  for (const { open, from, to, memory } of parts) {
    const times = within(samples, from, to);
    row(open, memory.toFixed(1), quantile(times, 0.5).toFixed(2), quantile(times, 0.99).toFixed(2));
  }
  assert.equal(await server.stop(), 0, server.log);
}

main().then(() => process.exit(0), (error) => {
  console.error(`idle: ${error.message}`);
  process.exit(1);
});
