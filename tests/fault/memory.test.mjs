// Allocations fail: each one alone, and from each one on for good, in everything that asks, flips, moves
// back and verifies. A running server's fail while it answers one request, over real HTTP, with a token
// that it has not seen before: it lives, what it says is right or an error, nobody gets in who has no
// right to, and the next request is answered. Commands say what became of their work.
//
// Without EVERLINE_FAULT_ALL=1 only a sample of the points is tried.
import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Server } from '../kit/everline.mjs';
import { flipByte, segmentPath } from '../kit/files.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { Forge } from '../kit/tokens.mjs';
import { aftermath, expectation, said } from './aftermath.mjs';
import { copy, ingest, OPERATIONS, pastOf, promote, rollback } from './operations.mjs';
import { each, everyPoint, sample, spread } from './points.mjs';
import { Run } from './preload.mjs';
import { DATASETS } from './samples.mjs';

const PEOPLE = '/v1/datasets/people';
const ANSWER_MS = 20_000;
const { keys, answers } = DATASETS.people;
const LETTERS = { 1: 'a', 2: 'b' }; /* the batch that a version of "two" was built from */
const operation = (name) => OPERATIONS.find((one) => one.name === name);

/* With EVERLINE_FAULT_ALL=1 every allocation fails alone. But only so many do of what takes a second (a
 * flip, an ingest: their every point is tried in the unit tests), and only so many of a command's fail with
 * all that follow, which are nearly all the same. */
const MANY = 400;

/** Where allocations fail: of `count` each alone (`alone`), and from each one on (`onwards`). */
function pointsOf(count, samples, alone = sample, onwards = alone) {
  const numbers = Array.from({ length: count }, (_, n) => n);
  return [...alone(numbers, samples).map((n) => [n, n + 1]), ...onwards(numbers, samples).map((n) => [n, Infinity])];
}
const many = (list, samples) => sample(everyPoint ? spread(list, MANY) : list, samples);

const pointName = ([from, to]) => (to === Infinity ? `allocation ${from} and all after it` : `allocation ${from}`);

/** A server whose memory is in our hands. */
async function start(operationName, args = []) {
  const data = await copy(operation(operationName));
  const run = new Run(data.directory, 'memory');
  const server = new Server(data, args, { env: run.env });
  await server.ready();
  let serial = 0;
  const forge = new Forge(data);
  return {
    data, run, server,
    /* each is new to the server */
    token: (claims) => forge.token({ claims: { jti: `n${serial++}`, scope: 'data:read analytics:read versions:write', ...claims } }),
    forge,
    async end() {
      const code = await server.stop();
      for (const path of [dirname(data.directory), data.files, dirname(run.log)]) rmSync(path, { recursive: true, force: true });
      return code;
    },
  };
}

/** The answer; what the connection said when there was none. */
async function outcome(request) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, ANSWER_MS, { status: 0, text: `no answer in ${ANSWER_MS} ms` }); });
  const reply = request.catch((error) => (error.code ? { status: null, text: error.code } : { status: 0, text: String(error.message) }));
  return Promise.race([reply, late]).finally(() => clearTimeout(timer));
}

const isError = (reply) => reply.status === null || reply.status === 500 || reply.status === 503;

/* ---- requests ---- */

const ask = (server, method, path, token, body) => server.request(method, path, { token, body, agent: false });
const first = JSON.stringify(keys[0]).replace(/a/g, '\\u0061'); /* the general parser reads escapes */
const isFirst = ({ version, outcome: found, record }) =>
  isDeepStrictEqual({ outcome: found, record }, answers(LETTERS[version])[0]);
const lookup = (server, token) => ask(server, 'POST', `${PEOPLE}/lookup`, token, { key: keys[0] });

/* right: what an answer must be that is none of an error. */
const READS = [
  { name: 'a lookup', send: lookup, right: isFirst },
  { name: 'a lookup with escapes', send: (server, token) => ask(server, 'POST', `${PEOPLE}/lookup`, token, `{"key":${first}}`), right: isFirst },
  { name: 'a batch', send: (server, token) => ask(server, 'POST', `${PEOPLE}/lookup/batch`, token, { keys }),
    right: ({ version, results }) => isDeepStrictEqual(results, answers(LETTERS[version])) },
  { name: 'a rollup', send: (server, token) => ask(server, 'GET', `${PEOPLE}/rollups/by_state`, token),
    right: ({ version, items, complete }) => complete && isDeepStrictEqual(items, DATASETS.people.cells(LETTERS[version])) },
  { name: 'the versions', send: (server, token) => ask(server, 'GET', `${PEOPLE}/versions`, token),
    right: ({ items, complete }) => complete && isDeepStrictEqual(items.map((row) => row.version), [2, 1]) },
  { name: 'the rejects of a version', claims: { scope: 'ingest:write' }, send: (server, token) => ask(server, 'GET', `${PEOPLE}/versions/1/rejects`, token),
    right: ({ dataset, version, next, complete }) => isDeepStrictEqual([dataset, version, next, complete], ['people', 1, null, true]) },
  /* one that is lost would publish */
  { name: 'a dry run', status: 202, claims: { scope: 'ingest:write' },
    send: (server, token) => ask(server, 'POST', `${PEOPLE}/ingests`, token, { sources: [{ path: 'x.csv' }], dry_run: true }),
    right: (job) => job.dry_run === true },
];

