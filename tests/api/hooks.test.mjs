// Webhooks: what a receiver gets, that its signature can be verified, and that nothing is lost when it
// refuses and the server ends.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { assertProblem, Data, Server } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const OUTGOING = ['--outgoing', '127.0.0.0/8'];
let data, receiver, url, secret, server, token;
let answer = 200;
const got = [];

before(async () => {
  receiver = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      got.push({ headers: request.headers, body: Buffer.concat(parts).toString(), path: request.url, answered: answer });
      response.writeHead(answer).end('x');
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => { receiver.on('listening', resolve); });
  url = `http://127.0.0.1:${receiver.address().port}/told`;
  data = await Data.make('dev', 'other');
  await data.put(THINGS);
  await data.put({ ...THINGS, name: 'held', require_promotion: true });
  await data.put(THINGS, { tenant: 'other' });
  await data.ok(['tenant', 'put', 'dev', '--webhook', url]);
  secret = (await data.ok(['tenant', 'webhook-secret', 'dev'])).trim();
  server = await data.serve(...OUTGOING);
  token = await data.token();
});
after(async () => {
  await server?.stop();
  receiver.close();
});

/** As the Standard Webhooks 1.0 say that a receiver does. */
function verify({ headers, body }) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signed = createHmac('sha256', key).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`).digest('base64');
  assert.equal(headers['webhook-signature'], `v1,${signed}`);
  assert.ok(Math.abs(Date.now() / 1000 - headers['webhook-timestamp']) < 300);
  assert.equal(headers['content-type'], 'application/json');
  return JSON.parse(body);
}

const told = (test_, what) => until(what, () => got.find((one) => one.answered === 200 && test_(JSON.parse(one.body))));
const ingest = (dataset, body) => server.post(`/v1/datasets/${dataset}/ingests`, token, body, { 'content-type': 'text/csv' });

test('the end of a job is told, signed', async () => {
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  const { job } = (await ingest('things', csv(things(3)))).json;
  const message = await told(({ data: { job: id } }) => id === job, 'it was told');
  const payload = verify(message);
  assert.equal(message.path, '/told');
  assert.equal(payload.type, 'job.succeeded');
  assert.deepEqual([payload.data.tenant, payload.data.dataset, payload.data.version, payload.data.outcome], ['dev', 'things', 1, 'flipped']);
  assert.match(payload.text, /^things: version 1 is built \(flipped\)$/);
  assert.equal(payload.timestamp, payload.data.ended_at);
});

test('HELD and failed are told, and no value of a record is', async () => {
  const held = (await ingest('held', csv(things(3)))).json.job;
  assert.match(verify(await told(({ data: { job } }) => job === held, 'HELD was told')).text, /^held: version 1 is HELD/);
  const failed = (await ingest('things', 'id,colour,weight,made\nx,SecretValue,notanumber,2024-01-01\n')).json.job;
  const message = await told(({ data: { job } }) => job === failed, 'the failure was told');
  const payload = verify(message);
  assert.equal(payload.type, 'job.failed');
  assert.ok(payload.data.error.code);
  assert.ok(payload.text.includes(payload.data.error.code), payload.text);
  assert.ok(!message.body.includes('SecretValue') && !message.body.includes('notanumber'), message.body);
});

test('a local ingest is told too, another tenant hears nothing', async () => {
  const row = await data.ingest('things', { things: data.file('a.csv', csv(things(5))) });
  await told(({ data: { version, dataset } }) => dataset === 'things' && version === row.version, 'it was told');
  await data.ingest('things', { things: data.file('b.csv', csv(things(6))) }, { tenant: 'other' });
  await data.ingest('things', { things: data.file('c.csv', csv(things(7))) });
  await told(({ data: { version, dataset } }) => dataset === 'things' && version === row.version + 1, 'the next one was told');
  assert.ok(got.every(({ body }) => JSON.parse(body).data.tenant === 'dev'));
});

test('what is refused is told again, by another server if need be', async () => {
  answer = 500;
  const { job } = (await ingest('things', csv(things(8)))).json;
  const first = await until('it was tried', () => got.find(({ body }) => JSON.parse(body).data.job === job));
  await until('that was seen', () => /msg_.* of dev, try 1/.test(server.log));
  assert.equal(await server.stop(), 0);
  answer = 200;
  server = await data.serve(...OUTGOING);
  const again = await told(({ data: { job: id } }) => id === job, 'it was told again');
  assert.equal(again.headers['webhook-id'], first.headers['webhook-id']);
  verify(again);
});

test('however many messages of one wait, another tenant\'s turn is next', async () => {
  const both = await Data.make('dev', 'other'), order = [];
  const slow = http.createServer((request, response) => {
    order.push(request.url);
    request.resume().on('end', () => response.end());
  }).listen(0, '127.0.0.1');
  await until('it listens', () => slow.listening);
  for (const tenant of ['dev', 'other']) {
    await both.put(THINGS, { tenant });
    await both.ok(['tenant', 'put', tenant, '--webhook', `http://127.0.0.1:${slow.address().port}/${tenant}`]);
  }
  for (let n = 1; n <= 4; n++) await both.ingest('things', { things: both.file(`${n}.csv`, csv(things(n))) });
  await both.ingest('things', { things: both.file('1.csv', csv(things(1))) }, { tenant: 'other' });
  const one = await both.serve(...OUTGOING);
  try {
    await until('all were told', () => order.length === 5);
    assert.deepEqual(order, ['/dev', '/other', '/dev', '/dev', '/dev']);
  } finally {
    assert.equal(await one.stop(), 0, one.log);
    slow.close();
  }
});

