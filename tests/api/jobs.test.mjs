// Jobs over HTTP: uploads, ingests, cancelling, retries, isolation; and the commands for them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { everlinePath, ingestPath, run, start, tempDir, until } from '../kit/process.mjs';
import { csv, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

let data, server, token, other, inbox;
const CSV = { 'content-type': 'text/csv' };
const CANCEL_MS = 10_000; /* it takes 0.1 s, on a busy machine more; its batch, its lease or a server would take longer */
const ENDED = ['succeeded', 'held', 'failed', 'canceled'];

before(async () => {
  data = await Data.make('dev', 'other');
  inbox = tempDir('inbox');
  mkdirSync(join(inbox, 'dev'));
  mkdirSync(join(inbox, 'other'));
  for (const name of ['things', 'more', 'rest']) await data.put({ ...THINGS, name });
  await data.put(PEOPLE);
  await data.put(THINGS, { tenant: 'other' });
  server = await data.serve('--inbox', inbox, '--upload-limit', '8MiB');
  token = await data.token();
  other = await data.token({ tenant: 'other' });
});
after(() => server?.stop());

const spool = () => [...filesBelow(join(data.directory, 'spool'))];
const upload = (body, { name = 'things.csv', as = token, headers = CSV } = {}) =>
  server.post(`/v1/uploads?name=${name}`, as, body, headers);
const ingest = (dataset, body, { as = token, headers = {}, query = '' } = {}) =>
  server.post(`/v1/datasets/${dataset}/ingests${query}`, as, body, headers);
const job = async (id, as = token) => (await server.get(`/v1/jobs/${id}`, as)).json;
const ended = (id, as = token) => until(`${id} has ended`, async () => {
  const row = await job(id, as);
  return ENDED.includes(row.state) && row;
});
const cancel = (id, as = token) => server.post(`/v1/jobs/${id}/cancel`, as);
const retry = (id, as = token) => server.post(`/v1/jobs/${id}/retry`, as);

/** What the log says of a job's end. */
const logged = (job) => server.log.split('\n').slice(0, -1).filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  .find(({ event, message }) => event === 'job' && message.includes(job));

test('an upload is ingested, served, and gone', async () => {
  const body = csv(things(1000));
  const reply = await upload(body);
  assert.equal(reply.status, 201, reply.text);
  assert.equal(reply.json.bytes, Buffer.byteLength(body));
  assert.equal(reply.json.sha256, createHash('sha256').update(body).digest('hex'));
  const started = await ingest('things', { sources: [{ source: 'things', upload: reply.json.upload }] });
  assert.equal(started.status, 202, started.text);
  assert.equal(started.headers.location, `/v1/jobs/${started.json.job}`);
  const row = await ended(started.json.job);
  assert.equal(row.state, 'succeeded', JSON.stringify(row));
  assert.equal(row.outcome, 'flipped');
  assert.equal(row.attempt, 1);
  assert.ok(row.timeline.some((step) => step.phase === 'reading' && step.ms >= 0), JSON.stringify(row.timeline));
  await until('it is served', async () => (await server.get('/v1/datasets/things/records/t00000', token)).json.version === row.version);
  await until('the log has its end', () => logged(row.job)?.level === 'info');
  assert.equal(logged(row.job).message, `${row.job} of dev/things made version ${row.version}: flipped`);
  await until('the upload is gone', () => spool().length === 0);
  const [version] = await data.versions('things');
  assert.equal(version.sources[0].file ?? version.sources[0].name, 'things.csv');
});

test('the file itself as the body, larger than any buffer', async () => {
  const body = csv(things(60_000));
  assert.ok(body.length > 1 << 20);
  const started = await ingest('things', body, { headers: CSV, query: '?name=large.csv' });
  assert.equal(started.status, 202, started.text);
  const row = await ended(started.json.job);
  assert.equal(row.state, 'succeeded', JSON.stringify(row));
  assert.equal((await data.versions('things'))[0].rows.read, 60_000);
  await until('the upload is gone', () => spool().length === 0);
});

test('an upload that is broken off, or too large, leaves nothing', async () => {
  await new Promise((resolve) => {
    const request = http.request({ host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/uploads',
      headers: { authorization: `Bearer ${token}`, 'content-length': 3 << 20 } });
    request.on('error', resolve);
    request.write(Buffer.alloc(1 << 20));
    until('it is being received', () => spool().length).then(() => request.destroy());
  });
  await until('it is gone', () => spool().length === 0);
  const large = Buffer.alloc((8 << 20) + 1);
  const told = await upload(large).catch((error) => error); /* it may be cut off while it sends */
  if (told instanceof Error) assert.match(told.code, /EPIPE|ECONNRESET/);
  else assertProblem(told, 413, 'BODY_TOO_LARGE');
  const chunked = await new Promise((resolve) => {
    const request = http.request({ host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/uploads',
      headers: { authorization: `Bearer ${token}`, 'transfer-encoding': 'chunked' } }, (reply) => {
      reply.resume();
      resolve(reply.statusCode);
    });
    request.on('error', (error) => resolve(error.code));
    for (let at = 0; at < large.length; at += 1 << 20) request.write(large.subarray(at, at + (1 << 20)));
    request.end();
  });
  assert.ok([413, 'EPIPE', 'ECONNRESET'].includes(chunked), String(chunked));
  await until('it is gone', () => spool().length === 0);
});

test('what is being received counts among what a tenant may have', async () => {
  const few = await Data.make('dev', 'other'), MIB = 1 << 20;
  await few.ok(['tenant', 'put', 'dev', '--max-upload-bytes', '3MiB']);
  const one = await few.serve(), [who, stranger] = [await few.token(), await few.token({ tenant: 'other' })];
  const stored = () => [...filesBelow(join(few.directory, 'spool'))].reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0);
  const sends = [];
  /** Sends so many bytes of as many as it says, or of some number, and goes on when `end` is called. */
  function send(token, bytes, length) {
    const headers = { authorization: `Bearer ${token}`, ...(length ? { 'content-length': length } : {}) };
    const request = http.request({ host: '127.0.0.1', port: one.port, method: 'POST', path: '/v1/uploads', headers });
    const answer = new Promise((resolve) => {
      request.on('response', (reply) => { reply.resume(); resolve(reply.statusCode); });
      request.on('error', (error) => resolve(error.code));
    });
    request.write(Buffer.alloc(bytes));
    sends.push(request);
    return { answer, end: () => request.end() };
  }
  try {
    let left = 4;
    for (let i = left; i; i--) void send(who, 8 * MIB).answer.then(() => left--);
    await until('all are refused, or too much is there', () => !left || stored() > 3 * MIB);
    assert.ok(stored() <= 3 * MIB, `${stored()} bytes are on the disk`);
    const theirs = send(stranger, 4 * MIB);
    theirs.end();
    assert.equal(await theirs.answer, 201);
    assert.equal(await send(who, 1, 4 * MIB).answer, 507, 'one that says that it is larger than all may be');
  } finally {
    for (const request of sends) request.destroy();
    await until('what was broken off is gone', () => stored() <= 4 * MIB);
    const again = await one.post('/v1/uploads', who, Buffer.alloc(3 * MIB), CSV);
    assert.equal(again.status, 201, again.text);
    assert.equal(await one.stop(), 0, one.log);
  }
});

