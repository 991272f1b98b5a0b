// As many requests at once as the HTTP library takes events from the kernel in one call, and no other after them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';

const EVENTS = 128; /* MAX_EVENTS of libmicrohttpd */
let server;

before(async () => { server = await (await Data.make()).serve('--workers', '1'); });
after(() => server?.stop());

const stopped = (pid) => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

class Client {
  constructor() {
    this.text = '';
    this.socket = net.connect(server.port, '127.0.0.1').setEncoding('utf8');
    this.socket.on('data', (text) => { this.text += text; });
    this.socket.on('error', () => {});
  }

  ask() {
    return new Promise((resolve) => { this.socket.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n', resolve); });
  }

  get answers() { return this.text.split('HTTP/1.1 200').length - 1; }
}

for (const count of [EVENTS, 2 * EVENTS, EVENTS + 1]) test(`${count} requests at once are all answered`, async (t) => {
  const clients = Array.from({ length: count }, () => new Client()), { pid } = server.process;
  t.after(() => {
    process.kill(pid, 'SIGCONT');
    for (const { socket } of clients) socket.destroy();
  });
  for (const client of clients) await client.ask();
  await until('all are connected', () => clients.every(({ answers }) => answers === 1));
  process.kill(pid, 'SIGSTOP');
  await until('the server stands still', () => stopped(pid));
  for (const client of clients) await client.ask();
  process.kill(pid, 'SIGCONT');
  await until('all are answered', () => clients.every(({ answers }) => answers === 2));
  assert.ok(clients.every(({ socket }) => !socket.destroyed));
});