/* status: what it is with memory. */
const REFUSED = [
  { name: "a stranger's signature", status: 401, token: (s) => s.forge.token({ key: Forge.strangersKey(), claims: { jti: `${Math.random()}` } }) },
  { name: 'no signature', status: 401, token: (s) => s.forge.unsigned() },
  { name: 'a public key as secret', status: 401, token: (s) => s.forge.confused() },
  { name: 'a token that ended', status: 401, token: (s) => s.token({ iat: 1, exp: 2 }) },
  { name: 'another audience', status: 401, token: (s) => s.token({ aud: 'somebody' }) },
  { name: 'a tenant that is not there', status: 401, token: (s) => s.token({ tenant: 'nobody' }) },
  { name: 'a scope that is not enough', status: 403, token: (s) => s.token({ scope: 'analytics:read' }) },
  { name: 'datasets that are others', status: 404, token: (s) => s.token({ datasets: ['things'] }) },
];

/** What is answered when the audit, which tries again ten times a second, has noticed that there is memory. */
async function afterwards(send) {
  let reply;
  await until('the audit is written again', async () => {
    reply = await outcome(send());
    return reply.status !== 503 || !/AUDIT_UNAVAILABLE/.test(reply.text);
  });
  return reply;
}

async function tryRead(s, read, point) {
  s.run.failMemory(...point);
  const status = read.status ?? 200;
  const reply = await outcome(read.send(s.server, s.token(read.claims)));
  const { fired } = s.run.restoreMemory();
  const next = await afterwards(() => read.send(s.server, s.token(read.claims)));
  const problems = [];
  if (reply.status === status ? !read.right(reply.json) : !isError(reply)) problems.push(`answered ${reply.status} ${reply.text}`);
  if (next.status !== status || !read.right(next.json)) problems.push(`the next was answered ${next.status} ${next.text}`);
  if (!s.server.alive) problems.push(`the server died: ${s.server.log.slice(-500)}`);
  return { fired, failed: reply.status !== status, problems: problems.map((text) => `${read.name}, ${pointName(point)}: ${text}`) };
}

async function tryRefused(s, refused, point) {
  s.run.failMemory(...point);
  const reply = await outcome(lookup(s.server, refused.token(s)));
  const { fired } = s.run.restoreMemory();
  const problems = [];
  if (reply.status !== refused.status && !isError(reply)) problems.push(`answered ${reply.status} ${reply.text}`);
  if (!s.server.alive) problems.push(`the server died: ${s.server.log.slice(-500)}`);
  return { fired, failed: reply.status !== refused.status, problems: problems.map((text) => `${refused.name}, ${pointName(point)}: ${text}`) };
}

/** Tries all points of one request, one after the other; as a list of what each gave. */
async function tryAll(s, request, tryOne) {
  await tryOne(s, request, [Infinity, Infinity]); /* what is made once is made */
  await afterwards(() => lookup(s.server, s.token()));
  s.run.failMemory();
  const whole = await outcome(request.send ? request.send(s.server, s.token(request.claims)) : lookup(s.server, request.token(s)));
  const { count } = s.run.restoreMemory();
  assert.equal(whole.status, request.status ?? 200, `${request.name}: ${whole.text}`);
  assert.ok(count > 5, `${request.name}: ${count} allocations`);
  const results = [];
  for (const point of pointsOf(count, 24)) results.push(await tryOne(s, request, point));
  return results;
}

const summary = (name, results) => `${name}: ${results.length} points, ${results.filter((one) => one.fired > 0).length} `
  + `with a failure, ${results.filter((one) => one.failed).length} not answered as ever`;
const problemsOf = (results) => results.flatMap((one) => one.problems).slice(0, 20);

let server;
before(async () => { server = await start('rollback', ['--ingest-workers', '0', '--inbox', tempDir('no-inbox')]); });
after(() => server.end());

for (const read of READS)
  test(`without memory ${read.name} is answered right or not at all`, async (t) => {
    const results = await tryAll(server, read, tryRead);
    t.diagnostic(summary(read.name, results));
    assert.deepEqual(problemsOf(results), []);
    assert.ok(results.some((one) => one.failed), 'no failure was ever felt');
  });