test('what cannot be ingested is told at once', async () => {
  const { upload: id } = (await upload('id,colour,weight,made\nx,red,1,2024-01-01\n')).json;
  const cases = [
    [{}, 400, 'MISSING_SOURCE'],
    [{ sources: [] }, 400, 'MISSING_SOURCE'],
    [{ sources: [{ upload: id, path: 'x' }] }, 400, 'INVALID_SOURCE'],
    [{ sources: [{}] }, 400, 'INVALID_SOURCE'],
    [{ sources: [{ path: '/etc/passwd' }] }, 400, 'INBOX_PATH'],
    [{ sources: [{ path: 'a/../../b' }] }, 400, 'INBOX_PATH'],
    [{ sources: [{ upload: 'up-none' }] }, 404, 'UNKNOWN_UPLOAD'],
    [{ sources: [{ upload: id }, { upload: id }] }, 409, 'UPLOAD_USED'],
    [{ sources: [{ upload: id }], priority: 99 }, 400, undefined],
    [{ sources: [{ upload: id }], dry: true }, 400, 'UNKNOWN_FIELD'],
  ];
  for (const [body, status, code] of cases) assertProblem(await ingest('things', body), status, code);
  assertProblem(await ingest('nothing', { sources: [{ upload: id }] }), 404, 'UNKNOWN_DATASET');
  assertProblem(await ingest('nothing', 'a,b\n', { headers: CSV }), 404, 'UNKNOWN_DATASET');
  assertProblem(await upload('x', { name: '..%2Fx' }), 400, 'INVALID_FILE_NAME');
  assertProblem(await upload('x', { headers: { 'content-type': 'multipart/form-data; boundary=x' } }), 415);
  assert.equal(spool().length, 1);
  assert.equal((await ended((await ingest('things', { sources: [{ upload: id }] })).json.job)).state, 'succeeded');
});

