// A tenant's SQL reaches nothing but its sources, and is stopped by the limits of the worker, with a
// reason and one attempt; nobody else notices.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { buildDir, buildersOf, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const sanitized = !/^EVERLINE_SANITIZE:\w+=$/m.test(readFileSync(join(buildDir, 'CMakeCache.txt'), 'utf8'));
const LIMITS = '[worker]\nmemory = 128MiB\ntemp-disk = 32MiB\n';
const ROW = { id: 't00000' };
let data, token;

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('things.csv', csv(things(10))) });
  token = await data.token();
});

const bomb = (prepare) => ({ name: 'bomb', sources: THINGS.sources, prepare, key: { fields: ['id'], protect: 'none' }, record: { colour: 'VARCHAR' } });

/** A batch of this SQL. */
async function ingest(server, prepare) {
  await data.put(bomb(prepare));
  const reply = await server.post('/v1/datasets/bomb/ingests', token, csv(things(3)), { 'content-type': 'text/csv' });
  assert.equal(reply.status, 202, reply.text);
  return reply.json.job;
}

const get = async (server, job) => (await server.get(`/v1/jobs/${job}`, token)).json;
const ended = (server, job) => until(`${job} has ended`, async () => {
  assert.equal((await server.get(`/v1/datasets/things/records/${ROW.id}`, token)).status, 200);
  const row = await get(server, job);
  return row.ended_at && row;
}, 120_000, 50);

test('what is not a SELECT from the sources is refused when the dataset is defined', async () => {
  const target = join(data.files, 'written');
  for (const [prepare, why] of [
    ["SELECT filename AS id, content AS colour FROM read_text('/etc/passwd')", /read_text is not allowed/],
    ["SELECT * FROM read_csv('/etc/passwd')", /read_csv is not allowed/],
    ["SELECT * FROM '/etc/passwd'", /no source named/],
    ["SELECT file AS id, file AS colour FROM glob('/etc/*')", /glob is not allowed/],
    [`COPY (SELECT 1) TO '${target}'`, /only one SELECT/],
    [`ATTACH '${target}'`, /only one SELECT/],
    ['INSTALL httpfs', /only one SELECT/],
    ['LOAD httpfs', /only one SELECT/],
    ["SET memory_limit='100GB'", /only one SELECT/],
    ['PRAGMA database_list', /only one SELECT/],
    ['SELECT * FROM pragma_database_list()', /not allowed/],
    ['SELECT name AS id, value AS colour FROM duckdb_settings()', /not allowed/],
    ["SELECT * FROM query('SELECT 1')", /not allowed/],
    ["SELECT id, getenv('HOME') AS colour FROM things", /getenv is not allowed/],
    ["SELECT id, current_setting('threads') AS colour FROM things", /not allowed/],
    ['SELECT id, colour FROM things; DROP TABLE things', /only one SELECT/],
  ]) {
    const { code, stderr } = await data.putCli(bomb(prepare));
    assert.equal(code, 1, prepare);
    assert.match(stderr, why, prepare);
    assert.match(stderr, /at \/prepare/, prepare);
  }
  assert.ok(!existsSync(target));
});

const ENDLESS = {
  recursion: "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT id, (SELECT count(*) FROM r)::VARCHAR AS colour FROM things",
  'a cross join of 10^12': "SELECT id, (SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3)::VARCHAR AS colour FROM things",
  'one call that takes hours': "SELECT id, levenshtein(repeat('a', 1000000), repeat('b', 1000000))::VARCHAR AS colour FROM things",
};
const LARGE = {
  'rows for the disk': ["SELECT id || a.range || '-' || b.range AS id, colour FROM things, range(1000000) a, range(1000000) b", /^DISK_LIMIT$/],
  'a long list': ["SELECT id, list_sum(list_transform(range(1000000000), x -> x + 1))::VARCHAR AS colour FROM things", /MEMORY/],
  'a list made rows': ['SELECT id || u AS id, colour FROM (SELECT id, colour, unnest(range(1000000000)) AS u FROM things)', /MEMORY/],
  'a long text': ["SELECT id, repeat('x', 1000000000) AS colour FROM things", /MEMORY/],
  'a wide format': ["SELECT id, printf('%2000000000d', 1) AS colour FROM things", /MEMORY/],
  'a large sort': ['SELECT id || n AS id, colour FROM things, range(50000000) t(n) ORDER BY hash(n)', /MEMORY/],
};
const REFUSED = {
  'a longer text': ["SELECT id, repeat(repeat('x', 1000000), 100000) AS colour FROM things", /^SQL_RUNTIME$/],
  'a regular expression': ["SELECT id, regexp_replace('aaa', '((a{1,100}){1,100}){1,100}b', 'x') AS colour FROM things", /^SQL_RUNTIME$/],
};

