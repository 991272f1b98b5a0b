// Datasets over HTTP: defined, replaced and deleted by who administers the tenant.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, beside, token;

before(async () => {
  data = await Data.make('dev', 'other');
  [server, beside] = await Promise.all([data.serve(), data.serve('--ingest-workers', '0')]);
  token = await data.token();
});
after(() => Promise.all([server?.stop(), beside?.stop()]));

const at = (name) => `/v1/datasets/${name}`;
const put = (definition, { headers, query = '', name = definition.name, who = token, to = server } = {}) =>
  to.request('PUT', `${at(name)}${query}`, { token: who, body: definition, headers });
const named = (name, changes = {}) => ({ ...THINGS, name, ...changes });
const acts = (event, outcome, dataset = '') => until(`${event} ${dataset} is noted`, async () => {
  const { json } = await server.get(`/v1/audit?event=${event}&outcome=${outcome}${dataset && `&dataset=${dataset}`}`, token);
  return json.items.length && json.items;
});

test('a definition that is put is a dataset, which is ingested, read and replaced', async () => {
  const made = await put(THINGS, { headers: { 'x-request-id': 'put-1' } });
  assert.equal(made.status, 201, made.text);
  assert.deepEqual([made.json.name, made.json.current, made.json.sequence, made.headers.etag], ['things', null, 1, '"1"']);
  assert.deepEqual(made.json.definition, THINGS);
  const seen = await server.get(at('things'), token);
  assert.deepEqual(seen.json, made.json);
  assertProblem(await server.get(`${at('things')}/records/t00000`, token), 404, 'NO_VERSION'); // served here when it is answered
  await data.ingest('things', { things: data.file('things.csv', csv(things(3))) });
  await until('it is served', async () => (await beside.get(`${at('things')}/records/t00000`, token)).status === 200);
  const again = await put({ ...THINGS, description: 'Other words' });
  assert.equal(again.status, 200, again.text);
  assert.deepEqual([again.json.description, again.json.current, again.json.created_at], ['Other words', 1, made.json.created_at]);
  const [last, ...earlier] = (await server.get(`${at('things')}/events`, token)).json.items;
  assert.deepEqual([last.event, last.actor, last.sequence], ['defined', 'token:tester', again.json.sequence]);
  assert.equal(earlier.at(-1).request_id, 'put-1');
  const [act] = (await acts('putDataset', 'done')).filter((one) => one.request_id === 'put-1');
  assert.deepEqual([act.dataset, act.subject], ['things', 'tester']);
});

test('what is wrong is told by place, line and column, and makes nothing', async () => {
  for (const [changes, place, detail] of [
    [{ prepare: 'SELECT id\nFROM things WHERE (' }, '/prepare', /line 2/],
    [{ prepare: 'SELECT 1; SELECT 2' }, '/prepare'],
    [{ checks: [{ expect: 'weight <' }] }, '/checks/0/expect'],
    [{ gates: [{ name: 'g', metric: 'median(x)', min: 1 }] }, '/gates/0/metric'],
    [{ key: { fields: [] } }, '/key/fields'],
    [{ record: { colour: 'TEXT' } }, '/record/colour'],
    [{ no_such_member: 1 }, '/no_such_member'],
  ]) {
    const problem = assertProblem(await put(named('wrong', changes)), 400);
    assert.ok(problem.errors?.[0].pointer.startsWith(place), `${place}: ${JSON.stringify(problem)}`);
    if (detail) assert.match(`${problem.detail} ${problem.errors[0].pointer}`, detail);
  }
  assertProblem(await put(THINGS, { name: 'wrong' }), 400, 'INVALID_DEFINITION');
  assertProblem(await put(named('Wrong'), { name: 'Wrong' }), 400);
  assertProblem(await put('{', { name: 'wrong' }), 400, 'INVALID_JSON');
  assertProblem(await put(named('wrong', { description: 'x'.repeat(300_000) })), 413);
  assertProblem(await put(named('wrong'), { headers: { 'content-type': 'text/plain' } }), 415);
  assertProblem(await put(named('wrong'), { query: '?force=perhaps' }), 400, 'INVALID_PARAMETER');
  assertProblem(await put(named('wrong'), { headers: { 'if-none-match': '"1"' } }), 400, 'INVALID_PARAMETER');
  assertProblem(await server.get(at('wrong'), token), 404, 'UNKNOWN_DATASET');
  assert.ok((await acts('putDataset', 'refused')).every((act) => act.dataset === 'wrong' || act.dataset === 'Wrong'));
});