test('a bad batch fails with its place, and leaves its upload nowhere', async () => {
  const started = await ingest('people', `${csv(PERSONS)}Qwertz,Asdfgh\n`, { headers: CSV, query: '?name=short.csv' });
  const row = await ended(started.json.job);
  assert.equal(row.state, 'failed');
  assert.equal(row.error.code, 'CSV_SHORT_ROW');
  assert.match(`${row.error.place} ${row.error.message}`, /short\.csv/);
  assert.ok(!JSON.stringify(row).includes('Qwertz'));
  await until('the log has its end', () => logged(row.job)?.level === 'warn');
  assert.ok(JSON.stringify(logged(row.job)).includes('CSV_SHORT_ROW'), server.log);
  await until('the upload is gone', () => spool().length === 0);
  assertProblem(await retry(row.job), 409, 'UPLOADS_GONE');
});

test('the same request with the same Idempotency-Key is the same job', async () => {
  const headers = { ...CSV, 'idempotency-key': 'nightly' };
  const [one, two] = [await ingest('things', csv(things(5)), { headers }), await ingest('things', csv(things(5)), { headers })];
  assert.equal(one.status, 202);
  assert.equal(two.json.job, one.json.job);
  assertProblem(await ingest('things', csv(things(6)), { headers }), 422, 'IDEMPOTENCY_KEY_REUSED');
  await ended(one.json.job);
  await until('no upload is left', () => spool().length === 0);
});

test('files of the inbox, by path and by glob; never what a link leads to', async () => {
  const day = join(inbox, 'dev', 'day');
  mkdirSync(day);
  const rows = things(20);
  writeFileSync(join(day, 'a.csv'), csv(rows.slice(0, 10)));
  writeFileSync(join(day, 'b.csv'), csv(rows.slice(10)));
  const outside = data.file('outside.csv', csv(things(3)));
  symlinkSync(outside, join(day, 'link.csv'));
  symlinkSync(join(inbox, 'other'), join(day, 'theirs'));
  writeFileSync(join(inbox, 'other', 'x.csv'), csv(things(3)));
  const run = async (path) => ended((await ingest('things', { sources: [{ path }] })).json.job);
  const good = await run('day/[ab].csv');
  assert.equal(good.state, 'succeeded', JSON.stringify(good.error));
  assert.equal((await data.versions('things'))[0].rows.read, 20);
  for (const [path, code] of [['day/link.csv', 'INBOX_PATH'], ['day/theirs/x.csv', 'INBOX_PATH'], ['day/none.csv', 'MISSING_SOURCE']]) {
    const row = await run(path);
    assert.equal(row.state, 'failed');
    assert.equal(row.error.code, code, JSON.stringify(row.error));
  }
  assert.ok(existsSync(join(day, 'a.csv')), 'files of the inbox are their owner\'s to remove');
});

