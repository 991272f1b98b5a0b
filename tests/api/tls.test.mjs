// TLS: versions, a certificate that is replaced while connections live, and what is refused.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { Data, Server } from '../kit/everline.mjs';
import { run, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const directory = tempDir('tls');
const cert = join(directory, 'cert.pem'), key = join(directory, 'key.pem');
const ALGORITHMS = { one: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], two: ['rsa:2048'] };
let data, server, ca;

const use = (name) => { copyFileSync(join(directory, `${name}.cert`), cert); copyFileSync(join(directory, `${name}.key`), key); };
const via = (more = {}) => ({ ca, servername: 'localhost', ...more });
/** The name in the certificate that a new connection meets. */
const subject = () => new Promise((resolve, reject) => {
  const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca, servername: 'localhost' }, () => {
    resolve(socket.getPeerCertificate().subject.O);
    socket.destroy();
  });
  socket.on('error', reject);
});
const metric = async (name) => Number((await server.request('GET', '/metrics', { via: via(), agent: false })).text
  .match(new RegExp(`^${name} (\\S+)`, 'm'))[1]);
async function reload(outcome) {
  const from = server.log.length;
  server.process.child.kill('SIGHUP');
  await until('it has reloaded', () => server.log.slice(from).includes('"event":"reload"'));
  assert.match(server.log.slice(from), outcome);
}

before(async () => {
  for (const [name, algorithm] of Object.entries(ALGORITHMS)) {
    const made = await run('openssl', ['req', '-x509', '-newkey', ...algorithm, '-nodes', '-days', '2', '-subj', `/O=${name}/CN=localhost`,
      '-addext', 'subjectAltName=DNS:localhost', '-keyout', join(directory, `${name}.key`), '-out', join(directory, `${name}.cert`)]);
    assert.equal(made.code, 0, made.stderr);
  }
  ca = ['one', 'two'].map((name) => readFileSync(join(directory, `${name}.cert`)));
  use('one');
  data = await Data.make('dev');
  server = await data.serve('--tls-cert', cert, '--tls-key', key);
});
after(() => server?.stop());

test('requests are answered over TLS 1.2 and 1.3, and over nothing else', async () => {
  const token = await data.token();
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const reply = await server.request('GET', '/v1/datasets', { token, agent: false, via: via({ minVersion: version, maxVersion: version }) });
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.json.items, []);
  }
  await assert.rejects(server.request('GET', '/livez', { agent: false, via: via({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }) }));
  await assert.rejects(server.request('GET', '/livez', { agent: false }), 'plain HTTP');
  assert.equal((await server.request('GET', '/livez', { agent: false, via: via() })).status, 200);
  await server.logged(/"message":"https:\/\/127\.0\.0\.1:\d+"/);
});

test('large bodies go both ways over TLS, and a job is followed to its end', async () => {
  const token = await data.token();
  const rows = things(60_000), file = Buffer.from(csv(rows));
  await data.put(THINGS);
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (method, path, more) => server.request(method, path, { token, agent, via: via(), ...more });
  const upload = await ask('POST', '/v1/uploads', { body: file, headers: { 'content-type': 'text/csv' } });
  assert.equal(upload.status, 201, upload.text);
  assert.equal(upload.json.sha256, createHash('sha256').update(file).digest('hex'));
  const job = await ask('POST', '/v1/datasets/things/ingests', { body: { sources: [{ upload: upload.json.upload }] } });
  const events = await ask('GET', `/v1/jobs/${job.json.job}/events`);
  assert.match(events.text, /event: end\ndata: .*"state":"succeeded"/);
  const keys = rows.slice(0, 1000).map(({ id }) => ({ id }));
  const batch = await ask('POST', '/v1/datasets/things/lookup/batch', { body: { keys } });
  assert.equal(batch.status, 200, batch.text);
  assert.equal(batch.json.results.filter(({ outcome }) => outcome === 'match').length, 1000);
  const script = await ask('GET', '/docs/rapidoc.js');
  assert.equal(Number(script.headers['content-length']), script.sent);
  agent.destroy();
});

test('another certificate is taken by SIGHUP while connections live and requests come', async () => {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async () => (await server.request('GET', '/livez', { agent, via: via() })).socket;
  const kept = await ask();
  assert.equal(await subject(), 'one');
  let going = true, asked = 0;
  const clients = Array.from({ length: 4 }, async (_, i) => {
    while (going) {
      assert.equal((await server.request('GET', '/livez', { agent: i % 2 ? agent : false, via: via() })).status, 200);
      asked++;
    }
  });
  for (const name of ['two', 'one', 'two']) {
    const before = asked;
    use(name);
    await reload(/"level":"info"/);
    assert.equal(await subject(), name);
    await until('requests go on', () => asked > before + 10);
  }
  going = false;
  await Promise.all(clients);
  assert.equal(await ask(), kept, 'the connection of before is still there');
  assert.equal(kept.getPeerCertificate().subject.O, 'one');
  agent.destroy();
  assert.ok(Math.abs(await metric('everline_tls_certificate_end_timestamp_seconds') - Date.now() / 1000 - 2 * 86400) < 3600);
});