test('If-Match and If-None-Match keep two people apart', async () => {
  assertProblem(await put(named('races'), { headers: { 'if-match': '"1"' } }), 412, 'HEAD_MOVED');
  assertProblem(await put(named('races'), { headers: { 'if-match': '*' } }), 412, 'HEAD_MOVED');
  const first = await Promise.all([1, 2].map(() => put(named('races'), { headers: { 'if-none-match': '*' } })));
  assert.deepEqual(first.map((reply) => reply.status).sort(), [201, 412], first.map((reply) => reply.text).join());
  const { etag } = (await server.get(at('races'), token)).headers;
  const both = await Promise.all([server, beside].map((to, i) =>
    put(named('races', { description: `by ${i}` }), { to, headers: { 'if-match': etag } })));
  assert.deepEqual(both.map((reply) => reply.status).sort(), [200, 412], both.map((reply) => reply.text).join());
  const won = both.findIndex((reply) => reply.status === 200);
  assertProblem(both[1 - won], 412, 'HEAD_MOVED');
  assert.equal((await server.get(at('races'), token)).json.description, `by ${won}`);
  assert.equal((await put(named('races'), { headers: { 'if-match': '*' } })).status, 200);
  assertProblem(await put(named('races'), { headers: { 'if-match': '"no"' } }), 412, 'HEAD_MOVED');
  assertProblem(await put(named('races'), { headers: { 'if-none-match': '*' } }), 412, 'HEAD_MOVED');
});

test('the ETag of a compressed answer is as good, one that has not changed is 304, and * is whatever there is', async () => {
  const definition = named('packed', { description: 'text '.repeat(400) });
  await put(definition);
  const read = (headers = {}) => server.get(at('packed'), token, { 'accept-encoding': 'gzip', ...headers });
  const { headers } = await read();
  assert.equal(headers['content-encoding'], 'gzip');
  assert.match(headers.etag, /^"\d+-gzip"$/);
  const plain = headers.etag.replace('-gzip', '');
  for (const tag of [headers.etag, plain, `W/${plain}`, `"0", ${plain}`]) {
    const unchanged = await read({ 'if-none-match': tag });
    assert.deepEqual([unchanged.status, unchanged.text], [304, ''], tag);
  }
  assert.equal((await read({ 'if-none-match': '"0"' })).status, 200);
  assert.equal((await put(definition, { headers: { 'if-match': headers.etag } })).status, 200);
  for (const tag of [headers.etag, plain, `W/${(await read()).headers.etag}`])
    assertProblem(await remove('packed', { headers: { 'if-match': tag } }), 412, 'HEAD_MOVED');
  assert.equal((await remove('packed', { headers: { 'if-match': '*' } })).status, 204);
  assertProblem(await remove('packed', { headers: { 'if-match': '*' } }), 404, 'UNKNOWN_DATASET');
});