test('another tenant\'s jobs and uploads are not there', async () => {
  const { upload: id } = (await upload('id,colour,weight,made\n')).json;
  assertProblem(await ingest('things', { sources: [{ upload: id }] }, { as: other }), 404, 'UNKNOWN_UPLOAD');
  const mine = (await ingest('things', { sources: [{ upload: id }] })).json.job;
  for (const reply of [await server.get(`/v1/jobs/${mine}`, other), await cancel(mine, other), await retry(mine, other)])
    assertProblem(reply, 404, 'UNKNOWN_JOB');
  const seen = (await server.get('/v1/jobs', other)).json.items;
  assert.ok(seen.every((row) => row.tenant === 'other'));
  const narrow = await data.token({ datasets: ['more'] });
  assertProblem(await server.get(`/v1/jobs/${mine}`, narrow), 404, 'UNKNOWN_JOB');
  assert.deepEqual((await server.get('/v1/jobs', narrow)).json.items.filter((row) => row.dataset !== 'more'), []);
  assertProblem(await server.get('/v1/jobs', await data.token({ scope: 'data:read' })), 403, 'SCOPE_MISSING');
  await ended(mine);
});

test('lists have pages and filters', async () => {
  const all = (await server.get('/v1/jobs?limit=1000', token)).json.items.map((row) => row.job);
  assert.deepEqual(all, [...all].sort().reverse());
  const paged = [];
  for (let next = ''; next !== null;) {
    const page = (await server.get(`/v1/jobs?limit=3${next && `&cursor=${next}`}`, token)).json;
    paged.push(...page.items.map((row) => row.job));
    next = page.next;
  }
  assert.deepEqual(paged, all);
  const failed = (await server.get('/v1/jobs?state=failed&dataset=people', token)).json.items;
  assert.ok(failed.length > 0 && failed.every((row) => row.state === 'failed' && row.dataset === 'people'));
});

test('a filter by a state that there is not is refused, with those that there are', async () => {
  for (const state of ['nonsense', '', 'fail', 'failed,', 'FAILED', 'queued, running']) {
    const refused = await server.get(`/v1/jobs?state=${encodeURIComponent(state)}`, token), here = await data.cli(['jobs', 'list', '--state', state], { tenant: 'dev' });
    assert.deepEqual([refused.status, refused.json.code, here.code, here.stdout], [400, 'INVALID_PARAMETER', 2, ''], state);
    for (const text of [refused.json.detail, here.stderr]) assert.match(text, /"state" must be one of queued, running, succeeded, held, failed, canceled/);
  }
});

/** A batch that takes a while, so that there is a job that runs. */
const SLOW = { ...THINGS, name: 'slow',
  prepare: "SELECT id || '-' || n AS id, colour, weight, made FROM things, range(20000000) t(n)" };

/** Segments that were not there before; old versions' may be gone at any time. */
const segments = () => [...filesBelow(join(data.directory, 'segments'))];
const newer = (before) => segments().filter((path) => !before.includes(path));

test('a running job is cancelled at once, and leaves nothing', async () => {
  await data.put(SLOW);
  const before = segments();
  const { job: id } = (await ingest('slow', csv(things(3)), { headers: CSV })).json;
  const behind = (await ingest('slow', csv(things(3)), { headers: CSV })).json.job;
  await until('it has begun', async () => (await job(id)).progress);
  assert.equal((await job(behind)).state, 'queued');
  assert.equal((await cancel(behind)).json.state, 'canceled');
  const start = performance.now();
  assert.equal((await cancel(id)).status, 202);
  const row = await ended(id);
  assert.ok(performance.now() - start < CANCEL_MS, `${performance.now() - start} ms`);
  assert.equal(row.state, 'canceled');
  assert.equal(row.error.code, 'CANCELED');
  await until('the upload is gone', () => spool().length === 0);
  assert.deepEqual(readdirSync(join(data.directory, 'build')), []);
  assert.deepEqual(newer(before), []);
  assert.deepEqual((await data.versions('slow')).map((version) => [version.version, version.state, version.job]), [[1, 'FAILED', id]]); /* none of the one that never began */
  assertProblem(await retry((await ended((await ingest('things', csv(things(5)), { headers: CSV })).json.job)).job), 409, 'JOB_NOT_RETRIABLE');
});

