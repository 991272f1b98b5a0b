// Two tenants whose datasets, keys and ids have the same names: whatever one asks, with every
// operation of the contract, is answered as if the other were not there.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Contract } from '../kit/contract.mjs';
import { ALL_SCOPES, Data } from '../kit/everline.mjs';
import { csv } from '../kit/samples.mjs';

/** What must not be in any answer to another: each tenant's records, reasons, subjects and purposes. */
const MARKS = { left: 'SINISTER', right: 'DEXTROUS' };
const TENANTS = Object.keys(MARKS), OTHER = { left: 'right', right: 'left' };
const PEOPLE = {
  name: 'people',
  sources: { people: { format: 'csv' } },
  prepare: 'SELECT name, ssn, note FROM people',
  key: { fields: ['name', 'ssn'], protect: 'hmac-sha256' },
  record: { note: 'VARCHAR' },
  rollups: { by_note: { dimensions: ['note'], metrics: { people: 'count(*)' } } },
};
const THINGS = { ...PEOPLE, name: 'things', sources: { things: { format: 'csv' } }, prepare: 'SELECT id, note FROM things', key: { fields: ['id'], protect: 'none' } };
const KEY = { name: 'Ada', ssn: '0042' };
let data, server;
const tokens = {}, seen = {};

before(async () => {
  data = await Data.make(...TENANTS);
  for (const tenant of TENANTS) {
    const note = MARKS[tenant];
    for (const definition of [PEOPLE, THINGS]) await data.put({ ...definition, description: note }, { tenant });
    const people = data.file(`people-${tenant}.csv`, csv([{ ...KEY, note }])), things = data.file(`things-${tenant}.csv`, csv([{ id: 't1', note }]));
    for (let n = 0; n < 2; n++) {
      await data.ingest('people', { people }, { tenant });
      await data.ingest('things', { things }, { tenant });
    }
    tokens[tenant] = await data.token({ tenant, scope: ALL_SCOPES.replace('platform:admin', '').trim(), subject: `subject-${note}` });
  }
  server = await data.serve('--audit-interval', '5ms', '--ingest-workers', '0');
  for (const tenant of TENANTS) { /* an upload, a job, a revocation, an act and lookups of each */
    const token = tokens[tenant], headers = { 'x-purpose': MARKS[tenant] };
    const upload = await server.post('/v1/uploads', token, 'id,note\n', { 'content-type': 'text/csv' });
    const job = await server.post('/v1/datasets/things/ingests', token, 'id,note\nx,y\n', { 'content-type': 'text/csv', 'idempotency-key': 'same' });
    assert.equal(job.status, 202, job.text);
    seen[tenant] = { upload: upload.json, job: job.json.job };
    await server.request('POST', '/v1/revocations', { token, body: { jti: 'same', reason: MARKS[tenant] } });
    await server.request('POST', '/v1/datasets/people/lookup', { token, body: { key: KEY }, headers });
    await server.request('POST', '/v1/datasets/people/rollback', { token, body: { from: 99, reason: MARKS[tenant] } });
  }
});
after(() => server?.stop());

const contract = new Contract();
const VALUES = { dataset: ['people', 'things'], key: ['t1'], rollup: ['by_note'], version: ['1', '2'] };

/** Every target of an operation for one tenant; `job` is whose job it names. */
function targets({ path, parameters, operationId }, job) {
  let all = [path];
  for (const { name, in: where } of parameters) {
    if (where !== 'path') continue;
    const values = name === 'job' ? [job] : VALUES[name] ?? ['none'];
    all = all.flatMap((target) => values.map((value) => target.replace(`{${name}}`, value)));
  }
  const query = { diffVersions: '?from=1', retireVersion: '?reason=x', readRollup: '?limit=10' }[operationId] ?? '';
  return all.map((target) => target + query);
}
const BODIES = { lookup: [{ key: KEY }, { key: { id: 't1' } }], lookupBatch: [{ keys: [KEY] }, { keys: [{ id: 't1' }] }], lookupSeries: [{ key: KEY }] };
const READS = contract.operations.filter((one) => one['x-everline-scope'] !== 'none' && one['x-everline-scope'] !== 'platform:admin' &&
  (one.method === 'GET' || BODIES[one.operationId]) && one.operationId !== 'watchJob');

const headersOf = ({ headers }) => Object.entries(headers).filter(([name]) => !['x-request-id', 'date', 'connection', 'keep-alive'].includes(name));