test('what breaks its readers needs force', async () => {
  const { colour, ...record } = THINGS.record;
  await put(named('breaks'));
  const broken = named('breaks', { record, rollups: {} });
  assert.equal((await put(broken)).status, 200, 'nobody has read what was never served');
  await put(named('breaks'));
  await data.ingest('breaks', { things: data.file('breaks.csv', csv(things(3))) });
  assertProblem(await put(broken), 409, 'BREAKING_CHANGE');
  assertProblem(await put(broken, { query: '?force=false' }), 409, 'BREAKING_CHANGE');
  assert.deepEqual((await server.get(at('breaks'), token)).json.definition.record, THINGS.record);
  assert.deepEqual((await put(broken, { query: '?force=true' })).json.definition.record, record);
});

test('only tenant:admin puts, only in its tenant, and a token of one dataset only that', async () => {
  const rest = await data.token({ scope: 'data:read ingest:write versions:write audit:read' });
  assertProblem(await put(named('more'), { who: rest }), 403, 'SCOPE_MISSING');
  assertProblem(await put(named('more'), { who: null }), 401);
  const narrow = await data.token({ datasets: ['mine'] });
  assertProblem(await put(named('more'), { who: narrow }), 404, 'UNKNOWN_DATASET');
  assert.equal((await put(named('mine'), { who: narrow })).status, 201);
  const who = await data.token({ tenant: 'other' });
  const theirs = await put(named('mine', { description: 'Ours' }), { who });
  assert.deepEqual([theirs.status, theirs.json.sequence], [201, 1]);
  assert.equal((await server.get(at('mine'), token)).json.description, THINGS.description);
});

test('the quota of datasets holds', async () => {
  const who = await data.token({ tenant: 'other' });
  await server.request('PUT', '/v1/tenants/other', { token, body: { limits: { max_datasets: 1 } } });
  assertProblem(await put(named('second'), { who }), 507, 'QUOTA');
  assert.equal((await put(named('mine'), { who })).status, 200);
});

test('a tenant has two definitions checked at a time, and is told to come again', async () => {
  const replies = await Promise.all(Array.from({ length: 8 }, (_, i) => put(named(`many-${i}`))));
  const busy = replies.filter((reply) => reply.status === 503);
  assert.ok(busy.length > 0 && replies.some((reply) => reply.status === 201), replies.map((reply) => reply.status).join());
  for (const reply of busy) {
    assertProblem(reply, 503, 'BUSY');
    assert.equal(reply.headers['retry-after'], '5');
  }
  assert.ok(replies.every((reply) => [201, 503].includes(reply.status)));
});

