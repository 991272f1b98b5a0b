// OWASP API Security Top 10 (2023): one test per item. tests/mutants/owasp.mjs takes each item's defences
// out of the server, one at a time, and sees its test fail.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Contract } from '../kit/contract.mjs';
import { ALL_SCOPES, assertProblem, Data, everline } from '../kit/everline.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv } from '../kit/samples.mjs';
import { Forge, part } from '../kit/tokens.mjs';

const PEOPLE = {
  name: 'people',
  sources: { people: { format: 'csv', columns: { eligible: 'BOOLEAN' } } },
  prepare: 'SELECT name, ssn, eligible FROM people',
  key: { fields: ['name', 'ssn'], protect: 'hmac-sha256', guess: { fields: ['ssn'], limit: 5 } },
  record: { eligible: 'BOOLEAN' },
};
const ADA = { name: 'Ada', ssn: '0042' };
const contract = new Contract();
let data, server, token, stranger;

before(async () => {
  data = await Data.make('dev', 'other');
  await data.put(PEOPLE);
  await data.put({ ...PEOPLE, name: 'hidden' });
  const people = data.file('people.csv', csv([{ ...ADA, eligible: true }]));
  for (const name of ['people', 'hidden']) await data.ingest(name, { people });
  const inbox = tempDir('inbox');
  mkdirSync(join(inbox, 'dev'));
  server = await data.serve('--body-limit', '64KiB', '--ingest-workers', '0', '--inbox', inbox);
  token = await data.token();
  stranger = await data.token({ tenant: 'other' });
});
after(() => server?.stop());

const lookup = (key, who = token, dataset = 'people') => server.request('POST', `/v1/datasets/${dataset}/lookup`, { token: who, body: { key } });

test('API1 object level authorization: an object of another tenant, or outside the token\'s datasets, is not there', async () => {
  const narrow = await data.token({ datasets: ['people'] });
  for (const [path, who] of [['people', stranger], ['hidden', narrow], ['nothing', token]])
    for (const target of ['', '/versions', '/versions/1', '/events', '/rollups'])
      assertProblem(await server.get(`/v1/datasets/${path}${target}`, who), 404, 'UNKNOWN_DATASET');
  assertProblem(await lookup(ADA, narrow, 'hidden'), 404, 'UNKNOWN_DATASET');
  assert.equal((await lookup(ADA, narrow)).status, 200);
});