test('so is one that builds its segment, and one that waits for a server that does not answer', async () => {
  const before = segments();
  await data.put({ ...SLOW, name: 'large', prepare: SLOW.prepare.replace('20000000', '300000') });
  const deaf = await data.serve('--ingest-workers', '0');
  deaf.process.child.kill('SIGSTOP');
  try {
    for (const phase of ['building', 'warming']) {
      const { job: id } = (await ingest('large', csv(things(3)), { headers: CSV })).json;
      await until(`it is ${phase}`, async () => (await job(id)).progress?.phase === phase);
      const [{ version, state }] = await data.versions('large');
      assert.equal(state, 'IN_PROGRESS');
      assertProblem(await server.get(`/v1/datasets/large/records/x?version=${version}`, token), 404, 'UNKNOWN_VERSION');
      const start = performance.now();
      await cancel(id);
      const row = await ended(id);
      assert.ok(performance.now() - start < CANCEL_MS, `${performance.now() - start} ms`);
      assert.deepEqual([row.state, row.error.code], ['canceled', 'CANCELED']);
      assert.equal((await data.versions('large'))[0].state, 'FAILED');
      await until('nothing is left', () => readdirSync(join(data.directory, 'build')).length === 0 && newer(before).length === 0 && spool().length === 0);
    }
  } finally {
    deaf.process.child.kill('SIGCONT');
    await deaf.stop();
  }
  assert.equal((await server.get('/v1/datasets/large', token)).json.current, null);
});

test('the progress of a job says how much is done, how fast, and how long the rest takes', async () => {
  await data.put({ ...SLOW, name: 'large', prepare: SLOW.prepare.replace('20000000', '1000000') }, { force: true });
  const { job: id } = (await ingest('large', csv(things(3)), { headers: CSV })).json;
  const seen = await until('it has written some of its records', async () => {
    const { state, progress } = await job(id);
    assert.ok(!ENDED.includes(state), 'it ended before');
    return progress?.phase === 'building' && progress.rows > 0 && progress;
  });
  const { rows, total, percent, rows_per_second: rate, seconds_left: left } = seen;
  assert.ok(rows <= total && total === 3_000_000, JSON.stringify(seen));
  assert.equal(percent, Math.floor(rows / total * 100));
  assert.ok(left >= Math.floor((total - rows) / (rate + 1)) && left <= Math.floor((total - rows) / rate), JSON.stringify(seen));
  await cancel(id);
  await ended(id);
});

test('a phase that goes on is not at 100 %, also when all files were read', async () => {
  await data.put(SLOW);
  const { job: id } = (await ingest('slow', csv(things(3)), { headers: CSV })).json;
  const seen = [];
  await until('more rows came than the files made expect', async () => {
    const { state, progress } = await job(id);
    assert.ok(!ENDED.includes(state), 'it ended before');
    if (progress?.phase === 'preparing' && progress.rows > (seen.at(-1)?.rows ?? 0)) seen.push(progress);
    return seen.length === 3;
  });
  for (const { rows, total, percent, seconds_left: left } of seen)
    assert.deepEqual([total, percent, left], [rows, 99, null], JSON.stringify(seen));
  await cancel(id);
  await ended(id);
});