/* A check that has begun in this server and is held there: {pid, reply}. One that ends first is made again. */
async function heldCheck(to, who, agent) {
  const many = Array.from({ length: 20_000 }, (_, i) => `'${i}'`).join();
  const definition = named('held', { prepare: `${THINGS.prepare} WHERE id IN (${many})` });
  for (;;) {
    let ended = false;
    const reply = to.request('PUT', at('held'), { token: who, body: definition, agent }).finally(() => { ended = true; });
    reply.catch(() => {}); /* the caller's, when it is given */
    while (!ended) {
      for (const task of readdirSync(`/proc/${to.process.pid}/task`))
        for (const pid of readFileSync(`/proc/${to.process.pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
          try {
            if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('verdict')) continue;
            process.kill(pid, 'SIGSTOP');
            return { pid, reply };
          } catch { /* it has ended */ }
      await new Promise(setImmediate);
    }
    assert.ok((await reply).status < 300);
  }
}

test('a check that nobody waits for is ended, and one does not hold up a server that is to stop', async () => {
  const alone = await Data.make('dev');
  const busy = await alone.serve('--drain-timeout', '5m');
  try {
    const who = await alone.token();
    for (let i = 0; i < 3; i++) { /* more often than there are places */
      const agent = new http.Agent(), { pid } = await heldCheck(busy, who, agent);
      agent.destroy();
      await until('its child is gone', () => !existsSync(`/proc/${pid}`));
    }
    const { pid, reply } = await heldCheck(busy, who, new http.Agent());
    const stopped = busy.stop();
    assertProblem(await reply, 503, 'STOPPING');
    assert.equal(await stopped, 0, busy.log);
    assert.ok(!existsSync(`/proc/${pid}`));
  } finally {
    await busy.stop();
  }
});

const remove = (name, { headers, query = '?reason=withdrawn', who = token, to = server } = {}) =>
  to.request('DELETE', `${at(name)}${query}`, { token: who, headers });
const segments = (of = data) => [...filesBelow(join(of.directory, 'segments'))].length;

test('a dataset that is deleted is served nowhere, and its files go but those that another names', async () => {
  const before = segments();
  const rows = (count, seed) => ({ things: data.file(`gone-${count}-${seed}.csv`, csv(things(count, seed))) });
  await put(named('gone'));
  for (const seed of [1, 2]) await data.ingest('gone', rows(5, seed));
  const record = `${at('gone')}/records/t00001`;
  for (const to of [server, beside]) await until('it is served', async () => (await to.get(record, token)).headers['everline-version'] === '2');
  const { etag } = (await server.get(at('gone'), token)).headers;
  assert.equal(segments(), before + 2);

  assertProblem(await remove('gone', { query: '' }), 400);
  const { errors } = assertProblem(await remove('gone', { query: '?reason=%20' }), 400, 'REASON_REQUIRED');
  assert.equal(errors[0].pointer, 'query/reason');
  assertProblem(await remove('gone', { headers: { 'if-match': '"1"' } }), 412, 'HEAD_MOVED');
  assertProblem(await remove('gone', { who: await data.token({ scope: 'data:read versions:write' }) }), 403, 'SCOPE_MISSING');
  assertProblem(await remove('gone', { who: await data.token({ datasets: ['things'] }) }), 404, 'UNKNOWN_DATASET');
  assertProblem(await remove('gone', { who: await data.token({ tenant: 'other' }) }), 404, 'UNKNOWN_DATASET');
  assert.equal((await remove('gone', { headers: { 'if-match': etag } })).status, 204);
  for (const path of [record, at('gone'), `${at('gone')}/versions`, `${at('gone')}/events`, `${at('gone')}/rollups`])
    assertProblem(await server.get(path, token), 404, 'UNKNOWN_DATASET');
  await until('the other server has seen it', async () => (await beside.get(record, token)).status === 404);
  assert.ok(!(await server.get('/v1/datasets', token)).json.items.some((one) => one.name === 'gone'));
  assertProblem(await remove('gone'), 404, 'UNKNOWN_DATASET');
  assertProblem(await server.request('POST', `${at('gone')}/rollback`, { token, body: { reason: 'x', from: 2 } }), 404);
  assert.equal((await data.ingestCli('gone', rows(5, 1))).code, 1);
  await until('its files are gone', () => segments() === before);
  const [act] = await acts('deleteDataset', 'done', 'gone');
  assert.deepEqual([act.reason, act.subject], ['withdrawn', 'tester']);
});

test('put again, it goes on with its numbers, and its past is seen', async () => {
  const made = await put(named('gone', { record: { weight: 'INTEGER' }, rollups: {} }), { headers: { 'if-none-match': '*' } });
  assert.deepEqual([made.status, made.json.current], [201, null], made.text);
  assertProblem(await server.get(`${at('gone')}/records/t00001`, token), 404, 'NO_VERSION');
  const row = await data.ingest('gone', { things: data.file('again.csv', csv(things(5, 1))) });
  assert.equal(row.version, 3);
  await until('it is served', async () => (await beside.get(`${at('gone')}/records/t00001`, token)).headers['everline-version'] === '3');
  assert.deepEqual((await data.versions('gone')).map((one) => one.state), ['SUCCEEDED', 'RETIRED', 'RETIRED']);
  const { items } = (await server.get(`${at('gone')}/events`, token)).json;
  const deleted = items.find((one) => one.event === 'deleted');
  assert.deepEqual([deleted.from, deleted.to, deleted.reason, deleted.actor], [2, null, 'withdrawn', 'token:tester']);
  assertProblem(await server.get(`${at('gone')}/records/t00001?version=2`, token), 410, 'VERSION_RETIRED');
  assertProblem(await server.get(`${at('gone')}/records/t00001?as_of=${deleted.time}`, token), 404, 'NO_VERSION');
});

test('a deletion takes no file of a twin, nor one that the dataset names again', async () => {
  const input = { things: data.file('twins.csv', csv(things(500))) }, shas = (row) => row.segments.map((one) => one.sha256);
  const answer = async (name, to) => (await to.get(`${at(name)}/records/t00007`, token)).json.record;
  const served = (name) => until(`${name} is served`, async () =>
    (await Promise.all([server, beside].map((to) => answer(name, to)))).every((record) => record?.made));
  await put(named('twin-a'));
  await put(named('twin-b'));
  const first = await data.ingest('twin-a', input), other = await data.ingest('twin-b', input);
  assert.notDeepEqual(shas(first), shas(other)); /* a segment names its dataset */
  await served('twin-b');
  const record = await answer('twin-b', server);
  for (let version = 2; version <= 4; version++) { /* files go while they come again */
    assert.equal((await remove('twin-a')).status, 204);
    assert.equal((await put(named('twin-a'))).status, 201);
    const again = await data.ingest('twin-a', input);
    assert.deepEqual([again.version, shas(again)], [version, shas(first)]);
    await served('twin-a');
  }
  await data.ok(['verify', '--deep']);
  assert.equal((await remove('twin-a')).status, 204);
  await until('its file is gone', () => !existsSync(join(data.directory, 'segments', shas(first)[0].slice(0, 2), `${shas(first)[0]}.mdb`)));
  for (const to of [server, beside]) assert.deepEqual(await answer('twin-b', to), record);
  await data.ok(['verify', '--deep']);
});

test('one with a job that has not ended stays', async () => {
  const slow = await Data.make('dev');
  const quiet = await slow.serve('--ingest-workers', '0');
  try {
    const who = await slow.token();
    await put(THINGS, { who, to: quiet });
    const job = await quiet.request('POST', `${at('things')}/ingests`, { token: who, body: csv(things(2)), headers: { 'content-type': 'text/csv' } });
    assert.equal(job.status, 202, job.text);
    const problem = assertProblem(await remove('things', { who, to: quiet }), 409, 'HAS_JOBS');
    assert.ok(problem.detail.includes(job.json.job));
    await quiet.request('POST', `/v1/jobs/${job.json.job}/cancel`, { token: who });
    assert.equal((await remove('things', { who, to: quiet })).status, 204);
  } finally {
    await quiet.stop();
  }
});

test('the command deletes too, and a rebuild of the catalog brings nothing back and gives no number twice', async () => {
  const alone = await Data.make('dev');
  const rows = () => ({ things: alone.file('things.csv', csv(things(3))) });
  await alone.put(THINGS);
  await alone.put(named('twin'));
  await alone.ingest('things', rows());
  const refused = await alone.cli(['dataset', 'delete', 'things', '--reason', 'old', '--if-match', '1'], { tenant: 'dev' });
  assert.equal(refused.code, 1, refused.stdout);
  assert.equal(await alone.ok(['dataset', 'delete', 'things', '--reason', 'old'], { tenant: 'dev' }), 'dataset things is deleted\n');
  assert.equal((await alone.json(['dataset', 'list'])).items.length, 1);
  assert.equal(segments(alone), 0);
  rmSync(join(alone.directory, 'catalog.mdb'));
  await alone.ok(['catalog', 'rebuild']);
  assert.deepEqual((await alone.json(['dataset', 'list'])).items.map((one) => one.name), ['twin']);
  await alone.ok(['verify', '--deep']);
  await alone.put(THINGS);
  assert.equal((await alone.ingest('things', rows())).version, 2);
});