for (const refused of REFUSED)
  test(`without memory ${refused.name} gets nobody in`, async (t) => {
    const results = await tryAll(server, refused, tryRefused);
    t.diagnostic(summary(refused.name, results));
    assert.deepEqual(problemsOf(results), []);
  });

/* ---- moves of a running server ---- */

const current = async (s) => (await s.server.get(PEOPLE, s.token())).json.current;

/** A batch is of one version, and what that version says; `letters`: of versions. */
function batchFault(reply, letters) {
  if (reply.status !== 200) return isError(reply) ? null : `a batch meanwhile was answered ${reply.status} ${reply.text}`;
  const { version, results } = reply.json;
  return letters[version] && isDeepStrictEqual(results, answers(letters[version])) ? null : `a batch meanwhile is not of version ${version}`;
}

/** Waits until what is current is served, and gives its number. */
async function settle(s, letters, problems) {
  let version;
  try {
    await until('what is current is served', async () => {
      version = await current(s);
      const reply = await s.server.batch('people', keys, s.token());
      return reply.status === 200 && reply.json.version === version && batchFault(reply, letters) === null;
    });
  } catch (error) {
    problems.push(String(error.message));
  }
  return version;
}

const RETRIES = 30;

async function tryRollback(s, point) {
  const problems = [];
  s.run.failMemory(...point);
  const asked = outcome(s.server.request('POST', `${PEOPLE}/rollback`, { token: s.token(), body: { from: 2, reason: 'a test' }, agent: false }));
  const meanwhile = await outcome(s.server.request('POST', `${PEOPLE}/lookup/batch`, { token: s.token(), body: { keys }, agent: false }));
  /* What is done is said when it is served here, which is when there is memory again. */
  await Promise.race([asked, until('it has tried for a while', () => s.run.memory.fired > RETRIES)]);
  const { fired } = s.run.restoreMemory();
  const reply = await asked;
  const fault = batchFault(meanwhile, LETTERS);
  if (fault) problems.push(fault);
  if (reply.status !== 200 && !isError(reply)) problems.push(`answered ${reply.status} ${reply.text}`);
  const version = await settle(s, LETTERS, problems);
  if (reply.status === 200 && version !== 1) problems.push(`said that it was done, but version ${version} is current`);
  if (version === 1) {
    const back = await outcome(s.server.post(`${PEOPLE}/versions/2/promote`, s.token(), { reason: 'a test' }));
    if (back.status !== 200) problems.push(`the next move was answered ${back.status} ${back.text}`);
  }
  if (!s.server.alive) problems.push(`the server died: ${s.server.log.slice(-500)}`);
  return { fired, failed: reply.status !== 200, problems: problems.map((text) => `${pointName(point)}: ${text}`) };
}

test('without memory a rollback of a server is done or not', async (t) => {
  const s = await start('rollback');
  await tryRollback(s, [Infinity, Infinity]);
  s.run.failMemory();
  const reply = await s.server.post(`${PEOPLE}/rollback`, s.token(), { from: 2, reason: 'a test' });
  const { count } = s.run.restoreMemory();
  assert.equal(reply.status, 200, reply.text);
  assert.equal((await s.server.post(`${PEOPLE}/versions/2/promote`, s.token(), { reason: 'a test' })).status, 200);
  const results = [];
  for (const point of pointsOf(count, 20)) {
    results.push(await tryRollback(s, point));
    if (!s.server.alive) break;
  }
  t.diagnostic(summary('rollback', results));
  assert.deepEqual(problemsOf(results), []);
  assert.ok(results.some((one) => one.failed), 'no failure was ever felt');
  assert.equal((await s.data.cli(['verify', '--deep'])).code, 0);
  assert.equal(await s.end(), 0);
});

/* The version that comes is of another batch than the one before. */
async function tryFlip(s, point, versions) {
  const problems = [];
  const letter = 'abc'[versions.next % 3];
  versions[versions.next++] = letter;
  s.run.failMemory(...point);
  const publishing = s.data.cli([...ingest(letter), '--adopt-timeout', '200ms']);
  let ended = false, fault = null;
  publishing.finally(() => { ended = true; });
  while (!ended && !fault) fault = batchFault(await outcome(s.server.batch('people', keys, s.token())), versions);
  const result = await publishing;
  const { fired } = s.run.restoreMemory();
  if (fault) problems.push(fault);
  if (result.code !== 0) problems.push(`the ingest failed: ${result.stderr}`);
  const version = await settle(s, versions, problems);
  if (version !== versions.next - 1) problems.push(`version ${version} is served, not ${versions.next - 1}`);
  if (!s.server.alive) problems.push(`the server died: ${s.server.log.slice(-500)}`);
  return { fired, failed: false, problems: problems.map((text) => `${pointName(point)}: ${text}`) };
}

