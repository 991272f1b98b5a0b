// Two tenants whose datasets, keys and ids have the same names: whatever one does, with every operation
// of the contract, is answered as if the other were not there, and leaves what the other has as it was.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Contract } from '../kit/contract.mjs';
import { ALL_SCOPES, assertProblem, Data } from '../kit/everline.mjs';
import { csv } from '../kit/samples.mjs';

/** What must not be in any answer to another: each tenant's records, reasons, subjects and purposes. */
const MARKS = { left: 'SINISTER', right: 'DEXTROUS' };
const TENANTS = Object.keys(MARKS), OTHER = { left: 'right', right: 'left' };
/** Datasets that one tenant alone has, or nobody; of one length, so that answers are too. */
const ONLY = { left: 'only-left', right: 'only-rght', nobody: 'only-none' };
const PEOPLE = {
  name: 'people',
  sources: { people: { format: 'csv' } },
  prepare: 'SELECT name, ssn, note FROM people',
  key: { fields: ['name', 'ssn'], protect: 'hmac-sha256' },
  record: { note: 'VARCHAR' },
  rollups: { by_note: { dimensions: ['note'], metrics: { people: 'count(*)' } } },
};
const THINGS = { ...PEOPLE, name: 'things', sources: { things: { format: 'csv' } }, prepare: 'SELECT id, note FROM things', key: { fields: ['id'], protect: 'none' } };
const SERIES = {
  name: 'series',
  sources: { series: { format: 'csv', columns: { n: 'INTEGER' } } },
  prepare: 'SELECT id, n, note FROM series',
  key: { fields: ['id'], sort: 'n' },
  record: { n: 'INTEGER', note: 'VARCHAR' },
};
const KEY = { name: 'Ada', ssn: '0042' }, ID = { id: 't1' };
let data, server;
const tokens = {}, seen = {};

before(async () => {
  data = await Data.make(...TENANTS);
  for (const tenant of TENANTS)
    for (const definition of [PEOPLE, THINGS, SERIES, { ...PEOPLE, name: ONLY[tenant] }]) await data.put({ ...definition, description: MARKS[tenant] }, { tenant });
  await Promise.all(TENANTS.map(async (tenant) => {
    const note = MARKS[tenant], file = (name, rows) => ({ [name]: data.file(`${name}-${tenant}.csv`, csv(rows)) });
    const people = file('people', [{ ...KEY, note }, { ...KEY, name: 'Grace', note: `${note}-2` }]);
    await data.ingest('series', file('series', [1, 2, 3].map((n) => ({ ...ID, n, note }))), { tenant });
    for (const dataset of [ONLY[tenant], 'people', 'people']) await data.ingest(dataset, people, { tenant });
    for (let n = 0; n < 3; n++) await data.ingest('things', file('things', [{ ...ID, note }, { id: 't2', note: `${note}${n}` }]), { tenant });
    tokens[tenant] = await data.token({ tenant, scope: ALL_SCOPES.replace('platform:admin', '').trim(), subject: `subject-${note}` });
  }));
  server = await data.serve('--audit-interval', '5ms', '--usage-interval', '20ms', '--ingest-workers', '0');
  for (const tenant of TENANTS) { /* ids that are the same, and some that are not */
    const upload = await server.post('/v1/uploads', tokens[tenant], 'id,note\n', { 'content-type': 'text/csv' });
    assert.equal(upload.status, 201, upload.text);
    const jobs = [];
    for (const key of ['same', 'more']) {
      const job = await server.post('/v1/datasets/things/ingests', tokens[tenant], 'id,note\nx,y\n', { 'content-type': 'text/csv', 'idempotency-key': key });
      assert.equal(job.status, 202, job.text);
      jobs.push(job.json.job);
    }
    seen[tenant] = { upload: upload.json.upload, job: jobs[0] };
  }
});
after(() => server?.stop());

const contract = new Contract();
const ofDataset = (...datasets) => () => datasets.map((dataset) => ({ dataset }));
const act = (values = {}) => (tenant) => [{ ...values, body: { ...values.body, reason: MARKS[tenant] } }];
const ofJob = (tenant) => [{ job: seen[tenant].job }];