test('a job is followed by server-sent events to its end', async () => {
  const { job: id } = (await ingest('slow', csv(things(3)), { headers: CSV })).json;
  const stream = server.get(`/v1/jobs/${id}/events`, token);
  await until('it has begun', async () => (await job(id)).progress);
  await cancel(id);
  const reply = await stream;
  assert.equal(reply.status, 200);
  assert.equal(reply.headers['content-type'], 'text/event-stream');
  const events = reply.text.trim().split('\n\n').filter((event) => event !== ':').map((event) => {
    const [, name, text] = /^event: (\w+)\ndata: (.*)$/.exec(event);
    return { name, job: JSON.parse(text) };
  });
  assert.equal(events.at(-1).name, 'end');
  assert.equal(events.at(-1).job.state, 'canceled');
  assert.ok(events.length > 1 && events.slice(0, -1).every((event) => event.name === 'progress' && event.job.job === id));
  const again = await server.get(`/v1/jobs/${id}/events`, token);
  assert.match(again.text, /^event: end\n/);
  assertProblem(await server.get(`/v1/jobs/${id}/events`, other), 404, 'UNKNOWN_JOB');
});

test('a server that stops ends the streams of who follows', async () => {
  const second = await data.serve('--ingest-workers', '0');
  const { job: id } = (await second.post('/v1/datasets/more/ingests', token, csv(things(3)), CSV)).json;
  const before = await server.get(`/v1/jobs/${id}`, token);
  assert.equal(before.status, 200);
  const blocked = (await ingest('slow', csv(things(3)), { headers: CSV })).json.job;
  const agent = new http.Agent(); /* the server's own is closed before it is stopped */
  const stream = second.request('GET', `/v1/jobs/${blocked}/events`, { token, agent });
  await until('it is followed', async () => (await second.get('/metrics')).text.includes('watchJob"} 1'));
  assert.equal(await second.stop(), 0);
  assert.match((await stream).text, /^event: progress\n/);
  await cancel(blocked);
  await ended(blocked);
  await ended(id);
});

test('of many who follow at once, as many of a tenant do as may, and the others are told', async () => {
  const MAY = 32, more = 8, own = await Data.make('dev');
  await own.put(THINGS);
  const [idle, mine] = [await own.serve('--ingest-workers', '0'), await own.token()];
  const { job: id } = (await idle.post('/v1/datasets/things/ingests', mine, csv(things(3)), CSV)).json;
  const agent = new http.Agent(), refused = [];
  const follow = () => idle.request('GET', `/v1/jobs/${id}/events`, { token: mine, agent });
  const all = Array.from({ length: MAY + more }, () => follow().then((reply) => { if (reply.status !== 200) refused.push(reply); return reply; }));
  await until('all are answered', async () => (await idle.get('/metrics')).text.includes(`watchJob"} ${MAY + more}`));
  await until('some are refused', () => refused.length === more);
  for (const reply of refused) assertProblem(reply, 503, 'BUSY');
  assert.equal(await idle.stop(), 0);
  assert.equal((await Promise.all(all)).filter(({ text }) => text.startsWith('event: progress\n')).length, MAY);
});

test('a worker that is told to stop hands its job to another one at once', async () => {
  const own = await Data.make('dev');
  await own.put(SLOW);
  const [first, mine] = [await own.serve('--ingest-workers', '0'), await own.token()];
  const { job: id } = (await first.post('/v1/datasets/slow/ingests', mine, csv(things(3)), CSV)).json;
  const at = async () => (await first.get(`/v1/jobs/${id}`, mine)).json;
  const runs = (attempt) => until(`it runs in attempt ${attempt}`, async () => { const row = await at(); return row.state === 'running' && row.progress && row; });
  const worker = () => start(ingestPath, ['worker', '--data', own.directory]);
  const one = worker();
  const began = await runs(1);
  one.child.kill('SIGTERM');
  assert.equal((await one.ended).code, 0, one.stderr);
  const waits = await at(); /* its lease of 30 s is over by now */
  assert.deepEqual([waits.state, readdirSync(join(own.directory, 'build'))], ['queued', []]);
  const other = worker();
  const row = await runs(2);
  assert.ok(row.created_at === began.created_at && row.attempt > began.attempt, JSON.stringify(row));
  await first.post(`/v1/jobs/${id}/cancel`, mine);
  await until('it is over', async () => (await at()).state === 'canceled');
  other.child.kill('SIGTERM');
  assert.equal((await other.ended).code, 0, other.stderr);
  assert.equal(await first.stop(), 0);
});

