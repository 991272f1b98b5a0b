// Who is connected: how many connections an address may have, who asks behind a proxy, clients that do not read,
// and the trace that a request belongs to.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';

const CAP = 3, PROXY = '127.0.0.2';
const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n';
let data, server;

before(async () => {
  data = await Data.make('dev');
  server = await data.serve('--connections-per-address', String(CAP), '--trusted-proxy', PROXY, '--trusted-proxy', '10.0.0.0/8',
    '--log-level', 'debug');
});
after(() => server?.stop());

/** A connection from an address; `state` becomes open once it is answered, or closed. */
function connect(localAddress, port = server.port) {
  const link = { received: '', state: 'new' };
  link.socket = net.connect({ host: '127.0.0.1', port, localAddress });
  link.socket.setEncoding('latin1').on('data', (text) => { link.received += text; if (/\}$/.test(link.received)) link.state = 'open'; })
    .on('error', () => {}).on('close', () => { link.state = 'closed'; });
  link.socket.write(LIVEZ);
  return link;
}
const settled = async (link) => { await until('it is answered or closed', () => link.state !== 'new'); return link.state; };
const refused = async () => Number((await server.request('GET', '/metrics', { agent: false, via: { localAddress: '127.0.0.9' } })).text
  .match(/^everline_connections_refused_total (\d+)/m)[1]);

test('an address has as many connections as it may, others are not touched', async () => {
  const links = [];
  for (let i = 0; i < CAP; i++) {
    links.push(connect('127.0.0.3'));
    assert.equal(await settled(links[i]), 'open');
  }
  const over = connect('127.0.0.3');
  assert.equal(await settled(over), 'closed');
  assert.equal(over.received, '');
  assert.equal(await refused(), 1);
  const other = connect('127.0.0.4');
  assert.equal(await settled(other), 'open');
  links[0].socket.destroy();
  await until('there is room again', async () => {
    const again = connect('127.0.0.3');
    links.push(again);
    return await settled(again) === 'open';
  });
  for (const link of [...links, other]) link.socket.destroy();
  await until('the log tells of it', () => server.log.includes('"event":"connections_per_address"'));
});

test('there are as many connections as there may be, and who comes then waits for one that ends', async (t) => {
  const MOST = 6, other = await data.serve('--connections', String(MOST), '--workers', '1');
  t.after(() => other.stop('SIGKILL'));
  const links = Array.from({ length: 3 * MOST }, () => connect('127.0.0.3', other.port));
  const open = () => links.filter(({ state }) => state === 'open');
  for (let served = MOST; served <= links.length; served += MOST) {
    await until('those that may be are answered', () => open().length >= MOST);
    const [first] = open();
    first.state = 'new';
    first.socket.write(LIVEZ);
    await until('it is answered again', () => first.state === 'open');
    assert.equal(open().length, MOST);
    for (const link of open()) link.socket.destroy();
    await until('they are closed', () => links.filter(({ state }) => state === 'closed').length === served);
  }
  assert.equal(await other.stop(), 0);
});

test('a trusted proxy has any number of connections', async () => {
  const before = await refused();
  const links = Array.from({ length: 4 * CAP }, () => connect(PROXY));
  for (const link of links) assert.equal(await settled(link), 'open');
  for (const link of links) link.socket.destroy();
  assert.equal(await refused(), before);
});

/** Who asked, as the log of this request says. */
async function client(to, localAddress, headers) {
  const id = `who-${Math.random().toString(36).slice(2)}`;
  const reply = await to.request('GET', '/livez', { agent: false, headers: { ...headers, 'x-request-id': id }, via: { localAddress } });
  assert.equal(reply.headers['x-request-id'], id);
  const line = await until('it is logged', () => to.log.split('\n').find((text) => text.includes(id)));
  return JSON.parse(line).message.match(/, from (\S+)$/)[1];
}

test('what a proxy says of its client counts, and what others say does not', async () => {
  const header = (value) => ({ 'x-forwarded-for': value, forwarded: 'for=6.6.6.6' });
  assert.equal(await client(server, PROXY, header('198.51.100.7')), '198.51.100.7');
  assert.equal(await client(server, PROXY, header('6.6.6.6, 2001:db8::7, 10.1.1.1')), '2001:db8::7');
  assert.equal(await client(server, PROXY, { forwarded: 'for=6.6.6.6' }), PROXY);
  assert.equal(await client(server, PROXY, {}), PROXY);
  assert.equal(await client(server, '127.0.0.5', header('198.51.100.7')), '127.0.0.5');
  const other = await data.serve('--trusted-proxy', PROXY, '--proxy-header', 'forwarded', '--log-level', 'debug');
  assert.equal(await client(other, PROXY, { 'x-forwarded-for': '6.6.6.6', forwarded: 'for="[2001:db8::7]:80";proto=https' }), '2001:db8::7');
  assert.equal(await other.stop(), 0);
});

test('a request goes on with its trace, in the answer and in the log', async () => {
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const ask = (traceparent) => server.request('GET', '/v1/datasets', { agent: false, headers: traceparent ? { traceparent } : {} });
  const reply = await ask(`00-${trace}-b7ad6b7169203331-01`);
  assert.match(reply.headers.traceparent, new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
  assert.ok(!reply.headers.traceparent.includes('b7ad6b7169203331'));
  const lines = await until('both lines are there', () => {
    const found = server.log.split('\n').filter((line) => line.includes(reply.headers['x-request-id']) && line.endsWith('}')).map((line) => JSON.parse(line));
    return found.length === 2 && found;
  });
  assert.deepEqual(lines.map((line) => line.event), ['unauthorized', 'request']);
  for (const line of lines) assert.equal(line.trace_id, trace);
  for (const wrong of [undefined, `00-${trace}-0000000000000000-01`, 'rubbish'])
    assert.equal((await ask(wrong)).headers.traceparent, undefined);
  assert.equal(server.log.split('\n').filter((line) => line.includes(trace)).length, lines.length);
});

const LARGE = 'GET /docs/rapidoc.js HTTP/1.1\r\nHost: x\r\n\r\n';
const TIMES = 24;

test('an answer that is not read ends the connection; one that is read slowly is whole', async () => {
  const other = await data.serve('--request-timeout', '1s');
  const size = (await other.get('/docs/rapidoc.js')).sent;
  const never = net.connect(other.port, '127.0.0.1').pause().on('error', () => {});
  const hardly = net.connect(other.port, '127.0.0.1').pause().on('error', () => {});
  for (const socket of [never, hardly]) socket.write(LARGE.repeat(TIMES));
  const drip = setInterval(() => hardly.read(1), 20);
  const slowly = net.connect(other.port, '127.0.0.1');
  let got = 0, whole;
  slowly.on('data', (piece) => {
    got += piece.length;
    whole = got > size * TIMES;
    slowly.pause();
    setTimeout(() => slowly.resume(), 1 + piece.length / 10_000);
  }).on('close', () => { whole ??= false; });
  slowly.write(LARGE.repeat(TIMES));
  await until('both are closed', () => [...other.log.matchAll(/"read_timeout","message":"(\d)/g)].reduce((sum, [, n]) => sum + Number(n), 0) === 2);
  clearInterval(drip);
  await until('all is read', () => whole !== undefined && (whole || slowly.closed));
  assert.equal(whole, true);
  for (const socket of [never, hardly, slowly]) socket.destroy();
  assert.equal(await other.stop(), 0);
});