/** Each operation as a tenant calls it: values of the path's parameters, query, body. In this order: the
 *  first job is cancelled before it is watched, so that watching has an end. */
const CALLS = {
  lookup: () => [{ dataset: 'people', body: { key: KEY } }, { dataset: 'things', body: { key: ID } }, { dataset: 'people', body: { key: { ...KEY, ssn: '1' } } }],
  lookupBatch: () => [{ dataset: 'people', body: { keys: [KEY, KEY] } }, { dataset: 'things', body: { keys: [ID] } }],
  lookupSeries: () => [{ dataset: 'series', body: { key: ID } }],
  getRecord: () => [{ dataset: 'things', key: 't1' }, { dataset: 'things', key: 'none' }],
  getSeries: () => [{ dataset: 'series', key: 't1' }],
  listRollups: ofDataset('people', 'things'),
  readRollup: () => [{ dataset: 'people', rollup: 'by_note' }, { dataset: 'things', rollup: 'by_note', query: '?limit=1' }],
  listDatasets: () => [{}],
  getDataset: ofDataset('people', 'things', 'series'),
  exportVersion: () => ['csv', 'ndjson', 'parquet'].flatMap((format) => ['people', 'things'].map((dataset) => ({ dataset, query: `?format=${format}` }))),
  listVersions: ofDataset('people', 'things'),
  getVersion: () => [1, 2, 3].map((version) => ({ dataset: 'things', version })),
  listRejects: () => [{ dataset: 'things', version: 3 }],
  diffVersions: () => [{ dataset: 'things', version: 3, query: '?from=2' }],
  listEvents: ofDataset('people', 'things'),
  getUsage: () => [{}],
  listAudit: () => [{ query: '?limit=100' }],
  listJobs: () => [{}],
  getJob: ofJob,
  revoke: (tenant) => [{ body: { jti: 'same', reason: MARKS[tenant] } }],
  createUpload: (tenant) => [{ type: 'text/csv', body: MARKS[tenant] }],
  createIngest: (tenant) => [{ dataset: 'things', body: { sources: [{ source: 'things', upload: seen[tenant].upload }] } }],
  cancelJob: ofJob,
  watchJob: ofJob,
  retryJob: ofJob,
  rollBack: act({ dataset: 'things', body: { from: 3 } }),
  promoteVersion: act({ dataset: 'things', version: 3 }),
  retireVersion: (tenant) => [{ dataset: 'things', version: 1, query: `?reason=${MARKS[tenant]}` }],
  putDataset: (tenant) => [{ dataset: 'made', body: { ...PEOPLE, name: 'made', description: MARKS[tenant] } }],
  deleteDataset: (tenant) => [{ dataset: 'made', query: `?reason=${MARKS[tenant]}` }],
};
/** Those of who runs the platform: tenants are what they are about. */
const PLATFORM = ['listTenants', 'getTenant', 'putTenant', 'deleteTenant'];
/** Those that anybody may call, and that say nothing of any tenant. */
const ANYBODY = ['livez', 'readyz', 'getContract', 'getDocs', 'getDocsScript', 'getConsole', 'getConsoleScript', 'getConsoleStyle', 'getMetrics'];

const operation = (id) => contract.operations.find(({ operationId }) => operationId === id);

function send(id, tenant, { query = '', body, type, ...values }, headers = {}) {
  const { method, path } = operation(id);
  const target = path.replaceAll(/\{(\w+)\}/g, (whole, name) => values[name] ?? 'none') + query;
  return server.request(method, target, { token: tokens[tenant], body, headers: { 'x-purpose': MARKS[tenant], ...(type ? { 'content-type': type } : {}), ...headers } });
}