test('who starts the programs may ignore the end of children: they do not', async () => {
  const own = await Data.make('dev'), portFile = join(tempDir('port'), 'port'), ignoring = ['--ignore-signal=CHLD', everlinePath];
  await own.put(THINGS);
  const command = await run('env', [...ignoring, 'ingest', 'things', '--data', own.directory, '--tenant', 'dev', '--source', own.file('a.csv', csv(things(3)))]);
  assert.equal(command.code, 0, command.stderr);
  const server = start('env', [...ignoring, 'serve', '--data', own.directory, '--listen', '127.0.0.1:0', '--port-file', portFile]);
  await until('it is ready', () => existsSync(portFile) || server.exited);
  const reply = await fetch(`http://127.0.0.1:${readFileSync(portFile, 'utf8').trim()}/v1/datasets/things/ingests?name=b.csv`,
    { method: 'POST', body: csv(things(4)), headers: { 'content-type': 'text/csv', authorization: `Bearer ${await own.token()}` } });
  assert.equal(reply.status, 202, await reply.text());
  await until('its worker made a version', async () => (await own.versions('things')).some(({ version, current }) => version === 2 && current));
  server.child.kill('SIGTERM');
  assert.equal((await server.ended).code, 0, server.stderr);
});

test('a job whose worker is killed is run again, and its rows count once', async () => {
  const own = await Data.make('dev');
  await own.put({ ...SLOW, prepare: SLOW.prepare.replace('20000000', '200000') });
  const [front, mine] = [await own.serve('--ingest-workers', '0'), await own.token()];
  const { job: id } = (await front.post('/v1/datasets/slow/ingests', mine, csv(things(3)), CSV)).json;
  const at = async () => (await front.get(`/v1/jobs/${id}`, mine)).json;
  const one = start(ingestPath, ['worker', '--data', own.directory]);
  await until('it builds', async () => (await at()).progress?.phase === 'building');
  one.child.kill('SIGKILL');
  await one.ended;
  const other = start(ingestPath, ['worker', '--data', own.directory]);
  const row = await until('it has ended', async () => { const now = await at(); return ENDED.includes(now.state) && now; });
  assert.deepEqual([row.state, row.attempt], ['succeeded', 2], JSON.stringify(row));
  const [second, first, ...more] = await own.versions('slow');
  assert.deepEqual([first.state, first.job, second.version, more], ['FAILED', id, 2, []]);
  const { sources, ...counts } = second.rows;
  assert.deepEqual(counts, { read: 3, parsed: 3, unparsable: 0, prepared: 600_000, accepted: 600_000, rejected: 0, duplicates: 0 });
  assert.equal((await own.ingest('slow', { things: own.file('things.csv', csv(things(3))) })).outcome, 'identical');
  await until('both are counted, once', async () => (await front.get('/metrics')).text.includes('\neverline_job_rows_total{outcome="accepted"} 1200000\n'));
  other.child.kill('SIGTERM');
  assert.equal((await other.ended).code, 0, other.stderr);
  assert.equal(await front.stop(), 0);
});

