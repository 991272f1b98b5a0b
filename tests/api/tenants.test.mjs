// Tenants over HTTP: made, changed, disabled and deleted by who runs the platform, and by nobody else.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, token;

before(async () => {
  data = await Data.make('dev');
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const put = (name, body, headers = {}) => server.request('PUT', `/v1/tenants/${name}`, { token, body, headers });
const get = (name) => server.get(`/v1/tenants/${name}`, token);
const remove = (name, headers = {}) => server.request('DELETE', `/v1/tenants/${name}?reason=gone`, { token, headers });

test('a tenant that is put can mint tokens, define and ingest, and is listed', async () => {
  const made = await put('acme', { limits: { max_datasets: 1 } });
  assert.equal(made.status, 200, made.text);
  assert.deepEqual([made.json.tenant, made.json.enabled, made.json.issuer, made.json.limits.max_datasets], ['acme', true, 'everline', 1]);
  assert.equal(made.json.hmac_key_check, undefined);
  await data.put(THINGS, { tenant: 'acme' });
  await data.ingest('things', { things: data.file('things.csv', csv(things(3))) }, { tenant: 'acme' });
  const who = await data.token({ tenant: 'acme' });
  await until('it is served', async () => (await server.get('/v1/datasets/things/records/t00000', who)).status === 200);
  assert.deepEqual((await server.get('/v1/tenants', token)).json.items.map((one) => one.tenant), ['acme', 'dev']);
  const page = (await server.get('/v1/tenants?limit=1', token)).json;
  assert.deepEqual([page.items.length, page.next, page.complete], [1, 'acme', false]);
  assert.equal((await server.get('/v1/tenants?cursor=acme', token)).json.items[0].tenant, 'dev');
  assert.equal((await data.putCli({ ...THINGS, name: 'more' }, { tenant: 'acme' })).code, 1, 'one dataset is its quota');
});

test('a disabled tenant is refused, and enabled again', async () => {
  const who = await data.token({ tenant: 'acme' });
  assert.equal((await put('acme', { enabled: false })).status, 200);
  await until('it is refused', async () => (await server.get('/v1/datasets', who)).status === 401);
  assert.equal((await put('acme', {})).json.enabled, true);
  await until('it is taken', async () => (await server.get('/v1/datasets', who)).status === 200);
});

test('If-Match keeps two people apart', async () => {
  const { etag } = (await get('acme')).headers;
  assert.equal((await server.request('GET', '/v1/tenants/acme', { token, headers: { 'if-none-match': etag } })).status, 304);
  const changed = await put('acme', { audience: 'there' }, { 'if-match': etag });
  assert.equal(changed.status, 200);
  assert.notEqual(changed.headers.etag, etag);
  assertProblem(await put('acme', {}, { 'if-match': etag }), 412, 'TENANT_CHANGED');
  assertProblem(await put('nobody', {}, { 'if-match': '*' }), 412, 'TENANT_CHANGED');
  assertProblem(await remove('acme', { 'if-match': etag }), 412, 'TENANT_CHANGED');
  assertProblem(await put('acme', {}, { 'if-match': `W/${changed.headers.etag}, "x"` }), 412, 'TENANT_CHANGED');
  assert.equal((await put('acme', {}, { 'if-match': `${etag}, ${changed.headers.etag}` })).status, 200);
});

test('its class is a label of how long requests took; names are none', async () => {
  const who = await data.token({ tenant: 'acme' });
  const counted = async (label, operation = 'listDatasets') => Number((await server.get('/metrics')).text
    .match(new RegExp(`^everline_request_seconds_count\\{operation="${operation}",tenant_class="${label}"\\} (\\d+)$`, 'm'))?.[1] ?? 0);
  assert.equal((await get('acme')).json.class, 'standard');
  const standard = await counted('standard');
  assert.equal((await put('acme', { class: 'trial' })).json.class, 'trial');
  await until('it is counted as that', async () => (await server.get('/v1/datasets', who)).status === 200 && (await counted('trial')) > 0);
  const trial = await counted('trial');
  for (let n = 0; n < 3; n++) await server.get('/v1/datasets', who);
  assertProblem(await server.get('/v1/datasets', await data.token({ tenant: 'acme', scope: 'audit:read' })), 403);
  assert.equal(await counted('trial'), trial + 4, 'who may not ask is of it, too');
  assert.equal((await server.get('/v1/datasets', 'nobody')).status, 401);
  assert.ok((await counted('none')) >= 1 && (await counted('none', 'getMetrics')) >= 1);
  assert.ok((await counted('standard')) >= standard);
  await data.ok(['tenant', 'put', 'acme', '--class', 'internal']);
  await until('it is another', async () => (await server.get('/v1/datasets', who)).status === 200 && (await counted('internal')) > 0);
  assert.equal((await data.json(['tenant', 'get', 'acme'], { tenant: null })).class, 'internal');
  assert.match((await data.cli(['tenant', 'put', 'acme', '--class', 'gold'])).stderr, /no class[^]*standard, priority, trial or internal/);
  assert.ok(!(await server.get('/metrics')).text.includes('acme'));
});

test('what is wrong is refused, and makes nothing', async () => {
  for (const [name, body] of [['Bad', {}], ['a%2Fb', {}], ['..', {}], ['new', { class: 'gold' }], ['new', { class: 1 }], ['new', { limits: { nothing: 1 } }], ['new', { limits: { requests_per_second: -1 } }],
    ['new', { limits: { requests_per_second: 4294967296 } }], ['new', { jwks: '/etc/passwd' }], ['new', { webhook: 'file:///etc/passwd' }],
    ['new', { issuer: 'x'.repeat(256) }], ['new', { hmac_key_id: 'x' }]]) {
    const reply = await put(name, body);
    assert.equal(reply.status, 400, `${name} ${JSON.stringify(body)}: ${reply.text}`);
  }
  assertProblem(await get('new'), 404, 'UNKNOWN_TENANT');
  assertProblem(await remove('new'), 404, 'UNKNOWN_TENANT');
});

test('a tenant with datasets stays; one without goes, and its tokens with it', async () => {
  assertProblem(await remove('acme'), 409, 'TENANT_NOT_EMPTY');
  await put('short', {});
  const who = await data.token({ tenant: 'short' });
  await until('it is taken', async () => (await server.get('/v1/datasets', who)).status === 200);
  assert.equal((await remove('short')).status, 204);
  await until('it is refused', async () => (await server.get('/v1/datasets', who)).status === 401);
  assertProblem(await get('short'), 404, 'UNKNOWN_TENANT');
  const acts = await until('the acts are noted', async () => {
    const { json } = await server.get('/v1/audit?event=deleteTenant&outcome=done', token);
    return json.items.length && json.items;
  });
  assert.deepEqual([acts[0].target, acts[0].reason], ['short', 'gone']);
  await put('short', {}); // perhaps for somebody else
  const next = await data.token({ tenant: 'short' });
  await until('it is there again', async () => (await server.get('/v1/datasets', next)).status === 200);
  assertProblem(await server.get('/v1/datasets', who), 401);
  assert.match((await data.cli(['token', 'verify', who])).stderr, /revoked/);
  assert.equal((await remove('short')).status, 204);
});

test('a batch has at most as many keys as the tenant may', async () => {
  const who = await data.token({ tenant: 'acme' }), keys = (count) => Array.from({ length: count }, (_, i) => ({ id: `t0000${i}` }));
  await put('acme', { limits: { max_batch_keys: 2 } });
  const over = await until('it is known', async () => {
    const reply = await server.batch('things', keys(3), who);
    return reply.status === 413 && reply;
  });
  assertProblem(over, 413, 'TOO_MANY_KEYS');
  assert.equal((await server.batch('things', keys(2), who)).json.results.length, 2);
  await put('acme', {});
});

test('only platform:admin gets there', async () => {
  const admin = await data.token({ tenant: 'dev', scope: 'tenant:admin audit:read data:read' });
  for (const [method, path, body] of [['GET', '/v1/tenants'], ['GET', '/v1/tenants/dev'], ['PUT', '/v1/tenants/dev', {}], ['DELETE', '/v1/tenants/dev?reason=x']])
    assertProblem(await server.request(method, path, { token: admin, body }), 403, 'SCOPE_MISSING');
});

test('the quota of stored bytes stops an ingest, and max_versions retires the older ones', async () => {
  await put('acme', { limits: { max_stored_bytes: 1 } });
  const rows = data.file('again.csv', csv(things(4)));
  const { code, stderr } = await data.ingestCli('things', { things: rows }, { tenant: 'acme' });
  assert.equal(code, 1);
  assert.match(stderr, /may keep 1 bytes/);
  await put('acme', { limits: { max_versions: 2 } });
  for (let n = 5; n < 9; n++) await data.ingest('things', { things: data.file(`n${n}.csv`, csv(things(n))) }, { tenant: 'acme' });
  await until('older ones are retired', async () =>
    (await data.versions('things', 'acme')).filter((one) => one.state === 'SUCCEEDED').length === 2);
});