const PASSING = ['x-request-id', 'date', 'connection', 'keep-alive'];
const headersOf = ({ headers }) => Object.fromEntries(Object.entries(headers).filter(([name]) => !PASSING.includes(name)));
/** An answer without what differs from one request to the next, and without the names of `ONLY`. */
const shape = (reply) => [reply.status, headersOf(reply), reply.text.replaceAll(/only-\w{4}/g, 'NAME').replaceAll(/"(request_id|created_at|updated_at)":"[^"]*"/g, '"$1":""')]
  .map((part) => (typeof part === 'object' ? Object.fromEntries(Object.entries(part).map(([name, value]) => [name, name === 'etag' ? 'ETAG' : value.replaceAll(/only-\w{4}/g, 'NAME')])) : part));

/** All that a tenant can read of itself and that its own reading does not change. */
async function everythingOf(tenant) {
  const all = [];
  for (const id of ['listDatasets', 'getDataset', 'listRollups', 'readRollup', 'getRecord', 'getSeries', 'listVersions', 'getVersion', 'listEvents', 'listJobs', 'getJob'])
    for (const call of CALLS[id](tenant)) all.push([id, call, (await send(id, tenant, call)).text.replace(/"request_id":"[^"]*"/, '')]);
  return all;
}

test('every operation of the contract is here', () => {
  assert.deepEqual([...Object.keys(CALLS), ...PLATFORM, ...ANYBODY].sort(), contract.operations.map(({ operationId }) => operationId).sort());
  for (const id of PLATFORM) assert.equal(operation(id)['x-everline-scope'], 'platform:admin', id);
  for (const id of ANYBODY) assert.equal(operation(id)['x-everline-scope'], 'none', id);
});

test('no answer to one carries anything of the other, and nothing that one does changes what the other has', async () => {
  for (const [id, calls] of Object.entries(CALLS)) {
    for (const tenant of TENANTS) {
      const other = OTHER[tenant], kept = operation(id).method === 'GET' ? null : await everythingOf(other);
      let good = 0;
      for (const call of calls(tenant)) {
        const reply = await send(id, tenant, call), text = JSON.stringify([reply.text, reply.headers]), what = `${id} of ${tenant}: ${reply.status} ${text}`;
        for (const hidden of [MARKS[other], ONLY[other], seen[other].job, seen[other].upload]) assert.ok(!text.includes(hidden), `${hidden} in ${what}`);
        assert.ok(reply.status < 500, what);
        good += reply.status < 300;
      }
      assert.equal(good > 0, id !== 'retryJob', `${id} of ${tenant} does what it is for`); /* what was cancelled is not retried */
      if (kept) assert.deepEqual(await everythingOf(other), kept, `${id} of ${tenant}`);
    }
  }
});

test('what only the other has is answered, by every operation, as what nobody has', async () => {
  for (const tenant of TENANTS) {
    const calls = Object.keys(CALLS).filter((id) => operation(id).path.includes('{dataset}')).flatMap((id) => CALLS[id](tenant).map((call) => [id, call]));
    for (const [id, call] of calls) {
      const [theirs, nobodys] = [await send(id, tenant, { ...call, dataset: ONLY[OTHER[tenant]], body: renamed(call, ONLY[OTHER[tenant]]) }),
        await send(id, tenant, { ...call, dataset: ONLY.nobody, body: renamed(call, ONLY.nobody) })];
      assert.deepEqual(shape(theirs), shape(nobodys), `${id} of ${tenant}`);
      if (id !== 'putDataset' && id !== 'deleteDataset') assertProblem(theirs, 404);
    }
    for (const id of Object.keys(CALLS).filter((one) => operation(one).path.includes('{job}'))) {
      const [theirs, nobodys] = [await send(id, tenant, { job: seen[OTHER[tenant]].job }), await send(id, tenant, { job: 'job-999999999999' })];
      const bare = (reply) => JSON.stringify(shape(reply)).replaceAll(/job-\d{12}/g, 'JOB');
      assert.equal(bare(theirs), bare(nobodys), id);
      assertProblem(theirs, 404);
    }
    const upload = (name) => send('createIngest', tenant, { dataset: 'things', body: { sources: [{ source: 'things', upload: name }] } });
    const [theirs, nobodys] = [await upload(seen[OTHER[tenant]].upload), await upload(seen[OTHER[tenant]].upload.replace(/.$/, (last) => (last === '0' ? '1' : '0')))];
    const bare = (reply) => JSON.stringify(shape(reply)).replaceAll(/up-[0-9a-f]{24}/g, 'UPLOAD');
    assert.equal(bare(theirs), bare(nobodys));
    assert.ok(theirs.status === 404 || theirs.status === 400, theirs.text);
  }
  for (const tenant of TENANTS) assert.equal((await send('getDataset', tenant, { dataset: ONLY[tenant] })).status, 200, 'its owner still has it');
});

function renamed({ body }, dataset) {
  return body?.name ? { ...body, name: dataset } : body;
}

test('what only the other has takes as long as what nobody has', async () => {
  const quartile = (times) => times.sort((a, b) => a - b)[times.length >> 2];
  const ratio = async () => {
    const times = { theirs: [], nobodys: [] };
    for (let i = 0; i < 300; i++)
      for (const whose of i % 2 ? ['theirs', 'nobodys'] : ['nobodys', 'theirs']) {
        const since = performance.now();
        await send('lookup', 'left', { dataset: whose === 'theirs' ? ONLY.right : ONLY.nobody, body: { key: KEY } });
        times[whose].push(performance.now() - since);
      }
    return quartile(times.theirs) / quartile(times.nobodys);
  };
  let last;
  for (let round = 0; round < 5; round++) {
    last = await ratio();
    if (last > 0.8 && last < 1.25) return;
  }
  assert.fail(`theirs takes ${last} times as long`);
});

test('ETags differ for the same path, and the tag of one is nothing to the other', async () => {
  const target = '/v1/datasets/things/records/t1';
  const [left, right] = [await server.get(target, tokens.left), await server.get(target, tokens.right)];
  assert.equal(left.status, 200, left.text);
  assert.notEqual(left.headers.etag, right.headers.etag);
  const crossed = await server.get(target, tokens.right, { 'if-none-match': left.headers.etag });
  assert.deepEqual([crossed.status, crossed.text], [200, right.text]);
});

test('a cursor of one gives the other what one of its own would, or nothing', async () => {
  const pages = { listDatasets: {}, listVersions: { dataset: 'people' }, listEvents: { dataset: 'people' }, listAudit: {}, listJobs: {}, getUsage: {},
    readRollup: { dataset: 'people', rollup: 'by_note' }, getSeries: { dataset: 'series', key: 't1' } };
  for (const [id, values] of Object.entries(pages)) {
    const page = await send(id, 'left', { ...values, query: '?limit=1' });
    assert.equal(page.status, 200, `${id}: ${page.text}`);
    assert.ok(page.json.next, `${id} has two pages`);
    const crossed = await send(id, 'right', { ...values, query: `?limit=1&cursor=${encodeURIComponent(page.json.next)}` });
    assert.ok(!crossed.text.includes(MARKS.left), `${id}: ${crossed.text}`);
    assert.ok(crossed.status < 500, `${id}: ${crossed.text}`);
    if (id === 'readRollup' || id === 'getSeries') assertProblem(crossed, 400, 'INVALID_CURSOR'); /* bound to what was asked */
  }
});

test('the same Idempotency-Key is another one, and a revoked id or subject revokes the own tokens only', async () => {
  assert.notEqual(seen.left.job, seen.right.job);
  const revoked = await send('revoke', 'left', { body: { subject: `subject-${MARKS.right}`, reason: 'x' } });
  assert.equal(revoked.status, 200, revoked.text);
  assert.equal((await server.get('/v1/datasets', tokens.right)).status, 200);
});

test('neither metrics, the log, nor what anybody may ask name a tenant\'s records, purposes or reasons', async () => {
  let text = server.log;
  for (const id of ANYBODY) text += (await server.get(operation(id).path)).text;
  text += (await server.get('/readyz?verbose')).text;
  for (const hidden of [...Object.values(MARKS), ONLY.left, ONLY.right]) assert.ok(!text.includes(hidden), hidden);
});