test('the commands: list, show, cancel, retry', async () => {
  const file = join(inbox, 'dev', 'late.csv');
  const { job: id } = (await ingest('things', { sources: [{ path: 'late.csv' }] })).json;
  assert.equal((await ended(id)).error.code, 'MISSING_SOURCE');
  writeFileSync(file, csv(things(7)));
  const failed = await data.cli(['jobs', 'watch', id], { tenant: 'dev' });
  assert.equal(failed.code, 1, failed.stderr);
  assert.match(failed.stderr, /there is no file late\.csv/);
  await data.ok(['jobs', 'retry', id], { tenant: 'dev' });
  const watched = await data.cli(['jobs', 'watch', id], { tenant: 'dev' });
  assert.equal(watched.code, 0, watched.stderr);
  const shown = await data.json(['jobs', 'show', id]);
  assert.equal(shown.state, 'succeeded');
  assert.equal(shown.attempt, 2);
  const listed = await data.json(['jobs', 'list']);
  assert.equal(listed.items[0].job, id);
  assert.match(await data.ok(['jobs', 'list'], { tenant: 'dev' }), new RegExp(id));
  const none = await data.cli(['jobs', 'cancel', id], { tenant: 'dev' });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /has ended/);
  assert.equal((await data.cli(['jobs', 'show', id], { tenant: 'other' })).code, 1);
  assert.ok(readFileSync(file).length > 0);
});

test('metrics tell what became of all jobs, in every server, and name nobody', async (t) => {
  await data.put({ ...THINGS, name: 'strict', checks: [{ name: 'light', expect: 'coalesce(weight, 0) < 50', on_fail: 'reject', max_ratio: 1 }] });
  const heavy = things(400).filter(({ weight }) => weight >= 50).length;
  const strict = await ended((await ingest('strict', csv(things(400)), { headers: CSV })).json.job);
  assert.equal(strict.state, 'succeeded', JSON.stringify(strict));
  assert.equal((await data.versions('strict'))[0].rows.rejected, heavy);
  const ends = (await server.get('/v1/jobs?limit=1000', token)).json.items;
  const retried = ends.find((row) => row.attempt === 2); /* it had failed before */
  ends.push({ ...retried, state: 'failed' });
  const fields = (text) => new Map(text.split('\n').filter((line) => /^everline_(job|datasets_)/.test(line))
    .map((line) => line.split(/ (?=\S+$)/)).map(([name, value]) => [name, Number(value)]));
  const second = await data.serve('--ingest-workers', '0');
  t.after(() => second.stop());
  for (const one of [server, second]) {
    const seen = await until('all jobs are counted', async () => {
      const now = fields((await one.get('/metrics')).text);
      const right = ENDED.every((state) =>
        now.get(`everline_jobs_total{state="${state}"}`) === ends.filter((row) => row.state === state).length);
      const idle = ['queued', 'running'].every((state) => now.get(`everline_jobs_${state}`) === 0);
      return right && idle && now;
    });
    assert.equal(seen.get('everline_jobs_oldest_queued_seconds'), 0);
    assert.equal(seen.get('everline_job_seconds_count'), ends.filter((row) => row.started_at).length);
    assert.ok(seen.get('everline_job_seconds_sum') > 0);
    assert.ok(seen.get('everline_job_rows_total{outcome="accepted"}') >= 61_000);
    assert.ok(heavy > 0);
    assert.equal(seen.get('everline_job_rows_total{outcome="rejected"}'), heavy);
    const current = (await one.get('/v1/datasets', token)).json.items.filter((row) => row.current).length;
    assert.equal(seen.get('everline_datasets_by_age{age="1h"}'), current);
    assert.doesNotMatch([...seen.keys()].join('\n'), /dev|things|other/);
    const built = [];
    for (const who of [token, other])
      for (const { name } of (await one.get('/v1/datasets', who)).json.items.filter((row) => row.current))
        built.push(Date.parse((await one.get(`/v1/datasets/${name}/versions`, who)).json.items.find((row) => row.current).created_at));
    const age = () => Math.floor((Date.now() - Math.min(...built)) / 1000), atFirst = age();
    const told = await until('the age is of now', async () => {
      const oldest = fields((await one.get('/metrics')).text).get('everline_datasets_oldest_seconds');
      return oldest >= atFirst && oldest;
    });
    assert.ok(told > 0 && told <= age(), `${told}, ${age()}`);
  }
});