test('no answer to one carries anything of the other, in its body or its headers', async () => {
  let count = 0;
  for (const tenant of TENANTS)
    for (const operation of READS)
      for (const target of targets(operation, seen[tenant].job))
        for (const body of BODIES[operation.operationId] ?? [undefined]) {
          const reply = await server.request(operation.method, target, { token: tokens[tenant], body });
          const text = JSON.stringify([reply.text, headersOf(reply)]);
          assert.ok(!text.includes(MARKS[OTHER[tenant]]), `${operation.method} ${target} of ${tenant}: ${text}`);
          assert.ok(!text.includes(seen[OTHER[tenant]].job), `${operation.method} ${target} of ${tenant}: ${text}`);
          assert.ok(reply.status < 500, `${operation.method} ${target}: ${reply.status} ${reply.text}`);
          count += 1;
        }
  assert.ok(count > 60, `${count} requests`);
});

test('the job of another, with every operation, is one that is not there', async () => {
  for (const tenant of TENANTS)
    for (const operation of contract.operations.filter((one) => one.path.includes('{job}'))) {
      const [theirs] = targets(operation, seen[OTHER[tenant]].job), [nobodys] = targets(operation, 'job-999999999999');
      const reply = await server.request(operation.method, theirs, { token: tokens[tenant] });
      const none = await server.request(operation.method, nobodys, { token: tokens[tenant] });
      const bare = (one) => one.text.replace(/"request_id":"[^"]*"/, '').replaceAll(/job-\d{12}/g, 'JOB');
      assert.deepEqual([reply.status, bare(reply), headersOf(reply)], [none.status, bare(none), headersOf(none)], `${operation.method} ${theirs}`);
      assert.equal(reply.status, 404);
    }
  for (const tenant of TENANTS) assert.equal((await server.get(`/v1/jobs/${seen[tenant].job}`, tokens[tenant])).json.state, 'queued');
});

test('an upload of another cannot be ingested', async () => {
  for (const tenant of TENANTS) {
    const { upload } = seen[OTHER[tenant]];
    const reply = await server.request('POST', '/v1/datasets/things/ingests', { token: tokens[tenant], body: { sources: [{ source: 'things', upload: upload.upload ?? upload.id }] } });
    assert.ok(reply.status === 404 || reply.status === 400, `${reply.status} ${reply.text}`);
    assert.ok(!reply.text.includes(MARKS[OTHER[tenant]]));
  }
});

test('ETags differ for the same path, and the tag of one is nothing to the other', async () => {
  for (const target of ['/v1/datasets/things/records/t1']) {
    const [left, right] = [await server.get(target, tokens.left), await server.get(target, tokens.right)];
    assert.equal(left.status, 200, left.text);
    assert.notEqual(left.headers.etag, right.headers.etag);
    const crossed = await server.request('GET', target, { token: tokens.right, headers: { 'if-none-match': left.headers.etag } });
    assert.equal(crossed.status, 200);
    assert.equal(crossed.text, right.text);
  }
});

test('a cursor of one gives the other only its own', async () => {
  for (const target of ['/v1/datasets?limit=1', '/v1/datasets/people/versions?limit=1', '/v1/datasets/people/events?limit=1', '/v1/audit?limit=1', '/v1/jobs?limit=1']) {
    const page = await server.get(target, tokens.left);
    assert.equal(page.status, 200, `${target}: ${page.text}`);
    if (!page.json.next) continue;
    const crossed = await server.get(`${target}&cursor=${encodeURIComponent(page.json.next)}`, tokens.right);
    assert.ok(!crossed.text.includes(MARKS.left), `${target}: ${crossed.text}`);
  }
});

test('the same Idempotency-Key is another one, a revoked id revokes the own token only, and an act moves the own pointer only', async () => {
  assert.notEqual(seen.left.job, seen.right.job);
  const before = await server.get('/v1/datasets/people', tokens.right);
  const act = await server.request('POST', '/v1/datasets/people/versions/1/promote', { token: tokens.left, body: { reason: 'x' } });
  assert.ok(act.status < 500, act.text);
  const later = await server.get('/v1/datasets/people', tokens.right);
  assert.deepEqual(later.json, before.json);
  await server.request('POST', '/v1/revocations', { token: tokens.left, body: { subject: `subject-${MARKS.right}`, reason: 'x' } });
  assert.equal((await server.get('/v1/datasets', tokens.right)).status, 200);
});

test('neither metrics nor the log name a tenant\'s records, purposes or reasons', async () => {
  const text = (await server.get('/metrics')).text + server.log;
  for (const mark of Object.values(MARKS)) assert.ok(!text.includes(mark), mark);
});