test('a certificate that cannot be used leaves the old one in force, and everybody is told', async () => {
  const configuration = async () => (await server.request('GET', '/readyz?verbose', { agent: false, via: via() })).json.configuration;
  use('one');
  await reload(/"level":"info"/);
  for (const [spoil, code] of [[() => copyFileSync(join(directory, 'two.key'), key), 'TLS_PAIR'],
    [() => writeFileSync(cert, 'rubbish'), 'TLS_FILE'], [() => writeFileSync(key, ''), 'TLS_FILE']]) {
    use('one');
    spoil();
    await reload(new RegExp(`"level":"error".*"code":"${code}"`));
    assert.equal(await configuration(), 'failed');
    assert.equal(await subject(), 'one');
  }
  use('two');
  await reload(/"level":"info"/);
  assert.equal(await configuration(), 'ok');
  assert.equal(await subject(), 'two');
});

test('a client that does not finish its handshake is closed by the request timeout', async (t) => {
  const other = await data.serve('--tls-cert', cert, '--tls-key', key, '--request-timeout', '300ms');
  t.after(() => other.stop());
  const socket = net.connect(other.port, '127.0.0.1');
  let closed = false;
  socket.on('error', () => {}).on('close', () => { closed = true; });
  socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
  await until('it is closed', () => closed);
});

/** A TLS connection that has written `text`; `text` grows by what comes, `over` resolves when it is closed. */
function secure(port, text) {
  const socket = tls.connect({ host: '127.0.0.1', port, ca, servername: 'localhost' }), seen = { socket, text: '', error: null };
  seen.ended = new Promise((resolve) => { socket.on('end', resolve); });
  seen.over = new Promise((resolve) => { socket.on('close', resolve); });
  socket.setEncoding('utf8').on('data', (part) => { seen.text += part; }).on('error', (error) => { seen.error = error; }).write(text);
  return seen;
}

test('SIGTERM over TLS: what has begun is answered, who is idle may ask once more or hears goodbye, and nobody is reset', async () => {
  const other = await data.serve('--tls-cert', cert, '--tls-key', key), token = await data.token();
  const body = JSON.stringify({ key: { id: 't00000' } });
  const head = `POST /v1/datasets/things/lookup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const [asking, silent] = ['/livez', '/livez'].map((path) => secure(other.port, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));
  for (const one of [asking, silent]) await until('the first answer', () => one.text.endsWith('}'));
  const begun = secure(other.port, head + body.slice(0, 5));
  const inFlight = async () => Number((await other.request('GET', '/metrics', { via: via(), agent: false })).text.match(/^everline_requests_in_flight (\d+)/m)[1]);
  await until('the request is under way', async () => (await inFlight()) >= 2);
  asking.text = silent.text = '';
  other.process.child.kill('SIGTERM');
  await until('the drain begins', () => other.log.includes('"drain"'));
  asking.socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
  begun.socket.write(body.slice(5));
  await Promise.all([asking, silent, begun].map((one) => one.ended));
  assert.match(begun.text, /^HTTP\/1\.1 200 [^]*connection: close[^]*"outcome":"match"/i);
  assert.match(asking.text, /^HTTP\/1\.1 503 [^]*connection: close/i);
  assert.equal(silent.text, '');
  for (const one of [asking, silent, begun]) one.socket.end();
  await Promise.all([asking, silent, begun].map((one) => one.over));
  assert.deepEqual([asking.error, silent.error, begun.error], [null, null, null]);
  assert.deepEqual(await other.process.ended, { code: 0, signal: null }, other.log);
});

test('in production TLS may be on any address, with a key that nobody else reads', async (t) => {
  use('one');
  const keys = join(tempDir('keys'), 'keys'), other = new Data();
  await other.ok(['tenant', 'put', 'dev', '--keys', keys]);
  const args = ['--production', '--keys', keys, '--tls-cert', cert, '--tls-key', key];
  chmodSync(key, 0o644);
  const readable = await other.cli(['serve', '--listen', '0.0.0.0:0', ...args], { deadlineMs: 60_000 });
  assert.equal(readable.code, 1);
  assert.match(readable.stderr, /chmod/);
  chmodSync(key, 0o600);
  const good = new Server(other, args, { listen: '0.0.0.0:0' });
  t.after(() => good.stop());
  await good.ready();
  assert.equal((await good.request('GET', '/readyz', { agent: false, via: via() })).status, 200);
  chmodSync(key, 0o644);
  good.process.child.kill('SIGHUP');
  await until('the reload is refused', () => /"level":"error","event":"reload".*"code":"KEYS_READABLE"/.test(good.log));
  assert.equal((await good.request('GET', '/readyz?verbose', { agent: false, via: via() })).json.configuration, 'failed');
  chmodSync(key, 0o600);
});

test('a server does not start with a pair that is none, or half of one', async () => {
  use('one');
  const serve = (...args) => data.cli(['serve', '--listen', '127.0.0.1:0', ...args], { deadlineMs: 60_000 });
  const alone = await serve('--tls-cert', cert);
  assert.equal(alone.code, 2);
  assert.match(alone.stderr, /given together/);
  const wrong = await serve('--tls-cert', cert, '--tls-key', join(directory, 'two.key'));
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /is not the key of[^]*hint: /);
  const none = await serve('--tls-cert', join(directory, 'none'), '--tls-key', key);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /none/);
});