test('without memory a server serves what was flipped before, and what was flipped when it has some', async (t) => {
  const s = await start('rollback');
  const versions = { ...LETTERS, next: 3 };
  s.run.failMemory();
  assert.equal((await s.data.cli(ingest('c'))).code, 0);
  const { count } = s.run.restoreMemory();
  versions[versions.next++] = 'c';
  const results = [];
  for (const point of pointsOf(count, 6, many)) {
    results.push(await tryFlip(s, point, versions));
    if (!s.server.alive) break;
  }
  t.diagnostic(summary('flip', results));
  assert.deepEqual(problemsOf(results), []);
  assert.equal((await s.data.cli(['verify', '--deep'])).code, 0);
  assert.equal(await s.end(), 0);
});

/* ---- commands ---- */

/** One run of a command on a copy of its own; gives {data, run, result, counted}. */
async function runOnce(name, args, point, prepare) {
  const data = await copy(operation(name));
  await prepare?.(data);
  const run = new Run(data.directory, 'memory');
  run.failMemory(...point);
  const result = await data.cli(args, { env: run.env });
  return { data, run, result, counted: run.restoreMemory() };
}

const clean = ({ data, run }) => {
  for (const path of [dirname(data.directory), data.files, dirname(run.log)]) rmSync(path, { recursive: true, force: true });
};

async function tryCommand(name, args, point, judgeIt, prepare) {
  const attempt = await runOnce(name, args, point, prepare);
  const { result, counted } = attempt;
  const word = said(result), problems = [];
  if (word === 'nothing') problems.push(`it died of ${result.signal}: ${result.stderr}`);
  if (word === 'no reason') problems.push(`it ended with ${result.code} and said: ${result.stderr}`);
  problems.push(...await judgeIt(attempt, word));
  clean(attempt);
  return { fired: counted.fired, failed: word !== 'success', problems: problems.map((text) => `${name}, ${pointName(point)}: ${text}`) };
}

async function commandPoints(name, args, samples) {
  const first = await runOnce(name, args, []);
  clean(first);
  assert.equal(first.result.code, 0, first.result.stderr);
  return pointsOf(first.counted.count, samples, name === 'ingest' ? many : sample, many);
}

/* Looks with fresh processes. The whole aftermath is for some: it takes two seconds. */
async function judgeMove(name, past, { data, result }, word, whole) {
  const expected = expectation(operation(name), past, word);
  if (whole) return aftermath(data, operation(name), expected);
  const problems = [];
  const verified = await data.cli(['verify', '--deep']);
  if (verified.code !== 0) problems.push(`after ${result.stderr}: verify says ${verified.stdout}${verified.stderr}`);
  const row = (await data.versions('people')).find((one) => one.current);
  if (!expected.current.includes(row?.version ?? null)) problems.push(`it said ${word} (${result.stderr}), and version ${row?.version} is current`);
  return problems;
}

for (const [name, args] of [['rollback', rollback(2)], ['promotion', promote(2)], ['ingest', ingest('b')]])
  test(`without memory the command of a ${name} says what became of it`, async (t) => {
    const past = await pastOf(operation(name));
    const points = await commandPoints(name, args, 8);
    let done = 0;
    const results = await each(points, (point) => tryCommand(name, args, point,
      (attempt, word) => judgeMove(name, past, attempt, word, done++ % 50 === 0)));
    t.diagnostic(summary(name, results));
    assert.deepEqual(problemsOf(results), []);
    assert.ok(results.some((one) => one.failed), 'no failure was ever felt');
  });

const damage = async (data) => {
  const [row] = await data.versions('people');
  const path = segmentPath(data, row);
  flipByte(path, Math.floor(statSync(path).size / 2));
};

for (const args of [['verify'], ['verify', '--deep']]) {
  test(`without memory ${args.join(' ')} finds no damage where there is none`, async (t) => {
    const points = await commandPoints('rollback', args, 8);
    const results = await each(points, (point) => tryCommand('rollback', args, point, ({ result }) =>
      (/damaged|DAMAGED|CORRUPT|hint/.test(result.stdout + result.stderr) ? [`it said ${result.stdout}${result.stderr}`] : [])));
    t.diagnostic(summary(args.join(' '), results));
    assert.deepEqual(problemsOf(results), []);
  });

  test(`without memory ${args.join(' ')} overlooks no damage`, async (t) => {
    const points = await commandPoints('rollback', args, 8);
    const results = await each(points, (point) => tryCommand('rollback', args, point, (attempt, word) =>
      (word === 'success' ? ['it found nothing'] : []), damage));
    t.diagnostic(summary(`${args.join(' ')} of damage`, results));
    assert.deepEqual(problemsOf(results), []);
  });
}