test('API2 authentication: no token, a changed one, a stranger\'s, an expired one and a revoked one are the same 401', async () => {
  const forge = new Forge(data), [head, , signature] = forge.token().split('.');
  const wider = `${head}.${part({ ...forge.claims(), scope: ALL_SCOPES })}.${signature}`;
  const gone = await data.token({ subject: 'gone' });
  for (const good of [gone, forge.token()]) assert.equal((await server.get('/v1/datasets', good)).status, 200);
  await data.ok(['token', 'revoke', '--subject', 'gone'], { tenant: 'dev' });
  const expired = forge.token({ claims: { iat: 1700000000, exp: 1700000600 } });
  await until('it is revoked', async () => (await server.get('/v1/datasets', gone)).status === 401);
  const texts = new Set();
  for (const bad of [undefined, forge.unsigned(), wider, forge.token({ key: Forge.strangersKey() }), forge.confused(), `${token}x`, expired, gone]) {
    const reply = await server.get('/v1/datasets', bad);
    assertProblem(reply, 401, 'UNAUTHORIZED');
    texts.add(reply.text.replace(/"request_id":"[^"]*"/, ''));
  }
  assert.equal(texts.size, 1);
});

test('API3 property level authorization: nobody reads or writes a property that is not his', async () => {
  const found = await lookup(ADA);
  assert.deepEqual(Object.keys(found.json.record), ['eligible']);
  const text = (await server.get('/v1/datasets/people/versions/1', token)).text + (await server.get('/v1/datasets/people/events', token)).text;
  assert.doesNotMatch(text, /Ada|(?<![0-9a-f])0042(?![0-9a-f])/); // within times and hashes it may stand by chance
  const put = await server.request('PUT', '/v1/tenants/dev', { token, body: { hmac_key_id: 'mine' } });
  assertProblem(put, 400, 'UNKNOWN_FIELD');
  assert.equal((await server.get('/v1/tenants/dev', token)).json.hmac_key_check, undefined);
});

test('API4 resource consumption: bodies, batches, pages, requests and depth have an end', async () => {
  const big = await server.request('POST', '/v1/datasets/people/lookup', { token, body: `{"key":"${'x'.repeat(70_000)}"}` });
  assertProblem(big, 413, 'BODY_TOO_LARGE');
  assertProblem(await server.request('POST', '/v1/datasets/people/lookup/batch', { token, body: { keys: Array(1001).fill({ name: 'A', ssn: '1' }) } }), 413, 'TOO_MANY_KEYS');
  assertProblem(await server.get('/v1/datasets?limit=1001', token), 400);
  assertProblem(await server.request('POST', '/v1/datasets/people/lookup', { token, body: `{"key":${'['.repeat(5_000)}${']'.repeat(5_000)}}` }), 400, 'INVALID_JSON');
  await data.ok(['tenant', 'put', 'other', '--requests-per-day', '2']);
  const over = await until('the limit holds', async () => { const reply = await server.get('/v1/datasets', stranger); return reply.status === 429 && reply; });
  assert.ok(Number(over.headers['retry-after']) > 0);
  await data.ok(['tenant', 'put', 'other', '--requests-per-day', '0']);
  await until('it is lifted', async () => (await server.get('/v1/datasets', stranger)).status !== 429);
});

test('API5 function level authorization: an operation takes its own scope and no other', async () => {
  for (const operation of contract.operations) {
    const scope = operation['x-everline-scope'];
    if (scope === 'none') continue;
    const target = operation.path.replaceAll(/\{\w+\}/g, '1');
    const others = ALL_SCOPES.split(' ').filter((one) => !scope.split(' ').includes(one)).join(' ');
    const reply = await server.request(operation.method, target, { token: await data.token({ scope: others }) });
    assertProblem(reply, 403, 'SCOPE_MISSING');
  }
});

test('API6 sensitive business flows: who tries the values of a key is stopped, and noted', async () => {
  for (let n = 0; n < 5; n++) assert.equal((await lookup({ name: 'Victim', ssn: String(n) })).status, 200);
  assertProblem(await lookup({ name: 'Victim', ssn: '5' }), 429, 'GUESS_LIMIT');
  await until('it is noted', async () => (await server.get('/v1/audit?event=keyGuessed', token)).json.items.length > 0);
});

test('API7 server side request forgery: no caller makes the server fetch a place of his choice', async () => {
  for (const url of ['http://169.254.169.254/latest/meta-data', 'file:///etc/passwd', '/etc/passwd', 'gopher://x/', 'http://10.0.0.1/', 'https://10.0.0.1/', 'https://[fe80::1]/', 'https://localhost/'])
    for (const name of ['jwks', 'webhook'])
      assert.equal((await server.request('PUT', '/v1/tenants/new', { token, body: { [name]: url } })).status, 400, url);
  assertProblem(await server.get('/v1/tenants/new', token), 404);
  const { code, stderr } = await data.putCli({ ...PEOPLE, prepare: "SELECT name, ssn, eligible FROM read_csv('http://169.254.169.254/x.csv')" });
  assert.equal(code, 1);
  assert.match(stderr, /read_csv is not allowed/);
  for (const path of ['../../etc/passwd', '/etc/passwd']) {
    const reply = await server.request('POST', '/v1/datasets/people/ingests', { token, body: { sources: [{ source: 'people', path }] } });
    assertProblem(reply, 400, 'INBOX_PATH');
  }
});

test('API8 misconfiguration: answers are not kept or sniffed, errors tell nothing of the inside, production refuses what is weak', async () => {
  assert.equal((await lookup(ADA)).headers['cache-control'], 'no-store');
  for (const reply of [await server.get('/v1/%ff', token), await server.get('/v1/datasets/..%2f..', token), await server.request('TRACE', '/v1/datasets', { token })]) {
    assert.ok(reply.status >= 400 && reply.status < 500, `${reply.status}`);
    assert.ok(!/\/tmp|\.c:|mdb|everline-data/.test(reply.text), reply.text);
    assert.equal(reply.headers.server, undefined);
  }
  assert.equal((await server.request('GET', '/v1/datasets', { token, headers: { origin: 'https://evil.example' } })).headers['access-control-allow-origin'], undefined);
  const production = (listen) => everline(['serve', '--data', data.directory, '--listen', listen, '--production', '--port-file', data.file('port', '')],
                                          { deadlineMs: 60_000 });
  assert.match((await production('0.0.0.0:0')).stderr, /plain HTTP on/);
  assert.match((await production('127.0.0.1:0')).stderr, /the keys are inside the data directory/);
});

test('API9 inventory: what is served is in the contract, and nothing else', async () => {
  for (const path of ['/', '/v1', '/v2/datasets', '/admin', '/debug', '/v1/datasets/people/keys', '/.git/config', '/metrics/x', '/api', '/swagger'])
    assertProblem(await server.get(path, token), 404, 'NO_ROUTE');
  const served = JSON.parse((await server.get('/openapi.json')).text);
  assert.deepEqual(Object.keys(served.paths).sort(), Object.keys(contract.document.paths).sort());
});

test('API10 consumption of other APIs: an issuer or a webhook is taken over https only, and what it sends is judged', async () => {
  for (const args of [['--jwks', 'http://idp.example/jwks'], ['--webhook', 'http://hooks.example/x']]) {
    const { code, stderr } = await data.cli(['tenant', 'put', 'dev', ...args]);
    assert.notEqual(code, 0, stderr);
  }
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 }); // what half of an issuer's keys once were
  const good = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = (key, kid) => ({ ...key.export({ format: 'jwk' }), kid, alg: 'RS256' });
  const claims = { tenant: 'other', iss: 'everline', aud: 'everline', exp: 4102444800, scope: 'data:read' };
  const signed = (kid, key) => {
    const input = `${part({ alg: 'RS256', kid })}.${part(claims)}`;
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
  };
  const file = data.file('jwks.json', JSON.stringify({ keys: [jwk(publicKey, 'weak'), jwk(good.publicKey, 'good'),
    { kty: 'oct', kid: 'secret', alg: 'HS256', k: 'c2hvcnQ' }] }));
  await data.ok(['tenant', 'put', 'other', '--jwks', file]);
  await until('the set is read', async () => (await server.get('/v1/datasets', signed('good', good.privateKey))).status === 200);
  assertProblem(await server.get('/v1/datasets', signed('weak', privateKey)), 401, 'UNAUTHORIZED');
});
