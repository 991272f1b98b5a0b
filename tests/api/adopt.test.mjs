// Servers that are stopped, killed or new while a version is offered to them: the flip waits for those
// that live, and no longer than it was told to.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { everlinePath, start, until } from '../kit/process.mjs';
import { csv, THINGS } from '../kit/samples.mjs';

const KEY = { id: 'one' };

async function setUp(t) {
  const data = await Data.make('dev');
  await data.put(THINGS);
  const ingest = (weight, timeout) => data.cli(['ingest', 'things', '--adopt-timeout', timeout, '--output', 'json',
    '--source', data.file(`${weight}.csv`, csv([{ id: 'one', colour: 'red', weight, made: '2024-01-01' }]))], { tenant: 'dev' });
  assert.equal((await ingest(1, '0s')).code, 0);
  const token = await data.token();
  const servers = [];
  t.after(async () => {
    for (const server of servers) {
      server.process.child.kill('SIGCONT');
      await server.stop();
    }
  });
  const serve = async () => {
    servers.push(await data.serve());
    return servers.at(-1);
  };
  const version = async (server) => (await server.lookup('things', KEY, token)).json.version;
  return { token, ingest, serve, version };
}

const isStopped = ({ process: { pid } }) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1][0] === 'T';
async function suspend(server) {
  server.process.child.kill('SIGSTOP');
  await until('the server is stopped', () => isStopped(server));
}
const mapped = ({ process: { pid } }) =>
  new Set(readFileSync(`/proc/${pid}/maps`, 'utf8').match(/segments\/\w\w\/\w+\.mdb/g)).size;

test('a stopped server holds a flip up for the adopt timeout, and catches up when it goes on', async (t) => {
  const { ingest, serve, version } = await setUp(t);
  const [live, stopped] = [await serve(), await serve()];
  await suspend(stopped);
  const start = performance.now();
  const { code, stdout, stderr } = await ingest(2, '2s');
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).outcome, 'flipped');
  assert.ok(performance.now() - start >= 2000, 'it did not wait');
  await until('the live one serves version 2', async () => (await version(live)) === 2);
  stopped.process.child.kill('SIGCONT');
  await until('the other one too', async () => (await version(stopped)) === 2);
  await until('it is ready, which it knows a moment after', async () => (await stopped.get('/readyz')).status === 200);
});

test('a killed server is not waited for', async (t) => {
  const { ingest, serve, version } = await setUp(t);
  const [live, killed] = [await serve(), await serve()];
  await killed.stop('SIGKILL');
  const { code, stderr } = await ingest(2, '1h');
  assert.equal(code, 0, stderr);
  await until('the live one serves version 2', async () => (await version(live)) === 2);
});

test('a server that starts while a version is offered opens it too, and nobody flips before', async (t) => {
  const { ingest, serve, version } = await setUp(t);
  const [live, slow] = [await serve(), await serve()];
  await suspend(slow);
  const ingesting = ingest(2, '1h');
  await until('the version is offered', () => mapped(live) === 2);
  const late = await serve();
  await until('the new server has it open', () => mapped(late) === 2);
  assert.deepEqual([await version(live), await version(late)], [1, 1]);
  slow.process.child.kill('SIGCONT');
  const { code, stderr } = await ingesting;
  assert.equal(code, 0, stderr);
  for (const server of [live, slow, late]) await until('version 2 is served', async () => (await version(server)) === 2);
});

test('a stopped server does not hold up the way back', async (t) => {
  const { token, ingest, serve, version } = await setUp(t);
  assert.equal((await ingest(2, '0s')).code, 0);
  const [live, stopped] = [await serve(), await serve()];
  await suspend(stopped);
  const start = performance.now();
  const reply = await live.post('/v1/datasets/things/rollback', token, { reason: 'bad', from: 2 });
  assert.equal(reply.status, 200, reply.text);
  assert.equal(await version(live), 1);
  assert.ok(performance.now() - start < 20_000, 'it waited as long as for a version that nobody has open');
  stopped.process.child.kill('SIGCONT');
  await until('the other one goes back too', async () => (await version(stopped)) === 1);
});

/** Requests that are sent at once, each of which is begun when the one before it is answered: their answers so far. */
function ask(server, token, ...paths) {
  const socket = net.connect(server.port, '127.0.0.1').setEncoding('utf8'), asked = { socket, text: '' };
  socket.on('data', (text) => { asked.text += text; });
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`).join(''));
  return asked;
}

test('whoever is told by a server that a job has succeeded gets there what it has made, also where that is opened late', async (t) => {
  const data = await Data.make('dev'), server = await data.serve(), token = await data.token();
  const file = data.file('one.csv', csv([{ id: 'one', colour: 'red', weight: 1, made: '2024-01-01' }]));
  t.after(async () => {
    server.process.child.kill('SIGCONT');
    await server.stop();
  });
  for (const version of [1, 2]) {
    await data.put({ ...THINGS, prepare: `SELECT id || n AS id, colour, weight, made FROM things, range(${30000 + version}) t(n)` });
    const command = start(everlinePath, ['ingest', 'things', '--data', data.directory, '--tenant', 'dev', '--adopt-timeout', '0s', '--source', file]);
    const { job } = await until('it is running', async () => (await server.get('/v1/jobs?state=running', token)).json.items[0]);
    const follower = ask(server, token, `/v1/jobs/${job}/events`, '/v1/datasets/things/records/one0');
    await until('it is followed', () => follower.text.includes('event: '));
    await suspend(server);
    const asker = ask(server, token, `/v1/jobs/${job}`, '/v1/datasets/things/records/one0');
    const { code } = await command.ended;
    assert.equal(code, 0, command.stderr);
    server.process.child.kill('SIGCONT');
    for (const { socket, text } of await until('both have both answers',
      () => [follower, asker].every((one) => one.text.split('HTTP/1.1 ').length === 3) && [follower, asker])) {
      socket.destroy();
      assert.match(text, /"state":"succeeded"[^]*HTTP\/1.1 /);
      assert.equal(/everline-version: (\d+)/i.exec(text)?.[1], String(version), text);
    }
  }
});
