// deploy/haproxy.cfg in front of two servers: what no handler can see ends at the proxy, clients cannot say who they
// are, and a server that is restarted is not missed.
import assert from 'node:assert/strict';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data, Server } from '../kit/everline.mjs';
import { freePort, sourceDir, start, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const BODY = '{"key":{"id":"t00001"}}', CHUNKED = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
let data, servers, haproxy, entrance, token;

async function serve(port) {
  const server = new Server(data, ['--trusted-proxy', '127.0.0.1', '--log-level', 'debug'], { listen: `127.0.0.1:${port}` });
  await server.ready();
  return server;
}

/** The proxy gets a socket that listens already: no other program can have its port meanwhile. */
async function startProxy() {
  const listener = net.createServer();
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  const { port } = listener.address();
  const env = { EVERLINE_BIND: 'fd@3', EVERLINE_1: `127.0.0.1:${servers[0].port}`, EVERLINE_2: `127.0.0.1:${servers[1].port}` };
  haproxy = start('haproxy', ['-db', '-f', join(sourceDir, 'deploy', 'haproxy.cfg')], { env, fds: [listener._handle.fd] });
  listener.close();
  entrance = Object.assign(Object.create(Server.prototype), { port, agent: undefined });
  await until('the proxy answers', async () => {
    assert.ok(!haproxy.exited, haproxy.stderr);
    return (await entrance.get('/livez').catch(() => ({}))).status === 200;
  });
}

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('t.csv', csv(things(20))) });
  token = await data.token();
  servers = [await serve(await freePort()), await serve(await freePort())];
  await startProxy();
});
after(async () => {
  haproxy?.child.kill('SIGTERM');
  for (const server of servers ?? []) await server.stop();
});

const head = (...lines) => ['POST /v1/datasets/things/lookup HTTP/1.1', 'Host: x', `Authorization: Bearer ${token}`,
  'Content-Type: application/json', ...lines];
const post = (lines, body = BODY) => [...head(...lines), '', body].join('\r\n');
const length = `Content-Length: ${BODY.length}`, chunked = 'Transfer-Encoding: chunked';

/** What a handler cannot see, and what it would refuse too: [what, the statuses of it and of what lies behind it]. */
const MALFORMED = [
  ['bare line feeds', [200, 404], () => [...head(length), '', BODY].join('\n')],
  ['a bare line feed in the head', [400], () => post([length, 'X-A: b\nTransfer-Encoding: chunked'])],
  ['NUL in a value', [200, 404], () => post([length, 'X-A: b\0c'])],
  ['text after NUL in a length', [400], () => post([`${length}\0junk`])],
  ['text after NUL in an encoding', [400], () => post([`${chunked}\0junk`], CHUNKED)],
  ['NUL in the target', [400], () => post([length]).replace('/lookup', '/loo\0kup')],
  ['a line feed behind the size of a chunk', [200, 404], () => post([chunked], CHUNKED.replace('\r\n', '\n'))],
  ['a line feed in the extension of a chunk', [400], () => post([chunked], CHUNKED.replace('\r\n', ';a\nb\r\n'))],
  ['Transfer-Encoding with Content-Length', [200], () => post([chunked, length], CHUNKED)],
  ['two Content-Lengths', [400], () => post([length, 'Content-Length: 5'])],
  ['a space before the colon', [400], () => post([`Content-Length : ${BODY.length}`])],
  ['a folded header', [200, 404], () => post([length, 'X-A: b', ' c: d'])],
  ['xchunked', [400], () => post(['Transfer-Encoding: xchunked'], CHUNKED)],
  ['two Hosts', [400], () => post([length, 'Host: y'])],
  ['an escaped NUL', [400], () => post([length]).replace('/lookup', '/look%00up')],
  ['two Authorizations', [400, 404], () => post([length, `Authorization: Bearer ${token}`])],
];

let marks = 0;

/** The log lines of what the servers were asked since `before`; whatever comes later is behind the marks. */
async function asked(before) {
  const lines = await Promise.all(servers.map(async (server, i) => {
    const mark = `mark-${++marks}`;
    await server.get('/marked', undefined, { 'x-request-id': mark });
    await until('its mark is logged', () => server.log.includes(`"${mark}"`));
    return server.log.slice(before[i]).split('\n').filter((line) => line.includes('"event":"request"') && !line.includes(mark));
  }));
  return lines.flat().filter((line) => !/"message":"(ready|live)z/i.test(line));
}

for (const [what, statuses, make] of MALFORMED)
  test(`proxy and servers see the same requests: ${what}`, async () => {
    const before = servers.map(({ log }) => log.length);
    const reply = await entrance.raw(`${make()}GET /behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.deepEqual([...reply.matchAll(/(?:^|\}|\n)HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => Number(status)), statuses, reply);
    const ids = [...reply.matchAll(/^x-request-id: (\S+)\r$/gim)].map(([, id]) => id);
    const lines = await asked(before);
    assert.deepEqual(lines.map((line) => JSON.parse(line).request_id).sort(), ids.sort(), 'each request has its answer, and none is beside them');
  });

test('who asks is who is connected, whatever a client writes', async () => {
  const before = servers.map(({ log }) => log.length);
  const forged = { 'x-forwarded-for': '9.9.9.9', forwarded: 'for=9.9.9.9' };
  await entrance.request('GET', '/v1/datasets', { token, headers: forged, via: { localAddress: '127.0.0.7' } });
  const [line] = await asked(before);
  assert.match(line, /from 127\.0\.0\.7"/);
});

test('a server that is restarted is not missed', async () => {
  const replies = [];
  let going = true;
  const client = async () => {
    while (going) replies.push(await entrance.lookup('things', { id: 't00001' }, token));
  };
  const clients = [client(), client(), client()];
  for (const i of [0, 1]) {
    const { port } = servers[i], enough = replies.length + 200;
    await until('they are being answered', () => replies.length >= enough);
    assert.equal(await servers[i].stop(), 0, servers[i].log);
    const without = replies.length + 200;
    await until('the other one answers', () => replies.length >= without);
    servers[i] = await serve(port);
    await until('the proxy asks it again', () => /"message":"lookup: 200/.test(servers[i].log));
  }
  going = false;
  await Promise.all(clients);
  assert.deepEqual([...new Set(replies.map((reply) => `${reply.status} ${reply.json.outcome}`))], ['200 match']);
});