test('a server asks nobody on its own network, whatever name it has there, unless it is told to', async () => {
  let connections = 0;
  const trap = net.createServer((socket) => { connections++; socket.destroy(); }).listen(0).unref();
  const own = await Data.make('dev');
  await own.put(THINGS);
  const alone = await own.serve();
  try {
    const admin = await own.token(), { port } = trap.address();
    const put = (body, to = alone, who = admin) => to.request('PUT', '/v1/tenants/dev', { token: who, body });
    for (const place of ['http://127.0.0.1', 'http://localhost', 'https://[::1]', 'https://10.1.2.3', 'https://169.254.169.254', 'https://0x7f.1', 'https://[::ffff:10.0.0.1]', 'https://2130706433'])
      for (const name of ['webhook', 'jwks']) {
        const { errors: [{ pointer }], hint } = assertProblem(await put({ [name]: `${place}:${port}/x` }), 400, 'INVALID_VALUE');
        assert.deepEqual([pointer, /--outgoing/.test(hint)], [`/${name}`, true], place);
      }
    assert.equal((await put({ webhook: 'https://8.8.8.8/x' })).status, 200);
    for (const place of ['http://127.0.0.1', 'https://localhost']) { // who has the disk may name them, and a name may lead anywhere
      const before = alone.log.length;
      await own.ok(['tenant', 'put', 'dev', '--webhook', `${place}:${port}/x`, '--jwks', `${place}:${port}/y`]);
      await own.ingest('things', { things: own.file('x.csv', csv(things(3 + connections + place.length))) });
      const told = () => alone.log.slice(before);
      await until(`${place} is not told`, () => /"event":"webhook".*try 1.*not a public one/.test(told()));
      await until(`${place} is not asked`, () => /"event":"jwks".*cannot be had.*not a public one/.test(told()));
    }
  } finally {
    assert.equal(await alone.stop(), 0, alone.log);
    trap.close();
  }
  assert.equal(connections, 0);
  assert.equal((await own.cli(['serve', '--outgoing', 'localhost'])).code, 2);
});

test('no proxy is asked, whatever the environment names: it would resolve names by itself', async () => {
  let connections = 0, asked = 0;
  const proxy = net.createServer((socket) => { connections++; socket.destroy(); }).listen(0, '127.0.0.1').unref();
  const target = http.createServer((request, response) => { asked++; response.end('{"keys":[]}'); }).listen(0, '127.0.0.1').unref();
  const own = await Data.make('dev', 'named');
  const place = `http://127.0.0.1:${proxy.address().port}`;
  const env = Object.fromEntries(['http_proxy', 'https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'].map((name) => [name, place]));
  const behind = new Server(own, OUTGOING, { env: { ...env, no_proxy: '', NO_PROXY: '' } });
  try {
    await behind.ready();
    const { port } = target.address();
    await own.ok(['tenant', 'put', 'dev', '--webhook', `http://127.0.0.1:${port}/x`]);
    await own.ok(['tenant', 'put', 'named', '--webhook', `https://localhost:${port}/x`, '--jwks', `https://localhost:${port}/y`]);
    const rows = own.file('x.csv', csv(things(3)));
    for (const tenant of ['dev', 'named']) await own.put(THINGS, { tenant });
    await Promise.all(['dev', 'named'].map((tenant) => own.ingest('things', { things: rows }, { tenant })));
    await until('one is told', () => asked || connections);
    assert.equal(connections, 0);
    await until('the other cannot be told', () => /"event":"webhook".*of named, try 1/.test(behind.log));
    await until('nor asked', () => /"event":"jwks".*cannot be had/.test(behind.log));
  } finally {
    assert.equal(await behind.stop(), 0, behind.log);
    proxy.close();
    target.close();
  }
  assert.deepEqual([connections, asked], [0, 1]);
});

test('a webhook that is put over HTTP has its secret, too', async () => {
  await data.ok(['tenant', 'put', 'third']);
  const put = await server.request('PUT', '/v1/tenants/third', { token: await data.token({ scope: 'platform:admin' }), body: { webhook: url } });
  assert.equal(put.status, 200, put.text);
  await data.put(THINGS, { tenant: 'third' });
  const before = secret;
  secret = (await data.ok(['tenant', 'webhook-secret', 'third'])).trim();
  await data.ingest('things', { things: data.file('third.csv', csv(things(2))) }, { tenant: 'third' });
  verify(await told(({ data: { tenant } }) => tenant === 'third', 'it was told'));
  secret = before;
});

test('what cannot be a webhook is refused', async () => {
  for (const wrong of ['http://example.org/x', 'ftp://127.0.0.1/', 'file:///etc/passwd', 'https://', `https://${'x'.repeat(600)}`, 'https://a b/', 'http://127.0.0.1:80@example.org/', 'https://me@example.org/'])
    assert.equal((await data.cli(['tenant', 'put', 'dev', '--webhook', wrong])).code, 2, wrong);
  const none = await data.cli(['tenant', 'webhook-secret', 'other']);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /--webhook/);
  assert.ok(!readFileSync(`${data.directory}/catalog.mdb`).includes(secret.slice(6, 40)));
  await data.ok(['tenant', 'put', 'dev', '--webhook', 'none']);
  const count = got.length, { job } = (await ingest('things', csv(things(9)))).json;
  await until('it has ended', async () => (await server.get(`/v1/jobs/${job}`, token)).json.ended_at);
  await data.ok(['tenant', 'put', 'dev', '--webhook', url]);
  const row = await data.ingest('things', { things: data.file('d.csv', csv(things(10))) });
  await told(({ data: { version, dataset } }) => dataset === 'things' && version === row.version, 'the next one was told');
  assert.equal(got.length, count + 1);
});
