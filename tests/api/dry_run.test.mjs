// Dry runs over HTTP: jobs like any other, of which no version comes.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data, everline } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { buildersOf, ingestPath, start, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const CSV = { 'content-type': 'text/csv' };
const GATED = { ...THINGS,
  checks: [{ name: 'light', expect: 'weight < 1000', on_fail: 'reject', max_ratio: 0.5 }, { name: 'enough', metric: 'count(*)', min: 3 }],
  gates: [{ name: 'drift', metric: 'count(*)', max_change_ratio: 0.2 }] };
/** A batch that takes a while. */
const SLOW = { ...THINGS, name: 'slow', prepare: "SELECT id || '-' || n AS id, colour, weight, made FROM things, range(20000000) t(n)" };
let data, server, token, inbox, receiver;
const told = [];

before(async () => {
  receiver = http.createServer((request, response) => {
    let text = '';
    request.on('data', (part) => { text += part; });
    request.on('end', () => { told.push(JSON.parse(text)); response.writeHead(200).end(); });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => { receiver.on('listening', resolve); });
  data = await Data.make('dev');
  inbox = tempDir('inbox');
  mkdirSync(join(inbox, 'dev'));
  for (const definition of [GATED, SLOW, { ...GATED, name: 'new' }]) await data.put(definition);
  await data.ingest('things', { things: data.file('a.csv', csv(things(10))) });
  await data.ok(['tenant', 'put', 'dev', '--webhook', `http://127.0.0.1:${receiver.address().port}/`]);
  server = await data.serve('--inbox', inbox, '--outgoing', '127.0.0.0/8');
  token = await data.token();
});
after(async () => {
  await server?.stop();
  receiver?.close();
});

const job = async (id, as = token) => (await server.get(`/v1/jobs/${id}`, as)).json;
const hasEnded = ({ state }) => !['queued', 'running'].includes(state);
const ended = (id) => until(`${id} has ended`, async () => { const row = await job(id); return hasEnded(row) && row; });
const upload = async (body) => (await server.post('/v1/uploads?name=dry.csv', token, body, CSV)).json.upload;
const post = (dataset, body, query = '', headers = {}) => server.post(`/v1/datasets/${dataset}/ingests${query}`, token, body, headers);
/** Starts a dry run, as a file or as JSON, and waits for its end. */
async function dry(dataset, body) {
  const reply = typeof body === 'string' ? await post(dataset, body, '?dry_run=true&name=dry.csv', CSV) : await post(dataset, { ...body, dry_run: true });
  assert.equal(reply.status, 202, reply.text);
  assert.equal(reply.json.dry_run, true);
  return ended(reply.json.job);
}

/** All that a dry run leaves as it was. */
async function state(dataset) {
  const { sequence, current } = (await server.get(`/v1/datasets/${dataset}`, token)).json;
  return { sequence, current, versions: await data.versions(dataset), segments: [...filesBelow(join(data.directory, 'segments'))].sort(),
    events: (await server.get(`/v1/datasets/${dataset}/events`, token)).json.items.length };
}
const nothingIsLeft = () => until('nothing is left', () =>
  [...filesBelow(join(data.directory, 'spool'))].length === 0 && readdirSync(join(data.directory, 'build')).length === 0);
const nothingCame = (row) => assert.deepEqual([row.version, row.outcome], [null, null]);

test('it judges and compares, and changes nothing', async () => {
  const was = await state('things');
  const row = await dry('things', { sources: [{ upload: await upload(csv(things(11))) }] });
  assert.equal(row.state, 'succeeded', JSON.stringify(row.error));
  nothingCame(row);
  const { report } = row;
  assert.deepEqual(Object.keys(report).sort(), ['checks', 'current', 'dataset', 'diff', 'dry_run', 'gates', 'rejects', 'rows']);
  assert.deepEqual([report.dataset, report.dry_run, report.current, report.rows.accepted], ['things', true, 1, 11]);
  assert.deepEqual(report.checks.map(({ name, state: is }) => [name, is]), [['light', 'passed'], ['enough', 'passed']]);
  assert.deepEqual(report.gates.map(({ name, state: is, previous }) => [name, is, previous]), [['drift', 'passed', 10]]);
  assert.deepEqual([report.diff.records.added, report.diff.records.unchanged], [1, 10]);
  assert.equal(report.diff.rollups.find(({ name }) => name === 'total').metrics[0].after, 11);
  assert.ok(!JSON.stringify(report).includes('t00010'), 'no key');
  assert.ok(row.timeline.some(({ phase }) => phase === 'comparing'), JSON.stringify(row.timeline));
  await nothingIsLeft();
  assert.deepEqual(await state('things'), was);
  await server.logged(`${row.job} of dev/things was a dry run: succeeded`);
});

test('a file as the body, or a query beside JSON, is one too; the same file without it is not', async () => {
  const was = await state('new');
  const first = await dry('new', csv(things(5)));
  assert.deepEqual([first.state, first.report.current, first.report.diff], ['succeeded', null, null]);
  const both = await ended((await post('new', { sources: [{ upload: await upload(csv(things(5))) }] }, '?dry_run=true')).json.job);
  assert.deepEqual([both.dry_run, both.state], [true, 'succeeded']);
  assert.deepEqual(await state('new'), was);
  assertProblem(await post('new', csv(things(5)), '?dry_run=perhaps', CSV), 400);
  assertProblem(await post('new', { sources: [{ path: 'x' }], dry_run: 'yes' }), 400, 'WRONG_TYPE');
  const keyed = { ...CSV, 'idempotency-key': 'once' };
  assert.equal((await post('new', csv(things(5)), '?dry_run=true', keyed)).status, 202);
  assertProblem(await post('new', csv(things(5)), '', keyed), 422, 'IDEMPOTENCY_KEY_REUSED');
  const real = await ended((await post('new', csv(things(5)), '?dry_run=false', CSV)).json.job);
  assert.deepEqual([real.dry_run, real.version, real.outcome, real.report], [false, 1, 'flipped', null]);
});

test('what a gate would hold is held, and no version waits', async () => {
  const was = await state('things');
  const row = await dry('things', csv(things(40)));
  assert.equal(row.state, 'held');
  nothingCame(row);
  assert.equal(row.error, null);
  assert.deepEqual(row.report.gates.map(({ name, state: is }) => [name, is]), [['drift', 'held']]);
  assert.deepEqual(await state('things'), was);
  const watched = await data.cli(['jobs', 'watch', row.job], { tenant: 'dev' });
  assert.equal(watched.code, 4, watched.stderr);
  assert.match(watched.stdout, /not published; 40 rows read[^]*gate drift: held/);
});

test('a check that fails it, and a file that cannot be read, fail it', async () => {
  const was = await state('things');
  const row = await dry('things', csv(things(2)));
  assert.deepEqual([row.state, row.error.code], ['failed', 'CHECK_FAILED']);
  nothingCame(row);
  assert.deepEqual(row.report.checks.map(({ name, state: is }) => [name, is]), [['light', 'passed'], ['enough', 'failed']]);
  assert.equal(row.report.diff, null);
  const bad = await dry('things', `${csv(things(5))}Qwertz,Asdfgh\n`);
  assert.deepEqual([bad.state, bad.error.code], ['failed', 'CSV_SHORT_ROW']);
  assert.ok(!JSON.stringify(bad).includes('Qwertz'));
  const rejects = await dry('things', csv(things(10).map((thing, i) => (i ? thing : { ...thing, weight: 5000 }))));
  assert.equal(rejects.state, 'succeeded');
  assert.deepEqual([rejects.report.rejects.rules, rejects.report.rejects.places], [[{ rule: 'light', rows: 1 }], undefined]);
  await nothingIsLeft();
  assert.deepEqual(await state('things'), was);
});

test('one that failed can be retried, and is a dry run again', async () => {
  const was = await state('things');
  const failed = await dry('things', { sources: [{ path: 'late.csv' }] });
  assert.deepEqual([failed.error.code, failed.report], ['MISSING_SOURCE', null]);
  writeFileSync(join(inbox, 'dev', 'late.csv'), csv(things(10)));
  assert.equal((await server.post(`/v1/jobs/${failed.job}/retry`, token)).json.dry_run, true);
  const row = await ended(failed.job);
  assert.deepEqual([row.state, row.attempt, row.dry_run, row.error], ['succeeded', 2, true, null]);
  assert.equal(row.report.diff.records.unchanged, 10);
  assert.deepEqual(await state('things'), was);
});

test('lists and streams have no report, and who may not compare versions does not see the one that is served', async () => {
  const { job: id } = await dry('things', csv(things(11)));
  const listed = (await server.get('/v1/jobs', token)).json.items.find((row) => row.job === id);
  assert.deepEqual([listed.dry_run, 'report' in listed], [true, false]);
  assert.doesNotMatch((await server.get(`/v1/jobs/${id}/events`, token)).text, /"report"/);
  const { report } = await job(id, await data.token({ scope: 'ingest:write' }));
  assert.equal(report.diff, null);
  assert.deepEqual(report.gates.map(({ value, state: is, previous, change, change_ratio: ratio }) => [value, is, previous, change, ratio]),
                   [[11, 'passed', undefined, undefined, undefined]]);
  assert.equal((await job(id)).report.gates[0].previous, 10, 'only what is shown was changed');
});

test('it is cancelled while it builds, and leaves nothing', async () => {
  const was = await state('slow');
  const { job: id } = (await post('slow', csv(things(3)), '?dry_run=true', CSV)).json;
  const at = await until('it has progress', async () => { const row = await job(id); return row.progress && row; });
  assert.equal(at.dry_run, true);
  await server.post(`/v1/jobs/${id}/cancel`, token);
  const row = await ended(id);
  assert.deepEqual([row.state, row.error.code, row.report], ['canceled', 'CANCELED', null]);
  await nothingIsLeft();
  assert.deepEqual(await state('slow'), was);
});

test('a command on another machine has the same summary, report and exit codes', async () => {
  const was = await state('things');
  const far = (count, ...more) => everline(['ingest', 'things', '--dry-run', '--url', server.url, '--source', data.file('far.csv', csv(things(count))), ...more],
                                           { env: { EVERLINE_TOKEN_FILE: data.file('token', token) } });
  const near = (count) => data.cli(['ingest', 'things', '--dry-run', '--source', data.file('near.csv', csv(things(count)))], { tenant: 'dev' });
  for (const [count, code] of [[11, 0], [40, 4], [2, 4]]) {
    const [theirs, ours] = [await far(count), await near(count)];
    assert.equal(theirs.code, code, theirs.stderr);
    assert.deepEqual([theirs.code, theirs.stdout], [ours.code, ours.stdout]);
    assert.match(theirs.stdout, /^things: not published;/);
  }
  const json = await far(11, '--output', 'json');
  assert.equal(json.code, 0, json.stderr);
  assert.equal(JSON.parse(json.stdout).diff.records.added, 1);
  const held = await far(40, '--output', 'json');
  assert.equal(held.code, 4);
  assert.equal(JSON.parse(held.stdout).gates[0].state, 'held');
  assert.deepEqual(await state('things'), was);
});

test('neither webhooks nor metrics tell of any of them', async () => {
  const all = (await server.get('/v1/jobs?limit=1000', token)).json.items;
  const real = all.filter(({ dry_run: dryRun, state: is }) => !dryRun && is !== 'canceled');
  assert.ok(all.length > real.length + 5);
  await post('new', csv(things(5)), '', CSV);
  const last = (await server.get('/v1/jobs', token)).json.items[0].job;
  await until('the last one was told', () => told.some((message) => message.data.job === last));
  assert.deepEqual(told.map((message) => all.find(({ job: id }) => id === message.data.job)).filter((row) => row?.dry_run), []);
  const counted = async () => (await server.get('/metrics')).text.split('\n').filter((line) => line.startsWith('everline_jobs_total{'))
    .reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
  await until('the last one is counted', async () => (await counted()) >= real.length + 1);
  assert.equal(await counted(), real.length + 1);
});

test('one of the command line ends at --job-timeout, and leaves nothing behind', async () => {
  const own = await Data.make('dev');
  await own.put(SLOW);
  const { code, stderr } = await own.cli(['ingest', 'slow', '--dry-run', '--job-timeout', '1s', '--source', own.file('a.csv', csv(things(3)))], { tenant: 'dev' });
  assert.notEqual(code, 0);
  assert.match(stderr, /took longer than 1 s/);
  assert.match(stderr, /raise --job-timeout/);
  assert.deepEqual(readdirSync(join(own.directory, 'build')), []);
});

test('one of the command line that is interrupted leaves nothing behind', async () => {
  const own = await Data.make('dev'), build = join(own.directory, 'build');
  await own.put(SLOW);
  const one = start(ingestPath, ['ingest', 'slow', '--dry-run', '--data', own.directory, '--tenant', 'dev', '--source', own.file('a.csv', csv(things(3)))]);
  await until('it builds', () => buildersOf(one.pid).length > 0 && readdirSync(build).some((name) => name.startsWith('job-')) || one.exited);
  one.child.kill('SIGINT');
  assert.deepEqual(await one.ended, { code: 1, signal: null }, one.stderr);
  assert.match(one.stderr, /cancelled by signal 2/);
  assert.deepEqual(readdirSync(build), []);
});

test('one whose worker is killed is taken up by the next, and still makes no version', async () => {
  const own = await Data.make('dev');
  await own.put(SLOW);
  const idle = await own.serve('--ingest-workers', '0'), mine = await own.token();
  const { job: id } = (await idle.post('/v1/datasets/slow/ingests?dry_run=true', mine, csv(things(3)), CSV)).json;
  const at = async () => (await idle.get(`/v1/jobs/${id}`, mine)).json;
  const runs = (attempt) => until(`attempt ${attempt} builds`, async () => { const row = await at(); return row.attempt === attempt && row.progress; });
  const worker = () => start(ingestPath, ['worker', '--data', own.directory]);
  const first = worker();
  await runs(1);
  first.child.kill('SIGKILL');
  await first.ended;
  await own.put({ ...SLOW, prepare: SLOW.prepare.replace('20000000', '30') });
  const second = worker();
  const row = await until('it has ended', async () => { const now = await at(); return hasEnded(now) && now; });
  assert.deepEqual([row.state, row.attempt, row.dry_run, row.report.rows.accepted], ['succeeded', 2, true, 90]);
  nothingCame(row);
  assert.deepEqual([await own.versions('slow'), [...filesBelow(join(own.directory, 'segments'))]], [[], []]);
  await until('what both built is gone', () => readdirSync(join(own.directory, 'build')).length === 0);
  second.child.kill('SIGTERM');
  assert.equal((await second.ended).code, 0, second.stderr);
  assert.equal(await idle.stop(), 0);
});