/** Those that any thread of a process has made. */
const childrenOf = (pid) => readdirSync(`/proc/${pid}/task`)
  .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number));

async function stopped(t, limits, cases) {
  const server = await data.serve('--config', data.file('limits.conf', `${LIMITS}${limits}`));
  t.after(() => server.stop());
  for (const [what, [prepare, code]] of cases) {
    const row = await ended(server, await ingest(server, prepare));
    assert.equal(row.state, 'failed', what);
    assert.match(row.error.code, code, `${what}: ${JSON.stringify(row.error)}`);
    assert.ok(row.error.message.length > 20 && !/x{9}/.test(row.error.message), what);
    assert.equal(row.attempt, 1, what);
  }
  await until('nothing is left', () => readdirSync(join(data.directory, 'build')).length === 0);
  return server;
}

test('what has no end is stopped by its time', async (t) => {
  const server = await stopped(t, 'job-timeout = 2s\n', Object.entries(ENDLESS).map(([what, prepare]) => [what, [prepare, /^JOB_TIMEOUT$/]]));
  assert.equal(server.alive, true);
});

test('what outgrows memory or disk is stopped, and the next job runs', async (t) => {
  const server = await stopped(t, '', [...Object.entries(REFUSED),
    ...(sanitized ? [] : Object.entries(LARGE))]); /* sanitizers may use gigabytes, and take long for them */
  const good = await ended(server, await ingest(server, "SELECT id, regexp_matches(repeat('a', 100000), '(a*)*b')::VARCHAR AS colour FROM things"));
  assert.equal(good.state, 'succeeded', JSON.stringify(good.error));
});

test('the process that runs a tenant\'s SQL is niced, offers its cores, gains no privileges, leaves no core and never has the catalog', async (t) => {
  const server = await data.serve();
  t.after(() => server.stop());
  const job = await ingest(server, ENDLESS.recursion);
  const proc = (pid, name) => readFileSync(`/proc/${pid}/${name}`, 'utf8');
  await until('it is at it', async () => (await get(server, job)).progress?.phase === 'preparing');
  const [[worker, child], ...others] = childrenOf(server.process.pid).flatMap((pid) => buildersOf(pid).map((builder) => [pid, builder]));
  assert.deepEqual(others, []);
  assert.equal(proc(child, 'stat').split(') ')[1].split(' ')[16], '10', 'nice');
  assert.equal(proc(child, 'stat').split(') ')[1].split(' ')[3], String(child), 'a session of its own');
  if (process.getuid() === 0 && existsSync('/proc/self/autogroup')) assert.match(proc(child, 'autogroup'), / nice 10$/m);
  const named = (name) => readdirSync(`/proc/${child}/task`).filter((thread) => proc(child, `task/${thread}/comm`).trim() === name);
  await until('it offers each core, when each of its threads had a turn', () => named('turns').length === availableParallelism());
  assert.match(proc(child, 'status'), /^NoNewPrivs:\s1$/m);
  assert.match(proc(child, 'limits'), /^Max core file size +0 +0 /m);
  const open = (pid) => readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  assert.ok(open(worker).some((path) => path.endsWith('/catalog.mdb')), 'its parent has');
  assert.deepEqual(open(child).filter((path) => path.startsWith(data.directory) && !/\/(build|spool)\//.test(path)), []);
  assert.doesNotMatch(proc(child, 'maps'), /catalog/);
  const builds = readdirSync(join(data.directory, 'build'));
  assert.equal(builds.length, 1);
  assert.equal(statSync(join(data.directory, 'build', builds[0])).mode & 0o777, 0o700);
  await server.post(`/v1/jobs/${job}/cancel`, token);
  assert.equal((await ended(server, job)).state, 'canceled');
});

test('a job whose SQL never answers is cancelled at once', async (t) => {
  const server = await data.serve();
  t.after(() => server.stop());
  for (const [what, prepare] of Object.entries(ENDLESS)) {
    const job = await ingest(server, prepare);
    await until('it is at it', async () => (await get(server, job)).state === 'running');
    const start = performance.now();
    assert.equal((await server.post(`/v1/jobs/${job}/cancel`, token)).status, 202);
    const row = await ended(server, job);
    t.diagnostic(`${what}: ${Math.round(performance.now() - start)} ms`);
    assert.equal(row.state, 'canceled', what);
    assert.equal(row.error.code, 'CANCELED');
  }
});
