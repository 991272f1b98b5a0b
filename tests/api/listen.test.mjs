// Where a server listens, and what a reload of its configuration changes.
import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data, Server } from '../kit/everline.mjs';
import { start, tempDir, until } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, PERSONS } from '../kit/samples.mjs';

const directory = tempDir('listen');
const path = join(directory, 'api.sock'), config = join(directory, 'everline.conf');
const BASE = `[serve]\nlisten = 127.0.0.1:0\nlisten = unix:${path}\nmetrics-listen = 127.0.0.1:0\n`;
let data, server, token, probes;

const say = (text) => writeFileSync(config, `${BASE}${text}`);
async function reload(told = /"event":"reload","message":"(nothing of|configuration)/) {
  const from = server.log.length;
  server.process.child.kill('SIGHUP');
  await until('it has reloaded', () => told.test(server.log.slice(from)));
  return server.log.slice(from);
}
const configuration = async () => (await server.get('/readyz?verbose')).json.configuration;
const overSocket = (method, target, more) => server.request(method, target, { agent: false, via: { socketPath: path }, ...more });
const atProbes = (target, more) => server.request('GET', target, { agent: false, via: { port: probes }, ...more });

before(async () => {
  data = await Data.make('dev');
  say('');
  const killed = start(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)})`]);
  await until('it listens', () => existsSync(path));
  killed.child.kill('SIGKILL');
  await killed.ended;
  assert.ok(existsSync(path), 'a killed server leaves its socket');
  server = new Server(data, ['--config', config], { listen: null });
  await server.ready();
  token = await data.token();
  const said = /http:\/\/127\.0\.0\.1:(\d+): probes and metrics/;
  await server.logged(said);
  probes = Number(said.exec(server.log)[1]);
});
after(() => server?.stop());

test('the API is at an address and at a unix socket of its owner and group', async () => {
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal((await server.get('/v1/datasets', token)).status, 200);
  assert.equal((await overSocket('GET', '/v1/datasets', { token })).status, 200);
  assertProblem(await overSocket('GET', '/v1/datasets'), 401);
  assert.equal((await overSocket('GET', '/livez')).status, 200);
});

test('each request thread of each listener looks up a protected key, which is audited', async () => {
  await data.put(PEOPLE);
  await data.ingest('people', { people: data.file('people.csv', csv(PERSONS)) });
  const ask = (via) => server.request('POST', '/v1/datasets/people/lookup', { token, agent: false, via, body: { key: keyOf(PERSONS[0]) } });
  await until('it is served', async () => (await ask({})).status === 200);
  for (const via of [{}, { socketPath: path }])
    for (const reply of await Promise.all(Array.from({ length: 24 }, () => ask(via)))) assert.equal(reply.json.outcome, 'match');
});

test('probes are everywhere, metrics where they are alone, and there is nothing else there', async () => {
  for (const target of ['/livez', '/readyz', '/metrics']) assert.equal((await atProbes(target)).status, 200, target);
  for (const target of ['/v1/datasets', '/openapi.json', '/docs', '/v1/tenants']) assertProblem(await atProbes(target, { token }), 404, 'NO_ROUTE');
  assertProblem(await server.get('/metrics'), 404, 'NO_ROUTE');
  assertProblem(await overSocket('GET', '/metrics'), 404, 'NO_ROUTE');
});

test('beside as many listeners as there may be, probes have one of their own', async () => {
  const listen = (count) => Array(count).fill(['--listen', '127.0.0.1:0']).flat();
  const most = new Server(data, ['--workers', '1', ...listen(8), '--metrics-listen', '127.0.0.1:0'], { listen: null });
  await most.ready();
  assert.equal(await most.stop(), 0, most.log);
  const more = await data.cli(['serve', ...listen(9)]);
  assert.equal(more.code, 2);
  assert.match(more.stderr, /--listen: at most 8/);
});

test('an unix socket that somebody listens on is not taken away', async () => {
  const other = await data.cli(['serve', '--config', config], { deadlineMs: 60_000 });
  assert.equal(other.code, 1);
  assert.match(other.stderr, /api\.sock/);
  assert.equal((await overSocket('GET', '/livez')).status, 200);
});

test('SIGHUP reads the configuration again: what can change does, what cannot is told', async () => {
  const ask = () => server.post('/v1/datasets/none/lookup', token, { key: { id: 'x'.repeat(2000) } });
  assertProblem(await ask(), 404, 'UNKNOWN_DATASET');
  say('body-limit = 1KiB\nworkers = 7\n');
  assert.match(await reload(), /--workers has changed: it counts after a restart/);
  assertProblem(await ask(), 413, 'BODY_TOO_LARGE');
  assert.equal(await configuration(), 'ok');
});

test('a configuration that is wrong changes nothing, and is told with its line', async () => {
  for (const [text, why] of [['body-limit = 1KiB\nbody-limt = 2KiB\n', /has no option.*everline\.conf:6/],
    ['body-limit = 64KiB\nrequest-timeout = 0s\n', /--request-timeout: from 1/], ['log-level = loud\n', /--log-level/],
    ['body-limit = 64KiB\ntls-cert = /none\n', /given together.*everline\.conf:6/], ['body-limit = 64KiB\ntls-cert = /none\ntls-key = /none\n', /restart/]]) {
    say(text);
    assert.match(await reload(), why);
    assert.equal(await configuration(), 'failed');
    assertProblem(await server.post('/v1/datasets/none/lookup', token, { key: { id: 'x'.repeat(2000) } }), 413, 'BODY_TOO_LARGE');
  }
  say('');
  await reload();
  assert.equal(await configuration(), 'ok');
  assertProblem(await server.post('/v1/datasets/none/lookup', token, { key: { id: 'x'.repeat(2000) } }), 404, 'UNKNOWN_DATASET');
});

test('the log changes its form and its level', async () => {
  say('log-format = text\n');
  assert.match(await reload(/ info +reload: configuration/), /Z info +reload: configuration and token keys are read again\n/);
  say('log-level = error\nbody-limit = 1KiB\n');
  const from = server.log.length;
  server.process.child.kill('SIGHUP');
  const ask = (authorized) => server.post('/v1/datasets/none/lookup', authorized ? token : 'rubbish', { key: { id: 'x'.repeat(2000) } });
  await until('it has reloaded', async () => (await ask(true)).status === 413);
  assertProblem(await ask(false), 401);
  say('log-level = debug\n');
  server.process.child.kill('SIGHUP');
  await until('requests are logged', async () => (await ask(true)) && /"event":"request","message":"lookup: 404 in \d+ us, from 127\.0\.0\.1"/.test(server.log.slice(from)));
  assert.doesNotMatch(server.log.slice(from), /"event":"unauthorized"/);
  assertProblem(await ask(false), 401);
  await until('refusals are too', () => /"event":"unauthorized"/.test(server.log.slice(from)));
});

test('the socket is gone when the server has ended', async () => {
  assert.equal(await server.stop(), 0);
  assert.ok(!existsSync(path));
  for (const [args, why] of [[['--listen', 'unix:'], /path/], [['--listen', `unix:${'x'.repeat(200)}`], /path/], [['--listen', 'localhost'], /unix:PATH/],
    [Array(9).fill(['--listen', '127.0.0.1:0']).flat(), /at most 8/]]) {
    const result = await data.cli(['serve', ...args], { deadlineMs: 60_000 });
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, why);
  }
});
